/* cmd/machine.h - what this machine has: kernel features, limits, and how many agents it can hold */
#ifndef MF_CMD_MACHINE_H
#define MF_CMD_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

enum machine_cgroup { MACHINE_CGROUP_NONE, MACHINE_CGROUP_V1, MACHINE_CGROUP_V2 };

struct machine {
    char kernel[65];
    bool pidfd, openat2, close_range;
    enum machine_cgroup cgroup;
    bool cgroup_kill;       /* cgroup v2 with cgroup.kill (5.14) */
    bool git;               /* found in PATH */
    uint64_t descriptors_max; /* hard limit */
    uint64_t processes_max;   /* the smallest of all limits */
    uint64_t memory_bytes;    /* available now, within the cgroup's limit */
    uint64_t swap_bytes;
    uint32_t cores;
    uint64_t agents_by_descriptors, agents_by_processes, agents_by_memory, agents_max;
};

void machine_look(struct machine *out);

/* What one agent is counted with. */
#define MACHINE_AGENT_DESCRIPTORS 8         /* pidfd, three pipes, socket of the gateway and its connections */
#define MACHINE_AGENT_PROCESSES 4           /* sandbox, init, the agent and a child of it */
#define MACHINE_AGENT_BYTES (64ull << 20)   /* a small script and curl; real agents need more: see the tasks' limits */
#define MACHINE_OWN_DESCRIPTORS 256
#define MACHINE_OWN_PROCESSES 16

#endif
