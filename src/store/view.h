/*
 * store/view.h - a run as its journal tells it: for the commands that only read
 *
 * The records are folded with the rows of core/states.h, so "which state follows a record" is said in one place. Needs no
 * graph: only what was committed counts. A view is a snapshot; view_update takes it to the newest record.
 */
#ifndef MF_STORE_VIEW_H
#define MF_STORE_VIEW_H

#include "core/core.h"
#include "store/journal.h"

struct view;

struct view_run {
    struct mf_span id, name, owner, graph_path, options_json, socket_path;
    int64_t opened_ms, last_ms; /* last_ms: of the last record */
    uint64_t last_seq;
    bool settled;               /* the last word is run.settled */
    int32_t exit_code;          /* of the last run.settled; only when settled */
    enum core_drain drain;
    uint32_t restarts;
};
struct view_task {
    const char *path;           /* "deploy/web"; "#7" when the name is not known */
    uint32_t template_node;     /* CORE_NONE for a task of the graph */
    uint32_t ordinal;
    bool is_template;
    bool known;                 /* false: a number without name and records */
    enum core_task_state state;
    enum core_class class;      /* of the last failure */
    enum core_stop stop;
    enum core_stage stage;      /* of the last spawn */
    uint32_t attempt;           /* 0 before the first */
    int64_t since_ms;           /* when the state was entered; 0: at the opening */
    int64_t started_ms;         /* when the last attempt began; 0 before the first */
    bool exited;                /* code and signal are those of the last stage that ended */
    int32_t code, signal;
    bool stale;
    const char *reason;         /* of the last record that gave one; NULL */
};
struct view_account {
    enum core_account_state state;
    enum core_class class;      /* of the last refusal */
    uint32_t node;              /* whose it is; CORE_NONE when not known */
    uint32_t slot, provider;
    int64_t created_ms, since_ms;
    int64_t expires_ms;         /* 0: never, or not known */
    uint32_t leases;
    bool has_id, revoked;
    const char *reason;
};
struct view_totals {
    uint32_t tasks[CORE_TASK_STATE_COUNT]; /* without templates */
    uint32_t task_count, final_count;
    uint32_t accounts[CORE_ACCOUNT_STATE_COUNT];
    uint32_t created;           /* without those that never existed */
    uint32_t open;              /* something is still to be done */
};

int view_load(struct view **out, struct journal *journal, struct mf_error *error);
/* Each record is told after it was folded, with all names known; `extra` as journal_append got it. Non-zero ends with -1. */
typedef int view_each(void *context, const struct view *view, const struct core_record *record, struct mf_span extra, struct mf_error *error);
/* As view_load, telling every record. */
int view_read(struct view **out, struct journal *journal, view_each *each, void *context, struct mf_error *error);
/* Takes in what was committed since. `each` may be NULL. */
int view_update(struct view *view, struct journal *journal, view_each *each, void *context, struct mf_error *error);
void view_free(struct view *view); /* NULL is fine */

const struct view_run *view_run(const struct view *view);
uint32_t view_task_count(const struct view *view);
const struct view_task *view_task(const struct view *view, uint32_t node);
uint32_t view_account_count(const struct view *view);
const struct view_account *view_account(const struct view *view, uint32_t number); /* 1, 2, ... */
void view_totals(const struct view *view, struct view_totals *out);
/* The node of a path; CORE_NONE when there is none. */
uint32_t view_find(const struct view *view, const char *path);
/* Of the run's providers; "?" when the list does not have it. */
const char *view_provider(const struct view *view, uint32_t provider);
void view_tag(const struct view *view, uint32_t number, char *out, size_t out_bytes);

enum view_openness { VIEW_OPEN, VIEW_SETTLED, VIEW_FINAL };
enum view_openness view_account_openness(enum core_account_state state);
/* Something of the account may still be there at that time. */
bool view_account_may_exist(const struct view_account *account, int64_t now_ms);
bool view_task_final(enum core_task_state state);
const char *view_task_state_name(enum core_task_state state);
const char *view_account_state_name(enum core_account_state state);
const char *view_class_name(enum core_class class);
const char *view_record_name(enum core_record_kind kind);

#endif
