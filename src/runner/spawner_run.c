/* spawner_run.c - what the runner asks of the spawner: start a process, give work to a helper, give up a slot */
#include "runner/spawner_private.h"

#include "base/alloc.h"
#include "runner/copy.h"
#include "runner/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- RUN --- */

static void tell_run_failed(struct spawner *spawner, uint64_t stage, enum child_step step, int os_errno)
{
    struct frame_writer writer;
    frame_begin(&writer, &spawner->out, FRAME_RUN_FAILED, stage, 0);
    frame_put_u64(&writer, (uint64_t)step);
    frame_put_i64(&writer, os_errno);
    frame_end(&writer);
}

/* A text that ends with its NUL inside the span and has no other. */
static bool terminated(struct mf_span span)
{
    return span.length > 0 && memchr(span.data, '\0', span.length) == span.data + span.length - 1;
}

static bool all_terminated(const struct mf_span *spans, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!terminated(spans[i]))
            return false;
    return true;
}

/* "DIR/NAME" for each directory of PATH, one after the other in the scratch buffer. Returns how many, -1 without
 * memory. */
static int write_candidates(struct spawner *spawner, struct mf_span path, const char *program)
{
    mf_buf_clear(&spawner->scratch);
    if (strchr(program, '/') != NULL) {
        mf_buf_append(&spawner->scratch, program, strlen(program) + 1);
        return spawner->scratch.failed ? -1 : 1;
    }
    int count = 0;
    for (size_t start = 0; start < path.length;) {
        const char *colon = memchr(path.data + start, ':', path.length - start);
        size_t end = colon != NULL ? (size_t)(colon - path.data) : path.length;
        if (end > start) { /* an empty entry would mean the workspace: never */
            mf_buf_append(&spawner->scratch, path.data + start, end - start);
            mf_buf_char(&spawner->scratch, '/');
            mf_buf_append(&spawner->scratch, program, strlen(program) + 1);
            count++;
        }
        start = end + 1;
    }
    return spawner->scratch.failed ? -1 : count;
}

/* Sets argv, environment and candidates of the plan; the pointers live in the spawner until the next RUN. */
static int write_pointers(struct spawner *spawner, const struct message_run *run, struct child_plan *plan)
{
    int candidates = write_candidates(spawner, run->path, run->argv[0].data);
    size_t count = (size_t)run->argc + run->environment_count + (size_t)(candidates > 0 ? candidates : 0) + 3;
    if (candidates < 0 || mf_grow(&spawner->pointers, &spawner->pointer_capacity, count, sizeof(char *), 128) != 0)
        return -1;
    const char **at = spawner->pointers;
    plan->argv = (char *const *)(void *)at;
    for (uint32_t i = 0; i < run->argc; i++)
        *at++ = run->argv[i].data;
    *at++ = NULL;
    plan->environment = (char *const *)(void *)at;
    for (uint32_t i = 0; i < run->environment_count; i++)
        *at++ = run->environment[i].data;
    *at++ = NULL;
    plan->candidates = (char *const *)(void *)at;
    const char *candidate = spawner->scratch.data;
    for (int i = 0; i < candidates; i++, candidate += strlen(candidate) + 1)
        *at++ = candidate;
    *at = NULL;
    return 0;
}

struct pipes {
    int out[2], err[2];
};

static int open_pipes(struct pipes *pipes)
{
    if (pipe2(pipes->out, O_CLOEXEC) != 0)
        return -1;
    if (pipe2(pipes->err, O_CLOEXEC) != 0) {
        close(pipes->out[0]);
        close(pipes->out[1]);
        return -1;
    }
    fcntl(pipes->out[0], F_SETFL, O_NONBLOCK);
    fcntl(pipes->err[0], F_SETFL, O_NONBLOCK);
    return 0;
}

