/*
 * measure.c - runs a program and writes down what it took: wall time, processor time, peak memory
 *
 *     bench_measure FILE PROGRAM [ARGUMENT...]
 *
 * Appends one line `wall_ms cpu_ms rss_kib` to FILE. Processor time is that of the program and of all its descendants that
 * were waited for; memory is the peak of the largest of them. Exits with the program's status.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double milliseconds(struct timeval time)
{
    return (double)time.tv_sec * 1e3 + (double)time.tv_usec / 1e3;
}

int main(int argc, char **argv)
{
    struct rusage used;
    pid_t pid;
    int status;
    if (argc < 3) {
        fprintf(stderr, "usage: %s FILE PROGRAM [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    double began = now_ms();
    if (posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ) != 0 || wait4(pid, &status, 0, &used) != pid) {
        perror(argv[2]);
        return 127;
    }
    double wall = now_ms() - began;
    FILE *out = fopen(argv[1], "ae");
    if (out == NULL) {
        perror(argv[1]);
        return 127;
    }
    fprintf(out, "%.3f %.3f %ld\n", wall, milliseconds(used.ru_utime) + milliseconds(used.ru_stime), used.ru_maxrss);
    fclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
