/*
 * emulator.c - a local Cloudflare in one object
 *
 * A request goes through these stations:
 *
 *   fault plan -> (held for a while) -> route -> token, account, group -> handler -> commit -> ledger -> edits -> answer
 *
 * The handler's effect is whole before anything is said about it: it is committed, then its lines go to the ledger, then the
 * answer leaves, as late and as broken as the plan wants. A request that the plan lets die before its effect never reaches
 * the route. There is one call at a time, so its memory belongs to the emulator and is used again.
 *
 * Time is the wall clock plus an offset that tests move. Accounts expire by one timer, and also before every request, so that
 * no request is ever served with a token that is already dead.
 */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/fault_edit.h"
#include "emulator/handlers.h"
#include "emulator/serve.h"
#include "http1/path.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- expiry --- */

static void write_ledger(struct emulator *emulator, const struct emu_ledger_line *line)
{
    if (emu_ledger_write(emulator->ledger, line) < 0)
        fprintf(stderr, "mayfly emulate: the ledger could not be written\n");
}

static void expire_one(struct emulator *emulator, struct emu_account *account, int64_t now_ms)
{
    bool temporary = account->type == EMU_ACCOUNT_TEMPORARY;
    struct emu_ledger_line line = {
        .at_ms = now_ms, .op = temporary ? EMU_LEDGER_EXPIRE : EMU_LEDGER_DELETE, .kind = "account", .id = account->id, .account = account->id, .status = 200};
    write_ledger(emulator, &line);
    emu_account_delete(emulator->state, account);
}

void emu_expire(struct emulator *emulator, int64_t now_ms)
{
    struct emu_account *account;
    while ((account = emu_account_due(emulator->state, now_ms)) != NULL)
        expire_one(emulator, account, now_ms);
}

void emu_arm_expiry(struct emulator *emulator)
{
    int64_t next_ms = emu_next_expiry(emulator->state);
    int64_t wait_ms = next_ms - emu_now(emulator->state);
    if (next_ms == emulator->armed_ms)
        return;
    emulator->armed_ms = next_ms;
    net_timer_set(emulator->expiry, next_ms == MF_NEVER ? MF_NEVER : net_now_ms() + (wait_ms < 0 ? 0 : wait_ms));
}

void emu_expiry_fired(void *context)
{
    struct emulator *emulator = context;
    emu_expire(emulator, emu_now(emulator->state));
    (void)emu_persist_commit(emulator->persist);
    emulator->armed_ms = 0; /* it has fired, or time has moved */
    emu_arm_expiry(emulator);
}

void emulator_advance_clock(struct emulator *emulator, int64_t by_ms)
{
    emulator->state->clock_offset_ms += by_ms;
    emu_expiry_fired(emulator);
}

/* --- one call --- */

void emu_call_begin(struct emulator *emulator, const struct net_server_request *request)
{
    struct emu_call *call = &emulator->call;
    struct mf_buf out = call->out, padding = call->padding;
    memset(call, 0, offsetof(struct emu_call, text));
    call->out = out;
    call->padding = padding;
    mf_buf_clear(&call->out);
    call->text_used = 0;
    call->emulator = emulator;
    call->state = emulator->state;
    call->request = request;
    call->now_ms = emu_now(emulator->state);
    call->content_type = "application/json";
}

void emu_call_end(struct emu_call *call)
{
    json_document_free(&call->body);
    mf_buf_free(&call->padding);
    mf_buf_init(&call->padding, EMU_ANSWER_BYTES_MAX);
    if (call->out.capacity > 65536) {
        mf_buf_free(&call->out);
        mf_buf_init_secret(&call->out, EMU_ANSWER_BYTES_MAX);
    }
}

static int decode_parameters(struct emu_call *call, const struct emu_match *match)
{
    for (uint32_t each = 0; each < match->parameter_count; each++) {
        struct mf_span encoded = match->parameters[each];
        char *room = emu_room(call, encoded.length);
        size_t length;
        if (room == NULL || http1_percent_decode(encoded, false, room, encoded.length + 1, &length) < 0 || memchr(room, '\0', length) != NULL)
            return -1;
        call->parameters[each] = (struct mf_span){room, length};
    }
    return 0;
}

static void fail_route(struct emu_call *call, bool other_method)
{
    struct mf_span path = call->request->path, method = call->request->method;
    if (other_method)
        emu_fail_text(call, EMU_ERROR_METHOD, "%.*s method not allowed for the api_token authentication scheme", MF_SPAN_ARGS(method));
    else
        emu_fail_text(call, EMU_ERROR_BAD_ROUTE, "Could not route to %.*s, perhaps your object identifier is invalid?", (int)(path.length > 256 ? 256 : path.length), path.data);
}

static struct mf_span api_path(struct mf_span path)
{
    size_t base = strlen(EMULATOR_BASE_PATH);
    if (!mf_span_starts(path, EMULATOR_BASE_PATH "/"))
        return (struct mf_span){"", 0};
    return (struct mf_span){path.data + base, path.length - base};
}

