/*
 * request.c - the head of an HTTP/1.1 request
 *
 * A head is judged line by line: a line is looked at when it is complete, or when it has passed its limit without an
 * end. Both the limit and the order of the checks depend on the bytes only, not on where the input was cut; this is
 * what makes the result the same for every split. Work is linear: `scanned` remembers how far an incomplete line was
 * searched.
 *
 * The rules are stricter than RFC 9112 where the RFC lets a recipient repair a message, because every repair is a
 * chance for two programs to read the same bytes differently.
 */
#include "http1/request.h"

#include "http1/chars.h"

#include <string.h>
#include <strings.h>

static enum http1_result bad(struct http1_head *head, uint16_t status, const char *reason)
{
    head->status = status;
    head->reason = reason;
    return HTTP1_BAD;
}

void http1_head_init(struct http1_head *head)
{
    /* The tables are written before they are read; clearing them for each request would cost more than parsing it. */
    head->method = head->target = head->path = head->query = (struct http1_piece){0};
    head->head_bytes = 0;
    head->minor = 0;
    head->chunked = head->has_length = head->keep_alive = head->expect_continue = false;
    head->content_length = 0;
    head->header_count = 0;
    head->status = 0;
    head->reason = NULL;
    head->line_start = head->scanned = 0;
    head->in_headers = head->has_host = head->has_connection = false;
}

struct mf_span http1_piece_span(struct http1_piece piece, const char *data)
{
    return (struct mf_span){data + piece.at, piece.length};
}

static struct http1_piece piece(size_t at, size_t length)
{
    return (struct http1_piece){(uint16_t)at, (uint16_t)length};
}

static bool is_text(struct mf_span span, const char *lower_case)
{
    return span.length == strlen(lower_case) && strncasecmp(span.data, lower_case, span.length) == 0;
}

/* --- the request line --- */

static enum http1_result read_method(struct http1_head *head, struct mf_span line, size_t *position)
{
    size_t length = 0;
    while (length < line.length && line.data[length] >= 'A' && line.data[length] <= 'Z')
        length++;
    if (length == 0 || length == line.length || line.data[length] != ' ')
        return bad(head, 400, "the method is not a word of capital letters");
    if (length > HTTP1_METHOD_BYTES_MAX)
        return bad(head, 501, "the method is too long");
    head->method = piece(0, length);
    *position = length + 1;
    return HTTP1_DONE;
}

static enum http1_result read_version(struct http1_head *head, struct mf_span version)
{
    if (version.length != 8 || memcmp(version.data, "HTTP/", 5) != 0 ||
        !http1_is_digit((unsigned char)version.data[5]) || version.data[6] != '.' ||
        !http1_is_digit((unsigned char)version.data[7]))
        return bad(head, 400, "the request line is not `method target version`");
    if (version.data[5] != '1' || version.data[7] > '1')
        return bad(head, 505, "the version is neither HTTP/1.1 nor HTTP/1.0");
    head->minor = (uint8_t)(version.data[7] - '0');
    head->keep_alive = head->minor == 1;
    return HTTP1_DONE;
}

static bool target_has_bad_byte(struct mf_span target)
{
    for (size_t i = 0; i < target.length; i++) {
        unsigned char c = (unsigned char)target.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return true;
    }
    return false;
}

static enum http1_result read_target(struct http1_head *head, struct mf_span target, size_t at, struct mf_span method)
{
    if (target.length > HTTP1_TARGET_BYTES_MAX)
        return bad(head, 414, "the target is too long");
    if (mf_span_is(method, "CONNECT") || mf_span_is(method, "TRACE"))
        return bad(head, 405, "the method is not allowed");
    bool star = target.length == 1 && target.data[0] == '*' && mf_span_is(method, "OPTIONS");
    if (!star && (target.length == 0 || target.data[0] != '/'))
        return bad(head, 400, "the target is not in origin form");
    if (target_has_bad_byte(target))
        return bad(head, 400, "the target holds a byte that is not allowed");
    head->target = piece(at, target.length);
    const char *mark = memchr(target.data, '?', target.length);
    size_t path_bytes = mark != NULL ? (size_t)(mark - target.data) : target.length;
    head->path = piece(at, path_bytes);
    if (mark != NULL)
        head->query = piece(at + path_bytes + 1, target.length - path_bytes - 1);
    return HTTP1_DONE;
}

static enum http1_result read_request_line(struct http1_head *head, struct mf_span line)
{
    size_t at = 0;
    if (read_method(head, line, &at) == HTTP1_BAD)
        return HTTP1_BAD;
    size_t end = line.length;
    while (end > at && line.data[end - 1] != ' ')
        end--;
    if (end == at)
        return bad(head, 400, "the request line is not `method target version`");
    struct mf_span target = {line.data + at, end - 1 - at};
    if (read_version(head, (struct mf_span){line.data + end, line.length - end}) == HTTP1_BAD)
        return HTTP1_BAD;
    return read_target(head, target, at, (struct mf_span){line.data, head->method.length});
}

