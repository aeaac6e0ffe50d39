/*
 * runner_egress.c - what a sandboxed agent reaches: its account, what its list says, what was deployed; and nothing else
 *
 * Three servers on this process' loop: a provider, a place in the world (on 127.0.0.2, so that the usual proxy variables are for
 * it) and the provider's address for what agents deploy.
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
#include "sandbox/sandbox.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAL "real-credential-0123456789abcdef"
#define STATIC_SPAN(literal)                                                                                           \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    } /* an initialiser of static data */

struct place {
    struct net_server *server;
    char at[64]; /* "127.0.0.2:40123" */
    uint32_t requests;
    char method[16], target[256], host[64], authorization[128], body[64];
};

static struct place provider, outside;
static struct world *the_world;

static void copy(struct mf_span from, char *out, size_t out_bytes)
{
    assert_int_equal(mf_span_copy(from, out, out_bytes), 0);
}

static void on_request(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    struct place *place = context;
    place->requests++;
    place->authorization[0] = '\0';
    copy(request->method, place->method, sizeof place->method);
    copy(request->target, place->target, sizeof place->target);
    copy(request->body, place->body, sizeof place->body);
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (mf_span_is(request->headers[i].name, "authorization"))
            copy(request->headers[i].value, place->authorization, sizeof place->authorization);
        if (mf_span_is(request->headers[i].name, "host"))
            copy(request->headers[i].value, place->host, sizeof place->host);
    }
    server_reply(exchange, 200, NULL, 0, MF_SPAN("served"));
    net_loop_again(the_world->loop);
}

static void open_place(struct place *place, const char *host)
{
    struct net_server_options options = {.host = host, .body_bytes_max = 1 << 20};
    memset(place, 0, sizeof *place);
    assert_int_equal(net_server_create(&place->server, the_world->loop, &options, on_request, place, NULL), 0);
    snprintf(place->at, sizeof place->at, "%s:%u", host, net_server_port(place->server));
}

/* --- stages --- */

static char egress_text[80], reach_text[96];
static struct mf_span egress[1], reach[1];

static struct runner_walls walls_of(bool with_egress, bool with_reach)
{
    snprintf(egress_text, sizeof egress_text, "!%s", outside.at);
    snprintf(reach_text, sizeof reach_text, "http://%s/__workers/", provider.at);
    egress[0] = mf_span(egress_text);
    reach[0] = mf_span(reach_text);
    return (struct runner_walls){.sandbox = true,
                                 .egress = egress,
                                 .egress_count = with_egress ? 1 : 0,
                                 .reach = reach,
                                 .reach_count = with_reach ? 1 : 0};
}

static struct world_stage *run_walled(uint64_t stage, bool with_egress, bool with_reach, const char *script)
{
    struct runner_variable places[] = {{MF_SPAN("OUTSIDE"), mf_span(outside.at)},
                                       {MF_SPAN("PROVIDER"), mf_span(provider.at)}};
    struct runner_spawn spawn;
    world_shell(&spawn, stage, script);
    spawn.environment = places;
    spawn.environment_count = 2;
    spawn.walls = walls_of(with_egress, with_reach);
    struct world_stage *record = world_run(the_world, &spawn);
    if (record->failed)
        fail_msg("%s", record->reason);
    return record;
}

static void check_said(uint64_t stage, const char *name, const char *want)
{
    char path[64];
    snprintf(path, sizeof path, "t%llu/1/%s", (unsigned long long)stage, name);
    char *text = world_read(the_world, path, NULL);
    assert_non_null(text);
    assert_string_equal(text, want);
    free(text);
}

static unsigned recorded(const char *words)
{
    char *text = world_read(the_world, AUDIT_FILE, NULL);
    unsigned count = 0;
    assert_non_null(text);
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        count++;
    free(text);
    return count;
}

static const char policy[] =
    "{\"policy\":1,\"name\":\"cloud\",\"base_path\":\"/client/v4\","
    "\"token\":[{\"header\":\"authorization\",\"scheme\":\"Bearer\"}],\"permissions\":[\"things:read\"],"
    "\"rules\":[[\"GET /accounts/{account_id}/things\",0]]}";

