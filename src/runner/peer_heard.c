/* peer_heard.c - what the runner says, as callbacks of the orchestrator; a message that cannot be read ends the runner */
#include "runner/peer_private.h"

#include "gateway/audit.h"
#include "runner/message.h"

#include <string.h>

/* --- what happened --- */

static int take_two(const struct frame *frame, char *first, size_t first_bytes, char *second, size_t second_bytes)
{
    struct frame_reader reader;
    frame_read(&reader, frame->payload);
    frame_take_text(&reader, first, first_bytes);
    if (second != NULL)
        frame_take_text(&reader, second, second_bytes);
    return frame_read_end(&reader) ? 0 : -1;
}

static int on_hello(struct runner_peer *peer, const struct frame *frame)
{
    struct message_hello hello;
    struct message_memory memory;
    if (peer->greeted || message_take_hello(frame->payload, &hello, &memory) != 0)
        return -1;
    message_memory_free(&memory);
    if (hello.version != FRAME_VERSION)
        return -1;
    peer->greeted = true;
    if (peer->handlers.up != NULL)
        peer->handlers.up(peer->context, hello.pid, hello.birth);
    return 0;
}

static int on_prepared(struct runner_peer *peer, const struct frame *frame)
{
    char commit[80];
    if (take_two(frame, commit, sizeof commit, NULL, 0) != 0)
        return -1;
    peer->handlers.prepared(peer->context, frame->stage, commit[0] != '\0' ? commit : NULL);
    return 0;
}

static int on_failed(struct runner_peer *peer, const struct frame *frame)
{
    char class_name[24], reason[2048];
    if (take_two(frame, class_name, sizeof class_name, reason, sizeof reason) != 0)
        return -1;
    if (frame->type == FRAME_PREPARE_FAILED)
        peer->handlers.prepare_failed(peer->context, frame->stage, class_name, reason);
    else
        peer->handlers.spawn_failed(peer->context, frame->stage, class_name, reason);
    return 0;
}

static int on_started(struct runner_peer *peer, const struct frame *frame)
{
    struct frame_reader reader;
    frame_read(&reader, frame->payload);
    int64_t pid = frame_take_i64(&reader);
    int64_t birth = frame_take_i64(&reader);
    if (!frame_read_end(&reader))
        return -1;
    peer->handlers.started(peer->context, frame->stage, pid, birth);
    return 0;
}

static int on_exited(struct runner_peer *peer, const struct frame *frame)
{
    struct message_exited message;
    struct message_memory memory;
    if (message_take_exited(frame->payload, &message, &memory) != 0)
        return -1;
    message_memory_free(&memory);
    struct runner_exit exited = {
        .stage = frame->stage,
        .code = (int32_t)message.code,
        .signal = (int32_t)message.signal,
        .ended_ms = message.ended_ms,
        .user_ms = message.user_ms,
        .system_ms = message.system_ms,
        .rss_bytes_max = message.rss_bytes_max,
    };
    peer->handlers.exited(peer->context, &exited);
    return 0;
}

static int on_result(struct runner_peer *peer, const struct frame *frame)
{
    struct message_result message;
    struct message_memory memory;
    char class_name[24], reason[2048], sha256[65];
    if (message_take_result(frame->payload, &message, &memory) != 0)
        return -1;
    message_memory_free(&memory);
    if (mf_span_copy(message.class_name, class_name, sizeof class_name) != 0 ||
        mf_span_copy(message.reason, reason, sizeof reason) != 0 ||
        mf_span_copy(message.sha256, sha256, sizeof sha256) != 0)
        return -1;
    struct runner_result result = {
        .stage = frame->stage,
        .valid = message.valid,
        .class_name = message.valid ? NULL : class_name,
        .reason = message.valid ? NULL : reason,
        .sha256 = sha256[0] != '\0' ? sha256 : NULL,
        .result_bytes = message.result_bytes,
        .output_files = message.output_files,
        .output_bytes = message.output_bytes,
        .stdout_bytes = message.stdout_bytes,
        .stderr_bytes = message.stderr_bytes,
    };
    peer->handlers.result(peer->context, &result);
    return 0;
}

