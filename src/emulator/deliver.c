/* deliver.c - answers at once, late, broken, or never */
#include "emulator/deliver.h"

#include "base/alloc.h"
#include "base/heap.h"

#include <string.h>

/* One that waits: a copy of an answer, or a request that is held back. */
struct waiting {
    struct emu_deliveries *deliveries;
    struct net_exchange *exchange;
    uint32_t slot;
    bool held, never;
    struct net_server_request request; /* held: its spans live as long as the exchange */
    /* an answer */
    enum emu_action end;
    bool has_end;
    uint64_t drip_bytes;
    int64_t drip_ms;
    int status;
    uint32_t header_count;
    struct net_header headers[EMU_ANSWER_HEADERS_MAX + 1];
    struct mf_buf text; /* of the headers */
    struct mf_buf body;
};

struct emu_deliveries {
    struct net_timer *timer;
    emu_resume *resume;
    void *context;
    struct mf_heap heap;
    struct waiting **slots; /* owned array: slot -> who waits, or NULL */
    size_t capacity;
    uint32_t slot_count;
    uint32_t *free_slots;
    size_t free_count, free_capacity;
};

static void rearm(struct emu_deliveries *deliveries)
{
    uint32_t slot;
    int64_t at_ms;
    net_timer_set(deliveries->timer, mf_heap_peek(&deliveries->heap, &slot, &at_ms) ? at_ms : MF_NEVER);
}

/* --- one who waits --- */

static int take_slot(struct emu_deliveries *deliveries, struct waiting *waiting)
{
    if (deliveries->free_count > 0) {
        waiting->slot = deliveries->free_slots[--deliveries->free_count];
    } else {
        uint32_t needed = deliveries->slot_count + 1;
        if (needed > EMU_WAITING_MAX ||
            mf_grow((void **)&deliveries->slots, &deliveries->capacity, needed, sizeof(struct waiting *), 16) < 0 ||
            mf_grow((void **)&deliveries->free_slots, &deliveries->free_capacity, needed, sizeof(uint32_t), 16) < 0 ||
            mf_heap_reserve(&deliveries->heap, (uint32_t)deliveries->capacity) < 0)
            return -1;
        waiting->slot = deliveries->slot_count++;
    }
    deliveries->slots[waiting->slot] = waiting;
    return 0;
}

static void free_waiting(struct waiting *waiting)
{
    if (waiting == NULL)
        return;
    mf_buf_free(&waiting->text);
    mf_buf_free(&waiting->body);
    mf_free(waiting);
}

static void leave(struct waiting *waiting)
{
    struct emu_deliveries *deliveries = waiting->deliveries;
    mf_heap_remove(&deliveries->heap, waiting->slot);
    deliveries->slots[waiting->slot] = NULL;
    deliveries->free_slots[deliveries->free_count++] = waiting->slot;
}

static void dropped(void *context)
{
    struct waiting *waiting = context;
    leave(waiting);
    free_waiting(waiting);
}

static void not_interested(void *context)
{
    (void)context;
}

static struct waiting *enqueue(struct emu_deliveries *deliveries, struct net_exchange *exchange, int64_t at_ms)
{
    struct waiting *waiting = mf_calloc(1, sizeof(*waiting));
    if (waiting == NULL || take_slot(deliveries, waiting) < 0) {
        mf_free(waiting);
        return NULL;
    }
    waiting->deliveries = deliveries;
    waiting->exchange = exchange;
    mf_buf_init_secret(&waiting->text, 2 * EMU_TEXT_BYTES + (64u << 20));
    mf_buf_init_secret(&waiting->body, EMU_ANSWER_BYTES_MAX);
    server_exchange_on_drop(exchange, dropped, waiting);
    if (at_ms != MF_NEVER)
        mf_heap_set(&deliveries->heap, waiting->slot, at_ms);
    rearm(deliveries);
    return waiting;
}

/* --- sending --- */

/* One more than the way the server breaks the connection; 0: it does not. */
static const uint8_t aborts[] = {
    [EMU_ACTION_LOST_BEFORE] = 1 + SERVER_ABORT_CLOSE,           [EMU_ACTION_LOST_AFTER] = 1 + SERVER_ABORT_CLOSE,
    [EMU_ACTION_RESET] = 1 + SERVER_ABORT_RESET,                 [EMU_ACTION_RESET_AFTER] = 1 + SERVER_ABORT_RESET,
    [EMU_ACTION_TRUNCATE] = 1 + SERVER_ABORT_TRUNCATE,           [EMU_ACTION_TRUNCATE_HEAD] = 1 + SERVER_ABORT_HEAD,
    [EMU_ACTION_STALL] = 1 + SERVER_ABORT_STALL,                 [EMU_ACTION_GARBAGE] = 1 + SERVER_ABORT_GARBAGE,
    [EMU_ACTION_ENDLESS_BODY] = 1 + SERVER_ABORT_ENDLESS_BODY,   [EMU_ACTION_ENDLESS_HEADERS] = 1 + SERVER_ABORT_ENDLESS_HEADERS,
    [EMU_ACTION_GZIP_BOMB] = 0, /* the last action: the table has a row for each */
};

