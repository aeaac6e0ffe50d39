/*
 * launch.c - one agent's sandbox: what bubblewrap and mayfly-init are told, and the descriptors that say it
 *
 *   bwrap --args ARGUMENTS -- /proc/self/fd/INIT PLAN CONTROL
 *
 * Nothing of the agent is in that command line: bubblewrap reads its arguments from one anonymous file, mayfly-init the
 * agent's command and environment from another. bubblewrap itself gets an environment of one entry, the mark by which a
 * tree is found again. What can fail: memory, descriptors, and a path that is not there.
 */
#include "sandbox/sandbox_private.h"

#include "base/alloc.h"
#include "sandbox/plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGUMENTS_BYTES_MAX ((size_t)1 << 20)
#define PLAN_BYTES_MAX ((size_t)4 << 20) /* the kernel takes 2 MiB of argv and environment with the usual stack limit */
#define MARK "MAYFLY_SPAWN="
#define KEEP_MAX (5 + SANDBOX_ETC_FILE_COUNT)

struct sandbox_launch_parts {
    int keep[KEEP_MAX]; /* the first is the base's, the rest is owned */
    uint32_t keep_count;
    char numbers[4][16];
    char init_path[40];
    char *mark; /* owned */
    char *argv[8], *environment[2];
};

enum { NUMBER_ARGUMENTS, NUMBER_PLAN, NUMBER_CONTROL, NUMBER_SCRATCH };

static int keep(struct sandbox_launch_parts *parts, int fd)
{
    if (fd >= 0)
        parts->keep[parts->keep_count++] = fd;
    return fd;
}

/* The same file with a position of its own. */
static int reopen(struct sandbox_launch_parts *parts, int fd)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return keep(parts, open(path, O_RDONLY | O_CLOEXEC));
}

static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written <= 0)
            return -1;
        data += written;
        bytes -= (size_t)written;
    }
    return 0;
}

static int make_file(struct sandbox_launch_parts *parts, const char *name, const struct mf_buf *text)
{
    int fd = keep(parts, memfd_create(name, MFD_CLOEXEC));
    if (fd < 0 || write_all(fd, text->data, text->length) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return -1;
    return fd;
}

/* --- what is shown --- */

static int path_of(int fd, char out[PATH_MAX], struct mf_error *error)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length < 0)
        return mf_fail_os(error, errno, "sandbox: cannot name a directory");
    out[length] = '\0';
    return out[0] == '/' ? 0 : mf_fail(error, MF_SANDBOX, "sandbox: a directory has no name");
}

/* Where the agent's uid finds a directory below `work`. */
static int reachable(const struct sandbox_base *base, int fd, char out[PATH_MAX], struct mf_error *error)
{
    char path[PATH_MAX];
    size_t length = strlen(base->work);
    if (path_of(fd, path, error) != 0)
        return -1;
    bool moved = base->reach[0] != '\0' && strncmp(path, base->work, length) == 0 && path[length] == '/';
    int written = snprintf(out, PATH_MAX, "%s%s", moved ? base->reach : "", moved ? path + length : path);
    return written < PATH_MAX ? 0 : mf_fail(error, MF_LIMIT, "%s: is too long a path for the sandbox", path);
}

static int add_slot(struct mf_buf *arguments, const struct sandbox_base *base, const struct sandbox_launch_spec *spec,
                    struct mf_error *error)
{
    char slot[PATH_MAX], path[PATH_MAX];
    if (reachable(base, spec->slot_fd, slot, error) != 0)
        return -1;
    BASE_ARGUMENTS(arguments, "--bind", slot, SANDBOX_ROOT);
    if (!spec->has_in)
        return 0;
    if (snprintf(path, sizeof path, "%s/in", slot) >= (int)sizeof path)
        return mf_fail(error, MF_LIMIT, "%s: is too long a path for the sandbox", slot);
    BASE_ARGUMENTS(arguments, "--ro-bind", path, SANDBOX_ROOT "/in");
    if (spec->subject_fd <= 0)
        return 0;
    if (reachable(base, spec->subject_fd, path, error) != 0)
        return -1;
    BASE_ARGUMENTS(arguments, "--ro-bind", path, SANDBOX_SUBJECT);
    return 0;
}

/* Opened once, so that what is checked is what is shown: bubblewrap gets the name that the kernel knows it by. */
static int add_read(struct mf_buf *arguments, const struct sandbox_base *base, struct mf_span read,
                    struct mf_error *error)
{
    char path[PATH_MAX], real[PATH_MAX];
    if (mf_span_copy(read, path, sizeof path) != 0)
        return mf_fail(error, MF_INPUT, "sandbox: a path to read is too long");
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return mf_fail(error, MF_INPUT, "sandbox: `%s` cannot be shown: %s", path, strerror(errno));
    int result = path_of(fd, real, error);
    close(fd);
    const char *trouble = result == 0 ? base_path_trouble(path, base->state) : NULL;
    if (result == 0 && trouble == NULL)
        trouble = base_path_trouble(real, base->state);
    if (trouble != NULL)
        return mf_fail(error, MF_INPUT, "sandbox: `%s` cannot be shown: it %s", path, trouble);
    BASE_ARGUMENTS(arguments, "--ro-bind", real, path);
    return result;
}

