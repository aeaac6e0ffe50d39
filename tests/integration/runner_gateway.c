/*
 * runner_gateway.c - agents that know nothing but their environment, a gateway in between, a provider that records what it sees
 *
 * The provider is a server on this process' loop. No agent here has a sandbox: the token is its only guard (runner_sandbox.c has
 * the walls).
 */
#include "lib/runner_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/audit.h"
#include "gateway/gateway.h"
#include "net/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAL "real-credential-0123456789abcdef"
#define STATIC_SPAN(literal)                                                                                           \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    } /* an initialiser of static data */
#define SECOND "second-credential-fedcba9876543210"

/* --- the provider --- */

static struct upstream {
    struct net_server *server;
    char origin[64];
    uint32_t requests, dropped;
    char method[16], target[512], authorization[256], key[256];
    bool hold;  /* answer nothing */
    int status; /* of every answer */
    const char *body;
    struct world *world;
} upstream;

static void copy(struct mf_span from, char *out, size_t out_bytes)
{
    assert_int_equal(mf_span_copy(from, out, out_bytes), 0);
}

static void on_gone(void *context)
{
    (void)context;
    upstream.dropped++;
    net_loop_again(upstream.world->loop);
}

static void on_request(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    struct net_header type = {MF_SPAN("content-type"), MF_SPAN("application/json")};
    (void)context;
    upstream.requests++;
    upstream.authorization[0] = upstream.key[0] = '\0';
    copy(request->method, upstream.method, sizeof upstream.method);
    copy(request->target, upstream.target, sizeof upstream.target);
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (mf_span_is(request->headers[i].name, "authorization"))
            copy(request->headers[i].value, upstream.authorization, sizeof upstream.authorization);
        if (mf_span_is(request->headers[i].name, "x-api-key"))
            copy(request->headers[i].value, upstream.key, sizeof upstream.key);
    }
    if (upstream.hold)
        server_exchange_on_drop(exchange, on_gone, NULL);
    else
        server_reply(exchange, upstream.status, &type, 1, mf_span(upstream.body));
    net_loop_again(upstream.world->loop);
}

/* --- policies, services, leases --- */

static const char account_policy[] =
    "{\"policy\":1,\"name\":\"cloud\",\"base_path\":\"/client/v4\","
    "\"token\":[{\"header\":\"authorization\",\"scheme\":\"Bearer\"}],"
    "\"permissions\":[\"things:read\",\"things:write\"],"
    "\"rules\":[[\"GET /accounts/{account_id}/things\",0],[\"PUT /accounts/{account_id}/things/*\",1]],"
    "\"benign\":[\"GET /user\"]}";

static const char service_policy[] =
    "{\"policy\":1,\"name\":\"model\",\"base_path\":\"/v1\",\"token\":[{\"header\":\"x-api-key\"}],"
    "\"permissions\":[\"use\"],\"rules\":[[\"POST /messages\",0]],"
    "\"usage\":{\"model\":\"/model\",\"input\":\"/usage/input_tokens\",\"output\":\"/usage/output_tokens\","
    "\"request\":{\"model\":\"/model\",\"output_max\":[\"/max_tokens\"]},\"output_default\":100},"
    "\"prices\":{\"date\":\"2026-11-01\",\"models\":{\"*\":{\"input\":1.0,\"output\":2.0}}}}";

static void send_policy(struct world *world, uint64_t policy, const char *json)
{
    struct runner_policy message = {.policy = policy, .json = mf_span(json)};
    assert_int_equal(runner_send_policy(world->peer, &message, NULL), 0);
}

static const struct runner_variable lease_environment[] = {
    {STATIC_SPAN("CLOUD_TOKEN"), STATIC_SPAN(GATEWAY_TOKEN_MARK)},
    {STATIC_SPAN("CLOUD_URL"), STATIC_SPAN(GATEWAY_URL_MARK)},
    {STATIC_SPAN("CLOUD_ODD"), STATIC_SPAN("{{gateway.nothing}} {" GATEWAY_URL_MARK "/{x}")},
};

