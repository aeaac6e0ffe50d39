/* show.c - mayfly show: one run with its tasks, its accounts and its receipt; or a state machine as a graph */
#include "cmd/commands.h"
#include "cmd/read.h"
#include "cmd/table.h"
#include "core/states.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

#define JSON_BYTES_MAX (1u << 30)

/* --- the machines --- */

#define X(from, record, to) "  \"" #from "\" -> \"" #to "\" [label=\"" #record "\"];\n",
static const char *const task_lines[] = {CORE_TASK_ROWS(X)};
static const char *const account_lines[] = {CORE_ACCOUNT_ROWS(X)};
#undef X

static void print_lines(const char *name, const char *const *lines, size_t count)
{
    printf("digraph %s {\n", name);
    for (size_t i = 0; i < count; i++)
        fputs(lines[i], stdout);
    puts("}");
}

static int show_machine(const char *name)
{
    if (strcmp(name, "task") == 0)
        print_lines(name, task_lines, sizeof task_lines / sizeof task_lines[0]);
    else if (strcmp(name, "account") == 0)
        print_lines(name, account_lines, sizeof account_lines / sizeof account_lines[0]);
    else
        return read_fail(&(struct mf_error){.code = MF_USAGE, .text = "--machine: there are two: task and account"});
    return 0;
}

/* --- for people --- */

/* What a person wants to know of a task beside its state: why it failed, how it ended. */
static void describe(const struct view_task *task, struct mf_buf *out)
{
    bool failed = task->state == CORE_TASK_STATE_FAILED || task->state == CORE_TASK_STATE_TIMED_OUT ||
                  task->state == CORE_TASK_STATE_BACKOFF;
    if (failed)
        mf_buf_text(out, task->class != CORE_CLASS_NONE ? view_class_name(task->class) : "");
    if (failed && task->exited && task->signal != 0)
        mf_buf_printf(out, ": signal %d", task->signal);
    else if (failed && task->exited && task->code != 0)
        mf_buf_printf(out, ": exit %d", task->code);
    if (task->reason != NULL)
        mf_buf_printf(out, "%s%s", out->length > 0 ? ": " : "", task->reason);
    if (task->stale)
        mf_buf_printf(out, "%sstale", out->length > 0 ? ", " : "");
}

static int64_t took_ms(const struct view_task *task, int64_t now_ms)
{
    if (task->started_ms == 0)
        return 0;
    return (view_task_final(task->state) ? task->since_ms : now_ms) - task->started_ms;
}

static int print_tasks(const struct view *view, struct mf_error *error)
{
    struct table *table;
    struct mf_buf why;
    if (table_create(&table, "TASK STATE ATTEMPT> TOOK> WHY", error) != 0)
        return -1;
    mf_buf_init(&why, 4096);
    for (uint32_t node = 0; node < view_task_count(view); node++) {
        const struct view_task *task = view_task(view, node);
        char took[24];
        if (!task->known)
            continue;
        mf_buf_clear(&why);
        describe(task, &why);
        table_cell(table, "%s", task->path);
        table_state(table, view_task_state_name(task->state));
        table_cell(table, task->attempt > 0 ? "%u" : "-", task->attempt);
        table_cell(table, "%s", task->started_ms > 0 ? mf_format_duration(took_ms(task, read_now_ms()), took) : "-");
        table_cell(table, "%s", mf_buf_cstr(&why));
    }
    int status = table_print(table, stdout, error);
    mf_buf_free(&why);
    table_destroy(table);
    return status;
}

static void print_head(const struct reader *reader)
{
    const struct view_run *run = view_run(reader->view);
    const char *state = reader_state(reader);
    char opened[32], took[24];
    bool colour = table_colour(stdout);
    int64_t end_ms = reader->locked ? read_now_ms() : run->last_ms;
    printf("run       %s%s%.*s  %s%s%s", reader->id, run->name.length > 0 ? "  " : "", MF_SPAN_ARGS(run->name),
           colour ? table_colour_of(state) : "", state, colour ? "\033[0m" : "");
    if (run->settled)
        printf(", exit %d", run->exit_code);
    printf("\nopened    %s, took %s\n", read_clock(run->opened_ms, opened),
           mf_format_duration(end_ms - run->opened_ms, took));
    printf("graph     %.*s\n\n", MF_SPAN_ARGS(run->graph_path));
}

