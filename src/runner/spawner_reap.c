/*
 * spawner_reap.c - what became of the spawner's children: reaped, their trees killed, their ends told
 *
 * The end of an agent's main process ends the agent: what it left is killed at once, and only when nothing of it is alive
 * does RUN_ENDED go out. The usual agent leaves nothing, and that costs one read of its cgroup's events.
 */
#include "runner/spawner_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REAP_PER_TURN 512 /* an agent may leave ten thousand zombies: the socket gets its turn in between */
#define LEAVE_TRIES 3000  /* of about 10 ms: then what does not die is in the kernel for good */

static int64_t boot_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- the table --- */

static struct spawned **bucket(struct spawner *spawner, pid_t pid)
{
    return &spawner->pids[(unsigned)pid % SPAWNER_PIDS];
}

static struct spawned *spawned_find(struct spawner *spawner, pid_t pid)
{
    struct spawned *spawned = *bucket(spawner, pid);
    while (spawned != NULL && spawned->pid != pid)
        spawned = spawned->next_in_bucket;
    return spawned;
}

/* Never NULL: without memory for a few bytes the spawner leaves, which kills what was just started. */
struct spawned *spawned_add(struct spawner *spawner, enum spawned_kind kind, pid_t pid, uint64_t stage, uint32_t slot)
{
    struct spawned *spawned = mf_calloc(1, sizeof *spawned);
    if (spawned == NULL)
        _exit(1); /* PR_SET_PDEATHSIG and the runner see to the rest */
    *spawned = (struct spawned){.kind = kind, .pid = pid, .stage = stage, .slot = slot, .answer_fd = -1};
    struct spawned **head = bucket(spawner, pid);
    spawned->next_in_bucket = *head;
    *head = spawned;
    spawned->next = spawner->first;
    if (spawner->first != NULL)
        spawner->first->previous = spawned;
    spawner->first = spawned;
    return spawned;
}

static void forget_pid(struct spawner *spawner, const struct spawned *spawned)
{
    for (struct spawned **at = bucket(spawner, spawned->pid); *at != NULL; at = &(*at)->next_in_bucket) {
        if (*at == spawned) {
            *at = spawned->next_in_bucket;
            return;
        }
    }
}

void spawned_remove(struct spawner *spawner, struct spawned *spawned)
{
    if (!spawned->dying)
        forget_pid(spawner, spawned);
    if (spawned->previous != NULL)
        spawned->previous->next = spawned->next;
    else
        spawner->first = spawned->next;
    if (spawned->next != NULL)
        spawned->next->previous = spawned->previous;
    if (spawned->answer_fd >= 0)
        close(spawned->answer_fd);
    mf_free(spawned);
}

struct spawned *spawned_of_stage(struct spawner *spawner, uint64_t stage)
{
    for (struct spawned *spawned = spawner->first; spawned != NULL; spawned = spawned->next)
        if (spawned->kind != SPAWNED_REMOVER && spawned->stage == stage)
            return spawned;
    return NULL;
}

/* --- trees without a cgroup --- */

/* True when some child of ours is none that we started: something lost its parent. Also true when we cannot tell. */
static bool orphans_exist(struct spawner *spawner)
{
    char text[65536];
    ssize_t got = spawner->children_fd >= 0 ? pread(spawner->children_fd, text, sizeof text - 1, 0) : -1;
    if (got < 0 || got == (ssize_t)sizeof text - 1)
        return true;
    text[got] = '\0';
    for (char *at = text; *at != '\0';) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (spawned_find(spawner, (pid_t)pid) == NULL)
            return true;
        at = end;
    }
    return false;
}

/* Our descendants that are alive, without helpers' ones; the caller frees. */
static struct tree_process *descendants(struct spawner *spawner, size_t *count)
{
    size_t all;
    struct tree_process *list = tree_list(&all);
    *count = 0;
    if (list == NULL)
        return NULL;
    pid_t self = getpid();
    for (size_t i = 0; i < all; i++)
        list[i].member = list[i].pid == self;
    tree_close_over(list, all);
    for (size_t i = 0; i < all; i++) {
        const struct spawned *known = spawned_find(spawner, list[i].pid);
        bool helper = known != NULL && known->kind != SPAWNED_AGENT;
        if (list[i].member && list[i].pid != self && !helper && list[i].state != 'Z' && list[i].state != 'X')
            list[(*count)++] = list[i];
    }
    return list;
}

static uint64_t oldest_agent(const struct spawner *spawner)
{
    uint64_t oldest = UINT64_MAX;
    for (const struct spawned *spawned = spawner->first; spawned != NULL; spawned = spawned->next)
        if (spawned->kind == SPAWNED_AGENT && !spawned->dying && spawned->birth < oldest)
            oldest = spawned->birth;
    return oldest;
}

/*
 * Does it belong to the tree? Session and group are the plain cases, the mark finds daemons. An orphan that also wiped its
 * environment is nobody's; it goes as soon as every agent that could have started it has ended.
 */
