/*
 * base.c - what all agents of a run share: bubblewrap, mayfly-init, the filter, the files of /etc, the common arguments
 *
 * Made once in the spawner, with the first sandboxed agent, and once more for each trial. What can fail: a program that is
 * not there, the filter, and as root the mounts that make slots reachable.
 */
#include "sandbox/sandbox_private.h"

#include "base/alloc.h"
#include "sandbox/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGUMENTS_BYTES_MAX ((size_t)64 << 10)
#define SHM_BYTES "67108864" /* as containers have it */
#define RUN_BYTES "16777216"

/* --- programs --- */

int base_find_bwrap(const struct sandbox_options *options, char out[PATH_MAX])
{
    /* not PATH: who is root must not run what a user's directory holds */
    static const char *const places[] = {"/usr/bin", "/usr/local/bin", "/bin", "/run/current-system/sw/bin"};
    if (options->bwrap != NULL) {
        snprintf(out, PATH_MAX, "%s", options->bwrap);
        return access(out, X_OK);
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(out, PATH_MAX, "%s/bwrap", places[i]);
        if (access(out, X_OK) == 0)
            return 0;
    }
    return -1;
}

int base_open_init(const struct sandbox_options *options, struct mf_error *error)
{
    static const char *const places[] = {"mayfly-init", MAYFLY_LIBEXEC "/mayfly-init"};
    char own[PATH_MAX], path[PATH_MAX + 64];
    if (options->init != NULL) {
        int fd = open(options->init, O_RDONLY | O_CLOEXEC);
        return fd >= 0 ? fd : mf_fail_os(error, errno, "%s: cannot open it", options->init);
    }
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    char *slash = length > 0 ? memrchr(own, '/', (size_t)length) : NULL;
    if (slash == NULL)
        return mf_fail_os(error, errno, "mayfly-init: cannot find this program's directory");
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s%s", own, places[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return mf_fail(error, MF_SANDBOX,
                   "mayfly-init: is neither beside this program nor in %s" MAYFLY_LIBEXEC
                   ": install mayfly whole (cmake --install)",
                   own);
}

/* --- who agents are --- */

/* Root of a user namespace that holds nobody else is an ordinary user, and cannot become another. */
static bool has_uid(uid_t uid)
{
    char line[128];
    bool found = false;
    FILE *map = fopen("/proc/self/uid_map", "re");
    while (map != NULL && fgets(line, sizeof line, map) != NULL) {
        unsigned long inside, outside, count;
        found |= sscanf(line, "%lu %lu %lu", &inside, &outside, &count) == 3 && uid >= inside && uid - inside < count;
    }
    if (map != NULL)
        fclose(map);
    return found || map == NULL;
}

void sandbox_identity(int64_t agent_uid, uid_t *uid, gid_t *gid)
{
    *uid = geteuid();
    *gid = getegid();
    if (geteuid() != 0 || (agent_uid <= 0 && !has_uid(SANDBOX_HOST_UID)))
        return;
    *uid = agent_uid > 0 ? (uid_t)agent_uid : SANDBOX_HOST_UID;
    *gid = (gid_t)*uid;
    struct passwd entry, *found = NULL;
    char text[4096];
    if (agent_uid > 0 && getpwuid_r(*uid, &entry, text, sizeof text, &found) == 0 && found != NULL)
        *gid = entry.pw_gid;
}

/* --- paths --- */

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

const char *base_path_trouble(const char *path, const char *state)
{
    static const char *const own[] = {"/proc", "/dev", "/sys", "/tmp", "/run", "/etc", SANDBOX_ROOT};
    if (path[0] != '/')
        return "is not an absolute path";
    if (path[1] == '\0')
        return "is the whole machine";
    for (const char *at = path; *at != '\0'; at++)
        if (at[0] == '/' && (at[1] == '/' || at[1] == '\0' || (at[1] == '.' && (at[2] == '/' || at[2] == '\0')) ||
                             (at[1] == '.' && at[2] == '.' && (at[3] == '/' || at[3] == '\0'))))
            return "is not spelled plainly (no `//`, `.`, `..` and no slash at its end)";
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(path, own[i]) == 0 || (i < 3 && is_below(path, own[i])) ||
            (i == sizeof own / sizeof own[0] - 1 && is_below(path, own[i])))
            return "is a place that the sandbox has of its own";
    if (state != NULL && state[0] != '\0' && (is_below(path, state) || is_below(state, path)))
        return "is mayfly's own state, or holds it";
    return NULL;
}

/* --- the arguments that are the same for all --- */

void base_arguments(struct mf_buf *arguments, const char *const *texts)
{
    for (; *texts != NULL; texts++)
        mf_buf_append(arguments, *texts, strlen(*texts) + 1);
}

void base_show_as_is(struct mf_buf *arguments, const char *path, const char *inside)
{
    struct stat about;
    char target[PATH_MAX];
    if (lstat(path, &about) != 0)
        return;
    if (!S_ISLNK(about.st_mode)) {
        BASE_ARGUMENTS(arguments, "--ro-bind", path, inside);
        return;
    }
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0)
        return;
    target[length] = '\0';
    BASE_ARGUMENTS(arguments, "--symlink", target, inside);
}

