/*
 * machine.c - the two machines: names, rows, and the setters that check them
 *
 * Everything here is made from the lists of states.h. The row of a pair (state, record) is unique: the compiler rejects a
 * second initialiser of the same place.
 */
#include "core/core_private.h"

#include <string.h>

#ifdef MAYFLY_CRASHPOINTS
enum core_mutant core_mutant;
uint32_t core_test_batch_max = CORE_BATCH_RECORDS_MAX;
#endif

static const char *const task_state_names[] = {
#define X(state, name, group) [CORE_TASK_STATE_##state] = name,
    CORE_TASK_STATES(X)
#undef X
};
static const uint8_t task_groups[] = {
#define X(state, name, group) [CORE_TASK_STATE_##state] = GROUP_##group,
    CORE_TASK_STATES(X)
#undef X
};
static const char *const account_state_names[] = {
    [CORE_ACCOUNT_STATE_NEW] = "new",
#define X(state, name, group) [CORE_ACCOUNT_STATE_##state] = name,
    CORE_ACCOUNT_STATES(X)
#undef X
};
static const uint8_t account_groups[] = {
    [CORE_ACCOUNT_STATE_NEW] = GROUP_FINAL,
#define X(state, name, group) [CORE_ACCOUNT_STATE_##state] = GROUP_##group,
    CORE_ACCOUNT_STATES(X)
#undef X
};

/* Rows are numbered from 1; 0 says that there is none. */
enum task_row {
    TASK_ROW_NONE,
#define X(from, record, to) TASK_ROW_##from##_##record,
    CORE_TASK_ROWS(X)
#undef X
    TASK_ROW_END
};
enum account_row {
    ACCOUNT_ROW_NONE,
#define X(from, record, to) ACCOUNT_ROW_##from##_##record,
    CORE_ACCOUNT_ROWS(X)
#undef X
    ACCOUNT_ROW_END
};
_Static_assert(TASK_ROW_END <= UINT8_MAX && ACCOUNT_ROW_END <= UINT8_MAX, "rows are indexed by a byte");

