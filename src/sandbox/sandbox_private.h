/* sandbox/sandbox_private.h - what the parts of the sandbox share: base.c, launch.c, reach.c, limits.c, check.c */
#ifndef MF_SANDBOX_SANDBOX_PRIVATE_H
#define MF_SANDBOX_SANDBOX_PRIVATE_H

#include "base/buf.h"
#include "sandbox/sandbox.h"

#include <limits.h>

#define SANDBOX_BWRAP_MAJOR 0 /* the first with --disable-userns */
#define SANDBOX_BWRAP_MINOR 8

/* Files of /etc that are ours; the same for every agent. */
#define SANDBOX_ETC_FILES(X)                                                                                           \
    X("/etc/passwd", "root:x:0:0:root:/:/usr/sbin/nologin\n"                                                           \
                     "agent:x:1000:1000:agent:/mayfly/home:/bin/sh\n"                                                  \
                     "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n")                                              \
    X("/etc/group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n")                                                    \
    X("/etc/hosts", "127.0.0.1 localhost agent\n::1 localhost agent\n")                                                \
    X("/etc/hostname", "agent\n")                                                                                      \
    X("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
enum {
#define X(path, text) +1
    SANDBOX_ETC_FILE_COUNT = 0 SANDBOX_ETC_FILES(X)
#undef X
};

/* Controllers that limit; each may be had from cgroup v2 (one group) or from v1 (a hierarchy of its own). */
#define SANDBOX_CONTROLLERS(X)                                                                                         \
    X(MEMORY, "memory", "memory.max")                                                                                  \
    X(PIDS, "pids", "pids.max")                                                                                        \
    X(CPU, "cpu", "cpu.max")
enum sandbox_controller {
#define X(name, text, file) SANDBOX_CONTROLLER_##name,
    SANDBOX_CONTROLLERS(X)
#undef X
        SANDBOX_CONTROLLER_COUNT
};
extern const char *const sandbox_controller_names[SANDBOX_CONTROLLER_COUNT];

struct sandbox_base {
    char program[PATH_MAX]; /* bubblewrap */
    int init_fd;            /* owned; mayfly-init, executed by descriptor: its path need not exist inside */
    int filter_fd;          /* owned */
    int root_fd;            /* owned; "/" */
    int etc_fds[SANDBOX_ETC_FILE_COUNT]; /* owned */
    uid_t uid;
    gid_t gid;
    bool foreign;           /* agents have another uid than we */
    char work[PATH_MAX];    /* of the options, resolved; empty: none */
    char reach[PATH_MAX];   /* the same directory where `uid` can get at it; empty: as it is */
    char state[PATH_MAX];   /* never shown */
    struct mf_buf fixed;    /* arguments that are the same for every agent */
    struct mf_buf usr, etc; /* those for the host's programs and files of /etc, left out with a root of its own */
    int v1_fds[SANDBOX_CONTROLLER_COUNT]; /* owned; -1: none */
};

/* base.c: what base and check need alone */
int base_find_bwrap(const struct sandbox_options *options, char out[PATH_MAX]); /* -1: there is none */
int base_open_init(const struct sandbox_options *options, struct mf_error *error);
/* Appends texts up to a NULL, each with its NUL. */
void base_arguments(struct mf_buf *arguments, const char *const *texts);
#define BASE_ARGUMENTS(arguments, ...) base_arguments(arguments, (const char *const[]){__VA_ARGS__, NULL})
/* As the host has it: a link as the same link, a directory or file read-only; nothing when it is not there. */
void base_show_as_is(struct mf_buf *arguments, const char *path, const char *inside);
/* A path may be shown: absolute, of one spelling, none of the sandbox's own places. NULL, or why not. */
const char *base_path_trouble(const char *path, const char *state);

/* reach.c: as root, a private mount namespace in which `work` can be reached by any uid; fills base->reach */
int reach_make(struct sandbox_base *base, struct mf_error *error);

/* limits.c */
struct limits_ways {
    bool v2[SANDBOX_CONTROLLER_COUNT], v1[SANDBOX_CONTROLLER_COUNT];
};
void limits_find(struct limits_ways *ways);
int limits_open_v1(enum sandbox_controller controller); /* the directory in which groups are made; -1: none */

/* start.c: one launch executed by fork, for trials; the pid, or -1. `error_fd` becomes its stdout and stderr. */
pid_t start_launch(const struct sandbox_launch *launch, int error_fd);

#endif