/* A directory instead of the host's programs: all that it holds, but for the places that the sandbox has of its own. */
static int add_root(struct mf_buf *arguments, struct mf_span root, bool *has_etc, struct mf_error *error)
{
    static const char *const own[] = {".", "..", "proc", "dev", "sys", "tmp", "run", "mayfly"};
    char path[PATH_MAX], from[PATH_MAX + 260], inside[260];
    if (mf_span_copy(root, path, sizeof path) != 0)
        return mf_fail(error, MF_INPUT, "sandbox: the path of its root is too long");
    DIR *dir = opendir(path);
    if (dir == NULL)
        return mf_fail(error, MF_INPUT, "sandbox: root `%s`: %s", path, strerror(errno));
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        bool skip = false;
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
            skip |= strcmp(entry->d_name, own[i]) == 0;
        if (skip)
            continue;
        snprintf(from, sizeof from, "%s/%s", path, entry->d_name);
        snprintf(inside, sizeof inside, "/%s", entry->d_name);
        base_show_as_is(arguments, from, inside);
        *has_etc |= strcmp(entry->d_name, "etc") == 0;
    }
    closedir(dir);
    return 0;
}

static int add_etc_files(struct mf_buf *arguments, struct sandbox_launch_parts *parts, const struct sandbox_base *base)
{
    static const char *const paths[] = {
#define X(path, text) path,
        SANDBOX_ETC_FILES(X)
#undef X
    };
    for (size_t i = 0; i < SANDBOX_ETC_FILE_COUNT; i++) {
        int fd = reopen(parts, base->etc_fds[i]);
        if (fd < 0)
            return -1;
        snprintf(parts->numbers[NUMBER_SCRATCH], sizeof parts->numbers[0], "%d", fd);
        BASE_ARGUMENTS(arguments, "--perms", "0444", "--file", parts->numbers[NUMBER_SCRATCH], paths[i]);
    }
    return 0;
}

static int add_machine(struct mf_buf *arguments, struct sandbox_launch_parts *parts, const struct sandbox_base *base,
                       const struct sandbox_launch_spec *spec, struct mf_error *error)
{
    bool has_etc = false;
    if (spec->spec->root.length > 0 && add_root(arguments, spec->spec->root, &has_etc, error) != 0)
        return -1;
    if (spec->spec->root.length == 0)
        mf_buf_span(arguments, mf_buf_view(&base->usr));
    if (!has_etc && spec->spec->root.length == 0)
        mf_buf_span(arguments, mf_buf_view(&base->etc));
    if (!has_etc && add_etc_files(arguments, parts, base) != 0)
        return mf_fail_os(error, errno, "sandbox: no descriptor for its files of /etc");
    return 0;
}

static int make_arguments(struct sandbox_launch_parts *parts, const struct sandbox_base *base,
                          const struct sandbox_launch_spec *spec, struct mf_error *error)
{
    struct mf_buf arguments;
    char number[32];
    const struct sandbox_limits *limits = &spec->spec->limits;
    mf_buf_init(&arguments, ARGUMENTS_BYTES_MAX);
    mf_buf_span(&arguments, mf_buf_view(&base->fixed));
    int result = add_machine(&arguments, parts, base, spec, error);
    uint64_t disk_bytes = limits->disk_bytes > 0 ? limits->disk_bytes : sandbox_limits_default.disk_bytes;
    snprintf(number, sizeof number, "%llu", (unsigned long long)disk_bytes);
    BASE_ARGUMENTS(&arguments, "--perms", "1777", "--size", number, "--tmpfs", "/tmp");
    if (result == 0)
        result = add_slot(&arguments, base, spec, error);
    for (uint32_t i = 0; i < spec->spec->read_count && result == 0; i++)
        result = add_read(&arguments, base, spec->spec->read[i], error);
    int filter_fd = result == 0 ? reopen(parts, base->filter_fd) : -1;
    snprintf(number, sizeof number, "%d", filter_fd);
    BASE_ARGUMENTS(&arguments, "--remount-ro", "/", "--seccomp", number);
    int fd = -1;
    if (result == 0 && arguments.failed)
        result = mf_fail(error, MF_LIMIT, "sandbox: its arguments are longer than 1 MiB");
    else if (result == 0 && (filter_fd < 0 || (fd = make_file(parts, "mayfly-arguments", &arguments)) < 0))
        result = mf_fail_os(error, errno, "sandbox: cannot hand its arguments over");
    snprintf(parts->numbers[NUMBER_ARGUMENTS], sizeof parts->numbers[0], "%d", fd);
    mf_buf_free(&arguments);
    return result;
}

/* --- what mayfly-init is told --- */