static bool belongs(struct spawner *spawner, const struct spawned *tree, const struct tree_process *process, uint64_t oldest)
{
    if (process->pid == tree->pid || process->session == tree->pid || process->group == tree->pid)
        return true;
    if (tree_marked(process->pid, tree->mark))
        return true;
    bool orphan = process->parent == getpid() && spawned_find(spawner, process->pid) == NULL;
    return tree->dying && orphan && process->birth < oldest && !tree_marked(process->pid, spawner->run_id);
}

/* Sends the signal to the whole tree; returns how many processes of it were alive. */
static size_t signal_tree(struct spawner *spawner, const struct spawned *tree, int signal_number)
{
    size_t count;
    size_t alive = 0;
    uint64_t oldest = oldest_agent(spawner);
    struct tree_process *list = descendants(spawner, &count);
    for (size_t i = 0; i < count; i++)
        list[i].member = belongs(spawner, tree, &list[i], oldest);
    tree_close_over(list, count);
    for (size_t i = 0; i < count; i++) {
        if (!list[i].member)
            continue;
        alive++;
        tree_signal(&list[i], signal_number);
        if (signal_number != SIGKILL)
            tree_signal(&list[i], SIGCONT);
    }
    mf_free(list);
    return alive;
}

/* --- the end of an agent --- */

/* Kills what is left of a tree whose main process is gone. True: nothing is. */
static bool tree_is_dead(struct spawner *spawner, const struct spawned *tree)
{
    const struct slot *slot = &spawner->slots[tree->slot];
    if (slot->group.dir_fd >= 0) {
        if (cgroup_empty(&slot->group))
            return true;
        cgroup_kill(slot->group.dir_fd);
        return cgroup_empty(&slot->group);
    }
    return !orphans_exist(spawner) || signal_tree(spawner, tree, SIGKILL) == 0;
}

static void tell_ended(struct spawner *spawner, const struct spawned *spawned, bool stuck)
{
    struct slot_left left = slot_look(&spawner->slots[spawned->slot]);
    const struct rusage *usage = &spawned->usage;
    struct message_ended ended = {
        .code = WIFEXITED(spawned->status) ? WEXITSTATUS(spawned->status) : -1,
        .signal = WIFSIGNALED(spawned->status) ? WTERMSIG(spawned->status) : 0,
        .ended_ms = spawned->ended_ms,
        .user_us = (int64_t)usage->ru_utime.tv_sec * 1000000 + usage->ru_utime.tv_usec,
        .system_us = (int64_t)usage->ru_stime.tv_sec * 1000000 + usage->ru_stime.tv_usec,
        .rss_bytes_max = (int64_t)usage->ru_maxrss * 1024,
        .pristine = left.pristine && !stuck,
        .has_result = left.has_result,
        .stuck = stuck,
    };
    struct frame_writer writer;
    frame_begin(&writer, &spawner->out, FRAME_RUN_ENDED, spawned->stage, 0);
    message_put_ended(&writer, &ended);
    frame_end(&writer);
}

static void end_agent(struct spawner *spawner, struct spawned *spawned, bool stuck)
{
    if (stuck)
        slot_abandon_group(&spawner->slots[spawned->slot]);
    tell_ended(spawner, spawned, stuck);
    if (spawned->dying)
        spawner->dying_count--;
    spawned_remove(spawner, spawned);
}

void spawner_check_dying(struct spawner *spawner)
{
    struct spawned *next;
    int64_t now_ms = boot_now_ms();
    for (struct spawned *spawned = spawner->first; spawned != NULL; spawned = next) {
        next = spawned->next;
        if (!spawned->dying)
            continue;
        bool dead = tree_is_dead(spawner, spawned);
        if (dead || now_ms >= spawned->kill_until_ms)
            end_agent(spawner, spawned, !dead);
    }
}

static void on_agent_ended(struct spawner *spawner, struct spawned *spawned)
{
    forget_pid(spawner, spawned); /* the number may be given out again from here on */
    spawned->dying = true;
    spawner->dying_count++;
    spawned->ended_ms = boot_now_ms();
    spawned->kill_until_ms = spawned->ended_ms + SPAWNER_STUCK_MS;
    if (tree_is_dead(spawner, spawned))
        end_agent(spawner, spawned, false);
}

/* --- the end of a helper --- */

static void on_helper_ended(struct spawner *spawner, struct spawned *spawned)
{
    char payload[8192];
    ssize_t got = read(spawned->answer_fd, payload, sizeof payload);
    struct message_job_ended ended;
    struct message_memory memory;
    bool answered = spawned->status == 0 && got > 0 &&
                    message_take_job_ended((struct mf_span){payload, (size_t)got}, &ended, &memory) == 0;
    if (!answered)
        ended = (struct message_job_ended){
            .class_name = MF_SPAN("infrastructure"),
            .reason = WIFSIGNALED(spawned->status) ? MF_SPAN("helper: was killed") : MF_SPAN("helper: failed without a reason")};
    struct frame_writer writer;
    frame_begin(&writer, &spawner->out, FRAME_JOB_ENDED, spawned->stage, 0);
    message_put_job_ended(&writer, &ended);
    frame_end(&writer);
    spawner->helper_count--;
    spawned_remove(spawner, spawned);
    spawner_start_queued(spawner);
}

