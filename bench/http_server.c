/*
 * http_server.c - net/server with a handler that answers at once, for load generators
 *
 *     bench_http_server [PORT] [BODY_BYTES]
 *
 * Prints `listening URL` and serves until SIGTERM or SIGINT. `/echo` answers with the request's body. Measure with
 * `h2load --h1 -n 300000 -c 64 URL`, or with any other client.
 */
#include "base/alloc.h"
#include "net/loop.h"
#include "net/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mf_span answer;

static void handle(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    (void)context;
    bool echo = mf_span_is(request->path, "/echo");
    struct net_header type = {MF_SPAN("content-type"), MF_SPAN("application/json")};
    server_reply(exchange, 200, &type, 1, echo ? request->body : answer);
}

static void stop(void *context, int signal_number)
{
    (void)signal_number;
    net_loop_stop(context);
}

static int serve(struct net_loop *loop, uint16_t port, struct mf_error *error)
{
    struct net_server *server;
    struct net_server_options options = {
        .host = "127.0.0.1", .port = port, .body_bytes_max = 64u << 20, .connections_max = 10000};
    if (net_server_create(&server, loop, &options, handle, NULL, error) != 0)
        return -1;
    if (net_loop_on_signal(loop, SIGTERM, stop, loop, error) != 0 ||
        net_loop_on_signal(loop, SIGINT, stop, loop, error) != 0)
        return -1;
    printf("listening http://127.0.0.1:%u/\n", net_server_port(server));
    fflush(stdout);
    net_loop_run(loop);
    net_server_destroy(server);
    return 0;
}

int main(int argc, char **argv)
{
    struct mf_error error = {0};
    struct net_loop *loop = NULL;
    size_t body_bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 100;
    char *body = mf_alloc(body_bytes);
    if (body == NULL)
        return 1;
    memset(body, 'x', body_bytes);
    answer = (struct mf_span){body, body_bytes};
    int result = net_loop_create(&loop, &error) != 0 ||
                 serve(loop, (uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0), &error) != 0;
    if (result != 0)
        fprintf(stderr, "http_server: %s\n", error.text);
    net_loop_destroy(loop);
    mf_free(body);
    return result;
}
