/* receipt.c - the end of a run in a few lines: created = gone + expired + expiring + claimable + leaked */
#include "app/progress.h"

#include "json/scan.h"
#include "json/write.h"

#include <string.h>
#include <time.h>

void extra_reason(struct mf_span extra, struct mf_buf *out)
{
    extra_member(extra, "reason", out);
}

void extra_member(struct mf_span extra, const char *name, struct mf_buf *out)
{
    struct mf_buf object, reason;
    struct json_document document;
    if (extra.length == 0)
        return;
    mf_buf_init(&object, extra.length + 2);
    mf_buf_init(&reason, 4096);
    mf_buf_char(&object, '{');
    mf_buf_span(&object, extra);
    mf_buf_char(&object, '}');
    if (json_scan(&document, mf_buf_view(&object), &json_limits_default, NULL) == 0) {
        uint32_t node = json_member(&document, 0, name);
        if (node != JSON_NONE && json_text(&document, node, &reason) == 0)
            json_escape_shown(out, mf_buf_view(&reason), 400);
        json_document_free(&document);
    }
    mf_buf_free(&reason);
    mf_buf_free(&object);
}

void exit_text(const struct core_record *record, struct mf_buf *out)
{
    int64_t code = record->facts[1], signal_number = record->facts[2];
    if (signal_number != 0)
        mf_buf_printf(out, "signal %lld", (long long)signal_number);
    else
        mf_buf_printf(out, "exit %lld", (long long)code);
}

/* "12.034500": millionths, without a float. */
const char *usd_text(int64_t micro_usd, char out[32])
{
    snprintf(out, 32, "%lld.%06lld", (long long)(micro_usd / 1000000), (long long)(micro_usd % 1000000));
    return out;
}

static const char *clock_text(int64_t at_ms, char out[16])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm local;
    if (localtime_r(&seconds, &local) == NULL || strftime(out, 16, "%H:%M:%S", &local) == 0)
        snprintf(out, 16, "?");
    return out;
}

static void print_tasks(FILE *out, const struct app_receipt *receipt)
{
    uint32_t total = 0;
    for (int state = 0; state < CORE_TASK_STATE_COUNT; state++)
        total += receipt->tasks[state];
    fprintf(out, "  tasks     %u", total);
    const char *before = ": ";
    for (int state = 0; state < CORE_TASK_STATE_COUNT; state++) {
        if (receipt->tasks[state] == 0)
            continue;
        fprintf(out, "%s%u %s", before, receipt->tasks[state], core_task_state_name((enum core_task_state)state));
        before = ", ";
    }
    fputc('\n', out);
}

static void print_leaks(FILE *out, struct app *app)
{
    for (uint32_t n = 1; n <= core_account_count(app_core(app)); n++) {
        struct core_account_view view;
        char tag[96];
        if (!core_account(app_core(app), n, &view) || view.state != CORE_ACCOUNT_STATE_LEAKED)
            continue;
        app_tag(app, n, tag, sizeof tag);
        fprintf(out, "  LEAKED    %s at %s (task %s)\n", tag, app_provider_name(app, view.provider),
                app_node_path(app, view.node));
    }
}

static void print_accounts(FILE *out, const struct app_receipt *receipt, const char *colour)
{
    if (receipt->created == 0) {
        fputs("  accounts  none were created\n", out);
        return;
    }
    fprintf(out, "  accounts  %s%u created = %u gone + %u expired + %u expiring + %u claimable + %u leaked%s\n", colour,
            receipt->created, receipt->gone, receipt->expired, receipt->expiring, receipt->claimable, receipt->leaked,
            colour[0] != '\0' ? "\033[0m" : "");
}

static void print_usage(FILE *out, const struct app_receipt *receipt)
{
    char usd[32];
    for (uint32_t i = 0; i < receipt->used_count; i++) {
        const struct app_used *used = &receipt->used[i];
        fprintf(out, "  usage     %s: %llu requests, %llu input and %llu output tokens%s%s\n", used->service,
                (unsigned long long)used->requests,
                (unsigned long long)(used->input_tokens + used->cached_tokens + used->cache_write_tokens),
                (unsigned long long)used->output_tokens, used->priced ? ", $" : "",
                used->priced ? usd_text(used->micro_usd, usd) : "");
    }
}

static void print_guard(FILE *out, struct app *app, const struct app_receipt *receipt)
{
    if (receipt->violations > 0)
        fprintf(out, "  WATCHED   %u violations (`mayfly audit %s` says which)\n", receipt->violations,
                app_run_id(app));
    if (receipt->audit_count > 0)
        fprintf(out, "  audit     %llu lines, head %.16s (`mayfly audit %s --check-chain`)\n",
                (unsigned long long)receipt->audit_count, receipt->audit_head, app_run_id(app));
    if (receipt->without_sandbox > 0)
        fprintf(out, "  sandbox   %u stages ran without one: the token was the only guard\n", receipt->without_sandbox);
}

