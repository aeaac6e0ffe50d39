/* message.c - the long messages of the protocol as structs: one field list writes and reads each */
#include "runner/message.h"

#include "base/alloc.h"
#include "base/assert.h"

/* ONE(kind, member) is a single field, MANY(kind, array, count) a list. The order is the order on the wire. */

#define HELLO_FIELDS(ONE, MANY)                                                                                        \
    ONE(u32, version)                                                                                                  \
    ONE(span, run_id)                                                                                                  \
    ONE(span, run_dir)                                                                                                 \
    ONE(span, path)                                                                                                    \
    ONE(u32, running_max)                                                                                              \
    ONE(i64, pid)                                                                                                      \
    ONE(i64, birth)                                                                                                    \
    ONE(i64, agent_uid)                                                                                                \
    ONE(u64, anchored_count)                                                                                           \
    ONE(span, anchored_head)                                                                                           \
    ONE(span, ca_file)

#define WALLS_FIELDS(ONE, MANY, walls)                                                                                 \
    ONE(flag, walls.sandbox)                                                                                           \
    MANY(spans, walls.read, walls.read_count)                                                                          \
    ONE(span, walls.root)                                                                                              \
    ONE(u64, walls.memory_bytes)                                                                                       \
    ONE(u64, walls.disk_bytes)                                                                                         \
    ONE(u32, walls.pids)                                                                                               \
    ONE(u32, walls.cpu_millis)                                                                                         \
    MANY(spans, walls.egress, walls.egress_count)                                                                      \
    MANY(spans, walls.reach, walls.reach_count)

#define PREPARE_FIELDS(ONE, MANY)                                                                                      \
    ONE(span, path)                                                                                                    \
    ONE(u32, attempt)                                                                                                  \
    ONE(workspace, kind)                                                                                               \
    ONE(span, base)                                                                                                    \
    MANY(spans, files, file_count)                                                                                     \
    ONE(span, copy)                                                                                                    \
    ONE(span, git_url)                                                                                                 \
    ONE(span, git_ref)                                                                                                 \
    MANY(spans, setup, setup_count)                                                                                    \
    MANY(variables, environment, environment_count)                                                                    \
    ONE(i64, setup_timeout_ms)                                                                                         \
    ONE(u64, workspace_bytes_max)                                                                                      \
    WALLS_FIELDS(ONE, MANY, walls)

#define SPAWN_FIELDS(ONE, MANY)                                                                                        \
    ONE(flag, spawn.verify)                                                                                            \
    ONE(span, spawn.path)                                                                                              \
    ONE(u32, spawn.attempt)                                                                                            \
    ONE(flag, spawn.prepared)                                                                                          \
    ONE(span, spawn.base)                                                                                              \
    MANY(spans, spawn.argv, spawn.argc)                                                                                \
    MANY(variables, spawn.environment, spawn.environment_count)                                                        \
    ONE(optional, spawn.prompt)                                                                                        \
    ONE(span, spawn.prompt_file)                                                                                       \
    MANY(inputs, spawn.inputs, spawn.input_count)                                                                      \
    ONE(u32, spawn.previous_attempt)                                                                                   \
    ONE(span, spawn.previous_outcome)                                                                                  \
    MANY(spans, spawn.files, spawn.file_count)                                                                         \
    MANY(spans, spawn.collect, spawn.collect_count)                                                                    \
    ONE(u64, spawn.outputs_bytes_max)                                                                                  \
    ONE(u32, spawn.outputs_files_max)                                                                                  \
    ONE(u64, spawn.log_bytes_max)                                                                                      \
    MANY(numbers, spawn.leases, spawn.lease_count)                                                                     \
    MANY(spans, spawn.redact, spawn.redact_count)                                                                      \
    MANY(uses, spawn.uses, spawn.use_count)                                                                            \
    ONE(i64, spawn.budget_micro_usd)                                                                                   \
    WALLS_FIELDS(ONE, MANY, spawn.walls)                                                                               \
    ONE(span, inputs_file)

#define LEASE_FIELDS(ONE, MANY)                                                                                        \
    MANY(variables, environment, environment_count)                                                                    \
    ONE(span, name)                                                                                                    \
    ONE(span, account_json)                                                                                            \
    MANY(spans, secrets, secret_count)                                                                                 \
    ONE(u64, policy)                                                                                                   \
    ONE(u32, account)                                                                                                  \
    ONE(span, upstream)                                                                                                \
    MANY(variables, headers, header_count)                                                                             \
    MANY(spans, permissions, permission_count)                                                                         \
    MANY(variables, bindings, binding_count)                                                                           \
    MANY(narrowings, narrowings, narrowing_count)

