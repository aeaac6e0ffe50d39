/* egress_head.c - the head of a request at an EGRESS or REACH door: where to, and what is sent there */
#include "gateway/egress_head.h"

#include "http1/path.h"
#include "http1/write.h"

#include <stdio.h>
#include <string.h>

#define HTTP "http://"
#define OWN_HEADERS_MAX 3 /* host, framing, connection: what is passed on is no longer than what a server may be sent */

static int refuse(struct egress_head *out, int status, const char *reason)
{
    out->status = status;
    out->reason = reason;
    return -1;
}

size_t egress_head_end(struct mf_span bytes)
{
    const char *end = bytes.length > 0 ? memmem(bytes.data, bytes.length, "\r\n\r\n", 4) : NULL;
    return end != NULL ? (size_t)(end - bytes.data) + 4 : 0;
}

/* --- the request line --- */

struct line {
    struct mf_span method, target, version, rest; /* rest: from the first header line on */
};

static int cut_line(struct mf_span head, struct line *out)
{
    const char *end = memmem(head.data, head.length, "\r\n", 2);
    if (end == NULL)
        return -1;
    size_t length = (size_t)(end - head.data);
    const char *first = memchr(head.data, ' ', length), *last = memrchr(head.data, ' ', length);
    if (first == NULL || last == first)
        return -1;
    out->method = (struct mf_span){head.data, (size_t)(first - head.data)};
    out->target = (struct mf_span){first + 1, (size_t)(last - first) - 1};
    out->version = (struct mf_span){last + 1, (size_t)(end - last) - 1};
    out->rest = (struct mf_span){end + 2, head.length - length - 2};
    return mf_span_is(out->version, "HTTP/1.1") || mf_span_is(out->version, "HTTP/1.0") ? 0 : -1;
}

/* Nothing of it is passed on, so the headers need only be text. */
static int read_connect(const struct line *line, struct egress_head *out)
{
    for (size_t i = 0; i < line->rest.length; i++) {
        unsigned char byte = (unsigned char)line->rest.data[i];
        if ((byte < 0x20 && byte != '\r' && byte != '\n' && byte != '\t') || byte == 0x7f)
            return refuse(out, 400, "a header holds a byte that is not allowed");
    }
    if (egress_target_parse(line->target, 0, &out->target) != 0)
        return refuse(out, 400, "the target is not host:port in its plain spelling");
    return 0;
}

/* --- a request that is written anew --- */

