/* process.c - what setup, agents and verify share in the runner: environment, start, capture, end */
#include "runner/runner_private.h"

#include "base/alloc.h"
#include "runner/child.h"
#include "runner/tree.h"
#include "json/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- the table of stages --- */

struct stage *stage_find(struct runner *runner, uint64_t id)
{
    struct stage *stage = runner->stages[id % RUNNER_BUCKETS];
    while (stage != NULL && stage->id != id)
        stage = stage->next;
    return stage;
}

struct stage *stage_create(struct runner *runner, const struct frame *frame)
{
    struct stage *stage = mf_calloc(1, sizeof *stage);
    if (stage == NULL)
        return NULL;
    stage->id = frame->stage;
    stage->runner = runner;
    stage->slot = RUNNER_SLOT_NONE;
    stage->pidfd = -1;
    stage->inside.control_fd = -1;
    stage->out_log.fd = stage->err_log.fd = -1;
    mf_buf_init_secret(&stage->payload, FRAME_BYTES_MAX);
    if (mf_buf_span(&stage->payload, frame->payload) != 0) {
        mf_free(stage);
        return NULL;
    }
    struct stage **head = &runner->stages[stage->id % RUNNER_BUCKETS];
    stage->next = *head;
    *head = stage;
    return stage;
}

void stage_destroy(struct stage *stage)
{
    struct runner *runner = stage->runner;
    struct stage **at = &runner->stages[stage->id % RUNNER_BUCKETS];
    while (*at != stage)
        at = &(*at)->next;
    *at = stage->next;
    given_close(stage);
    inside_close(stage);
    process_ended(stage);
    net_timer_destroy(stage->timer);
    redactor_destroy(stage->redactor);
    if (stage->pidfd >= 0)
        close(stage->pidfd);
    struct attempt *attempt = stage->attempt;
    message_memory_free(&stage->memory);
    mf_buf_free(&stage->payload);
    mf_free(stage);
    if (attempt != NULL)
        attempt_stage_over(runner, attempt);
}

/* --- messages --- */

void runner_reply(struct runner *runner, enum frame_type type, uint64_t stage, struct mf_span first,
                  struct mf_span second)
{
    struct frame_writer writer;
    channel_begin(runner->orchestrator, &writer, type, stage, 0);
    frame_put_span(&writer, first);
    if (type != FRAME_PREPARED)
        frame_put_span(&writer, second);
    channel_end(runner->orchestrator, &writer, NULL);
}

int process_job(struct stage *stage, enum job_kind kind, bool again)
{
    const struct attempt *attempt = stage->attempt;
    bool verify = stage->kind == STAGE_VERIFY;
    struct message_job job = {
        .kind = (uint32_t)kind,
        .slot = stage->slot,
        .again = again,
        .subject = verify && attempt->slot != RUNNER_SLOT_NONE ? attempt->slot + 1 : 0,
        .result = verify ? mf_span(attempt->result) : MF_SPAN(""),
        .payload = mf_buf_view(&stage->payload),
    };
    struct frame_writer writer;
    channel_begin(stage->runner->spawner, &writer, FRAME_JOB, stage->id, 0);
    message_put_job(&writer, &job);
    return channel_end(stage->runner->spawner, &writer, NULL);
}

void process_kill(struct stage *stage, uint32_t level)
{
    struct frame_writer writer;
    channel_begin(stage->runner->spawner, &writer, FRAME_KILL, stage->id, 0);
    frame_put_u64(&writer, level);
    channel_end(stage->runner->spawner, &writer, NULL);
}

const struct runner_walls *process_walls(const struct stage *stage)
{
    return stage->kind == STAGE_PREPARE ? &stage->prepare.walls : &stage->spawn.spawn.walls;
}

/* --- environment --- */