/* Lease n of stage n, on account "acc-n". */
static struct runner_lease lease_of(uint64_t lease)
{
    static struct runner_variable headers[1] = {{STATIC_SPAN("Authorization"), STATIC_SPAN("Bearer " REAL)}};
    static struct runner_variable bindings[1];
    static struct mf_span permissions[1] = {STATIC_SPAN("things:read")}, secrets[1] = {STATIC_SPAN(REAL)};
    static char account[32];
    snprintf(account, sizeof account, "acc-%llu", (unsigned long long)lease);
    bindings[0] = (struct runner_variable){MF_SPAN("account_id"), mf_span(account)};
    return (struct runner_lease){
        .lease = lease,
        .stage = lease,
        .environment = lease_environment,
        .environment_count = 3,
        .account_json = MF_SPAN("{\"token\":\"" GATEWAY_TOKEN_MARK "\",\"url\":\"" GATEWAY_URL_MARK "\"}"),
        .secrets = secrets,
        .secret_count = 1,
        .policy = 1,
        .account = (uint32_t)lease,
        .upstream = mf_span(upstream.origin),
        .headers = headers,
        .header_count = 1,
        .permissions = permissions,
        .permission_count = 1,
        .bindings = bindings,
        .binding_count = 1,
    };
}

static void send_lease(struct world *world, const struct runner_lease *lease)
{
    assert_int_equal(runner_send_lease(world->peer, lease, NULL), 0);
}

static void send_service(struct world *world, const char *credential, int64_t budget_micro_usd)
{
    struct mf_span value = mf_span(credential);
    struct runner_variable header = {MF_SPAN("x-api-key"), value};
    struct runner_service service = {
        .service = 9,
        .policy = 2,
        .name = MF_SPAN("model"),
        .upstream = mf_span(upstream.origin),
        .headers = &header,
        .header_count = 1,
        .budget_micro_usd = budget_micro_usd,
        .run_budget_micro_usd = -1,
        .secrets = &value,
        .secret_count = 1,
    };
    assert_int_equal(runner_send_service(world->peer, &service, NULL), 0);
}

static const struct runner_variable use_environment[] = {
    {STATIC_SPAN("MODEL_KEY"), STATIC_SPAN(GATEWAY_TOKEN_MARK)},
    {STATIC_SPAN("MODEL_URL"), STATIC_SPAN(GATEWAY_URL_MARK)},
};
static const struct runner_use uses[] = {{9, use_environment, 2}};

/* The script as task "tSTAGE" with the lease of its number. */
static struct world_stage *run_leased(struct world *world, uint64_t stage, const char *script)
{
    static uint64_t leases[1];
    struct runner_spawn spawn;
    struct runner_lease lease = lease_of(stage);
    send_lease(world, &lease);
    world_shell(&spawn, stage, script);
    leases[0] = stage;
    spawn.leases = leases;
    spawn.lease_count = 1;
    spawn.budget_micro_usd = -1;
    return world_run(world, &spawn);
}

static struct world_stage *run_using(struct world *world, uint64_t stage, const char *script)
{
    struct runner_spawn spawn;
    world_shell(&spawn, stage, script);
    spawn.uses = uses;
    spawn.use_count = 1;
    spawn.budget_micro_usd = -1;
    return world_run(world, &spawn);
}

#define GET_THINGS "curl -sS -m 20 -o answer -w '%{http_code}' -H \"Authorization: Bearer $CLOUD_TOKEN\" "

static void check_log(const struct world *world, uint64_t stage, const char *name, const char *want)
{
    char path[64];
    snprintf(path, sizeof path, "t%llu/1/%s", (unsigned long long)stage, name);
    char *text = world_read(world, path, NULL);
    assert_non_null(text);
    assert_string_equal(text, want);
    free(text);
}

static unsigned recorded(const struct world *world, const char *words)
{
    char *text = world_read(world, AUDIT_FILE, NULL);
    unsigned count = 0;
    assert_non_null(text);
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        count++;
    assert_null(strstr(text, REAL));
    free(text);
    return count;
}

/* The chain holds, and the head that was told is its last line's. */
static void check_chain(const struct world *world)
{
    size_t bytes;
    char *text = world_read(world, AUDIT_FILE, &bytes);
    struct audit_chain chain = {.count = 0};
    struct mf_error error;
    for (char *line = text, *end; line < text + bytes; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        if (audit_chain_take(&chain, (struct mf_span){line, (size_t)(end - line)}, &error) != 0)
            fail_msg("%s", error.text);
        if (chain.count == world->head_count)
            assert_string_equal(chain.head, world->head);
    }
    assert_true(chain.count >= world->head_count);
    free(text);
}

