/*
 * door.c - listening sockets of a stage
 *
 * A door takes connections as long as its stage has places. When there is none left, the connection of an API door that has been
 * idle longest makes room; if none is idle, the new one is closed.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 16
#define ACCEPT_AGAIN_MS 100
#define BACKLOG 128

void stage_lose_connection(struct stage *stage)
{
    mf_assert(stage->connection_count > 0);
    stage->connection_count--;
}

static bool make_room(struct stage *stage)
{
    struct front *oldest = NULL;
    if (stage->connection_count < stage->gateway->connections_per_stage_max)
        return true;
    for (struct front *front = stage->fronts; front != NULL; front = front->next)
        if (front->idle_since_ms != MF_NEVER && (oldest == NULL || front->idle_since_ms < oldest->idle_since_ms))
            oldest = front;
    if (oldest != NULL)
        front_close(oldest);
    return oldest != NULL;
}

/* False: stop accepting for now. */
static bool accept_one(struct door *door)
{
    int on = 1;
    int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
        return true;
    if (fd < 0) {
        if (errno != EAGAIN) { /* no descriptors or no memory: others may end soon */
            net_watch_set(door->watch, 0);
            net_timer_set(door->again, net_now_ms() + ACCEPT_AGAIN_MS);
        }
        return false;
    }
    if (!make_room(door->stage)) {
        close(fd);
        return true;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket, which has no delay */
    door->stage->connection_count++;
    if (door->kind == GATEWAY_DOOR_API)
        front_accept(door, fd);
    else
        egress_accept(door, fd);
    return true;
}

static void on_acceptable(void *context, int events)
{
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++)
        if (!accept_one(context))
            return;
}

static void on_again(void *context)
{
    struct door *door = context;
    net_watch_set(door->watch, NET_READ);
}

static void free_door(struct door *door)
{
    net_watch_destroy(door->watch);
    net_timer_destroy(door->again);
    close(door->fd);
    mf_free(door);
}

int door_open(struct stage *stage, enum gateway_door kind, int fd, uint16_t port, bool guarded, struct mf_error *error)
{
    struct door *door = mf_calloc(1, sizeof *door);
    if (door == NULL) {
        close(fd);
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    }
    *door = (struct door){.stage = stage, .kind = kind, .fd = fd, .port = port, .guarded = guarded};
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        mf_fail_os(error, errno, "gateway: a door's socket");
        free_door(door);
        return -1;
    }
    if (net_timer_create(&door->again, stage->gateway->loop, on_again, door, error) != 0 ||
        net_watch_create(&door->watch, stage->gateway->loop, fd, NET_READ, on_acceptable, door, error) != 0) {
        free_door(door);
        return -1;
    }
    door->next = stage->doors;
    stage->doors = door;
    return 0;
}

void doors_close(struct stage *stage)
{
    while (stage->doors != NULL) {
        struct door *door = stage->doors;
        stage->doors = door->next;
        free_door(door);
    }
}

int gateway_open_door(struct gateway *gateway, uint64_t stage_id, enum gateway_door kind, int listening_fd,
                      uint16_t port, bool guarded, struct mf_error *error)
{
    struct stage *stage = gateway_find_stage(gateway, stage_id);
    if (stage == NULL) {
        close(listening_fd);
        return mf_fail(error, MF_INPUT, "gateway: stage %llu is not there", (unsigned long long)stage_id);
    }
    return door_open(stage, kind, listening_fd, port, guarded, error);
}

int gateway_open_loopback(struct gateway *gateway, uint64_t stage_id, uint16_t *port, struct mf_error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return mf_fail_os(error, errno, "gateway: socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) {
        mf_fail_os(error, errno, "gateway: a loopback port");
        close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return gateway_open_door(gateway, stage_id, GATEWAY_DOOR_API, fd, *port, false, error);
}
