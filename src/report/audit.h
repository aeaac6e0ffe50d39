/*
 * report/audit.h - evidence for programs: JSON, CSV, and a certificate for each account
 *
 * Nothing here holds a secret: neither journal nor log do. Text that an agent chose is escaped for where it goes.
 */
#ifndef MF_REPORT_AUDIT_H
#define MF_REPORT_AUDIT_H

#include "report/evidence.h"
#include "report/least.h"

#include <stdio.h>

/* Appends one JSON object, version 1. `state` is "running", "finished" or "unfinished". */
int audit_json(const struct evidence *evidence, const struct least *least, const char *state, struct mf_buf *out,
               struct mf_error *error);

/*
 * One row for each proven line, RFC 4180 with CRLF and a head. A text that a spreadsheet would take for a formula has an
 * apostrophe before it. -1 with MF_OS when it cannot be written.
 */
int audit_csv(const struct evidence *evidence, FILE *out, struct mf_error *error);

/* The lives of all accounts, from the journal and a second reading of the log. */
struct certificates;
int certificates_create(struct certificates **out, const struct evidence *evidence, struct journal *journal,
                        struct mf_error *error);
void certificates_destroy(struct certificates *certificates); /* NULL is fine */
/* Account 1, 2, ...: text for people, or one JSON object. */
int certificate_text(const struct certificates *certificates, uint32_t number, const char *state, struct mf_buf *out,
                     struct mf_error *error);
int certificate_json(const struct certificates *certificates, uint32_t number, const char *state,
                     struct json_writer *writer, struct mf_error *error);

#endif