#define POLICY_FIELDS(ONE, MANY)                                                                                       \
    ONE(u64, policy)                                                                                                   \
    ONE(span, json)

#define SERVICE_FIELDS(ONE, MANY)                                                                                      \
    ONE(u64, service)                                                                                                  \
    ONE(u64, policy)                                                                                                   \
    ONE(span, name)                                                                                                    \
    ONE(span, upstream)                                                                                                \
    MANY(variables, headers, header_count)                                                                             \
    ONE(u32, running_max)                                                                                              \
    ONE(i64, budget_micro_usd)                                                                                         \
    ONE(i64, run_budget_micro_usd)                                                                                     \
    MANY(spans, secrets, secret_count)

#define ANOMALY_FIELDS(ONE, MANY)                                                                                      \
    ONE(span, kind)                                                                                                    \
    ONE(span, detail)                                                                                                  \
    ONE(flag, violation)

#define USAGE_FIELDS(ONE, MANY)                                                                                        \
    ONE(span, service)                                                                                                 \
    ONE(u64, requests)                                                                                                 \
    ONE(u64, input_tokens)                                                                                             \
    ONE(u64, output_tokens)                                                                                            \
    ONE(u64, cached_tokens)                                                                                            \
    ONE(u64, cache_write_tokens)                                                                                       \
    ONE(i64, micro_usd)

#define FINISH_FIELDS(ONE, MANY)                                                                                       \
    ONE(span, path)                                                                                                    \
    ONE(u32, attempt)                                                                                                  \
    ONE(u32, retain)                                                                                                   \
    ONE(flag, again)

#define EXITED_FIELDS(ONE, MANY)                                                                                       \
    ONE(i64, code)                                                                                                     \
    ONE(i64, signal)                                                                                                   \
    ONE(i64, ended_ms)                                                                                                 \
    ONE(i64, user_ms)                                                                                                  \
    ONE(i64, system_ms)                                                                                                \
    ONE(i64, rss_bytes_max)

#define RESULT_FIELDS(ONE, MANY)                                                                                       \
    ONE(flag, valid)                                                                                                   \
    ONE(span, class_name)                                                                                              \
    ONE(span, reason)                                                                                                  \
    ONE(span, sha256)                                                                                                  \
    ONE(u64, result_bytes)                                                                                             \
    ONE(u32, output_files)                                                                                             \
    ONE(u64, output_bytes)                                                                                             \
    ONE(u64, stdout_bytes)                                                                                             \
    ONE(u64, stderr_bytes)

#define RUN_FIELDS(ONE, MANY)                                                                                          \
    ONE(u32, slot)                                                                                                     \
    ONE(flag, prompt)                                                                                                  \
    ONE(flag, verify)                                                                                                  \
    ONE(span, mark)                                                                                                    \
    ONE(span, path)                                                                                                    \
    MANY(spans, argv, argc)                                                                                            \
    MANY(spans, environment, environment_count)                                                                        \
    ONE(flag, sandbox)                                                                                                 \
    ONE(flag, has_in)                                                                                                  \
    MANY(spans, read, read_count)                                                                                      \
    ONE(span, root)                                                                                                    \
    ONE(u64, memory_bytes)                                                                                             \
    ONE(u64, disk_bytes)                                                                                               \
    ONE(u32, pids)                                                                                                     \
    ONE(u32, cpu_millis)                                                                                               \
    MANY(numbers, ports, port_count)

#define ENDED_FIELDS(ONE, MANY)                                                                                        \
    ONE(i64, code)                                                                                                     \
    ONE(i64, signal)                                                                                                   \
    ONE(i64, ended_ms)                                                                                                 \
    ONE(i64, user_us)                                                                                                  \
    ONE(i64, system_us)                                                                                                \
    ONE(i64, rss_bytes_max)                                                                                            \
    ONE(flag, pristine)                                                                                                \
    ONE(flag, has_result)                                                                                              \
    ONE(flag, stuck)

#define RELEASE_FIELDS(ONE, MANY)                                                                                      \
    ONE(u32, slot)                                                                                                     \
    ONE(flag, retain)                                                                                                  \
    ONE(span, path)                                                                                                    \
    ONE(u32, attempt)

#define JOB_ENDED_FIELDS(ONE, MANY)                                                                                    \
    ONE(flag, done)                                                                                                    \
    ONE(span, class_name)                                                                                              \
    ONE(span, reason)                                                                                                  \
    ONE(span, text)                                                                                                    \
    ONE(u64, result_bytes)                                                                                             \
    ONE(u64, output_bytes)                                                                                             \
    ONE(u32, output_files)

