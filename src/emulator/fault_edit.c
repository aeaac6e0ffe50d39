/*
 * fault_edit.c - changes a finished answer: fields, headers, bytes
 *
 * Fields are spliced into the text, so everything else stays byte for byte what it was. Texts of a script may name three
 * things of the request: {{token}} is its bearer credential, {{date}} the time as an HTTP date, {{date+N}} N seconds later.
 */
#include "emulator/fault_edit.h"

#include "base/alloc.h"
#include "emulator/emulator_private.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { HUGE_BYTES_MAX = 64 << 20, GZIP_BYTES_MAX = 1 << 30 };

/* --- texts --- */

static void put_date(struct mf_buf *out, int64_t at_ms)
{
    char text[64];
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    mf_buf_text(out, text);
}

/* One {{...}}; unknown ones stand for themselves. */
static void put_name(struct emu_call *call, struct mf_span name, struct mf_buf *out)
{
    uint64_t seconds;
    struct mf_span bearer = emu_header(call, "authorization");
    if (mf_span_is(name, "token") && mf_span_starts(bearer, "Bearer "))
        mf_buf_append(out, bearer.data + 7, bearer.length - 7);
    else if (mf_span_is(name, "date"))
        put_date(out, call->now_ms);
    else if (mf_span_starts(name, "date+") && mf_parse_u64((struct mf_span){name.data + 5, name.length - 5}, &seconds) == 0)
        put_date(out, call->now_ms + (int64_t)(seconds % UINT32_MAX) * 1000);
    else
        mf_buf_printf(out, "{{%.*s}}", MF_SPAN_ARGS(name));
}

static void expand(struct emu_call *call, const char *text, struct mf_buf *out)
{
    const char *open, *close;
    while ((open = strstr(text, "{{")) != NULL && (close = strstr(open, "}}")) != NULL) {
        mf_buf_append(out, text, (size_t)(open - text));
        put_name(call, (struct mf_span){open + 2, (size_t)(close - open - 2)}, out);
        text = close + 2;
    }
    mf_buf_text(out, text);
}

static bool named(const struct emu_fault_header *header, const char *name)
{
    return strcasecmp(header->name, name) == 0;
}

/* A scripted header stands in place of ours. */
static void drop_header(struct emu_call *call, const char *name)
{
    uint32_t kept = 0;
    for (uint32_t each = 0; each < call->header_count; each++) {
        struct mf_span own = call->headers[each].name;
        if (own.length != strlen(name) || strncasecmp(own.data, name, own.length) != 0)
            call->headers[kept++] = call->headers[each];
    }
    call->header_count = kept;
}

static void put_header(struct emu_call *call, const struct emu_fault_header *header)
{
    struct mf_buf value;
    mf_buf_init_secret(&value, EMU_TEXT_BYTES);
    expand(call, header->value, &value);
    char *room = emu_room(call, value.length);
    if (room == NULL || !named(header, "content-type"))
        emu_answer_header(call, header->name, mf_buf_cstr(&value));
    else
        call->content_type = memcpy(room, mf_buf_cstr(&value), value.length + 1);
    mf_buf_free(&value);
}

static void put_headers(struct emu_call *call, struct emu_rule *rule)
{
    for (uint32_t each = 0; each < rule->header_count; each++)
        drop_header(call, rule->headers[each].name);
    for (uint32_t each = 0; each < rule->header_count; each++)
        put_header(call, &rule->headers[each]);
}

/* --- fields --- */

static void splice(struct emu_call *call, size_t start, size_t length, struct mf_span text)
{
    struct mf_buf edited;
    mf_buf_init(&edited, EMU_ANSWER_BYTES_MAX);
    mf_buf_append(&edited, call->out.data, start);
    mf_buf_span(&edited, text);
    mf_buf_append(&edited, call->out.data + start + length, call->out.length - start - length);
    mf_buf_free(&call->out);
    call->out = edited;
}

static void set_field(struct emu_call *call, struct emu_rule *rule, struct mf_span raw)
{
    char *now = mf_strndup(raw.data, raw.length);
    size_t start = (size_t)(raw.data - call->out.data);
    const char *value = rule->previous ? rule->last : rule->value;
    if (value != NULL) /* the first hit of `previous` only remembers */
        splice(call, start, raw.length, mf_span(value));
    mf_free(rule->last);
    rule->last = now;
}

/* Cuts from the key's quote to the value's end, and one comma with it. */
static void remove_field(struct emu_call *call, const struct json_document *document, uint32_t value)
{
    size_t start = document->nodes[value - 1].start; /* the key stands before its value */
    size_t end = (size_t)document->nodes[value].start + document->nodes[value].length;
    if (call->out.data[end] == ',')
        end++;
    else if (start > 0 && call->out.data[start - 1] == ',')
        start--;
    splice(call, start, end - start, (struct mf_span){"", 0});
}

static void edit_field(struct emu_call *call, struct emu_rule *rule)
{
    struct json_document document;
    if (json_scan(&document, mf_buf_view(&call->out), &json_limits_default, NULL) < 0)
        return;
    uint32_t node = json_pointer(&document, mf_span(rule->pointer));
    if (node != JSON_NONE && rule->action == EMU_ACTION_EDIT)
        set_field(call, rule, json_raw(&document, node));
    else if (node != JSON_NONE && node > 0 && rule->pointer[strlen(rule->pointer) - 1] != '/')
        remove_field(call, &document, node);
    json_document_free(&document);
}

/* --- bytes --- */