/* The slot's directory has one place in every sandbox. */
int process_set_path(struct stage *stage, struct environment *environment, const char *name, const char *below,
                     struct mf_error *error)
{
    char path[sizeof stage->runner->run_dir + 64];
    if (process_walls(stage)->sandbox)
        snprintf(path, sizeof path, SANDBOX_ROOT "/%s", below);
    else
        snprintf(path, sizeof path, "%s/" PATHS_WORK "/" PATHS_SLOT_FORMAT "/%s", stage->runner->run_dir, stage->slot,
                 below);
    return environment_set_text(environment, name, path, error);
}

static int set_own(struct stage *stage, struct environment *environment, struct mf_error *error)
{
    char number[16];
    snprintf(number, sizeof number, "%" PRIu32, stage->attempt->number);
    if (environment_set_text(environment, "MAYFLY_RUN", stage->runner->run_id, error) != 0 ||
        environment_set_text(environment, "MAYFLY_TASK", stage->attempt->path, error) != 0)
        return -1;
    return environment_set_text(environment, "MAYFLY_ATTEMPT", number, error);
}

int process_environment(struct stage *stage, const struct runner_variable *given, uint32_t given_count,
                        struct environment *environment, struct mf_error *error)
{
    if (environment_set_text(environment, "PATH", stage->runner->path, error) != 0 ||
        environment_set_text(environment, "LANG", "C.UTF-8", error) != 0 ||
        environment_set_text(environment, "TERM", "dumb", error) != 0 ||
        process_set_path(stage, environment, "HOME", "home", error) != 0 ||
        given_proxies(stage, environment, error) != 0)
        return -1;
    for (uint32_t i = 0; i < given_count; i++)
        if (environment_set(environment, given[i].name, given[i].value, error) != 0)
            return -1;
    return set_own(stage, environment, error); /* last: these names are ours */
}

/* --- start --- */

/* RUN-ID and 128 random bits: the prefix finds a run's processes, the whole finds a tree's. */
static int make_mark(const struct runner *runner, char mark[TREE_MARK_BYTES_MAX])
{
    unsigned char bytes[8];
    char hex[2 * sizeof bytes + 1];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return -1;
    mf_hex(bytes, sizeof bytes, hex);
    int length = snprintf(mark, TREE_MARK_BYTES_MAX, "%s-%s", runner->run_id, hex);
    return length > 0 && length < TREE_MARK_BYTES_MAX ? 0 : -1;
}

/* argv with the NULs that the spawner wants inside the spans: one copy, `text` owns it. */
static struct mf_span *terminated_copy(const struct mf_span *argv, uint32_t argc, struct mf_buf *text)
{
    struct mf_span *spans = mf_calloc(argc + 1, sizeof *spans);
    for (uint32_t i = 0; i < argc; i++) {
        if (argv[i].length > 0 && memchr(argv[i].data, '\0', argv[i].length) != NULL)
            text->failed = true;
        mf_buf_span(text, argv[i]);
        mf_buf_char(text, '\0');
    }
    if (text->failed || spans == NULL) {
        mf_free(spans);
        return NULL;
    }
    const char *at = text->data;
    for (uint32_t i = 0; i < argc; at += spans[i].length, i++)
        spans[i] = (struct mf_span){at, argv[i].length + 1};
    return spans;
}

/* All that the spawner is told, but for argv and environment. -1: the walls cannot be built as asked. */
static int fill_run(const struct stage *stage, struct message_run *run, uint64_t ports[SANDBOX_PORTS_MAX],
                    struct mf_error *error)
{
    const struct runner_walls *walls = process_walls(stage);
    run->slot = stage->slot;
    run->verify = stage->kind == STAGE_VERIFY;
    run->sandbox = walls->sandbox;
    run->read = walls->read;
    run->read_count = walls->read_count;
    run->root = walls->root;
    run->memory_bytes = walls->memory_bytes;
    run->disk_bytes = walls->disk_bytes;
    run->pids = walls->pids;
    run->cpu_millis = walls->cpu_millis;
    run->ports = ports;
    return given_ports(stage, ports, &run->port_count, error);
}

