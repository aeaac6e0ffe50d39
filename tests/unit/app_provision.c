/*
 * app_provision.c - unit tests of app/provision.c and provision_gate.c against a scripted provider in the same process
 *
 * The provider is net/server with a list of answers for each path, taken in order; the last one stays. It notes every request.
 */
#include "app/provision.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "net/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEEN_MAX 64
#define JOBS_MAX 16

struct script { /* answers for one "METHOD /path", in order */
    const char *request;
    struct answer {
        int status; /* 0: reset; -1: never answered */
        const char *body, *header, *value, *second_header, *second_value;
    } answers[6];
    int used;
};

struct seen {
    char request[200], authorization[80], body[400];
    size_t body_length;
    int64_t at_ms;
};

struct job { /* what came back */
    struct provision_job *job;
    int done, steps;
    enum recipe_verdict verdict;
    bool rate_limited, inside;
    int64_t after_ms;
    char ids[300], step_ids[300], reason[200];
    uint32_t found;
    struct world *world;
};

struct world {
    struct net_loop *loop;
    struct net_server *server;
    struct net_client *client;
    struct provision *provision;
    struct recipe *recipe;
    struct script *scripts;
    struct seen seen[SEEN_MAX];
    int seen_count, open_jobs, hold_count, credential_reads;
    const char *credential, *fresh_credential;
    bool in_call, stop_at_request;
    char base_url[64], note[200];
    struct job jobs[JOBS_MAX];
    struct net_timer *alarm;
    struct net_exchange *held[8];
    int held_count;
};

static bool is_head_of(const char *request, struct mf_span method, struct mf_span target)
{
    size_t length = strlen(request);
    return length == method.length + 1 + target.length && memcmp(request, method.data, method.length) == 0 &&
           memcmp(request + method.length + 1, target.data, target.length) == 0;
}

static void note_request(struct world *world, const struct net_server_request *request)
{
    assert_true(world->seen_count < SEEN_MAX);
    struct seen *seen = &world->seen[world->seen_count++];
    snprintf(seen->request, sizeof seen->request, "%.*s %.*s", MF_SPAN_ARGS(request->method), MF_SPAN_ARGS(request->target));
    snprintf(seen->body, sizeof seen->body, "%.*s", (int)(request->body.length < 390 ? request->body.length : 390), request->body.length > 0 ? request->body.data : "");
    seen->body_length = request->body.length;
    seen->at_ms = net_now_ms();
    for (uint32_t i = 0; i < request->header_count; i++)
        if (mf_span_is(request->headers[i].name, "authorization"))
            snprintf(seen->authorization, sizeof seen->authorization, "%.*s", MF_SPAN_ARGS(request->headers[i].value));
}

static void handle(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    struct world *world = context;
    note_request(world, request);
    struct script *script = world->scripts;
    while (script->request != NULL && !is_head_of(script->request, request->method, request->target))
        script++;
    if (script->request == NULL)
        fail_msg("not in the script: %s", world->seen[world->seen_count - 1].request);
    const struct answer *answer = &script->answers[script->used];
    if (script->used < 5 && script->answers[script->used + 1].status != 0)
        script->used++;
    struct net_header headers[] = {{mf_span(answer->header), mf_span(answer->value)}, {mf_span(answer->second_header), mf_span(answer->second_value)}};
    uint32_t header_count = answer->header == NULL ? 0 : answer->second_header == NULL ? 1 : 2;
    if (answer->status == -1)
        world->held[world->held_count++] = exchange;
    else if (answer->status == 1)
        server_abort(exchange, SERVER_ABORT_RESET, 0, NULL, 0, mf_span(""));
    else
        server_reply(exchange, answer->status, headers, header_count, mf_span(answer->body));
    if (world->stop_at_request)
        net_loop_stop(world->loop);
}

/* --- callbacks --- */

static void on_step(void *context, struct provision_job *handle_of_job, uint32_t step, struct mf_span ids, struct mf_span secrets)
{
    struct job *job = context;
    (void)step;
    (void)secrets;
    assert_false(job->world->in_call);
    assert_ptr_equal(job->job, handle_of_job);
    snprintf(job->step_ids, sizeof job->step_ids, "%.*s", MF_SPAN_ARGS(ids));
    job->steps++;
    job->world->in_call = true; /* continuing must not call back from inside */
    provision_continue(handle_of_job);
    job->world->in_call = false;
}

