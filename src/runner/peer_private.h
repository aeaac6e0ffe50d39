/* runner/peer_private.h - what the two parts of the orchestrator's end share: peer.c, peer_heard.c */
#ifndef MF_RUNNER_PEER_PRIVATE_H
#define MF_RUNNER_PEER_PRIVATE_H

#include "runner/channel.h"
#include "runner/peer.h"

#include <sys/types.h>

struct runner_peer {
    struct channel *channel;
    struct runner_handlers handlers;
    void *context;
    pid_t pid; /* 0: reaped */
    bool greeted;
    bool dead;
    int run_dir_fd;         /* not owned */
    char *run_dir, *run_id; /* owned */
};

/* --- peer_heard.c --- */
int peer_on_frame(void *context, const struct frame *frame, const int *descriptors); /* of a struct channel_handlers */

#endif
