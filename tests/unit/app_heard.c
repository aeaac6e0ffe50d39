/* unit/app_heard.c - what the gateway saw becomes inputs, what it told is counted, and an earlier runner's log is read again */
#include "app/app_private.h"
#include "app_help.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"first", "second"};

static void open_world(struct help_app *help)
{
    help_app_open(help,
                  "{\"mayfly\":1,\"services\":{\"model\":{\"recipe\":\"anthropic\"},\"tracker\":{\"recipe\":\"bearer\"}},"
                  "\"tasks\":{\"first\":{\"command\":[\"true\"],\"uses\":[\"model\"]},\"second\":{\"command\":[\"true\"],\"uses\":[\"tracker\"]}}}",
                  names, 2);
    struct app *app = &help->app;
    struct mf_error error;
    app->service_count = 2;
    app->services = mf_calloc(2, sizeof *app->services);
    for (uint32_t i = 0; i < 2; i++) {
        app->services[i] = (struct app_service){.app = app, .used = true, .source = {.service = true, .name = graph_service(app->graph, i)->source.name}};
        assert_int_equal(recipe_load(&app->services[i].source.recipe, recipe_shipped(graph_service(app->graph, i)->source.recipe), "r", NULL, &error), 0);
    }
    assert_int_equal(usage_book_open(&app->usage, 2), 0);
    app_stage_add(app, 11, 0, 1, CORE_STAGE_AGENT);
    app_stage_add(app, 12, 1, 2, CORE_STAGE_VERIFY);
}

static void close_world(struct help_app *help)
{
    struct app *app = &help->app;
    while (app->input_count > 0) {
        app_payload_free(app->inputs[app->input_first].payload);
        app->input_first = (app->input_first + 1) % app->input_capacity;
        app->input_count--;
    }
    app_services_close(app);
    app->core_graph.task_count = 2; /* tables.c frees the instances behind them: there are none */
    app_tables_free(app);
    help_app_close(help);
}

/* The newest input; its text in *extra. */
static struct core_input last(struct help_app *help, struct mf_span *extra)
{
    struct app *app = &help->app;
    assert_true(app->input_count > 0);
    struct app_input *input = &app->inputs[(app->input_first + app->input_count - 1) % app->input_capacity];
    *extra = input->payload != NULL ? mf_buf_view(&input->payload->extra) : (struct mf_span){"", 0};
    return input->core;
}

static void test_anomalies(void **state)
{
    (void)state;
    struct help_app help;
    struct mf_span extra;
    open_world(&help);
    app_heard_anomaly(&help.app, &(struct runner_anomaly){.stage = 12, .kind = "egress", .violation = true, .detail = "evil.example:443 \"x\""});
    struct core_input input = last(&help, &extra);
    assert_int_equal(input.kind, CORE_INPUT_VIOLATION);
    assert_true(input.node == 1 && input.attempt == 2 && input.stage == 12 && !input.flag);
    assert_true(mf_span_is(extra, "\"anomaly\":\"egress\",\"detail\":\"evil.example:443 \\\"x\\\"\""));
    app_stage_remove(&help.app, 11); /* over, and still known */
    app_heard_anomaly(&help.app, &(struct runner_anomaly){.stage = 11, .kind = "peer", .detail = ""});
    input = last(&help, &extra);
    assert_true(input.node == 0 && input.attempt == 1 && input.flag);
    app_heard_anomaly(&help.app, &(struct runner_anomaly){.stage = 99, .kind = "replay", .violation = true, .detail = "x"});
    input = last(&help, &extra);
    assert_true(input.node == CORE_NONE);
    assert_non_null(memmem(extra.data, extra.length, "\"violation\":true", 16));
    assert_int_equal(app_violations(&help.app), 2);
    close_world(&help);
}

static void test_budgets(void **state)
{
    (void)state;
    struct help_app help;
    struct mf_span extra;
    open_world(&help);
    app_heard_budget(&help.app, 11, "task");
    struct core_input input = last(&help, &extra);
    assert_true(input.kind == CORE_INPUT_BUDGET && input.node == 0 && input.stage == 11);
    app_heard_budget(&help.app, 0, "model");
    input = last(&help, &extra);
    assert_true(input.node == CORE_NONE && memmem(extra.data, extra.length, "service `model`", 15) != NULL);
    size_t before = help.app.input_count;
    app_heard_budget(&help.app, 77, "task"); /* a stage that nobody knows stops nobody */
    assert_int_equal(help.app.input_count, before);
    close_world(&help);
}