static void on_done(void *context, struct provision_job *handle_of_job, const struct recipe_result *result)
{
    struct job *job = context;
    assert_false(job->world->in_call);
    assert_ptr_equal(job->job, handle_of_job);
    job->done++;
    job->verdict = result->verdict;
    job->rate_limited = result->rate_limited;
    job->after_ms = result->after_ms;
    job->found = result->found_count;
    snprintf(job->reason, sizeof job->reason, "%s", result->reason);
    snprintf(job->ids, sizeof job->ids, "%.*s", (int)result->ids_json.length, result->ids_json.length > 0 ? result->ids_json.data : "");
    job->job = NULL;
    if (--job->world->open_jobs == 0)
        net_loop_stop(job->world->loop);
}

static const struct provision_calls calls = {.step = on_step, .done = on_done};

static void on_hold(void *context, uint32_t provider, int64_t until_ms)
{
    struct world *world = context;
    assert_int_equal(provider, 0);
    assert_true(until_ms > net_now_ms());
    world->hold_count++;
}

static void on_note(void *context, uint32_t provider, const char *text)
{
    (void)provider;
    snprintf(((struct world *)context)->note, sizeof ((struct world *)context)->note, "%s", text);
}

static int read_credential(void *context, bool fresh, struct mf_span *out, struct mf_error *error)
{
    struct world *world = context;
    if (fresh) {
        world->credential_reads++;
        world->credential = world->fresh_credential;
    }
    if (world->credential == NULL)
        return mf_fail(error, MF_USAGE, "no credential");
    *out = mf_span(world->credential);
    return 0;
}

static void on_wake(void *context)
{
    provision_collect(((struct world *)context)->provision);
}

static void on_alarm(void *context)
{
    net_loop_stop(((struct world *)context)->loop);
}

/* --- world --- */

static const struct provision_events events = {.hold = on_hold, .note = on_note};

static void open_provision(struct world *world, const char *rate_file)
{
    struct provision_provider provider = {.recipe = world->recipe, .base_url = world->base_url, .credential = read_credential, .credential_context = world,
                                          .rate_file = rate_file};
    struct mf_error error;
    if (provision_create(&world->provision, world->loop, world->client, &provider, 1, 2, &events, world, &error) != 0)
        fail_msg("%s", error.text);
}

static struct world *open_world(const char *recipe, struct script *scripts, const char *rate_file)
{
    struct mf_error error;
    struct world *world = mf_calloc(1, sizeof *world);
    world->scripts = scripts;
    world->credential = world->fresh_credential = "first";
    struct net_server_options server = {.host = "127.0.0.1", .body_bytes_max = 2u << 20, .connections_max = 100, .idle_timeout_ms = 60000, .request_timeout_ms = 60000};
    struct net_client_options client = {0};
    struct mf_span text = recipe[0] == '{' ? mf_span(recipe) : recipe_shipped(recipe);
    if (net_loop_create(&world->loop, &error) != 0 || net_server_create(&world->server, world->loop, &server, handle, world, &error) != 0 ||
        net_client_create(&world->client, world->loop, &client, &error) != 0 || recipe_load(&world->recipe, text, "test", NULL, &error) != 0 ||
        net_timer_create(&world->alarm, world->loop, on_alarm, world, &error) != 0)
        fail_msg("%s", error.text);
    snprintf(world->base_url, sizeof world->base_url, "http://127.0.0.1:%u/v4/", net_server_port(world->server));
    open_provision(world, rate_file);
    net_loop_on_wake(world->loop, on_wake, world);
    return world;
}

static void close_world(struct world *world)
{
    for (int i = 0; i < JOBS_MAX; i++)
        assert_true(world->jobs[i].done <= 1);
    provision_destroy(world->provision);
    net_client_destroy(world->client);
    for (int i = 0; i < world->held_count; i++)
        if (world->held[i] != NULL)
            server_abort(world->held[i], SERVER_ABORT_CLOSE, 0, NULL, 0, mf_span(""));
    net_server_destroy(world->server);
    net_timer_destroy(world->alarm);
    net_loop_destroy(world->loop);
    recipe_destroy(world->recipe);
    mf_free(world);
}

