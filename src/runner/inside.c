/*
 * inside.c - what is said from inside a sandbox, and when a main process ended
 *
 * Outside of a sandbox only bubblewrap is seen. mayfly-init, pid 1 inside, says over its control socket what the spawner cannot
 * know: the listening sockets of the namespace, whether the command was executed, how its main process ended. With that end the
 * stage's tokens die at once, although other processes of the namespace may live for some milliseconds. Without a sandbox the
 * pidfd says the same.
 */
#include "runner/runner_private.h"

#include "sandbox/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- doors --- */

static enum gateway_door door_of(int32_t port)
{
    if (port == (int32_t)SANDBOX_GATEWAY_PORT)
        return GATEWAY_DOOR_API;
    return port == (int32_t)SANDBOX_EGRESS_PORT ? GATEWAY_DOOR_EGRESS : GATEWAY_DOOR_REACH;
}

/* The sockets are in the agent's own network namespace: only its processes can connect to them. */
static void on_listening(struct stage *stage, int32_t port, int fd)
{
    struct mf_error error = {.code = MF_NONE};
    if (fd < 0 || port <= 0 || port > UINT16_MAX || !stage->gated) {
        if (fd >= 0)
            close(fd);
        stage->inside.broken = true;
        return;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (gateway_open_door(stage->runner->gateway, stage->id, door_of(port), fd, (uint16_t)port, true, &error) == 0)
        return;
    fprintf(stderr, "mayfly runner: %s: port %d: %s\n", stage->attempt->path, (int)port, error.text);
    stage->inside.broken = true;
}

/* --- events --- */

static void on_exited(struct stage *stage, const struct sandbox_event *event)
{
    struct inside *inside = &stage->inside;
    inside->exited = true;
    inside->status = event->value;
    inside->user_us = event->user_us;
    inside->system_us = event->system_us;
    inside->rss_bytes_max = event->rss_bytes_max;
    inside->ended_ms = net_now_ms();
    given_close(stage);
}

static void on_event(struct stage *stage, const struct sandbox_event *event, int fd)
{
    struct inside *inside = &stage->inside;
    switch (event->kind) {
    case SANDBOX_LISTENING:
        on_listening(stage, event->value, fd);
        if (inside->broken)
            process_kill(stage, 2);
        return;
    case SANDBOX_STARTED:
        inside->started = true;
        if (!inside->broken)
            stage_on_started(stage);
        break;
    case SANDBOX_FAILED:
        inside->failed = true;
        inside->step = event->step;
        inside->os_errno = event->value;
        break;
    case SANDBOX_EXITED:
        on_exited(stage, event);
        break;
    default:
        break; /* ours and of one build: there is no other */
    }
    if (fd >= 0)
        close(fd);
}

/* The other end is not read any more; what it said stays. */
static void hang_up(struct stage *stage)
{
    net_watch_destroy(stage->inside.watch);
    stage->inside.watch = NULL;
    if (stage->inside.control_fd >= 0)
        close(stage->inside.control_fd);
    stage->inside.control_fd = -1;
}

static void take_events(struct stage *stage)
{
    while (stage->inside.control_fd >= 0) {
        struct sandbox_event event;
        int fd = -1;
        int result = sandbox_control_read(stage->inside.control_fd, &event, &fd);
        if (result == 0)
            return;
        if (result < 0)
            hang_up(stage);
        else
            on_event(stage, &event, fd);
    }
}

static void on_readable(void *context, int events)
{
    (void)events;
    take_events(context);
}

void inside_open(struct stage *stage, int control_fd)
{
    struct inside *inside = &stage->inside;
    hang_up(stage);
    inside->control_fd = control_fd;
    if (net_watch_create(&inside->watch, stage->runner->loop, control_fd, NET_READ, on_readable, stage, NULL) != 0) {
        inside->broken = true;
        process_kill(stage, 2);
    } else if (stage->level == 1) {
        inside_signal(stage, 1); /* it came too early to be passed on */
    }
}

void inside_close(struct stage *stage)
{
    hang_up(stage);
    net_watch_destroy(stage->end_watch);
    stage->end_watch = NULL;
}

void inside_end(struct stage *stage, struct message_ended *ended)
{
    struct inside *inside = &stage->inside;
    take_events(stage);
    inside_close(stage);
    if (!inside->exited)
        return;
    bool by_signal = WIFSIGNALED(inside->status);
    ended->code = by_signal ? -1 : WEXITSTATUS(inside->status);
    ended->signal = by_signal ? WTERMSIG(inside->status) : 0;
    ended->user_us = inside->user_us;
    ended->system_us = inside->system_us;
    ended->rss_bytes_max = inside->rss_bytes_max;
    ended->ended_ms = inside->ended_ms;
}

/* --- signals --- */

/* SIGTERM to bubblewrap would kill without grace: mayfly-init passes it on to what runs inside. */
void inside_signal(struct stage *stage, uint32_t level)
{
    bool sandboxed = stage->state == STAGE_RUNNING && process_walls(stage)->sandbox;
    if (level >= 2 || !sandboxed) {
        process_kill(stage, level);
        return;
    }
    if (stage->inside.control_fd < 0)
        return; /* inside_open passes it on, or it has ended */
    if (sandbox_control_terminate(stage->inside.control_fd) != 0 && errno != EPIPE && errno != ECONNRESET)
        process_kill(stage, 2);
}

/* --- without a sandbox --- */

static void on_main_ended(void *context, int events)
{
    struct stage *stage = context;
    (void)events;
    given_close(stage);
    net_watch_destroy(stage->end_watch);
    stage->end_watch = NULL;
}

void inside_watch_end(struct stage *stage)
{
    if (stage->gated && !process_walls(stage)->sandbox)
        net_watch_create(&stage->end_watch, stage->runner->loop, stage->pidfd, NET_READ, on_main_ended, stage, NULL);
}
