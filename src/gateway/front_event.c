/*
 * front_event.c - one connection of an API door: what it waits for, what comes of it, how it ends
 *
 * Each phase waits for one thing, for a bounded time. An agent that is slow with its head or body gets 408, one that does not
 * take its answer loses the connection; what it holds by then is its own stage's.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFERED_BYTES_MAX 65536u /* that came and were not taken yet; then the socket is not read */
#define IN_BYTES_MAX (HTTP1_HEAD_BYTES_MAX + 2 * BUFFERED_BYTES_MAX + GATEWAY_SCRATCH_BYTES)
#define OUT_BYTES_MAX (4u << 20) /* answer.c stops long before; an answer that is kept whole has 1 MiB */
#define LINGER_BYTES_MAX (64u << 20)
#define IDLE_MS 75000
#define HEAD_MS 15000
#define BODY_MS 30000
#define WRITE_MS 60000
#define DELAY_401_MS 50
#define LINGER_MS 2000

/* --- closing --- */

void front_free(struct front *front)
{
    mf_buf_free(&front->in);
    mf_buf_free(&front->whole);
    mf_buf_free(&front->out);
    mf_free(front);
}

void front_close(struct front *front)
{
    if (front->phase == FRONT_CLOSED)
        return;
    front->phase = FRONT_CLOSED;
    if (front->exchange != NULL)
        exchange_abort(front->exchange);
    front_drop_whole(front);
    *front->link = front->next;
    if (front->next != NULL)
        front->next->link = front->link;
    net_watch_destroy(front->watch);
    net_timer_destroy(front->timer);
    close(front->fd);
    stage_lose_connection(front->stage);
    if (!front->advancing)
        front_free(front);
}

/* --- what it waits for --- */

static enum front_wait wait_of(const struct front *front)
{
    switch (front->phase) {
    case FRONT_HEAD:
        return front->in.length > 0 ? FRONT_WAIT_HEAD : FRONT_WAIT_IDLE;
    case FRONT_WHOLE:
        return FRONT_WAIT_BODY;
    case FRONT_EXCHANGE:
        if (front->flush_wanted)
            return FRONT_WAIT_WRITE;
        return front->starved ? FRONT_WAIT_BODY : FRONT_WAIT_NOTHING;
    case FRONT_DELAY:
        return FRONT_WAIT_DELAY;
    case FRONT_REPLY:
        return FRONT_WAIT_WRITE;
    case FRONT_LINGER:
        return FRONT_WAIT_LINGER;
    case FRONT_CLOSED:
        break;
    }
    return FRONT_WAIT_NOTHING;
}

static int64_t time_of(enum front_wait wait)
{
    static const int64_t times[] = {
        [FRONT_WAIT_NOTHING] = 0,       [FRONT_WAIT_IDLE] = IDLE_MS,   [FRONT_WAIT_HEAD] = HEAD_MS,
        [FRONT_WAIT_BODY] = BODY_MS,    [FRONT_WAIT_WRITE] = WRITE_MS, [FRONT_WAIT_DELAY] = DELAY_401_MS,
        [FRONT_WAIT_LINGER] = LINGER_MS};
    return times[wait];
}

static int events_of(const struct front *front)
{
    bool room = front->in.length - front->in_at < BUFFERED_BYTES_MAX;
    bool drops = front->phase == FRONT_LINGER || front->phase == FRONT_DELAY ||
                 (front->phase == FRONT_REPLY && front->close_after);
    bool reads = !front->peer_done && (front->phase == FRONT_HEAD || drops || room);
    return (reads ? NET_READ : 0) | (front->flush_wanted ? NET_WRITE : 0);
}

void front_arm(struct front *front)
{
    enum front_wait wait = wait_of(front);
    if (wait != front->wait) {
        front->wait = wait;
        front->since_ms = net_now_ms();
        net_timer_set(front->timer, wait == FRONT_WAIT_NOTHING ? MF_NEVER : front->since_ms + time_of(wait));
    }
    net_watch_set(front->watch, events_of(front));
}

/* Something moved: it may wait as long again. The timer is set anew when it fires. */
static void moved(struct front *front, enum front_wait wait)
{
    if (front->wait == wait)
        front->since_ms = net_now_ms();
}

