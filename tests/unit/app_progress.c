/* app_progress.c - unit tests of app/progress.c, board.c and receipt.c: what a person and a script read */
#include "app/progress.h"
#include "app_help.h"
#include "json/scan.h"

static const char *const names[] = {"first", "second"};

static void open_world(struct help_app *help)
{
    help_app_open(help,
                  "{\"mayfly\": 1, \"tasks\": {\"first\": {\"command\": [\"true\"]}, \"second\": {\"needs\": [\"first\"], \"command\": [\"true\"]}}}",
                  names, 2);
}

static const struct core_record failed = {.seq = 7,
                                          .at_ms = 1700000000250,
                                          .kind = CORE_TASK_FAILED,
                                          .node = 1,
                                          .account = CORE_NONE,
                                          .facts = {0, CORE_CLASS_AGENT}};

/* What the observer of a kind writes for one failure with a reason from outside, a note, and the end. */
static void say(struct help_app *help, enum progress_kind kind, bool colour, const char *extra, struct help_file *out)
{
    struct progress *progress = progress_create(kind, help_file_open(out), colour);
    struct app_observer observer = progress_observer(progress);
    struct app_receipt receipt = {.created = 1, .gone = 1};
    observer.opened(observer.context, &help->app);
    observer.record(observer.context, &help->app, &failed, mf_span(extra));
    observer.note(observer.context, &help->app, "a note \033[2J with a bell\a");
    if (observer.closed != NULL)
        observer.closed(observer.context, &help->app, &receipt);
    help_file_text(out);
    progress_destroy(progress);
}

static void test_plain_lines(void **state)
{
    (void)state;
    struct help_app help;
    struct help_file out;
    open_world(&help);
    say(&help, PROGRESS_PLAIN, false, "\"reason\":\"it\\u001b[31m broke\\u0007\\r\\n\"", &out);
    assert_non_null(strstr(out.text, "run abcdefgh2345  2 tasks, 2 at a time\n"));
    assert_non_null(strstr(out.text, "second"));
    assert_non_null(strstr(out.text, "failed (agent)"));
    assert_non_null(strstr(out.text, "broke"));
    for (const char *at = out.text; *at != '\0'; at++) /* no escape, no bell, nothing that moves a cursor */
        assert_true((unsigned char)*at >= 0x20 || *at == '\n');
    help_file_close(&out);
    say(&help, PROGRESS_PLAIN, true, "", &out);
    assert_non_null(strstr(out.text, "\033[31mfailed (agent)\033[0m"));
    help_file_close(&out);
    help_app_close(&help);
}

/* What the gateway saw of an agent: kind and detail, escaped; usage stands at the end of the attempt only. */
static void test_watched(void **state)
{
    (void)state;
    struct help_app help;
    struct help_file out;
    open_world(&help);
    static const struct core_record records[] = {
        {.seq = 3, .at_ms = 1, .kind = CORE_TASK_VIOLATION, .node = 1, .account = CORE_NONE, .facts = {1, 1}},
        {.seq = 4, .at_ms = 2, .kind = CORE_TASK_ANOMALY, .node = 0, .account = CORE_NONE, .facts = {1, 1}},
        {.seq = 5, .at_ms = 3, .kind = CORE_RUN_ANOMALY, .node = CORE_NONE, .account = CORE_NONE, .facts = {1}},
        {.seq = 6, .at_ms = 4, .kind = CORE_TASK_USAGE, .node = 1, .account = CORE_NONE, .facts = {1, CORE_STAGE_AGENT}},
        {.seq = 7, .at_ms = 5, .kind = CORE_RUN_AUDIT, .node = CORE_NONE, .account = CORE_NONE, .facts = {9}},
    };
    struct progress *progress = progress_create(PROGRESS_PLAIN, help_file_open(&out), false);
    struct app_observer observer = progress_observer(progress);
    observer.opened(observer.context, &help.app);
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        observer.record(observer.context, &help.app, &records[i], MF_SPAN("\"anomaly\":\"trick\",\"detail\":\"GET /\\u001b[2J\""));
    help_file_text(&out);
    progress_destroy(progress);
    assert_non_null(strstr(out.text, "second                   VIOLATION: trick: GET /"));
    assert_non_null(strstr(out.text, "first                    anomaly: trick: "));
    assert_non_null(strstr(out.text, "  anomaly: trick: "));
    assert_null(strchr(out.text, '\033'));
    uint32_t lines = 0;
    for (const char *at = out.text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 4); /* the run's, and three */
    help_file_close(&out);
    help_app_close(&help);
}

