/*
 * sandbox/remedy.h - why this machine gives no sandbox, and what to do: one table from what was seen to what to say
 */
#ifndef MF_SANDBOX_REMEDY_H
#define MF_SANDBOX_REMEDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct situation {
    bool root;
    bool may_mount; /* root with the right to mount */
    bool bwrap;
    uint32_t bwrap_version; /* major * 1000 + minor; 0: not known */
    bool init;              /* mayfly-init was found */
    int64_t namespaces_max; /* user.max_user_namespaces; -1: not known */
    int64_t clone_allowed;  /* kernel.unprivileged_userns_clone; -1: this kernel has no such switch */
    int64_t apparmor;       /* kernel.apparmor_restrict_unprivileged_userns; -1: none */
    bool apparmor_profile;  /* a profile for bubblewrap is installed */
    bool container, chrooted;
    const char *said; /* what the trial wrote; may be empty */
};

/* Reads the machine; `said` stays NULL. */
void situation_read(struct situation *out);
/* The reason with its remedy; always a text. */
void remedy_write(const struct situation *situation, char *out, size_t out_bytes);

#endif
