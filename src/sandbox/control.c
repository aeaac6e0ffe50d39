/* control.c - the runner's end of mayfly-init's socket */
#include "sandbox/control.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* The descriptor that came with a packet, or -1; there is room for one, more were cut off by the kernel. */
static int take_descriptor(struct msghdr *message)
{
    int fd = -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
            header->cmsg_len == CMSG_LEN(sizeof fd))
            memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

int sandbox_control_read(int control_fd, struct sandbox_event *event, int *fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {event, sizeof *event};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got;
    *fd = -1;
    do
        got = recvmsg(control_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0)
        return -1;
    *fd = take_descriptor(&message);
    bool whole = got == (ssize_t)sizeof *event && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (whole && (event->kind == SANDBOX_LISTENING) == (*fd >= 0))
        return 1;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return -1;
}

int sandbox_control_terminate(int control_fd)
{
    char byte = SANDBOX_TELL_TERMINATE;
    return send(control_fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : -1;
}