static int set_up(void **state)
{
    struct world *world = world_open();
    struct net_server_options options = {.host = "127.0.0.1", .body_bytes_max = 1 << 20};
    *state = world;
    memset(&upstream, 0, sizeof upstream);
    upstream.world = world;
    upstream.status = 200;
    upstream.body = "{\"result\":\"fine\"}";
    assert_int_equal(net_server_create(&upstream.server, world->loop, &options, on_request, NULL, NULL), 0);
    snprintf(upstream.origin, sizeof upstream.origin, "http://127.0.0.1:%u", net_server_port(upstream.server));
    send_policy(world, 1, account_policy);
    send_policy(world, 2, service_policy);
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    check_chain(world);
    net_server_destroy(upstream.server);
    world_close(world);
    return 0;
}

/* --- accounts --- */

static void an_agent_reaches_its_account(void **state)
{
    struct world *world = *state;
    struct world_stage *stage = run_leased(world, 3, GET_THINGS "\"$CLOUD_URL/accounts/acc-3/things\"");
    assert_int_equal(stage->exit.code, 0);
    check_log(world, 3, "stdout.log", "200");
    assert_int_equal(upstream.requests, 1);
    assert_string_equal(upstream.method, "GET");
    assert_string_equal(upstream.target, "/client/v4/accounts/acc-3/things");
    assert_string_equal(upstream.authorization, "Bearer " REAL);
    assert_int_equal(recorded(world, "\"event\":\"allowed\""), 1);
    assert_int_equal(recorded(world, "\"event\":\"answered\""), 1);
    assert_int_equal(recorded(world, "\"task\":\"t3\""), 2);
    assert_true(stage->head_count >= 2);
    assert_int_equal(stage->anomalies, 0);
}

/* Everything that the agent can find is a token of the gateway's. */
static void an_agent_holds_nothing_real(void **state)
{
    struct world *world = *state;
    struct world_stage *stage =
        run_leased(world, 4,
                   "set -e; env > env; cat /proc/self/environ >> env; cat /proc/$PPID/environ >> env 2>/dev/null || :\n"
                   "! grep -q '" REAL "' env\n"
                   "case $CLOUD_TOKEN in mfy_*) ;; *) exit 3;; esac; [ ${#CLOUD_TOKEN} = 47 ]\n"
                   "case $CLOUD_URL in http://127.0.0.1:*/client/v4) ;; *) exit 4;; esac\n"
                   "[ \"$MAYFLY_ACCOUNTS\" = "
                   "\"{\\\"account\\\":{\\\"token\\\":\\\"$CLOUD_TOKEN\\\",\\\"url\\\":\\\"$CLOUD_URL\\\"}}\" ]\n"
                   "[ \"$CLOUD_ODD\" = \"{{gateway.nothing}} {$CLOUD_URL/{x}\" ]\n"
                   "! env | grep -q gateway.token; ! env | grep -qi proxy\n"
                   "echo $CLOUD_TOKEN; echo " REAL "");
    assert_int_equal(stage->exit.code, 0);
    check_log(world, 4, "stdout.log", "[redacted]\n[redacted]\n");
}

static void what_was_not_declared_is_refused(void **state)
{
    struct world *world = *state;
    struct world_stage *stage =
        run_leased(world, 5,
                   GET_THINGS "-X PUT -d x \"$CLOUD_URL/accounts/acc-5/things/a\"; echo; " GET_THINGS
                              "\"$CLOUD_URL/accounts/acc-6/things\"; echo; " GET_THINGS "\"$CLOUD_URL/user\"");
    assert_int_equal(stage->exit.code, 0);
    check_log(world, 5, "stdout.log", "403\n403\n403");
    assert_int_equal(upstream.requests, 0);
    assert_int_equal(stage->violations, 2); /* the probe is none */
    assert_int_equal(recorded(world, "\"event\":\"refused\""), 3);
}

/* A token is good for nothing once its agent has ended, whoever presents it. */
static void a_token_ends_with_its_agent(void **state)
{
    struct world *world = *state;
    char script[512];
    snprintf(script, sizeof script, "echo $CLOUD_TOKEN > %s/token", world->base);
    assert_int_equal(run_leased(world, 6, script)->exit.code, 0);
    snprintf(script, sizeof script, "CLOUD_TOKEN=$(cat %s/token)\n%s", world->base,
             GET_THINGS "\"$CLOUD_URL/accounts/acc-6/things\"");
    struct world_stage *stage = run_leased(world, 7, script);
    check_log(world, 7, "stdout.log", "401");
    assert_int_equal(upstream.requests, 0);
    assert_int_equal(stage->violations, 0); /* whoever finds the port could have sent it: it is nobody's */
    assert_int_equal(world->lost_anomalies, 1);
    assert_string_equal(world->stages[0].last_anomaly, "replay");
}

