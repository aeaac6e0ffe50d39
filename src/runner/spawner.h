/*
 * runner/spawner.h - the agents' parent: starts them, reaps them, kills their trees, forks helpers for everything slow
 */
#ifndef MF_RUNNER_SPAWNER_H
#define MF_RUNNER_SPAWNER_H

#include <stdint.h>

struct spawner_options {
    int socket_fd;       /* towards the runner; taken */
    int run_fd;          /* runs/ID; taken */
    const char *run_dir; /* the same, absolute */
    const char *run_id;
    int64_t agent_uid; /* of sandboxed agents on the host; 0 or less: as sandbox/sandbox.h says */
};

/* Runs until the runner closes the socket or SIGTERM; returns the exit status when no descendant is left. */
int spawner_run(const struct spawner_options *options);

#endif
