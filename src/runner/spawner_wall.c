/*
 * spawner_wall.c - what a sandbox adds to starting an agent: its launch, who owns its slot, its limits
 *
 * The sandbox's base is made with the first agent that needs one; as root that moves this process into a mount namespace of
 * its own, in which the slots can be reached by the agents' uid. A slot belongs to the agents' uid from then on, as long as
 * it is used for sandboxed agents; what helpers wrote into it was handed over by them. What cannot be done ends that start
 * as infrastructure trouble, with the reason on stderr: nothing runs with fewer walls than were asked for.
 */
#include "runner/spawner_private.h"

#include "runner/paths.h"
#include "sandbox/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int say(const struct mf_error *error)
{
    fprintf(stderr, "mayfly spawner: %s\n", error->text);
    errno = error->os_errno != 0 ? error->os_errno : EINVAL;
    return -1;
}

/* --- the base --- */

static int open_base(struct spawner *spawner)
{
    char work[4200];
    struct mf_error error = {.code = MF_NONE};
    if (spawner->base != NULL)
        return 0;
    snprintf(work, sizeof work, "%s/" PATHS_WORK, spawner->run_dir);
    struct sandbox_options options = {
        .agent_uid = spawner->agent_uid > 0 ? spawner->agent_uid : -1, .state = spawner->run_dir, .work = work};
    return sandbox_base_create(&spawner->base, &options, &error) == 0 ? 0 : say(&error);
}

/* --- limits --- */

static void limits_name(const struct spawner *spawner, uint32_t number, char out[96])
{
    snprintf(out, 96, "%s.%d.%u", spawner->run_id, (int)getpid(), number);
}

static int apply_limits(struct spawner *spawner, uint32_t number, struct slot *slot,
                        const struct sandbox_limits *limits)
{
    char name[96];
    struct mf_error error = {.code = MF_NONE};
    bool stated = limits->memory_bytes > 0 || limits->pids > 0 || limits->cpu_millis > 0;
    if (!stated && !slot->limited)
        return 0;
    limits_name(spawner, number, name);
    slot->limited = stated;
    return sandbox_limits_apply(spawner->base, name, slot->group.dir_fd, limits, &error) == 0 ? 0 : say(&error);
}

/* Of the stage that a job is for; 0: not said, or no sandbox. */
static uint64_t disk_bytes_of(const struct message_job *job)
{
    struct message_memory memory;
    const struct runner_walls *walls = NULL;
    struct runner_prepare prepare;
    struct message_spawn spawn;
    uint64_t bytes = 0;
    if (job->kind == JOB_WORKSPACE && message_take_prepare(job->payload, &prepare, &memory) == 0)
        walls = &prepare.walls;
    else if (job->kind == JOB_FURNISH && message_take_spawn(job->payload, &spawn, &memory) == 0)
        walls = &spawn.spawn.walls;
    if (walls == NULL)
        return 0;
    bytes = walls->sandbox ? walls->disk_bytes : 0;
    message_memory_free(&memory);
    return bytes;
}

static int mount_slot(struct spawner *spawner, uint32_t number, uint64_t bytes)
{
    char name[32];
    struct mf_error error = {.code = MF_NONE};
    struct slot *slot = spawner_slot(spawner, number);
    if (slot == NULL || open_base(spawner) != 0)
        return -1;
    if (bytes == 0 || slot->mounted)
        return 0;
    if (slot_make(slot, number, spawner->work_fd, spawner->group_fd) != 0)
        return -1;
    slot_shut(slot);
    snprintf(name, sizeof name, PATHS_SLOT_FORMAT, number);
    if (sandbox_disk_limit(spawner->base, name, bytes, &error) != 0)
        return say(&error);
    slot->mounted = true;
    return 0;
}

int spawner_limit_disk(struct spawner *spawner, const struct message_job *job)
{
    uint64_t bytes = disk_bytes_of(job);
    return bytes > 0 ? mount_slot(spawner, job->slot, bytes) : 0;
}

void spawner_release_walls(struct spawner *spawner, uint32_t number, struct slot *slot)
{
    char name[96];
    if (slot->limited) {
        limits_name(spawner, number, name);
        sandbox_limits_remove(spawner->base, name);
        slot->limited = false;
    }
    if (slot->mounted) {
        slot_shut(slot);
        snprintf(name, sizeof name, PATHS_SLOT_FORMAT, number);
        sandbox_disk_unlimit(spawner->base, name);
        slot->mounted = false;
        slot_make(slot, number, spawner->work_fd, spawner->group_fd); /* what is below it goes to the trash */
    }
    slot->walled = false;
    slot->subject = 0;
}

/* --- a start --- */

/*
 * The workspace that verify is to see. Its agent is dead, but may have shut its directories or put something else in their
 * place: a directory it must be, and the modes are made good.
 */
