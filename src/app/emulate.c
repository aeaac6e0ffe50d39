/*
 * emulate.c - an emulator of the run's own, for a provider that is served locally and has no address from outside
 *
 * Its data lives in runs/ID/.emulator/, so that a later teardown or rerun starts it again on the same accounts. It is started
 * before the loop runs; its first two lines (address, admin token) come over a pipe that only we hold, so the token is never in an
 * argv, an environment or a file. It runs in a session of its own and ends with the run: by SIGTERM, or with its parent.
 */
#include "app/app_private.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_WAIT_MS 10000
#define FIRST_LINES_BYTES_MAX 2048u
#define ENVIRONMENT_MAX 8

/* Nothing of the operator's environment, which may hold credentials; only what a sanitized test build is told. */
static void clean_environment(char *environment[ENVIRONMENT_MAX])
{
    static const char *const kept[] = {"ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS="};
    size_t count = 0;
    for (char **entry = environ; *entry != NULL; entry++)
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
            if (strncmp(*entry, kept[i], strlen(kept[i])) == 0 && count + 1 < ENVIRONMENT_MAX)
                environment[count++] = *entry;
}

static _Noreturn void become_emulator(struct app *app, int out, const char *data, const char *ledger, pid_t parent)
{
    const char *argv[] = {"mayfly",   "emulate", "--listen", "127.0.0.1:0", "--data", data,
                          "--ledger", ledger,    NULL,       NULL,          NULL};
    if (app->options.faults != NULL) {
        argv[8] = "--faults";
        argv[9] = app->options.faults;
    }
    setsid();
    dup2(open("/dev/null", O_RDWR), 0); /* both lose close-on-exec by the copy */
    dup2(out, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    char *environment[ENVIRONMENT_MAX] = {NULL};
    clean_environment(environment);
    execve(app->options.program, (char *const *)(uintptr_t)argv, environment);
    _exit(127);
}

/* Takes "listening URL\n" and "token TEXT\n"; 1 when both are there. */
static int take_lines(struct app_emulator *emulator, struct mf_buf *lines)
{
    const char *first_end = memchr(mf_buf_cstr(lines), '\n', lines->length);
    if (first_end == NULL)
        return 0;
    const char *second_end = strchr(first_end + 1, '\n');
    if (second_end == NULL)
        return 0;
    struct mf_span first = {lines->data, (size_t)(first_end - lines->data)};
    struct mf_span second = {first_end + 1, (size_t)(second_end - first_end - 1)};
    if (!mf_span_starts(first, "listening ") || !mf_span_starts(second, "token "))
        return -1;
    emulator->url = mf_strndup(first.data + 10, first.length - 10);
    mf_buf_append(&emulator->token, second.data + 6, second.length - 6);
    return emulator->url != NULL && emulator->token.length > 0 ? 1 : -1;
}

static int wait_ready(struct app *app, int in, struct mf_error *error)
{
    struct mf_buf lines;
    mf_buf_init_secret(&lines, FIRST_LINES_BYTES_MAX);
    int64_t until = net_now_ms() + READY_WAIT_MS;
    int taken = 0;
    while (taken == 0) {
        struct pollfd wait = {.fd = in, .events = POLLIN};
        int64_t left = until - net_now_ms();
        char bytes[512];
        if (left <= 0 || poll(&wait, 1, (int)left) == 0) {
            taken = mf_fail(error, MF_PROVIDER, "emulator: not ready after %d s", READY_WAIT_MS / 1000);
            break;
        }
        ssize_t got = read(in, bytes, sizeof bytes);
        if (got <= 0 || mf_buf_append(&lines, bytes, (size_t)got) != 0) {
            taken = mf_fail(error, MF_PROVIDER, "emulator: ended before it was ready; see its message above");
            break;
        }
        taken = take_lines(&app->emulator, &lines);
        mf_wipe(bytes, sizeof bytes);
        if (taken < 0)
            mf_fail(error, MF_PROVIDER, "emulator: its first lines are not `listening URL` and `token TEXT`");
    }
    mf_buf_free(&lines);
    return taken == 1 ? 0 : -1;
}

int app_emulator_start(struct app *app, struct mf_error *error)
{
    if (app->emulator.pid != 0)
        return 0;
    mf_buf_init_secret(&app->emulator.token, 512);
    char *data = state_run_path(app->state, app->run_id, ".emulator");
    char *ledger = state_run_path(app->state, app->run_id, ".emulator/ledger.jsonl");
    int ends[2];
    int result = -1;
    if (data == NULL || ledger == NULL) {
        mf_fail(error, MF_MEMORY, "emulator: no memory");
    } else if (mkdirat(app->run_dir_fd, ".emulator", 0700) != 0 && errno != EEXIST) {
        mf_fail_os(error, errno, "emulator: make directory `%s`", data);
    } else if (pipe2(ends, O_CLOEXEC) != 0) {
        mf_fail_os(error, errno, "emulator: make a pipe");
    } else {
        pid_t parent = getpid();
        pid_t pid = fork();
        if (pid == 0)
            become_emulator(app, ends[1], data, ledger, parent);
        close(ends[1]);
        if (pid < 0) {
            mf_fail_os(error, errno, "emulator: fork");
        } else {
            app->emulator.pid = pid;
            result = wait_ready(app, ends[0], error);
        }
        close(ends[0]);
    }
    mf_free(data);
    mf_free(ledger);
    return result;
}

void app_emulator_stop(struct app *app)
{
    if (app->emulator.pid != 0) {
        int status;
        kill(app->emulator.pid, SIGTERM);
        int64_t until = net_now_ms() + 5000;
        while (waitpid(app->emulator.pid, &status, WNOHANG) == 0) {
            if (net_now_ms() > until)
                kill(app->emulator.pid, SIGKILL);
            poll(NULL, 0, 2);
        }
        app->emulator.pid = 0;
    }
    mf_free(app->emulator.url);
    app->emulator.url = NULL;
    mf_buf_free(&app->emulator.token);
}
