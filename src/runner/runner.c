/*
 * runner.c - the process `mayfly runner`: takes the orchestrator's messages, drives the spawner, answers
 *
 * Started by runner_start (peer.c) with a socket on descriptor 3 and the run directory on 4, an empty environment and a
 * session of its own. It reads HELLO, forks the spawner while it still has one thread, no loop and no secret, and only
 * then opens its loop. Credentials are in the lease table and in what is queued for the spawner; all of it is wiped.
 *
 * It ends when the orchestrator's socket ends or on SIGTERM: the spawner's socket is closed, which kills every agent,
 * and the runner leaves when the spawner has left. If the spawner dies, the runner kills the agents by their pidfds and
 * marks and leaves too. A bad message from either side is the death of that side.
 */
#include "runner/runner_private.h"

#include "base/alloc.h"
#include "runner/spawner.h"
#include "runner/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORCHESTRATOR_FD 3
#define RUN_DIR_FD 4
#define HELLO_WAIT_MS 10000
/* More than this towards the spawner: the orchestrator is not read for a while, its own queue then says no. */
#define SPAWNER_QUEUE_BYTES (4u << 20)

/* --- from the spawner --- */

static int on_run_started(struct runner *runner, const struct frame *frame, const int *descriptors)
{
    struct frame_reader reader;
    frame_read(&reader, frame->payload);
    int64_t pid = frame_take_i64(&reader);
    int64_t birth = frame_take_i64(&reader);
    struct stage *stage = stage_find(runner, frame->stage);
    if (stage == NULL || !frame_read_end(&reader)) {
        for (int i = 0; i < 3; i++)
            close(descriptors[i]);
        return frame_read_end(&reader) ? 0 : -1;
    }
    stage->pid = pid;
    stage->birth = birth;
    if (process_started(stage, descriptors) != 0)
        process_kill(stage, 2); /* no memory to hear it: it ends as killed */
    if (process_walls(stage)->sandbox)
        return 0; /* mayfly-init says when the command is executed */
    inside_watch_end(stage);
    stage_on_started(stage);
    return 0;
}

static int on_run_control(struct runner *runner, const struct frame *frame, const int *descriptors)
{
    struct stage *stage = stage_find(runner, frame->stage);
    if (stage != NULL && process_walls(stage)->sandbox)
        inside_open(stage, descriptors[0]);
    else
        close(descriptors[0]);
    return 0;
}

static int on_run_failed(struct runner *runner, const struct frame *frame)
{
    struct frame_reader reader;
    frame_read(&reader, frame->payload);
    uint64_t step = frame_take_u64(&reader);
    int64_t os_errno = frame_take_i64(&reader);
    struct stage *stage = stage_find(runner, frame->stage);
    if (!frame_read_end(&reader) || os_errno < 0 || os_errno > 4095)
        return -1;
    if (stage != NULL && stage->kind == STAGE_PREPARE)
        prepare_on_run_failed(stage, step, (int)os_errno);
    else if (stage != NULL)
        stage_on_run_failed(stage, step, (int)os_errno);
    return 0;
}

static int on_run_ended(struct runner *runner, const struct frame *frame)
{
    struct message_ended ended;
    struct message_memory memory;
    struct stage *stage = stage_find(runner, frame->stage);
    if (message_take_ended(frame->payload, &ended, &memory) != 0)
        return -1;
    if (stage != NULL)
        inside_end(stage, &ended);
    if (stage != NULL && stage->kind == STAGE_PREPARE)
        prepare_on_ended(stage, &ended);
    else if (stage != NULL)
        stage_on_ended(stage, &ended);
    message_memory_free(&memory);
    return 0;
}

static int on_job_ended(struct runner *runner, const struct frame *frame)
{
    struct message_job_ended ended;
    struct message_memory memory;
    struct stage *stage = stage_find(runner, frame->stage);
    if (message_take_job_ended(frame->payload, &ended, &memory) != 0)
        return -1;
    if (stage != NULL && stage->kind == STAGE_PREPARE)
        prepare_on_job_ended(stage, &ended);
    else if (stage != NULL)
        stage_on_job_ended(stage, &ended);
    message_memory_free(&memory);
    return 0;
}

static int on_spawner_frame(void *context, const struct frame *frame, const int *descriptors)
{
    struct runner *runner = context;
    switch (frame->type) {
    case FRAME_RUN_STARTED:
        return on_run_started(runner, frame, descriptors);
    case FRAME_RUN_CONTROL:
        return on_run_control(runner, frame, descriptors);
    case FRAME_RUN_FAILED:
        return on_run_failed(runner, frame);
    case FRAME_RUN_ENDED:
        return on_run_ended(runner, frame);
    case FRAME_JOB_ENDED:
        return on_job_ended(runner, frame);
    default:
        return -1;
    }
}

/* --- from the orchestrator --- */