static int on_anomaly(struct runner_peer *peer, const struct frame *frame)
{
    struct message_anomaly message;
    struct message_memory memory;
    char kind[64], detail[4096];
    if (message_take_anomaly(frame->payload, &message, &memory) != 0)
        return -1;
    message_memory_free(&memory);
    if (mf_span_copy(message.kind, kind, sizeof kind) != 0 || mf_span_copy(message.detail, detail, sizeof detail) != 0)
        return -1;
    struct runner_anomaly anomaly = {
        .stage = frame->stage, .lease = frame->lease, .kind = kind, .violation = message.violation, .detail = detail};
    if (peer->handlers.anomaly != NULL)
        peer->handlers.anomaly(peer->context, &anomaly);
    return 0;
}

static int on_usage(struct runner_peer *peer, const struct frame *frame)
{
    struct message_usage message;
    struct message_memory memory;
    char service[128];
    if (message_take_usage(frame->payload, &message, &memory) != 0)
        return -1;
    message_memory_free(&memory);
    if (mf_span_copy(message.service, service, sizeof service) != 0)
        return -1;
    struct runner_usage usage = {
        .stage = frame->stage,
        .service = service,
        .requests = message.requests,
        .input_tokens = message.input_tokens,
        .output_tokens = message.output_tokens,
        .cached_tokens = message.cached_tokens,
        .cache_write_tokens = message.cache_write_tokens,
        .micro_usd = message.micro_usd,
    };
    if (peer->handlers.usage != NULL)
        peer->handlers.usage(peer->context, &usage);
    return 0;
}

static int on_budget(struct runner_peer *peer, const struct frame *frame)
{
    char which[128];
    if (take_two(frame, which, sizeof which, NULL, 0) != 0)
        return -1;
    if (peer->handlers.budget != NULL)
        peer->handlers.budget(peer->context, frame->stage, which);
    return 0;
}

static int on_service_refused(struct runner_peer *peer, const struct frame *frame)
{
    struct frame_reader reader;
    frame_read(&reader, frame->payload);
    uint64_t service = frame_take_u64(&reader);
    if (!frame_read_end(&reader))
        return -1;
    if (peer->handlers.service_refused != NULL)
        peer->handlers.service_refused(peer->context, service);
    return 0;
}

static int on_audit_head(struct runner_peer *peer, const struct frame *frame)
{
    struct frame_reader reader;
    char head[AUDIT_HASH_HEX];
    frame_read(&reader, frame->payload);
    uint64_t count = frame_take_u64(&reader);
    frame_take_text(&reader, head, sizeof head);
    if (!frame_read_end(&reader) || strlen(head) != sizeof head - 1)
        return -1;
    if (peer->handlers.audit_head != NULL)
        peer->handlers.audit_head(peer->context, count, head);
    return 0;
}

/* What the gateway saw. */
static int on_gateway_frame(struct runner_peer *peer, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_ANOMALY:
        return on_anomaly(peer, frame);
    case FRAME_ACCOUNT_DEAD:
        if (peer->handlers.account_dead != NULL)
            peer->handlers.account_dead(peer->context, frame->lease);
        return 0;
    case FRAME_SERVICE_REFUSED:
        return on_service_refused(peer, frame);
    case FRAME_BUDGET:
        return on_budget(peer, frame);
    case FRAME_USAGE:
        return on_usage(peer, frame);
    case FRAME_AUDIT_HEAD:
        return on_audit_head(peer, frame);
    default:
        return -1;
    }
}

int peer_on_frame(void *context, const struct frame *frame, const int *descriptors)
{
    struct runner_peer *peer = context;
    (void)descriptors;
    if (!peer->greeted && frame->type != FRAME_HELLO)
        return -1;
    switch (frame->type) {
    case FRAME_HELLO:
        return on_hello(peer, frame);
    case FRAME_PREPARED:
        return on_prepared(peer, frame);
    case FRAME_PREPARE_FAILED:
    case FRAME_SPAWN_FAILED:
        return on_failed(peer, frame);
    case FRAME_STARTED:
        return on_started(peer, frame);
    case FRAME_EXITED:
        return on_exited(peer, frame);
    case FRAME_RESULT:
        return on_result(peer, frame);
    case FRAME_DROPPED:
        peer->handlers.dropped(peer->context, frame->lease);
        return 0;
    default:
        return on_gateway_frame(peer, frame);
    }
}
