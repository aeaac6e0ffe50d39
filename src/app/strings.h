/*
 * app/strings.h - lists of texts that are built for one message: bytes in one buffer, spans into it at the end
 */
#ifndef MF_APP_STRINGS_H
#define MF_APP_STRINGS_H

#include "base/buf.h"
#include "base/str.h"
#include "json/scan.h"
#include "runner/peer.h"

#include <stdint.h>

struct strings {
    struct mf_buf bytes;    /* NUL-terminated texts, one behind the other */
    uint32_t count;
    struct mf_span *spans;  /* owned; made by strings_spans */
    struct runner_variable *variables; /* owned; made by strings_variables */
    bool no_memory;         /* one of the two could not be made: a message with the count of these texts must not go out */
};

/* `secret`: the bytes are wiped. */
void strings_init(struct strings *strings, size_t bytes_max, bool secret);
void strings_free(struct strings *strings);
int strings_add(struct strings *strings, struct mf_span text);
int strings_add_variable(struct strings *strings, struct mf_span name, struct mf_span value);
/* The elements of a JSON array of strings as they are; JSON_NONE adds nothing. */
int strings_add_list(struct strings *strings, const struct json_document *document, uint32_t node);
/* Views of all texts; NULL without memory. Valid until the next add. */
const struct mf_span *strings_spans(struct strings *strings);
/* Each text split at its first '='. */
const struct runner_variable *strings_variables(struct strings *strings);

#endif
