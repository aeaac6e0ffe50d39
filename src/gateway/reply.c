/* reply.c - one connection of an API door: from answers to bytes */
#include "gateway/proxy.h"

#include "http1/write.h"

#include <errno.h>
#include <sys/socket.h>

#define REFUSAL_BYTES_MAX 16384u

size_t front_unsent(const struct front *front)
{
    return front->out.length - front->out_at;
}

bool front_flush(struct front *front)
{
    while (front_unsent(front) > 0) {
        ssize_t sent =
            send(front->fd, front->out.data + front->out_at, front_unsent(front), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            front->flush_wanted = true;
            front_arm(front);
            return true;
        }
        if (sent < 0) {
            front_close(front);
            return false;
        }
        front->out_at += (size_t)sent;
    }
    mf_buf_clear(&front->out);
    front->out_at = 0;
    front->flush_wanted = false;
    if (front->phase == FRONT_EXCHANGE)
        exchange_resume(front->exchange); /* the upstream may have waited for this */
    front_arm(front);
    return true;
}

void front_flush_soon(struct front *front)
{
    front->flush_wanted = true;
    front_arm(front);
}

static void write_refusal(struct front *front, const struct policy *policy, int status, const char *message,
                          const char *extra)
{
    struct mf_buf *out = &front->out, body;
    const char *type;
    mf_buf_init(&body, REFUSAL_BYTES_MAX);
    if (policy_refusal(policy, status, message, &body, &type) != 0) {
        mf_buf_clear(&body);
        type = "text/plain";
    }
    http1_write_status(out, status);
    http1_write_header(out, MF_SPAN("content-type"), mf_span(type));
    http1_write_header(out, MF_SPAN("cache-control"), MF_SPAN("no-store"));
    http1_write_header(out, MF_SPAN("connection"), MF_SPAN("close"));
    if (extra != NULL)
        mf_buf_text(out, extra);
    http1_write_length(out, body.length);
    http1_write_end(out);
    if (!front->head_only)
        mf_buf_span(out, mf_buf_view(&body));
    mf_buf_free(&body);
}

void front_refuse(struct front *front, const struct policy *policy, int status, const char *message, const char *extra)
{
    if (front->phase == FRONT_CLOSED)
        return;
    if (front->out_at > 0) { /* half of something is on its way: nothing can be said any more */
        front_close(front);
        return;
    }
    mf_buf_clear(&front->out);
    write_refusal(front, policy, status, message, extra);
    front->close_after = true;
    front->phase = FRONT_REPLY;
    front->flush_wanted = true;
    if (front->out.failed)
        front_close(front);
    else
        front_advance(front);
}

void front_end_answer(struct front *front)
{
    front->phase = FRONT_REPLY;
    front->flush_wanted = true;
    front_advance(front);
}

void front_break_answer(struct front *front)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(front->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    front_close(front);
}