static int on_signal_message(struct runner *runner, const struct frame *frame)
{
    struct frame_reader reader;
    frame_read(&reader, frame->payload);
    uint32_t level = frame_take_u32(&reader);
    if (!frame_read_end(&reader) || level == 0)
        return -1;
    struct stage *stage = stage_find(runner, frame->stage);
    if (stage == NULL || (stage->state == STAGE_COLLECTING && level < 2))
        return 0; /* it has ended meanwhile; what is being collected of it is worth some patience */
    if (level > stage->level)
        stage->level = level;
    inside_signal(stage, level);
    return 0;
}

static int on_stop(struct runner *runner)
{
    runner->tidy = true;
    net_loop_stop(runner->loop);
    return 0;
}

static int on_orchestrator_frame(void *context, const struct frame *frame, const int *descriptors)
{
    struct runner *runner = context;
    (void)descriptors;
    switch (frame->type) {
    case FRAME_PREPARE:
        return runner_on_prepare(runner, frame);
    case FRAME_POLICY:
        return runner_on_policy(runner, frame);
    case FRAME_SERVICE:
        return runner_on_service(runner, frame);
    case FRAME_LEASE:
        return runner_on_lease(runner, frame);
    case FRAME_SPAWN:
        return runner_on_spawn(runner, frame);
    case FRAME_SIGNAL:
        return on_signal_message(runner, frame);
    case FRAME_DROP:
        return runner_on_drop(runner, frame);
    case FRAME_FINISH:
        return runner_on_finish(runner, frame);
    case FRAME_STOP:
        return on_stop(runner);
    default:
        return -1;
    }
}

/* --- ends --- */

static void on_orchestrator_closed(void *context, const char *reason)
{
    struct runner *runner = context;
    (void)reason; /* end of file is how it always ends */
    net_loop_stop(runner->loop);
}

static void on_spawner_closed(void *context, const char *reason)
{
    struct runner *runner = context;
    fprintf(stderr, "mayfly runner: the spawner is gone: %s\n", reason);
    runner->failed = true;
    net_loop_stop(runner->loop);
}

static void on_terminate(void *context, int signal_number)
{
    (void)signal_number;
    net_loop_stop(((struct runner *)context)->loop);
}

/* The spawner died without having killed its descendants: by pidfd what we know, by mark what we do not. */
static void kill_without_spawner(struct runner *runner)
{
    for (size_t i = 0; i < RUNNER_BUCKETS; i++)
        for (struct stage *stage = runner->stages[i]; stage != NULL; stage = stage->next)
            if (stage->pidfd >= 0)
                syscall(SYS_pidfd_send_signal, stage->pidfd, SIGKILL, NULL, 0);
    runner_sweep(runner->run_id, runner->run_dir, NULL);
}

static void on_turn(void *context)
{
    struct runner *runner = context;
    channel_flush(runner->spawner);
    channel_flush(runner->orchestrator);
    channel_pause(runner->orchestrator, channel_queued(runner->spawner) > SPAWNER_QUEUE_BYTES);
}

