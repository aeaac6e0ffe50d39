/*
 * document/diagnostics.h - everything that is wrong with a file, at once
 *
 * A diagnostic knows its place (line and column are 1-based, 0 means no place in the file), the source line with a caret, the
 * JSON pointer and a suggestion. All texts are escaped: they may go to a terminal as they are. At most `shown_max` are kept;
 * the rest is counted.
 */
#ifndef MF_DOCUMENT_DIAGNOSTICS_H
#define MF_DOCUMENT_DIAGNOSTICS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define DIAGNOSTIC_KINDS(X)                                                                                            \
    X(ERROR, "error") /* the file is refused */                                                                        \
    X(NOTE, "note")   /* worth a word, the file is accepted */
enum diagnostic_kind {
#define X(kind, name) DIAGNOSTIC_##kind,
    DIAGNOSTIC_KINDS(X)
#undef X
};

struct diagnostic { /* all texts owned by the diagnostics; never NULL */
    enum diagnostic_kind kind;
    uint32_t line, column;
    uint32_t offset;        /* byte in the text */
    const char *pointer;    /* "/tasks/deploy/timeout"; empty for the whole file */
    const char *message;    /* "unknown key `tmeout`" */
    const char *suggestion; /* "did you mean `timeout`?"; empty when there is none */
    const char *source;     /* the line, cut to fit; empty when it must not be shown */
    uint32_t caret;         /* columns in front of the caret in `source` */
};

struct diagnostics;

#define DIAGNOSTICS_SHOWN_MAX 50

/* `file_name` is what stands in front of each line; copied. */
int diagnostics_create(struct diagnostics **out, const char *file_name, uint32_t shown_max, struct mf_error *error);
void diagnostics_destroy(struct diagnostics *diagnostics); /* NULL is fine */

uint32_t diagnostics_errors(const struct diagnostics *diagnostics); /* all that were found, also those not kept */
uint32_t diagnostics_notes(const struct diagnostics *diagnostics);
uint32_t diagnostics_count(const struct diagnostics *diagnostics); /* kept: in the order of the file */
const struct diagnostic *diagnostics_at(const struct diagnostics *diagnostics, uint32_t index);
/* True when one more would only be counted: a caller may then spare the search for a near name. */
bool diagnostics_full(const struct diagnostics *diagnostics);

/* What a new diagnostic is about. Unset members are fine. */
struct diagnostic_place {
    struct mf_span text;       /* the whole file; empty: no place */
    uint32_t offset;
    const char *pointer;       /* raw; is escaped and cut */
    const char *suggestion;    /* raw; a whole phrase */
    bool secret;               /* the source line may hold a secret: do not show it */
};
/*
 * Adds one. The text after formatting is escaped and cut, so arguments may be raw input. -1 only without memory (the
 * diagnostic is counted all the same).
 */
int diagnostics_add(struct diagnostics *diagnostics, enum diagnostic_kind kind, const struct diagnostic_place *place,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
int diagnostics_add_list(struct diagnostics *diagnostics, enum diagnostic_kind kind, const struct diagnostic_place *place,
                         const char *format, va_list arguments) __attribute__((format(printf, 4, 0)));
/* Sorts what is kept by place; called by the loaders at their end. */
void diagnostics_sort(struct diagnostics *diagnostics);

/*
 * Appends them for people:
 *   graph.json:12:7: error: unknown key `tmeout`; did you mean `timeout`? (/tasks/plan/tmeout)
 *      12 |       "tmeout": "5m",
 *         |       ^
 * and at the end "and N more errors" where some were not kept.
 */
int diagnostics_print(const struct diagnostics *diagnostics, struct mf_buf *out);
/* Appends a JSON array of {"kind","file","line","column","pointer","message","suggestion"}. */
int diagnostics_json(const struct diagnostics *diagnostics, struct mf_buf *out);
/* Fills MF_INPUT "graph.json:12:7: unknown key ... (and 3 more errors)" and returns -1. */
int diagnostics_fail(const struct diagnostics *diagnostics, struct mf_error *error);

#endif
