/* report.c - collects times and reasons while the run goes on, writes when it is closed */
#include "report/report_private.h"

#include "app/progress.h"
#include "base/alloc.h"

#include <string.h>

static struct report_node *node_at(struct report *report, uint32_t node)
{
    size_t before = report->node_capacity;
    if (mf_grow((void **)&report->nodes, &report->node_capacity, (size_t)node + 1, sizeof *report->nodes, 64) != 0)
        return NULL;
    if (report->node_capacity > before)
        memset(report->nodes + before, 0, (report->node_capacity - before) * sizeof *report->nodes);
    return &report->nodes[node];
}

const struct report_node *report_node_of(struct report *report, uint32_t node)
{
    static const struct report_node nothing;
    return node < report->node_capacity ? &report->nodes[node] : &nothing;
}

static void keep_reason(struct report_node *node, struct mf_span extra)
{
    struct mf_buf reason;
    mf_buf_init(&reason, 4096);
    extra_reason(extra, &reason);
    if (reason.length > 0) {
        mf_free(node->reason);
        node->reason = mf_buf_take(&reason);
    }
    mf_buf_free(&reason);
}

static void on_record(void *context, struct app *app, const struct core_record *record, struct mf_span extra)
{
    struct report *report = context;
    (void)app;
    if (record->node == CORE_NONE || core_record_subject(record->kind) != CORE_SUBJECT_TASK)
        return;
    struct report_node *node = node_at(report, record->node);
    if (node == NULL)
        return;
    if (node->first_ms == 0 &&
        (record->kind == CORE_TASK_PREPARE || record->kind == CORE_TASK_PROVISION || record->kind == CORE_TASK_SPAWN))
        node->first_ms = record->at_ms;
    node->last_ms = record->at_ms;
    if (record->kind == CORE_TASK_EXITED && (record->facts[1] != 0 || record->facts[2] != 0)) {
        struct mf_buf text;
        mf_buf_init(&text, 64);
        exit_text(record, &text);
        mf_free(node->reason);
        node->reason = mf_buf_take(&text);
    }
    keep_reason(node, extra);
}

static void on_closed(void *context, struct app *app, const struct app_receipt *receipt)
{
    struct report *report = context;
    report->write(report, app, receipt);
}

bool report_is_error(const struct core_node_view *view)
{
    return view->class == CORE_CLASS_INFRASTRUCTURE || view->class == CORE_CLASS_REFUSED ||
           view->class == CORE_CLASS_SETUP;
}

void report_outcome(struct report *report, struct app *app, uint32_t node, struct mf_buf *out)
{
    struct core_node_view view = {0};
    core_node(app_core(app), node, &view);
    const char *reason = report_node_of(report, node)->reason;
    mf_buf_text(out, core_task_state_name(view.state));
    if (view.class != CORE_CLASS_NONE)
        mf_buf_printf(out, " (%s)", core_class_name(view.class));
    if (reason != NULL)
        mf_buf_printf(out, ": %s", reason);
}

void report_destroy(struct report *report)
{
    if (report == NULL)
        return;
    for (size_t i = 0; i < report->node_capacity; i++)
        mf_free(report->nodes[i].reason);
    mf_free(report->nodes);
    mf_free(report->path);
    mf_free(report);
}

struct app_observer report_observer(struct report *report)
{
    return (struct app_observer){.record = on_record, .closed = on_closed, .context = report};
}
