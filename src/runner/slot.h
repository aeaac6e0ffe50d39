/*
 * runner/slot.h - the directory that an agent works in: .work/@N/{ws,home}, made once, used again as long as it stays
 * empty
 *
 * Layout: ws is the working directory, home is HOME, `result.json` next to them is $MAYFLY_RESULT, `in` (made by a
 * helper when there is something to show) holds prompt, inputs, previous and subject. Owned by the spawner.
 */
#ifndef MF_RUNNER_SLOT_H
#define MF_RUNNER_SLOT_H

#include "runner/cgroup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define SLOT_RESULT "result.json"

struct slot_times {
    struct timespec changed, modified, read;
};

struct slot {
    bool made;
    int dir_fd, ws_fd, home_fd; /* owned while made */
    struct cgroup group;        /* kept when the directory is given up */
    uint32_t group_number;      /* a stuck group is left behind and a new one made */
    bool group_killed;          /* cgroup.kill was written: the next agent gets a new one */
    int64_t bytes;              /* of a directory that was never written to */
    struct slot_times given[3]; /* of directory, ws and home when an agent got them */
    uid_t owner;                /* of the directories: ours, or that of sandboxed agents */
    bool limited;               /* limits were written into its groups */
    bool mounted;               /* the directory is a file system of limited size */
    bool walled;                /* the last agent was in a sandbox */
    uint32_t subject;           /* verify: the agent's slot + 1; 0: it has none */
};

struct slot_left {
    bool pristine; /* nothing but the empty ws and home */
    bool has_result;
};

/* Makes the directories and the group (run_group_fd -1: none) if they are missing. 0, or -1 with errno. */
int slot_make(struct slot *slot, uint32_t number, int work_fd, int run_group_fd);
/* What is in the slot now: three short directory reads. */
struct slot_left slot_look(const struct slot *slot);
/* Closes the directories and moves them to the trash under a name that was never used; the slot can be made again. */
void slot_discard(struct slot *slot, uint32_t number, int work_fd, int trash_fd, uint64_t trash_name);
/* The group has something in it that will not die: use another one from now on. */
void slot_abandon_group(struct slot *slot);
void slot_close(struct slot *slot);
/*
 * A slot that came back empty out of a sandbox: times, attributes, flags and size of its directories are an agent's writing
 * too. The times are set, and what has any of the rest is made anew. -1 when it would not go: the slot is to be discarded.
 */
int slot_renew(struct slot *slot, uint32_t number, int work_fd);
/* Closes the directories; they stay, and slot_make opens them again. */
void slot_shut(struct slot *slot);
/* Gives the directories to `uid`, with the modes that they were made with; what is in them is left alone. -1 with errno. */
int slot_own(struct slot *slot, uid_t uid, gid_t gid);

#endif
