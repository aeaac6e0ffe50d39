/* report_evidence.c - what was granted and used; the smallest lists; certificates; and all of it without memory */
#include "report_help.h"

#include "json/scan.h"
#include "json/write.h"

#include <sys/wait.h>

static struct report_run report;
/* nodes: deploy 0, look 1, lend 2, borrow 3, bare 4, deploy/0 5, deploy/1 6; accounts: 1 deploy/0, 2 deploy/1, 3 look, 4 lend */

static int setup(void **state)
{
    (void)state;
    struct mf_error error;
    report_open(&report);
    report_put_task(&report, CORE_TASK_READY, 0, 0, 0, 0);
    report_put_task(&report, CORE_TASK_EXPANDED, 0, 2, 0, 0);
    assert_ok(journal_begin(report.run.journal, &error));
    assert_ok(journal_put_node(report.run.journal, 5, 0, 0, MF_SPAN("deploy/0"), MF_SPAN("1"), &error));
    assert_ok(journal_put_node(report.run.journal, 6, 0, 1, MF_SPAN("deploy/1"), MF_SPAN("2"), &error));
    assert_ok(journal_commit(report.run.journal, &error));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    report_close(&report);
    return 0;
}

/* Every task ran and succeeded; who did what. */
static void fill(void)
{
    report_put_life(&report, 5, true);
    report_put_life(&report, 6, true);
    report_put_life(&report, 1, true);
    report_put_life(&report, 2, true);
    report_put_life(&report, 3, true);
    report_put_account_life(&report, 1, 5, true);
    report_put_account_life(&report, 2, 6, false);
    report_put_account_life(&report, 3, 1, true);
    report_put_account_life(&report, 4, 2, true);
    report_request(&report, report_subject("deploy/0", "agent", 1), "PUT", "/a/1/s/x", "PUT /a/{id}/s/{script}", "s:write", 200);
    report_request(&report, report_subject("deploy/1", "agent", 2), "PUT", "/a/2/s/y", "PUT /a/{id}/s/{script}", "s:write", 500);
    report_request(&report, report_subject("deploy/1", "agent", 2), "GET", "/a/2/s/y", "GET /a/{id}/s/{script}", "s:write", 0);
    report_request(&report, report_subject("deploy/0", "verify", 1), "GET", "/a/1/s/x", "GET /a/{id}/s/{script}", "s:read", 200);
    report_refusal(&report, report_subject("deploy/0", "agent", 1), "DELETE", "/v4/a/1/all?x=1", "", "", "no_rule");
    report_refusal(&report, report_subject("deploy/0", "agent", 1), "POST", "/v4/a/1/all", "POST /a/{id}/all", "all:write", "not_granted");
    report_refusal(&report, report_subject("deploy/1", "agent", 2), "POST", "/v4/a/2/all", "POST /a/{id}/all", "all:write", "not_granted");
    report_request(&report, report_subject("look", "agent", 3), "GET", "/a/3/s/one", "GET /a/{id}/s/{script}", "s:write", 200);
    report_request(&report, report_subject("lend", "agent", 4), "PUT", "/a/4/kv/k%2Fv", "PUT /a/{id}/kv/{key:opaque}", "kv:write", 200);
    report_request(&report, report_subject("borrow", "agent", 4), "GET", "/a/4/s", "GET /a/{id}/s", "s:read", 200);
}

static struct evidence *gather(void)
{
    struct evidence *evidence;
    struct mf_error error = {0};
    assert_ok(report_evidence(&report, &evidence, &error));
    return evidence;
}

static const struct evidence_use *use_of(const struct evidence *evidence, const char *task, bool verify, const char *permission, const char *reason)
{
    uint32_t number = graph_find(report.graph, mf_span(task));
    for (uint32_t i = evidence_first_use(evidence, number); i != GRAPH_NONE; i = evidence_next_use(evidence, i)) {
        const struct evidence_use *use = evidence_use(evidence, i);
        if (use->subject.verify == verify && strcmp(use->permission, permission) == 0 && strcmp(use->reason, reason) == 0)
            return use;
    }
    return NULL;
}