void receipt_print(FILE *out, struct app *app, const struct app_receipt *receipt, bool colour)
{
    char wall[24], until[16];
    const char *name = app_run_name(app);
    bool clean = receipt->leaked == 0 && receipt->open == 0;
    fprintf(out, "%sreceipt%s   run %s%s%s  %s\n", colour ? "\033[1m" : "", colour ? "\033[0m" : "", app_run_id(app),
            name[0] != '\0' ? "  " : "", name, mf_format_duration(receipt->wall_ms, wall));
    print_tasks(out, receipt);
    print_accounts(out, receipt, !colour ? "" : clean ? "\033[32m" : "\033[31m");
    if (receipt->expiring > 0)
        fprintf(out, "  expiring  still alive until %s, no credential left\n",
                clock_text(receipt->expiring_until_ms, until));
    if (receipt->not_enforced > 0 && receipt->created > 0)
        fprintf(out, "  note      permissions of %u accounts: not enforced (`mayfly plan` says which)\n",
                receipt->not_enforced);
    print_usage(out, receipt);
    print_guard(out, app, receipt);
    if (receipt->open > 0)
        fprintf(out, "  OPEN      %u accounts are not settled\n", receipt->open);
    print_leaks(out, app);
    if (clean && receipt->created > 0)
        fprintf(out, "  check     mayfly accounts %s\n", app_run_id(app));
    if (!clean)
        fprintf(out, "  next      mayfly teardown %s\n", app_run_id(app));
}

static void write_tasks(struct json_writer *writer, const struct app_receipt *receipt)
{
    json_key(writer, "tasks");
    json_open_object(writer);
    for (int state = 0; state < CORE_TASK_STATE_COUNT; state++)
        if (core_task_final((enum core_task_state)state) || receipt->tasks[state] > 0)
            json_member_u64(writer, core_task_state_name((enum core_task_state)state), receipt->tasks[state]);
    json_close_object(writer);
}

static void write_usage(struct json_writer *writer, const struct app_receipt *receipt)
{
    char usd[32];
    json_key(writer, "usage");
    json_open_object(writer);
    for (uint32_t i = 0; i < receipt->used_count; i++) {
        const struct app_used *used = &receipt->used[i];
        json_key(writer, used->service);
        json_open_object(writer);
        json_member_u64(writer, "requests", used->requests);
        json_member_u64(writer, "input_tokens", used->input_tokens);
        json_member_u64(writer, "output_tokens", used->output_tokens);
        json_member_u64(writer, "cached_tokens", used->cached_tokens);
        json_member_u64(writer, "cache_write_tokens", used->cache_write_tokens);
        if (used->priced) {
            json_key(writer, "usd");
            json_raw_value(writer, mf_span(usd_text(used->micro_usd, usd)));
        }
        json_close_object(writer);
    }
    json_close_object(writer);
}

static void write_guard(struct json_writer *writer, const struct app_receipt *receipt)
{
    json_key(writer, "audit");
    json_open_object(writer);
    json_member_u64(writer, "count", receipt->audit_count);
    json_member_string(writer, "head", receipt->audit_head[0] != '\0' ? receipt->audit_head : NULL);
    json_member_u64(writer, "violations", receipt->violations);
    json_close_object(writer);
    json_key(writer, "sandbox");
    json_open_object(writer);
    json_member_u64(writer, "without", receipt->without_sandbox);
    json_close_object(writer);
}

void receipt_json(struct mf_buf *out, const struct app *app, const struct app_receipt *receipt)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_object(&writer);
    json_member_string(&writer, "type", "receipt");
    json_member_i64(&writer, "at_ms", app_now(app));
    json_member_string(&writer, "run", app_run_id(app));
    write_tasks(&writer, receipt);
    json_key(&writer, "accounts");
    json_open_object(&writer);
    json_member_u64(&writer, "created", receipt->created);
    json_member_u64(&writer, "gone", receipt->gone);
    json_member_u64(&writer, "expired", receipt->expired);
    json_member_u64(&writer, "expiring", receipt->expiring);
    json_member_u64(&writer, "claimable", receipt->claimable);
    json_member_u64(&writer, "leaked", receipt->leaked);
    json_close_object(&writer);
    json_member_u64(&writer, "not_enforced", receipt->not_enforced);
    write_usage(&writer, receipt);
    write_guard(&writer, receipt);
    json_member_i64(&writer, "wall_ms", receipt->wall_ms);
    json_key(&writer, "provider");
    json_open_object(&writer);
    json_member_u64(&writer, "requests", receipt->requests);
    json_member_u64(&writer, "rate_limited", receipt->rate_limited);
    json_member_u64(&writer, "retried", receipt->retried);
    json_member_u64(&writer, "proofs", receipt->proofs);
    json_member_i64(&writer, "proof_ms", receipt->proof_ms);
    json_close_object(&writer);
    json_key(&writer, "journal");
    json_open_object(&writer);
    json_member_u64(&writer, "records", receipt->records);
    json_member_u64(&writer, "commits", receipt->commits);
    json_close_object(&writer);
    json_member_i64(&writer, "exit", receipt->exit_code);
    json_close_object(&writer);
}