static struct runner_lease lease_of(uint64_t lease)
{
    static const struct runner_variable environment[] = {{STATIC_SPAN("CLOUD_TOKEN"), STATIC_SPAN(GATEWAY_TOKEN_MARK)},
                                                         {STATIC_SPAN("CLOUD_URL"), STATIC_SPAN(GATEWAY_URL_MARK)}};
    static const struct runner_variable headers[] = {{STATIC_SPAN("Authorization"), STATIC_SPAN("Bearer " REAL)}};
    static const struct runner_variable bindings[] = {{STATIC_SPAN("account_id"), STATIC_SPAN("acc")}};
    static const struct mf_span permissions[] = {STATIC_SPAN("things:read")}, secrets[] = {STATIC_SPAN(REAL)};
    static char upstream[80];
    struct runner_policy message = {.policy = 1, .json = mf_span(policy)};
    assert_int_equal(runner_send_policy(the_world->peer, &message, NULL), 0);
    snprintf(upstream, sizeof upstream, "http://%s", provider.at);
    return (struct runner_lease){.lease = lease,
                                 .stage = lease,
                                 .environment = environment,
                                 .environment_count = 2,
                                 .secrets = secrets,
                                 .secret_count = 1,
                                 .policy = 1,
                                 .account = 1,
                                 .upstream = mf_span(upstream),
                                 .headers = headers,
                                 .header_count = 1,
                                 .permissions = permissions,
                                 .permission_count = 1,
                                 .bindings = bindings,
                                 .binding_count = 1};
}

static int set_up(void **state)
{
    *state = the_world = world_open();
    open_place(&provider, "127.0.0.1");
    open_place(&outside, "127.0.0.2");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    net_server_destroy(provider.server);
    net_server_destroy(outside.server);
    world_close(the_world);
    return 0;
}

#define CURL "curl -sS -m 20 -o body -w '%{http_code}\\n' "

/* --- its account --- */

static void its_account_is_always_at_the_same_place(void **state)
{
    static const uint64_t leases[] = {1};
    struct runner_lease lease = lease_of(1);
    struct runner_spawn spawn;
    (void)state;
    assert_int_equal(runner_send_lease(the_world->peer, &lease, NULL), 0);
    world_shell(&spawn, 1,
                "env | grep -i proxy; echo $CLOUD_URL; " CURL
                "-H \"Authorization: Bearer $CLOUD_TOKEN\" $CLOUD_URL/accounts/acc/things; " CURL
                "-H \"Authorization: Bearer mfy_wrong\" $CLOUD_URL/accounts/acc/things");
    spawn.leases = leases;
    spawn.lease_count = 1;
    spawn.walls.sandbox = true;
    struct world_stage *stage = world_run(the_world, &spawn);
    assert_false(stage->failed);
    check_said(1, "stdout.log", "http://127.0.0.1:8787/client/v4\n200\n401\n");
    assert_int_equal(provider.requests, 1);
    assert_string_equal(provider.authorization, "Bearer " REAL);
    assert_string_equal(provider.target, "/client/v4/accounts/acc/things");
    assert_int_equal(stage->anomalies,
                     1); /* only its own processes are at that door: the wrong token is its own doing */
    assert_string_equal(stage->last_anomaly, "unknown_token");
}

/* --- its list --- */

static void what_is_listed_is_reached_through_the_proxy(void **state)
{
    (void)state;
    struct world_stage *stage = run_walled(
        2, true, false,
        "set -e\n"
        "for name in HTTPS_PROXY HTTP_PROXY https_proxy http_proxy; do [ \"$(printenv $name)\" = http://127.0.0.1:8788 "
        "]; done\n"
        "[ \"$NO_PROXY\" = 127.0.0.1,localhost ]; [ \"$no_proxy\" = \"$NO_PROXY\" ]; [ $NODE_USE_ENV_PROXY = 1 ]\n" CURL
        "http://$OUTSIDE/plain\n" CURL "-p -d hello http://$OUTSIDE/tunnel\n" CURL
        "-H 'Transfer-Encoding: chunked' -d chunks http://$OUTSIDE/chunked");
    check_said(2, "stdout.log", "200\n200\n200\n");
    assert_int_equal(stage->exit.code, 0);
    assert_int_equal(outside.requests, 3);
    assert_string_equal(outside.target, "/chunked");
    assert_string_equal(outside.body, "chunks");
    assert_string_equal(outside.host, outside.at);
    assert_int_equal(stage->anomalies, 0);
    assert_int_equal(recorded("\"event\":\"connected\""), 3);
    assert_int_equal(recorded("\"event\":\"closed\""), 3); /* all of them before EXITED */
    assert_true(stage->head_count >= 6);
}