static int send_run(struct stage *stage, const struct message_run *run, struct mf_error *error)
{
    struct frame_writer writer;
    channel_begin(stage->runner->spawner, &writer, FRAME_RUN, stage->id, 0);
    message_put_run(&writer, run);
    if (channel_end(stage->runner->spawner, &writer, error) != 0)
        return -1;
    stage->state = STAGE_RUNNING;
    return 0;
}

int process_run(struct stage *stage, const struct mf_span *argv, uint32_t argc, struct environment *environment,
                bool prompt, bool has_in, struct mf_error *error)
{
    char mark[TREE_MARK_BYTES_MAX];
    uint64_t ports[SANDBOX_PORTS_MAX];
    struct message_run run = {.prompt = prompt, .has_in = has_in};
    if (argc == 0)
        return mf_fail(error, MF_INPUT, "command: is empty");
    if (make_mark(stage->runner, mark) != 0)
        return mf_fail(error, MF_OS, "getrandom: failed");
    if (fill_run(stage, &run, ports, error) != 0 || environment_set_text(environment, "MAYFLY_SPAWN", mark, error) != 0)
        return -1;
    struct mf_buf text;
    mf_buf_init_secret(&text, FRAME_BYTES_MAX);
    struct mf_span *copy = terminated_copy(argv, argc, &text);
    run.mark = mf_span(mark);
    run.path = environment_get(environment, "PATH");
    run.argv = copy;
    run.argc = argc;
    run.environment = environment_spans(environment);
    run.environment_count = environment->count;
    int result = copy == NULL || run.environment == NULL
                     ? mf_fail(error, MF_LIMIT, "command: longer than 1 MiB, or an argument holds a NUL")
                     : send_run(stage, &run, error);
    mf_free(copy);
    mf_buf_free(&text);
    return result;
}

/* --- capture --- */

int process_started(struct stage *stage, const int *descriptors)
{
    struct runner *runner = stage->runner;
    const char *instance = stage->attempt->path;
    uint32_t number = stage->attempt->number;
    uint64_t bytes_max = stage->kind == STAGE_PREPARE ? 0 : stage->spawn.spawn.log_bytes_max;
    const char *name = stage->kind == STAGE_PREPARE  ? "setup.log"
                       : stage->kind == STAGE_VERIFY ? "verify.log"
                                                     : "stdout.log";
    stage->pidfd = descriptors[0];
    capture_log_init(&stage->out_log, runner->run_fd, instance, number, name, bytes_max);
    capture_log_init(&stage->err_log, runner->run_fd, instance, number, "stderr.log", bytes_max);
    struct capture_log *err_log = stage->kind == STAGE_AGENT ? &stage->err_log : &stage->out_log;
    bool tail =
        stage->kind == STAGE_PREPARE || process_walls(stage)->sandbox; /* bubblewrap speaks there when it fails */
    if (tail && capture_log_keep_tail(err_log) != 0) {
        close(descriptors[1]);
        close(descriptors[2]);
        return -1;
    }
    int out = capture_create(&stage->out, runner->loop, descriptors[1], &stage->out_log, stage->redactor, NULL);
    int err = capture_create(&stage->err, runner->loop, descriptors[2], err_log, stage->redactor, NULL);
    return out != 0 || err != 0 ? -1 : 0;
}

void process_drain(struct stage *stage)
{
    if (stage->out != NULL)
        stage->out_bytes = capture_finish(stage->out);
    if (stage->err != NULL)
        stage->err_bytes = capture_finish(stage->err);
    stage->out = stage->err = NULL;
}

void process_ended(struct stage *stage)
{
    process_drain(stage);
    capture_log_close(&stage->out_log);
    capture_log_close(&stage->err_log);
}

void process_tail(const struct capture_log *log, struct mf_buf *out)
{
    struct mf_span tail = {log->tail, log->tail_length};
    while (tail.length > 0 && (tail.data[tail.length - 1] == '\n' || tail.data[tail.length - 1] == ' '))
        tail.length--;
    size_t lines = 0, start = tail.length;
    while (start > 0 && tail.length - start < 400 && lines < 4) {
        start--;
        lines += tail.data[start] == '\n' ? 1 : 0;
    }
    if (tail.length > 0) {
        mf_buf_text(out, ": ");
        json_escape_shown(out, (struct mf_span){tail.data + start, tail.length - start}, 400);
    }
}

