/*
 * answer.c - the answer to one request: as it comes in, and the verdict when curl is done
 *
 * What may be said of a request's effect is decided here. Not sent: curl never came to the point of sending (its hook
 * before a request), or no byte was written. Answered: curl is content, and the answer was framed by a length or by
 * chunks. Everything else is sent, effect unknown.
 *
 * The limits on the answer are our own counts in the header and write callbacks; curl's option for the size of a file
 * alone does not hold for answers without a length.
 */
#include "net/client_private.h"

#include "base/alloc.h"
#include "http1/write.h"

#include <string.h>
#include <strings.h>

#define HEAD_KEPT_BYTES 4096
#define CONTENT_KEPT_BYTES 16384

/* --- the answer as it comes in --- */

static void begin_head(struct net_request *request)
{
    mf_buf_clear(&request->head);
    request->line_count = 0;
    request->head_done = request->framed = false;
}

/* 421 says that this connection is the wrong one for the origin (RFC 9110, 15.5.20): nobody is to use it again. */
static void leave_wrong_connection(struct net_request *request, struct mf_span line)
{
    const char *space = memchr(line.data, ' ', line.length);
    if (space != NULL && mf_span_starts((struct mf_span){space, line.length - (size_t)(space - line.data)}, " 421"))
        curl_easy_setopt(request->easy, CURLOPT_FORBID_REUSE, 1L);
}

void answer_clear(struct net_request *request)
{
    begin_head(request);
    mf_buf_clear(&request->content);
    if (request->head.capacity > HEAD_KEPT_BYTES)
        mf_buf_free(&request->head);
    if (request->content.capacity > CONTENT_KEPT_BYTES)
        mf_buf_free(&request->content);
    request->content.bytes_max = 0;
    request->head_bytes = 0;
    request->too_large = request->no_memory = request->bad_head = false;
}

static int add_line(struct net_request *request, struct mf_span name, struct mf_span value)
{
    struct net_client *client = request->client;
    size_t needed = request->line_count + 1;
    /* room for the answer's table too, so that delivering cannot fail */
    if (mf_grow((void **)&request->lines, &request->line_capacity, needed, sizeof *request->lines, 16) != 0 ||
        mf_grow((void **)&client->headers, &client->header_capacity, needed, sizeof *client->headers, 16) != 0 ||
        mf_buf_reserve(&request->head, name.length + value.length) != 0) {
        request->no_memory = true;
        return -1;
    }
    struct answer_line *line = &request->lines[request->line_count++];
    line->name_at = (uint32_t)request->head.length;
    line->name_length = (uint32_t)name.length;
    mf_buf_span(&request->head, name);
    for (size_t i = line->name_at; i < request->head.length; i++)
        if (request->head.data[i] >= 'A' && request->head.data[i] <= 'Z')
            request->head.data[i] = (char)(request->head.data[i] | 0x20);
    line->value_at = (uint32_t)request->head.length;
    line->value_length = (uint32_t)value.length;
    mf_buf_span(&request->head, value);
    return 0;
}

struct mf_span header_trim(struct mf_span text)
{
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = (struct mf_span){text.data + 1, text.length - 1};
    while (text.length > 0 && memchr(" \t\r\n", text.data[text.length - 1], 4) != NULL)
        text.length--;
    return text;
}

bool header_is(struct mf_span name, const char *lower_case)
{
    return name.length == strlen(lower_case) && strncasecmp(name.data, lower_case, name.length) == 0;
}

static int take_line(struct net_request *request, struct mf_span line)
{
    const char *colon = memchr(line.data, ':', line.length);
    struct mf_span name = {line.data, colon != NULL ? (size_t)(colon - line.data) : 0};
    struct mf_span value = header_trim((struct mf_span){line.data + name.length + 1, line.length - name.length - 1});
    if (colon == NULL || !http1_header_valid(name, value)) {
        request->bad_head = true;
        return -1;
    }
    if (header_is(name, "content-length") || header_is(name, "transfer-encoding"))
        request->framed = true;
    if (request->line_count == CLIENT_ANSWER_HEADERS_MAX) {
        request->too_large = true;
        return -1;
    }
    return add_line(request, name, value);
}

/* One line of a head, or of trailers, which are dropped. */
size_t answer_on_header(char *data, size_t size, size_t count, void *context)
{
    struct net_request *request = context;
    struct mf_span line = {data, size * count};
    request->head_bytes += line.length;
    if (request->head_bytes > CLIENT_ANSWER_HEAD_BYTES_MAX) {
        request->too_large = true;
        return 0;
    }
    if (mf_span_starts(line, "HTTP/")) {
        begin_head(request);
        leave_wrong_connection(request, line);
        return line.length;
    }
    bool empty = header_trim(line).length == 0;
    if (empty && !request->head_done && request->streaming && !stream_on_head(request))
        return 0;
    if (empty)
        request->head_done = true;
    if (empty || request->head_done)
        return line.length;
    return take_line(request, line) == 0 ? line.length : 0;
}

size_t answer_on_content(char *data, size_t size, size_t count, void *context)
{
    struct net_request *request = context;
    size_t bytes = size * count;
    if (bytes > request->content.bytes_max - request->content.length) {
        request->too_large = true;
        return 0;
    }
    if (mf_buf_append(&request->content, data, bytes) != 0) {
        request->no_memory = true;
        return 0;
    }
    return bytes;
}