static void write_fixed(struct mf_buf *fixed)
{
    BASE_ARGUMENTS(fixed, "--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000",
                   "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "agent");
    BASE_ARGUMENTS(fixed, "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", SHM_BYTES, "--tmpfs",
                   "/dev/shm", "--remount-ro", "/dev", "--size", RUN_BYTES, "--tmpfs", "/run");
}

/* What programs look for in /etc of a host; no more, because /etc also holds what is nobody's business. */
static void write_etc(struct mf_buf *etc)
{
    static const char *const shown[] = {"/etc/alternatives",
                                        "/etc/ssl/certs",
                                        "/etc/ssl/openssl.cnf",
                                        "/etc/ca-certificates",
                                        "/etc/ca-certificates.conf",
                                        "/etc/pki/tls/certs",
                                        "/etc/pki/ca-trust/extracted",
                                        "/etc/ld.so.cache",
                                        "/etc/ld.so.conf",
                                        "/etc/ld.so.conf.d",
                                        "/etc/localtime"};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        base_show_as_is(etc, shown[i], shown[i]);
}

static void write_usr(struct mf_buf *usr)
{
    static const char *const shown[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        base_show_as_is(usr, shown[i], shown[i]);
}

/* --- files of /etc --- */

static int make_file(const char *text)
{
    int fd = memfd_create("mayfly-etc", MFD_CLOEXEC);
    size_t length = strlen(text);
    if (fd < 0 || write(fd, text, length) == (ssize_t)length)
        return fd;
    close(fd);
    return -1;
}

static int make_files(struct sandbox_base *base, struct mf_error *error)
{
    static const char *const texts[] = {
#define X(path, text) text,
        SANDBOX_ETC_FILES(X)
#undef X
    };
    for (size_t i = 0; i < SANDBOX_ETC_FILE_COUNT; i++) {
        base->etc_fds[i] = make_file(texts[i]);
        if (base->etc_fds[i] < 0)
            return mf_fail_os(error, errno, "sandbox: cannot make its files of /etc");
    }
    return 0;
}

/* --- life --- */

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void sandbox_base_destroy(struct sandbox_base *base)
{
    if (base == NULL)
        return;
    close_if_open(base->init_fd);
    close_if_open(base->filter_fd);
    close_if_open(base->root_fd);
    for (size_t i = 0; i < SANDBOX_ETC_FILE_COUNT; i++)
        close_if_open(base->etc_fds[i]);
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++)
        close_if_open(base->v1_fds[i]);
    mf_buf_free(&base->fixed);
    mf_buf_free(&base->usr);
    mf_buf_free(&base->etc);
    mf_free(base);
}

static struct sandbox_base *make_empty(void)
{
    struct sandbox_base *base = mf_calloc(1, sizeof *base);
    if (base == NULL)
        return NULL;
    base->init_fd = base->filter_fd = base->root_fd = -1;
    for (size_t i = 0; i < SANDBOX_ETC_FILE_COUNT; i++)
        base->etc_fds[i] = -1;
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++)
        base->v1_fds[i] = -1;
    mf_buf_init(&base->fixed, ARGUMENTS_BYTES_MAX);
    mf_buf_init(&base->usr, ARGUMENTS_BYTES_MAX);
    mf_buf_init(&base->etc, ARGUMENTS_BYTES_MAX);
    return base;
}

static int fill(struct sandbox_base *base, const struct sandbox_options *options, struct mf_error *error)
{
    if (base_find_bwrap(options, base->program) != 0)
        return mf_fail(error, MF_SANDBOX, "bubblewrap: not found: run apt-get install bubblewrap");
    sandbox_identity(options->agent_uid, &base->uid, &base->gid);
    base->foreign = base->uid != geteuid();
    if (options->state != NULL && realpath(options->state, base->state) == NULL)
        return mf_fail_os(error, errno, "%s: cannot be resolved", options->state);
    if (options->work != NULL && realpath(options->work, base->work) == NULL)
        return mf_fail_os(error, errno, "%s: cannot be resolved", options->work);
    base->init_fd = base_open_init(options, error);
    if (base->init_fd < 0)
        return -1;
    base->root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base->root_fd < 0)
        return mf_fail_os(error, errno, "/: cannot be opened");
    base->filter_fd = filter_make(error);
    if (base->filter_fd < 0 || make_files(base, error) != 0)
        return -1;
    write_fixed(&base->fixed);
    write_usr(&base->usr);
    write_etc(&base->etc);
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++)
        base->v1_fds[i] = limits_open_v1((enum sandbox_controller)i);
    if (base->fixed.failed || base->usr.failed || base->etc.failed)
        return mf_fail(error, MF_MEMORY, "sandbox: no memory");
    return base->foreign && base->work[0] != '\0' ? reach_make(base, error) : 0;
}

int sandbox_base_create(struct sandbox_base **out, const struct sandbox_options *options, struct mf_error *error)
{
    *out = NULL;
    struct sandbox_base *base = make_empty();
    if (base == NULL)
        return mf_fail(error, MF_MEMORY, "sandbox: no memory");
    if (fill(base, options, error) != 0) {
        sandbox_base_destroy(base);
        return -1;
    }
    *out = base;
    return 0;
}

uid_t sandbox_base_uid(const struct sandbox_base *base)
{
    return base->uid;
}