/* --- a start that failed --- */

static const char *execute_words(int os_errno)
{
    switch (os_errno) {
    case ENOENT:
        return "no such program (or its interpreter is missing)";
    case EACCES:
        return "not executable";
    case ENOEXEC:
        return "not an executable format (a script needs a #! line)";
    case E2BIG:
        return "arguments and environment are too long";
    default:
        return strerror(os_errno);
    }
}

static bool agents_fault(int os_errno)
{
    static const int faults[] = {ENOENT, EACCES,       ENOEXEC, E2BIG, ENOTDIR, EISDIR,
                                 ELOOP,  ENAMETOOLONG, EINVAL,  EPERM, ETXTBSY, ELIBBAD};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (faults[i] == os_errno)
            return true;
    return false;
}

static struct mf_span program_of(const struct stage *stage)
{
    struct mf_span program = stage->kind == STAGE_PREPARE ? stage->prepare.setup[0] : stage->spawn.spawn.argv[0];
    program.length = program.length < 200 ? program.length : 200;
    return program;
}

static const char *execute_failed(const struct stage *stage, int os_errno, char reason[RUNNER_REASON_BYTES_MAX])
{
    struct mf_span program = program_of(stage);
    snprintf(reason, RUNNER_REASON_BYTES_MAX, "command `%.*s`: %s", MF_SPAN_ARGS(program), execute_words(os_errno));
    return "agent";
}

const char *process_failure(const struct stage *stage, uint64_t step, int os_errno,
                            char reason[RUNNER_REASON_BYTES_MAX])
{
    struct mf_span program = program_of(stage);
    bool sandbox = process_walls(stage)->sandbox;
    if (!sandbox && step == CHILD_STEP_EXECUTE && agents_fault(os_errno))
        return execute_failed(stage, os_errno, reason);
    if (sandbox) /* what could not be started is bubblewrap, not the command */
        snprintf(reason, RUNNER_REASON_BYTES_MAX, "sandbox: cannot be started: %s", strerror(os_errno));
    else
        snprintf(reason, RUNNER_REASON_BYTES_MAX, "command `%.*s`: cannot be started: %s", MF_SPAN_ARGS(program),
                 strerror(os_errno));
    return "infrastructure";
}

const char *process_not_executed(const struct stage *stage, const struct message_ended *ended,
                                 char reason[RUNNER_REASON_BYTES_MAX])
{
    const struct inside *inside = &stage->inside;
    if (inside->failed && inside->step == CHILD_STEP_EXECUTE && agents_fault(inside->os_errno))
        return execute_failed(stage, inside->os_errno, reason);
    if (inside->failed) {
        snprintf(reason, RUNNER_REASON_BYTES_MAX, "sandbox: %s inside: %s",
                 inside->step == CHILD_STEP_EXECUTE ? "cannot execute" : "cannot be set up",
                 strerror(inside->os_errno));
    } else if (inside->broken) {
        snprintf(reason, RUNNER_REASON_BYTES_MAX, "sandbox: a port of the gateway could not be opened");
    } else {
        struct mf_buf text;
        mf_buf_init(&text, RUNNER_REASON_BYTES_MAX);
        if (ended->signal != 0)
            mf_buf_printf(&text, "sandbox: ended by signal %" PRId64 " before the command", ended->signal);
        else
            mf_buf_printf(&text, "sandbox: ended with status %" PRId64 " before the command", ended->code);
        process_tail(stage->kind == STAGE_AGENT ? &stage->err_log : &stage->out_log, &text);
        snprintf(reason, RUNNER_REASON_BYTES_MAX, "%s", mf_buf_cstr(&text));
        mf_buf_free(&text);
    }
    return "infrastructure";
}
