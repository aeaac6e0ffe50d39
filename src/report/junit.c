/*
 * junit.c - JUnit XML: one testcase for each task and instance
 *
 * failure = the agent's task failed, error = provisioning or infrastructure, skipped = a need was not met. Characters that XML 1.0
 * forbids are dropped: one escape character makes parsers reject the whole file. Names are unique, because readers drop duplicates.
 */
#include "report/report_private.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void write_escaped(FILE *file, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        bool allowed = *at >= 0x20 || *at == '\t' || *at == '\n';
        bool noncharacter = at[0] == 0xef && at[1] == 0xbf && (at[2] == 0xbe || at[2] == 0xbf); /* U+FFFE, U+FFFF */
        if (noncharacter)
            at += 2;
        else if (*at == '&')
            fputs("&amp;", file);
        else if (*at == '<')
            fputs("&lt;", file);
        else if (*at == '>')
            fputs("&gt;", file);
        else if (*at == '"')
            fputs("&quot;", file);
        else if (allowed)
            fputc(*at, file);
    }
}

struct counts {
    uint32_t tests, failures, errors, skipped;
    int64_t total_ms;
};

static bool template_node(const struct app *app, uint32_t node)
{
    return node < graph_task_count(app_graph(app)) && graph_tasks(app_graph(app))[node].for_each;
}

static struct counts count(struct report *report, struct app *app)
{
    struct counts counts = {0};
    for (uint32_t node = 0; node < core_node_count(app_core(app)); node++) {
        struct core_node_view view;
        if (template_node(app, node) || !core_node(app_core(app), node, &view))
            continue;
        const struct report_node *times = report_node_of(report, node);
        counts.tests++;
        counts.total_ms += times->first_ms > 0 ? times->last_ms - times->first_ms : 0;
        if (view.state == CORE_TASK_STATE_SKIPPED || view.state == CORE_TASK_STATE_CANCELLED)
            counts.skipped++;
        else if (view.state != CORE_TASK_STATE_SUCCEEDED && report_is_error(&view))
            counts.errors++;
        else if (view.state != CORE_TASK_STATE_SUCCEEDED)
            counts.failures++;
    }
    return counts;
}

static void write_case(struct report *report, struct app *app, FILE *file, uint32_t node)
{
    struct core_node_view view;
    if (template_node(app, node) || !core_node(app_core(app), node, &view))
        return;
    const struct report_node *times = report_node_of(report, node);
    struct mf_buf outcome;
    mf_buf_init(&outcome, 8192);
    report_outcome(report, app, node, &outcome);
    fputs("    <testcase classname=\"mayfly\" name=\"", file);
    write_escaped(file, app_node_path(app, node));
    fprintf(file, "\" time=\"%.3f\"", times->first_ms > 0 ? (double)(times->last_ms - times->first_ms) / 1000.0 : 0.0);
    const char *element = view.state == CORE_TASK_STATE_SUCCEEDED                                            ? NULL
                          : view.state == CORE_TASK_STATE_SKIPPED || view.state == CORE_TASK_STATE_CANCELLED ? "skipped"
                          : report_is_error(&view)                                                           ? "error"
                                                   : "failure";
    if (element == NULL) {
        fputs("/>\n", file);
    } else {
        fprintf(file, "><%s message=\"", element);
        write_escaped(file, mf_buf_cstr(&outcome));
        fprintf(file, "\"/></testcase>\n");
    }
    mf_buf_free(&outcome);
}

static void write_file(struct report *report, struct app *app, FILE *file)
{
    struct counts counts = count(report, app);
    char stamp[32];
    mf_format_rfc3339(app_opened_ms(app) / 1000 * 1000, stamp);
    stamp[strcspn(stamp, "Z")] = '\0'; /* without zone: the form that all readers take */
    fprintf(file, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    for (int level = 0; level < 2; level++) {
        fprintf(file, "%s<%s name=\"", level == 0 ? "" : "  ", level == 0 ? "testsuites" : "testsuite");
        write_escaped(file, app_run_name(app)[0] != '\0' ? app_run_name(app) : app_run_id(app));
        fprintf(file, "\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.3f\" timestamp=\"%s\">\n",
                counts.tests, counts.failures, counts.errors, counts.skipped, (double)counts.total_ms / 1000.0, stamp);
    }
    for (uint32_t node = 0; node < core_node_count(app_core(app)); node++)
        write_case(report, app, file, node);
    fprintf(file, "  </testsuite>\n</testsuites>\n");
}

static void write_report(struct report *report, struct app *app, const struct app_receipt *receipt)
{
    (void)receipt;
    char temporary[4096];
    int length = snprintf(temporary, sizeof temporary, "%s.part", report->path);
    FILE *file = length > 0 && (size_t)length < sizeof temporary ? fopen(temporary, "we") : NULL;
    if (file == NULL) {
        fprintf(stderr, "mayfly: junit: `%s` cannot be written\n", report->path);
        return;
    }
    write_file(report, app, file);
    int failed = ferror(file);
    failed |= fclose(file);
    if (failed != 0 || rename(temporary, report->path) != 0) {
        fprintf(stderr, "mayfly: junit: `%s` cannot be written\n", report->path);
        unlink(temporary);
    }
}

struct report *report_junit_create(const char *path)
{
    struct report *report = mf_calloc(1, sizeof *report);
    if (report == NULL)
        return NULL;
    report->write = write_report;
    report->path = mf_strdup(path);
    if (report->path == NULL) {
        report_destroy(report);
        return NULL;
    }
    return report;
}
