/* tag.c - the name that every account carries at its provider */
#include "app/tag.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "mayfly-"
#define RUN_BYTES 12u

static bool is_plain(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= '0' && character <= '9');
}

/* Takes [a-z0-9]{min,max} and the dash behind it off the front. */
static bool take_part(struct mf_span *text, size_t min, size_t max, char *out)
{
    size_t length = 0;
    while (length < text->length && length <= max && is_plain(text->data[length]))
        length++;
    if (length < min || length > max || length == text->length || text->data[length] != '-')
        return false;
    memcpy(out, text->data, length);
    out[length] = '\0';
    *text = (struct mf_span){text->data + length + 1, text->length - length - 1};
    return true;
}

bool tag_parse(struct mf_span text, struct tag *out)
{
    uint64_t n;
    if (!mf_span_starts(text, PREFIX))
        return false;
    struct mf_span rest = {text.data + strlen(PREFIX), text.length - strlen(PREFIX)};
    if (!take_part(&rest, 1, sizeof out->owner - 1, out->owner) || !take_part(&rest, RUN_BYTES, RUN_BYTES, out->run))
        return false;
    if (mf_parse_u64(rest, &n) != 0 || n == 0 || n >= UINT32_MAX)
        return false;
    out->n = (uint32_t)n;
    return true;
}

void tag_format(const char *owner, const char *run, uint32_t n, char out[TAG_BYTES])
{
    snprintf(out, TAG_BYTES, PREFIX "%s-%s-%u", owner, run, n);
}
