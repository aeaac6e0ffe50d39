/* progress.c - plain lines and JSON events; the board has a file of its own */
#include "app/progress.h"

#include "app/progress_private.h"
#include "base/alloc.h"
#include "json/write.h"

#include <string.h>

#define COLOUR(progress, code) ((progress)->colour ? (code) : "")

struct progress *progress_create(enum progress_kind kind, FILE *out, bool colour)
{
    struct progress *progress = mf_calloc(1, sizeof *progress);
    if (progress == NULL)
        return NULL;
    progress->kind = kind;
    progress->out = out;
    progress->colour = colour;
    return progress;
}

void progress_destroy(struct progress *progress)
{
    if (progress != NULL)
        mf_free(progress->exits);
    mf_free(progress);
}

/* --- plain --- */

static void stamp(const struct progress *progress, struct app *app)
{
    char since[24];
    fprintf(progress->out, "%s%7s%s  ", COLOUR(progress, "\033[2m"),
            mf_format_duration(app_now(app) - progress->opened_ms, since), COLOUR(progress, "\033[0m"));
}

static void plain_opened(void *context, struct app *app)
{
    struct progress *progress = context;
    const char *name = app_run_name(app);
    progress->opened_ms = app_now(app);
    fprintf(progress->out, "run %s%s%s  %u tasks, %u at a time\n", app_run_id(app), name[0] != '\0' ? "  " : "", name,
            graph_task_count(app_graph(app)), app_running_max(app));
    fflush(progress->out);
}

struct progress_exit *progress_exit_of(struct progress *progress, uint32_t node)
{
    size_t before = progress->exit_capacity;
    if (mf_grow((void **)&progress->exits, &progress->exit_capacity, (size_t)node + 1, sizeof *progress->exits, 64) !=
        0)
        return NULL;
    if (progress->exit_capacity > before)
        memset(progress->exits + before, 0, (progress->exit_capacity - before) * sizeof *progress->exits);
    return &progress->exits[node];
}

/* How the last stage ended: a signal wins, then the exit status. */
static void remember_exit(struct progress *progress, const struct core_record *record)
{
    struct progress_exit *exit = progress_exit_of(progress, record->node);
    if (exit != NULL)
        *exit = (struct progress_exit){
            .known = true, .code = (int32_t)record->facts[1], .signal_number = (int32_t)record->facts[2]};
}

static void forget_exit(struct progress *progress, uint32_t node)
{
    struct progress_exit *exit = progress_exit_of(progress, node);
    if (exit != NULL)
        exit->known = false;
}

static void exit_suffix(struct progress *progress, uint32_t node, struct mf_buf *out)
{
    struct progress_exit *exit = progress_exit_of(progress, node);
    if (exit == NULL || !exit->known || (exit->code == 0 && exit->signal_number == 0))
        return;
    if (exit->signal_number != 0)
        mf_buf_printf(out, ": signal %d", exit->signal_number);
    else
        mf_buf_printf(out, ": exit %d", exit->code);
}

/* "; 12 requests, 3400 tokens, $0.051000": what an attempt used of services. */
static void usage_suffix(struct app *app, const struct core_record *record, uint32_t attempt, struct mf_buf *out)
{
    uint64_t requests, tokens;
    int64_t micro_usd;
    char usd[32];
    app_spent(app, record->node, attempt, &requests, &tokens, &micro_usd);
    if (requests == 0)
        return;
    mf_buf_printf(out, "; %llu requests, %llu tokens", (unsigned long long)requests, (unsigned long long)tokens);
    if (micro_usd > 0)
        mf_buf_printf(out, ", $%s", usd_text(micro_usd, usd));
}

static void describe_end(struct progress *progress, struct app *app, const struct core_record *record,
                         struct mf_buf *out)
{
    const struct core_node_view *view = &progress->view;
    char text[24];
    (void)app;
    switch ((int)record->kind) {
    case CORE_TASK_SUCCEEDED:
        mf_buf_text(out, "succeeded");
        break;
    case CORE_TASK_BACKOFF:
        mf_buf_printf(out, "failed (%s)", core_class_name((enum core_class)record->facts[1]));
        exit_suffix(progress, record->node, out);
        mf_buf_printf(
            out, "; attempt %u in %s", view->attempt + 1,
            mf_format_duration(record->facts[2] > record->at_ms ? record->facts[2] - record->at_ms : 0, text));
        break;
    case CORE_TASK_FAILED:
    case CORE_TASK_TIMED_OUT:
        mf_buf_text(out, record->kind == CORE_TASK_FAILED ? "failed" : "timed out");
        if (record->facts[1] != CORE_CLASS_NONE) /* a template has none: its instances have */
            mf_buf_printf(out, " (%s)", core_class_name((enum core_class)record->facts[1]));
        exit_suffix(progress, record->node, out);
        break;
    case CORE_TASK_CANCELLED:
        mf_buf_text(out, "cancelled");
        break;
    case CORE_TASK_SKIPPED:
        mf_buf_printf(out, "skipped: `%s` did not end as needed",
                      record->facts[0] >= 0 && record->facts[0] < (int64_t)core_node_count(app_core(app))
                          ? app_node_path(app, (uint32_t)record->facts[0])
                          : "?");
        break;
    default:
        break;
    }
}