static void test_counts(void **state)
{
    (void)state;
    fill();
    struct evidence *evidence = gather();
    const struct evidence_use *use = use_of(evidence, "deploy", false, "s:write", "");
    assert_int_equal(use->count, 2); /* of both instances, under one rule */
    assert_int_equal(use->succeeded, 1);
    assert_int_equal(use->failed, 1);
    assert_int_equal(use->subject.slot, 0);
    assert_string_equal(use->example, "PUT /a/1/s/x");
    assert_int_equal(use_of(evidence, "deploy", true, "s:read", "")->count, 1);
    assert_int_equal(use_of(evidence, "deploy", false, "", "no_rule")->count, 1);
    assert_int_equal(use_of(evidence, "deploy", false, "all:write", "not_granted")->count, 2);
    assert_int_equal(use_of(evidence, "borrow", false, "s:read", "")->subject.slot, 0);
    assert_int_equal(evidence_unanswered(evidence), 1);
    assert_true(evidence_ran(evidence, 0) && evidence_succeeded(evidence, 0));
    assert_false(evidence_ran(evidence, 4));
    /* s:read alone allows what look did, and so does a permission of another name */
    assert_int_equal(use_of(evidence, "look", false, "s:write", "")->allowing[0], 1 | 2 | 16);
    assert_int_equal(use_of(evidence, "borrow", false, "s:read", "")->allowing[0], 1 | 2 | 8);
    assert_int_equal(use_of(evidence, "deploy", false, "all:write", "not_granted")->allowing[0], 8);
    const struct evidence_account *account = evidence_account(evidence, 1);
    assert_int_equal(account->lines, 6);
    assert_int_equal(account->allowed, 2);
    assert_int_equal(account->refused, 2);
    evidence_destroy(evidence);
}

/* One class holds what allows each of its requests, not only the first. */
static void test_a_class_is_narrowed_by_each_request(void **state)
{
    (void)state;
    report_put_account_life(&report, 1, 5, true);
    report_put_life(&report, 5, true);
    for (int i = 0; i < 2; i++)
        report_request(&report, report_subject("deploy/0", "agent", 1), "GET", i == 0 ? "/a/1/s" : "/a/1/s/x", "GET /a/{id}/**", "s:write", 200);
    struct evidence *evidence = gather();
    assert_int_equal(use_of(evidence, "deploy", false, "s:write", "")->allowing[0], 3); /* all:write has no /s/x */
    evidence_destroy(evidence);
}

/* The hash is what `grep -F '"account":1,' audit.log | sha256sum` says. */
static void test_hash_of_an_account(void **state)
{
    (void)state;
    char command[600], said[65] = "";
    fill();
    struct evidence *evidence = gather();
    snprintf(command, sizeof command, "grep -F '\"account\":1,' '%s/audit.log' | sha256sum", report.run.dir);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(said, sizeof said, pipe));
    assert_int_equal(WEXITSTATUS(pclose(pipe)), 0);
    assert_string_equal(evidence_account(evidence, 1)->sha256, said);
    evidence_destroy(evidence);
}

static void test_anomalies_egress_and_services(void **state)
{
    (void)state;
    struct mf_error error = {0};
    struct audit_subject subject = report_subject("look", "agent", 0);
    fill();
    for (int i = 0; i < 3; i++)
        assert_ok(audit_anomaly(report.audit, 2100, &subject, "trick", MF_SPAN("GET /\x1b[2J.."), &error));
    for (int i = 0; i < 2; i++) {
        uint64_t request = audit_next_request(report.audit);
        assert_ok(audit_connected(report.audit, 2200, &subject, request, MF_SPAN("example.org"), 443, "192.0.2.1", &error));
        assert_ok(audit_closed(report.audit, 2300, &subject, request, 100, 1000, 9, &error));
    }
    subject.provider = MF_SPAN("model");
    const struct audit_request request = {.subject = subject, .request = audit_next_request(report.audit), .method = MF_SPAN("POST"), .path = MF_SPAN("/v1/messages"), .reserved_micro_usd = 500};
    assert_ok(audit_allowed(report.audit, 2400, &request, &error));
    const struct audit_answer answer = {.subject = subject, .request = request.request, .status = 200, .outcome = "complete",
                                        .usage = {.known = true, .input_tokens = 10, .output_tokens = 20, .cached_tokens = 3, .micro_usd = 70, .model = MF_SPAN("m")},
                                        .charged_micro_usd = 70};
    assert_ok(audit_answered(report.audit, 2500, &answer, &error));
    struct evidence *evidence = gather();
    assert_int_equal(evidence_anomaly_count(evidence), 1);
    assert_int_equal(evidence_anomaly(evidence, 0)->count, 3);
    assert_string_equal(evidence_anomaly(evidence, 0)->detail, "GET /\x1b[2J..");
    assert_int_equal(evidence_connection_count(evidence), 1);
    assert_string_equal(evidence_connection(evidence, 0)->host, "example.org:443");
    assert_int_equal(evidence_connection(evidence, 0)->count, 2);
    assert_int_equal(evidence_connection(evidence, 0)->received_bytes, 2000);
    assert_int_equal(evidence_service_count(evidence), 1);
    const struct evidence_service *service = evidence_service(evidence, 0);
    assert_string_equal(service->name, "model");
    assert_int_equal(service->requests, 1);
    assert_int_equal(service->output_tokens, 20);
    assert_int_equal(service->charged_micro_usd, 70);
    evidence_destroy(evidence);
}