/* --- header lines that matter to framing --- */

/* host [":" port] or "[" address "]" [":" port]: no list, no user, nothing else */
static bool host_is_valid(struct mf_span host)
{
    size_t at = 0;
    if (host.length > 0 && host.data[0] == '[') {
        for (at = 1; at < host.length && (http1_hex_value((unsigned char)host.data[at]) >= 0 || host.data[at] == ':' ||
                                          host.data[at] == '.');
             at++)
            ;
        if (at == 1 || at >= host.length || host.data[at] != ']')
            return false;
        at++;
    } else {
        while (at < host.length && http1_is_unreserved((unsigned char)host.data[at]))
            at++;
        if (at == 0)
            return false;
    }
    if (at == host.length)
        return true;
    size_t digits = host.length - at - 1;
    if (host.data[at] != ':' || digits == 0 || digits > 5)
        return false;
    for (at++; at < host.length; at++)
        if (!http1_is_digit((unsigned char)host.data[at]))
            return false;
    return true;
}

static enum http1_result take_host(struct http1_head *head, struct mf_span value)
{
    if (head->has_host)
        return bad(head, 400, "there is more than one host header");
    if (!host_is_valid(value))
        return bad(head, 400, "the host header is not a host with an optional port");
    head->has_host = true;
    return HTTP1_DONE;
}

static enum http1_result take_length(struct http1_head *head, struct mf_span value)
{
    if (head->has_length)
        return bad(head, 400, "there is more than one content-length header");
    if (head->chunked)
        return bad(head, 400, "both content-length and transfer-encoding are given");
    if (mf_parse_u64(value, &head->content_length) != 0)
        return bad(head, 400, "the content-length is not a plain decimal number");
    head->has_length = true;
    return HTTP1_DONE;
}

static enum http1_result take_encoding(struct http1_head *head, struct mf_span value)
{
    if (head->chunked)
        return bad(head, 400, "there is more than one transfer-encoding header");
    if (head->has_length)
        return bad(head, 400, "both content-length and transfer-encoding are given");
    if (head->minor == 0)
        return bad(head, 400, "HTTP/1.0 has no transfer-encoding");
    if (!is_text(value, "chunked"))
        return bad(head, 501, "the transfer-encoding is not `chunked`");
    head->chunked = true;
    return HTTP1_DONE;
}

static enum http1_result take_expect(struct http1_head *head, struct mf_span value)
{
    if (!is_text(value, "100-continue"))
        return bad(head, 417, "the expectation is not `100-continue`");
    head->expect_continue = head->minor == 1;
    return HTTP1_DONE;
}

/* Only `close` means something to us; an HTTP/1.0 connection is never kept. Other names in the list are not obeyed. */
static enum http1_result take_connection(struct http1_head *head, struct mf_span value)
{
    while (value.length > 0) {
        const char *comma = memchr(value.data, ',', value.length);
        size_t length = comma != NULL ? (size_t)(comma - value.data) : value.length;
        struct mf_span option = {value.data, length};
        while (option.length > 0 && (option.data[0] == ' ' || option.data[0] == '\t'))
            option = (struct mf_span){option.data + 1, option.length - 1};
        while (option.length > 0 && (option.data[option.length - 1] == ' ' || option.data[option.length - 1] == '\t'))
            option.length--;
        if (is_text(option, "close"))
            head->keep_alive = false;
        length += comma != NULL;
        value = (struct mf_span){value.data + length, value.length - length};
    }
    return HTTP1_DONE;
}

static enum http1_result take_upgrade(struct http1_head *head, struct mf_span value)
{
    (void)value;
    return bad(head, 400, "a change of protocol is not offered here");
}

static const struct framing_header {
    const char *name;
    uint8_t length;
    enum http1_result (*take)(struct http1_head *head, struct mf_span value);
} framing_headers[] = {
    {"host", 4, take_host},
    {"content-length", 14, take_length},
    {"transfer-encoding", 17, take_encoding},
    {"connection", 10, take_connection},
    {"expect", 6, take_expect},
    {"upgrade", 7, take_upgrade},
    {"http2-settings", 14, take_upgrade},
};

static enum http1_result take_framing(struct http1_head *head, struct mf_span name, struct mf_span value)
{
    for (size_t i = 0; i < sizeof framing_headers / sizeof framing_headers[0]; i++) {
        const struct framing_header *known = &framing_headers[i];
        if (known->length == name.length && memcmp(known->name, name.data, name.length) == 0)
            return known->take(head, value);
    }
    return HTTP1_DONE;
}

