/* report_help.h - a run with a graph, a policy, a journal and a record of requests, for tests of evidence */
#ifndef MF_TESTS_REPORT_HELP_H
#define MF_TESTS_REPORT_HELP_H

#include "store_help.h"

#include "report/audit.h"

static const char report_graph[] =
    "{ \"mayfly\": 1, \"provider\": \"p\",\n"
    "  \"services\": { \"model\": { \"credential\": { \"env\": \"KEY\" } } },\n"
    "  \"tasks\": {\n"
    "    \"deploy\": { \"for_each\": [1, 2], \"command\": [\"true\"],\n"
    "      \"account\": { \"permissions\": [\n"
    "        \"s:write\",\n"
    "        \"kv:write\"\n"
    "      ] },\n"
    "      \"verify\": { \"command\": [\"true\"], \"permissions\": [ \"s:read\" ] } },\n"
    "    \"look\": { \"command\": [\"true\"], \"uses\": [\"model\"], \"account\": { \"permissions\": "
    "[{ \"name\": \"s:write\", \"only\": { \"script\": \"one\" } }, \"all:write\"] } },\n"
    "    \"lend\": { \"command\": [\"true\"], \"account\": { \"permissions\": [\"kv:write\", \"s:read\"] } },\n"
    "    \"borrow\": { \"needs\": [\"lend\"], \"command\": [\"true\"], \"account\": { \"from\": \"lend\", \"permissions\": [\"s:read\"] } },\n"
    "    \"bare\": { \"command\": [\"true\"], \"account\": {} } } }";

static const char report_policy[] =
    "{\"policy\":1,\"name\":\"p\",\"base_path\":\"/v4\",\"permissions\":[\"s:read\",\"s:write\",\"kv:write\",\"all:write\",\"tail:read\"],"
    "\"rules\":[[\"GET /a/{id}/s/{script}\",4],[\"GET /a/{id}/s/{script}\",0],[\"GET /a/{id}/s\",0],"
    "[\"GET /a/{id}/s/{script}\",1],[\"GET /a/{id}/s\",1],[\"PUT /a/{id}/s/{script}\",1],[\"DELETE /a/{id}/s/{script}\",1],"
    "[\"PUT /a/{id}/kv/{key:opaque}\",2],"
    "[\"PUT /a/{id}/kv/{key:opaque}\",3],[\"GET /a/{id}/s\",3],[\"POST /a/{id}/all\",3],[\"PUT /a/{id}/all\",3],[\"GET /a/{id}/all\",3]]}";

struct report_run {
    struct help_run run;
    struct graph *graph;
    struct policy *policy;
    struct evidence_provider provider;
    struct audit *audit;
    int dir_fd;
    uint64_t seq;
};

static inline int report_load_graph(struct graph **out, const char *text, struct mf_error *error)
{
    struct diagnostics *diagnostics = NULL;
    struct mf_buf copy, printed;
    mf_buf_init(&copy, 1u << 20);
    mf_buf_init(&printed, 1u << 20);
    mf_buf_text(&copy, text);
    assert_int_equal(diagnostics_create(&diagnostics, "g.json", DIAGNOSTICS_SHOWN_MAX, error), 0);
    int status = graph_load(out, &copy, &(struct graph_options){.comments = true}, diagnostics, error);
    diagnostics_print(diagnostics, &printed);
    if (status != 0)
        fail_msg("%s", mf_buf_cstr(&printed));
    diagnostics_destroy(diagnostics);
    mf_buf_free(&printed);
    return status;
}

static inline void report_put(struct report_run *report, struct core_record record, const char *extra)
{
    record.seq = ++report->seq;
    record.at_ms = 1000 + (int64_t)record.seq;
    help_turn(report->run.journal, &record, 1, extra);
}

static inline void report_put_task(struct report_run *report, enum core_record_kind kind, uint32_t node, int64_t f0, int64_t f1, int64_t f2)
{
    report_put(report, help_task(0, kind, node, f0, f1, f2), "");
}

static inline void report_put_account(struct report_run *report, enum core_record_kind kind, uint32_t account, int64_t f0, int64_t f1, int64_t f2)
{
    report_put(report, help_account(0, kind, account, f0, f1, f2), "");
}

/* What the orchestrator journals of the record now. */
static inline void report_put_head(struct report_run *report)
{
    char extra[100];
    snprintf(extra, sizeof extra, "\"head\":\"%s\"", audit_head(report->audit));
    struct core_record record = help_task(0, CORE_RUN_AUDIT, CORE_NONE, (int64_t)audit_count(report->audit), 0, 0);
    report_put(report, record, extra);
}

