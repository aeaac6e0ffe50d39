/*
 * store/journal.h - the database of one run: append-only records, sealed secrets, names; read views for people
 *
 * One writer behind the run's lock with an epoch (an old writer that wakes up later is fenced); any number of readers. All SQL
 * stands at the top of store/ files. WAL, synchronous=FULL, STRICT, secure_delete, bound parameters, defensive.
 */
#ifndef MF_STORE_JOURNAL_H
#define MF_STORE_JOURNAL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "core/core.h"

#include <stdbool.h>
#include <stdint.h>

struct journal;

/* Everything that a run needs to be understood or finished later. Spans are views during the call. */
struct journal_run {
    struct mf_span id, name, owner;       /* name may be empty */
    int64_t opened_ms;                    /* epoch */
    struct mf_span graph_path, graph_text, graph_sha256, params_json;
    struct mf_span providers_json;        /* [{name, recipe_name, recipe_text, recipe_sha256, base_url, origin, inputs, credential source (never a value)}] */
    struct mf_span limits_json, options_json; /* options that rerun and teardown must keep (strict, log caps, ...) */
    struct mf_span terms_json;            /* accepted terms with time */
    struct mf_span socket_path;           /* control socket */
    int64_t pid, birth;                   /* of the orchestrator */
    struct mf_span boot_id;
};

/* Makes runs/ID/run.db through the run directory's descriptor path. */
int journal_create(struct journal **out, const char *run_dir, const char *key_path, const struct journal_run *run, struct mf_error *error);
/* writer: takes a new epoch. Refuses links, foreign owners, newer schema; quick_check at open. */
int journal_open(struct journal **out, const char *run_dir, const char *key_path, bool writer, struct mf_error *error);
void journal_close(struct journal *journal); /* checkpoint when a writer; NULL is fine */

/* One write transaction for a turn. -1 with MF_LOCKED: fenced, or a foreign process holds the database for longer than 5 s. */
int journal_begin(struct journal *journal, struct mf_error *error);
/* The seq must be the last one's successor. `extra` is a JSON object's members without braces ("\"reason\":\"...\"") or empty: text facts, never a secret. */
int journal_append(struct journal *journal, const struct core_record *record, struct mf_span extra, struct mf_error *error);
/* Sealed with AES-256-GCM; name is "secrets", "claim" or the like; one value for each (account, name), replaced. */
int journal_put_secret(struct journal *journal, uint32_t account, const char *name, struct mf_span value, struct mf_error *error);
int journal_drop_secrets(struct journal *journal, uint32_t account, const char *name /* NULL: all */, struct mf_error *error);
/* What create or find recorded of an account (JSON object, no secret): kept beside the journal for teardown. */
int journal_put_ids(struct journal *journal, uint32_t account, struct mf_span ids_json, struct mf_error *error);
/* Names of instances: node -> "deploy/web", item JSON. Those of the graph's tasks are read from its text. */
int journal_put_node(struct journal *journal, uint32_t node, uint32_t template_node, uint32_t ordinal, struct mf_span path, struct mf_span item_json, struct mf_error *error);
/* The result of a node's last success: SHA-256 of results/..., or empty. */
int journal_put_result(struct journal *journal, uint32_t node, uint32_t attempt, struct mf_span sha256, struct mf_span outputs_path, struct mf_error *error);
/* -1 with MF_LOCKED: a newer epoch exists (fenced). Any failure: nothing of the turn is durable; start no effect. */
int journal_commit(struct journal *journal, struct mf_error *error);
void journal_rollback(struct journal *journal);
/* Small changes of the run row, also outside turns: socket_path, providers_json, options_json, limits_json, terms_json, pid, birth,
 * boot_id, graph_path, graph_sha256 (numbers as decimal text). */
int journal_set_run(struct journal *journal, const char *column, struct mf_span value, struct mf_error *error);
/* The graph from now on: a new revision beside the earlier ones. Inside a turn. */
int journal_put_graph(struct journal *journal, struct mf_span text, struct mf_error *error);
uint64_t journal_commits(const struct journal *journal);
/*
 * Takes the lines of audit.log that the table `request` does not have yet, for people with the sqlite3 shell; outside a turn, when
 * nobody writes the file any more. A file that is not there is fine. After -1 the table ends early, and the run is as good as before.
 */
int journal_take_requests(struct journal *journal, int run_dir_fd, struct mf_error *error);

/* --- reading (writer or reader) --- */
int journal_replay(struct journal *journal, int (*each)(void *context, const struct core_record *record, struct mf_span extra, struct mf_error *error), void *context, struct mf_error *error);
/* From a seq on, for --follow; stops at the newest. Returns -1 on error, else 0 and *last. */
int journal_read_from(struct journal *journal, uint64_t after_seq, int (*each)(void *context, const struct core_record *record, struct mf_span extra, struct mf_error *error), void *context, uint64_t *last, struct mf_error *error);
/* Views point into `hold`, which the caller frees (mf_buf_free). The small one leaves out graph text, parameters, limits, terms. */
int journal_read_run(struct journal *journal, struct journal_run *run, struct mf_buf *hold, struct mf_error *error);
int journal_read_run_small(struct journal *journal, struct journal_run *run, struct mf_buf *hold, struct mf_error *error);
/* -1 with MF_NOT_FOUND: there is none. */
int journal_get_secret(struct journal *journal, uint32_t account, const char *name, struct mf_buf *out /* secret buffer */, struct mf_error *error);
int journal_get_ids(struct journal *journal, uint32_t account, struct mf_buf *out, struct mf_error *error); /* empty when none */
int journal_nodes(struct journal *journal, int (*each)(void *context, uint32_t node, uint32_t template_node, uint32_t ordinal, struct mf_span path, struct mf_span item_json, struct mf_error *error), void *context, struct mf_error *error);
int journal_get_result(struct journal *journal, uint32_t node, struct mf_buf *sha256, struct mf_buf *outputs_path, struct mf_error *error);
/* MF_STATE with the first finding when the file is damaged; `quick` looks at the structure only. */
int journal_check(struct journal *journal, bool quick, struct mf_error *error);
uint64_t journal_last_seq(const struct journal *journal); /* of a writer: the last committed record */
/* How many secrets are still on disk. */
int journal_secret_count(struct journal *journal, uint32_t *out, struct mf_error *error);

#endif
