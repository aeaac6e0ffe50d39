/*
 * model_api.c - a scripted model API for tests: counts what it is asked, streams when it is asked to, knows one key
 *
 *   model_api KEY_FILE LOG_FILE
 *
 * Listens on loopback and prints "listening URL". POST /v1/messages answers with 1,000 input and 500 output tokens, as JSON or,
 * with "stream": true, as events that come slowly. A body with "wait": N is answered after N ms, one with "silent": true says
 * nothing about tokens. The key must be what KEY_FILE holds at that moment (x-api-key or a bearer token), else 401. LOG_FILE gets a JSON line for
 * each request, written before it is answered.
 */
#include "base/buf.h"
#include "net/loop.h"
#include "net/server.h"
#include "json/scan.h"
#include "json/write.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_TOKENS 1000
#define OUTPUT_TOKENS 500
#define WAITING_MAX 64

struct asked {
    bool stream, silent;
    int64_t wait_ms;
    char model[128];
};

struct waiting { /* answers that take their time */
    struct net_exchange *exchange;
    struct net_timer *timer;
    struct asked asked;
    bool gone;
};

static struct {
    struct net_loop *loop;
    const char *key_file;
    FILE *log;
    struct waiting waiting[WAITING_MAX];
    uint32_t waiting_count;
} api;

static struct mf_span header(const struct net_server_request *request, const char *name)
{
    for (uint32_t i = 0; i < request->header_count; i++)
        if (mf_span_is(request->headers[i].name, name))
            return request->headers[i].value;
    return (struct mf_span){"", 0};
}

static bool knows(struct mf_span key)
{
    char wanted[256] = "";
    FILE *file = fopen(api.key_file, "re");
    if (file == NULL || fgets(wanted, sizeof wanted, file) == NULL)
        wanted[0] = '\0';
    if (file != NULL)
        fclose(file);
    wanted[strcspn(wanted, "\n")] = '\0';
    return wanted[0] != '\0' && mf_span_is(key, wanted);
}

static void read_body(struct mf_span body, struct asked *out)
{
    struct json_document document;
    *out = (struct asked){.model = "claude-opus-5-5"};
    if (json_scan(&document, body, &json_limits_default, NULL) != 0)
        return;
    uint32_t stream = json_member(&document, 0, "stream"), silent = json_member(&document, 0, "silent");
    uint32_t wait = json_member(&document, 0, "wait"), model = json_member(&document, 0, "model");
    if (stream != JSON_NONE)
        json_bool(&document, stream, &out->stream);
    if (silent != JSON_NONE)
        json_bool(&document, silent, &out->silent);
    if (wait != JSON_NONE)
        json_int(&document, wait, &out->wait_ms);
    if (model != JSON_NONE)
        json_copy(&document, model, out->model, sizeof out->model);
    json_document_free(&document);
}

static void write_log(const struct net_server_request *request, bool known, const struct asked *asked)
{
    struct mf_buf line;
    struct json_writer writer;
    mf_buf_init(&line, 65536);
    json_begin(&writer, &line);
    json_open_object(&writer);
    json_member_span(&writer, "method", request->method);
    json_member_span(&writer, "path", request->path);
    json_member_bool(&writer, "key", known);
    json_member_bool(&writer, "stream", asked->stream);
    json_member_span(&writer, "version", header(request, "anthropic-version"));
    json_member_bool(&writer, "authorization", header(request, "authorization").length > 0);
    json_close_object(&writer);
    fprintf(api.log, "%s\n", mf_buf_cstr(&line));
    fflush(api.log);
    mf_buf_free(&line);
}

static void reply_json(struct net_exchange *exchange, int status, const char *text)
{
    struct net_header headers[] = {{MF_SPAN("content-type"), MF_SPAN("application/json")}};
    server_reply(exchange, status, headers, 1, mf_span(text));
}

static void reply_whole(struct net_exchange *exchange, const struct asked *asked)
{
    char text[1024], usage[128] = "";
    if (!asked->silent)
        snprintf(usage, sizeof usage, ",\"usage\":{\"input_tokens\":%d,\"output_tokens\":%d}", INPUT_TOKENS,
                 OUTPUT_TOKENS);
    snprintf(text, sizeof text,
             "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\","
             "\"content\":[{\"type\":\"text\",\"text\":\"done\"}]%s}",
             asked->model, usage);
    reply_json(exchange, 200, text);
}