static int open_subject(struct spawner *spawner, const struct message_run *run, const struct slot *slot)
{
    if (!run->verify || !run->has_in || slot->subject == 0 || slot->subject > spawner->slot_count)
        return -1;
    const struct slot *subject = &spawner->slots[slot->subject - 1];
    if (!subject->made || fchmod(subject->dir_fd, 0700) != 0)
        return -1;
    int fd = openat(subject->dir_fd, "ws", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat here, there;
    if (fd >= 0 && (fstat(fd, &here) != 0 || fstat(subject->dir_fd, &there) != 0 || here.st_dev != there.st_dev ||
                    here.st_uid != there.st_uid || fchmod(fd, 0700) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int make_launch(struct spawner *spawner, const struct message_run *run, const struct slot *slot,
                       const struct child_plan *plan, struct sandbox_launch *launch)
{
    uint16_t ports[SANDBOX_PORTS_MAX];
    struct mf_error error = {.code = MF_NONE};
    uint32_t port_count = run->port_count < SANDBOX_PORTS_MAX ? run->port_count : SANDBOX_PORTS_MAX;
    for (uint32_t i = 0; i < port_count; i++)
        ports[i] = (uint16_t)run->ports[i];
    struct sandbox_spec spec = {.read = run->read,
                                .read_count = run->read_count,
                                .root = run->root,
                                .limits = {run->memory_bytes, run->pids, run->cpu_millis, run->disk_bytes}};
    struct sandbox_launch_spec what = {.spec = &spec,
                                       .slot_fd = slot->dir_fd,
                                       .has_in = run->has_in,
                                       .ports = ports,
                                       .port_count = port_count,
                                       .argv = plan->argv,
                                       .environment = plan->environment,
                                       .subject_fd = open_subject(spawner, run, slot)};
    int result = sandbox_launch_make(launch, spawner->base, &what, &error);
    if (what.subject_fd >= 0)
        close(what.subject_fd);
    return result == 0 ? 0 : say(&error);
}

static void fill_plan(struct spawner *spawner, uint32_t number, const struct slot *slot, struct child_plan *plan,
                      struct walled *walled)
{
    char name[96];
    const struct sandbox_launch *launch = &walled->launch;
    static char *none[1];
    walled->candidates[0] = (char *)(uintptr_t)launch->program;
    walled->candidates[1] = NULL;
    plan->argv = launch->argv;
    plan->environment = launch->environment[0] != NULL ? launch->environment : none;
    plan->candidates = walled->candidates;
    plan->directory_fd = launch->directory_fd;
    plan->keep_fds = launch->keep_fds;
    plan->keep_count = launch->keep_count;
    plan->uid = launch->uid;
    plan->gid = launch->gid;
    plan->change_user = launch->uid != geteuid();
    limits_name(spawner, number, name);
    plan->join_fds = walled->join_fds;
    plan->join_count = slot->limited ? sandbox_limits_join(spawner->base, name, walled->join_fds) : 0;
}

int spawner_wall(struct spawner *spawner, const struct message_run *run, struct slot *slot, struct child_plan *plan,
                 struct walled *walled)
{
    struct sandbox_limits limits = {run->memory_bytes, run->pids, run->cpu_millis, run->disk_bytes};
    uid_t uid;
    gid_t gid;
    sandbox_identity(spawner->agent_uid, &uid, &gid);
    if (run->disk_bytes > 0 && !slot->mounted) { /* nothing was furnished: the slot is empty */
        if (mount_slot(spawner, run->slot, run->disk_bytes) != 0 ||
            slot_make(slot, run->slot, spawner->work_fd, spawner->group_fd) != 0)
            return -1;
    }
    if (open_base(spawner) != 0 || slot_own(slot, uid, gid) != 0 ||
        apply_limits(spawner, run->slot, slot, &limits) != 0 ||
        make_launch(spawner, run, slot, plan, &walled->launch) != 0)
        return -1;
    slot->walled = true;
    fill_plan(spawner, run->slot, slot, plan, walled);
    return 0;
}

void walled_free(struct walled *walled, const struct child_plan *plan)
{
    for (uint32_t i = 0; i < plan->join_count; i++)
        close(plan->join_fds[i]);
    sandbox_launch_free(&walled->launch);
}

void walled_tell_control(struct spawner *spawner, uint64_t stage, struct walled *walled)
{
    struct frame_writer writer;
    frame_begin(&writer, &spawner->out, FRAME_RUN_CONTROL, stage, 0);
    frame_end(&writer);
    spawner_send_descriptors(spawner, &walled->launch.control_fd, 1);
}

int spawner_unwall(struct spawner *spawner, uint32_t number, struct slot *slot)
{
    struct sandbox_limits none = {0};
    slot->walled = false;
    if (slot->limited && apply_limits(spawner, number, slot, &none) != 0)
        return -1;
    return slot->owner == geteuid() ? 0 : slot_own(slot, geteuid(), getegid());
}

/* --- the rest --- */

/* mayfly-init passes it on; bubblewrap, its parent, would end the sandbox without grace. */
void spawner_signal_walled(const struct spawned *spawned, int signal_number)
{
    pid_t children[4];
    int count = tree_children(spawned->pid, children, sizeof children / sizeof children[0]);
    for (int i = 0; i < count; i++)
        kill(children[i], signal_number);
}

void spawner_hand_back(struct spawner *spawner, int dir_fd)
{
    (void)spawner;
    sandbox_hand_over(dir_fd, geteuid(), getegid());
}
