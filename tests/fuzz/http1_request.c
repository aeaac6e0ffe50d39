/*
 * http1_request.c - fuzz: the request parser under random cuts
 *
 * The first bytes of the input say where the rest is cut. Checked: cut or whole, the outcome is the same; and an
 * accepted head, written again from its parts, is accepted with the same parts. Nothing is read outside the memory that
 * was given: each piece is parsed in memory of exactly its size.
 */
#include "http1/request.h"

#include <stdlib.h>
#include <string.h>

#define BODY_MAX 5000

struct outcome {
    enum http1_result result;
    int status;
    const char *reason;
    size_t taken, body_bytes;
    uint64_t body_hash;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Parses the first `length` bytes again and again as a connection would; `head` and `copy` are the caller's to look at.
 */
static struct outcome feed(const uint8_t *data, size_t length, size_t step, struct http1_head *head, char **copy)
{
    struct outcome outcome = {0};
    struct http1_body body;
    char *memory = NULL, *decoded = malloc(length + 1);
    bool in_body = false;
    size_t there = 0, at = 0;
    check(decoded != NULL);
    http1_head_init(head);
    do {
        size_t end = step > 0 && there + step < length ? there + step : length;
        char *grown = malloc(end > 0 ? end : 1); /* a new place each time: results must not point into the old one */
        check(grown != NULL);
        memcpy(grown, memory != NULL ? memory : "", there);
        memcpy(grown + there, data + there, end - there);
        free(memory);
        memory = grown;
        there = end;
        if (!in_body) {
            outcome.result = http1_head_parse(head, memory, there);
            outcome.status = head->status;
            outcome.reason = head->reason;
            if (outcome.result != HTTP1_DONE)
                continue;
            in_body = true;
            at = head->head_bytes;
            http1_body_init(&body, head, BODY_MAX);
        }
        size_t consumed = 0, produced = 0;
        outcome.result =
            http1_body_decode(&body, memory + at, there - at, &consumed, decoded + outcome.body_bytes, &produced);
        check(consumed <= there - at && produced <= consumed);
        at += consumed;
        outcome.body_bytes += produced;
        outcome.taken = at;
        outcome.status = body.status;
        outcome.reason = body.reason;
    } while (outcome.result == HTTP1_PARTIAL && there < length);
    check(outcome.body_bytes <= BODY_MAX);
    check((outcome.result == HTTP1_BAD) == (outcome.status != 0));
    outcome.body_hash = mf_hash(decoded, outcome.body_bytes, 0);
    free(decoded);
    *copy = memory;
    return outcome;
}

static size_t put(char *out, size_t at, struct mf_span text)
{
    if (text.length > 0)
        memcpy(out + at, text.data, text.length);
    return at + text.length;
}

/* An accepted head says the same when it is written down again. */
static void check_again(const struct http1_head *head, const char *data)
{
    char *text = malloc(2 * HTTP1_HEAD_BYTES_MAX);
    struct http1_head again;
    size_t length = 0;
    check(text != NULL);
    length = put(text, length, http1_piece_span(head->method, data));
    length = put(text, length, MF_SPAN(" "));
    length = put(text, length, http1_piece_span(head->target, data));
    length = put(text, length, head->minor == 1 ? MF_SPAN(" HTTP/1.1\r\n") : MF_SPAN(" HTTP/1.0\r\n"));
    for (uint32_t i = 0; i < head->header_count; i++) {
        length = put(text, length, http1_piece_span(head->names[i], data));
        length = put(text, length, MF_SPAN(":"));
        length = put(text, length, http1_piece_span(head->values[i], data));
        length = put(text, length, MF_SPAN("\r\n"));
    }
    length = put(text, length, MF_SPAN("\r\n"));
    check(length <= head->head_bytes);
    http1_head_init(&again);
    check(http1_head_parse(&again, text, length) == HTTP1_DONE);
    check(again.header_count == head->header_count && again.chunked == head->chunked &&
          again.content_length == head->content_length);
    check(again.keep_alive == head->keep_alive && again.has_length == head->has_length);
    for (uint32_t i = 0; i < head->header_count; i++)
        check(mf_span_equal(http1_piece_span(again.values[i], text), http1_piece_span(head->values[i], data)));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http1_head head, cut_head;
    char *memory, *cut_memory;
    if (size < 1)
        return 0;
    size_t step = 1 + data[0] % 40;
    struct outcome whole = feed(data + 1, size - 1, 0, &head, &memory);
    struct outcome cut = feed(data + 1, size - 1, step, &cut_head, &cut_memory);
    check(whole.result == cut.result && whole.status == cut.status && whole.reason == cut.reason);
    if (whole.result == HTTP1_DONE) {
        check(whole.taken == cut.taken && whole.body_bytes == cut.body_bytes && whole.body_hash == cut.body_hash);
        check_again(&head, memory);
    }
    free(memory);
    free(cut_memory);
    return 0;
}
