/*
 * transfer.c - one request: what curl is told about it
 *
 * Options that never change are set once for each easy handle; handles are used again, because setting one up costs
 * more than a request. What belongs to one request is copied here and wiped when its answer was given.
 */
#include "net/client_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "http1/write.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define CONNECT_TIMEOUT_DEFAULT_MS 10000
#define CONNECTION_LIFETIME_MAX_S 600L /* then a name is resolved again and a certificate looked at again */

/* --- what curl asks on the way --- */

static curl_socket_t on_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct net_request *request = context;
    if (purpose != CURLSOCKTYPE_IPCXN || !origin_may_dial(&request->origin, &address->addr)) {
        request->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Connected, and about to send. A second time means that a reused connection was dead after the request was written. */
static int on_about_to_send(void *context, char *to, char *from, int to_port, int from_port)
{
    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    struct net_request *request = context;
    request->attempts++;
    return request->attempts > 1 && !request->resend ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* --- options --- */

/* Remembers the first failure, so that thirty options are set in thirty lines. */
#define SET(option, value) (result = result == CURLE_OK ? curl_easy_setopt(easy, option, value) : result)

static CURLcode set_policy(CURL *easy, const struct net_client *client)
{
    CURLcode result = CURLE_OK;
    SET(CURLOPT_PROTOCOLS_STR, "https,http"); /* http to loopback only: origin.c */
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_MAXREDIRS, 0L);
    SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_PROXY, ""); /* else the environment decides */
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_ACCEPT_ENCODING, NULL);
    SET(CURLOPT_USERAGENT, client->user_agent);
    if (client->ca_file != NULL) {
        SET(CURLOPT_CAINFO, client->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    return result;
}

static CURLcode set_mechanics(CURL *easy, struct net_request *request)
{
    CURLcode result = CURLE_OK;
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a cancelled name lookup must not block the loop until its thread ends */
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_VERBOSE, 0L);
    SET(CURLOPT_PIPEWAIT, 1L); /* share an HTTP/2 connection that is being made instead of making another */
    SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFETIME_MAX_S);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_ERRORBUFFER, request->text);
    SET(CURLOPT_PRIVATE, request);
    SET(CURLOPT_HEADERFUNCTION, answer_on_header);
    SET(CURLOPT_HEADERDATA, request);
    SET(CURLOPT_WRITEFUNCTION, answer_on_content);
    SET(CURLOPT_WRITEDATA, request);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, request);
    SET(CURLOPT_PREREQFUNCTION, on_about_to_send);
    SET(CURLOPT_PREREQDATA, request);
    return result;
}

struct net_request *transfer_create(struct net_client *client)
{
    struct net_request *request = mf_calloc(1, sizeof *request);
    if (request == NULL)
        return NULL;
    request->client = client;
    mf_buf_init_secret(&request->head, CLIENT_ANSWER_HEAD_BYTES_MAX);
    mf_buf_init_secret(&request->content, 0);
    request->easy = curl_easy_init();
    if (request->easy == NULL || set_policy(request->easy, client) != CURLE_OK ||
        set_mechanics(request->easy, request) != CURLE_OK) {
        transfer_destroy(request);
        return NULL;
    }
    return request;
}

void transfer_destroy(struct net_request *request)
{
    if (request == NULL)
        return;
    transfer_clear(request);
    curl_easy_cleanup(request->easy);
    mf_buf_free(&request->head);
    mf_buf_free(&request->content);
    mf_free(request->lines);
    mf_free(request);
}

/* --- headers of the request: the list and its text in one block, so that one wipe is enough --- */

