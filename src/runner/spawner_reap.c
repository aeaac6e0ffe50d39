/*
 * spawner_reap.c - what became of the spawner's children: reaped, their trees killed, their ends told
 *
 * The end of an agent's main process ends the agent: what it left is killed at once, and only when nothing of it is
 * alive does RUN_ENDED go out. The usual agent leaves nothing, and that costs one read of its cgroup's events.
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
#define CHILDREN_MAX 16384
#define LEAVE_TRIES 3000 /* of about 10 ms: then what does not die is in the kernel for good */

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
        if ((spawned->kind == SPAWNED_AGENT || spawned->kind == SPAWNED_HELPER) && spawned->stage == stage)
            return spawned;
    return NULL;
}

/* --- trees without a cgroup: an agent's main process is our child, and whatever loses its parent becomes one --- */

/* Our children, also as orphans; -1 when this kernel does not say. */
static int own_children(struct spawner *spawner, pid_t *children, size_t max)
{
    static char text[256 << 10];
    ssize_t got = spawner->children_fd >= 0 ? pread(spawner->children_fd, text, sizeof text - 1, 0) : -1;
    if (got < 0)
        return -1;
    text[got] = '\0';
    size_t count = 0;
    char *end;
    for (char *at = text; count < max; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        children[count++] = (pid_t)pid;
    }
    return (int)count;
}

/* The same by looking at every process. */
static int own_children_by_scan(pid_t *children, size_t max)
{
    size_t all, count = 0;
    struct tree_process *list = tree_list(&all);
    pid_t self = getpid();
    for (size_t i = 0; i < all && count < max; i++)
        if (list[i].parent == self)
            children[count++] = list[i].pid;
    mf_free(list);
    return (int)count;
}

/* Children of ours that we did not start; at most CHILDREN_MAX at a time, the rest in the next round. */
static size_t list_orphans(struct spawner *spawner, pid_t *orphans)
{
    int count = own_children(spawner, orphans, CHILDREN_MAX);
    if (count < 0)
        count = own_children_by_scan(orphans, CHILDREN_MAX);
    size_t kept = 0;
    for (int i = 0; i < count; i++)
        if (spawned_find(spawner, orphans[i]) == NULL)
            orphans[kept++] = orphans[i];
    return kept;
}

/* Signals a process and everything below it, children first noted, then signalled, so that none is lost when the parent
 * ends. */
static size_t signal_below(pid_t pid, int signal_number, int depth)
{
    pid_t children[256];
    struct tree_process process;
    if (depth > 64 || tree_read(pid, &process) != 0 || process.state == 'Z' || process.state == 'X')
        return 0;
    int count = tree_children(pid, children, sizeof children / sizeof children[0]);
    tree_signal(&process, signal_number);
    if (signal_number != SIGKILL)
        tree_signal(&process, SIGCONT);
    size_t signalled = 1;
    for (int i = 0; i < count; i++)
        signalled += signal_below(children[i], signal_number, depth + 1);
    return signalled;
}

static uint64_t oldest_agent(const struct spawner *spawner)
{
    uint64_t oldest = UINT64_MAX;
    for (const struct spawned *spawned = spawner->first; spawned != NULL; spawned = spawned->next)
        if (spawned->kind == SPAWNED_AGENT && !spawned->dying && spawned->birth < oldest)
            oldest = spawned->birth;
    return oldest;
}

/* Whose is an orphan? Session and group are the plain cases, the mark finds daemons. NULL: nobody's that we know. */
static struct spawned *owner_of(struct spawner *spawner, const struct tree_process *orphan, bool *marked)
{
    char mark[TREE_MARK_BYTES_MAX];
    *marked = tree_mark(orphan->pid, mark) == 0 && strncmp(mark, spawner->run_id, strlen(spawner->run_id)) == 0;
    for (struct spawned *spawned = spawner->first; spawned != NULL; spawned = spawned->next) {
        if (spawned->kind != SPAWNED_AGENT)
            continue;
        if (orphan->session == spawned->pid || orphan->group == spawned->pid ||
            (*marked && strcmp(mark, spawned->mark) == 0))
            return spawned;
    }
    return NULL;
}

/*
 * Kills the orphans whose agent has ended and notes in each dying tree whether something of it was alive. An orphan
 * whose agent is over, or that wiped its environment and whose every possible owner is over, goes too.
 */
static void kill_orphans(struct spawner *spawner)
{
    static pid_t orphans[CHILDREN_MAX];
    size_t count = list_orphans(spawner, orphans);
    uint64_t oldest = oldest_agent(spawner);
    for (size_t i = 0; i < count; i++) {
        struct tree_process process;
        bool marked;
        if (tree_read(orphans[i], &process) != 0 || process.state == 'Z' || process.state == 'X')
            continue;
        struct spawned *owner = owner_of(spawner, &process, &marked);
        if (owner != NULL && !owner->dying)
            continue;
        if (owner != NULL || marked || process.birth < oldest)
            signal_below(process.pid, SIGKILL, 0);
        if (owner != NULL)
            owner->alive = true;
    }
}

/* The tree of a running agent: below its main process, and the orphans that are its own. */
static void signal_tree(struct spawner *spawner, struct spawned *tree, int signal_number)
{
    static pid_t orphans[CHILDREN_MAX];
    size_t count = list_orphans(spawner, orphans);
    signal_below(tree->pid, signal_number, 0);
    for (size_t i = 0; i < count; i++) {
        struct tree_process process;
        bool marked;
        if (tree_read(orphans[i], &process) == 0 && owner_of(spawner, &process, &marked) == tree)
            signal_below(process.pid, signal_number, 0);
    }
}