/* The main process is over, something of it lives on in a session of its own: its token is dead. */
static void a_token_ends_with_the_main_process(void **state)
{
    struct world *world = *state;
    struct world_stage *stage = run_leased(
        world, 8,
        "(trap '' TERM; MAIN=$$ setsid sh -c 'while kill -0 $MAIN 2>/dev/null; do :; done; exec "
        "curl -sS -m 20 -H \"Authorization: Bearer $CLOUD_TOKEN\" $CLOUD_URL/accounts/acc-8/things' &)\nsleep 0.2");
    assert_int_equal(stage->exit.code, 0);
    assert_int_equal(upstream.requests, 0);
}

static bool was_requested(struct world *world, uint64_t stage)
{
    (void)world;
    (void)stage;
    return upstream.requests > 0;
}

static bool was_dropped(struct world *world, uint64_t stage)
{
    (void)stage;
    return world->dropped > 0;
}

static bool provider_lost_it(struct world *world, uint64_t stage)
{
    (void)world;
    (void)stage;
    return upstream.dropped > 0;
}

static void a_drop_ends_what_is_in_flight(void **state)
{
    static const uint64_t leases[] = {9};
    struct world *world = *state;
    struct runner_lease lease = lease_of(9);
    struct runner_spawn spawn;
    upstream.hold = true;
    send_lease(world, &lease);
    world_shell(&spawn, 9,
                GET_THINGS "\"$CLOUD_URL/accounts/acc-9/things\"; echo; " GET_THINGS
                           "\"$CLOUD_URL/accounts/acc-9/things\"");
    spawn.leases = leases;
    spawn.lease_count = 1;
    spawn.base = mf_span(world->base);
    world_send(world, &spawn);
    world_wait(world, was_requested, 9, 20000);
    assert_int_equal(runner_send_drop(world->peer, 9, NULL), 0);
    world_wait(world, was_dropped, 9, 20000);
    assert_int_equal(world->last_dropped, 9);
    assert_int_equal(recorded(world, "\"event\":\"answered\""), 1); /* before DROPPED */
    world_wait(world, provider_lost_it, 9, 20000);
    upstream.hold = false;
    world_wait(world, world_over, 9, 30000);
    assert_int_equal(upstream.requests, 1); /* the second one met a dead token */
    char *log = world_read(world, "t9/1/stdout.log", NULL);
    assert_non_null(strstr(log, "\n401"));
    free(log);
}

/* Also of a lease that no stage has, or that ended with its stage. */
static void every_drop_is_answered(void **state)
{
    struct world *world = *state;
    struct runner_lease lease = lease_of(10);
    send_lease(world, &lease);
    assert_int_equal(runner_send_drop(world->peer, 10, NULL), 0);
    world_wait(world, was_dropped, 0, 10000);
    world->dropped = 0;
    assert_int_equal(runner_send_drop(world->peer, 4711, NULL), 0);
    world_wait(world, was_dropped, 0, 10000);
    assert_int_equal(world->last_dropped, 4711);
    assert_int_equal(run_leased(world, 11, "true")->exit.code, 0);
    world->dropped = 0;
    assert_int_equal(runner_send_drop(world->peer, 11, NULL), 0);
    world_wait(world, was_dropped, 0, 10000);
}

static bool an_account_died(struct world *world, uint64_t stage)
{
    (void)stage;
    return world->accounts_dead > 0;
}

static void an_account_that_is_dead_is_told(void **state)
{
    struct world *world = *state;
    upstream.status = 401;
    run_leased(world, 12, "for i in 1 2 3; do " GET_THINGS "\"$CLOUD_URL/accounts/acc-12/things\"; done");
    world_wait(world, an_account_died, 12, 10000);
    assert_int_equal(world->last_dead, 12);
    assert_int_equal(world->accounts_dead, 1);
}

/* --- what cannot be given --- */