static struct job *start(struct world *world, int index, enum recipe_op op)
{
    struct job *job = &world->jobs[index];
    *job = (struct job){.world = world};
    struct provision_spec spec = {.op = op, .tag = MF_SPAN("mayfly-me-abcdefghijkl-1"), .teardown = op != RECIPE_CREATE};
    if (op != RECIPE_CREATE && op != RECIPE_FIND) {
        spec.ids_json = MF_SPAN("{\"id\":\"a1\",\"account_id\":\"a1\",\"token_id\":\"t1\"}");
        spec.secrets_json = MF_SPAN("{\"token\":\"tk\"}");
    }
    struct mf_error error;
    world->in_call = true;
    if (provision_start(world->provision, &spec, &calls, job, &job->job, &error) != 0)
        fail_msg("%s", error.text);
    world->in_call = false;
    world->open_jobs++;
    return job;
}

static void run(struct world *world)
{
    net_timer_set(world->alarm, net_now_ms() + 20000);
    net_loop_run(world->loop);
    assert_int_equal(world->open_jobs, 0);
}

static void run_for(struct world *world, int64_t duration_ms)
{
    net_timer_set(world->alarm, net_now_ms() + duration_ms);
    net_loop_run(world->loop);
}

#define RECIPE(limits)                                                                                                                        \
    "{\"recipe\":1,\"name\":\"fake\",\"kind\":\"account\",\"base_url\":\"http://127.0.0.1:1\",\"error_code\":\"/code\",\"limits\":{\"lifetime\":\"1h\"" limits "}," \
    "\"create\":{\"headers\":{\"Authorization\":\"Bearer {{credential}}\"},\"steps\":[{\"name\":\"made\",\"http\":{\"method\":\"POST\",\"path\":\"/a\",\"body\":{\"name\":\"{{tag}}\"}},\"extract\":{\"id\":\"/id\"}},"   \
    "{\"name\":\"key\",\"http\":{\"method\":\"POST\",\"path\":\"/a/{{made.id}}/key\"},\"extract\":{\"key\":{\"pointer\":\"/key\",\"secret\":true}}}],"          \
    "\"result\":{\"ids\":{\"id\":\"{{made.id}}\"},\"secrets\":{\"token\":\"{{key.key}}\"}}},"                                                    \
    "\"find\":{\"steps\":[{\"name\":\"l\",\"http\":{\"path\":\"/a\",\"query\":{\"name\":\"{{tag}}\"}},\"extract\":{\"all\":{\"each\":\"\",\"pointer\":\"/id\"}}}],"   \
    "\"result\":{\"for_each\":\"{{l.all}}\",\"ids\":{\"id\":\"{{item}}\"}}},"                                                                  \
    "\"check\":{\"steps\":[{\"name\":\"r\",\"http\":{\"path\":\"/a/{{account.id}}\",\"headers\":{\"Authorization\":\"Bearer {{credential}}\"}},\"outcomes\":[{\"status\":[404],\"is\":\"gone\"}]}]}," \
    "\"delete\":{\"steps\":[{\"name\":\"d\",\"http\":{\"method\":\"DELETE\",\"path\":\"/a/{{account.id}}\",\"headers\":{\"Authorization\":\"Bearer {{credential}}\"}},\"outcomes\":[{\"status\":[404],\"is\":\"gone\"}]}]}}"

/* --- creating --- */

