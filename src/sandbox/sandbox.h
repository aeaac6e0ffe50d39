/*
 * sandbox/sandbox.h - an agent's walls: bubblewrap, mayfly-init as pid 1, a seccomp filter, limits
 *
 * Who calls it: `run`, `plan` and `doctor` ask sandbox_check before anything is started (exit 6 with the remedy); the spawner
 * opens one sandbox_base for the run and makes one sandbox_launch for each agent. Nothing is downgraded silently: what was
 * asked for and cannot be given is an error, what was not asked for and cannot be given is in `missing`.
 *
 * Inside: user, pid, mount, network, ipc, uts and cgroup namespaces of its own, uid 1000, no capabilities, no_new_privs, the
 * filter; /usr read-only, the few files of /etc that programs need, /proc, a minimal /dev, private /tmp, the slot directory as
 * /mayfly (ws, home, result.json writable, in read-only). Outside it runs as an ordinary uid, also when mayfly is root.
 */
#ifndef MF_SANDBOX_SANDBOX_H
#define MF_SANDBOX_SANDBOX_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SANDBOX_ROOT "/mayfly"                               /* the slot directory as the agent sees it */
#define SANDBOX_SUBJECT SANDBOX_ROOT "/in/subject/workspace" /* made by whoever furnished `in` */
#define SANDBOX_GATEWAY_PORT 8787u
#define SANDBOX_EGRESS_PORT 8788u
#define SANDBOX_UID 1000u       /* inside */
#define SANDBOX_HOST_UID 65534u /* outside, when mayfly is root and no --agent-uid was given */
#define SANDBOX_PORTS_MAX 16u   /* gateway, egress, a few loopback origins to reach */
#define SANDBOX_READ_MAX 64u

struct sandbox_limits { /* 0: not said, best effort with the values of sandbox_limits_default */
    uint64_t memory_bytes;
    uint32_t pids;
    uint32_t cpu_millis; /* thousandths of a processor */
    uint64_t disk_bytes; /* of /tmp always; of the workspace where the machine can */
};
extern const struct sandbox_limits sandbox_limits_default; /* pids 4096, /tmp 1 GiB, the rest unlimited */

struct sandbox_spec {           /* what a graph says for a task; all borrowed */
    const struct mf_span *read; /* absolute paths of the host, shown read-only at the same place */
    uint32_t read_count;
    struct mf_span root; /* directory that is / instead of the host's /usr; empty: none */
    struct sandbox_limits limits;
};

struct sandbox_options {
    const char *bwrap; /* NULL: in /usr/bin and the like, never by PATH */
    const char *init;  /* path of mayfly-init; NULL: beside this program, else in its libexec directory */
    int64_t agent_uid; /* -1: SANDBOX_HOST_UID as root, else our own */
    const char *state; /* a directory that is never shown, nor what it is in: mayfly's own; NULL: none */
    const char *work;  /* spawner: where slots are; as root it is made reachable for agents. NULL: they can reach it */
};

/* What this machine gives, found out by a trial: for `run` (exit 6), `plan`, `doctor`, the receipt. */
struct sandbox_report {
    bool available;
    char reason[400];   /* not available: why, and the exact remedy */
    char version[32];   /* of bubblewrap */
    bool memory, cpu;   /* by cgroup v2 or v1 */
    bool pids;          /* by them, or counted inside from Linux 5.14 on */
    bool disk;          /* a slot can be a file system of its own: root with the right to mount */
    const char *cgroup; /* "v2", "v1", "none" */
    uint32_t uid;       /* of agents on the host */
    char state[4096];   /* of the options, resolved */
};
/* Starts /bin/true in a sandbox (about 10 ms). 0 also when it is not available; -1 only for trouble of our own. */
int sandbox_check(const struct sandbox_options *options, struct sandbox_report *report, struct mf_error *error);
/* -1 with MF_INPUT and the remedy when a limit that the graph states cannot be given by this machine, or a path cannot be shown. */
int sandbox_check_spec(const struct sandbox_report *report, const struct sandbox_spec *spec, struct mf_error *error);

