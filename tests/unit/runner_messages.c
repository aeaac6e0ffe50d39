/* runner_messages.c - what the gateway and the walls added to the protocol: each message comes back as it was, whatever is cut */
#include "runner/message.h"

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STATIC_SPAN(literal)                                                                                           \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    } /* an initialiser of static data */

static const struct runner_variable variables[] = {{STATIC_SPAN("A"), STATIC_SPAN("1")},
                                                   {STATIC_SPAN("B"), STATIC_SPAN("")}};
static const struct mf_span words[] = {STATIC_SPAN("one"), STATIC_SPAN("two"), STATIC_SPAN("three")};
static const struct runner_narrowing narrowings[] = {{STATIC_SPAN("p"), STATIC_SPAN("script"), STATIC_SPAN("svc")}};
static const uint64_t numbers[] = {8787, 8788};

static const struct runner_policy policy = {.policy = 3, .json = STATIC_SPAN("{\"policy\":1}")};
static const struct runner_service service = {.service = 4,
                                              .policy = 3,
                                              .name = STATIC_SPAN("model"),
                                              .upstream = STATIC_SPAN("https://api.example"),
                                              .headers = variables,
                                              .header_count = 2,
                                              .running_max = 7,
                                              .budget_micro_usd = -1,
                                              .run_budget_micro_usd = 5000000,
                                              .secrets = words,
                                              .secret_count = 3};
static const struct runner_lease lease = {.environment = variables,
                                          .environment_count = 1,
                                          .account_json = STATIC_SPAN("{}"),
                                          .policy = 3,
                                          .account = 12,
                                          .upstream = STATIC_SPAN("http://127.0.0.1:1"),
                                          .headers = variables,
                                          .header_count = 2,
                                          .permissions = words,
                                          .permission_count = 3,
                                          .bindings = variables,
                                          .binding_count = 1,
                                          .narrowings = narrowings,
                                          .narrowing_count = 1};
static const struct message_anomaly anomaly = {
    .kind = STATIC_SPAN("egress"), .detail = STATIC_SPAN("a:1"), .violation = true};
static const struct message_usage usage = {.service = STATIC_SPAN("model"),
                                           .requests = 1,
                                           .input_tokens = 2,
                                           .output_tokens = 3,
                                           .cached_tokens = 4,
                                           .cache_write_tokens = 5,
                                           .micro_usd = -1};
static const struct message_hello hello = {.version = FRAME_VERSION,
                                           .run_id = STATIC_SPAN("r"),
                                           .agent_uid = -1,
                                           .anchored_count = 9,
                                           .anchored_head = STATIC_SPAN("00"),
                                           .ca_file = STATIC_SPAN("/ca")};
static const struct message_run run = {.slot = 1,
                                       .argv = words,
                                       .argc = 3,
                                       .sandbox = true,
                                       .has_in = true,
                                       .read = words,
                                       .read_count = 2,
                                       .root = STATIC_SPAN("/root"),
                                       .memory_bytes = 1,
                                       .disk_bytes = 2,
                                       .pids = 3,
                                       .cpu_millis = 4,
                                       .ports = numbers,
                                       .port_count = 2};

/* For each: written, taken, written again as the same bytes; every cut is bad; every lack of memory is bad. */
#define TYPES(X)                                                                                                       \
    X(policy, struct runner_policy)                                                                                    \
    X(service, struct runner_service)                                                                                  \
    X(lease, struct runner_lease)                                                                                      \
    X(anomaly, struct message_anomaly)                                                                                 \
    X(usage, struct message_usage)                                                                                     \
    X(hello, struct message_hello)                                                                                     \
    X(run, struct message_run)