static void end_slow_body(struct front *front)
{
    struct exchange *exchange = front->exchange;
    if (exchange->request == 0) {
        front_refuse_body(front, 408, "the body did not come");
    } else {
        const struct policy *policy = front_common_policy(front->stage);
        bool sent = exchange->head_sent;
        exchange_abort(exchange);
        if (sent)
            front_break_answer(front);
        else
            front_refuse(front, policy, 408, "the body did not come", NULL);
    }
}

static void on_timer(void *context)
{
    struct front *front = context;
    int64_t until = front->since_ms + time_of(front->wait);
    if (net_now_ms() < until) {
        net_timer_set(front->timer, until);
        return;
    }
    switch (front->wait) {
    case FRONT_WAIT_HEAD:
        front_refuse_malformed(front, 408, "the request did not come");
        return;
    case FRONT_WAIT_BODY:
        end_slow_body(front);
        return;
    case FRONT_WAIT_DELAY:
        front_refuse(front, front_common_policy(front->stage), 401, front_message(401), NULL);
        return;
    case FRONT_WAIT_IDLE:
    case FRONT_WAIT_WRITE:
    case FRONT_WAIT_LINGER:
        front_close(front);
        return;
    case FRONT_WAIT_NOTHING:
        return;
    }
}

/* --- events --- */

/* Makes room behind the head, which stays where it is. */
static void squeeze(struct front *front)
{
    size_t keep = front->phase == FRONT_HEAD ? 0 : front->head.head_bytes;
    size_t left = front->in.length - front->in_at;
    if (front->in_at <= keep)
        return;
    memmove(front->in.data + keep, front->in.data + front->in_at, left);
    front->in.length = keep + left;
    front->in_at = keep;
}

/* False: the connection is closed. */
static bool take_bytes(struct front *front, struct mf_span bytes)
{
    bool drops = front->phase == FRONT_LINGER || front->phase == FRONT_DELAY ||
                 (front->phase == FRONT_REPLY && front->close_after);
    if (drops) {
        front->linger_bytes += bytes.length;
        if (front->linger_bytes <= LINGER_BYTES_MAX)
            return true;
        front_close(front);
        return false;
    }
    squeeze(front);
    if (mf_buf_span(&front->in, bytes) != 0) {
        front_close(front);
        return false;
    }
    moved(front, FRONT_WAIT_BODY);
    if (front->starved) {
        front->starved = false;
        exchange_more(front->exchange);
    }
    return true;
}

/* False: the connection is closed, or nothing came. */
static bool read_some(struct front *front)
{
    char *scratch = front->stage->gateway->scratch;
    ssize_t got = recv(front->fd, scratch, GATEWAY_SCRATCH_BYTES, MSG_DONTWAIT);
    if (got > 0)
        return take_bytes(front, (struct mf_span){scratch, (size_t)got});
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    front->peer_done = true;
    if (got == 0 && front->phase == FRONT_REPLY && front_unsent(front) > 0) {
        front->close_after = true; /* it may still read */
        return true;
    }
    front_close(front);
    return false;
}

static void on_ready(void *context, int events)
{
    struct front *front = context;
    if ((events & NET_READ) != 0 && !read_some(front))
        return;
    if ((events & NET_WRITE) != 0) {
        front->flush_wanted = true;
        moved(front, FRONT_WAIT_WRITE);
        if (!front_flush(front))
            return;
    }
    front_advance(front);
}

void front_accept(struct door *door, int fd)
{
    struct stage *stage = door->stage;
    struct front *front = mf_calloc(1, sizeof *front);
    if (front == NULL || net_timer_create(&front->timer, stage->gateway->loop, on_timer, front, NULL) != 0 ||
        net_watch_create(&front->watch, stage->gateway->loop, fd, NET_READ, on_ready, front, NULL) != 0) {
        if (front != NULL)
            net_timer_destroy(front->timer);
        mf_free(front);
        close(fd);
        stage_lose_connection(stage);
        return;
    }
    front->door = door;
    front->stage = stage;
    front->fd = fd;
    mf_buf_init_secret(&front->in, IN_BYTES_MAX);
    mf_buf_init_secret(&front->whole, WHOLE_BODY_BYTES_MAX);
    mf_buf_init_secret(&front->out, OUT_BYTES_MAX);
    front->next = stage->fronts;
    front->link = &stage->fronts;
    if (front->next != NULL)
        front->next->link = &front->next;
    stage->fronts = front;
    front_begin_request(front);
    front_arm(front);
}