/* --- in the spawner --- */

/*
 * As root with the right to mount: a mount namespace of the calling process's own, in which slots are made reachable and
 * limited. To be called before a directory is opened: a descriptor from before sees no mount made after. False: there is none.
 */
bool sandbox_enter_namespace(void);

struct sandbox_base; /* what all agents share: filter, /etc, descriptors of bwrap and init */
int sandbox_base_create(struct sandbox_base **out, const struct sandbox_options *options, struct mf_error *error);
void sandbox_base_destroy(struct sandbox_base *base);
uid_t sandbox_base_uid(
    const struct sandbox_base *base); /* who must own what an agent writes; our own uid: nothing to hand over */

struct sandbox_launch_spec {
    const struct sandbox_spec *spec;
    int slot_fd;           /* the slot's directory: SANDBOX_ROOT inside */
    bool has_in;           /* slot/in exists: shown read-only */
    const uint16_t *ports; /* to listen on at 127.0.0.1 inside */
    uint32_t port_count;
    char *const *argv; /* of the agent */
    char *const *environment;
    int subject_fd; /* 0 or less: none; else a workspace, read-only at SANDBOX_SUBJECT */
};
/* Everything for one child_start: argv and environment of bwrap, descriptors to inherit. Not in any argv: the agent's environment. */
struct sandbox_launch {
    char *const *argv, *const *environment; /* owned by the launch */
    const char *program;                    /* bwrap */
    const int *keep_fds;                    /* to survive close_range, by these numbers */
    uint32_t keep_count;
    int control_fd; /* our end of the control socket: taken by the caller, who sets it to -1 */
    uid_t uid;
    gid_t gid;                          /* to become before exec, when different from ours */
    int directory_fd;                   /* to be in when executing: the base's */
    struct sandbox_launch_parts *parts; /* owned */
};
/* On success the caller owns *out and gives it to sandbox_launch_free; on failure there is nothing to free. */
int sandbox_launch_make(struct sandbox_launch *out, struct sandbox_base *base, const struct sandbox_launch_spec *spec,
                        struct mf_error *error);
void sandbox_launch_free(struct sandbox_launch *launch); /* closes what was for the child */

/* Writes the limits into the groups of one slot (v2, or v1 controllers named `name`), before the child is in them. */
int sandbox_limits_apply(struct sandbox_base *base, const char *name, int cgroup_fd,
                         const struct sandbox_limits *limits, struct mf_error *error);
/* v1: the child writes 0 to these before exec; count may be 0. */
uint32_t sandbox_limits_join(struct sandbox_base *base, const char *name, int fds[4]);
/*
 * Where groups of version 2 are best made: our own group, or one above it that we may use and that hands more controllers
 * down. handed_down: memory, pids, cpu. -1: there is no version 2.
 */
int sandbox_limits_place(char *path, size_t path_bytes, bool handed_down[3]);
void sandbox_limits_remove(struct sandbox_base *base, const char *name);
/* Removes what a spawner that was killed left of its groups of version 1 (names begin with the run's id); how many would not go yet. */
int sandbox_limits_sweep(const char *run_id);

/*
 * Makes WORK/NAME, an empty directory, a file system of so many bytes, and ends that again. As root
 * with the right to mount; it lives in memory and counts against it.
 */
int sandbox_disk_limit(const struct sandbox_base *base, const char *name, uint64_t bytes, struct mf_error *error);
void sandbox_disk_unlimit(const struct sandbox_base *base, const char *name);

/* Who agents are on this host; agent_uid as in the options. */
void sandbox_identity(int64_t agent_uid, uid_t *uid, gid_t *gid);

/* Hands a directory tree over to another owner, following nothing, crossing no mount; for a helper process. */
int sandbox_hand_over(int dir_fd, uid_t uid, gid_t gid);

#endif