static void answer(struct emu_call *call)
{
    struct emu_match match;
    if (emu_binding(call))
        return;
    struct mf_span path = api_path(call->request->path);
    if (path.length == 0 && mf_span_is(call->request->path, "/claim-preview")) {
        emu_claim_page(call);
        return;
    }
    if (path.length == 0 && emu_d1_file(call))
        return;
    emu_router_match(call->emulator->router, call->request->method, path, &match);
    call->route = match.route;
    if (match.route == NULL || decode_parameters(call, &match) < 0)
        fail_route(call, match.other_method);
    else if (emu_authorise(call) == 0)
        match.route->handler(call);
}

static const char *date_header(struct emulator *emulator, int64_t now_ms)
{
    time_t second = (time_t)(now_ms / 1000);
    struct tm parts;
    if (emulator->date_second != (int64_t)second) {
        gmtime_r(&second, &parts);
        strftime(emulator->date, sizeof(emulator->date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
        emulator->date_second = (int64_t)second;
    }
    return emulator->date;
}

void emu_add_headers(struct emu_call *call)
{
    char ray[32];
    emu_answer_header(call, "date", date_header(call->emulator, call->now_ms));
    snprintf(ray, sizeof(ray), "%016llx-EMU", (unsigned long long)++call->emulator->request_count);
    emu_answer_header(call, "cf-ray", ray);
}

/* What the client saw: nothing of an answer that was cut off before its status line was whole. */
static int seen_status(const struct emu_call *call, const struct emu_rule *end)
{
    if (end == NULL || end->action == EMU_ACTION_STATUS || end->action == EMU_ACTION_REDIRECT || end->action == EMU_ACTION_DRIP ||
        end->action == EMU_ACTION_TRUNCATE || end->action == EMU_ACTION_STALL)
        return call->status;
    return 0;
}

static void record_use(struct emu_call *call, const struct emu_rule *end)
{
    if (call->token_id[0] == '\0')
        return;
    struct emu_ledger_line line = {.at_ms = call->now_ms, .op = EMU_LEDGER_USE, .kind = "token", .id = call->token_id, .status = seen_status(call, end)};
    line.account = call->token_account[0] == '\0' ? NULL : call->token_account;
    write_ledger(call->emulator, &line);
}

static void carry_out(struct emu_call *call, const struct emu_plan *plan)
{
    call->second_id = plan->second_id;
    call->pending_ms = plan->pending_ms;
    if (emu_rule_has_effect(plan->end)) {
        answer(call);
        if (emu_persist_commit(call->emulator->persist) < 0)
            emu_fail(call, EMU_ERROR_NO_MEMORY);
    } else if (plan->end->action != EMU_ACTION_LOST_BEFORE && plan->end->action != EMU_ACTION_RESET) {
        (void)emu_bearer(call); /* a status without effect: the ledger still says who got it */
    }
    if (plan->end != NULL && (plan->end->action == EMU_ACTION_STATUS || plan->end->action == EMU_ACTION_REDIRECT))
        emu_fault_replace(call, plan->end);
    else
        emu_add_headers(call);
}

static void serve(struct emulator *emulator, struct net_exchange *exchange, const struct net_server_request *request, const struct emu_plan *plan)
{
    struct emu_call *call = &emulator->call;
    emu_call_begin(emulator, request);
    emu_expire(emulator, call->now_ms);
    carry_out(call, plan);
    record_use(call, plan->end);
    emu_fault_edit(call, plan);
    if (call->out.failed)
        emu_fail(call, EMU_ERROR_NO_MEMORY);
    emu_deliver(emulator->deliveries, exchange, call, plan->end, plan->after_ms);
    emu_call_end(call);
    emu_arm_expiry(emulator);
}

void emu_handle(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    struct emulator *emulator = context;
    struct emu_plan plan = {0};
    struct mf_span path = api_path(request->path);
    if (path.length == 0 && emu_serve(emulator, exchange, request))
        return;
    if (emulator->faults->count > 0)
        emu_faults_plan(emulator->faults, request->method, path.length > 0 ? path : request->path, &plan);
    if (plan.before_ms > 0)
        emu_hold(emulator->deliveries, exchange, request, plan.before_ms);
    else
        serve(emulator, exchange, request, &plan);
}

/* A request that was held has had its fault. */
void emu_resume_held(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    const struct emu_plan plan = {0};
    serve(context, exchange, request, &plan);
}

void emu_record(struct emu_call *call, enum emu_ledger_op op, const char *kind, const char *id, const char *account)
{
    struct emu_ledger_line line = {.at_ms = call->now_ms, .op = op, .kind = kind, .id = id, .account = account, .status = 200};
    write_ledger(call->emulator, &line);
}

void emu_record_object(struct emu_call *call, enum emu_ledger_op op, const struct emu_object *object)
{
    if (emu_kind_logged(object->kind))
        emu_record(call, op, emu_kind_name(object->kind), emu_object_id(object), object->account->id);
}

void emu_remove(struct emu_call *call, struct emu_object *object)
{
    emu_record_object(call, EMU_LEDGER_DELETE, object);
    emu_object_delete(call->state, object);
}

int emulator_set_faults(struct emulator *emulator, struct mf_span script, struct mf_error *error)
{
    struct emu_faults *faults;
    if (emu_faults_parse(&faults, script, error) < 0)
        return -1;
    emu_faults_free(emulator->faults);
    emulator->faults = faults;
    emulator->state->list_lag_ms = faults->list_lag_ms > 0 ? faults->list_lag_ms : emulator->options.list_lag_ms;
    return 0;
}