/* --- the smallest lists --- */

static struct least *least_of(const struct evidence *evidence, bool refused)
{
    struct least *least;
    struct mf_error error = {0};
    assert_ok(least_create(&least, evidence, &(struct least_options){refused}, &error));
    return least;
}

static const struct least_change *change_of(const struct least *least, const char *task, bool verify)
{
    for (uint32_t i = 0; i < least_count(least); i++) {
        const struct least_change *change = least_change(least, i);
        if (change->task == graph_find(report.graph, mf_span(task)) && change->verify == verify)
            return change;
    }
    return NULL;
}

static void test_least(void **state)
{
    (void)state;
    fill();
    struct evidence *evidence = gather();
    struct least *least = least_of(evidence, false);
    /* deploy wrote scripts, never a key; its verify stays */
    const struct least_change *deploy = change_of(least, "deploy", false);
    assert_string_equal(deploy->taken, "kv:write");
    assert_int_equal(deploy->element_count, 1);
    assert_string_equal(deploy->elements[0], "\"s:write\"");
    assert_null(change_of(least, "deploy", true)); /* tail:read has fewer rules, and is not what anybody means */
    /* look only read, and stays narrowed */
    const struct least_change *look = change_of(least, "look", false);
    assert_string_equal(look->taken, "s:write, all:write");
    assert_string_equal(look->added, "s:read");
    assert_int_equal(look->element_count, 1);
    assert_string_equal(look->elements[0], "{ \"name\": \"s:read\", \"only\": { \"script\": \"one\" } }");
    /* lend did not read itself, but its borrower did */
    assert_null(change_of(least, "lend", false));
    assert_null(change_of(least, "borrow", false));
    assert_null(change_of(least, "bare", false));
    least_destroy(least);
    evidence_destroy(evidence);
}

static void test_what_did_not_succeed_is_left_alone(void **state)
{
    (void)state;
    report_put_life(&report, 5, false);
    report_put_life(&report, 1, true);
    report_put_account_life(&report, 1, 5, true);
    report_refusal(&report, report_subject("deploy/0", "agent", 1), "POST", "/v4/a/1/all", "POST /a/{id}/all", "all:write", "not_granted");
    struct evidence *evidence = gather();
    struct least *least = least_of(evidence, false);
    assert_null(change_of(least, "deploy", false));
    assert_int_equal(least_unjudged(least), 4); /* deploy and its verify, lend, borrow */
    assert_int_equal(change_of(least, "look", false)->element_count, 0);
    least_destroy(least);
    least = least_of(evidence, true);
    assert_string_equal(change_of(least, "deploy", false)->added, "all:write");
    least_destroy(least);
    evidence_destroy(evidence);
}

/* A task without a list gets one only when what was refused is asked for. */
static void test_a_list_is_put_in(void **state)
{
    (void)state;
    struct mf_buf diff;
    struct mf_error error = {0};
    report_put_life(&report, 4, true);
    report_put_account_life(&report, 1, 4, true);
    report_refusal(&report, report_subject("bare", "agent", 1), "GET", "/v4/a/1/s", "GET /a/{id}/s", "s:read", "not_granted");
    struct evidence *evidence = gather();
    struct least *least = least_of(evidence, false);
    assert_int_equal(least_count(least), 0);
    least_destroy(least);
    least = least_of(evidence, true);
    mf_buf_init(&diff, 1u << 20);
    assert_ok(least_diff(least, "g.json", &diff, &error));
    assert_non_null(strstr(mf_buf_cstr(&diff), "+    \"bare\": { \"command\": [\"true\"], \"account\": { \"permissions\": [\"s:read\"] } } } }"));
    least_destroy(least);
    evidence_destroy(evidence);
    mf_buf_free(&diff);
}