/* --- the end of an agent --- */

static bool has_group(const struct spawner *spawner, const struct spawned *spawned)
{
    return spawned->slot < spawner->slot_count && spawner->slots[spawned->slot].group.dir_fd >= 0;
}

static void kill_group(struct spawner *spawner, const struct spawned *spawned)
{
    spawner->slots[spawned->slot].group_killed = true;
    cgroup_kill(spawner->slots[spawned->slot].group.dir_fd);
}

/* Kills what is left in the group of a tree whose main process is gone. True: nothing is. */
static bool group_is_dead(struct spawner *spawner, const struct spawned *tree)
{
    const struct slot *slot = &spawner->slots[tree->slot];
    if (cgroup_empty(&slot->group))
        return true;
    kill_group(spawner, tree);
    return cgroup_empty(&slot->group);
}

/* The same without a group: seen at once when we have no child that we did not start; else kill_orphans finds out. */
static bool no_orphans(struct spawner *spawner)
{
    static pid_t orphans[CHILDREN_MAX];
    return list_orphans(spawner, orphans) == 0;
}

/* What is left in the slot. Out of a sandbox an empty one is made anew: nothing of one agent may be seen by the next. */
static struct slot_left look_at_slot(struct spawner *spawner, const struct spawned *spawned)
{
    struct slot *slot = &spawner->slots[spawned->slot];
    struct slot_left left = slot_look(slot);
    if (left.pristine && slot->walled && (slot->mounted || slot_renew(slot, spawned->slot, spawner->work_fd) != 0))
        left.pristine = false;
    return left;
}

static void tell_ended(struct spawner *spawner, const struct spawned *spawned, bool stuck)
{
    struct slot_left left = look_at_slot(spawner, spawned);
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
    bool groups = true;
    for (struct spawned *spawned = spawner->first; spawned != NULL; spawned = spawned->next) {
        spawned->alive = false;
        groups = groups && (!spawned->dying || has_group(spawner, spawned));
    }
    if (!groups)
        kill_orphans(spawner);
    for (struct spawned *spawned = spawner->first; spawned != NULL; spawned = next) {
        next = spawned->next;
        if (!spawned->dying)
            continue;
        bool dead = has_group(spawner, spawned) ? group_is_dead(spawner, spawned) : !spawned->alive;
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
    if (has_group(spawner, spawned) ? group_is_dead(spawner, spawned) : no_orphans(spawner))
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
        ended = (struct message_job_ended){.class_name = MF_SPAN("infrastructure"),
                                           .reason = WIFSIGNALED(spawned->status)
                                                         ? MF_SPAN("helper: was killed")
                                                         : MF_SPAN("helper: failed without a reason")};
    struct frame_writer writer;
    frame_begin(&writer, &spawner->out, FRAME_JOB_ENDED, spawned->stage, 0);
    message_put_job_ended(&writer, &ended);
    frame_end(&writer);
    struct spawner_lane *lane = &spawner->lanes[spawned->lane];
    lane->helper_count--;
    spawned_remove(spawner, spawned);
    spawner_start_queued(spawner, lane);
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
    case SPAWNED_KEEPER:
        spawned_remove(spawner, spawned);
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
static void drop_queued(struct spawner *spawner, struct spawner_lane *lane, uint64_t stage)
{
    for (struct spawner_queued **at = &lane->queue; *at != NULL; at = &(*at)->next) {
        struct spawner_queued *queued = *at;
        if (queued->stage != stage)
            continue;
        *at = queued->next;
        if (lane->queue_end == &queued->next)
            lane->queue_end = at;
        mf_free(queued);
        struct message_job_ended ended = {.class_name = MF_SPAN("infrastructure"),
                                          .reason = MF_SPAN("helper: was stopped")};
        struct frame_writer writer;
        frame_begin(&writer, &spawner->out, FRAME_JOB_ENDED, stage, 0);
        message_put_job_ended(&writer, &ended);
        frame_end(&writer);
        return;
    }
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
        for (size_t i = 0; i < SPAWNER_LANES; i++)
            drop_queued(spawner, &spawner->lanes[i], frame->stage);
        return 0;
    }
    if (spawned->kind == SPAWNED_HELPER)
        kill(-spawned->pid, SIGKILL);
    else if (spawned->walled && level < 2)
        spawner_signal_walled(spawned, SIGTERM);
    else if (!has_group(spawner, spawned))
        signal_tree(spawner, spawned, level >= 2 ? SIGKILL : SIGTERM);
    else if (level >= 2)
        kill_group(spawner, spawned);
    else
        cgroup_signal(spawner->slots[spawned->slot].group.dir_fd, SIGTERM);
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

/* Orderly: what is kept of agents is ours before we leave. */
static void wait_for_keepers(struct spawner *spawner)
{
    for (struct spawned *spawned = spawner->first; spawned != NULL && spawner->tidy; spawned = spawned->next)
        if (spawned->kind == SPAWNED_KEEPER)
            waitpid(spawned->pid, NULL, 0);
}

void spawner_kill_all(struct spawner *spawner)
{
    wait_for_keepers(spawner);
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
