/*
 * github.c - annotations and step summary where GITHUB_ACTIONS is set
 *
 * At most ten errors are shown for a step, so nine tasks and one line that counts the rest. The summary is Markdown of at most 1 MiB.
 */
#include "report/report_private.h"

#include "base/alloc.h"

#include <stdlib.h>

#define ANNOTATIONS_MAX 9u
#define SUMMARY_ROWS_MAX 2000u

/* Workflow commands: % CR LF are escaped in messages. */
static void write_message(FILE *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '%')
            fputs("%25", out);
        else if (*at == '\r')
            fputs("%0D", out);
        else if (*at == '\n')
            fputs("%0A", out);
        else
            fputc(*at, out);
    }
}

static void write_cell(FILE *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '|' || *at == '\\' || *at == '`' || *at == '<' || *at == '*' || *at == '_' || *at == '[')
            fputc('\\', out);
        fputc(*at == '\n' || *at == '\r' ? ' ' : *at, out);
    }
}

static bool failed(const struct core_node_view *view)
{
    return view->state == CORE_TASK_STATE_FAILED || view->state == CORE_TASK_STATE_TIMED_OUT;
}

static void annotate(struct report *report, struct app *app)
{
    uint32_t shown = 0, hidden = 0;
    for (uint32_t node = 0; node < core_node_count(app_core(app)); node++) {
        struct core_node_view view;
        struct mf_buf text;
        if (!core_node(app_core(app), node, &view) || !failed(&view))
            continue;
        if (shown == ANNOTATIONS_MAX) {
            hidden++;
            continue;
        }
        shown++;
        mf_buf_init(&text, 8192);
        report_outcome(report, app, node, &text);
        fputs("::error title=mayfly::", report->out);
        write_message(report->out, app_node_path(app, node));
        fputc(' ', report->out);
        write_message(report->out, mf_buf_cstr(&text));
        fputc('\n', report->out);
        mf_buf_free(&text);
    }
    if (hidden > 0)
        fprintf(report->out, "::error title=mayfly::and %u more tasks did not succeed\n", hidden);
    fflush(report->out);
}

static void write_rows(struct report *report, struct app *app, FILE *file)
{
    uint32_t rows = 0;
    for (uint32_t node = 0; node < core_node_count(app_core(app)) && rows < SUMMARY_ROWS_MAX; node++) {
        struct mf_buf text;
        mf_buf_init(&text, 8192);
        report_outcome(report, app, node, &text);
        fputs("| ", file);
        write_cell(file, app_node_path(app, node));
        fputs(" | ", file);
        write_cell(file, mf_buf_cstr(&text));
        fputs(" |\n", file);
        mf_buf_free(&text);
        rows++;
    }
}

static void summarise(struct report *report, struct app *app, const struct app_receipt *receipt)
{
    const char *path = getenv("GITHUB_STEP_SUMMARY");
    FILE *file = path != NULL ? fopen(path, "ae") : NULL;
    if (file == NULL)
        return;
    fprintf(file,
            "### mayfly run %s\n\n%u accounts created = %u gone + %u expired + %u expiring + %u claimable + %u "
            "leaked\n\n| task | outcome |\n|---|---|\n",
            app_run_id(app), receipt->created, receipt->gone, receipt->expired, receipt->expiring, receipt->claimable,
            receipt->leaked);
    write_rows(report, app, file);
    fclose(file);
}

static void write_report(struct report *report, struct app *app, const struct app_receipt *receipt)
{
    annotate(report, app);
    if (receipt->leaked > 0)
        fprintf(report->out, "::error title=mayfly::%u accounts may still exist; run mayfly teardown %s\n",
                receipt->leaked, app_run_id(app));
    summarise(report, app, receipt);
}

struct report *report_github_create(FILE *out)
{
    struct report *report = mf_calloc(1, sizeof *report);
    if (report == NULL)
        return NULL;
    report->write = write_report;
    report->out = out;
    return report;
}