/* What stands in the receipt of services, of the record of requests and of agents without a sandbox. */
static void test_receipt_guard(void **state)
{
    (void)state;
    struct help_app help;
    struct help_file out;
    struct mf_buf text;
    struct json_document document;
    struct app_receipt receipt = {.audit_count = 35, .without_sandbox = 2, .violations = 4, .used_count = 2};
    receipt.used[0] = (struct app_used){.service = "model", .requests = 3, .input_tokens = 10, .cached_tokens = 5, .output_tokens = 7, .micro_usd = 1000042, .priced = true};
    receipt.used[1] = (struct app_used){.service = "tracker", .requests = 1};
    memset(receipt.audit_head, 'a', 64);
    open_world(&help);
    receipt_print(help_file_open(&out), &help.app, &receipt, false);
    help_file_text(&out);
    assert_non_null(strstr(out.text, "usage     model: 3 requests, 15 input and 7 output tokens, $1.000042\n"));
    assert_non_null(strstr(out.text, "usage     tracker: 1 requests, 0 input and 0 output tokens\n"));
    assert_non_null(strstr(out.text, "WATCHED   4 violations"));
    assert_non_null(strstr(out.text, "audit     35 lines, head aaaaaaaaaaaaaaaa (`mayfly audit abcdefgh2345 --check-chain`)"));
    assert_non_null(strstr(out.text, "2 stages ran without one: the token was the only guard"));
    help_file_close(&out);
    mf_buf_init(&text, 65536);
    receipt_json(&text, &help.app, &receipt);
    assert_int_equal(json_scan(&document, mf_buf_view(&text), &json_limits_default, NULL), 0);
    uint32_t usage = json_member(&document, json_member(&document, 0, "usage"), "model");
    assert_true(mf_span_is(json_raw(&document, json_member(&document, usage, "usd")), "1.000042"));
    assert_true(json_member(&document, json_member(&document, json_member(&document, 0, "usage"), "tracker"), "usd") == JSON_NONE);
    assert_true(json_is(&document, json_member(&document, json_member(&document, 0, "audit"), "head"), receipt.audit_head));
    json_document_free(&document);
    mf_buf_free(&text);
    help_app_close(&help);
}

/* The board's own codes are known; what comes from outside adds none. */
static void test_board_escapes(void **state)
{
    (void)state;
    struct help_app help;
    struct help_file out;
    open_world(&help);
    say(&help, PROGRESS_BOARD, false, "\"reason\":\"\\u001b[2J\\u009b\"", &out);
    assert_null(strstr(out.text, "\033[2J"));
    assert_null(strstr(out.text, "\xc2\x9b"));
    assert_null(strchr(out.text, '\a'));
    help_file_close(&out);
    help_app_close(&help);
}