static int open_input(const struct spawner *spawner, const struct slot *slot, bool prompt)
{
    return prompt ? openat(slot->dir_fd, "in/prompt", O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : spawner->null_fd;
}

static void tell_started(struct spawner *spawner, uint64_t stage, const struct child_started *started,
                         const struct pipes *pipes)
{
    spawner_flush(spawner);
    struct frame_writer writer;
    frame_begin(&writer, &spawner->out, FRAME_RUN_STARTED, stage, 0);
    frame_put_i64(&writer, started->pid);
    frame_put_i64(&writer, started->birth);
    frame_end(&writer);
    spawner_send_descriptors(spawner, (int[]){started->pidfd, pipes->out[0], pipes->err[0]}, 3);
}

/* Starts the plan in the slot's group; when the kernel will not have it there, without groups from now on. */
static int start_in_group(struct spawner *spawner, struct slot *slot, struct child_plan *plan,
                          struct child_started *started, enum child_step *step)
{
    plan->cgroup_fd = slot->group.dir_fd;
    int result = child_start(plan, started, step);
    if (result == 0 || *step != CHILD_STEP_CLONE || plan->cgroup_fd < 0 || errno == EAGAIN || errno == ENOMEM)
        return result;
    if (spawner->group_fd >= 0)
        close(spawner->group_fd);
    spawner->group_fd = plan->cgroup_fd = -1;
    cgroup_close(&slot->group);
    return child_start(plan, started, step);
}

static int start_with_pipes(struct spawner *spawner, uint64_t stage, const struct message_run *run, struct slot *slot,
                            struct child_plan *plan, enum child_step *step)
{
    struct pipes pipes;
    if (open_pipes(&pipes) != 0)
        return -1;
    plan->output_fd = pipes.out[1];
    plan->error_fd = pipes.err[1];
    struct child_started started;
    int result = start_in_group(spawner, slot, plan, &started, step);
    int os_errno = errno;
    close(pipes.out[1]);
    close(pipes.err[1]);
    if (result == 0) {
        struct spawned *spawned = spawned_add(spawner, SPAWNED_AGENT, started.pid, stage, run->slot);
        spawned->walled = run->sandbox;
        spawned->birth = (uint64_t)started.birth;
        mf_span_copy(run->mark, spawned->mark, sizeof spawned->mark);
        tell_started(spawner, stage, &started, &pipes);
        close(started.pidfd);
    }
    close(pipes.out[0]);
    close(pipes.err[0]);
    errno = os_errno;
    return result;
}

/* The plan stands but for what is around the process. */
static int start_walled(struct spawner *spawner, uint64_t stage, const struct message_run *run, struct slot *slot,
                        struct child_plan *plan, enum child_step *step)
{
    struct walled walled;
    if (!run->sandbox)
        return spawner_unwall(spawner, run->slot, slot) == 0 ? start_with_pipes(spawner, stage, run, slot, plan, step)
                                                              : -1;
    if (spawner_wall(spawner, run, slot, plan, &walled) != 0)
        return -1;
    int result = start_with_pipes(spawner, stage, run, slot, plan, step);
    int os_errno = errno;
    if (result == 0)
        walled_tell_control(spawner, stage, &walled);
    else if (*step == CHILD_STEP_EXECUTE)
        *step = CHILD_STEP_SETUP; /* it was bubblewrap that could not be executed: not the agent's fault */
    walled_free(&walled, plan);
    errno = os_errno;
    return result;
}

static int start_run(struct spawner *spawner, uint64_t stage, const struct message_run *run, enum child_step *step)
{
    struct slot *slot = spawner_slot(spawner, run->slot);
    struct child_plan plan = {.descriptors = spawner->descriptors};
    if (slot == NULL || write_pointers(spawner, run, &plan) != 0) {
        errno = ENOMEM;
        return -1;
    }
    if (slot_make(slot, run->slot, spawner->work_fd, spawner->group_fd) != 0)
        return -1;
    plan.directory_fd = slot->ws_fd;
    plan.input_fd = open_input(spawner, slot, run->prompt);
    if (plan.input_fd < 0)
        return -1;
    int input_fd = plan.input_fd;
    int result = start_walled(spawner, stage, run, slot, &plan, step);
    int os_errno = errno;
    if (input_fd != spawner->null_fd)
        close(input_fd);
    errno = os_errno;
    return result;
}

int spawner_on_run(struct spawner *spawner, const struct frame *frame)
{
    struct message_run run;
    struct message_memory memory;
    if (message_take_run(frame->payload, &run, &memory) != 0)
        return -1;
    int result = -1;
    if (run.argc > 0 && all_terminated(run.argv, run.argc) && all_terminated(run.environment, run.environment_count)) {
        enum child_step step = CHILD_STEP_SETUP;
        if (start_run(spawner, frame->stage, &run, &step) != 0)
            tell_run_failed(spawner, frame->stage, step, errno);
        result = 0;
    }
    message_memory_free(&memory);
    return result;
}

/* --- helpers --- */

/*
 * Forks. In the child: a session of its own, so that one kill reaches the git commands it starts, no socket to the
 * runner and normal signals. Returns as fork does.
 */
pid_t spawner_fork_helper(struct spawner *spawner)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "mayfly-helper");
    if (getppid() != parent || setsid() < 0)
        _exit(1);
    close(spawner->socket_fd);
    close(spawner->signal_fd);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static void write_answer(int fd, const struct job_answer *answer)
{
    struct mf_buf out;
    mf_buf_init(&out, 8192);
    struct message_job_ended ended = {
        .done = answer->done,
        .class_name = mf_span(answer->class_name),
        .reason = mf_span(answer->reason),
        .text = mf_span(answer->text),
        .result_bytes = answer->result_bytes,
        .output_bytes = answer->output_bytes,
        .output_files = answer->output_files,
    };
    struct frame_writer writer = {&out, 0};
    message_put_job_ended(&writer, &ended);
    if (write(fd, mf_buf_cstr(&out), out.length) != (ssize_t)out.length)
        _exit(1);
}