static void leave(struct runner *runner)
{
    gate_close(runner); /* before the agents die: from here on no token is good for anything */
    if (runner->tidy && !runner->failed) {
        struct frame_writer writer;
        channel_begin(runner->spawner, &writer, FRAME_STOP, 0, 0);
        channel_end(runner->spawner, &writer, NULL);
        channel_flush(runner->spawner);
    }
    channel_destroy(runner->spawner); /* end of file: it kills everything */
    runner->spawner = NULL;
    if (runner->failed)
        kill_without_spawner(runner);
    while (waitpid(runner->spawner_pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* --- start --- */

static int say_hello(struct runner *runner)
{
    struct tree_process self;
    struct message_hello hello = {.version = FRAME_VERSION, .pid = getpid()};
    if (tree_read(getpid(), &self) == 0)
        hello.birth = (int64_t)self.birth;
    struct frame_writer writer;
    channel_begin(runner->orchestrator, &writer, FRAME_HELLO, 0, 0);
    message_put_hello(&writer, &hello);
    return channel_end(runner->orchestrator, &writer, NULL);
}

static int take_hello(struct runner *runner, struct mf_span payload)
{
    struct message_hello hello;
    struct message_memory memory;
    if (message_take_hello(payload, &hello, &memory) != 0)
        return -1;
    bool good = hello.version == FRAME_VERSION &&
                mf_span_copy(hello.run_id, runner->run_id, sizeof runner->run_id) == 0 &&
                mf_span_copy(hello.run_dir, runner->run_dir, sizeof runner->run_dir) == 0 &&
                mf_span_copy(hello.path, runner->path, sizeof runner->path) == 0 &&
                mf_span_copy(hello.anchored_head, runner->anchored_head, sizeof runner->anchored_head) == 0 &&
                mf_span_copy(hello.ca_file, runner->ca_file, sizeof runner->ca_file) == 0;
    runner->agent_uid = hello.agent_uid;
    runner->anchored_count = hello.anchored_count;
    message_memory_free(&memory);
    return good ? 0 : -1;
}

/* Reads the first frame and not a byte more, before there is a loop. */
static int read_hello(struct runner *runner)
{
    char bytes[3 * sizeof runner->path + 1024];
    size_t length = 0;
    for (;;) {
        struct frame frame;
        size_t consumed;
        enum frame_parse parse =
            frame_parse((struct mf_span){bytes, length}, FRAME_FROM_ORCHESTRATOR, &frame, &consumed);
        if (parse == FRAME_PARSE_WHOLE)
            return frame.type == FRAME_HELLO ? take_hello(runner, frame.payload) : -1;
        struct pollfd watched = {ORCHESTRATOR_FD, POLLIN, 0};
        if (parse == FRAME_PARSE_BAD || length == sizeof bytes || poll(&watched, 1, HELLO_WAIT_MS) != 1)
            return -1;
        /* the head says how long the frame is: first the length field, then exactly the rest */
        size_t wanted = length < FRAME_LENGTH_BYTES ? FRAME_LENGTH_BYTES
                                                    : FRAME_LENGTH_BYTES + ((size_t)(unsigned char)bytes[0] |
                                                                            (size_t)(unsigned char)bytes[1] << 8 |
                                                                            (size_t)(unsigned char)bytes[2] << 16);
        if (wanted > sizeof bytes)
            return -1;
        ssize_t got = recv(ORCHESTRATOR_FD, bytes + length, wanted - length, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return -1;
        length += got > 0 ? (size_t)got : 0;
    }
}

static void spawner_main(const struct runner *runner, pid_t parent, int socket_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* end of file says the same; this one cannot be held open by somebody else */
    if (parent != getppid())
        _exit(1);
    close(ORCHESTRATOR_FD);
    struct spawner_options options = {socket_fd, RUN_DIR_FD, runner->run_dir, runner->run_id, runner->agent_uid};
    _exit(spawner_run(&options));
}

/* Returns the runner's end of the socket, -1 on failure. */
static int fork_spawner(struct runner *runner)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    pid_t self = getpid();
    runner->spawner_pid = fork();
    if (runner->spawner_pid == 0) {
        close(ends[0]);
        spawner_main(runner, self, ends[1]);
    }
    close(ends[1]);
    if (runner->spawner_pid < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

static void harden(void)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGPIPE, SIGQUIT, SIGXFSZ, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    umask(077);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
#ifndef MAYFLY_SANITIZED /* the leak checker traces its own process */
    prctl(PR_SET_DUMPABLE, 0);
#endif
    fcntl(ORCHESTRATOR_FD, F_SETFD, FD_CLOEXEC);
    fcntl(RUN_DIR_FD, F_SETFD, FD_CLOEXEC);
    close_range(RUN_DIR_FD + 1, ~0U, 0);
}

/* Three descriptors for each agent: pidfd and two pipes. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit.rlim_max, limit.rlim_max});
}

static int open_loop(struct runner *runner, int spawner_fd)
{
    struct channel_handlers from_orchestrator = {on_orchestrator_frame, on_orchestrator_closed};
    struct channel_handlers from_spawner = {on_spawner_frame, on_spawner_closed};
    if (net_loop_create(&runner->loop, NULL) != 0 ||
        net_loop_on_signal(runner->loop, SIGTERM, on_terminate, runner, NULL) != 0) {
        close(spawner_fd);
        return -1;
    }
    if (channel_create(&runner->spawner, runner->loop, spawner_fd, FRAME_FROM_SPAWNER, &from_spawner, runner, NULL) !=
        0)
        return -1;
    if (channel_create(&runner->orchestrator, runner->loop, ORCHESTRATOR_FD, FRAME_FROM_ORCHESTRATOR,
                       &from_orchestrator, runner, NULL) != 0)
        return -1;
    net_loop_on_turn(runner->loop, on_turn, runner);
    struct mf_error error = {.code = MF_NONE};
    if (gate_open(runner, &error) != 0) {
        fprintf(stderr, "mayfly runner: %s\n", error.text);
        return -1;
    }
    return say_hello(runner);
}

int runner_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct runner *runner = mf_calloc(1, sizeof *runner);
    harden();
    int spawner_fd = runner != NULL && read_hello(runner) == 0 ? fork_spawner(runner) : -1;
    if (spawner_fd < 0) {
        mf_free_secret(runner, sizeof *runner);
        return 7;
    }
    runner->run_fd = RUN_DIR_FD;
    prctl(PR_SET_NAME, "mayfly-runner");
    raise_descriptors();
    if (open_loop(runner, spawner_fd) == 0)
        net_loop_run(runner->loop);
    else
        runner->failed = true;
    if (runner->spawner != NULL)
        leave(runner);
    int status = runner->failed ? 7 : 0;
    runner_free_tables(runner);
    channel_destroy(runner->orchestrator);
    net_loop_destroy(runner->loop);
    mf_free_secret(runner, sizeof *runner);
    return status;
}