/* --- one writer and one reader for each kind of field --- */

#define put_span frame_put_span
#define put_u64 frame_put_u64
#define put_u32 frame_put_u64
#define put_i64 frame_put_i64
#define put_flag frame_put_flag

static void put_workspace(struct frame_writer *writer, enum runner_workspace_kind kind)
{
    frame_put_u64(writer, (uint64_t)kind);
}

static void put_optional(struct frame_writer *writer, struct mf_span span)
{
    frame_put_flag(writer, span.data != NULL);
    frame_put_span(writer, span);
}

static void put_spans(struct frame_writer *writer, const struct mf_span *spans, uint32_t count)
{
    frame_put_u64(writer, count);
    for (uint32_t i = 0; i < count; i++)
        frame_put_span(writer, spans[i]);
}

static void put_numbers(struct frame_writer *writer, const uint64_t *numbers, uint32_t count)
{
    frame_put_u64(writer, count);
    for (uint32_t i = 0; i < count; i++)
        frame_put_u64(writer, numbers[i]);
}

static void put_variables(struct frame_writer *writer, const struct runner_variable *variables, uint32_t count)
{
    frame_put_u64(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        frame_put_span(writer, variables[i].name);
        frame_put_span(writer, variables[i].value);
    }
}

void message_put_inputs(struct frame_writer *writer, const struct runner_input *inputs, uint32_t count)
{
    frame_put_u64(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        frame_put_span(writer, inputs[i].path);
        frame_put_span(writer, inputs[i].result);
        frame_put_span(writer, inputs[i].outputs);
    }
}
#define put_inputs message_put_inputs

static void put_uses(struct frame_writer *writer, const struct runner_use *uses, uint32_t count)
{
    frame_put_u64(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        frame_put_u64(writer, uses[i].service);
        put_variables(writer, uses[i].environment, uses[i].environment_count);
    }
}

static void put_narrowings(struct frame_writer *writer, const struct runner_narrowing *narrowings, uint32_t count)
{
    frame_put_u64(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        frame_put_span(writer, narrowings[i].permission);
        frame_put_span(writer, narrowings[i].name);
        frame_put_span(writer, narrowings[i].value);
    }
}

static void take_span(struct frame_reader *reader, struct mf_span *out)
{
    *out = frame_take_span(reader);
}

static void take_u64(struct frame_reader *reader, uint64_t *out)
{
    *out = frame_take_u64(reader);
}

static void take_u32(struct frame_reader *reader, uint32_t *out)
{
    *out = frame_take_u32(reader);
}

static void take_i64(struct frame_reader *reader, int64_t *out)
{
    *out = frame_take_i64(reader);
}

static void take_flag(struct frame_reader *reader, bool *out)
{
    *out = frame_take_flag(reader);
}

static void take_workspace(struct frame_reader *reader, enum runner_workspace_kind *out)
{
    uint64_t kind = frame_take_u64(reader);
    if (kind > RUNNER_WORKSPACE_CONTINUE)
        reader->bad = true;
    *out = reader->bad ? RUNNER_WORKSPACE_EMPTY : (enum runner_workspace_kind)kind;
}

static void take_optional(struct frame_reader *reader, struct mf_span *out)
{
    bool there = frame_take_flag(reader);
    *out = frame_take_span(reader);
    if (!there && out->length > 0)
        reader->bad = true;
    if (!there)
        *out = (struct mf_span){NULL, 0};
}

/* An array that the memory owns; NULL with the reader marked as bad when there is no memory. */
static void *take_array(struct frame_reader *reader, uint32_t count, size_t bytes, struct message_memory *memory)
{
    if (reader->bad || count == 0)
        return NULL;
    mf_assert(memory->count < MESSAGE_ARRAYS_MAX);
    void *array = mf_calloc(count, bytes);
    if (array == NULL)
        reader->bad = true;
    else
        memory->arrays[memory->count++] = array;
    return array;
}

#define TAKE_LIST(name, type, ...)                                                                                     \
    static void take_##name(struct frame_reader *reader, const type **out, uint32_t *count,                            \
                            struct message_memory *memory)                                                             \
    {                                                                                                                  \
        *count = frame_take_count(reader);                                                                             \
        type *array = take_array(reader, *count, sizeof(type), memory);                                                \
        *out = array;                                                                                                  \
        for (uint32_t i = 0; array != NULL && i < *count; i++)                                                         \
            array[i] = __VA_ARGS__;                                                                                    \
        if (reader->bad)                                                                                               \
            *count = 0;                                                                                                \
    }

