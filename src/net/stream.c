/*
 * stream.c - one HTTP request whose body and answer are passed on while they come
 *
 * A stream is a request of the client's (client.c) with other callbacks: curl reads the body from the caller and writes the
 * answer to it. curl calls back while its multi handle is busy, where nothing of it may be touched; so a cancel waits until
 * curl has returned, and a stream that is woken goes on in the same iteration, after the pump's turn.
 *
 * Sent exactly once: a body that was begun cannot be rewound (there is no seek callback), and the hook before a second
 * attempt refuses it (transfer.c). curl tries again by itself only while no byte of an answer came.
 *
 * Whoever does not get on with reading makes curl stop reading from that connection: over HTTP/1.1 the peer is slowed down
 * by TCP; over HTTP/2 by the window of the stream.
 */
#include "net/client_private.h"

#include "base/assert.h"

#include <string.h>

#define STALL_CHECK_MS 500
#define RECEIVE_BYTES                                                                                                  \
    32768L /* read at once: half the system calls of curl's default for a long answer; all of it is wiped */

/* --- what curl asks --- */

static void moved(struct net_stream *stream)
{
    if (stream->stall_timeout_ms > 0)
        stream->moved_ms = net_now_ms();
}

static size_t on_read(char *out, size_t size, size_t count, void *context)
{
    struct net_stream *stream = context;
    int64_t got = stream->calls.read(stream->context, out, size * count);
    if (got < 0) {
        stream->read_paused = true;
        return CURL_READFUNC_PAUSE;
    }
    mf_assert((uint64_t)got <= size * count);
    stream->bytes_sent += (uint64_t)got;
    moved(stream);
    return (size_t)got;
}

static size_t on_write(char *data, size_t size, size_t count, void *context)
{
    struct net_stream *stream = context;
    size_t bytes = size * count;
    if (stream->request->cancelled)
        return 0;
    if (!stream->calls.data(stream->context, (struct mf_span){data, bytes})) {
        stream->write_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    stream->bytes_received += bytes;
    moved(stream);
    return bytes;
}

/* --- the head --- */

static bool is_hop_by_hop(struct mf_span name)
{
    static const char *const names[] = {"connection", "keep-alive",        "proxy-connection", "te",      "trailer",
                                        "upgrade",    "transfer-encoding", "content-length",   "trailers"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (header_is(name, names[i]))
            return true;
    return false;
}

/* Is it among the names that a Connection header lists? */
static bool is_listed(const struct net_answer *answer, struct mf_span name)
{
    for (uint32_t i = 0; i < answer->header_count; i++) {
        if (!mf_span_is(answer->headers[i].name, "connection"))
            continue;
        struct mf_span rest = answer->headers[i].value;
        while (rest.length > 0) {
            const char *comma = memchr(rest.data, ',', rest.length);
            size_t length = comma != NULL ? (size_t)(comma - rest.data) : rest.length;
            struct mf_span item = header_trim((struct mf_span){rest.data, length});
            if (item.length == name.length && strncasecmp(item.data, name.data, item.length) == 0)
                return true;
            length += comma != NULL;
            rest = (struct mf_span){rest.data + length, rest.length - length};
        }
    }
    return false;
}

/* -1: none; false: more than one reading. */
static bool read_length(const struct net_answer *answer, int64_t *out)
{
    *out = -1;
    for (uint32_t i = 0; i < answer->header_count; i++) {
        int64_t length = -1;
        if (!mf_span_is(answer->headers[i].name, "content-length"))
            continue;
        if (mf_parse_i64(answer->headers[i].value, &length) != 0 || length < 0 || (*out >= 0 && *out != length))
            return false;
        *out = length;
    }
    return true;
}

static uint32_t copy_end_to_end(const struct net_answer *answer, struct net_header *out)
{
    bool lists = net_answer_header(answer, "connection").length > 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < answer->header_count; i++) {
        struct mf_span name = answer->headers[i].name;
        if (!is_hop_by_hop(name) && !(lists && is_listed(answer, name)))
            out[kept++] = answer->headers[i];
    }
    return kept;
}

/* The final head of an answer comes once; what has two readings is none. */
static bool read_head(struct net_request *request, int status, struct net_stream_head *head, struct net_header *headers)
{
    struct net_answer answer = {0};
    answer_fill_headers(request, &answer);
    *head = (struct net_stream_head){.status = status, .headers = headers};
    if (status > 999 || request->stream.status != 0 || !read_length(&answer, &head->body_bytes))
        return false;
    if (net_answer_header(&answer, "transfer-encoding").length > 0)
        head->body_bytes = -1;
    head->header_count = copy_end_to_end(&answer, headers);
    return true;
}

bool stream_on_head(struct net_request *request)
{
    struct net_stream *stream = &request->stream;
    struct net_stream_head head;
    struct net_header headers[CLIENT_ANSWER_HEADERS_MAX];
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200)
        return true;
    if (!read_head(request, (int)status, &head, headers)) {
        request->bad_head = true;
        return false;
    }
    stream->status = head.status;
    moved(stream);
    if (stream->calls.head(stream->context, &head))
        return true;
    request->cancelled = true;
    return false;
}

/* --- waking --- */

static void wake(struct net_stream *stream)
{
    struct net_client *client = stream->request->client;
    if (stream->woken || stream->request->state != REQUEST_OPEN)
        return;
    stream->woken = true;
    stream->next_woken = client->woken;
    client->woken = stream;
    net_loop_again(client->loop);
}

void net_stream_more(struct net_stream *stream)
{
    if (!stream->read_paused)
        return;
    stream->read_paused = false;
    wake(stream);
}

