/*
 * sandbox/plan.h - what mayfly-init is told: one anonymous file, this head and then the strings, each with its NUL
 *
 * argc strings of the command, then environment_count "NAME=value". Written by launch.c, read by init/main.c of the same
 * build. It holds gateway tokens: the file has no name, and mayfly-init lets go of it before the agent runs.
 */
#ifndef MF_SANDBOX_PLAN_H
#define MF_SANDBOX_PLAN_H

#include "sandbox/sandbox.h"

#include <stdint.h>

#define SANDBOX_PLAN_MAGIC 0x3166796du /* changes with the layout */

struct sandbox_plan {
    uint32_t magic;
    uint32_t argc, environment_count;
    uint32_t port_count;
    uint32_t pids; /* RLIMIT_NPROC; 0: as it is */
    uint32_t reserved;
    uint64_t bytes; /* of the whole file */
    uint16_t ports[SANDBOX_PORTS_MAX];
};

#endif