static _Noreturn void helper_main(struct spawner *spawner, const struct message_job *job, struct slot *slot,
                                  int answer_fd)
{
    struct job_place place = {.run_fd = spawner->run_fd, .slot_fd = slot->dir_fd, .run_dir = spawner->run_dir};
    sandbox_identity(spawner->agent_uid, &place.agent_uid, &place.agent_gid);
    struct job_answer answer = {.done = false};
    job_run(job, &place, &answer);
    write_answer(answer_fd, &answer);
    _exit(0);
}

static void tell_job_failed(struct spawner *spawner, uint64_t stage, const char *reason)
{
    struct frame_writer writer;
    struct message_job_ended ended = {.class_name = MF_SPAN("infrastructure"), .reason = mf_span(reason)};
    frame_begin(&writer, &spawner->out, FRAME_JOB_ENDED, stage, 0);
    message_put_job_ended(&writer, &ended);
    frame_end(&writer);
}

static uint32_t lane_of(const struct message_job *job)
{
    return job->kind == JOB_WORKSPACE ? 0 : 1;
}

static void start_helper(struct spawner *spawner, uint64_t stage, const struct message_job *job)
{
    struct slot *slot = spawner_slot(spawner, job->slot);
    int answer[2];
    if (slot == NULL || spawner_limit_disk(spawner, job) != 0 ||
        slot_make(slot, job->slot, spawner->work_fd, spawner->group_fd) != 0) {
        tell_job_failed(spawner, stage, "workspace: cannot make its directories");
        return;
    }
    slot->subject = job->subject;
    if (pipe2(answer, O_CLOEXEC | O_NONBLOCK) != 0) {
        tell_job_failed(spawner, stage, "helper: no descriptor left");
        return;
    }
    pid_t pid = spawner_fork_helper(spawner);
    if (pid == 0)
        helper_main(spawner, job, slot, answer[1]);
    close(answer[1]);
    if (pid < 0) {
        close(answer[0]);
        tell_job_failed(spawner, stage, "helper: cannot fork");
        return;
    }
    struct spawned *spawned = spawned_add(spawner, SPAWNED_HELPER, pid, stage, job->slot);
    spawned->answer_fd = answer[0];
    spawned->lane = lane_of(job);
    spawner->lanes[spawned->lane].helper_count++;
}

static int queue_job(struct spawner_lane *lane, const struct frame *frame)
{
    struct spawner_queued *queued = mf_alloc(sizeof *queued + frame->payload.length);
    if (queued == NULL)
        return -1;
    *queued = (struct spawner_queued){.stage = frame->stage, .bytes = frame->payload.length};
    memcpy(queued->payload, frame->payload.data, frame->payload.length);
    *lane->queue_end = queued;
    lane->queue_end = &queued->next;
    return 0;
}

int spawner_on_job(struct spawner *spawner, const struct frame *frame)
{
    struct message_job job;
    struct message_memory memory;
    if (message_take_job(frame->payload, &job, &memory) != 0 || job.kind >= JOB_KIND_COUNT)
        return -1;
    struct spawner_lane *lane = &spawner->lanes[lane_of(&job)];
    int result = 0;
    if (lane->helper_count < SPAWNER_HELPERS_MAX)
        start_helper(spawner, frame->stage, &job);
    else
        result = queue_job(lane, frame);
    message_memory_free(&memory);
    return result;
}

