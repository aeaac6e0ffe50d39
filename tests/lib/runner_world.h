/*
 * lib/runner_world.h - a real runner in a state directory of its own, and what it reported, for tests with real
 * processes
 *
 * A test program calls world_main first: when it is started as `PROGRAM runner` it becomes the runner. Waiting runs the
 * loop until a condition holds, at most some seconds, and fails the test otherwise.
 */
#ifndef MF_TESTS_RUNNER_WORLD_H
#define MF_TESTS_RUNNER_WORLD_H

#include "net/loop.h"
#include "runner/peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_STAGES_MAX 2100

/* The run's id, of this process and what it forks later: several test programs may run at once. */
const char *world_run_id(void);

struct world_stage {
    bool prepared, started, exited, resulted, failed;
    int64_t pid, birth, started_ms, exited_ms;
    struct runner_exit exit;
    bool valid;
    char class_name[24], reason[2048], sha256[65], commit[80];
    uint64_t result_bytes, output_bytes, stdout_bytes, stderr_bytes;
    uint32_t output_files;
    uint64_t head_count;      /* of the audit head that was told before it exited */
    struct runner_usage usage; /* the last that was told; its service's name is in usage_of */
    char usage_of[32];
    uint32_t anomalies, violations;
    char last_anomaly[32], last_detail[512];
    uint32_t budgets;
};

struct world {
    struct net_loop *loop;
    struct runner_peer *peer;
    char state[64], run_dir[128], base[96]; /* base: the graph's directory */
    int run_fd;
    struct world_stage stages[WORLD_STAGES_MAX];
    uint32_t dropped; /* DROPPED messages */
    uint64_t last_dropped;
    uint32_t accounts_dead, services_refused, lost_anomalies; /* lost: of no stage */
    uint64_t last_dead, last_refused, head_count;
    char head[65];
    bool up, died;
    int64_t runner_pid;
    char died_reason[256];
};

/* True: this process was the runner and has ended with *status. */
bool world_main(int argc, char **argv, int *status);

struct world *world_open(void);
/* Stops the runner, checks that nothing of it is left (processes, cgroup, work/), removes the directory. */
void world_close(struct world *world);

/* Runs the loop until the condition holds; fails the test after `timeout_ms`. */
void world_wait(struct world *world, bool (*holds)(struct world *world, uint64_t stage), uint64_t stage,
                int64_t timeout_ms);
bool world_started(struct world *world, uint64_t stage); /* or failed */
bool world_exited(struct world *world, uint64_t stage);
bool world_over(struct world *world, uint64_t stage); /* RESULT, SPAWN_FAILED, PREPARED or PREPARE_FAILED */
bool world_died(struct world *world, uint64_t stage);
void world_run_for(struct world *world, int64_t duration_ms);

/* `sh -c SCRIPT` as task "tSTAGE", attempt 1; *spawn can be changed before it is sent with world_send. */
void world_shell(struct runner_spawn *spawn, uint64_t stage, const char *script);
void world_send(struct world *world, const struct runner_spawn *spawn);
/* Sends and waits until it is over. */
struct world_stage *world_run(struct world *world, const struct runner_spawn *spawn);
struct world_stage *world_run_shell(struct world *world, uint64_t stage, const char *script);
struct world_stage *world_prepare(struct world *world, const struct runner_prepare *prepare);
void world_finish(struct world *world, uint64_t stage, uint32_t attempt, enum runner_retain retain, bool again);

/* Text of a file below the run directory, NUL-terminated, to free with free(); NULL when it is not there. */
char *world_read(const struct world *world, const char *path, size_t *bytes);
bool world_exists(const struct world *world, const char *path);
/* Writes a file below the graph's directory, making directories. */
void world_write(const struct world *world, const char *path, const char *text, unsigned mode);
/* How many processes carry this world's mark and are alive. */
int world_processes(void);
/* Runs a shell command in the state directory, $RUN is the run's; fails the test when it does not end with 0. */
void world_command(const struct world *world, const char *command);

#endif
