/*
 * admin.c - the admin socket: what tests and the orchestrator ask the emulator about itself
 *
 * A unix socket of mode 0600, apart from the API, so no agent and no client of the API can reach it.
 */
#include "emulator/emulator_private.h"

#include <stdio.h>
#include <string.h>

enum { LEDGER_BYTES_MAX = 64 << 20, CLOCK_STEP_MS_MAX = 2000000000 };

static void answer_instance(struct emu_call *call)
{
    const struct emulator *emulator = call->emulator;
    json_open_object(&call->writer);
    json_member_string(&call->writer, "instance", emulator->instance);
    json_member_string(&call->writer, "url", emulator->url);
    json_member_i64(&call->writer, "now_ms", call->now_ms);
    json_close_object(&call->writer);
}

static void write_state_account(struct json_writer *writer, const struct emu_account *account)
{
    json_open_object(writer);
    json_member_string(writer, "id", account->id);
    json_member_string(writer, "name", account->name);
    json_member_string(writer, "type", emu_account_type_name(account->type));
    emu_member_time(writer, "expires", account->expires_ms);
    json_member_u64(writer, "tokens", account->token_count);
    for (const struct emu_collection *each = account->collections; each != NULL; each = each->next)
        if (each->count > 0)
            json_member_u64(writer, emu_kind_name(each->kind), each->count);
    json_close_object(writer);
}

static void answer_state(struct emu_call *call)
{
    const struct emu_state *state = call->state;
    json_open_object(&call->writer);
    json_member_i64(&call->writer, "now_ms", call->now_ms);
    json_member_u64(&call->writer, "requests", call->emulator->request_count);
    json_member_u64(&call->writer, "objects", state->object_count);
    json_member_u64(&call->writer, "bytes", state->bytes);
    json_member_u64(&call->writer, "account_count", state->account_count);
    json_key(&call->writer, "accounts");
    json_open_array(&call->writer);
    for (size_t each = 0; each < state->account_count; each++)
        write_state_account(&call->writer, state->accounts[each]);
    json_close_array(&call->writer);
    json_close_object(&call->writer);
}

static void answer_ledger(struct emu_call *call)
{
    emu_raw(call, 200, "application/x-ndjson", (struct mf_span){"", 0});
    if (emu_ledger_tail(call->emulator->ledger, LEDGER_BYTES_MAX, &call->out) < 0)
        emu_raw(call, 500, "text/plain", MF_SPAN("the ledger could not be read\n"));
}

static void answer_faults(struct emu_call *call)
{
    json_open_object(&call->writer);
    json_key(&call->writer, "rules");
    emu_faults_write(call->emulator->faults, &call->writer);
    json_close_object(&call->writer);
}

static void refuse(struct emu_call *call, const char *text)
{
    emu_raw(call, 400, "text/plain", mf_span(text));
    mf_buf_char(&call->out, '\n');
}

static void replace_faults(struct emu_call *call)
{
    struct mf_error error;
    if (emulator_set_faults(call->emulator, call->request->body, &error) < 0)
        refuse(call, error.text);
    else
        answer_faults(call);
}

/* {"advance": "60m"} */
static void move_clock(struct emu_call *call)
{
    struct mf_span text;
    int64_t by_ms;
    struct json_failure failure;
    if (json_scan(&call->body, call->request->body, &json_limits_default, &failure) < 0 ||
        json_plain(&call->body, json_member(&call->body, 0, "advance"), &text) < 0 || mf_parse_duration_ms(text, &by_ms) < 0 || by_ms > CLOCK_STEP_MS_MAX) {
        refuse(call, "body must be {\"advance\": DURATION}");
        return;
    }
    emulator_advance_clock(call->emulator, by_ms);
    call->now_ms = emu_now(call->state);
    answer_instance(call);
}

static const struct {
    const char *method, *path;
    void (*answer)(struct emu_call *call);
} rows[] = {
    {"GET", "/__mayfly/instance", answer_instance}, {"GET", "/__mayfly/state", answer_state},
    {"GET", "/__mayfly/ledger", answer_ledger},     {"GET", "/__mayfly/faults", answer_faults},
    {"POST", "/__mayfly/faults", replace_faults},   {"POST", "/__mayfly/clock", move_clock},
};

static void answer(struct emu_call *call)
{
    for (size_t each = 0; each < sizeof(rows) / sizeof(rows[0]); each++)
        if (mf_span_is(call->request->method, rows[each].method) && mf_span_is(call->request->path, rows[each].path)) {
            rows[each].answer(call);
            return;
        }
    emu_raw(call, 404, "text/plain", MF_SPAN("instance, state, ledger, faults, clock\n"));
}

void emu_admin_handle(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    struct emulator *emulator = context;
    struct emu_call *call = &emulator->call;
    emu_call_begin(emulator, request);
    call->status = 200;
    json_begin(&call->writer, &call->out);
    answer(call);
    struct net_header header = {MF_SPAN("content-type"), mf_span(call->content_type)};
    server_reply(exchange, call->status, &header, 1, mf_buf_view(&call->out));
    emu_call_end(call);
}