static void test_json_lines(void **state)
{
    (void)state;
    struct help_app help;
    struct help_file out;
    uint32_t lines = 0;
    open_world(&help);
    say(&help, PROGRESS_JSON, false, "\"reason\":\"it \\u001b broke\"", &out);
    for (const char *at = out.text; *at != '\0'; at = strchr(at, '\n') + 1, lines++) {
        struct json_document document;
        struct mf_span line = {at, (size_t)(strchr(at, '\n') - at)};
        assert_int_equal(json_scan(&document, line, &json_limits_default, NULL), 0);
        assert_true(json_member(&document, 0, "type") != JSON_NONE && json_member(&document, 0, "at_ms") != JSON_NONE);
        if (lines == 1) {
            assert_true(json_is(&document, json_member(&document, 0, "type"), "task.failed"));
            assert_true(json_is(&document, json_member(&document, 0, "task"), "second"));
            assert_true(json_is(&document, json_member(&document, 0, "class"), "agent"));
            assert_true(json_is(&document, json_member(&document, 0, "reason"), "it \033 broke"));
        }
        json_document_free(&document);
    }
    assert_int_equal(lines, 4);
    help_file_close(&out);
    help_app_close(&help);
}

static int64_t number_at(const struct json_document *document, uint32_t node, const char *name)
{
    int64_t number = -1;
    uint32_t member = json_member(document, node, name);
    assert_true(member != JSON_NONE);
    assert_int_equal(json_int(document, member, &number), 0);
    return number;
}

/* The fixed point of design section 9. */
static void test_receipt_json(void **state)
{
    (void)state;
    struct help_app help;
    struct mf_buf text;
    struct json_document document;
    struct app_receipt receipt = {.created = 21, .gone = 1, .expired = 2, .expiring = 3, .claimable = 4, .leaked = 11};
    receipt.tasks[CORE_TASK_STATE_SUCCEEDED] = 5;
    open_world(&help);
    mf_buf_init(&text, 65536);
    receipt_json(&text, &help.app, &receipt);
    assert_int_equal(json_scan(&document, mf_buf_view(&text), &json_limits_default, NULL), 0);
    assert_true(json_is(&document, json_member(&document, 0, "type"), "receipt"));
    assert_true(json_is(&document, json_member(&document, 0, "run"), "abcdefgh2345"));
    uint32_t tasks = json_member(&document, 0, "tasks"), accounts = json_member(&document, 0, "accounts");
    assert_int_equal(number_at(&document, tasks, "succeeded"), 5);
    for (int state_index = 0; state_index < CORE_TASK_STATE_COUNT; state_index++) /* all final states, also with zero */
        if (core_task_final((enum core_task_state)state_index))
            assert_true(number_at(&document, tasks, core_task_state_name((enum core_task_state)state_index)) >= 0);
    assert_int_equal(number_at(&document, accounts, "created"), 21);
    assert_int_equal(number_at(&document, accounts, "gone"), 1);
    assert_int_equal(number_at(&document, accounts, "expired"), 2);
    assert_int_equal(number_at(&document, accounts, "expiring"), 3);
    assert_int_equal(number_at(&document, accounts, "claimable"), 4);
    assert_int_equal(number_at(&document, accounts, "leaked"), 11);
    json_document_free(&document);
    mf_buf_free(&text);
    help_app_close(&help);
}

static void test_receipt_text(void **state)
{
    (void)state;
    struct help_app help;
    struct help_file out;
    struct app_receipt receipt = {.created = 3, .gone = 2, .expiring = 1, .not_enforced = 1};
    open_world(&help);
    receipt_print(help_file_open(&out), &help.app, &receipt, false);
    assert_non_null(strstr(help_file_text(&out), "3 created = 2 gone + 0 expired + 1 expiring + 0 claimable + 0 leaked\n"));
    assert_non_null(strstr(out.text, "no credential left"));
    assert_non_null(strstr(out.text, "mayfly accounts abcdefgh2345"));
    assert_null(strchr(out.text, '\033'));
    help_file_close(&out);
    receipt = (struct app_receipt){.created = 1, .leaked = 1};
    receipt_print(help_file_open(&out), &help.app, &receipt, false);
    assert_non_null(strstr(help_file_text(&out), "mayfly teardown abcdefgh2345"));
    help_file_close(&out);
    help_app_close(&help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_lines),  cmocka_unit_test(test_watched), cmocka_unit_test(test_receipt_guard), cmocka_unit_test(test_board_escapes), cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_receipt_json), cmocka_unit_test(test_receipt_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
