/* glob.c - which paths `collect` takes: segments with * and ?, and ** for any number of segments */
#include "runner/glob.h"

#include <string.h>

static bool is_any(struct mf_span segment)
{
    return mf_span_is(segment, "**");
}

int glob_compile(struct glob *glob, struct mf_span pattern)
{
    glob->count = 0;
    if (pattern.length == 0 || pattern.data[0] == '/')
        return -1;
    for (size_t start = 0; start <= pattern.length;) {
        const char *slash = start < pattern.length ? memchr(pattern.data + start, '/', pattern.length - start) : NULL;
        size_t end = slash != NULL ? (size_t)(slash - pattern.data) : pattern.length;
        struct mf_span segment = {pattern.data + start, end - start};
        if (segment.length == 0 && end == pattern.length)
            segment = MF_SPAN("**");
        if (segment.length == 0 || mf_span_is(segment, "..") || glob->count == GLOB_SEGMENTS_MAX)
            return -1;
        if (!mf_span_is(segment, ".")) /* "./dist" is "dist" */
            glob->segments[glob->count++] = segment;
        start = end + 1;
    }
    return glob->count > 0 ? 0 : -1;
}

/* Within one segment; on a mismatch only the last star is tried again, which is enough. */
static bool segment_matches(struct mf_span pattern, struct mf_span text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;
    while (t < text.length) {
        if (p < pattern.length && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.length && (pattern.data[p] == '?' || pattern.data[p] == text.data[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.length && pattern.data[p] == '*')
        p++;
    return p == pattern.length;
}

/* A ** may stand for nothing: its successor is a position too. */
static glob_state close_over(const struct glob *glob, glob_state state)
{
    for (uint32_t i = 0; i < glob->count; i++)
        if ((state >> i & 1) != 0 && is_any(glob->segments[i]))
            state |= (glob_state)1 << (i + 1);
    return state;
}

glob_state glob_start(const struct glob *glob)
{
    return close_over(glob, 1);
}

glob_state glob_step(const struct glob *glob, glob_state state, struct mf_span segment)
{
    glob_state next = 0;
    for (uint32_t i = 0; i < glob->count; i++) {
        if ((state >> i & 1) == 0)
            continue;
        if (is_any(glob->segments[i]))
            next |= (glob_state)1 << i;
        else if (segment_matches(glob->segments[i], segment))
            next |= (glob_state)1 << (i + 1);
    }
    return close_over(glob, next);
}

bool glob_matched(const struct glob *glob, glob_state state)
{
    return (state >> glob->count & 1) != 0;
}

bool glob_matches(const struct glob *glob, struct mf_span path)
{
    glob_state state = glob_start(glob);
    for (size_t start = 0; start <= path.length && state != 0;) {
        const char *slash = start < path.length ? memchr(path.data + start, '/', path.length - start) : NULL;
        size_t end = slash != NULL ? (size_t)(slash - path.data) : path.length;
        state = glob_step(glob, state, (struct mf_span){path.data + start, end - start});
        start = end + 1;
    }
    return glob_matched(glob, state);
}