TAKE_LIST(spans, struct mf_span, frame_take_span(reader))
TAKE_LIST(numbers, uint64_t, frame_take_u64(reader))

static struct runner_variable take_variable(struct frame_reader *reader)
{
    struct runner_variable variable;
    variable.name = frame_take_span(reader);
    variable.value = frame_take_span(reader);
    return variable;
}
TAKE_LIST(variables, struct runner_variable, take_variable(reader))

static struct runner_narrowing take_narrowing(struct frame_reader *reader)
{
    struct runner_narrowing narrowing;
    narrowing.permission = frame_take_span(reader);
    narrowing.name = frame_take_span(reader);
    narrowing.value = frame_take_span(reader);
    return narrowing;
}
TAKE_LIST(narrowings, struct runner_narrowing, take_narrowing(reader))

static struct runner_use take_use(struct frame_reader *reader, struct message_memory *memory)
{
    struct runner_use use;
    use.service = frame_take_u64(reader);
    take_variables(reader, &use.environment, &use.environment_count, memory);
    return use;
}

/* Each use has a list of its own: more of them than the memory has room for makes the message bad. */
static void take_uses(struct frame_reader *reader, const struct runner_use **out, uint32_t *count, struct message_memory *memory)
{
    *count = frame_take_count(reader);
    if (*count > RUNNER_USES_MAX)
        reader->bad = true;
    struct runner_use *array = take_array(reader, *count, sizeof *array, memory);
    *out = array;
    for (uint32_t i = 0; array != NULL && i < *count; i++)
        array[i] = take_use(reader, memory);
    if (reader->bad)
        *count = 0;
}

static struct runner_input take_input(struct frame_reader *reader)
{
    struct runner_input input;
    input.path = frame_take_span(reader);
    input.result = frame_take_span(reader);
    input.outputs = frame_take_span(reader);
    return input;
}
TAKE_LIST(inputs, struct runner_input, take_input(reader))

int message_take_inputs(struct frame_reader *reader, const struct runner_input **inputs, uint32_t *count,
                        struct message_memory *memory)
{
    take_inputs(reader, inputs, count, memory);
    return reader->bad ? -1 : 0;
}

void message_memory_free(struct message_memory *memory)
{
    for (uint32_t i = 0; i < memory->count; i++)
        mf_free(memory->arrays[i]);
    memory->count = 0;
}

/* --- the codecs --- */

#define PUT_ONE(kind, member) put_##kind(writer, message->member);
#define PUT_MANY(kind, array, count) put_##kind(writer, message->array, message->count);
#define TAKE_ONE(kind, member) take_##kind(&reader, &message->member);
#define TAKE_MANY(kind, array, count) take_##kind(&reader, &message->array, &message->count, memory);
#define CODEC(name, type, FIELDS)                                                                                      \
    void message_put_##name(struct frame_writer *writer, const type *message)                                          \
    {                                                                                                                  \
        FIELDS(PUT_ONE, PUT_MANY)                                                                                      \
    }                                                                                                                  \
    int message_take_##name(struct mf_span payload, type *message, struct message_memory *memory)                      \
    {                                                                                                                  \
        struct frame_reader reader;                                                                                    \
        frame_read(&reader, payload);                                                                                  \
        *message = (type){0};                                                                                          \
        *memory = (struct message_memory){.count = 0};                                                                 \
        FIELDS(TAKE_ONE, TAKE_MANY)                                                                                    \
        if (frame_read_end(&reader))                                                                                   \
            return 0;                                                                                                  \
        message_memory_free(memory);                                                                                   \
        return -1;                                                                                                     \
    }

CODEC(hello, struct message_hello, HELLO_FIELDS)
CODEC(prepare, struct runner_prepare, PREPARE_FIELDS)
CODEC(spawn, struct message_spawn, SPAWN_FIELDS)
CODEC(lease, struct runner_lease, LEASE_FIELDS)
CODEC(policy, struct runner_policy, POLICY_FIELDS)
CODEC(service, struct runner_service, SERVICE_FIELDS)
CODEC(anomaly, struct message_anomaly, ANOMALY_FIELDS)
CODEC(usage, struct message_usage, USAGE_FIELDS)
CODEC(finish, struct message_finish, FINISH_FIELDS)
CODEC(exited, struct message_exited, EXITED_FIELDS)
CODEC(result, struct message_result, RESULT_FIELDS)
CODEC(run, struct message_run, RUN_FIELDS)
CODEC(ended, struct message_ended, ENDED_FIELDS)
CODEC(release, struct message_release, RELEASE_FIELDS)
CODEC(job_ended, struct message_job_ended, JOB_ENDED_FIELDS)
