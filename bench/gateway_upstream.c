/*
 * gateway_upstream.c - the smallest server that answers, for bench/gateway.sh: prints its port
 *
 * Takes any head and a body of the length that it says; answers with N bytes for ?N.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "gateway_upstream: %s: %s\n", what, strerror(errno));
    exit(1);
}

struct peer {
    int fd;
    char head[8192];
    size_t length;
    size_t body_left;
    char start[256];
    size_t start_left, start_at, body_out;
};

static char *filler;

static void peer_answer(struct peer *peer)
{
    const char *question = strchr(peer->head, '?');
    size_t bytes = question != NULL ? strtoul(question + 1, NULL, 10) : 0;
    peer->start_left =
        (size_t)snprintf(peer->start, sizeof peer->start,
                         "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %zu\r\n\r\n", bytes);
    peer->start_at = 0;
    peer->body_out = bytes;
    peer->length = 0;
}

/* False: nothing more can be sent now. */
static bool peer_send(struct peer *peer)
{
    while (peer->start_left > 0 || peer->body_out > 0) {
        struct iovec parts[2] = {{peer->start + peer->start_at, peer->start_left}, {filler, peer->body_out}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
            return false;
        size_t of_start = (size_t)sent < peer->start_left ? (size_t)sent : peer->start_left;
        peer->start_at += of_start;
        peer->start_left -= of_start;
        peer->body_out -= (size_t)sent - of_start;
    }
    return true;
}

/* False: nothing more can be done now. */
static bool peer_step(struct peer *peer)
{
    static char room[262144];
    if (!peer_send(peer))
        return false;
    ssize_t got = peer->body_left > 0
                      ? recv(peer->fd, room, sizeof room, MSG_DONTWAIT)
                      : recv(peer->fd, peer->head + peer->length, sizeof peer->head - 1 - peer->length, MSG_DONTWAIT);
    if (got <= 0)
        return false;
    if (peer->body_left > 0) {
        peer->body_left -= (size_t)got < peer->body_left ? (size_t)got : peer->body_left;
    } else {
        peer->length += (size_t)got;
        peer->head[peer->length] = '\0';
        char *end = strstr(peer->head, "\r\n\r\n");
        if (end == NULL)
            return true;
        const char *length = strcasestr(peer->head, "content-length:");
        size_t body = length != NULL ? strtoul(length + 15, NULL, 10) : 0,
               there = peer->length - (size_t)(end + 4 - peer->head);
        peer->body_left = body > there ? body - there : 0;
    }
    if (peer->body_left > 0)
        return true;
    peer_answer(peer);
    return true;
}

static void peer_serve(struct peer *peer)
{
    while (peer_step(peer))
        ;
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), poll = epoll_create1(EPOLL_CLOEXEC),
        on = 1;
    struct epoll_event event = {.events = EPOLLIN}, events[64];
    filler = malloc(2 << 20);
    memset(filler, 'x', 2 << 20);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) != 0 || listen(listening, 1024) != 0 ||
        getsockname(listening, (struct sockaddr *)&address, &bytes) != 0 ||
        epoll_ctl(poll, EPOLL_CTL_ADD, listening, &event) != 0)
        die("upstream");
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == NULL) {
                int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0)
                    continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                peer = calloc(1, sizeof *peer);
                peer->fd = fd;
                event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, .data.ptr = peer};
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            peer_serve(peer);
            if ((events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
                close(peer->fd);
                free(peer);
            }
        }
    }
}