static void test_diff_and_patch(void **state)
{
    (void)state;
    struct mf_buf out;
    struct json_writer writer;
    struct mf_error error = {0};
    fill();
    struct evidence *evidence = gather();
    struct least *least = least_of(evidence, false);
    mf_buf_init(&out, 1u << 20);
    assert_ok(least_diff(least, "g.json", &out, &error));
    assert_string_equal(
        mf_buf_cstr(&out),
        "--- a/g.json\n+++ b/g.json\n@@ -2,12 +2,11 @@\n"
        "   \"services\": { \"model\": { \"credential\": { \"env\": \"KEY\" } } },\n"
        "   \"tasks\": {\n"
        "     \"deploy\": { \"for_each\": [1, 2], \"command\": [\"true\"],\n"
        "       \"account\": { \"permissions\": [\n"
        "-        \"s:write\",\n"
        "-        \"kv:write\"\n"
        "+        \"s:write\"\n"
        "       ] },\n"
        "       \"verify\": { \"command\": [\"true\"], \"permissions\": [ \"s:read\" ] } },\n"
        "-    \"look\": { \"command\": [\"true\"], \"uses\": [\"model\"], \"account\": { \"permissions\": [{ \"name\": "
        "\"s:write\", \"only\": { \"script\": \"one\" } }, \"all:write\"] } },\n"
        "+    \"look\": { \"command\": [\"true\"], \"uses\": [\"model\"], \"account\": { \"permissions\": [{ \"name\": "
        "\"s:read\", \"only\": { \"script\": \"one\" } }] } },\n"
        "     \"lend\": { \"command\": [\"true\"], \"account\": { \"permissions\": [\"kv:write\", \"s:read\"] } },\n"
        "     \"borrow\": { \"needs\": [\"lend\"], \"command\": [\"true\"], \"account\": { \"from\": \"lend\", "
        "\"permissions\": [\"s:read\"] } },\n"
        "     \"bare\": { \"command\": [\"true\"], \"account\": {} } } }\n"
        "\\ No newline at end of file\n");
    mf_buf_free(&out);
    mf_buf_init(&out, 1u << 20);
    json_begin(&writer, &out);
    assert_ok(least_json_patch(least, &writer, &error));
    assert_string_equal(mf_buf_cstr(&out),
                        "[{\"op\":\"replace\",\"path\":\"/tasks/deploy/account/permissions\",\"value\":[\"s:write\"]},"
                        "{\"op\":\"replace\",\"path\":\"/tasks/look/account/permissions\",\"value\":[{ \"name\": \"s:read\", \"only\": { \"script\": \"one\" } }]}]");
    mf_buf_free(&out);
    least_destroy(least);
    evidence_destroy(evidence);
}

/* --- for programs and auditors --- */

static void test_json(void **state)
{
    (void)state;
    struct mf_buf out;
    struct json_document document;
    struct mf_error error = {0};
    fill();
    report_put_head(&report);
    struct evidence *evidence = gather();
    struct least *least = least_of(evidence, false);
    mf_buf_init(&out, 1u << 20);
    assert_ok(audit_json(evidence, least, "finished", &out, &error));
    assert_ok(json_scan_error(&document, mf_buf_view(&out), &json_limits_default, &error));
    assert_true(json_is(&document, json_pointer(&document, MF_SPAN("/log/chain")), "whole"));
    assert_true(json_is(&document, json_pointer(&document, MF_SPAN("/granted/0/permissions/1")), "kv:write"));
    assert_true(json_is(&document, json_pointer(&document, MF_SPAN("/refused/1/needed")), "all:write"));
    assert_true(json_is(&document, json_pointer(&document, MF_SPAN("/patch/0/path")), "/tasks/deploy/account/permissions"));
    json_document_free(&document);
    least_destroy(least);
    evidence_destroy(evidence);
    mf_buf_free(&out);
}

static void test_csv(void **state)
{
    (void)state;
    char text[20000] = "";
    struct mf_error error = {0};
    struct audit_subject subject = report_subject("look", "agent", 0);
    assert_ok(audit_anomaly(report.audit, 0, &subject, "trick", MF_SPAN("=HYPERLINK(\"http://x\",\"y\")\n\x1b[1m"), &error));
    report_put_head(&report);
    report_refusal(&report, subject, "GET", "-2+3", "", "", "no_rule");
    struct evidence *evidence = gather();
    FILE *file = fmemopen(text, sizeof text, "w");
    assert_ok(audit_csv(evidence, file, &error));
    fclose(file);
    assert_non_null(strstr(text, "\r\n2,1970-01-01T00:00:00"));
    assert_non_null(strstr(text, "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\\n\\u001b[1m\""));
    assert_non_null(strstr(text, "\"'-2+3\""));
    assert_non_null(strstr(text, "anomaly,yes,\"look\""));
    assert_non_null(strstr(text, "refused,no,\"look\""));
    int columns = 0;
    for (const char *at = text; *at != '\r'; at++)
        columns += *at == ',';
    int lines = 0;
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 4);
    assert_true(columns > 30);
    evidence_destroy(evidence);
}

