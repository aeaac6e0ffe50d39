/*
 * check.c - what this machine gives, found out by a trial; what a graph asks, held against it
 *
 * The trial is a whole sandbox around /bin/true, made in a child process as the spawner makes it, so that its mounts and
 * descriptors end with the child. What the child found comes back as one struct over a pipe.
 */
#include "sandbox/sandbox_private.h"

#include "sandbox/control.h"
#include "sandbox/remedy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIAL_MS 10000
#define SAID_BYTES_MAX 300

struct trial {
    bool done; /* /bin/true ended well */
    bool ours; /* trouble of our own: said is an error's text */
    bool may_mount;
    char said[SAID_BYTES_MAX];
};

/* --- the trial, in a child --- */

/* The first line of what bubblewrap said, without its name. */
static void keep_line(struct trial *trial, const char *text)
{
    static const char *const names[] = {"bwrap: ", "sandbox: "};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(text, names[i], strlen(names[i])) == 0)
            text += strlen(names[i]);
    snprintf(trial->said, sizeof trial->said, "%.*s", (int)strcspn(text, "\n"), text);
}

/* Waits for EXITED with status 0; anything else is a failed trial. */
static bool ends_well(int control_fd)
{
    struct sandbox_event event;
    for (;;) {
        int fd;
        struct pollfd watched = {control_fd, POLLIN, 0};
        int got = sandbox_control_read(control_fd, &event, &fd);
        if (fd >= 0)
            close(fd);
        if (got == 1 && event.kind == SANDBOX_EXITED)
            return event.value == 0;
        if (got < 0 || (got == 1 && event.kind == SANDBOX_FAILED))
            return false;
        if (got == 0 && poll(&watched, 1, TRIAL_MS) <= 0)
            return false;
    }
}

static void run_launch(struct trial *trial, struct sandbox_launch *launch)
{
    int said[2];
    char text[SAID_BYTES_MAX + 8] = "";
    if (pipe2(said, O_CLOEXEC) != 0)
        return;
    pid_t pid = start_launch(launch, said[1]);
    close(said[1]);
    int control_fd = launch->control_fd;
    launch->control_fd = -1;
    sandbox_launch_free(launch); /* with the other end of the control socket: its end is heard */
    trial->done = pid > 0 && ends_well(control_fd);
    if (pid > 0 && !trial->done)
        kill(pid, SIGKILL);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    ssize_t got = trial->done ? 0 : read(said[0], text, sizeof text - 1);
    if (got > 0)
        keep_line(trial, text);
    close(said[0]);
    close(control_fd);
}