static bool is_own_header(struct mf_span name)
{
    static const char *const names[] = {
        "host", "content-length", "transfer-encoding", "connection",          "upgrade",         "expect",
        "te",   "trailer",        "keep-alive",        "proxy-authorization", "proxy-connection"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (header_is(name, names[i]))
            return true;
    return false;
}

static int check_headers(const struct net_request_spec *spec, bool *has_type, struct mf_error *error)
{
    for (uint32_t i = 0; i < spec->header_count; i++) {
        struct mf_span name = spec->headers[i].name, value = spec->headers[i].value;
        if (!http1_header_valid(name, value))
            return mf_fail(error, MF_INPUT, "header %u: holds a byte that a header may not have", i + 1);
        if (is_own_header(name))
            return mf_fail(error, MF_INPUT, "header '%.*s': is set by the client", MF_SPAN_ARGS(name));
        if (header_is(name, "content-type"))
            *has_type = true;
    }
    return 0;
}

/* One element of the list; `separator` is ":" or, for an empty value, ";" (curl would drop the header else). */
static char *put_header(struct curl_slist *element, char *text, struct mf_span name, const char *separator,
                        struct mf_span value)
{
    element->data = text;
    element->next = element + 1;
    memcpy(text, name.data, name.length);
    text += name.length;
    size_t separator_bytes = strlen(separator);
    memcpy(text, separator, separator_bytes);
    text += separator_bytes;
    if (value.length > 0)
        memcpy(text, value.data, value.length);
    text += value.length;
    *text = '\0';
    return text + 1;
}

static int copy_headers(struct net_request *request, const struct net_request_spec *spec, struct mf_error *error)
{
    bool has_type = false;
    if (check_headers(spec, &has_type, error) != 0)
        return -1;
    size_t count = spec->header_count + 2; /* `Expect:` and `Content-Type:` keep curl from adding its own */
    size_t bytes = count * sizeof(struct curl_slist) + sizeof "expect:" + sizeof "content-type:";
    for (uint32_t i = 0; i < spec->header_count; i++)
        bytes += spec->headers[i].name.length + spec->headers[i].value.length + sizeof ": ";
    struct curl_slist *list = mf_alloc(bytes);
    if (list == NULL)
        return mf_fail(error, MF_MEMORY, "request: no memory");
    request->headers_block = list;
    request->headers_block_bytes = bytes;
    char *text = (char *)(list + count);
    text = put_header(list, text, MF_SPAN("expect"), ":", (struct mf_span){0});
    struct curl_slist *last = list;
    if (!has_type)
        text = put_header(++last, text, MF_SPAN("content-type"), ":", (struct mf_span){0});
    for (uint32_t i = 0; i < spec->header_count; i++) {
        struct mf_span value = header_trim(spec->headers[i].value);
        text = put_header(++last, text, spec->headers[i].name, value.length > 0 ? ": " : ";", value);
    }
    last->next = NULL;
    return 0;
}

/* --- preparing --- */

static bool is_method(const char *method)
{
    size_t length = strlen(method);
    return length > 0 && length <= 16 && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == length &&
           strcmp(method, "CONNECT") != 0;
}

static CURLcode set_method(struct net_request *request, const char *method)
{
    CURL *easy = request->easy;
    CURLcode result = CURLE_OK;
    bool sends_body = request->body_bytes > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
                      strcmp(method, "PATCH") == 0;
    SET(CURLOPT_CUSTOMREQUEST, NULL);
    SET(CURLOPT_NOBODY, 0L);
    if (sends_body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, request->body_bytes > 0 ? request->body : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
    } else {
        SET(CURLOPT_POSTFIELDS, NULL);
        SET(CURLOPT_HTTPGET, 1L);
    }
    if (strcmp(method, "HEAD") == 0 && !sends_body)
        SET(CURLOPT_NOBODY, 1L);
    else
        SET(CURLOPT_CUSTOMREQUEST, method);
    return result;
}

static long to_curl_ms(int64_t ms)
{
    return ms > INT32_MAX ? (long)INT32_MAX : (long)ms;
}

static CURLcode set_request(struct net_request *request, const struct net_request_spec *spec)
{
    CURL *easy = request->easy;
    CURLcode result = set_method(request, spec->method);
    SET(CURLOPT_URL, spec->url);
    SET(CURLOPT_HTTPHEADER, request->headers_block);
    SET(CURLOPT_FRESH_CONNECT, request->origin.doubtful ? 1L : 0L);
    SET(CURLOPT_FORBID_REUSE, 0L);
    SET(CURLOPT_HTTP_VERSION, request->origin.plain ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_TIMEOUT_MS, to_curl_ms(spec->timeout_ms));
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        to_curl_ms(spec->connect_timeout_ms > 0 ? spec->connect_timeout_ms : CONNECT_TIMEOUT_DEFAULT_MS));
    SET(CURLOPT_LOW_SPEED_LIMIT, spec->stall_timeout_ms > 0 ? 1L : 0L);
    SET(CURLOPT_LOW_SPEED_TIME, to_curl_ms(spec->stall_timeout_ms / 1000 + (spec->stall_timeout_ms % 1000 > 0)));
    SET(CURLOPT_MAXFILESIZE_LARGE, spec->answer_bytes_max > 0 && spec->answer_bytes_max <= INT64_MAX
                                       ? (curl_off_t)spec->answer_bytes_max
                                       : (curl_off_t)0);
    return result;
}

static int copy_body(struct net_request *request, struct mf_span body, struct mf_error *error)
{
    if (body.length == 0)
        return 0;
    request->body = mf_alloc(body.length);
    if (request->body == NULL)
        return mf_fail(error, MF_MEMORY, "request: no memory");
    memcpy(request->body, body.data, body.length);
    request->body_bytes = body.length;
    return 0;
}

int transfer_prepare(struct net_request *request, const struct net_request_spec *spec, struct mf_error *error)
{
    if (!is_method(spec->method))
        return mf_fail(error, MF_INPUT, "method: not a word of at most 16 capital letters");
    mf_assert(spec->timeout_ms >= 0 && spec->connect_timeout_ms >= 0 && spec->stall_timeout_ms >= 0);
    if (origin_of(request->client, spec->url, &request->origin, error) != 0)
        return -1;
    if (copy_headers(request, spec, error) != 0 || copy_body(request, spec->body, error) != 0)
        return -1;
    request->resend = spec->retry_connection || strcmp(spec->method, "GET") == 0 || strcmp(spec->method, "HEAD") == 0;
    request->content.bytes_max = spec->answer_bytes_max < SIZE_MAX / 4 ? (size_t)spec->answer_bytes_max : SIZE_MAX / 4;
    if (set_request(request, spec) != CURLE_OK)
        return mf_fail(error, MF_MEMORY, "request: no memory");
    return 0;
}

void transfer_clear(struct net_request *request)
{
    if (request->easy != NULL) {
        (void)curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, NULL);
        (void)curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, NULL);
    }
    if (request->streaming)
        stream_clear(request);
    mf_free_secret(request->headers_block, request->headers_block_bytes);
    mf_free_secret(request->body, request->body_bytes);
    request->headers_block = request->body = NULL;
    request->headers_block_bytes = request->body_bytes = 0;
    answer_clear(request);
    request->attempts = 0;
    request->cancelled = request->address_refused = false;
    request->result = CURLE_OK;
    request->text[0] = '\0';
}