bool progress_describe(struct progress *progress, struct app *app, const struct core_record *record, struct mf_buf *out)
{
    char tag[96];
    if (record->node != CORE_NONE)
        core_node(app_core(app), record->node, &progress->view);
    switch ((int)record->kind) {
    case CORE_TASK_EXITED:
        remember_exit(progress, record);
        return false;
    case CORE_TASK_SPAWN:
        forget_exit(progress, record->node);
        return false;
    case CORE_TASK_STARTED:
        mf_buf_text(out, record->facts[0] == CORE_STAGE_VERIFY ? "verifying" : "started");
        return true;
    case CORE_TASK_EXPANDED:
        mf_buf_printf(out, "expanded to %lld", (long long)record->facts[0]);
        return true;
    case CORE_TASK_STOP:
        mf_buf_printf(out, "stopping (%s)%s", core_stop_name((enum core_stop)record->facts[0]),
                      record->facts[1] > 1 ? ": killed" : "");
        return true;
    case CORE_ACCOUNT_UNKNOWN:
    case CORE_ACCOUNT_LEAKED:
        app_tag(app, record->account, tag, sizeof tag);
        mf_buf_printf(out,
                      record->kind == CORE_ACCOUNT_LEAKED ? "account %s LEAKED"
                                                          : "account %s: an answer was lost, looking for it",
                      tag);
        return true;
    case CORE_RUN_DRAINING:
        mf_buf_printf(out, "nothing new starts (%s)", core_drain_name((enum core_drain)record->facts[0]));
        return record->facts[0] != CORE_DRAIN_SIGNAL; /* a note has said it */
    case CORE_TASK_VIOLATION:
        mf_buf_text(out, "VIOLATION");
        return true;
    case CORE_TASK_ANOMALY:
    case CORE_RUN_ANOMALY:
        mf_buf_text(out, "anomaly");
        return true;
    default:
        describe_end(progress, app, record, out);
        if (out->length > 0 && record->kind != CORE_TASK_SKIPPED)
            usage_suffix(app, record, (uint32_t)record->facts[0], out);
        return out->length > 0;
    }
}

static const char *line_colour(const struct core_record *record)
{
    switch ((int)record->kind) {
    case CORE_TASK_SUCCEEDED:
        return "\033[32m";
    case CORE_TASK_FAILED:
    case CORE_TASK_TIMED_OUT:
    case CORE_ACCOUNT_LEAKED:
    case CORE_TASK_VIOLATION:
        return "\033[31m";
    case CORE_TASK_BACKOFF:
    case CORE_TASK_STOP:
    case CORE_TASK_SKIPPED:
    case CORE_ACCOUNT_UNKNOWN:
    case CORE_TASK_ANOMALY:
    case CORE_RUN_ANOMALY:
        return "\033[33m";
    default:
        return "";
    }
}

void progress_line(struct progress *progress, struct app *app, const struct core_record *record, struct mf_span extra)
{
    struct mf_buf text, reason;
    mf_buf_init(&text, 2048);
    mf_buf_init(&reason, 2048);
    if (progress_describe(progress, app, record, &text)) {
        extra_member(extra, "anomaly", &reason);
        if (reason.length > 0)
            mf_buf_text(&reason, ": ");
        extra_member(extra, reason.length > 0 ? "detail" : "reason", &reason);
        stamp(progress, app);
        if (record->node != CORE_NONE)
            fprintf(progress->out, "%-24s ", app_node_path(app, record->node));
        fprintf(progress->out, "%s%s%s%s%s\n", progress->colour ? line_colour(record) : "", mf_buf_cstr(&text),
                COLOUR(progress, "\033[0m"), reason.length > 0 ? ": " : "", mf_buf_cstr(&reason));
    }
    mf_buf_free(&text);
    mf_buf_free(&reason);
}

static void plain_record(void *context, struct app *app, const struct core_record *record, struct mf_span extra)
{
    struct progress *progress = context;
    progress_line(progress, app, record, extra);
    fflush(progress->out);
}

