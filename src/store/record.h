/*
 * store/record.h - a record's facts as JSON text and back
 *
 * {"attempt":2,"class":"agent","reason":"..."}: first the facts that core/states.h lists for the kind, in its order, then
 * the caller's own members. Reading insists on that form: the file is external input, and only we write it.
 */
#ifndef MF_STORE_RECORD_H
#define MF_STORE_RECORD_H

#include "base/error.h"
#include "base/str.h"
#include "core/core.h"

#define RECORD_EXTRA_BYTES_MAX 16384 /* a reason, ids, a hash; what the shell hands over is below 8 KiB */
#define RECORD_FACTS_BYTES_MAX (RECORD_EXTRA_BYTES_MAX + 4 * 48 + 3) /* four facts of the longest name and number */

struct mf_span record_kind_name(enum core_record_kind kind);
enum core_subject record_subject(enum core_record_kind kind);
bool record_remark(enum core_record_kind kind); /* moves no machine */

/* A fact by its name; false when the kind has none. */
bool record_fact(const struct core_record *record, enum core_fact fact, int64_t *out);
const char *record_fact_name(enum core_fact fact);
/* "agent" for a class and so on; NULL for a fact that is a plain number or has no such name. */
const char *record_fact_word(enum core_fact fact, int64_t value);

/* Writes the JSON object into `out`. -1 with MF_LIMIT for a too long extra, MF_INTERNAL for a fact out of its list. */
int record_encode(const struct core_record *record, struct mf_span extra, char out[RECORD_FACTS_BYTES_MAX], size_t *length, struct mf_error *error);
/* `record` has seq, at_ms, node and account set. -1 with MF_STATE naming seq and kind. *extra points into `facts`. */
int record_decode(struct core_record *record, struct mf_span kind, struct mf_span facts, struct mf_span *extra, struct mf_error *error);

#endif
