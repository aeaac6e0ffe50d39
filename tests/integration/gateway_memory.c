/* gateway_memory.c - every allocation of the gateway fails once: opening fails cleanly, a request gets an honest answer or none */
#include "lib/gateway_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "http1/match.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BASE "/client/v4/accounts/" WORLD_ACCOUNT

static int open_everything(struct gateway *gateway, struct mf_error *error)
{
    static const char json[] =
        "{\"policy\":1,\"name\":\"p\",\"canaries\":[\"planted-0123456789\"],\"permissions\":[\"read\"],\"rules\":[[\"GET /x/{id}\",0]]}";
    struct mf_span permission = MF_SPAN("read"), secret = MF_SPAN(WORLD_SECRET),
                   reach = MF_SPAN("https://*.example.com");
    struct http1_binding binding = {MF_SPAN("id"), MF_SPAN("1")};
    struct gateway_narrowing narrowing = {MF_SPAN("read"), MF_SPAN("id"), MF_SPAN("1")};
    struct gateway_header header = {MF_SPAN("authorization"), MF_SPAN("Bearer " WORLD_SECRET)};
    struct gateway_stage stage = {.stage = 1,
                                  .task = MF_SPAN("a/b"),
                                  .attempt = 1,
                                  .kind = "agent",
                                  .budget_micro_usd = -1,
                                  .reach = &reach,
                                  .reach_count = 1};
    struct gateway_lease lease = {.lease = 2,
                                  .stage = 1,
                                  .policy = 1,
                                  .upstream = MF_SPAN("http://127.0.0.1:9"),
                                  .headers = &header,
                                  .header_count = 1,
                                  .permissions = &permission,
                                  .permission_count = 1,
                                  .bindings = &binding,
                                  .binding_count = 1,
                                  .narrowings = &narrowing,
                                  .narrowing_count = 1,
                                  .secrets = &secret,
                                  .secret_count = 1};
    struct gateway_service service = {.service = 3,
                                      .policy = 1,
                                      .name = MF_SPAN("s"),
                                      .upstream = MF_SPAN("http://127.0.0.1:9"),
                                      .headers = &header,
                                      .header_count = 1,
                                      .budget_micro_usd = 5,
                                      .run_budget_micro_usd = -1};
    char token[GATEWAY_TOKEN_BYTES];
    uint16_t port;
    if (gateway_add_policy(gateway, 1, MF_SPAN(json), error) != 0 ||
        gateway_add_service(gateway, &service, error) != 0 || gateway_open_stage(gateway, &stage, error) != 0 ||
        gateway_open_lease(gateway, &lease, token, error) != 0 || gateway_open_use(gateway, 1, 3, token, error) != 0 ||
        gateway_open_loopback(gateway, 1, &port, error) != 0)
        return -1;
    return 0;
}

static void opening(void **state)
{
    (void)state;
    static const struct gateway_handlers none = {0};
    bool whole = false;
    for (int64_t n = 0; !whole; n++) {
        char dir[] = "/tmp/mfy-gateway-XXXXXX", command[64];
        struct net_loop *loop;
        struct net_client *client;
        struct gateway *gateway = NULL;
        struct mf_error error = {0};
        assert_non_null(mkdtemp(dir));
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(net_loop_create(&loop, &error), 0);
        assert_int_equal(net_client_create(&client, loop, NULL, &error), 0);
        struct gateway_options options = {.loop = loop, .client = client, .run_dir_fd = fd, .run_id = "testrun00001"};
        mf_alloc_fail_after(n, 1);
        int result = gateway_create(&gateway, &options, &none, NULL, &error);
        if (result == 0)
            result = open_everything(gateway, &error);
        mf_alloc_fail_after(-1, 0);
        whole = result == 0;
        if (result != 0 && error.code != MF_MEMORY)
            fail_msg("allocation %lld: %s", (long long)n, error.text);
        gateway_destroy(gateway);
        net_client_destroy(client);
        net_loop_destroy(loop);
        close(fd);
        snprintf(command, sizeof command, "rm -rf %s", dir);
        assert_int_equal(system(command), 0);
        assert_true(n < 1000);
    }
}

static void let_fail(struct world *world, void *context)
{
    (void)world;
    mf_alloc_fail_after(*(int64_t *)context, 1);
}

static void requests(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *body;
    } table[] = {{"GET", BASE "/things", NULL},
                 {"POST", BASE "/echo", "abc"},
                 {"GET", BASE "/chunked/300000", NULL},
                 {"GET", BASE "/nothing", NULL},
                 {"GET", BASE "/raw/jwt", NULL}};
    static struct world_answer answer;
    char token[GATEWAY_TOKEN_BYTES];
    struct world *world = world_open(NULL);
    uint16_t port = world_open_stage(world, 1, "deploy/web", token);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int wanted = world_ask(port, table[i].method, table[i].path, token, NULL, table[i].body, &answer);
        uint64_t bytes = answer.body_bytes;
        for (int64_t n = 0; n < 70; n++) {
            int64_t off = -1;
            world_call(world, let_fail, &n);
            int status = world_ask(port, table[i].method, table[i].path, token, NULL, table[i].body, &answer);
            world_call(world, let_fail, &off);
            if (status != wanted && status != 502 && status != 503 && status != 0)
                fail_msg("%s, allocation %lld: %d", table[i].path, (long long)n, status);
            if (status == wanted && wanted < 400)
                assert_int_equal(answer.body_bytes, bytes);
        }
        assert_int_equal(world_ask(port, table[i].method, table[i].path, token, NULL, table[i].body, &answer), wanted);
    }
    char *text = world_audit(world);
    assert_int_equal(world_count(text, "\"event\":\"allowed\""), world_count(text, "\"event\":\"answered\""));
    free(text);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(opening), cmocka_unit_test(requests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