static void try_in(struct trial *trial, struct sandbox_base *base, const char *directory)
{
    static char program[] = "/bin/true", *argv[] = {program, NULL}, *environment[] = {NULL};
    struct sandbox_spec nothing = {.read = NULL};
    struct sandbox_launch launch;
    struct mf_error error;
    char slot[96], ws[128];
    snprintf(slot, sizeof slot, "%s/slot", directory);
    snprintf(ws, sizeof ws, "%s/ws", slot);
    if (mkdir(slot, 0700) != 0 || mkdir(ws, 0700) != 0)
        return;
    int fd = open(slot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sandbox_launch_spec spec = {.spec = &nothing, .slot_fd = fd, .argv = argv, .environment = environment};
    trial->may_mount = base->reach[0] != '\0';
    if (fd < 0 || (base->foreign && sandbox_hand_over(fd, base->uid, base->gid) != 0)) {
        keep_line(trial, "a directory for the trial cannot be made");
    } else if (sandbox_launch_make(&launch, base, &spec, &error) != 0) {
        keep_line(trial, error.text);
    } else {
        run_launch(trial, &launch);
    }
    if (fd >= 0)
        close(fd);
    rmdir(ws);
    rmdir(slot);
}

static void try_sandbox(struct trial *trial, const struct sandbox_options *given, const char *directory)
{
    struct sandbox_options options = *given;
    struct sandbox_base *base;
    struct mf_error error;
    options.work = directory;
    options.state = NULL;
    if (sandbox_base_create(&base, &options, &error) != 0) {
        trial->ours = error.code != MF_SANDBOX;
        keep_line(trial, error.text);
        return;
    }
    try_in(trial, base, directory);
    sandbox_base_destroy(base);
}

static _Noreturn void trial_main(const struct sandbox_options *options, const char *directory, int answer_fd)
{
    struct trial trial = {.done = false};
    sigset_t none;
    sigemptyset(&none);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    try_sandbox(&trial, options, directory);
    _exit(write(answer_fd, &trial, sizeof trial) == (ssize_t)sizeof trial ? 0 : 1);
}

static int run_trial(const struct sandbox_options *options, struct trial *trial, struct mf_error *error)
{
    char directory[64] = "/tmp/mayfly-trial-XXXXXX";
    int answer[2];
    if (mkdtemp(directory) == NULL)
        return mf_fail_os(error, errno, "sandbox: cannot make a directory for a trial in /tmp");
    if (pipe2(answer, O_CLOEXEC) != 0) {
        rmdir(directory);
        return mf_fail_os(error, errno, "sandbox: no descriptor for a trial");
    }
    pid_t pid = fork();
    int os_errno = errno;
    if (pid == 0)
        trial_main(options, directory, answer[1]);
    close(answer[1]);
    ssize_t got = pid > 0 ? read(answer[0], trial, sizeof *trial) : -1;
    close(answer[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    rmdir(directory);
    if (pid < 0)
        return mf_fail_os(error, os_errno, "sandbox: cannot fork for a trial");
    if (got != (ssize_t)sizeof *trial)
        return mf_fail(error, MF_INTERNAL, "sandbox: the trial ended without an answer");
    return trial->ours ? mf_fail(error, MF_OS, "%s", trial->said) : 0;
}

/* --- the program's version --- */

/* "bubblewrap 0.8.0" */
static uint32_t version_of(const char *program, char version[32])
{
    char text[64] = "";
    int said[2];
    unsigned major, minor;
    if (pipe2(said, O_CLOEXEC) != 0)
        return 0;
    pid_t pid = fork();
    if (pid == 0) {
        char *const argv[] = {(char[]){"bwrap"}, (char[]){"--version"}, NULL};
        char *const environment[] = {NULL};
        if (dup2(said[1], 1) == 1)
            execve(program, argv, environment);
        _exit(126);
    }
    close(said[1]);
    ssize_t got = read(said[0], text, sizeof text - 1);
    close(said[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    if (got <= 0 || sscanf(text, "bubblewrap %31s", version) != 1 || sscanf(version, "%u.%u", &major, &minor) != 2) {
        version[0] = '\0';
        return 0;
    }
    return major * 1000 + minor;
}

/* --- the report --- */

static void look_at_limits(struct sandbox_report *report)
{
    struct limits_ways ways;
    struct utsname kernel;
    unsigned major = 0, minor = 0;
    limits_find(&ways);
    bool has[SANDBOX_CONTROLLER_COUNT], v1 = false, v2 = false;
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++) {
        has[i] = ways.v2[i] || ways.v1[i];
        v2 |= ways.v2[i];
        v1 |= !ways.v2[i] && ways.v1[i];
    }
    if (uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) != 2)
        major = minor = 0;
    report->memory = has[SANDBOX_CONTROLLER_MEMORY];
    report->cpu = has[SANDBOX_CONTROLLER_CPU];
    /* from 5.14 on the kernel counts a user namespace's processes apart: a limit that is set inside is this agent's */
    report->pids = has[SANDBOX_CONTROLLER_PIDS] || major > 5 || (major == 5 && minor >= 14);
    report->cgroup = v2 ? "v2" : v1 ? "v1" : "none";
}

int sandbox_check(const struct sandbox_options *options, struct sandbox_report *report, struct mf_error *error)
{
    struct situation situation;
    struct trial trial = {.done = false};
    char program[PATH_MAX];
    uid_t uid;
    gid_t gid;
    *report = (struct sandbox_report){.cgroup = "none"};
    situation_read(&situation);
    sandbox_identity(options->agent_uid, &uid, &gid);
    report->uid = uid;
    if (options->state != NULL && realpath(options->state, program) != NULL)
        memcpy(report->state, program, sizeof report->state);
    situation.bwrap = base_find_bwrap(options, program) == 0;
    situation.bwrap_version = situation.bwrap ? version_of(program, report->version) : 0;
    int init_fd = base_open_init(options, NULL);
    situation.init = init_fd >= 0;
    if (init_fd >= 0)
        close(init_fd);
    if (situation.bwrap && situation.init && run_trial(options, &trial, error) != 0)
        return -1;
    look_at_limits(report);
    report->available = trial.done;
    report->disk = trial.done && trial.may_mount;
    situation.may_mount = trial.may_mount;
    situation.said = trial.said;
    if (!trial.done)
        remedy_write(&situation, report->reason, sizeof report->reason);
    return 0;
}

/* --- what a graph asks --- */

/* Whether agents' uid can open it; as root by taking that uid for the moment, this thread alone. */
static bool opens(const struct sandbox_report *report, const char *path)
{
    bool other = geteuid() == 0 && report->uid != 0;
    if (other) {
        setfsgid((gid_t)report->uid);
        setfsuid((uid_t)report->uid);
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (other) {
        setfsuid(0);
        setfsgid(0);
    }
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int check_path(const struct sandbox_report *report, struct mf_span given, struct mf_error *error)
{
    char path[PATH_MAX], real[PATH_MAX];
    if (mf_span_copy(given, path, sizeof path) != 0)
        return mf_fail(error, MF_INPUT, "sandbox: a path to read is too long or holds a NUL");
    const char *trouble = base_path_trouble(path, report->state);
    if (trouble == NULL && realpath(path, real) == NULL)
        return mf_fail(error, MF_INPUT, "sandbox: `%s` cannot be shown: %s", path, strerror(errno));
    if (trouble == NULL)
        trouble = base_path_trouble(real, report->state);
    if (trouble != NULL)
        return mf_fail(error, MF_INPUT, "sandbox: `%s` cannot be shown: it %s", path, trouble);
    if (!opens(report, real))
        return mf_fail(error, MF_INPUT,
                       "sandbox: `%s` cannot be shown: agents are uid %u on this machine and may not read it", path,
                       report->uid);
    return 0;
}

static int check_root(const struct sandbox_report *report, struct mf_span root, struct mf_error *error)
{
    char path[PATH_MAX];
    struct stat about;
    if (root.length == 0)
        return 0;
    if (mf_span_copy(root, path, sizeof path) != 0 || path[0] != '/')
        return mf_fail(error, MF_INPUT, "sandbox: root `%.*s` is not an absolute path", MF_SPAN_ARGS(root));
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        return mf_fail(error, MF_INPUT, "sandbox: root `%s` is no directory", path);
    if (!opens(report, path))
        return mf_fail(error, MF_INPUT, "sandbox: root `%s`: agents are uid %u on this machine and may not read it",
                       path, report->uid);
    return 0;
}

int sandbox_check_spec(const struct sandbox_report *report, const struct sandbox_spec *spec, struct mf_error *error)
{
    const struct sandbox_limits *limits = &spec->limits;
    if (!report->available)
        return mf_fail(error, MF_SANDBOX, "%s", report->reason);
    if (limits->memory_bytes > 0 && !report->memory)
        return mf_fail(error, MF_INPUT,
                       "sandbox: a limit of memory needs a cgroup that hands the memory controller down: "
                       "start mayfly with systemd-run --user --scope -p Delegate=yes, or leave it out");
    if (limits->cpu_millis > 0 && !report->cpu)
        return mf_fail(error, MF_INPUT,
                       "sandbox: a limit of cpus needs a cgroup that hands the cpu controller down: "
                       "start mayfly with systemd-run --user --scope -p Delegate=yes, or leave it out");
    if (limits->pids > 0 && !report->pids)
        return mf_fail(error, MF_INPUT, "sandbox: a limit of pids needs Linux 5.14 or the pids controller");
    if (limits->disk_bytes > 0 && !report->disk)
        return mf_fail(error, MF_INPUT,
                       "sandbox: a limit of the disk can be kept only by root with the right to mount: run "
                       "mayfly as root, or put its state on a file system of limited size and leave it out");
    if (spec->read_count > SANDBOX_READ_MAX)
        return mf_fail(error, MF_LIMIT, "sandbox: more than %u paths to read", SANDBOX_READ_MAX);
    for (uint32_t i = 0; i < spec->read_count; i++)
        if (check_path(report, spec->read[i], error) != 0)
            return -1;
    return check_root(report, spec->root, error);
}