#define X(name, type)                                                                                                  \
    static void name##_comes_back(void **state)                                                                        \
    {                                                                                                                  \
        struct mf_buf out, again;                                                                                      \
        struct message_memory memory;                                                                                  \
        type taken;                                                                                                    \
        (void)state;                                                                                                   \
        mf_buf_init(&out, FRAME_BYTES_MAX);                                                                            \
        mf_buf_init(&again, FRAME_BYTES_MAX);                                                                          \
        message_put_##name(&(struct frame_writer){&out, 0}, &name);                                                    \
        assert_int_equal(message_take_##name(mf_buf_view(&out), &taken, &memory), 0);                                  \
        uint32_t arrays = memory.count;                                                                                \
        message_put_##name(&(struct frame_writer){&again, 0}, &taken);                                                 \
        assert_int_equal(again.length, out.length);                                                                    \
        assert_memory_equal(again.data, out.data, out.length);                                                         \
        message_memory_free(&memory);                                                                                  \
        for (size_t cut = 0; cut < out.length; cut++) {                                                                \
            char *part = malloc(cut + (cut == 0));                                                                     \
            memcpy(part, out.data, cut);                                                                               \
            assert_int_equal(message_take_##name((struct mf_span){part, cut}, &taken, &memory), -1);                   \
            free(part);                                                                                                \
        }                                                                                                              \
        for (uint32_t n = 0; n < arrays; n++) {                                                                        \
            mf_alloc_fail_after(n, 1);                                                                                 \
            assert_int_equal(message_take_##name(mf_buf_view(&out), &taken, &memory), -1);                             \
            mf_alloc_fail_after(-1, 0);                                                                                \
        }                                                                                                              \
        mf_buf_free(&out);                                                                                             \
        mf_buf_free(&again);                                                                                           \
    }
TYPES(X)
#undef X

/* --- services of a stage: a list of lists --- */

static int take_uses_of(uint32_t count, struct message_spawn *taken, struct message_memory *memory, struct mf_buf *out)
{
    struct runner_use uses[RUNNER_USES_MAX + 1];
    for (uint32_t i = 0; i < count; i++)
        uses[i] = (struct runner_use){i + 1, variables, i % 3};
    struct message_spawn spawn = {
        .spawn = {
            .argv = words,
            .argc = 1,
            .uses = uses,
            .use_count = count,
            .budget_micro_usd = 77,
            .walls = {
                .sandbox = true, .egress = words, .egress_count = 3, .reach = words, .reach_count = 1, .pids = 9}}};
    mf_buf_init(out, FRAME_BYTES_MAX);
    message_put_spawn(&(struct frame_writer){out, 0}, &spawn);
    return message_take_spawn(mf_buf_view(out), taken, memory);
}

static void as_many_uses_as_there_may_be(void **state)
{
    struct message_spawn taken;
    struct message_memory memory;
    struct mf_buf out;
    (void)state;
    assert_int_equal(take_uses_of(RUNNER_USES_MAX, &taken, &memory, &out), 0);
    assert_true(memory.count <= MESSAGE_ARRAYS_MAX);
    assert_int_equal(taken.spawn.use_count, RUNNER_USES_MAX);
    assert_int_equal(taken.spawn.uses[31].service, 32);
    assert_int_equal(taken.spawn.uses[31].environment_count, 1);
    assert_int_equal(taken.spawn.uses[0].environment_count, 0);
    assert_int_equal(taken.spawn.budget_micro_usd, 77);
    assert_true(taken.spawn.walls.sandbox && taken.spawn.walls.pids == 9);
    assert_int_equal(taken.spawn.walls.egress_count, 3);
    assert_true(mf_span_is(taken.spawn.walls.reach[0], "one"));
    uint32_t arrays = memory.count;
    message_memory_free(&memory);
    for (uint32_t n = 0; n < arrays; n++) {
        mf_alloc_fail_after(n, 1);
        assert_int_equal(message_take_spawn(mf_buf_view(&out), &taken, &memory), -1);
        mf_alloc_fail_after(-1, 0);
    }
    mf_buf_free(&out);
}

static void one_use_too_many(void **state)
{
    struct message_spawn taken;
    struct message_memory memory;
    struct mf_buf out;
    (void)state;
    assert_int_equal(take_uses_of(RUNNER_USES_MAX + 1, &taken, &memory, &out), -1);
    mf_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define X(name, type) cmocka_unit_test(name##_comes_back),
        TYPES(X)
#undef X
            cmocka_unit_test(as_many_uses_as_there_may_be),
        cmocka_unit_test(one_use_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