/* A task that ran to its end. */
static inline void report_put_life(struct report_run *report, uint32_t node, bool succeeded)
{
    report_put_task(report, CORE_TASK_READY, node, 0, 0, 0);
    report_put_task(report, CORE_TASK_PROVISION, node, 1, 0, 0);
    report_put_task(report, CORE_TASK_SPAWN, node, 1, CORE_STAGE_AGENT, 0);
    report_put_task(report, CORE_TASK_STARTED, node, CORE_STAGE_AGENT, 5, 6);
    report_put_task(report, CORE_TASK_EXITED, node, CORE_STAGE_AGENT, succeeded ? 0 : 1, 0);
    report_put_task(report, succeeded ? CORE_TASK_SUCCEEDED : CORE_TASK_FAILED, node, 1, succeeded ? 0 : CORE_CLASS_AGENT, 0);
}

/* The whole life of an account of a node's slot. */
static inline void report_put_account_life(struct report_run *report, uint32_t account, uint32_t node, bool read_back)
{
    report_put_account(report, CORE_ACCOUNT_CREATE, account, node, 0, 0);
    report_put_account(report, CORE_ACCOUNT_CREATED, account, 0, 0, 0);
    report_put_account(report, CORE_LEASE_GRANT, account, node, CORE_STAGE_AGENT, 0);
    report_put_account(report, CORE_LEASE_DROP, account, (int64_t)report->seq, 0, 0);
    report_put_account(report, CORE_LEASE_DROPPED, account, (int64_t)report->seq - 1, 0, 0);
    report_put_account(report, CORE_ACCOUNT_RELEASED, account, 0, 0, 0);
    report_put_account(report, CORE_ACCOUNT_DELETE, account, 0, 0, 0);
    if (read_back)
        report_put_account(report, CORE_ACCOUNT_DELETED, account, 0, 0, 0);
    report_put_account(report, CORE_ACCOUNT_GONE, account, 0, 0, 0);
}

static inline void report_open(struct report_run *report)
{
    struct mf_error error = {0};
    memset(report, 0, sizeof *report);
    help_make_base();
    assert_ok(state_open(&report->run.state, help_path("state"), true, &error));
    assert_ok(state_run_create(report->run.state, report->run.id, &report->dir_fd, &error));
    report->run.dir = state_run_path(report->run.state, report->run.id, NULL);
    report->run.key = mf_strdup(help_path("state/key"));
    struct journal_run row = help_run_row(report->run.id);
    row.graph_text = mf_span(report_graph);
    row.providers_json = MF_SPAN("[{\"name\":\"p\"}]");
    assert_ok(journal_create(&report->run.journal, report->run.dir, report->run.key, &row, &error));
    assert_ok(report_load_graph(&report->graph, report_graph, &error));
    assert_ok(policy_create(&report->policy, mf_span(report_policy), &error));
    report->provider = (struct evidence_provider){.policy = report->policy, .can_check = true};
    assert_ok(evidence_count_rules(&report->provider, mf_span(report_policy), &error));
    const struct audit_options options = {.run_dir_fd = report->dir_fd, .run_id = report->run.id, .at_ms = 1000};
    assert_ok(audit_open(&report->audit, &options, &error));
}

static inline void report_close(struct report_run *report)
{
    audit_close(report->audit);
    policy_destroy(report->policy);
    graph_destroy(report->graph);
    close(report->dir_fd);
    help_close(&report->run);
    help_remove_base();
}

static inline int report_evidence(struct report_run *report, struct evidence **out, struct mf_error *error)
{
    const struct evidence_sources sources = {.journal = report->run.journal,
                                             .graph = report->graph,
                                             .providers = &report->provider,
                                             .run_dir_fd = report->dir_fd};
    return evidence_create(out, &sources, error);
}

/* --- requests --- */

static inline struct audit_subject report_subject(const char *task, const char *stage, uint32_t account)
{
    return (struct audit_subject){
        .task = mf_span(task), .attempt = 1, .stage = stage, .provider = MF_SPAN("p"), .account = account};
}

/* One allowed request and its answer. */
static inline void report_request(struct report_run *report, struct audit_subject subject, const char *method, const char *path,
                                  const char *rule, const char *permission, int status)
{
    struct mf_error error = {0};
    const struct audit_request request = {.subject = subject,
                                          .request = audit_next_request(report->audit),
                                          .method = mf_span(method),
                                          .path = mf_span(path),
                                          .rule = mf_span(rule),
                                          .permission = mf_span(permission)};
    const struct audit_answer answer = {
        .subject = subject, .request = request.request, .status = status, .outcome = "complete", .sent_bytes = 10, .received_bytes = 20, .duration_ms = 3};
    assert_ok(audit_allowed(report->audit, 2000, &request, &error));
    if (status > 0)
        assert_ok(audit_answered(report->audit, 2003, &answer, &error));
}

static inline void report_refusal(struct report_run *report, struct audit_subject subject, const char *method, const char *path,
                                  const char *rule, const char *permission, const char *reason)
{
    struct mf_error error = {0};
    const struct audit_request request = {
        .subject = subject, .method = mf_span(method), .path = mf_span(path), .rule = mf_span(rule), .permission = mf_span(permission)};
    assert_ok(audit_refused(report->audit, 2010, &request, 403, reason, &error));
}

#endif