void spawner_start_queued(struct spawner *spawner, struct spawner_lane *lane)
{
    while (lane->queue != NULL && lane->helper_count < SPAWNER_HELPERS_MAX) {
        struct spawner_queued *queued = lane->queue;
        struct message_job job;
        struct message_memory memory;
        lane->queue = queued->next;
        if (lane->queue == NULL)
            lane->queue_end = &lane->queue;
        if (message_take_job((struct mf_span){queued->payload, queued->bytes}, &job, &memory) == 0) {
            start_helper(spawner, queued->stage, &job);
            message_memory_free(&memory);
        }
        mf_free(queued);
    }
}

/* --- giving up slots --- */

/* One process at a time empties the trash, at its own pace; it is started again when more came meanwhile. */
void spawner_start_remover(struct spawner *spawner)
{
    if (spawner->remover_runs || !spawner->trash_waits)
        return;
    pid_t pid = spawner_fork_helper(spawner);
    if (pid == 0)
        _exit(paths_empty(spawner->trash_fd) == 0 ? 0 : 1);
    if (pid < 0)
        return; /* again with the next release, or when the run ends */
    spawner->trash_waits = false;
    spawner->remover_runs = true;
    spawned_add(spawner, SPAWNED_REMOVER, pid, 0, 0);
}

/*
 * What an agent in a sandbox wrote may be another user's, or on a file system that goes with the slot: a helper makes it ours,
 * or copies it. The directory is open meanwhile, so the slot can go.
 */
static void keep_apart(struct spawner *spawner, int ws_fd, int attempt_fd)
{
    pid_t pid = spawner_fork_helper(spawner);
    if (pid == 0) {
        struct copy_budget budget = {.bytes_max = UINT64_MAX, .files_max = UINT32_MAX, .bytes_limit = "", .files_limit = ""};
        struct job_answer answer = {.done = false};
        int to_fd = attempt_fd >= 0 ? paths_make(attempt_fd, "workspace") : -1;
        if (to_fd >= 0)
            copy_tree(ws_fd, to_fd, COPY_LINKS_KEEP, &budget, "workspace", &answer);
        else
            spawner_hand_back(spawner, ws_fd);
        _exit(0);
    }
    if (pid > 0)
        spawned_add(spawner, SPAWNED_KEEPER, pid, 0, 0);
}

static void retain_workspace(struct spawner *spawner, const struct slot *slot, const struct message_release *release)
{
    char instance[PATHS_INSTANCE_BYTES_MAX];
    if (mf_span_copy(release->path, instance, sizeof instance) != 0 || !paths_instance_valid(release->path))
        return;
    int fd = paths_make_attempt(spawner->run_fd, instance, release->attempt);
    if (fd < 0)
        return;
    struct stat about; /* a directory that was shut cannot be moved by who is not root; nobody of the agent is alive */
    if (fstatat(slot->dir_fd, "ws", &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode) &&
        fchmodat(slot->dir_fd, "ws", 0700, 0) != 0)
        about.st_mode = 0; /* then the move fails and says nothing either: there is no workspace to keep */
    int ws_fd = openat(slot->dir_fd, "ws", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!slot->mounted)
        renameat(slot->dir_fd, "ws", fd, "workspace");
    if (ws_fd >= 0 && (slot->mounted || slot->owner != geteuid()))
        keep_apart(spawner, ws_fd, slot->mounted ? fd : -1);
    if (ws_fd >= 0)
        close(ws_fd);
    close(fd);
}

int spawner_on_release(struct spawner *spawner, const struct frame *frame)
{
    struct message_release release;
    struct message_memory memory;
    if (message_take_release(frame->payload, &release, &memory) != 0 || release.slot >= spawner->slot_count)
        return -1;
    struct slot *slot = &spawner->slots[release.slot];
    if (slot->made && release.retain)
        retain_workspace(spawner, slot, &release);
    spawner_release_walls(spawner, release.slot, slot);
    if (slot->made) {
        slot_discard(slot, release.slot, spawner->work_fd, spawner->trash_fd, spawner->trash_next++);
        spawner->trash_waits = true;
        spawner_start_remover(spawner);
    }
    return 0;
}