void net_stream_resume(struct net_stream *stream)
{
    if (!stream->write_paused)
        return;
    stream->write_paused = false;
    wake(stream);
}

void stream_resume_woken(struct net_client *client)
{
    struct net_stream *stream = client->woken;
    client->woken = NULL;
    while (stream != NULL) {
        struct net_stream *next = stream->next_woken;
        stream->woken = false;
        stream->next_woken = NULL;
        if (stream->request->state == REQUEST_OPEN && !stream->request->cancelled) {
            int paused = (stream->read_paused ? CURLPAUSE_SEND : 0) | (stream->write_paused ? CURLPAUSE_RECV : 0);
            moved(stream);
            client->inside = true;
            CURLcode result = curl_easy_pause(stream->request->easy, paused);
            client->inside = false;
            if (result != CURLE_OK)
                net_request_cancel(stream->request);
        }
        stream = next;
    }
}

/* --- stalls --- */

static void on_check_stalls(void *context)
{
    struct net_client *client = context;
    int64_t now = net_now_ms();
    bool more = false;
    for (struct net_request *request = client->open, *next; request != NULL; request = next) {
        struct net_stream *stream = &request->stream;
        next = request->next;
        if (!request->streaming || stream->stall_timeout_ms == 0)
            continue;
        more = true;
        if (stream->read_paused || stream->write_paused) {
            stream->moved_ms = now;
        } else if (now - stream->moved_ms >= stream->stall_timeout_ms) {
            stream->stalled = true;
            net_request_cancel(request);
        }
    }
    if (more)
        net_timer_set(client->stalls, now + STALL_CHECK_MS);
}

static int watch_stall(struct net_stream *stream, struct mf_error *error)
{
    struct net_client *client = stream->request->client;
    if (stream->stall_timeout_ms == 0)
        return 0;
    if (client->stalls == NULL && net_timer_create(&client->stalls, client->loop, on_check_stalls, client, error) != 0)
        return -1;
    stream->moved_ms = net_now_ms();
    net_timer_set(client->stalls, stream->moved_ms + STALL_CHECK_MS);
    return 0;
}

/* --- a stream --- */

static CURLcode set_stream(struct net_request *request, const struct net_stream_spec *spec)
{
    CURL *easy = request->easy;
    CURLcode result = CURLE_OK;
#define SET(option, value) (result = result == CURLE_OK ? curl_easy_setopt(easy, option, value) : result)
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES); /* refused where a handle has its buffer already */
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, &request->stream);
    if (spec->body_bytes == NET_STREAM_NO_BODY)
        return result;
    SET(CURLOPT_NOBODY, 0L);
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_CUSTOMREQUEST, spec->method);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, &request->stream);
    SET(CURLOPT_INFILESIZE_LARGE, spec->body_bytes >= 0 ? (curl_off_t)spec->body_bytes : (curl_off_t)-1);
#undef SET
    return result;
}

void stream_clear(struct net_request *request)
{
    if (request->easy != NULL) {
        (void)curl_easy_setopt(request->easy, CURLOPT_UPLOAD, 0L);
        (void)curl_easy_setopt(request->easy, CURLOPT_READFUNCTION, NULL);
        (void)curl_easy_setopt(request->easy, CURLOPT_READDATA, NULL);
        (void)curl_easy_setopt(request->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)-1);
        (void)curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, answer_on_content);
        (void)curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
    }
    if (request->stream.woken) {
        struct net_stream **at = &request->client->woken;
        while (*at != &request->stream)
            at = &(*at)->next_woken;
        *at = request->stream.next_woken;
    }
    request->streaming = false;
    request->stream = (struct net_stream){0};
}

static int prepare(struct net_request *request, const struct net_stream_spec *spec, struct mf_error *error)
{
    struct net_request_spec plain = {
        .method = spec->method,
        .url = spec->url,
        .headers = spec->headers,
        .header_count = spec->header_count,
        .timeout_ms = spec->timeout_ms,
        .connect_timeout_ms = spec->connect_timeout_ms,
    };
    mf_assert(spec->body_bytes >= NET_STREAM_CHUNKED && spec->stall_timeout_ms >= 0);
    if (transfer_prepare(request, &plain, error) != 0)
        return -1;
    if (set_stream(request, spec) != CURLE_OK)
        return mf_fail(error, MF_MEMORY, "request: no memory");
    if (spec->body_bytes != NET_STREAM_NO_BODY)
        request->resend = false;
    return watch_stall(&request->stream, error);
}

int net_stream_open(struct net_stream **out, struct net_client *client, const struct net_stream_spec *spec,
                    const struct net_stream_calls *calls, void *context, struct mf_error *error)
{
    struct net_request *request = client_take(client, error);
    if (request == NULL)
        return -1;
    request->streaming = true;
    request->stream = (struct net_stream){
        .request = request, .calls = *calls, .context = context, .stall_timeout_ms = spec->stall_timeout_ms};
    if (prepare(request, spec, error) != 0 || client_start(client, request, error) != 0) {
        client_give_back(client, request);
        return -1;
    }
    *out = &request->stream;
    return 0;
}

void net_stream_cancel(struct net_stream *stream)
{
    net_request_cancel(stream->request);
}

void stream_deliver_end(struct net_request *request, const struct net_answer *answer)
{
    const struct net_stream *stream = &request->stream;
    struct net_stream_end end = {
        .sent = answer->sent,
        .status = stream->status,
        .cancelled = answer->cancelled && !stream->stalled,
        .untrusted = answer->untrusted,
        .body_bytes_sent = stream->bytes_sent,
        .body_bytes_received = stream->bytes_received,
        .error = answer->error,
    };
    stream->calls.done(stream->context, &end);
}