static void what_is_not_listed_is_refused(void **state)
{
    (void)state;
    struct world_stage *stage =
        run_walled(3, true, false,
                   CURL "--noproxy '' http://$PROVIDER/\n" CURL "--noproxy '' -p http://$PROVIDER/ 2>/dev/null\n" CURL
                        "http://169.254.169.254/latest/meta-data\n" CURL "http://example.org/\n");
    check_said(3, "stdout.log", "403\n000\n403\n403\n");
    assert_int_equal(provider.requests, 0);
    assert_int_equal(recorded("\"event\":\"refused\""), 4);
    assert_int_equal(recorded("\"event\":\"connected\""), 0);
    assert_true(stage->violations >= 3);
    assert_string_equal(stage->last_anomaly, "egress");
}

/* Case 98: without the proxy there is nothing. */
static void there_is_no_other_way_out(void **state)
{
    (void)state;
    struct world_stage *stage = run_walled(4, true, false,
                                           "for at in $OUTSIDE $PROVIDER 127.0.0.1:8787 127.0.0.1:22; do " CURL
                                           "--noproxy '*' http://$at/ 2>/dev/null; done\n"
                                           "getent hosts example.org >/dev/null && echo resolved\n:");
    assert_int_equal(stage->exit.code, 0);
    check_said(4, "stdout.log", "000\n000\n000\n000\n");
    assert_int_equal(outside.requests + provider.requests, 0);
}

static void without_a_list_there_is_no_proxy(void **state)
{
    (void)state;
    run_walled(5, false, false, "env | grep -i proxy; " CURL "http://127.0.0.1:8788/ 2>/dev/null; :");
    check_said(5, "stdout.log", "000\n");
    assert_int_equal(recorded("\"task\""), 0); /* the gateway never heard of it */
}

/* --- what was deployed --- */

static void what_was_deployed_is_reached_on_its_own_port(void **state)
{
    (void)state;
    struct world_stage *stage = run_walled(
        6, false, true,
        "env | grep -i proxy; " CURL "-H 'Authorization: own' http://$PROVIDER/__workers/sub/name/?q=1; " CURL
        "http://localhost:${PROVIDER#*:}/__workers/sub/name; " CURL "http://$PROVIDER/client/v4/accounts; " CURL
        "--path-as-is http://$PROVIDER/__workers/../client/v4/accounts");
    check_said(6, "stdout.log", "200\n200\n403\n400\n");
    assert_int_equal(provider.requests, 2);
    assert_string_equal(provider.target, "/__workers/sub/name");
    assert_string_equal(provider.host, provider.at);
    assert_int_equal(stage->violations, 1);
}

static void a_port_that_is_taken_is_said(void **state)
{
    static const uint64_t leases[] = {7};
    struct mf_span taken = MF_SPAN("http://127.0.0.1:8787/__workers/");
    struct runner_lease lease = lease_of(7);
    struct runner_spawn spawn;
    (void)state;
    assert_int_equal(runner_send_lease(the_world->peer, &lease, NULL), 0);
    world_shell(&spawn, 7, "true");
    spawn.leases = leases;
    spawn.lease_count = 1;
    spawn.walls = walls_of(false, true);
    spawn.walls.reach = &taken;
    struct world_stage *stage = world_run(the_world, &spawn);
    assert_true(stage->failed);
    assert_string_equal(stage->class_name, "refused");
    assert_non_null(strstr(stage->reason, "8787"));
}

/* --- the other stages --- */

