/* cancel_print.c - what an emergency stop says: processes, tokens, and when the last was dead */
#include "cmd/cancel_private.h"

#include "json/write.h"

#include <stdio.h>

static void write_tally(struct json_writer *writer, const struct target *target)
{
    json_member_u64(writer, "processes", target->before.processes);
    json_member_u64(writer, "tokens", target->before.tokens);
    json_member_u64(writer, "tokens_left", target->after.tokens + target->after.leaked);
    json_member_u64(writer, "tokens_expiring", target->after.expiring);
    if (target->ended_ms >= 0)
        json_member_i64(writer, "ended_ms", target->ended_ms);
    if (target->dead_ms >= 0)
        json_member_i64(writer, "dead_ms", target->dead_ms);
}

int cancel_print_json(const struct target *targets, size_t count, const struct target *sum, size_t runs)
{
    struct mf_buf out;
    struct json_writer writer;
    mf_buf_init(&out, 64u << 20);
    json_begin(&writer, &out);
    json_open_object(&writer);
    json_member_string(&writer, "type", "cancelled");
    json_member_i64(&writer, "at_ms", read_now_ms());
    json_key(&writer, "runs");
    json_open_array(&writer);
    for (size_t i = 0; i < count; i++) {
        if (!cancel_concerned(&targets[i]))
            continue;
        json_open_object(&writer);
        json_member_string(&writer, "run", targets[i].id);
        json_member_bool(&writer, "taken_over", targets[i].taken_over);
        write_tally(&writer, &targets[i]);
        json_close_object(&writer);
    }
    json_close_array(&writer);
    json_member_u64(&writer, "count", runs);
    write_tally(&writer, sum);
    json_close_object(&writer);
    int code = out.failed ? 7 : 0;
    if (code == 0)
        puts(mf_buf_cstr(&out));
    mf_buf_free(&out);
    return code;
}

void cancel_print_text(const char *what, const struct target *target)
{
    printf("%s: %u processes", what, target->before.processes);
    if (target->before.processes > 0 && target->ended_ms >= 0)
        printf(", the last ended after %lld ms", (long long)target->ended_ms);
    printf("; %u tokens", target->before.tokens);
    if (target->before.tokens > 0 && target->dead_ms >= 0)
        printf(", the last was dead after %lld ms", (long long)target->dead_ms);
    if (target->after.tokens + target->after.leaked > 0)
        printf("; %u TOKENS MAY STILL WORK: mayfly teardown --all", target->after.tokens + target->after.leaked);
    if (target->after.expiring > 0)
        printf("; %u live until they expire: mayfly accounts", target->after.expiring);
    putchar('\n');
}