/* --- any header line --- */

/* Length of the name, put in lower case; 0 when it is not `token:`. */
static size_t lower_name(char *line, size_t length)
{
    size_t at = 0;
    for (; at < length && http1_is_token((unsigned char)line[at]); at++)
        if (line[at] >= 'A' && line[at] <= 'Z')
            line[at] = (char)(line[at] | 0x20);
    return at < length && line[at] == ':' ? at : 0;
}

static bool value_has_bad_byte(struct mf_span value)
{
    for (size_t i = 0; i < value.length; i++)
        if (!http1_is_field((unsigned char)value.data[i]))
            return true;
    return false;
}

static enum http1_result read_header_line(struct http1_head *head, char *data, size_t start, size_t length)
{
    if (data[start] == ' ' || data[start] == '\t')
        return bad(head, 400, "a header is folded over two lines");
    size_t name_bytes = lower_name(data + start, length);
    if (name_bytes == 0)
        return bad(head, 400, "a header line is not `name: value`");
    if (head->header_count == HTTP1_HEADERS_MAX)
        return bad(head, 431, "there are too many headers");
    size_t from = start + name_bytes + 1, end = start + length;
    while (from < end && (data[from] == ' ' || data[from] == '\t'))
        from++;
    while (end > from && (data[end - 1] == ' ' || data[end - 1] == '\t'))
        end--;
    struct mf_span value = {data + from, end - from};
    if (value_has_bad_byte(value))
        return bad(head, 400, "a header value holds a byte that is not allowed");
    head->names[head->header_count] = piece(start, name_bytes);
    head->values[head->header_count] = piece(from, value.length);
    head->header_count++;
    return take_framing(head, (struct mf_span){data + start, name_bytes}, value);
}

static enum http1_result finish(struct http1_head *head, size_t head_bytes)
{
    if (!head->has_host)
        return bad(head, 400, "there is no host header");
    head->head_bytes = (uint32_t)head_bytes;
    return HTTP1_DONE;
}

/* Refuses a line that is, or is going to be, longer than what is left for it. `length` counts its CRLF. */
static enum http1_result check_line_length(struct http1_head *head, size_t length)
{
    if (!head->in_headers) {
        if (length > HTTP1_TARGET_BYTES_MAX + HTTP1_METHOD_BYTES_MAX + sizeof "  HTTP/1.1\r\n" - 1)
            return bad(head, 414, "the target is too long");
        return HTTP1_DONE;
    }
    size_t left = HTTP1_HEAD_BYTES_MAX - head->line_start;
    if (left <= HTTP1_LINE_BYTES_MAX && length > left)
        return bad(head, 431, "the head is too long");
    if (length > HTTP1_LINE_BYTES_MAX)
        return bad(head, 431, "a header line is too long");
    return HTTP1_DONE;
}

/* One complete line, whose line feed is the last of `length` bytes. HTTP1_PARTIAL: go on with the next line. */
static enum http1_result read_line(struct http1_head *head, char *data, size_t length)
{
    size_t start = head->line_start;
    if (check_line_length(head, length) == HTTP1_BAD)
        return HTTP1_BAD;
    if (length < 2 || data[start + length - 2] != '\r')
        return bad(head, 400, "a line ends without a carriage return");
    size_t text_bytes = length - 2;
    enum http1_result result;
    if (!head->in_headers)
        result = read_request_line(head, (struct mf_span){data + start, text_bytes});
    else if (text_bytes == 0)
        return finish(head, start + length);
    else
        result = read_header_line(head, data, start, text_bytes);
    head->in_headers = true;
    head->line_start = (uint32_t)(start + length);
    head->scanned = head->line_start;
    return result == HTTP1_BAD ? HTTP1_BAD : HTTP1_PARTIAL;
}

enum http1_result http1_head_parse(struct http1_head *head, char *data, size_t length)
{
    if (head->status != 0)
        return HTTP1_BAD;
    for (;;) {
        const char *feed = length > head->scanned ? memchr(data + head->scanned, '\n', length - head->scanned) : NULL;
        if (feed == NULL) {
            enum http1_result result = check_line_length(head, length - head->line_start);
            head->scanned = (uint32_t)(length < HTTP1_HEAD_BYTES_MAX ? length : HTTP1_HEAD_BYTES_MAX);
            return result == HTTP1_BAD ? HTTP1_BAD : HTTP1_PARTIAL;
        }
        size_t line_bytes = (size_t)(feed - data) + 1 - head->line_start;
        enum http1_result result = read_line(head, data, line_bytes);
        if (result != HTTP1_PARTIAL)
            return result;
    }
}