void progress_note_line(struct progress *progress, struct app *app, const char *text)
{
    struct mf_buf shown;
    mf_buf_init(&shown, 4096);
    json_escape_shown(&shown, mf_span(text), 600);
    if (progress->opened_ms != 0)
        stamp(progress, app);
    fprintf(progress->out, "%s\n", mf_buf_cstr(&shown));
    mf_buf_free(&shown);
}

static void plain_note(void *context, struct app *app, const char *text)
{
    struct progress *progress = context;
    progress_note_line(progress, app, text);
    fflush(progress->out);
}

/* --- JSON --- */

static void put_line(struct progress *progress, struct mf_buf *line)
{
    mf_buf_char(line, '\n');
    if (!line->failed)
        fwrite(line->data, 1, line->length, progress->out);
    fflush(progress->out);
    mf_buf_free(line);
}

static void json_opened(void *context, struct app *app)
{
    struct progress *progress = context;
    struct mf_buf line;
    struct json_writer writer;
    progress->opened_ms = app_now(app);
    mf_buf_init(&line, 65536);
    json_begin(&writer, &line);
    json_open_object(&writer);
    json_member_string(&writer, "type", "run");
    json_member_i64(&writer, "at_ms", app_now(app));
    json_member_u64(&writer, "mayfly", 1);
    json_member_string(&writer, "run", app_run_id(app));
    json_member_string(&writer, "name", app_run_name(app));
    json_member_string(&writer, "directory", app_run_dir(app));
    json_member_u64(&writer, "tasks", graph_task_count(app_graph(app)));
    json_close_object(&writer);
    put_line(progress, &line);
}

static void json_fact(struct json_writer *writer, enum core_fact fact, int64_t value)
{
    const char *name = core_fact_name(fact);
    switch ((int)fact) {
    case CORE_FACT_NONE:
        break;
    case CORE_FACT_CLASS:
        json_member_string(writer, name, core_class_name((enum core_class)value));
        break;
    case CORE_FACT_STAGE:
        json_member_string(writer, name, core_stage_name((enum core_stage)value));
        break;
    case CORE_FACT_STOP:
        json_member_string(writer, name, core_stop_name((enum core_stop)value));
        break;
    case CORE_FACT_DRAIN:
        json_member_string(writer, name, core_drain_name((enum core_drain)value));
        break;
    default:
        json_member_i64(writer, name, value);
    }
}

static void json_record(void *context, struct app *app, const struct core_record *record, struct mf_span extra)
{
    struct progress *progress = context;
    struct mf_buf line;
    struct json_writer writer;
    char tag[96];
    mf_buf_init(&line, 65536);
    json_begin(&writer, &line);
    json_open_object(&writer);
    json_member_string(&writer, "type", core_record_name(record->kind));
    json_member_i64(&writer, "at_ms", record->at_ms);
    json_member_u64(&writer, "seq", record->seq);
    if (record->node != CORE_NONE && core_record_subject(record->kind) == CORE_SUBJECT_TASK)
        json_member_string(&writer, "task", app_node_path(app, record->node));
    if (core_record_subject(record->kind) == CORE_SUBJECT_ACCOUNT) {
        app_tag(app, record->account, tag, sizeof tag);
        json_member_string(&writer, "account", tag);
    }
    for (uint32_t place = 0; place < 4; place++)
        json_fact(&writer, core_record_fact(record->kind, place), record->facts[place]);
    if (extra.length > 0) {
        mf_buf_char(&line, ',');
        mf_buf_span(&line, extra);
    }
    json_close_object(&writer);
    put_line(progress, &line);
}

static void json_note(void *context, struct app *app, const char *text)
{
    struct progress *progress = context;
    struct mf_buf line;
    struct json_writer writer;
    mf_buf_init(&line, 65536);
    json_begin(&writer, &line);
    json_open_object(&writer);
    json_member_string(&writer, "type", "note");
    json_member_i64(&writer, "at_ms", app_now(app));
    json_member_string(&writer, "text", text);
    json_close_object(&writer);
    put_line(progress, &line);
}

static void json_closed(void *context, struct app *app, const struct app_receipt *receipt)
{
    struct progress *progress = context;
    struct mf_buf line;
    mf_buf_init(&line, 65536);
    receipt_json(&line, app, receipt);
    put_line(progress, &line);
}

struct app_observer progress_observer(struct progress *progress)
{
    switch (progress->kind) {
    case PROGRESS_PLAIN:
        return (struct app_observer){
            .opened = plain_opened, .record = plain_record, .note = plain_note, .context = progress};
    case PROGRESS_JSON:
        return (struct app_observer){.opened = json_opened,
                                     .record = json_record,
                                     .note = json_note,
                                     .closed = json_closed,
                                     .context = progress};
    case PROGRESS_BOARD:
        return board_observer(progress);
    }
    return (struct app_observer){0};
}