static uint32_t append_strings(struct mf_buf *plan, char *const *strings)
{
    uint32_t count = 0;
    for (; strings[count] != NULL; count++)
        mf_buf_append(plan, strings[count], strlen(strings[count]) + 1);
    return count;
}

static int make_plan(struct sandbox_launch_parts *parts, const struct sandbox_launch_spec *spec, struct mf_error *error)
{
    struct mf_buf text;
    uint32_t pids = spec->spec->limits.pids;
    struct sandbox_plan plan = {.magic = SANDBOX_PLAN_MAGIC,
                                .port_count = spec->port_count,
                                .pids = pids > 0 ? pids : sandbox_limits_default.pids};
    if (spec->port_count > SANDBOX_PORTS_MAX)
        return mf_fail(error, MF_LIMIT, "sandbox: more than %u ports", SANDBOX_PORTS_MAX);
    if (spec->port_count > 0)
        memcpy(plan.ports, spec->ports, spec->port_count * sizeof plan.ports[0]);
    mf_buf_init_secret(&text, PLAN_BYTES_MAX);
    mf_buf_append(&text, &plan, sizeof plan);
    plan.argc = append_strings(&text, spec->argv);
    plan.environment_count = append_strings(&text, spec->environment);
    plan.bytes = text.length;
    int fd = -1;
    int result = 0;
    if (text.failed)
        result = mf_fail(error, MF_LIMIT, "sandbox: command and environment are longer than 4 MiB");
    else
        memcpy(text.data, &plan, sizeof plan);
    if (result == 0 && (fd = make_file(parts, "mayfly-plan", &text)) < 0)
        result = mf_fail_os(error, errno, "sandbox: cannot hand the command over");
    snprintf(parts->numbers[NUMBER_PLAN], sizeof parts->numbers[0], "%d", fd);
    mf_buf_free(&text);
    return result;
}

static int make_control(struct sandbox_launch *out, struct sandbox_launch_parts *parts, struct mf_error *error)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return mf_fail_os(error, errno, "sandbox: no descriptor for its control socket");
    out->control_fd = ends[0];
    keep(parts, ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    snprintf(parts->numbers[NUMBER_CONTROL], sizeof parts->numbers[0], "%d", ends[1]);
    return 0;
}

/* --- the whole --- */

/* The mark alone: bubblewrap needs no environment, and what lives long in a process table holds no token. */
static int make_environment(struct sandbox_launch_parts *parts, char *const *environment)
{
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, MARK, sizeof MARK - 1) != 0)
            continue;
        parts->mark = mf_strdup(*environment);
        parts->environment[0] = parts->mark;
        return parts->mark != NULL ? 0 : -1;
    }
    return 0;
}

static void write_argv(struct sandbox_launch_parts *parts, struct sandbox_base *base)
{
    static char name[] = "bwrap", option[] = "--args", end[] = "--";
    snprintf(parts->init_path, sizeof parts->init_path, "/proc/self/fd/%d", base->init_fd);
    char *const argv[] = {name,
                          option,
                          parts->numbers[NUMBER_ARGUMENTS],
                          end,
                          parts->init_path,
                          parts->numbers[NUMBER_PLAN],
                          parts->numbers[NUMBER_CONTROL],
                          NULL};
    memcpy(parts->argv, argv, sizeof argv);
}

int sandbox_launch_make(struct sandbox_launch *out, struct sandbox_base *base, const struct sandbox_launch_spec *spec,
                        struct mf_error *error)
{
    struct sandbox_launch_parts *parts = mf_calloc(1, sizeof *parts);
    *out = (struct sandbox_launch){.control_fd = -1, .parts = parts};
    if (parts == NULL)
        return mf_fail(error, MF_MEMORY, "sandbox: no memory");
    keep(parts, base->init_fd);
    if (make_environment(parts, spec->environment) != 0) {
        sandbox_launch_free(out);
        return mf_fail(error, MF_MEMORY, "sandbox: no memory");
    }
    if (make_arguments(parts, base, spec, error) != 0 || make_plan(parts, spec, error) != 0 ||
        make_control(out, parts, error) != 0) {
        sandbox_launch_free(out);
        return -1;
    }
    write_argv(parts, base);
    out->argv = parts->argv;
    out->environment = parts->environment;
    out->program = base->program;
    out->keep_fds = parts->keep;
    out->keep_count = parts->keep_count;
    out->uid = base->uid;
    out->gid = base->gid;
    out->directory_fd = base->root_fd;
    return 0;
}

void sandbox_launch_free(struct sandbox_launch *launch)
{
    struct sandbox_launch_parts *parts = launch->parts;
    if (parts == NULL)
        return;
    for (uint32_t i = 1; i < parts->keep_count; i++)
        close(parts->keep[i]);
    if (launch->control_fd >= 0)
        close(launch->control_fd);
    mf_free(parts->mark);
    mf_free(parts);
    *launch = (struct sandbox_launch){.control_fd = -1};
}