static void test_heads(void **state)
{
    (void)state;
    struct help_app help;
    struct mf_span extra;
    char head[65];
    memset(head, 'b', 64);
    head[64] = '\0';
    open_world(&help);
    app_heard_audit_head(&help.app, 7, head);
    struct core_input input = last(&help, &extra);
    assert_true(input.kind == CORE_INPUT_AUDIT && input.count == 7);
    assert_true(mf_span_starts(extra, "\"head\":\"bbbb"));
    size_t before = help.app.input_count;
    help.app.audit_count = 7; /* as the pump does after the commit */
    app_heard_audit_head(&help.app, 6, head);
    app_heard_audit_head(&help.app, 8, "short");
    app_heard_audit_head(&help.app, (uint64_t)CORE_NONE, head);
    assert_int_equal(help.app.input_count, before);
    close_world(&help);
}

static struct runner_usage usage(uint64_t stage, const char *service, uint64_t tokens, int64_t micro_usd)
{
    return (struct runner_usage){.stage = stage, .service = service, .requests = 2, .input_tokens = tokens, .output_tokens = 1, .micro_usd = micro_usd};
}

static void test_usage(void **state)
{
    (void)state;
    struct help_app help;
    struct mf_span extra;
    open_world(&help);
    struct runner_usage told = usage(11, "model", 100, 5000);
    app_heard_usage(&help.app, &told);
    struct core_input input = last(&help, &extra);
    assert_true(input.kind == CORE_INPUT_USAGE && input.node == 0 && input.attempt == 1 && input.stage_kind == CORE_STAGE_AGENT);
    assert_true(mf_span_is(extra, "\"service\":\"model\",\"requests\":2,\"input_tokens\":100,\"output_tokens\":1,\"cached_tokens\":0,\"cache_write_tokens\":0,\"micro_usd\":5000"));
    told = usage(12, "tracker", 7, -1);
    app_heard_usage(&help.app, &told);
    last(&help, &extra);
    assert_null(memmem(extra.data, extra.length, "micro_usd", 9));
    told = usage(11, "model", 1, INT64_MAX); /* nobody has that much */
    app_heard_usage(&help.app, &told);
    assert_true(help.app.usage.sums[0].micro_usd > 0 && help.app.usage.sums[0].micro_usd < INT64_MAX / 1024);
    size_t before = help.app.input_count;
    told = usage(11, "nobody", 1, 1);
    app_heard_usage(&help.app, &told);
    told = usage(5, "model", 1, 1);
    app_heard_usage(&help.app, &told);
    assert_int_equal(help.app.input_count, before);
    close_world(&help);
}