/* --- the verdict --- */

static int64_t info_ms(CURL *easy, CURLINFO which)
{
    curl_off_t us = 0;
    return curl_easy_getinfo(easy, which, &us) == CURLE_OK ? us / 1000 : 0;
}

static long info_long(CURL *easy, CURLINFO which)
{
    long value = 0;
    return curl_easy_getinfo(easy, which, &value) == CURLE_OK ? value : 0;
}

static int version_of(CURL *easy)
{
    switch (info_long(easy, CURLINFO_HTTP_VERSION)) {
    case CURL_HTTP_VERSION_1_0:
        return 10;
    case CURL_HTTP_VERSION_1_1:
        return 11;
    default:
        return 20;
    }
}

/* Was the end of the answer said by the answer itself? */
static bool is_framed(const struct net_request *request, int status, int version)
{
    const char *method = NULL;
    if (version >= 20 || request->framed || !http1_has_body(status))
        return true;
    return curl_easy_getinfo(request->easy, CURLINFO_EFFECTIVE_METHOD, &method) == CURLE_OK && method != NULL &&
           strcmp(method, "HEAD") == 0;
}

static void fail_answer(const struct net_request *request, struct net_answer *answer)
{
    struct mf_error *error = &answer->error;
    const char *origin = request->origin.text;
    if (request->streaming && request->stream.stalled)
        mf_fail(error, MF_NETWORK, "%s: nothing moved for %lld ms", origin, (long long)request->stream.stall_timeout_ms);
    else if (request->cancelled)
        mf_fail(error, MF_NETWORK, "%s: the request was cancelled", origin);
    else if (request->no_memory || request->result == CURLE_OUT_OF_MEMORY)
        mf_fail(error, MF_MEMORY, "%s: no memory for the answer", origin);
    else if (answer->too_large)
        mf_fail(error, MF_LIMIT, "%s: the answer is larger than allowed", origin);
    else if (request->bad_head)
        mf_fail(error, MF_PROTOCOL, "%s: the answer has a header that is no header", origin);
    else if (request->address_refused)
        mf_fail(error, MF_NETWORK, "%s: the name leads to an address that it must not lead to", origin);
    else if (request->attempts > 1 && !request->resend)
        mf_fail(error, MF_NETWORK, "%s: the connection was closed without an answer", origin);
    else if (request->result == CURLE_OK)
        mf_fail(error, MF_PROTOCOL, "%s: the answer does not say where it ends", origin);
    else
        mf_fail(error, MF_NETWORK, "%s: %s", origin,
                request->text[0] != '\0' ? request->text : curl_easy_strerror(request->result));
}

/* The hook before sending is the sharper test; the count of bytes covers a connection that broke between the two. */
static enum net_sent how_far(const struct net_request *request)
{
    return request->attempts > 1 || (request->attempts == 1 && info_long(request->easy, CURLINFO_REQUEST_SIZE) > 0)
               ? NET_SENT
               : NET_NOT_SENT;
}

bool net_request_sent(const struct net_request *request)
{
    return how_far(request) == NET_SENT;
}

void answer_fill_headers(struct net_request *request, struct net_answer *answer)
{
    struct net_header *headers = request->client->headers;
    const char *head = request->head.data;
    for (uint32_t i = 0; i < request->line_count; i++) {
        const struct answer_line *line = &request->lines[i];
        headers[i].name = (struct mf_span){head + line->name_at, line->name_length};
        headers[i].value = (struct mf_span){head + line->value_at, line->value_length};
    }
    answer->headers = headers;
    answer->header_count = request->line_count;
    answer->body = mf_buf_view(&request->content);
}

void answer_judge(struct net_request *request, struct net_answer *answer)
{
    CURL *easy = request->easy;
    int status = (int)info_long(easy, CURLINFO_RESPONSE_CODE);
    int version = version_of(easy);
    *answer = (struct net_answer){.cancelled = request->cancelled};
    answer->too_large = request->too_large || request->result == CURLE_FILESIZE_EXCEEDED;
    answer->duration_ms = info_ms(easy, CURLINFO_TOTAL_TIME_T);
    answer->first_byte_ms = info_ms(easy, CURLINFO_STARTTRANSFER_TIME_T);
    if (request->result == CURLE_OK && !request->cancelled && status >= 200 && is_framed(request, status, version)) {
        answer->sent = NET_ANSWERED;
        answer->status = status;
        answer->http_version = version;
        answer_fill_headers(request, answer);
        return;
    }
    answer->sent = how_far(request);
    answer->untrusted = request->result == CURLE_PEER_FAILED_VERIFICATION ||
                        request->result == CURLE_SSL_ISSUER_ERROR || request->address_refused;
    if (answer->sent == NET_SENT && version == 20)
        origin_doubt(request->client, &request->origin);
    fail_answer(request, answer);
}

struct mf_span net_answer_header(const struct net_answer *answer, const char *name)
{
    for (uint32_t i = 0; i < answer->header_count; i++)
        if (mf_span_is(answer->headers[i].name, name))
            return answer->headers[i].value;
    return (struct mf_span){0};
}
