/*
 * app/progress.h - what a person or a script sees while a run goes on: three observers
 *
 *   progress_plain   one line for each thing worth knowing, on stderr
 *   progress_board   a live board on a terminal, on stderr
 *   progress_json    events as JSON lines on stdout, the last one the receipt
 *
 * Text that comes from outside (reasons, names of instances) is escaped before it reaches a terminal.
 */
#ifndef MF_APP_PROGRESS_H
#define MF_APP_PROGRESS_H

#include "app/app.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdio.h>

struct progress;

enum progress_kind { PROGRESS_PLAIN, PROGRESS_BOARD, PROGRESS_JSON };

/* `colour` only for plain and board. The streams are not owned. */
struct progress *progress_create(enum progress_kind kind, FILE *out, bool colour);
void progress_destroy(struct progress *progress); /* NULL is fine */
struct app_observer progress_observer(struct progress *progress);

/* The receipt for people: a few lines, each can be checked with the command that it names. */
void receipt_print(FILE *out, struct app *app, const struct app_receipt *receipt, bool colour);
/* {"type":"receipt","run":...,"tasks":{...},"accounts":{...}} as design section 9 fixes it, without line end. */
void receipt_json(struct mf_buf *out, const struct app *app, const struct app_receipt *receipt);
/* Dollars with six places; needs 32 bytes. Returns `out`. */
const char *usd_text(int64_t micro_usd, char out[32]);
/* Appends the `reason` of a record's extra facts, escaped for a terminal; nothing when there is none. */
void extra_reason(struct mf_span extra, struct mf_buf *out);
void extra_member(struct mf_span extra, const char *name, struct mf_buf *out); /* the same for another text */
/* Appends "exit 3", "signal 9", ... for a task.exited record. */
void exit_text(const struct core_record *record, struct mf_buf *out);

#endif
