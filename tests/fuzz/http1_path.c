/*
 * http1_path.c - fuzz: the canonical form of a path
 *
 * Checked: it is its own canonical form; it decodes to the same bytes as the input, segment by segment; and what passes
 * the check without opaque segments holds nothing but unreserved characters, the harmless delimiters and escapes.
 */
#include "http1/path.h"

#include <stdlib.h>
#include <string.h>

static struct http1_path path, again;
static char left[HTTP1_PATH_BYTES_MAX + 1], right[HTTP1_PATH_BYTES_MAX + 1];

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_plain(void)
{
    for (uint32_t i = 0; i < path.count; i++) {
        struct mf_span segment = http1_path_segment(&path, i);
        size_t length = 0;
        check(http1_percent_decode(segment, false, left, sizeof left, &length) == 0);
        check(length > 0 && memchr(left, '/', length) == NULL && memchr(left, '\\', length) == NULL &&
              memchr(left, '%', length) == NULL);
        check(strcmp(left, ".") != 0 && strcmp(left, "..") != 0);
        for (size_t at = 0; at < length; at++)
            check((unsigned char)left[at] >= 0x20 && (unsigned char)left[at] < 0x7f && left[at] != ';');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mf_span input = {(const char *)data, size};
    if (http1_path_parse(&path, input, NULL) != 0)
        return 0;
    struct mf_span text = {path.text, path.text_length};
    check(http1_path_parse(&again, text, NULL) == 0);
    check(again.was_canonical && again.count == path.count && again.text_length == path.text_length);
    check(memcmp(again.text, path.text, path.text_length) == 0);
    check(memcmp(again.traits, path.traits, path.count * sizeof path.traits[0]) == 0);
    size_t left_length = 0, right_length = 0;
    check(http1_percent_decode(input, false, left, sizeof left, &left_length) == 0);
    check(http1_percent_decode(text, false, right, sizeof right, &right_length) == 0);
    check(left_length == right_length && memcmp(left, right, left_length) == 0);
    if (http1_path_check(&path, 0, NULL) == 0)
        check_plain();
    return 0;
}