static void expect_refused(struct world *world, const struct runner_lease *lease, const char *words)
{
    uint64_t stage = lease->stage;
    struct runner_spawn spawn;
    send_lease(world, lease);
    world_shell(&spawn, stage, "true");
    spawn.leases = &lease->lease;
    spawn.lease_count = 1;
    struct world_stage *record = world_run(world, &spawn);
    assert_true(record->failed);
    if (strstr(record->reason, words) == NULL)
        fail_msg("%s", record->reason);
}

static void leases_that_cannot_be_opened(void **state)
{
    struct world *world = *state;
    struct mf_span unknown = MF_SPAN("things:everything");
    struct runner_lease lease = lease_of(20);
    lease.permissions = &unknown;
    expect_refused(world, &lease, "things:everything");
    lease = lease_of(21);
    lease.policy = 77;
    expect_refused(world, &lease, "policy 77");
    send_policy(world, 5, "{\"policy\":1,\"rules\":[[\"GET no-slash\",0]],\"permissions\":[\"a\"]}");
    lease = lease_of(22);
    lease.policy = 5;
    expect_refused(world, &lease, "policy");
    send_policy(world, 5, account_policy); /* sent again, well */
    lease = lease_of(23);
    lease.policy = 5;
    send_lease(world, &lease);
    struct runner_spawn spawn;
    world_shell(&spawn, 23, GET_THINGS "\"$CLOUD_URL/accounts/acc-23/things\"");
    spawn.leases = &lease.lease;
    spawn.lease_count = 1;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    check_log(world, 23, "stdout.log", "200");
    struct runner_use nobody = {55, NULL, 0};
    world_shell(&spawn, 24, "true");
    spawn.uses = &nobody;
    spawn.use_count = 1;
    assert_true(world_run(world, &spawn)->failed);
    assert_non_null(strstr(world->stages[24].reason, "service 55"));
}

/* --- services --- */

#define ASK                                                                                                            \
    "curl -sS -m 20 -o answer -w '%{http_code}\\n' -H \"x-api-key: $MODEL_KEY\" -H 'content-type: application/json' "  \
    "-d '{\"model\":\"m\",\"max_tokens\":10}' \"$MODEL_URL/messages\""

static void an_agent_uses_a_service(void **state)
{
    struct world *world = *state;
    upstream.body = "{\"model\":\"m\",\"usage\":{\"input_tokens\":1000,\"output_tokens\":500}}";
    send_service(world, REAL, -1);
    struct world_stage *stage =
        run_using(world, 30, "env > env; ! grep -q '" REAL "' env || exit 9; " ASK "; " ASK "; echo " REAL);
    assert_int_equal(stage->exit.code, 0);
    check_log(world, 30, "stdout.log", "200\n200\n[redacted]\n");
    assert_string_equal(upstream.key, REAL);
    assert_string_equal(upstream.target, "/v1/messages");
    assert_string_equal(stage->usage_of, "model");
    assert_int_equal(stage->usage.requests, 2);
    assert_int_equal(stage->usage.input_tokens, 2000);
    assert_int_equal(stage->usage.output_tokens, 1000);
    assert_int_equal(stage->usage.micro_usd, 4000);
    send_service(world, SECOND, -1); /* its credential was read again */
    assert_int_equal(run_using(world, 31, ASK)->exit.code, 0);
    assert_string_equal(upstream.key, SECOND);
}

static bool a_service_refused(struct world *world, uint64_t stage)
{
    (void)stage;
    return world->services_refused > 0;
}

static void a_service_that_refuses_its_key_is_told(void **state)
{
    struct world *world = *state;
    send_service(world, REAL, -1);
    upstream.status = 401;
    run_using(world, 32, ASK);
    world_wait(world, a_service_refused, 32, 10000);
    assert_int_equal(world->last_refused, 9);
}

static void a_budget_that_is_used_up_is_told(void **state)
{
    struct world *world = *state;
    send_service(world, REAL, 1);
    run_using(world, 33, ASK);
    assert_int_equal(upstream.requests, 0);
    assert_int_equal(world->stages[33].budgets + world->stages[0].budgets, 1);
}

int main(int argc, char **argv)
{
    int status;
    if (world_main(argc, argv, &status))
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_agent_reaches_its_account, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_agent_holds_nothing_real, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_not_declared_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_ends_with_its_agent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_ends_with_the_main_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_drop_ends_what_is_in_flight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_drop_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_account_that_is_dead_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leases_that_cannot_be_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_agent_uses_a_service, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_service_that_refuses_its_key_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_budget_that_is_used_up_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