static void test_certificates(void **state)
{
    (void)state;
    struct mf_buf out;
    struct json_writer writer;
    struct certificates *certificates;
    struct mf_error error = {0};
    fill();
    struct evidence *evidence = gather();
    assert_ok(certificates_create(&certificates, evidence, report.run.journal, &error));
    mf_buf_init(&out, 1u << 20);
    assert_ok(certificate_text(certificates, 1, "finished", &out, &error));
    const char *text = mf_buf_cstr(&out);
    assert_non_null(strstr(text, "made for     deploy/0\n"));
    assert_non_null(strstr(text, "could do     s:write, kv:write\n"));
    assert_non_null(strstr(text, "enforced by  mayfly's gateway alone\n"));
    assert_non_null(strstr(text, "2 requests allowed (2 succeeded, 0 failed), 2 refused, 0 anomalies\n"));
    assert_non_null(strstr(text, "1 allowed PUT /a/{id}/s/{script} by s:write\n"));
    assert_non_null(strstr(text, "1 refused POST /a/{id}/all: not_granted\n"));
    assert_non_null(strstr(text, "held by      deploy/0 (agent) from 1970-"));
    assert_non_null(strstr(text, "state        gone: read back:"));
    assert_non_null(strstr(text, evidence_account(evidence, 1)->sha256));
    assert_non_null(strstr(text, "NOT journaled"));
    mf_buf_clear(&out);
    assert_ok(certificate_text(certificates, 2, "finished", &out, &error));
    assert_non_null(strstr(mf_buf_cstr(&out), "gone: the provider answered the delete with: it is not there"));
    certificates_destroy(certificates);
    evidence_destroy(evidence);
    report_put_head(&report);
    evidence = gather();
    assert_ok(certificates_create(&certificates, evidence, report.run.journal, &error));
    mf_buf_clear(&out);
    json_begin(&writer, &out);
    assert_ok(certificate_json(certificates, 1, "finished", &writer, &error));
    struct json_document document;
    assert_ok(json_scan_error(&document, mf_buf_view(&out), &json_limits_default, &error));
    assert_true(json_is(&document, json_pointer(&document, MF_SPAN("/proof/head")), audit_head(report.audit)));
    assert_true(json_is(&document, json_pointer(&document, MF_SPAN("/held/0/task")), "deploy/0"));
    assert_true(json_is(&document, json_pointer(&document, MF_SPAN("/did/requests/0/permission")), "s:write"));
    json_document_free(&document);
    certificates_destroy(certificates);
    evidence_destroy(evidence);
    mf_buf_free(&out);
}

static int use_everything(void)
{
    struct evidence *evidence = NULL;
    struct least *least = NULL;
    struct certificates *certificates = NULL;
    struct mf_buf out;
    struct mf_error error = {0};
    mf_buf_init(&out, 1u << 20);
    int status = report_evidence(&report, &evidence, &error);
    if (status == 0)
        status = least_create(&least, evidence, &(struct least_options){true}, &error);
    if (status == 0)
        status = least_diff(least, "g", &out, &error);
    if (status == 0)
        status = audit_json(evidence, least, "running", &out, &error);
    if (status == 0)
        status = certificates_create(&certificates, evidence, report.run.journal, &error);
    if (status == 0)
        status = certificate_text(certificates, 1, "running", &out, &error);
    certificates_destroy(certificates);
    least_destroy(least);
    evidence_destroy(evidence);
    mf_buf_free(&out);
    return status;
}

static void test_without_memory(void **state)
{
    (void)state;
    fill();
    report_put_head(&report);
    uint64_t before = mf_alloc_count();
    assert_int_equal(use_everything(), 0);
    uint64_t allocations = mf_alloc_count() - before;
    assert_true(allocations > 100);
    for (uint64_t n = 0; n < allocations; n++) { /* some do without: a reason that is not shown, a name that is a number */
        mf_alloc_fail_after((int64_t)n, 1);
        use_everything();
        mf_alloc_fail_after(-1, 0);
    }
    assert_int_equal(use_everything(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_class_is_narrowed_by_each_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hash_of_an_account, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anomalies_egress_and_services, setup, teardown),
        cmocka_unit_test_setup_teardown(test_least, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_did_not_succeed_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_list_is_put_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_diff_and_patch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_csv, setup, teardown),
        cmocka_unit_test_setup_teardown(test_certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