struct row {
    uint8_t from, record, to;
};
static const struct row task_rows[] = {
#define X(from, record, to)                                                                                            \
    [TASK_ROW_##from##_##record] = {CORE_TASK_STATE_##from, CORE_##record, CORE_TASK_STATE_##to},
    CORE_TASK_ROWS(X)
#undef X
};
static const struct row account_rows[] = {
#define X(from, record, to)                                                                                            \
    [ACCOUNT_ROW_##from##_##record] = {CORE_ACCOUNT_STATE_##from, CORE_##record, CORE_ACCOUNT_STATE_##to},
    CORE_ACCOUNT_ROWS(X)
#undef X
};
static const uint8_t task_row_of[CORE_TASK_STATE_COUNT][CORE_RECORD_COUNT] = {
#define X(from, record, to) [CORE_TASK_STATE_##from][CORE_##record] = TASK_ROW_##from##_##record,
    CORE_TASK_ROWS(X)
#undef X
};
static const uint8_t account_row_of[CORE_ACCOUNT_STATE_COUNT][CORE_RECORD_COUNT] = {
#define X(from, record, to) [CORE_ACCOUNT_STATE_##from][CORE_##record] = ACCOUNT_ROW_##from##_##record,
    CORE_ACCOUNT_ROWS(X)
#undef X
};
static uint64_t task_rows_taken[TASK_ROW_END];
static uint64_t account_rows_taken[ACCOUNT_ROW_END];

enum core_state_group core_task_group(enum core_task_state state)
{
    return task_groups[state];
}

enum core_state_group core_account_group(enum core_account_state state)
{
    return account_groups[state];
}

bool core_record_remark(enum core_record_kind kind)
{
    switch ((int)kind) {
#define X(record) case CORE_##record:
        CORE_REMARKS(X)
#undef X
        return true;
    default:
        return false;
    }
}

bool core_task_may(enum core_task_state from, enum core_record_kind kind)
{
    return core_record_remark(kind) || task_row_of[from][kind] != TASK_ROW_NONE;
}

bool core_account_may(enum core_account_state from, enum core_record_kind kind)
{
    return account_row_of[from][kind] != ACCOUNT_ROW_NONE;
}

/* People's totals count what a person would call a task: no templates, nothing of a list that was replaced. */
static bool counted(const struct core *core, uint32_t node)
{
    return !core_is_template(core, node) && (core->nodes[node].flags & NODE_SUPERSEDED) == 0;
}

void core_task_move(struct core *core, uint32_t node, enum core_record_kind kind, int64_t at_ms)
{
    struct node *item = &core->nodes[node];
    if (core_record_remark(kind))
        return;
    uint8_t row = task_row_of[item->state][kind];
    mf_assert(row != TASK_ROW_NONE);
    task_rows_taken[row]++;
    uint8_t from = item->state, to = task_rows[row].to;
    if (from == to)
        return;
    item->state = to;
    item->since_ms = at_ms;
    core->live += (uint32_t)(task_groups[to] == GROUP_LIVE) - (uint32_t)(task_groups[from] == GROUP_LIVE);
    core->open_nodes += (uint32_t)(task_groups[to] != GROUP_FINAL) - (uint32_t)(task_groups[from] != GROUP_FINAL);
    if (counted(core, node)) {
        core->node_totals[from]--;
        core->node_totals[to]++;
    }
}

void core_account_move(struct core *core, uint32_t account, enum core_record_kind kind, int64_t at_ms)
{
    struct account *item = core_account_at(core, account);
    uint8_t row = account_row_of[item->state][kind];
    mf_assert(row != ACCOUNT_ROW_NONE);
    account_rows_taken[row]++;
    uint8_t from = item->state, to = account_rows[row].to;
    if (from == to)
        return;
    item->state = to;
    item->since_ms = at_ms;
    core->open_accounts += (uint32_t)(account_groups[to] == GROUP_OPEN) - (uint32_t)(account_groups[from] == GROUP_OPEN);
    core->account_totals[from]--;
    core->account_totals[to]++;
}

bool core_task_row(uint32_t index, enum core_task_state *from, enum core_record_kind *record, enum core_task_state *to, uint64_t *taken)
{
    if (index + 1 >= TASK_ROW_END)
        return false;
    *from = task_rows[index + 1].from;
    *record = task_rows[index + 1].record;
    *to = task_rows[index + 1].to;
    *taken = task_rows_taken[index + 1];
    return true;
}

bool core_account_row(uint32_t index, enum core_account_state *from, enum core_record_kind *record, enum core_account_state *to, uint64_t *taken)
{
    if (index + 1 >= ACCOUNT_ROW_END)
        return false;
    *from = account_rows[index + 1].from;
    *record = account_rows[index + 1].record;
    *to = account_rows[index + 1].to;
    *taken = account_rows_taken[index + 1];
    return true;
}

/* --- names --- */

static const struct record_row {
    const char *name;
    uint8_t subject, facts[4];
} records[] = {
#define X(kind, name, subject, f0, f1, f2, f3)                                                                         \
    [CORE_##kind] = {name, CORE_SUBJECT_##subject, {CORE_FACT_##f0, CORE_FACT_##f1, CORE_FACT_##f2, CORE_FACT_##f3}},
    CORE_RECORDS(X)
#undef X
};
static const char *const class_names[] = {
#define X(class, name) [CORE_CLASS_##class] = name,
    CORE_CLASSES(X)
#undef X
};
static const char *const stage_names[] = {
#define X(stage, name) [CORE_STAGE_##stage] = name,
    CORE_STAGES(X)
#undef X
};
static const char *const stop_names[] = {
#define X(stop, name) [CORE_STOP_##stop] = name,
    CORE_STOPS(X)
#undef X
};
static const char *const drain_names[] = {
#define X(drain, name) [CORE_DRAIN_##drain] = name,
    CORE_DRAINS(X)
#undef X
};
static const char *const command_names[] = {
#define X(command, name) [CORE_COMMAND_##command] = name,
    CORE_COMMANDS(X)
#undef X
};
static const char *const fact_names[] = {
    [CORE_FACT_NONE] = "none",
#define X(fact, name) [CORE_FACT_##fact] = name,
    CORE_FACTS(X)
#undef X
};

#define NAME_OF(names, index) ((size_t)(index) < sizeof(names) / sizeof *(names) ? (names)[index] : "?")

const char *core_task_state_name(enum core_task_state state)
{
    return NAME_OF(task_state_names, state);
}

const char *core_account_state_name(enum core_account_state state)
{
    return NAME_OF(account_state_names, state);
}

const char *core_class_name(enum core_class class)
{
    return NAME_OF(class_names, class);
}

const char *core_stage_name(enum core_stage stage)
{
    return NAME_OF(stage_names, stage);
}

const char *core_stop_name(enum core_stop stop)
{
    return NAME_OF(stop_names, stop);
}

const char *core_drain_name(enum core_drain drain)
{
    return NAME_OF(drain_names, drain);
}

const char *core_record_name(enum core_record_kind kind)
{
    return (size_t)kind < CORE_RECORD_COUNT ? records[kind].name : "?";
}

const char *core_command_name(enum core_command_kind kind)
{
    return NAME_OF(command_names, kind);
}

const char *core_fact_name(enum core_fact fact)
{
    return NAME_OF(fact_names, fact);
}

enum core_subject core_record_subject(enum core_record_kind kind)
{
    mf_assert((size_t)kind < CORE_RECORD_COUNT);
    return records[kind].subject;
}

enum core_fact core_record_fact(enum core_record_kind kind, uint32_t place)
{
    mf_assert((size_t)kind < CORE_RECORD_COUNT);
    return place < 4 ? records[kind].facts[place] : CORE_FACT_NONE;
}

int core_record_kind_of(const char *name)
{
    for (int kind = 0; kind < CORE_RECORD_COUNT; kind++)
        if (strcmp(records[kind].name, name) == 0)
            return kind;
    return -1;
}

int core_class_of(const char *name)
{
    for (int class = 0; class < CORE_CLASS_COUNT; class++)
        if (strcmp(class_names[class], name) == 0)
            return class;
    return -1;
}

bool core_task_final(enum core_task_state state)
{
    return task_groups[state] == GROUP_FINAL;
}
