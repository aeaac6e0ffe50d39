/* sweep.c - mayfly teardown --sweep: one line for each account that bears the owner's tag, then the receipt */
#include "cmd/sweep.h"

#include "app/sweep.h"
#include "cmd/table.h"
#include "json/write.h"

#include <stdio.h>
#include <time.h>

static const char *word_of(const struct sweep_item *item)
{
    switch (item->left) {
    case SWEEP_RUN_GOES_ON:
        return "running";
    case SWEEP_TOO_YOUNG:
        return "young";
    case SWEEP_TAKEN:
        break;
    }
    return item->state == CORE_ACCOUNT_STATE_RELEASED ? "listed" : core_account_state_name(item->state);
}

static void tag_of(const struct sweep_item *item, char out[TAG_BYTES])
{
    tag_format(item->tag.owner, item->tag.run, item->tag.n, out);
}

/* "made 3m20s ago", what to do about it, why it did not work. */
static void story_of(const struct sweep_item *item, int64_t now_ms, struct mf_buf *out)
{
    char age[24];
    if (item->created_ms > 0)
        mf_buf_printf(out, "made %s ago",
                      mf_format_duration(now_ms > item->created_ms ? now_ms - item->created_ms : 0, age));
    const char *between = out->length > 0 ? "; " : "";
    if (item->left == SWEEP_RUN_GOES_ON)
        mf_buf_printf(out, "%sits run is going on: mayfly cancel %s", between, item->tag.run);
    else if (item->state == CORE_ACCOUNT_STATE_LEAKED && item->reason[0] != '\0')
        mf_buf_printf(out, "%s%s", between, item->reason);
}

static void print_items(const struct sweep_result *result, int64_t now_ms)
{
    bool colour = table_colour(stdout);
    for (size_t i = 0; i < result->count; i++) {
        const struct sweep_item *item = &result->items[i];
        char tag[TAG_BYTES];
        struct mf_buf story, shown;
        mf_buf_init(&story, 1024);
        mf_buf_init(&shown, 4096);
        tag_of(item, tag);
        story_of(item, now_ms, &story);
        json_escape_shown(&shown, mf_buf_view(&story), 400);
        printf("%s%-8s%s  %-44s  %s\n", colour ? table_colour_of(word_of(item)) : "", word_of(item),
               colour ? "\033[0m" : "", tag, mf_buf_cstr(&shown));
        mf_buf_free(&story);
        mf_buf_free(&shown);
    }
}

static void print_receipt(const struct sweep_result *result, const struct sweep_options *options)
{
    char wall[24];
    printf("receipt   sweep of %s, owner %s  %s\n", options->provider, result->owner,
           mf_format_duration(result->wall_ms, wall));
    if (options->dry_run) {
        printf("  accounts  %zu found, %u of them left alone; nothing was deleted\n", result->count, result->left);
        return;
    }
    printf("  accounts  %zu found = %u gone + %u expired + %u expiring + %u leaked + %u left alone\n", result->count,
           result->gone, result->expired, result->expiring, result->leaked, result->left);
    if (result->exit_code == 4)
        printf("  next      mayfly teardown --sweep %s --owner %s\n", options->provider, result->owner);
}

static void write_items(struct json_writer *writer, const struct sweep_result *result)
{
    json_key(writer, "accounts");
    json_open_array(writer);
    for (size_t i = 0; i < result->count; i++) {
        const struct sweep_item *item = &result->items[i];
        char tag[TAG_BYTES];
        tag_of(item, tag);
        json_open_object(writer);
        json_member_string(writer, "tag", tag);
        json_member_string(writer, "run", item->tag.run);
        json_member_string(writer, "state", word_of(item));
        if (item->created_ms > 0)
            json_member_i64(writer, "created_ms", item->created_ms);
        if (item->reason[0] != '\0')
            json_member_string(writer, "reason", item->reason);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static int print_json(const struct sweep_result *result, const struct sweep_options *options)
{
    struct mf_buf out;
    struct json_writer writer;
    mf_buf_init(&out, 256u << 20);
    json_begin(&writer, &out);
    json_open_object(&writer);
    json_member_i64(&writer, "mayfly", 1);
    json_member_string(&writer, "type", "sweep");
    json_member_string(&writer, "provider", options->provider);
    json_member_string(&writer, "owner", result->owner);
    write_items(&writer, result);
    json_key(&writer, "totals");
    json_open_object(&writer);
    json_member_u64(&writer, "found", result->count);
    json_member_u64(&writer, "gone", result->gone);
    json_member_u64(&writer, "expired", result->expired);
    json_member_u64(&writer, "expiring", result->expiring);
    json_member_u64(&writer, "leaked", result->leaked);
    json_member_u64(&writer, "left", result->left);
    json_close_object(&writer);
    json_member_i64(&writer, "wall_ms", result->wall_ms);
    json_member_i64(&writer, "exit", result->exit_code);
    json_close_object(&writer);
    int code = out.failed ? 7 : result->exit_code;
    if (out.failed)
        fprintf(stderr, "mayfly: sweep: no memory for the receipt\n");
    else
        puts(mf_buf_cstr(&out));
    mf_buf_free(&out);
    return code;
}

int teardown_sweep(const struct options *options, const struct pairs *credentials, const struct pairs *inputs)
{
    struct mf_error error = {0};
    struct sweep_result result;
    long long older_than_ms = 0;
    struct timespec now;
    if (option_duration(options, "older-than", &older_than_ms) != 0)
        return 2;
    struct sweep_options given = {
        .provider = option_value(options, "sweep"),
        .state_path = option_value(options, "state"),
        .owner = option_value(options, "owner"),
        .older_than_ms = older_than_ms,
        .dry_run = option_set(options, "dry-run"),
        .allow_base_url = option_set(options, "allow-base-url"),
        .strict_teardown = option_set(options, "strict-teardown"),
        .credentials = credentials->items,
        .credential_count = credentials->count,
        .inputs = inputs->items,
        .input_count = inputs->count,
    };
    int status = sweep_run(&result, &given, &error);
    int code = result.exit_code;
    clock_gettime(CLOCK_REALTIME, &now);
    if (status != 0)
        complain(&error);
    if (code == 0 || code == 4) {
        if (!option_set(options, "json")) {
            print_items(&result, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
            print_receipt(&result, &given);
        } else {
            code = print_json(&result, &given);
        }
    }
    sweep_result_free(&result);
    return code;
}
