/* cmd/strays.h - processes and cgroups of runs, whoever they belong to: for `mayfly doctor` */
#ifndef MF_CMD_STRAYS_H
#define MF_CMD_STRAYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stray { /* what one run has on this machine; it may be going on */
    char run[13];
    uint32_t processes, cgroups;
    pid_t pid; /* one of the processes */
};

struct strays {
    struct stray *items; /* owned */
    size_t count, capacity;
};

void strays_look(struct strays *out); /* what cannot be seen is not there */
void strays_free(struct strays *strays);

#endif