static void send_answer(const struct waiting *answer)
{
    struct mf_span body = mf_buf_view(&answer->body);
    uint8_t how = answer->has_end ? aborts[answer->end] : 0;
    if (how > 0)
        server_abort(answer->exchange, (enum server_abort)(how - 1), answer->status, answer->headers, answer->header_count, body);
    else if (answer->has_end && answer->end == EMU_ACTION_DRIP)
        server_reply_drip(answer->exchange, answer->status, answer->headers, answer->header_count, body, (uint32_t)answer->drip_bytes, answer->drip_ms);
    else
        server_reply(answer->exchange, answer->status, answer->headers, answer->header_count, body);
}

static void fill_answer(struct waiting *answer, const struct emu_call *call, const struct emu_rule *end)
{
    answer->status = call->status;
    answer->has_end = end != NULL;
    if (end != NULL) {
        answer->end = end->action;
        answer->drip_bytes = end->bytes;
        answer->drip_ms = end->every_ms;
    }
    answer->headers[answer->header_count++] = (struct net_header){MF_SPAN("content-type"), mf_span(call->content_type)};
    for (uint32_t each = 0; each < call->header_count; each++)
        answer->headers[answer->header_count++] = call->headers[each];
}

/* The headers of the call live only as long as the call: put their text into a buffer that does not move any more. */
static void keep_headers(struct waiting *answer)
{
    size_t bytes = 0;
    for (uint32_t each = 0; each < answer->header_count; each++)
        bytes += answer->headers[each].name.length + answer->headers[each].value.length;
    if (mf_buf_reserve(&answer->text, bytes) < 0) {
        answer->header_count = 0;
        return;
    }
    for (uint32_t each = 0; each < answer->header_count; each++) {
        struct mf_span *parts[] = {&answer->headers[each].name, &answer->headers[each].value};
        for (unsigned part = 0; part < 2; part++) {
            char *at = answer->text.data + answer->text.length;
            mf_buf_span(&answer->text, *parts[part]);
            parts[part]->data = at;
        }
    }
}

void emu_deliver(struct emu_deliveries *deliveries, struct net_exchange *exchange, const struct emu_call *call, const struct emu_rule *end, int64_t delay_ms)
{
    bool never = end != NULL && end->action == EMU_ACTION_HANG;
    if (delay_ms > 0 || never) {
        struct waiting *late = enqueue(deliveries, exchange, never ? MF_NEVER : net_now_ms() + delay_ms);
        if (late != NULL) {
            fill_answer(late, call, end);
            keep_headers(late);
            mf_buf_span(&late->body, mf_buf_view(&call->out));
            return;
        }
    }
    struct waiting now = {.exchange = exchange, .body = call->out};
    fill_answer(&now, call, end);
    send_answer(&now);
}

void emu_hold(struct emu_deliveries *deliveries, struct net_exchange *exchange, const struct net_server_request *request, int64_t delay_ms)
{
    struct waiting *held = enqueue(deliveries, exchange, net_now_ms() + delay_ms);
    if (held == NULL) {
        server_abort(exchange, SERVER_ABORT_CLOSE, 500, NULL, 0, MF_SPAN(""));
        return;
    }
    held->held = true;
    held->request = *request;
}

static void finish(struct waiting *waiting)
{
    struct emu_deliveries *deliveries = waiting->deliveries;
    leave(waiting);
    server_exchange_on_drop(waiting->exchange, not_interested, NULL);
    if (waiting->held)
        deliveries->resume(deliveries->context, waiting->exchange, &waiting->request);
    else
        send_answer(waiting);
    free_waiting(waiting);
}

static void fired(void *context)
{
    struct emu_deliveries *deliveries = context;
    int64_t now_ms = net_now_ms(), at_ms;
    uint32_t slot;
    while (mf_heap_peek(&deliveries->heap, &slot, &at_ms) && at_ms <= now_ms)
        finish(deliveries->slots[slot]);
    rearm(deliveries);
}

int emu_deliveries_create(struct emu_deliveries **out, struct net_loop *loop, emu_resume *resume, void *context, struct mf_error *error)
{
    struct emu_deliveries *deliveries = mf_calloc(1, sizeof(*deliveries));
    if (deliveries == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    deliveries->resume = resume;
    deliveries->context = context;
    mf_heap_init(&deliveries->heap);
    if (net_timer_create(&deliveries->timer, loop, fired, deliveries, error) < 0) {
        emu_deliveries_destroy(deliveries);
        return -1;
    }
    *out = deliveries;
    return 0;
}

void emu_deliveries_destroy(struct emu_deliveries *deliveries)
{
    if (deliveries == NULL)
        return;
    for (uint32_t slot = 0; slot < deliveries->slot_count; slot++)
        free_waiting(deliveries->slots[slot]);
    net_timer_destroy(deliveries->timer);
    mf_heap_free(&deliveries->heap);
    mf_free(deliveries->slots);
    mf_free(deliveries->free_slots);
    mf_free(deliveries);
}
