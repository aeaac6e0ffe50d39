/*
 * gateway_egress.c - fuzz: heads of the egress doors
 *
 * The first byte chooses the door. Of what is accepted: a CONNECT target means the same when it is written again from its parts;
 * a head that was written anew is accepted by the strict parser as a whole, has one host header, which is ours, is framed as
 * the agent's was, is the last of its connection, and at the REACH door its path is below the prefix in its only spelling.
 */
#include "gateway/egress_head.h"
#include "http1/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT 8123

static void check(bool holds)
{
    if (!holds)
        abort();
}

static struct mf_span header(const struct http1_head *head, const char *data, const char *name, uint32_t *count)
{
    struct mf_span value = {NULL, 0};
    *count = 0;
    for (uint32_t i = 0; i < head->header_count; i++) {
        if (!mf_span_is(http1_piece_span(head->names[i], data), name))
            continue;
        value = http1_piece_span(head->values[i], data);
        (*count)++;
    }
    return value;
}

static void check_target(const struct egress_target *target)
{
    struct egress_target again;
    char text[EGRESS_HOST_BYTES_MAX + 16];
    bool six = target->numeric && target->address.six;
    snprintf(text, sizeof text, "%s%s%s:%u", six ? "[" : "", target->host, six ? "]" : "", target->port);
    check(target->port != 0 && egress_target_parse(mf_span(text), 0, &again) == 0);
    check(strcmp(again.host, target->host) == 0 && again.numeric == target->numeric);
    check(!target->numeric || memcmp(&again.address, &target->address, sizeof again.address) == 0);
}

static void check_upstream(const struct egress_head *head, enum gateway_door door, struct mf_buf *upstream,
                           const struct egress_rules *rules)
{
    struct http1_head parsed;
    uint32_t count;
    http1_head_init(&parsed);
    check(http1_head_parse(&parsed, upstream->data, upstream->length) == HTTP1_DONE);
    check(parsed.head_bytes == upstream->length && !parsed.keep_alive && !parsed.expect_continue);
    check(parsed.chunked == head->chunked);
    struct mf_span host = header(&parsed, upstream->data, "host", &count);
    check(count == 1 && host.length > 0);
    header(&parsed, upstream->data, "connection", &count);
    check(count == 1);
    header(&parsed, upstream->data, "proxy-authorization", &count);
    check(count == 0);
    if (door != GATEWAY_DOOR_REACH)
        return;
    struct http1_path path;
    struct mf_span text = http1_piece_span(parsed.path, upstream->data);
    check(mf_span_is(host, "127.0.0.1:8123"));
    check(http1_path_parse(&path, text, NULL) == 0 && path.was_canonical);
    check(egress_rules_reach(rules, PORT, text) && mf_span_starts(text, "/__workers/"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct egress_rules *rules;
    static const char *const origin = "http://127.0.0.1:8123/__workers/";
    struct mf_span reach = mf_span(origin);
    if (rules == NULL)
        check(egress_rules_create(&rules, NULL, 0, &reach, 1, NULL) == 0);
    if (size < 2)
        return 0;
    enum gateway_door door = (data[0] & 1) != 0 ? GATEWAY_DOOR_REACH : GATEWAY_DOOR_EGRESS;
    size_t length = egress_head_end((struct mf_span){(const char *)data + 1, size - 1});
    if (length == 0 || length > EGRESS_HEAD_BYTES_MAX)
        return 0;
    char *copy = malloc(length); /* of exactly its size: nothing behind it may be read */
    check(copy != NULL);
    memcpy(copy, data + 1, length);
    struct egress_head head;
    struct mf_buf upstream;
    mf_buf_init(&upstream, EGRESS_UPSTREAM_HEAD_BYTES_MAX);
    if (egress_head_read((struct mf_span){copy, length}, door, PORT, rules, &head, &upstream) != 0) {
        check(head.status >= 400 && head.status < 600 && head.reason != NULL);
    } else {
        check_target(&head.target);
        check(head.forward == (upstream.length > 0));
        if (head.forward)
            check_upstream(&head, door, &upstream, rules);
    }
    mf_buf_free(&upstream);
    free(copy);
    return 0;
}