static void setup_has_its_list_too(void **state)
{
    const struct mf_span setup[] = {MF_SPAN("/bin/sh"), MF_SPAN("-c"),
                                    MF_SPAN("[ $HOME = /mayfly/home ] && " CURL "http://$OUTSIDE/setup")};
    struct runner_variable places[] = {{MF_SPAN("OUTSIDE"), mf_span(outside.at)}};
    struct runner_prepare prepare = {.stage = 8,
                                     .path = MF_SPAN("t8"),
                                     .attempt = 1,
                                     .setup = setup,
                                     .setup_count = 3,
                                     .environment = places,
                                     .environment_count = 1,
                                     .setup_timeout_ms = 30000,
                                     .workspace_bytes_max = 1 << 20};
    (void)state;
    prepare.walls = walls_of(true, false);
    struct world_stage *stage = world_prepare(the_world, &prepare);
    if (!stage->prepared)
        fail_msg("%s", stage->reason);
    check_said(8, "setup.log", "200\n");
    assert_int_equal(outside.requests, 1);
    assert_int_equal(recorded("\"stage\":\"setup\""), 2);
    const struct mf_span bad[] = {MF_SPAN("/bin/sh"), MF_SPAN("-c"), MF_SPAN("echo why >&2; exit 3")};
    prepare.stage = 9;
    prepare.path = MF_SPAN("t9");
    prepare.setup = bad;
    stage = world_prepare(the_world, &prepare);
    assert_true(stage->failed);
    assert_string_equal(stage->class_name, "setup");
    assert_string_equal(stage->reason, "setup: exited with status 3: why");
    const struct mf_span none[] = {MF_SPAN("no-such-program")};
    prepare.stage = 10;
    prepare.path = MF_SPAN("t10");
    prepare.setup = none;
    prepare.setup_count = 1;
    stage = world_prepare(the_world, &prepare);
    assert_true(stage->failed);
    assert_string_equal(stage->class_name, "setup");
}

static void the_agents_places_are_inside(void **state)
{
    struct runner_spawn spawn;
    (void)state;
    world_shell(
        &spawn, 11,
        "[ $MAYFLY_PROMPT = /mayfly/in/prompt ] && [ \"$(cat $MAYFLY_PROMPT)\" = ask ] && [ \"$(cat)\" = ask ] && "
        "[ $MAYFLY_RESULT = /mayfly/result.json ] && echo '{\"a\":1}' > $MAYFLY_RESULT");
    spawn.prompt = MF_SPAN("ask");
    spawn.walls.sandbox = true;
    struct world_stage *stage = world_run(the_world, &spawn);
    assert_int_equal(stage->exit.code, 0);
    assert_true(stage->valid);
    assert_int_equal(stage->result_bytes, 8);
}

static unsigned descriptors(void)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%lld/fd", (long long)the_world->runner_pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* Doors, control sockets, tunnels and what resolves names: all of it goes with the agent. */
static void no_descriptor_is_lost(void **state)
{
    unsigned before = 0;
    (void)state;
    for (uint64_t stage = 20; stage < 36; stage++) {
        run_walled(stage, true, true,
                   CURL "http://$OUTSIDE/; " CURL "http://example.org/; " CURL "http://$PROVIDER/__workers/a/b");
        if (stage == 23)
            before = descriptors();
    }
    assert_int_equal(outside.requests, 16);
    assert_int_equal(descriptors(), before);
}

/* At any moment of the start: before bubblewrap, before mayfly-init, before the command. */
static void a_signal_that_comes_early_is_not_lost(void **state)
{
    (void)state;
    for (uint64_t stage = 40; stage < 60; stage++) {
        struct runner_spawn spawn;
        world_shell(&spawn, stage, "sleep 100");
        spawn.walls = walls_of(true, true);
        spawn.base = mf_span(the_world->base);
        world_send(the_world, &spawn);
        if (stage % 4 > 0)
            world_run_for(the_world, (int64_t)(stage % 10) * 3);
        assert_int_equal(runner_send_signal(the_world->peer, stage, 1, NULL), 0);
        int64_t before_ms = net_now_ms();
        world_wait(the_world, world_over, stage, 20000);
        assert_true(net_now_ms() - before_ms < 10000);
        const struct world_stage *record = &the_world->stages[stage];
        assert_true(record->failed || record->exit.signal == 15);
    }
}

static void a_sandbox_that_cannot_be_says_why(void **state)
{
    struct runner_spawn spawn;
    (void)state;
    world_shell(&spawn, 12, "true");
    spawn.walls.sandbox = true;
    spawn.walls.root = MF_SPAN("/no/such/root");
    struct world_stage *stage = world_run(the_world, &spawn);
    assert_true(stage->failed);
    assert_string_equal(stage->class_name, "infrastructure");
    assert_true(strncmp(stage->reason, "sandbox: ", 9) == 0);
}

int main(int argc, char **argv)
{
    int status;
    if (world_main(argc, argv, &status))
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(its_account_is_always_at_the_same_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_listed_is_reached_through_the_proxy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_listed_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_is_no_other_way_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_list_there_is_no_proxy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_deployed_is_reached_on_its_own_port, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_port_that_is_taken_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(setup_has_its_list_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_agents_places_are_inside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_descriptor_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_signal_that_comes_early_is_not_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sandbox_that_cannot_be_says_why, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
