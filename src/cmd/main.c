/*
 * main.c - mayfly's entry: makes the process safe to hold credentials, then hands over to a command
 *
 * The order matters: descriptors first, so that nothing we open becomes 0, 1 or 2; then what others could read (dumps, ptrace)
 * and what others could have set (environment); then files. There is no setlocale: numbers and messages are the same everywhere.
 */
#include "app/app.h"
#include "base/assert.h"
#include "base/crash.h"
#include "cmd/memory.h"
#include "cmd/options.h"
#include "runner/peer.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_MAY_EXIST 4
#define EXIT_INTERNAL 7

/* Variables that make libraries load code, write keys, use a proxy or change the allocator. `x*`: prefix, `*x`: suffix. */
#define DANGEROUS_VARIABLES(X)                                                                                         \
    X("LD_*") X("MALLOC_*") X("GLIBC_TUNABLES") X("GCONV_PATH") X("LOCPATH") X("NLSPATH") X("RESOLV_*") X("*_proxy")   \
    X("*_PROXY") X("SSLKEYLOGFILE") X("OPENSSL_*") X("CURL_HOME") X("CURL_SSL_BACKEND") X("SQLITE_*") X("LIBEV_FLAGS")

static void fill_standard_descriptors(void)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0)
            _exit(EXIT_INTERNAL);
        if (fd > STDERR_FILENO) {
            close(fd);
            return;
        }
        if (fcntl(fd, F_SETFD, 0) != 0) /* 0, 1 and 2 are meant to be inherited */
            _exit(EXIT_INTERNAL);
    }
}

/* Neither a core file nor ptrace by the same user. LeakSanitizer needs ptrace. */
static void hide_memory(void)
{
#ifndef MAYFLY_SANITIZED
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static bool matches(const char *variable, size_t length, const char *pattern)
{
    size_t fixed = strlen(pattern) - 1;
    if (pattern[fixed] == '*')
        return length >= fixed && strncmp(variable, pattern, fixed) == 0;
    if (pattern[0] == '*')
        return length >= fixed && memcmp(variable + length - fixed, pattern + 1, fixed) == 0;
    return length == fixed + 1 && memcmp(variable, pattern, length) == 0;
}

static bool dangerous(const char *variable, size_t length)
{
    static const char *const patterns[] = {
#define X(pattern) pattern,
        DANGEROUS_VARIABLES(X)
#undef X
    };
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (matches(variable, length, patterns[i]))
            return true;
    return false;
}

/* unsetenv moves the array: start again after each. */
static bool clear_one_variable(void)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        size_t length = strcspn(*entry, "=");
        char name[256];
        if (length == 0 || length >= sizeof name || !dangerous(*entry, length))
            continue;
        memcpy(name, *entry, length);
        name[length] = '\0';
        return unsetenv(name) == 0;
    }
    return false;
}

static void clear_environment(void)
{
    while (clear_one_variable())
        ;
}

/* Inherited descriptors stay usable (--credential x=file:/dev/fd/9) but never reach a child. */
static void keep_descriptors_here(void)
{
    syscall(SYS_close_range, 3u, ~0u, (unsigned)CLOSE_RANGE_CLOEXEC);
}

static void assertion_failed(const char *condition, const char *file, int line, const char *function)
{
    bool open = app_accounts_may_be_open();
    fprintf(stderr, "mayfly: internal error: %s (%s:%d, %s)%s\n", condition, file, line, function,
            open ? "; accounts may be left: run mayfly teardown --all" : "");
    _exit(open ? EXIT_MAY_EXIST : EXIT_INTERNAL);
}

static void harden(bool is_runner)
{
    fill_standard_descriptors();
    hide_memory();
    clear_environment();
    memory_wipe_in_libraries();
    umask(077);
    if (!is_runner) /* the runner's descriptors are its arguments */
        keep_descriptors_here();
    sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL); /* a file size limit is a failed write, not a death */
    mf_assert_set_hook(assertion_failed);
}

int main(int argc, char **argv)
{
    bool is_runner = argc > 1 && strcmp(argv[1], "runner") == 0;
    harden(is_runner);
    CRASH_ARM();
    return is_runner ? runner_main(argc - 1, argv + 1) : options_dispatch(argc, argv);
}