/* The journal of an earlier life gives the same figures. */
static void test_replay(void **state)
{
    (void)state;
    struct help_app help;
    struct mf_error error;
    open_world(&help);
    struct core_record record = {.kind = CORE_TASK_USAGE, .node = 0, .facts = {1, CORE_STAGE_AGENT}};
    assert_int_equal(app_heard_replay(&help.app, &record, MF_SPAN("\"service\":\"model\",\"requests\":2,\"input_tokens\":50,\"micro_usd\":9"), &error), 0);
    assert_int_equal(app_heard_replay(&help.app, &record, MF_SPAN("\"service\":\"model\",\"requests\":3,\"input_tokens\":60,\"micro_usd\":11"), &error), 0);
    assert_int_equal(app_heard_replay(&help.app, &record, MF_SPAN("\"service\":\"gone\",\"requests\":3"), &error), 0);
    assert_int_equal(app_heard_replay(&help.app, &record, MF_SPAN("\"service\":"), &error), 0); /* damaged: left out */
    uint64_t requests, tokens;
    int64_t micro_usd;
    app_spent(&help.app, CORE_NONE, 0, &requests, &tokens, &micro_usd);
    assert_true(requests == 3 && tokens == 60 && micro_usd == 11);
    app_spent(&help.app, 0, 1, &requests, &tokens, &micro_usd);
    assert_int_equal(requests, 3);
    app_spent(&help.app, 0, 2, &requests, &tokens, &micro_usd);
    assert_int_equal(requests, 0);
    record = (struct core_record){.kind = CORE_RUN_AUDIT, .node = CORE_NONE, .facts = {41}};
    assert_int_equal(app_heard_replay(&help.app, &record, MF_SPAN("\"head\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""), &error), 0);
    assert_int_equal(help.app.audit_count, 41);
    assert_true(strncmp(help.app.audit_head, "0123456789abcdef", 16) == 0);
    record = (struct core_record){.kind = CORE_TASK_STARTED, .node = 0};
    assert_int_equal(app_heard_replay(&help.app, &record, MF_SPAN("\"sandbox\":false"), &error), 0);
    assert_int_equal(app_heard_replay(&help.app, &record, MF_SPAN(""), &error), 0);
    assert_int_equal(help.app.stages_without_sandbox, 1);
    close_world(&help);
}

/* --- between two runners --- */

#define LINE(n, text) "{\"n\":" #n ",\"at_ms\":1," text ",\"chain\":\"0\"}\n"
#define FIRST "\"task\":\"first\",\"attempt\":1,\"stage\":\"agent\",\"provider\":\"model\""

static const char log_text[] =
    LINE(1, "\"event\":\"opened\",\"version\":1,\"life\":1")
    LINE(2, "\"event\":\"allowed\",\"request\":1," FIRST ",\"reserved_micro_usd\":900")
    LINE(3, "\"event\":\"allowed\",\"request\":2," FIRST ",\"reserved_micro_usd\":700")
    LINE(4, "\"event\":\"answered\",\"request\":1," FIRST ",\"status\":200,\"usage\":{\"input_tokens\":10,\"output_tokens\":20,\"micro_usd\":300},\"charged_micro_usd\":300")
    LINE(5, "\"event\":\"allowed\",\"request\":3,\"task\":\"second\",\"attempt\":2,\"stage\":\"verify\",\"provider\":\"tracker\"")
    LINE(6, "\"event\":\"answered\",\"request\":3,\"task\":\"second\",\"attempt\":2,\"stage\":\"verify\",\"provider\":\"tracker\",\"status\":200")
    LINE(7, "\"event\":\"allowed\",\"request\":4,\"task\":\"first\",\"attempt\":1,\"stage\":\"agent\",\"provider\":\"emulator\"")
    LINE(8, "\"event\":\"allowed\",\"request\":5,\"task\":\"nobody\",\"attempt\":1,\"stage\":\"agent\",\"provider\":\"model\",\"reserved_micro_usd\":5")
    "{\"n\":9,\"event\":\"allo"; /* torn */

static int write_log(const char *text, size_t bytes)
{
    char path[] = "/tmp/mfy-heard.XXXXXX";
    assert_non_null(mkdtemp(path));
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY);
    int fd = openat(dir_fd, AUDIT_FILE, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
    return dir_fd;
}

static void remove_log(int dir_fd)
{
    char link[64], path[128];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir_fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    assert_true(length > 0);
    path[length] = '\0';
    unlinkat(dir_fd, AUDIT_FILE, 0);
    close(dir_fd);
    rmdir(path);
}

static void test_rebuild(void **state)
{
    (void)state;
    struct help_app help;
    struct mf_span extra;
    open_world(&help);
    help.app.run_dir_fd = write_log(log_text, sizeof log_text - 1);
    struct runner_usage told = usage(11, "model", 3, 100); /* the last word of the runner that died */
    app_heard_usage(&help.app, &told);
    app_usage_rebuild(&help.app);
    assert_int_equal(help.app.usage.sums[0].requests, 2);
    assert_int_equal(help.app.usage.sums[0].input_tokens, 10);
    assert_int_equal(help.app.usage.sums[0].micro_usd, 300 + 700); /* the open one in full */
    assert_int_equal(help.app.usage.sums[1].requests, 1);
    assert_int_equal(help.app.input_count, 3);
    assert_int_equal(last(&help, &extra).kind, CORE_INPUT_USAGE);
    app_usage_rebuild(&help.app); /* the same again is no news */
    assert_int_equal(help.app.input_count, 3);
    remove_log(help.app.run_dir_fd);
    help.app.run_dir_fd = 0;
    close_world(&help);
}

static void test_rebuild_without_memory(void **state)
{
    (void)state;
    for (int64_t nth = 0; nth < 60; nth += 3) {
        struct help_app help;
        open_world(&help);
        help.app.run_dir_fd = write_log(log_text, sizeof log_text - 1);
        struct runner_usage told = usage(11, "model", 3, 100);
        app_heard_usage(&help.app, &told);
        mf_alloc_fail_after(nth, 1); /* once: what it asks for afterwards is there, or the shell's own words could not be said */
        app_usage_rebuild(&help.app);
        mf_alloc_fail_after(-1, 0);
        assert_true(help.app.usage.sums[0].requests == 2); /* told or found: both say two */
        remove_log(help.app.run_dir_fd);
        help.app.run_dir_fd = 0;
        close_world(&help);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_anomalies), cmocka_unit_test(test_budgets), cmocka_unit_test(test_heads), cmocka_unit_test(test_usage),
                                       cmocka_unit_test(test_replay), cmocka_unit_test(test_rebuild), cmocka_unit_test(test_rebuild_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
