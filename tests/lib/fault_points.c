/*
 * fault_points.c - lets the n-th write, sync, fork, SQLite step or curl add of one of mayfly's processes fail; test builds only
 *
 * Linked into `mayfly` with --wrap, so the sources know nothing of it. It reads the variable that the runner inherits too:
 *
 *   MFY_CRASH=write@main:17:1     the 17th write of the process that the user started fails, once; `:0` that one and all later ones
 *   MFY_CRASH=fork@runner:2:0     the second fork (clone, thread) of the runner, and of each process that it forks, and all later ones
 *   MFY_CLOCK=-86400000:5         after five looks at the wall clock it is a day earlier; only for the process that the user started
 *   MFY_CRASH=count@PATH          nothing fails; PATH, made anew, gets the largest count of each role and kind as 32-bit numbers
 *
 * A write or sync is one of the program's own or one of SQLite's; what libraries do beyond that is not reached. A SQLite step
 * that fails was not made, and its error is an input/output error.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <sqlite3.h>

enum kind { FAULT_WRITE, FAULT_SYNC, FAULT_FORK, FAULT_STEP, FAULT_ADD, FAULT_KINDS };
enum role { ROLE_MAIN, ROLE_RUNNER, ROLES };

static const char *const kind_names[FAULT_KINDS] = {"write", "sync", "fork", "step", "add"};
static const char *const role_names[ROLES] = {"main", "runner"};

static _Atomic uint32_t passed[FAULT_KINDS];
static _Atomic uint32_t *counts; /* [ROLES][FAULT_KINDS], shared by all processes of a run; NULL: nobody counts */
static enum role role;
static uint32_t wanted_kind = FAULT_KINDS, first, times;

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __real_pwrite(int fd, const void *data, size_t bytes, off_t at);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
pid_t __real_fork(void);
long __real_syscall(long number, ...);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int __real_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment);
int __real_sqlite3_step(sqlite3_stmt *statement);
CURLMcode __real_curl_multi_add_handle(CURLM *multi, CURL *easy);

/* --- what is to fail --- */

static uint32_t index_of(const char *const *names, uint32_t count, const char *text, size_t length)
{
    uint32_t i = 0;
    while (i < count && (strlen(names[i]) != length || memcmp(names[i], text, length) != 0))
        i++;
    return i;
}

static void count_into(const char *path)
{
    const size_t bytes = sizeof(uint32_t) * ROLES * FAULT_KINDS;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0) {
        void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        counts = shared == MAP_FAILED ? NULL : shared;
    }
    if (fd >= 0)
        close(fd);
}

static sqlite3_vfs *vfs;
static int (*real_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
static int open_file(sqlite3_vfs *of, const char *name, sqlite3_file *file, int flags, int *out_flags);

/* Before main, because the first write may come from anywhere. */
__attribute__((constructor)) static void arm(void)
{
    const char *text = getenv("MFY_CRASH"), *at = text != NULL ? strchr(text, '@') : NULL;
    char line[512] = "";
    int fd = at != NULL ? open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    ssize_t got = read(fd, line, sizeof line - 2);
    close(fd);
    const char *command = got > 0 ? line + strlen(line) + 1 : line;
    if (strcmp(command, "emulate") == 0)
        return;
    role = strcmp(command, "runner") == 0 ? ROLE_RUNNER : ROLE_MAIN;
    if (strncmp(text, "count@", 6) == 0) {
        count_into(at + 1);
    } else {
        const char *numbers = strchr(at, ':');
        uint32_t kind = index_of(kind_names, FAULT_KINDS, text, (size_t)(at - text));
        if (numbers == NULL || sscanf(numbers, ":%u:%u", &first, &times) != 2 ||
            index_of(role_names, ROLES, at + 1, (size_t)(numbers - at - 1)) != (uint32_t)role)
            return;
        wanted_kind = kind;
    }
    if (sqlite3_initialize() != SQLITE_OK || (vfs = sqlite3_vfs_find(NULL)) == NULL)
        return;
    real_open = vfs->xOpen;
    vfs->xOpen = open_file;
}

static int fails(enum kind kind)
{
    if (counts == NULL && wanted_kind != (uint32_t)kind)
        return 0;
    uint32_t pass = atomic_fetch_add(&passed[kind], 1) + 1;
    if (counts != NULL) {
        _Atomic uint32_t *most = &counts[(uint32_t)role * FAULT_KINDS + (uint32_t)kind];
        for (uint32_t seen = atomic_load(most); seen < pass && !atomic_compare_exchange_weak(most, &seen, pass);)
            ;
        return 0;
    }
    return pass >= first && (times == 0 || pass < first + times);
}

static int fails_with(enum kind kind, int error)
{
    if (!fails(kind))
        return 0;
    errno = error;
    return 1;
}

/* --- the program's own --- */

ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    return fails_with(FAULT_WRITE, ENOSPC) ? -1 : __real_write(fd, data, bytes);
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    return fails_with(FAULT_WRITE, ENOSPC) ? -1 : __real_pwrite(fd, data, bytes, at);
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return fails_with(FAULT_SYNC, EIO) ? -1 : __real_fsync(fd);
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return fails_with(FAULT_SYNC, EIO) ? -1 : __real_fdatasync(fd);
}

pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
    return fails_with(FAULT_FORK, EAGAIN) ? -1 : __real_fork();
}

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (size_t i = 0; i < 6;
         i++) /* more than the caller gave: what a register happens to hold, as in the C library itself */
        arguments[i] = va_arg(list, long);
    va_end(list);
    if ((number == SYS_clone3 || number == SYS_clone) && fails_with(FAULT_FORK, EAGAIN))
        return -1;
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    return fails(FAULT_FORK) ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}

int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment);
int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment)
{
    return fails(FAULT_FORK) ? EAGAIN : __real_posix_spawn(pid, path, actions, attributes, arguments, environment);
}

int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    return fails(FAULT_STEP) ? SQLITE_IOERR : __real_sqlite3_step(statement);
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    return fails(FAULT_ADD) ? CURLM_OUT_OF_MEMORY : __real_curl_multi_add_handle(multi, easy);
}

/* --- the wall clock --- */

int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    static _Atomic int64_t looks;
    int result = __real_clock_gettime(clock, out);
    long long offset_ms, after;
    const char *text = clock == CLOCK_REALTIME && role == ROLE_MAIN ? getenv("MFY_CLOCK") : NULL;
    if (text != NULL && sscanf(text, "%lld:%lld", &offset_ms, &after) == 2 && atomic_fetch_add(&looks, 1) >= after)
        out->tv_sec += (time_t)(offset_ms / 1000);
    return result;
}

/* --- SQLite's: its files get methods of ours, which call those that they had --- */

#define METHODS_MAX 8
static struct {
    const sqlite3_io_methods *real;
    sqlite3_io_methods ours;
} methods[METHODS_MAX];

static const sqlite3_io_methods *real_methods(const sqlite3_file *file)
{
    size_t i = 0;
    while (&methods[i].ours != file->pMethods)
        i++;
    return methods[i].real;
}

static int write_file(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 at)
{
    return fails_with(FAULT_WRITE, ENOSPC) ? SQLITE_FULL : real_methods(file)->xWrite(file, data, bytes, at);
}

static int sync_file(sqlite3_file *file, int flags)
{
    return fails_with(FAULT_SYNC, EIO) ? SQLITE_IOERR_FSYNC : real_methods(file)->xSync(file, flags);
}

static int open_file(sqlite3_vfs *of, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    int result = real_open(of, name, file, flags, out_flags);
    if (result != SQLITE_OK || file->pMethods == NULL)
        return result;
    size_t i = 0;
    while (i < METHODS_MAX && methods[i].real != NULL && methods[i].real != file->pMethods)
        i++;
    if (i == METHODS_MAX)
        return result;
    if (methods[i].real == NULL) {
        methods[i].real = file->pMethods;
        methods[i].ours = *file->pMethods;
        methods[i].ours.xWrite = write_file;
        methods[i].ours.xSync = sync_file;
    }
    file->pMethods = &methods[i].ours;
    return result;
}
