/*
 * baseline_spawn.c - the least that running N programs can cost: posix_spawn and wait, JOBS at a time, nothing else
 *
 *     bench_baseline_spawn N JOBS PROGRAM [ARGUMENT...]
 *
 * Prints nothing; the caller measures it. Exit status 1 when a program did not end with 0.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

/* Starts one; returns 0 or an errno. */
static int start(char **argv)
{
    pid_t pid;
    return posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
}

/* Waits for any one; returns 0 when it ended well. */
static int end_one(void)
{
    int status;
    pid_t pid;
    do
        pid = wait(&status);
    while (pid < 0 && errno == EINTR);
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    char *end;
    if (argc < 4) {
        fprintf(stderr, "usage: %s N JOBS PROGRAM [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    unsigned long wanted = strtoul(argv[1], &end, 10), jobs = strtoul(argv[2], &end, 10);
    unsigned long started = 0, ended = 0, failed = 0;
    while (ended < wanted) {
        while (started < wanted && started - ended < jobs) {
            if (start(argv + 3) != 0) {
                perror(argv[3]);
                return 1;
            }
            started++;
        }
        if (end_one() != 0)
            failed++;
        ended++;
    }
    return failed == 0 ? 0 : 1;
}
