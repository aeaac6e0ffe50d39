/*
 * sandbox/control.h - what mayfly-init says over its socket, and what it is told
 *
 * A SOCK_SEQPACKET pair, one end inherited by mayfly-init through bubblewrap, the other the runner's. One message is one
 * packet: a struct sandbox_event, with one descriptor for LISTENING. Order: LISTENING for each port, then STARTED or FAILED,
 * then EXITED, then the end of the socket. Both ends are of one build: the struct goes over the wire as it is.
 *
 * The listening sockets live in the sandbox's own network namespace, where only the agent's processes are; whoever holds the
 * descriptor accepts outside. So nothing has to be copied between two sockets, and a peer needs no proof of where it is.
 */
#ifndef MF_SANDBOX_CONTROL_H
#define MF_SANDBOX_CONTROL_H

#include <stdint.h>

#define SANDBOX_EVENTS(X)                                                                                              \
    X(LISTENING, 1) /* value: port on 127.0.0.1; with its descriptor */                                                \
    X(STARTED, 2)   /* the command was executed */                                                                     \
    X(FAILED, 3)    /* it was not: value = errno, step below; mayfly-init leaves */                                    \
    X(EXITED, 4)    /* the main process ended: wait status in value; the rest of the namespace dies with mayfly-init */
enum sandbox_event_kind {
#define X(name, number) SANDBOX_##name = number,
    SANDBOX_EVENTS(X)
#undef X
};

struct sandbox_event {
    uint32_t kind;
    int32_t value;
    uint32_t step; /* FAILED: enum child_step of runner/child.h: 2 set-up, 3 execute */
    uint32_t reserved;
    int64_t user_us, system_us, rss_bytes_max; /* EXITED */
};

/* Told to mayfly-init: one byte. It sends the signal to every process of the namespace but itself. */
#define SANDBOX_TELL_TERMINATE 'T'

/* Takes the next event without waiting. 1: there is one, *fd is its descriptor (the caller's) or -1; 0: none yet; -1: the other end is gone. */
int sandbox_control_read(int control_fd, struct sandbox_event *event, int *fd);
int sandbox_control_terminate(int control_fd);

#endif
