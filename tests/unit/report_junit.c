/* report_junit.c - unit tests of report/junit.c: whatever the reasons hold, every XML reader takes the file */
#include "app_help.h"
#include "report/report.h"

#include <unistd.h>

static const char *const names[] = {"first", "second", "many"};

struct world {
    struct help_app help;
    char path[64];
    char *text;
};

static void cancel_all(struct help_app *help)
{
    core_step(help->app.core, &(struct core_input){.kind = CORE_INPUT_OPEN, .now_ms = 1700000000000, .node = CORE_NONE});
    core_step(help->app.core, &(struct core_input){.kind = CORE_INPUT_CANCEL, .now_ms = 1700000000001, .node = CORE_NONE});
}

/* The report of a run of three cancelled tasks; the first one's failure before had this reason (JSON text). */
static void write_report(struct world *world, const char *reason)
{
    char extra[512];
    help_app_open(&world->help,
                  "{\"mayfly\": 1, \"tasks\": {\"first\": {\"command\": [\"true\"]}, \"second\": {\"needs\": [\"first\"], \"command\": [\"true\"]},"
                  "\"many\": {\"for_each\": [1, 2], \"needs\": [\"first\"], \"command\": [\"true\"]}}}",
                  names, 3);
    cancel_all(&world->help);
    snprintf(world->path, sizeof world->path, "/tmp/mayfly-unit-junit-%d.xml", (int)getpid());
    struct report *report = report_junit_create(world->path);
    struct app_observer observer = report_observer(report);
    struct core_record record = {.seq = 2, .at_ms = 1700000000500, .kind = CORE_TASK_SPAWN, .node = 0, .account = CORE_NONE};
    observer.record(observer.context, &world->help.app, &record, mf_span(""));
    snprintf(extra, sizeof extra, "\"reason\":%s", reason);
    record.kind = CORE_TASK_FAILED;
    record.at_ms += 1500;
    observer.record(observer.context, &world->help.app, &record, mf_span(extra));
    observer.closed(observer.context, &world->help.app, &(struct app_receipt){0});
    report_destroy(report);
    FILE *file = fopen(world->path, "r");
    assert_non_null(file);
    world->text = calloc(1, 65536);
    assert_non_null(world->text);
    assert_true(fread(world->text, 1, 65535, file) > 0);
    fclose(file);
}

static void close_report(struct world *world)
{
    unlink(world->path);
    free(world->text);
    help_app_close(&world->help);
}

static void parses(const struct world *world)
{
    char command[200];
    snprintf(command, sizeof command, "! command -v xmllint >/dev/null || xmllint --noout %s", world->path);
    assert_int_equal(system(command), 0);
    for (const char *at = world->text; *at != '\0'; at++)
        assert_true((unsigned char)*at >= 0x20 || *at == '\n' || *at == '\t');
}

static void test_shape(void **state)
{
    (void)state;
    struct world world;
    write_report(&world, "\"broke\"");
    parses(&world);
    assert_non_null(strstr(world.text, "<testsuites name=\"abcdefgh2345\" tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"2\" time=\"1.500\""));
    assert_non_null(strstr(world.text, "name=\"first\" time=\"1.500\"><skipped message=\"cancelled"));
    assert_non_null(strstr(world.text, "broke"));
    assert_non_null(strstr(world.text, "name=\"second\" time=\"0.000\""));
    assert_null(strstr(world.text, "name=\"many\"")); /* a template is no test: its instances are */
    close_report(&world);
}

static void test_hostile_reasons(void **state)
{
    (void)state;
    static const char *const reasons[] = {
        "\"</testcase><a b='c'>\\\"&amp; ]]>\"",
        "\"\\u001b[31m\\u0001\\u0008\\u000b\\u000c\\u001f\\u007f\"",
        "\"\\ufffe\\uffff\\ufdd0 \\ud83d\\ude00 \\u0085\\u2028\"",
        "\"two\\nlines\\tand a tab\\r\"",
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        struct world world;
        write_report(&world, reasons[i]);
        parses(&world);
        close_report(&world);
    }
}

static void test_a_file_that_cannot_be_written(void **state)
{
    (void)state;
    struct help_app help;
    help_app_open(&help, "{\"mayfly\": 1, \"tasks\": {\"first\": {\"command\": [\"true\"]}}}", names, 1);
    struct report *report = report_junit_create("/none/there/report.xml");
    struct app_observer observer = report_observer(report);
    observer.closed(observer.context, &help.app, &(struct app_receipt){0}); /* says so, goes on */
    report_destroy(report);
    help_app_close(&help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_hostile_reasons),
        cmocka_unit_test(test_a_file_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