static bool stays_here(struct mf_span name)
{
    static const char *const names[] = {"host",
                                        "connection",
                                        "proxy-connection",
                                        "keep-alive",
                                        "proxy-authorization",
                                        "proxy-authenticate",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "content-length",
                                        "expect"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (mf_span_is(name, names[i]))
            return true;
    return false;
}

static void write_host(struct mf_buf *upstream, const struct egress_target *target)
{
    char host[EGRESS_HOST_BYTES_MAX + 16];
    bool six = target->numeric && target->address.six;
    int length = snprintf(host, sizeof host, "%s%s%s", six ? "[" : "", target->host, six ? "]" : "");
    if (target->port != 80)
        snprintf(host + length, sizeof host - (size_t)length, ":%u", target->port);
    http1_write_header(upstream, MF_SPAN("host"), mf_span(host));
}

/* `data` is what `parsed` was read from. */
static int write_head(const struct http1_head *parsed, const char *data, struct mf_span path, struct egress_head *out,
                      struct mf_buf *upstream)
{
    mf_buf_span(upstream, http1_piece_span(parsed->method, data));
    mf_buf_char(upstream, ' ');
    mf_buf_span(upstream, path);
    if (parsed->path.length < parsed->target.length) {
        mf_buf_char(upstream, '?');
        mf_buf_span(upstream, http1_piece_span(parsed->query, data));
    }
    mf_buf_text(upstream, " HTTP/1.1\r\n");
    write_host(upstream, &out->target);
    for (uint32_t i = 0; i < parsed->header_count; i++) {
        struct mf_span name = http1_piece_span(parsed->names[i], data);
        if (!stays_here(name))
            http1_write_header(upstream, name, http1_piece_span(parsed->values[i], data));
    }
    if (parsed->chunked)
        http1_write_header(upstream, MF_SPAN("transfer-encoding"), MF_SPAN("chunked"));
    if (parsed->has_length)
        http1_write_length(upstream, parsed->content_length);
    http1_write_header(upstream, MF_SPAN("connection"), MF_SPAN("close"));
    http1_write_end(upstream);
    out->forward = true;
    out->chunked = parsed->chunked;
    out->expect_continue = parsed->expect_continue;
    http1_body_init(&out->body, parsed, UINT64_MAX / 2);
    return upstream->failed ? refuse(out, 503, "there is no memory for the request") : 0;
}

/* The strict parser, on a copy whose target is in origin form. */
static int parse_origin_form(const struct line *line, struct mf_span target, struct http1_head *parsed,
                             struct mf_buf *copy, struct egress_head *out)
{
    mf_buf_span(copy, line->method);
    mf_buf_char(copy, ' ');
    if (target.length == 0 || target.data[0] != '/')
        mf_buf_char(copy, '/');
    mf_buf_span(copy, target);
    mf_buf_char(copy, ' ');
    mf_buf_span(copy, line->version);
    mf_buf_text(copy, "\r\n");
    mf_buf_span(copy, line->rest);
    if (copy->failed)
        return refuse(out, 503, "there is no memory for the request");
    http1_head_init(parsed);
    enum http1_result result = http1_head_parse(parsed, copy->data, copy->length);
    if (result == HTTP1_BAD)
        return refuse(out, parsed->status, parsed->reason);
    if (result != HTTP1_DONE || parsed->head_bytes != copy->length)
        return refuse(out, 400, "the head does not end where it seems to");
    if (parsed->header_count > HTTP1_HEADERS_MAX - OWN_HEADERS_MAX)
        return refuse(out, 431, "there are too many headers");
    return 0;
}

/* GET http://host[:port]/path: the Host header of the agent is not looked at, the target counts. */
static int read_absolute(const struct line *line, struct egress_head *out, struct mf_buf *copy, struct mf_buf *upstream)
{
    struct mf_span rest = {line->target.data + strlen(HTTP), line->target.length - strlen(HTTP)};
    size_t authority = 0;
    while (authority < rest.length && strchr("/?#", rest.data[authority]) == NULL)
        authority++;
    struct http1_head parsed;
    if (egress_target_parse((struct mf_span){rest.data, authority}, 80, &out->target) != 0)
        return refuse(out, 400, "the target is no http URL in its plain spelling");
    if (parse_origin_form(line, (struct mf_span){rest.data + authority, rest.length - authority}, &parsed, copy, out) !=
        0)
        return -1;
    return write_head(&parsed, copy->data, http1_piece_span(parsed.path, copy->data), out, upstream);
}

static bool is_own_host(struct mf_span host, uint16_t port)
{
    char name[32];
    snprintf(name, sizeof name, "127.0.0.1:%u", port);
    if (mf_span_is(host, name))
        return true;
    snprintf(name, sizeof name, "localhost:%u", port);
    return mf_span_is(host, name);
}

static struct mf_span header(const struct http1_head *parsed, const char *data, const char *name)
{
    for (uint32_t i = 0; i < parsed->header_count; i++)
        if (mf_span_is(http1_piece_span(parsed->names[i], data), name))
            return http1_piece_span(parsed->values[i], data);
    return (struct mf_span){NULL, 0};
}

/* What an upstream may read in two ways is refused, but a slash at the end is the usual spelling of a directory. */
static bool is_plain(const struct http1_path *path)
{
    const unsigned harmless = HTTP1_TRAIT_PERCENT | HTTP1_TRAIT_PARAMETER | HTTP1_TRAIT_NON_ASCII;
    for (uint32_t i = 0; i < path->count; i++) {
        unsigned traits = path->traits[i] & ~harmless;
        if (i + 1 == path->count)
            traits &= ~(unsigned)HTTP1_TRAIT_EMPTY;
        if (traits != 0)
            return false;
    }
    return true;
}

static int read_reach(const struct line *line, uint16_t port, const struct egress_rules *rules, struct egress_head *out,
                      struct mf_buf *copy, struct mf_buf *upstream)
{
    struct http1_head parsed;
    struct http1_path path;
    out->target =
        (struct egress_target){.host = "127.0.0.1", .port = port, .numeric = true, .address.bytes = {127, 0, 0, 1}};
    if (line->target.length == 0 || line->target.data[0] != '/')
        return refuse(out, mf_span_is(line->method, "CONNECT") ? 405 : 400, "the target is not in origin form");
    if (parse_origin_form(line, line->target, &parsed, copy, out) != 0)
        return -1;
    if (!is_own_host(header(&parsed, copy->data, "host"), port))
        return refuse(out, 421, "the host header names another server");
    if (http1_path_parse(&path, http1_piece_span(parsed.path, copy->data), NULL) != 0 || !is_plain(&path))
        return refuse(out, 400, "the path can be read in two ways");
    out->outside = !egress_rules_reach(rules, port, (struct mf_span){path.text, path.text_length});
    if (out->outside)
        return refuse(out, 403, "the path is outside of what may be reached here");
    return write_head(&parsed, copy->data, (struct mf_span){path.text, path.text_length}, out, upstream);
}

int egress_head_read(struct mf_span head, enum gateway_door door, uint16_t port, const struct egress_rules *rules,
                     struct egress_head *out, struct mf_buf *upstream)
{
    struct line line;
    *out = (struct egress_head){.status = 0};
    if (cut_line(head, &line) != 0 || mf_span_copy(line.method, out->method, sizeof out->method) != 0)
        return refuse(out, 400, "the request line is not `METHOD target HTTP/1.1`");
    out->shown = line.target;
    if (door == GATEWAY_DOOR_EGRESS && mf_span_is(line.method, "CONNECT"))
        return read_connect(&line, out);
    struct mf_buf copy;
    mf_buf_init_secret(&copy, EGRESS_HEAD_BYTES_MAX + 16);
    int result;
    if (door == GATEWAY_DOOR_REACH)
        result = read_reach(&line, port, rules, out, &copy, upstream);
    else if (mf_span_starts(line.target, HTTP))
        result = read_absolute(&line, out, &copy, upstream);
    else
        result = refuse(out, 400, "this is a proxy: CONNECT host:port, or a whole http:// URL");
    mf_buf_free(&copy);
    return result;
}
