/* json/decode.h - the decoded bytes of a string, one piece at a time (private to json/) */
#ifndef MF_JSON_DECODE_H
#define MF_JSON_DECODE_H

#include "base/str.h"
#include "json/scan.h"

/*
 * Takes the next piece off the inside of a scanned string (no quotes) and returns its decoded bytes: a run without
 * escapes as a view of the text, or one escape decoded into `room`. Empty at the end.
 */
struct mf_span json_decode_next(struct mf_span *inside, char room[4]);

/* True when the decoded inside equals a plain text. */
bool json_inside_is(struct mf_span inside, struct mf_span text);

/* The text between the quotes. */
struct mf_span json_inside(const struct json_document *document, uint32_t node);

#endif