static void on_remover_ended(struct spawner *spawner, struct spawned *spawned)
{
    spawner->remover_runs = false;
    spawned_remove(spawner, spawned);
    spawner_start_remover(spawner);
}

/* --- reaping --- */

static void on_ended(struct spawner *spawner, struct spawned *spawned)
{
    switch (spawned->kind) {
    case SPAWNED_AGENT:
        on_agent_ended(spawner, spawned);
        return;
    case SPAWNED_HELPER:
        on_helper_ended(spawner, spawned);
        return;
    case SPAWNED_REMOVER:
        on_remover_ended(spawner, spawned);
        return;
    }
    mf_unreachable();
}

bool spawner_reap(struct spawner *spawner)
{
    for (int i = 0; i < REAP_PER_TURN; i++) {
        siginfo_t about = {.si_pid = 0};
        /* looked at before it is reaped: as long as it is a zombie, its number and its group's number are not reused */
        if (waitid(P_ALL, 0, &about, WEXITED | WNOHANG | WNOWAIT) != 0 || about.si_pid == 0)
            return false;
        pid_t pid = about.si_pid;
        struct spawned *spawned = spawned_find(spawner, pid);
        if (spawned != NULL)
            kill(-pid, SIGKILL);
        struct rusage usage;
        int status;
        if (wait4(pid, &status, WNOHANG, &usage) != pid || spawned == NULL)
            continue;
        spawned->status = status;
        spawned->usage = usage;
        on_ended(spawner, spawned);
    }
    return true;
}

/* --- killing --- */

/* A job that still waits for a helper ends here. */
static bool drop_queued(struct spawner *spawner, uint64_t stage)
{
    for (struct spawner_queued **at = &spawner->queue; *at != NULL; at = &(*at)->next) {
        struct spawner_queued *queued = *at;
        if (queued->stage != stage)
            continue;
        *at = queued->next;
        if (spawner->queue_end == &queued->next)
            spawner->queue_end = at;
        mf_free(queued);
        struct message_job_ended ended = {.class_name = MF_SPAN("infrastructure"), .reason = MF_SPAN("helper: was stopped")};
        struct frame_writer writer;
        frame_begin(&writer, &spawner->out, FRAME_JOB_ENDED, stage, 0);
        message_put_job_ended(&writer, &ended);
        frame_end(&writer);
        return true;
    }
    return false;
}

int spawner_on_kill(struct spawner *spawner, const struct frame *frame)
{
    struct frame_reader reader;
    frame_read(&reader, frame->payload);
    uint32_t level = frame_take_u32(&reader);
    if (!frame_read_end(&reader))
        return -1;
    struct spawned *spawned = spawned_of_stage(spawner, frame->stage);
    if (spawned == NULL) {
        drop_queued(spawner, frame->stage);
        return 0;
    }
    int group_fd = spawner->slot_count > spawned->slot ? spawner->slots[spawned->slot].group.dir_fd : -1;
    if (spawned->kind == SPAWNED_HELPER)
        kill(-spawned->pid, SIGKILL);
    else if (group_fd < 0)
        signal_tree(spawner, spawned, level >= 2 ? SIGKILL : SIGTERM);
    else if (level >= 2)
        cgroup_kill(group_fd);
    else
        cgroup_signal(group_fd, SIGTERM);
    return 0;
}

static bool reap_everything(void)
{
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0)
            return errno == ECHILD;
        if (pid == 0)
            return false;
    }
}

static void kill_descendants(void)
{
    size_t count;
    struct tree_process *list = tree_list(&count);
    pid_t self = getpid();
    for (size_t i = 0; i < count; i++)
        list[i].member = list[i].pid == self;
    tree_close_over(list, count);
    for (size_t i = 0; i < count; i++)
        if (list[i].member && list[i].pid != self)
            tree_signal(&list[i], SIGKILL);
    mf_free(list);
}

void spawner_kill_all(struct spawner *spawner)
{
    for (struct spawned *spawned = spawner->first; spawned != NULL; spawned = spawned->next)
        if (!spawned->dying)
            kill(-spawned->pid, SIGKILL);
    for (int i = 0; i < LEAVE_TRIES && !reap_everything(); i++) {
        if (spawner->group_fd >= 0)
            cgroup_kill(spawner->group_fd);
        kill_descendants();
        if (reap_everything())
            break;
        nanosleep(&(struct timespec){.tv_nsec = i < 10 ? 1000000 : 10000000}, NULL);
    }
    while (spawner->first != NULL)
        spawned_remove(spawner, spawner->first);
}
