/*
 * peer.c - the orchestrator's end of the runner: start it, tell it what to do, hear what happened
 *
 * Every send is one frame in the queue of a channel; every answer becomes one callback. The process is started with
 * fork and exec, with system calls only in between, because the orchestrator has threads. When the connection ends the
 * runner is reaped (killed if need be) and its agents are swept before `died` is called, so that the caller may start
 * another at once.
 */
#include "runner/peer_private.h"

#include "base/alloc.h"
#include "runner/message.h"
#include "runner/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A list of inputs longer than this goes into a file: a frame takes 1 MiB, and the rest of it must fit too. */
#define INPUTS_INLINE_BYTES ((size_t)128 << 10)
#define INPUTS_BYTES_MAX ((size_t)64 << 20)
#define REAP_WAIT_MS 2000

/* --- its death --- */

/* Waits for the runner to end; kills it when it takes longer. */
static void reap(struct runner_peer *peer, int64_t wait_ms)
{
    if (peer->pid == 0)
        return;
    int64_t until_ms = net_now_ms() + wait_ms;
    pid_t reaped;
    while ((reaped = waitpid(peer->pid, NULL, WNOHANG)) == 0 && net_now_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    if (reaped == 0) {
        kill(peer->pid, SIGKILL);
        waitpid(peer->pid, NULL, 0);
    }
    peer->pid = 0;
}

static void on_closed(void *context, const char *reason)
{
    struct runner_peer *peer = context;
    char text[256];
    peer->dead = true;
    snprintf(text, sizeof text, "runner: %s", reason);
    if (peer->pid > 0)
        kill(peer->pid, SIGTERM); /* if it is alive, it is of no use any more */
    reap(peer, REAP_WAIT_MS);
    runner_sweep(peer->run_id, peer->run_dir, NULL);
    if (peer->handlers.died != NULL)
        peer->handlers.died(peer->context, text);
}

/* --- start and stop --- */

/* Between fork and exec: system calls only. */
static _Noreturn void child(const struct runner_options *options, int socket_fd, pid_t parent, char *const *environment)
{
    char name[] = "mayfly", command[] = "runner";
    char *arguments[] = {name, command, NULL};
    sigset_t none;
    sigemptyset(&none);
    setsid();
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* both above the numbers that they will get, so that neither dup3 destroys the other */
    int socket_copy = fcntl(socket_fd, F_DUPFD_CLOEXEC, 10);
    int run_dir_copy = fcntl(options->run_dir_fd, F_DUPFD_CLOEXEC, 10);
    if (null_fd < 0 || socket_copy < 0 || run_dir_copy < 0 || dup3(null_fd, 0, 0) < 0 || dup3(null_fd, 1, 0) < 0 ||
        dup3(socket_copy, 3, 0) < 0 || dup3(run_dir_copy, 4, 0) < 0)
        _exit(127);
    close_range(5, ~0U, 0);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(127);
    execve(options->program, arguments, environment);
    _exit(127);
}

static int start_process(struct runner_peer *peer, const struct runner_options *options, struct mf_error *error)
{
    int ends[2];
    char crash[256] = "";
    const char *wanted = options->crash_points ? getenv("MFY_CRASH") : NULL;
    if (wanted != NULL)
        snprintf(crash, sizeof crash, "MFY_CRASH=%s", wanted);
    char *environment[] = {crash[0] != '\0' ? crash : NULL, NULL};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return mf_fail_os(error, errno, "runner: cannot make a socket pair");
    pid_t parent = getpid();
    peer->pid = fork();
    if (peer->pid == 0)
        child(options, ends[1], parent, environment);
    int os_errno = errno;
    close(ends[1]);
    if (peer->pid < 0) {
        peer->pid = 0;
        close(ends[0]);
        return mf_fail_os(error, os_errno, "runner: cannot fork");
    }
    return ends[0];
}

static int greet(struct runner_peer *peer, const struct runner_options *options, struct mf_error *error)
{
    struct message_hello hello = {
        .version = FRAME_VERSION,
        .run_id = mf_span(options->run_id),
        .run_dir = mf_span(options->run_dir),
        .path = mf_span(options->path),
        .running_max = options->running_max,
        .pid = getpid(),
        .agent_uid = options->agent_uid,
        .anchored_count = options->anchored_count,
        .anchored_head = mf_span(options->anchored_head),
        .ca_file = mf_span(options->ca_file),
    };
    struct frame_writer writer;
    channel_begin(peer->channel, &writer, FRAME_HELLO, 0, 0);
    message_put_hello(&writer, &hello);
    return channel_end(peer->channel, &writer, error);
}

static void peer_free(struct runner_peer *peer)
{
    channel_destroy(peer->channel);
    mf_free(peer->run_dir);
    mf_free(peer->run_id);
    mf_free(peer);
}

int runner_start(struct runner_peer **out, struct net_loop *loop, const struct runner_options *options,
                 const struct runner_handlers *handlers, void *context, struct mf_error *error)
{
    *out = NULL;
    struct runner_peer *peer = mf_calloc(1, sizeof *peer);
    if (peer == NULL)
        return mf_fail(error, MF_MEMORY, "runner: no memory");
    peer->handlers = *handlers;
    peer->context = context;
    peer->run_dir_fd = options->run_dir_fd;
    peer->run_dir = mf_strdup(options->run_dir);
    peer->run_id = mf_strdup(options->run_id);
    if (peer->run_dir == NULL || peer->run_id == NULL) {
        peer_free(peer);
        return mf_fail(error, MF_MEMORY, "runner: no memory");
    }
    int fd = start_process(peer, options, error);
    struct channel_handlers from_runner = {peer_on_frame, on_closed};
    if (fd < 0 || channel_create(&peer->channel, loop, fd, FRAME_FROM_RUNNER, &from_runner, peer, error) != 0 ||
        greet(peer, options, error) != 0) {
        runner_stop(peer, 0);
        return -1;
    }
    *out = peer;
    return 0;
}

void runner_stop(struct runner_peer *peer, int64_t wait_ms)
{
    if (peer == NULL)
        return;
    if (peer->channel != NULL && !peer->dead) {
        struct frame_writer writer;
        channel_begin(peer->channel, &writer, FRAME_STOP, 0, 0);
        channel_end(peer->channel, &writer, NULL);
        channel_flush(peer->channel);
    }
    channel_destroy(peer->channel);
    peer->channel = NULL;
    reap(peer, wait_ms);
    peer_free(peer);
}

/* --- what to do --- */

static int refuse_when_full(const struct runner_peer *peer, struct mf_error *error)
{
    if (peer->dead)
        return mf_fail(error, MF_PROTOCOL, "runner: is gone");
    return runner_ready(peer) ? 0 : mf_fail(error, MF_LIMIT, "runner: more than 4 MiB are queued");
}

bool runner_ready(const struct runner_peer *peer)
{
    return channel_queued(peer->channel) < FRAME_QUEUE_SOFT_BYTES;
}

int runner_send_prepare(struct runner_peer *peer, const struct runner_prepare *prepare, struct mf_error *error)
{
    struct frame_writer writer;
    if (refuse_when_full(peer, error) != 0)
        return -1;
    channel_begin(peer->channel, &writer, FRAME_PREPARE, prepare->stage, 0);
    message_put_prepare(&writer, prepare);
    return channel_end(peer->channel, &writer, error);
}

static size_t inputs_bytes(const struct runner_spawn *spawn)
{
    size_t bytes = 12;
    for (uint32_t i = 0; i < spawn->input_count; i++)
        bytes += 12 + spawn->inputs[i].path.length + spawn->inputs[i].result.length + spawn->inputs[i].outputs.length;
    return bytes;
}

/* The list as a file in .work/; a helper of the spawner reads and removes it. */
static int write_inputs(struct runner_peer *peer, const struct runner_spawn *spawn, const char *name,
                        struct mf_error *error)
{
    struct mf_buf out;
    mf_buf_init(&out, INPUTS_BYTES_MAX);
    struct frame_writer writer = {&out, 0};
    message_put_inputs(&writer, spawn->inputs, spawn->input_count);
    int work_fd = paths_make(peer->run_dir_fd, PATHS_WORK);
    int result = out.failed ? mf_fail(error, MF_LIMIT, "inputs: the list is longer than 64 MiB") : 0;
    if (result == 0 && (work_fd < 0 || paths_write_file(work_fd, name, out.data, out.length) != 0))
        result = mf_fail_os(error, errno, "inputs: cannot write the list");
    if (work_fd >= 0)
        close(work_fd);
    mf_buf_free(&out);
    return result;
}

int runner_send_spawn(struct runner_peer *peer, const struct runner_spawn *spawn, struct mf_error *error)
{
    struct frame_writer writer;
    char name[40];
    if (refuse_when_full(peer, error) != 0)
        return -1;
    struct message_spawn message = {.spawn = *spawn};
    if (inputs_bytes(spawn) > INPUTS_INLINE_BYTES) {
        snprintf(name, sizeof name, "@inputs-%" PRIu64, spawn->stage);
        if (write_inputs(peer, spawn, name, error) != 0)
            return -1;
        message.inputs_file = mf_span(name);
        message.spawn.input_count = 0;
    }
    channel_begin(peer->channel, &writer, FRAME_SPAWN, spawn->stage, 0);
    message_put_spawn(&writer, &message);
    return channel_end(peer->channel, &writer, error);
}

int runner_send_lease(struct runner_peer *peer, const struct runner_lease *lease, struct mf_error *error)
{
    struct frame_writer writer;
    if (refuse_when_full(peer, error) != 0)
        return -1;
    channel_begin(peer->channel, &writer, FRAME_LEASE, lease->stage, lease->lease);
    message_put_lease(&writer, lease);
    return channel_end(peer->channel, &writer, error);
}

int runner_send_policy(struct runner_peer *peer, const struct runner_policy *policy, struct mf_error *error)
{
    struct frame_writer writer;
    if (refuse_when_full(peer, error) != 0)
        return -1;
    channel_begin(peer->channel, &writer, FRAME_POLICY, 0, 0);
    message_put_policy(&writer, policy);
    return channel_end(peer->channel, &writer, error);
}

int runner_send_service(struct runner_peer *peer, const struct runner_service *service, struct mf_error *error)
{
    struct frame_writer writer;
    if (refuse_when_full(peer, error) != 0)
        return -1;
    channel_begin(peer->channel, &writer, FRAME_SERVICE, 0, 0);
    message_put_service(&writer, service);
    return channel_end(peer->channel, &writer, error);
}

int runner_send_signal(struct runner_peer *peer, uint64_t stage, uint32_t level, struct mf_error *error)
{
    struct frame_writer writer;
    channel_begin(peer->channel, &writer, FRAME_SIGNAL, stage, 0);
    frame_put_u64(&writer, level);
    return channel_end(peer->channel, &writer, error);
}

int runner_send_drop(struct runner_peer *peer, uint64_t lease, struct mf_error *error)
{
    struct frame_writer writer;
    channel_begin(peer->channel, &writer, FRAME_DROP, 0, lease);
    return channel_end(peer->channel, &writer, error);
}

int runner_send_finish(struct runner_peer *peer, struct mf_span path, uint32_t attempt, enum runner_retain retain,
                       bool again, struct mf_error *error)
{
    struct frame_writer writer;
    struct message_finish message = {.path = path, .attempt = attempt, .retain = (uint32_t)retain, .again = again};
    channel_begin(peer->channel, &writer, FRAME_FINISH, 0, 0);
    message_put_finish(&writer, &message);
    return channel_end(peer->channel, &writer, error);
}