static void put_body(struct emu_call *call, struct emu_rule *rule)
{
    struct mf_buf text;
    mf_buf_init_secret(&text, EMU_ANSWER_BYTES_MAX);
    expand(call, rule->text == NULL ? "" : rule->text, &text);
    if (rule->action == EMU_ACTION_PREFIX)
        splice(call, 0, 0, mf_buf_view(&text));
    else if (rule->action == EMU_ACTION_SUFFIX)
        mf_buf_span(&call->out, mf_buf_view(&text));
    else
        splice(call, 0, call->out.length, mf_buf_view(&text));
    mf_buf_free(&text);
}

static void cut(struct emu_call *call, struct emu_rule *rule)
{
    if (rule->bytes < call->out.length) {
        call->out.length = (size_t)rule->bytes;
        call->out.data[rule->bytes] = '\0';
    }
}

/* ASCII widened to little-endian pairs behind a mark; what is not ASCII stays a byte, which is wrong enough. */
static void to_utf16(struct emu_call *call, struct emu_rule *rule)
{
    (void)rule;
    struct mf_buf wide;
    mf_buf_init(&wide, EMU_ANSWER_BYTES_MAX);
    mf_buf_append(&wide, "\xff\xfe", 2);
    for (size_t at = 0; at < call->out.length; at++) {
        mf_buf_char(&wide, call->out.data[at]);
        mf_buf_char(&wide, '\0');
    }
    mf_buf_free(&call->out);
    call->out = wide;
}

struct bits {
    struct mf_buf *out;
    uint32_t held;
    unsigned count;
};

static void put_bits(struct bits *bits, uint32_t value, unsigned count)
{
    bits->held |= value << bits->count;
    for (bits->count += count; bits->count >= 8; bits->count -= 8, bits->held >>= 8)
        mf_buf_char(bits->out, (char)(bits->held & 0xff));
}

/*
 * A gzip stream of zeros by hand: one literal, then matches of length 258 at distance 1 in the fixed code (RFC 1951, 3.2.6;
 * Huffman codes go in with their highest bit first, so they stand reversed here). 158 bytes come out of each that goes in.
 * The checksum is not right: who reads so far has lost already.
 */
static void to_gzip_bomb(struct emu_call *call, struct emu_rule *rule)
{
    struct bits bits = {.out = &call->out};
    uint64_t bytes = rule->bytes < GZIP_BYTES_MAX ? rule->bytes : GZIP_BYTES_MAX;
    mf_buf_clear(&call->out);
    mf_buf_append(&call->out, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    put_bits(&bits, 1, 1);    /* last block */
    put_bits(&bits, 1, 2);    /* fixed code */
    put_bits(&bits, 0x0c, 8); /* literal 0: 00110000 */
    for (uint64_t done = 1; done < bytes; done += 258) {
        put_bits(&bits, 0xa3, 8); /* length 258: 11000101 */
        put_bits(&bits, 0, 5);    /* distance 1: 00000 */
    }
    put_bits(&bits, 0, 7); /* end of block */
    put_bits(&bits, 0, 7); /* to the byte */
    mf_buf_append(&call->out, "\0\0\0\0\0\0\0\0", 8);
    emu_answer_header(call, "content-encoding", "gzip");
}

static void put_huge_headers(struct emu_call *call, struct emu_rule *rule)
{
    uint64_t bytes = rule->bytes < HUGE_BYTES_MAX ? rule->bytes : HUGE_BYTES_MAX;
    if (call->header_count >= EMU_ANSWER_HEADERS_MAX || mf_buf_reserve(&call->padding, (size_t)bytes) < 0)
        return;
    memset(call->padding.data, 'x', (size_t)bytes);
    call->headers[call->header_count++] = (struct net_header){MF_SPAN("x-padding"), {call->padding.data, (size_t)bytes}};
}

typedef void edit(struct emu_call *call, struct emu_rule *rule);

static edit *const edits[] = {
    [EMU_ACTION_HEADERS] = put_headers, [EMU_ACTION_HUGE_HEADERS] = put_huge_headers,
    [EMU_ACTION_EDIT] = edit_field,     [EMU_ACTION_REMOVE] = edit_field,
    [EMU_ACTION_BODY] = put_body,       [EMU_ACTION_PREFIX] = put_body,
    [EMU_ACTION_SUFFIX] = put_body,     [EMU_ACTION_CUT] = cut,
    [EMU_ACTION_UTF16] = to_utf16,      [EMU_ACTION_GZIP_BOMB] = to_gzip_bomb,
};

void emu_fault_edit(struct emu_call *call, const struct emu_plan *plan)
{
    for (uint32_t each = 0; each < plan->edit_count; each++)
        edits[plan->edits[each]->action](call, plan->edits[each]);
}

/* An envelope with one error, unless the rule has a body of its own. */
void emu_fault_replace(struct emu_call *call, struct emu_rule *rule)
{
    struct mf_buf text;
    mf_buf_init_secret(&text, EMU_ANSWER_BYTES_MAX);
    if (rule->text != NULL)
        expand(call, rule->text, &text);
    else if (rule->action == EMU_ACTION_STATUS)
        mf_buf_printf(&text, "{\"success\":false,\"errors\":[{\"code\":%d,\"message\":%s}],\"messages\":[],\"result\":null}",
                      rule->code == 0 ? 10013 : rule->code, rule->value == NULL ? "\"scripted fault\"" : rule->value);
    bool json = text.length == 0 || text.data[0] == '{' || text.data[0] == '[';
    emu_raw(call, rule->status, json ? "application/json" : "text/html; charset=utf-8", mf_buf_view(&text));
    call->header_count = 0;
    emu_add_headers(call);
    put_headers(call, rule);
    mf_buf_free(&text);
}
