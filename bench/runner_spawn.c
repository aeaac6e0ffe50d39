/*
 * runner_spawn.c - what starting programs through the runner costs, against a bare posix_spawn and wait loop
 *
 *     bench_runner_spawn [N [JOBS [PROGRAM]]]     (2000, 8, /bin/true)
 *     bench_runner_spawn N JOBS PROGRAM sandbox   the runner's side alone, once, every program in a sandbox
 *
 * Both sides in one run, each five times in turn; printed are the medians and their ratio. The runner's side is the
 * whole path: the message out, a fresh environment, a workspace, two pipes, a cgroup where there is one, the tree found
 * dead, and the messages back.
 */
#include "net/loop.h"
#include "runner/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5

extern char **environ;

struct fleet {
    struct net_loop *loop;
    struct runner_peer *peer;
    const char *program;
    unsigned long wanted, jobs, started, ended, failed;
    bool sandbox;
};

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Processor time of this process and of everything that was waited for, also by what was waited for. */
static double cpu_ms(void)
{
    double sum = 0;
    static const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (size_t i = 0; i < 2; i++) {
        struct rusage used;
        getrusage(whose[i], &used);
        sum += (double)used.ru_utime.tv_sec * 1e3 + (double)used.ru_utime.tv_usec / 1e3;
        sum += (double)used.ru_stime.tv_sec * 1e3 + (double)used.ru_stime.tv_usec / 1e3;
    }
    return sum;
}

static struct mf_span instance(unsigned long number, char name[32])
{
    snprintf(name, 32, "t%lu", number);
    return mf_span(name);
}

static void start_more(struct fleet *fleet)
{
    char name[32];
    while (fleet->started < fleet->wanted && fleet->started - fleet->ended < fleet->jobs) {
        struct mf_span argv[] = {mf_span(fleet->program)};
        struct runner_spawn spawn = {.stage = fleet->started + 1,
                                     .path = instance(fleet->started + 1, name),
                                     .attempt = 1,
                                     .argv = argv,
                                     .argc = 1,
                                     .walls = {.sandbox = fleet->sandbox}};
        if (runner_send_spawn(fleet->peer, &spawn, NULL) != 0)
            abort();
        fleet->started++;
    }
}

static void on_up(void *context, int64_t pid, int64_t birth)
{
    (void)pid;
    (void)birth;
    net_loop_stop(((struct fleet *)context)->loop);
}

static void on_started(void *context, uint64_t stage, int64_t pid, int64_t birth)
{
    (void)context, (void)stage, (void)pid, (void)birth;
}

static void on_failed(void *context, uint64_t stage, const char *class_name, const char *reason)
{
    (void)context;
    fprintf(stderr, "stage %llu: %s: %s\n", (unsigned long long)stage, class_name, reason);
    exit(1);
}

static void on_exited(void *context, const struct runner_exit *exited)
{
    struct fleet *fleet = context;
    fleet->failed += exited->code != 0;
}

static void on_result(void *context, const struct runner_result *result)
{
    struct fleet *fleet = context;
    char name[32];
    runner_send_finish(fleet->peer, instance(result->stage, name), 1, RUNNER_RETAIN_NEVER, false, NULL);
    fleet->ended++;
    start_more(fleet);
    if (fleet->ended == fleet->wanted)
        net_loop_stop(fleet->loop);
}

static void on_died(void *context, const char *reason)
{
    (void)context;
    fprintf(stderr, "died: %s\n", reason);
    exit(1);
}

static double run_fleet(struct fleet *fleet)
{
    double began = now_ms();
    fleet->started = fleet->ended = 0;
    start_more(fleet);
    net_loop_run(fleet->loop);
    return now_ms() - began;
}

static double run_bare(const struct fleet *fleet)
{
    double began = now_ms();
    unsigned long started = 0, ended = 0;
    char *argv[] = {strdup(fleet->program), NULL};
    while (ended < fleet->wanted) {
        pid_t pid;
        int status;
        while (started < fleet->wanted && started - ended < fleet->jobs) {
            if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0)
                abort();
            started++;
        }
        if (wait(&status) < 0)
            abort();
        ended++;
    }
    free(argv[0]);
    return now_ms() - began;
}

static int compare(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return difference < 0 ? -1 : difference > 0;
}

static int start_runner(struct fleet *fleet, char *directory)
{
    static const struct runner_handlers handlers = {.up = on_up,
                                                    .prepare_failed = on_failed,
                                                    .started = on_started,
                                                    .spawn_failed = on_failed,
                                                    .exited = on_exited,
                                                    .result = on_result,
                                                    .died = on_died};
    if (mkdtemp(directory) == NULL || net_loop_create(&fleet->loop, NULL) != 0)
        return -1;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct runner_options options = {.program = "/proc/self/exe",
                                     .run_dir_fd = fd,
                                     .run_dir = directory,
                                     .run_id = "benchbenchxx",
                                     .path = "/usr/bin:/bin",
                                     .running_max = (uint32_t)fleet->jobs};
    int result = runner_start(&fleet->peer, fleet->loop, &options, &handlers, fleet, NULL);
    if (result == 0)
        net_loop_run(fleet->loop);
    close(fd);
    return result;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "runner") == 0)
        return runner_main(argc, argv);
    char directory[] = "/tmp/mayfly-bench-XXXXXX";
    struct fleet fleet = {.wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000,
                          .jobs = argc > 2 ? strtoul(argv[2], NULL, 10) : 8,
                          .program = argc > 3 ? argv[3] : "/bin/true"};
    double bare[ROUNDS], runner[ROUNDS], ratio[ROUNDS], bare_cpu = 0;
    fleet.sandbox = argc > 4 && strcmp(argv[4], "sandbox") == 0;
    if (start_runner(&fleet, directory) != 0)
        return 1;
    if (fleet.sandbox) {
        run_fleet(&fleet);
        runner_stop(fleet.peer, 5000);
        net_loop_destroy(fleet.loop);
        return fleet.failed == 0 ? 0 : 1;
    }
    for (int i = 0; i < ROUNDS; i++) {
        double before = cpu_ms();
        bare[i] = run_bare(&fleet);
        bare_cpu += cpu_ms() - before;
        runner[i] = run_fleet(&fleet);
        ratio[i] = runner[i] / bare[i];
    }
    runner_stop(fleet.peer, 5000);
    net_loop_destroy(fleet.loop);
    rmdir(directory);
    double runner_cpu = cpu_ms() - bare_cpu;
    qsort(bare, ROUNDS, sizeof bare[0], compare);
    qsort(runner, ROUNDS, sizeof runner[0], compare);
    qsort(ratio, ROUNDS, sizeof ratio[0], compare);
    printf("bare_spawn %.1f ms\n", bare[ROUNDS / 2]);
    printf("runner_spawn %.1f ms\n", runner[ROUNDS / 2]);
    printf("runner_spawn_ratio %.3f x\n", ratio[ROUNDS / 2]);
    printf("runner_spawn_cpu_ratio %.3f x\n", runner_cpu / bare_cpu);
    return 0;
}