static void reply_stream(struct net_exchange *exchange, const struct asked *asked)
{
    struct net_header headers[] = {{MF_SPAN("content-type"), MF_SPAN("text/event-stream")}};
    char text[2048];
    int length =
        snprintf(text, sizeof text,
                 "event: message_start\ndata: "
                 "{\"type\":\"message_start\",\"message\":{\"model\":\"%s\",\"usage\":{\"input_tokens\":%d,\"output_"
                 "tokens\":1}}}\n\n"
                 "event: content_block_delta\ndata: "
                 "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"do\"}}\n\n"
                 "event: content_block_delta\ndata: "
                 "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"ne\"}}\n\n"
                 "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":%d}}\n\n"
                 "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                 asked->model, INPUT_TOKENS, OUTPUT_TOKENS);
    server_reply_drip(exchange, 200, headers, 1, (struct mf_span){text, (size_t)length}, 64, 5);
}

static void reply(struct net_exchange *exchange, const struct asked *asked)
{
    if (asked->stream)
        reply_stream(exchange, asked);
    else
        reply_whole(exchange, asked);
}

static void on_time(void *context)
{
    struct waiting *waiting = context;
    if (!waiting->gone)
        reply(waiting->exchange, &waiting->asked);
    waiting->gone = true;
}

static void on_gone(void *context)
{
    ((struct waiting *)context)->gone = true;
}

/* A peer that leaves must not be answered any more. */
static void reply_later(struct net_exchange *exchange, const struct asked *asked)
{
    if (api.waiting_count == WAITING_MAX) {
        reply(exchange, asked);
        return;
    }
    struct waiting *waiting = &api.waiting[api.waiting_count++];
    *waiting = (struct waiting){.exchange = exchange, .asked = *asked};
    if (net_timer_create(&waiting->timer, api.loop, on_time, waiting, NULL) != 0)
        abort();
    server_exchange_on_drop(exchange, on_gone, waiting);
    net_timer_set(waiting->timer, net_now_ms() + asked->wait_ms);
}

static void on_request(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    struct asked asked;
    struct mf_span bearer = header(request, "authorization");
    size_t scheme = mf_span_starts(bearer, "Bearer ") ? strlen("Bearer ") : bearer.length;
    bool known = knows(header(request, "x-api-key")) || knows((struct mf_span){bearer.data + scheme, bearer.length - scheme});
    (void)context;
    read_body(request->body, &asked);
    write_log(request, known, &asked);
    if (!known)
        reply_json(
            exchange, 401,
            "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"invalid x-api-key\"}}");
    else if (!mf_span_is(request->path, "/v1/messages"))
        reply_json(exchange, 200, "{\"data\":[]}");
    else if (asked.wait_ms > 0)
        reply_later(exchange, &asked);
    else
        reply(exchange, &asked);
}

static void on_signal(void *context, int signal_number)
{
    (void)context;
    (void)signal_number;
    net_loop_stop(api.loop);
}

int main(int count, char **arguments)
{
    struct mf_error error;
    struct net_server *server;
    struct net_server_options options = {.host = "127.0.0.1", .body_bytes_max = 1u << 20};
    if (count != 3 || (api.log = fopen(arguments[2], "ae")) == NULL) {
        fprintf(stderr, "usage: model_api KEY_FILE LOG_FILE\n");
        return 2;
    }
    api.key_file = arguments[1];
    if (net_loop_create(&api.loop, &error) != 0 ||
        net_loop_on_signal(api.loop, SIGTERM, on_signal, NULL, &error) != 0 ||
        net_server_create(&server, api.loop, &options, on_request, NULL, &error) != 0) {
        fprintf(stderr, "model_api: %s\n", error.text);
        return 1;
    }
    printf("listening http://127.0.0.1:%u\n", net_server_port(server));
    fflush(stdout);
    net_loop_run(api.loop);
    net_server_destroy(server);
    for (uint32_t i = 0; i < api.waiting_count; i++)
        net_timer_destroy(api.waiting[i].timer);
    net_loop_destroy(api.loop);
    fclose(api.log);
    return 0;
}