static void print_receipt(const struct reader *reader)
{
    struct view_totals totals;
    view_totals(reader->view, &totals);
    printf("\ntasks     %u", totals.task_count);
    const char *before = ": ";
    for (int state = 0; state < CORE_TASK_STATE_COUNT; state++) {
        if (totals.tasks[state] == 0)
            continue;
        printf("%s%u %s", before, totals.tasks[state], view_task_state_name((enum core_task_state)state));
        before = ", ";
    }
    const uint32_t *accounts = totals.accounts;
    printf("\naccounts  %u created = %u gone + %u expired + %u expiring + %u claimable + %u leaked", totals.created,
           accounts[CORE_ACCOUNT_STATE_GONE], accounts[CORE_ACCOUNT_STATE_EXPIRED],
           accounts[CORE_ACCOUNT_STATE_EXPIRING], accounts[CORE_ACCOUNT_STATE_CLAIMABLE],
           accounts[CORE_ACCOUNT_STATE_LEAKED]);
    if (totals.open > 0)
        printf(" + %u open", totals.open);
    putchar('\n');
    if (totals.created > 0)
        printf("check     mayfly accounts %s\n", reader->id);
    if (accounts[CORE_ACCOUNT_STATE_LEAKED] > 0 || (totals.open > 0 && !reader->locked))
        printf("next      mayfly teardown %s\n", reader->id);
}

/* --- for programs --- */

static void json_task(struct json_writer *writer, const struct view *view, uint32_t node)
{
    const struct view_task *task = view_task(view, node);
    json_open_object(writer);
    json_member_string(writer, "task", task->path);
    json_member_string(writer, "state", view_task_state_name(task->state));
    json_member_bool(writer, "template", task->is_template);
    if (task->template_node != CORE_NONE && task->template_node < view_task_count(view))
        json_member_string(writer, "of", view_task(view, task->template_node)->path);
    json_member_u64(writer, "attempt", task->attempt);
    json_member_i64(writer, "since_ms", task->since_ms);
    json_member_i64(writer, "started_ms", task->started_ms);
    if (task->class != CORE_CLASS_NONE)
        json_member_string(writer, "class", view_class_name(task->class));
    if (task->exited) {
        json_member_i64(writer, "code", task->code);
        json_member_i64(writer, "signal", task->signal);
    }
    json_member_bool(writer, "stale", task->stale);
    if (task->reason != NULL)
        json_member_string(writer, "reason", task->reason);
    json_close_object(writer);
}

static void json_totals(struct json_writer *writer, const struct view *view)
{
    struct view_totals totals;
    view_totals(view, &totals);
    json_key(writer, "totals");
    json_open_object(writer);
    json_key(writer, "tasks");
    json_open_object(writer);
    for (int state = 0; state < CORE_TASK_STATE_COUNT; state++)
        if (totals.tasks[state] > 0 || view_task_final((enum core_task_state)state))
            json_member_u64(writer, view_task_state_name((enum core_task_state)state), totals.tasks[state]);
    json_close_object(writer);
    json_key(writer, "accounts");
    json_open_object(writer);
    json_member_u64(writer, "created", totals.created);
    json_member_u64(writer, "open", totals.open);
    for (int state = CORE_ACCOUNT_STATE_NEW + 1; state < CORE_ACCOUNT_STATE_COUNT; state++)
        json_member_u64(writer, view_account_state_name((enum core_account_state)state), totals.accounts[state]);
    json_close_object(writer);
    json_close_object(writer);
}

static int show_json(const struct reader *reader, struct mf_error *error)
{
    const struct view_run *run = view_run(reader->view);
    struct mf_buf out;
    struct json_writer writer;
    mf_buf_init(&out, JSON_BYTES_MAX);
    json_begin(&writer, &out);
    json_open_object(&writer);
    json_member_i64(&writer, "mayfly", 1);
    json_member_string(&writer, "run", reader->id);
    json_member_span(&writer, "name", run->name);
    json_member_string(&writer, "state", reader_state(reader));
    json_member_span(&writer, "owner", run->owner);
    json_member_span(&writer, "graph", run->graph_path);
    json_member_string(&writer, "directory", reader->dir);
    json_member_i64(&writer, "opened_ms", run->opened_ms);
    json_member_i64(&writer, "last_ms", run->last_ms);
    if (run->settled)
        json_member_i64(&writer, "exit", run->exit_code);
    json_totals(&writer, reader->view);
    json_key(&writer, "tasks");
    json_open_array(&writer);
    for (uint32_t node = 0; node < view_task_count(reader->view); node++)
        if (view_task(reader->view, node)->known)
            json_task(&writer, reader->view, node);
    json_close_array(&writer);
    json_close_object(&writer);
    int status = out.failed ? mf_fail(error, MF_MEMORY, "show: no memory") : 0;
    if (status == 0)
        puts(mf_buf_cstr(&out));
    mf_buf_free(&out);
    return status;
}

static int show(const struct reader *reader, bool json, struct mf_error *error)
{
    if (json)
        return show_json(reader, error);
    print_head(reader);
    if (print_tasks(reader->view, error) != 0)
        return -1;
    print_receipt(reader);
    return 0;
}

int cmd_show(const struct options *options)
{
    struct mf_error error = {0};
    struct reader reader;
    if (option_set(options, "machine"))
        return show_machine(option_value(options, "machine"));
    int status = reader_open(&reader, options, options->argument_count > 0 ? options->arguments[0] : "last", &error);
    if (status == 0) {
        reader_notice(&reader);
        status = show(&reader, option_set(options, "json"), &error);
    }
    reader_close(&reader);
    return status == 0 ? 0 : read_fail(&error);
}
