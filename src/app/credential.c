/*
 * credential.c - reading an operator's credential
 *
 * Called when a run is opened and again after a 401. Nothing but the caller's secret buffer keeps the value.
 */
#include "app/credential.h"

#include "base/alloc.h"
#include "net/loop.h"
#include "json/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_WAIT_MS 30000
#define COMMAND_WORDS_MAX 64u

const char *credential_fault(const char *source)
{
    if (strncmp(source, "env:", 4) == 0)
        return source[4] != '\0' ? NULL : "env: names no variable";
    if (strncmp(source, "file:", 5) == 0)
        return source[5] != '\0' ? NULL : "file: names no file";
    if (strncmp(source, "command:", 8) == 0)
        return NULL;
    return "it must be env:VARIABLE or file:PATH; a value is never given on the command line";
}

static int from_environment(const char *name, struct mf_buf *out, struct mf_error *error)
{
    char *value = getenv(name);
    if (value == NULL || value[0] == '\0')
        return mf_fail(error, MF_USAGE, "credential: environment variable `%s` is not set", name);
    int result = mf_buf_text(out, value);
    mf_wipe(value, strlen(value)); /* else it would stand in /proc/PID/environ until we end */
    unsetenv(name);
    return result == 0 ? 0 : mf_fail(error, MF_LIMIT, "credential: `%s` is too long", name);
}

static int from_descriptor(int fd, int64_t until_ms, struct mf_buf *out, struct mf_error *error)
{
    for (;;) {
        char bytes[1024];
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = until_ms - net_now_ms();
        if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
            return mf_fail(error, MF_PROVIDER, "credential: no value in time");
        ssize_t got = read(fd, bytes, sizeof bytes);
        if (got < 0)
            return mf_fail_os(error, errno, "credential: read");
        if (got == 0)
            return 0;
        int fits = mf_buf_append(out, bytes, (size_t)got);
        mf_wipe(bytes, sizeof bytes);
        if (fits != 0)
            return mf_fail(error, MF_LIMIT, "credential: the value is too long");
    }
}

static int from_file(const char *path, int64_t until_ms, struct mf_buf *out, struct mf_error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return mf_fail_os(error, errno, "credential: open `%s`", path);
    int result = 0;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        result = mf_fail(error, MF_USAGE, "credential: `%s` is not a regular file", path);
    else if ((status.st_mode & 077) != 0 || (status.st_uid != getuid() && status.st_uid != 0))
        result = mf_fail(error, MF_USAGE, "credential: `%s` can be read by others; run `chmod 600 %s`", path, path);
    if (result == 0)
        result = from_descriptor(fd, until_ms, out, error);
    close(fd);
    return result;
}

static int start(const struct json_document *document, int out_fd, pid_t *pid, struct mf_error *error)
{
    char *argv[COMMAND_WORDS_MAX + 1] = {NULL};
    char *const *environment = environ;
    uint32_t count = 0;
    posix_spawn_file_actions_t actions;
    int result = 0;
    for (uint32_t at = json_first(document, 0); at != JSON_NONE && count < COMMAND_WORDS_MAX;
         at = json_next(document, 0, at))
        argv[count++] = json_dup(document, at);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
    if (count == 0 || argv[0] == NULL)
        result = mf_fail(error, MF_USAGE, "credential: the command is empty");
    else if ((errno = posix_spawnp(pid, argv[0], &actions, NULL, argv, environment)) != 0)
        result = mf_fail_os(error, errno, "credential: start `%s`", argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    for (uint32_t i = 0; i < count; i++)
        mf_free(argv[i]);
    return result;
}

/* A program may close its output and stay: it has no more time than one that says nothing. */
static int wait_exit(pid_t pid, int64_t until_ms, struct mf_error *error)
{
    int status = 0;
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    int64_t left = until_ms - net_now_ms();
    bool late = ended.fd < 0 || poll(&ended, 1, left > 0 ? (int)left : 0) <= 0;
    if (late)
        kill(pid, SIGKILL);
    if (ended.fd >= 0)
        close(ended.fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (late)
        return mf_fail(error, MF_PROVIDER, "credential: the command did not end in time");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return mf_fail(error, MF_PROVIDER, "credential: the command ended with status %d",
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int from_command(const char *words, int64_t until_ms, struct mf_buf *out, struct mf_error *error)
{
    struct json_document document;
    int ends[2];
    pid_t pid = 0;
    if (json_scan_error(&document, mf_span(words), &json_limits_default, error) != 0)
        return mf_wrap(error, "credential command");
    int result = pipe2(ends, O_CLOEXEC) == 0 ? 0 : mf_fail_os(error, errno, "credential: make a pipe");
    if (result == 0) {
        result = start(&document, ends[1], &pid, error);
        close(ends[1]);
        if (result == 0)
            result = from_descriptor(ends[0], until_ms, out, error);
        close(ends[0]);
    }
    json_document_free(&document);
    if (pid <= 0)
        return result;
    if (result == 0)
        return wait_exit(pid, until_ms, error);
    kill(pid, SIGKILL);
    wait_exit(pid, until_ms, NULL);
    return result;
}

int credential_read(const char *source, struct mf_buf *out, struct mf_error *error)
{
    return credential_read_within(source, COMMAND_WAIT_MS, out, error);
}

int credential_read_within(const char *source, int64_t wait_ms, struct mf_buf *out, struct mf_error *error)
{
    int64_t until_ms = net_now_ms() + wait_ms;
    mf_buf_clear(out);
    const char *fault = credential_fault(source);
    if (fault != NULL)
        return mf_fail(error, MF_USAGE, "credential: %s", fault);
    int result = source[0] == 'e'   ? from_environment(source + 4, out, error)
                 : source[0] == 'f' ? from_file(source + 5, until_ms, out, error)
                                    : from_command(source + 8, until_ms, out, error);
    while (result == 0 && out->length > 0 && (out->data[out->length - 1] == '\n' || out->data[out->length - 1] == '\r'))
        out->data[--out->length] = '\0';
    if (result == 0 && out->length == 0)
        return mf_fail(error, MF_USAGE, "credential: `%s` gives no value", source[0] == 'c' ? "command" : source);
    for (size_t i = 0; result == 0 && i < out->length; i++)
        if ((unsigned char)out->data[i] < 0x21 || (unsigned char)out->data[i] > 0x7e)
            return mf_fail(error, MF_USAGE, "credential: the value holds a character that no header may carry");
    return result;
}