static void test_create(void **state)
{
    (void)state;
    struct script scripts[] = {{"POST /v4/a", {{201, "{\"id\":\"a1\"}"}}, 0}, {"POST /v4/a/a1/key", {{201, "{\"key\":\"k\"}"}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    struct job *job = start(world, 0, RECIPE_CREATE);
    run(world);
    assert_int_equal(job->verdict, RECIPE_VERDICT_SUCCESS);
    assert_string_equal(job->ids, "{\"id\":\"a1\"}");
    assert_string_equal(job->step_ids, "{\"id\":\"a1\"}");
    assert_int_equal(job->steps, 1);
    assert_int_equal(world->seen_count, 2);
    assert_string_equal(world->seen[0].body, "{\"name\":\"mayfly-me-abcdefghijkl-1\"}");
    assert_string_equal(world->seen[0].authorization, "Bearer first");
    close_world(world);
}

static void test_effects_are_sent_once(void **state)
{
    (void)state;
    static const struct {
        struct answer answer;
        enum recipe_verdict verdict;
        const char *reason;
    } cases[] = {
        {{1, ""}, RECIPE_VERDICT_UNKNOWN, "made: POST /a: sent, no complete answer"},
        {{500, "{\"code\":7}"}, RECIPE_VERDICT_UNKNOWN, "made: POST /a: HTTP 500 (code 7)"},
        {{200, "<html>"}, RECIPE_VERDICT_UNKNOWN, NULL},
        {{302, "", "location", "http://127.0.0.1:1/v4/a"}, RECIPE_VERDICT_UNKNOWN, "made: POST /a: HTTP 302"},
        {{403, ""}, RECIPE_VERDICT_REFUSED, "made: POST /a: HTTP 403"},
        {{429, "", "retry-after", "1"}, RECIPE_VERDICT_RETRY, "made: POST /a: HTTP 429"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct script scripts[] = {{"POST /v4/a", {cases[i].answer}, 0}, {NULL}};
        struct world *world = open_world(RECIPE(""), scripts, NULL);
        struct job *job = start(world, 0, RECIPE_CREATE);
        run(world);
        assert_int_equal(job->verdict, cases[i].verdict);
        if (cases[i].reason != NULL)
            assert_int_equal(strncmp(job->reason, cases[i].reason, strlen(cases[i].reason)), 0); /* the cause may follow */
        assert_int_equal(world->seen_count, 1);
        assert_int_equal(job->rate_limited, cases[i].answer.status == 429);
        assert_int_equal(job->after_ms, cases[i].answer.status == 429 ? 1000 : 0);
        close_world(world);
    }
}

static void test_nobody_listens(void **state)
{
    (void)state;
    struct script scripts[] = {{NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    provision_destroy(world->provision);
    snprintf(world->base_url, sizeof world->base_url, "http://127.0.0.1:1/v4");
    open_provision(world, NULL);
    struct job *job = start(world, 0, RECIPE_CREATE);
    run(world);
    assert_int_equal(job->verdict, RECIPE_VERDICT_RETRY);
    assert_int_equal(strncmp(job->reason, "made: POST /a: not sent: http://127.0.0.1:1: ", 45), 0);
    close_world(world);
}

/* --- reading --- */

static void test_reads_are_repeated(void **state)
{
    (void)state;
    struct script scripts[] = {{"GET /v4/a/a1", {{1, ""}, {503, ""}, {404, ""}}, 0},
                               {"GET /v4/a?name=mayfly-me-abcdefghijkl-1", {{502, ""}, {502, ""}, {502, ""}, {200, "[]"}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    struct job *check = start(world, 0, RECIPE_CHECK), *find = start(world, 1, RECIPE_FIND);
    run(world);
    assert_int_equal(check->verdict, RECIPE_VERDICT_GONE);
    assert_int_equal(find->verdict, RECIPE_VERDICT_RETRY);
    assert_int_equal(world->seen_count, 6); /* three each, never more */
    struct provision_counters counters;
    provision_counters(world->provision, &counters);
    assert_int_equal(counters.requests, 6);
    assert_int_equal(counters.retried, 4);
    close_world(world);
}

static void test_found(void **state)
{
    (void)state;
    struct script scripts[] = {{"GET /v4/a?name=mayfly-me-abcdefghijkl-1", {{200, "[{\"id\":\"x\"},{\"id\":\"y\"}]"}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    struct job *find = start(world, 0, RECIPE_FIND);
    run(world);
    assert_int_equal(find->verdict, RECIPE_VERDICT_SUCCESS);
    assert_int_equal(find->found, 2);
    assert_string_equal(find->ids, "{\"id\":\"x\"}");
    close_world(world);
}

/* --- the gate --- */

static void test_gate_is_for_all_and_teardown_goes_first(void **state)
{
    (void)state;
    struct script scripts[] = {{"POST /v4/a", {{429, "", "retry-after", "1"}, {403, ""}}, 0}, {"DELETE /v4/a/a1", {{204, ""}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    struct job *first = start(world, 0, RECIPE_CREATE);
    run(world);
    assert_int_equal(first->verdict, RECIPE_VERDICT_RETRY);
    assert_int_equal(world->hold_count, 1);
    assert_string_equal(world->note, "provider fake: HTTP 429, waiting 1.0s");
    int64_t shut_ms = net_now_ms();
    start(world, 1, RECIPE_CREATE);
    start(world, 2, RECIPE_CREATE);
    struct job *deleted = start(world, 3, RECIPE_DELETE);
    run(world);
    assert_int_equal(deleted->verdict, RECIPE_VERDICT_SUCCESS);
    assert_int_equal(world->seen_count, 4);
    assert_true(world->seen[1].at_ms >= shut_ms + 900);
    assert_int_equal(strncmp(world->seen[1].request, "DELETE", 6), 0);
    close_world(world);
}

static void test_remaining_zero(void **state)
{
    (void)state;
    static const struct {
        const char *remaining, *reset;
        int64_t wait_ms; /* at least; 0: the gate stays open */
    } cases[] = {
        {"0", "1", 900},
        {"0", "Sun, 06 Nov 1994 08:49:37 GMT", 0},
        {"0", "soon", 0},
        {"0", NULL, 0},
        {"1", "5", 0},
        {"-1", "5", 0},
        {"0", "99999999999999999999", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct script scripts[] = {{"DELETE /v4/a/a1", {{204, "", "x-ratelimit-remaining", cases[i].remaining, cases[i].reset == NULL ? NULL : "x-ratelimit-reset", cases[i].reset}, {204, ""}}, 0}, {NULL}};
        struct world *world = open_world(RECIPE(""), scripts, NULL);
        struct job *job = start(world, 0, RECIPE_DELETE);
        run(world);
        assert_int_equal(job->verdict, RECIPE_VERDICT_SUCCESS);
        start(world, 1, RECIPE_DELETE);
        run(world);
        int64_t waited_ms = world->seen[1].at_ms - world->seen[0].at_ms;
        assert_int_equal(world->hold_count, cases[i].wait_ms > 0);
        assert_true(cases[i].wait_ms > 0 ? waited_ms >= cases[i].wait_ms : waited_ms < 500);
        close_world(world);
    }
}

static void test_retry_after_for_reads(void **state)
{
    (void)state;
    struct script scripts[] = {{"GET /v4/a/a1", {{429, "", "retry-after", "1"}, {200, "{}"}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    struct job *job = start(world, 0, RECIPE_CHECK);
    run(world);
    assert_int_equal(job->verdict, RECIPE_VERDICT_SUCCESS);
    assert_true(world->seen[1].at_ms >= world->seen[0].at_ms + 950);
    close_world(world);
    struct script patient[] = {{"GET /v4/a/a1", {{429, "", "retry-after", "1000000000"}}, 0}, {NULL}};
    world = open_world(RECIPE(""), patient, NULL);
    job = start(world, 0, RECIPE_CHECK);
    run(world); /* not worth waiting for inside the job */
    assert_int_equal(job->verdict, RECIPE_VERDICT_RETRY);
    assert_int_equal(job->after_ms, 300000);
    assert_string_equal(world->note, "provider fake: HTTP 429, waiting 5m00s");
    close_world(world);
}

static void test_429_without_a_time(void **state)
{
    (void)state;
    struct script scripts[] = {{"GET /v4/a/a1", {{429, ""}, {429, "", "retry-after", "garbage"}, {200, "{}"}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    struct job *job = start(world, 0, RECIPE_CHECK);
    run(world);
    assert_int_equal(job->verdict, RECIPE_VERDICT_SUCCESS);
    assert_true(world->seen[1].at_ms >= world->seen[0].at_ms + 120);
    assert_true(world->seen[2].at_ms >= world->seen[1].at_ms + 240); /* the pause doubles */
    assert_int_equal(world->hold_count, 2);
    close_world(world);
}

static void check_budget(const char *rate_file)
{
    struct script scripts[] = {{"POST /v4/a", {{403, ""}}, 0}, {"DELETE /v4/a/a1", {{204, ""}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(",\"requests_max\":10,\"window\":\"1h\""), scripts, rate_file);
    for (int i = 0; i < 10; i++)
        start(world, i, RECIPE_CREATE);
    run_for(world, 300);
    assert_int_equal(world->seen_count, 8); /* the rest is for teardown */
    struct job *first = start(world, 10, RECIPE_DELETE), *second = start(world, 11, RECIPE_DELETE), *third = start(world, 12, RECIPE_DELETE);
    run_for(world, 300);
    assert_int_equal(first->done + second->done + third->done, 2);
    assert_int_equal(world->seen_count, 10);
    close_world(world);
}

static void test_budget(void **state)
{
    (void)state;
    check_budget(NULL);
    char folder[] = "/tmp/mayfly-provision-XXXXXX", file[64];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/fake.rate", folder);
    check_budget(file);
    unlink(file);
    rmdir(folder);
}

/* --- credential --- */

static void test_credential_is_read_again_once(void **state)
{
    (void)state;
    struct script scripts[] = {{"POST /v4/a", {{401, ""}, {201, "{\"id\":\"a1\"}"}}, 0}, {"POST /v4/a/a1/key", {{401, ""}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    world->fresh_credential = "second";
    struct job *job = start(world, 0, RECIPE_CREATE);
    run(world);
    assert_int_equal(job->verdict, RECIPE_VERDICT_REFUSED);
    assert_int_equal(world->seen_count, 3);
    assert_string_equal(world->seen[0].authorization, "Bearer first");
    assert_string_equal(world->seen[1].authorization, "Bearer second");
    assert_string_equal(world->seen[2].authorization, "Bearer second");
    assert_string_equal(world->seen[1].body, world->seen[0].body);
    assert_int_equal(world->credential_reads, 1);
    close_world(world);
    struct script same[] = {{"POST /v4/a", {{401, ""}}, 0}, {NULL}}; /* the same one again would get the same answer */
    world = open_world(RECIPE(""), same, NULL);
    job = start(world, 0, RECIPE_CREATE);
    run(world);
    assert_int_equal(job->verdict, RECIPE_VERDICT_REFUSED);
    assert_int_equal(world->seen_count, 1);
    close_world(world);
}

static void test_no_credential(void **state)
{
    (void)state;
    struct script scripts[] = {{NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    world->credential = NULL;
    struct provision_spec spec = {.op = RECIPE_CREATE, .tag = MF_SPAN("t")};
    struct provision_job *job;
    struct mf_error error;
    assert_int_equal(provision_start(world->provision, &spec, &calls, NULL, &job, &error), -1);
    assert_string_equal(error.text, "no credential");
    assert_null(job);
    spec.op = RECIPE_LIST;
    assert_int_equal(provision_start(world->provision, &spec, &calls, NULL, &job, &error), -1);
    close_world(world);
}

/* --- proof of work --- */

#define CHALLENGE(k, g) "{\"result\":{\"challengeToken\":\"ct\",\"seed\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\",\"k\":" k ",\"g\":" g "}}"

static void test_proof(void **state)
{
    (void)state;
    struct script scripts[] = {{"POST /v4/provisioning/previews/challenge", {{200, CHALLENGE("4", "3")}}, 0},
                               {"POST /v4/provisioning/previews",
                                {{200, "{\"result\":{\"account\":{\"id\":\"a1\",\"apiToken\":\"t\",\"expiresAt\":\"2036-01-01T00:00:00Z\"},"
                                       "\"claim\":{\"url\":\"u\",\"expiresAt\":\"2036-01-01T00:00:00Z\"}}}"}}, 0}, {NULL}};
    struct world *world = open_world("cloudflare-temporary", scripts, NULL);
    struct job *job = start(world, 0, RECIPE_CREATE);
    run(world);
    assert_int_equal(job->verdict, RECIPE_VERDICT_SUCCESS);
    assert_string_equal(job->ids, "{\"account_id\":\"a1\"}");
    const char *solution = strstr(world->seen[1].body, "\"checkpoints\":\"");
    assert_non_null(solution);
    assert_non_null(strstr(solution, "Yw3NKWbEM2aRElRIu7JbT")); /* cp[0] of the published vector */
    struct provision_counters counters;
    provision_counters(world->provision, &counters);
    assert_int_equal(counters.proofs, 1);
    assert_int_equal(counters.proof_hashes, 12);
    close_world(world);
}

static void test_absurd_proof(void **state)
{
    (void)state;
    static const char *const challenges[] = {CHALLENGE("20000", "9223372036854775807"), CHALLENGE("64000000", "1000"), CHALLENGE("20001", "1"), CHALLENGE("0", "1")};
    for (size_t i = 0; i < 4; i++) {
        struct script scripts[] = {{"POST /v4/provisioning/previews/challenge", {{200, challenges[i]}}, 0}, {NULL}};
        struct world *world = open_world("cloudflare-temporary", scripts, NULL);
        struct job *job = start(world, 0, RECIPE_CREATE);
        run(world);
        assert_int_equal(job->verdict, RECIPE_VERDICT_REFUSED);
        assert_string_equal(job->reason, "proof: challenge could not be solved");
        close_world(world);
    }
}

/* --- cancelling and destroying --- */

static void test_cancel(void **state)
{
    (void)state;
    struct script scripts[] = {{"POST /v4/a", {{-1, ""}}, 0}, {"GET /v4/a/a1", {{429, "", "retry-after", "300"}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    struct job *flying = start(world, 0, RECIPE_CREATE);
    world->stop_at_request = true;
    run_for(world, 5000);
    assert_int_equal(world->seen_count, 1);
    world->stop_at_request = false;
    provision_cancel(flying->job);
    provision_cancel(flying->job);
    run(world);
    assert_int_equal(flying->verdict, RECIPE_VERDICT_UNKNOWN); /* it was sent */
    struct job *check = start(world, 1, RECIPE_CHECK);
    run(world);
    assert_int_equal(check->verdict, RECIPE_VERDICT_RETRY); /* and the gate is shut now */
    struct job *waiting = start(world, 2, RECIPE_CREATE), *deleting = start(world, 3, RECIPE_DELETE);
    world->in_call = true;
    provision_cancel(waiting->job);
    provision_cancel(deleting->job);
    world->in_call = false;
    run(world);
    assert_int_equal(waiting->verdict, RECIPE_VERDICT_RETRY);
    assert_string_equal(waiting->reason, "cancelled");
    assert_int_equal(deleting->verdict, RECIPE_VERDICT_RETRY);
    assert_int_equal(world->seen_count, 2);
    close_world(world);
}

static void test_cancel_of_a_proof(void **state)
{
    (void)state;
    struct script scripts[] = {{"POST /v4/provisioning/previews/challenge", {{200, CHALLENGE("20000", "3000")}}, 0}, {NULL}};
    struct world *world = open_world("cloudflare-temporary", scripts, NULL);
    struct job *job = start(world, 0, RECIPE_CREATE);
    run_for(world, 100); /* now it is being solved */
    assert_int_equal(job->done, 0);
    int64_t before_ms = net_now_ms();
    provision_cancel(job->job);
    run(world);
    assert_int_equal(job->verdict, RECIPE_VERDICT_RETRY);
    assert_string_equal(job->reason, "cancelled");
    assert_true(net_now_ms() - before_ms < 2000);
    close_world(world);
}

static void test_destroy_with_open_jobs(void **state)
{
    (void)state;
    struct script scripts[] = {{"POST /v4/a", {{-1, ""}}, 0}, {"GET /v4/a/a1", {{1, ""}}, 0}, {NULL}};
    struct world *world = open_world(RECIPE(""), scripts, NULL);
    struct job *flying = start(world, 0, RECIPE_CREATE), *reading = start(world, 1, RECIPE_CHECK);
    world->stop_at_request = true;
    run_for(world, 5000);
    start(world, 2, RECIPE_DELETE);
    provision_destroy(world->provision);
    world->provision = NULL;
    run_for(world, 100);
    assert_int_equal(flying->done + reading->done + world->jobs[2].done, 0);
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_effects_are_sent_once),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_reads_are_repeated),
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_gate_is_for_all_and_teardown_goes_first),
        cmocka_unit_test(test_remaining_zero),
        cmocka_unit_test(test_retry_after_for_reads),
        cmocka_unit_test(test_429_without_a_time),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_credential_is_read_again_once),
        cmocka_unit_test(test_no_credential),
        cmocka_unit_test(test_proof),
        cmocka_unit_test(test_absurd_proof),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_of_a_proof),
        cmocka_unit_test(test_destroy_with_open_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
