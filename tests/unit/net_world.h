/*
 * net_world.h - for the tests of src/net: a loop that runs until a condition holds, a server with scripted answers
 *
 * Everything lives in one process on one loop: client, server and raw sockets, so that a test needs no sleep and no
 * port of its own.
 */
#ifndef NET_WORLD_H
#define NET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "net/client.h"
#include "net/loop.h"
#include "net/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    struct net_loop *loop;
    struct net_server *server;
    struct net_client *client;
    struct net_timer *limit;
    bool late;
    bool (*until)(void *context);
    void *until_context;
    /* what the server saw and does */
    uint32_t requests;
    char last_method[32], last_target[256], last_body[256];
    size_t last_body_bytes;
    struct net_exchange *held[64];
    uint32_t held_count, dropped;
    struct net_timer *later;
};

static inline void world_turn(void *context)
{
    struct world *world = context;
    if (world->until == NULL || world->until(world->until_context))
        net_loop_stop(world->loop);
}

static inline void world_late(void *context)
{
    struct world *world = context;
    world->late = true;
    net_loop_stop(world->loop);
}

/* Runs the loop until the condition holds; false when that took longer than limit_ms. NULL runs for all of limit_ms. */
static inline bool world_run(struct world *world, bool (*until)(void *context), void *context, int64_t limit_ms)
{
    world->late = false;
    world->until = until;
    world->until_context = context;
    net_timer_set(world->limit, net_now_ms() + limit_ms);
    net_loop_on_turn(world->loop, until != NULL ? world_turn : NULL, world);
    net_loop_run(world->loop);
    net_loop_on_turn(world->loop, NULL, NULL);
    net_timer_set(world->limit, MF_NEVER);
    return !world->late;
}

static inline void world_on_drop(void *context)
{
    struct world *world = context;
    world->dropped++;
    world->held_count = 0;
}

static inline void world_answer_held(void *context)
{
    struct world *world = context;
    uint32_t count = world->held_count;
    world->held_count = 0;
    for (uint32_t i = 0; i < count; i++)
        server_reply(world->held[i], 200, NULL, 0, MF_SPAN("late"));
}

static inline int world_fault(struct mf_span path)
{
    static const struct {
        const char *path;
        enum server_abort how;
    } faults[] = {
        {"/reset", SERVER_ABORT_RESET},
        {"/close", SERVER_ABORT_CLOSE},
        {"/truncate", SERVER_ABORT_TRUNCATE},
        {"/garbage", SERVER_ABORT_GARBAGE},
        {"/half-head", SERVER_ABORT_HEAD},
        {"/stall", SERVER_ABORT_STALL},
        {"/endless-headers", SERVER_ABORT_ENDLESS_HEADERS},
        {"/endless-body", SERVER_ABORT_ENDLESS_BODY},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (mf_span_is(path, faults[i].path))
            return (int)faults[i].how;
    return -1;
}

static inline void world_handle(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    struct world *world = context;
    struct net_header type = {MF_SPAN("Content-Type"), MF_SPAN("text/plain")};
    struct net_header redirect = {MF_SPAN("location"), MF_SPAN("/ok")};
    world->requests++;
    (void)mf_span_copy(request->method, world->last_method, sizeof world->last_method);
    (void)mf_span_copy(request->target, world->last_target, sizeof world->last_target);
    world->last_body_bytes = request->body.length;
    if (mf_span_copy(request->body, world->last_body, sizeof world->last_body) != 0)
        world->last_body[0] = '\0';
    int fault = world_fault(request->path);
    if (fault >= 0)
        server_abort(exchange, (enum server_abort)fault, 200, &type, 1, MF_SPAN("0123456789abcdef"));
    else if (mf_span_is(request->path, "/echo"))
        server_reply(exchange, 200, &type, 1, request->body);
    else if (mf_span_is(request->path, "/redirect"))
        server_reply(exchange, 302, &redirect, 1, MF_SPAN(""));
    else if (mf_span_is(request->path, "/empty"))
        server_reply(exchange, 204, NULL, 0, MF_SPAN(""));
    else if (mf_span_is(request->path, "/drip"))
        server_reply_drip(exchange, 200, &type, 1, MF_SPAN("drop by drop"), 10, 5);
    else if (mf_span_is(request->path, "/drip-slow"))
        server_reply_drip(exchange, 200, &type, 1, MF_SPAN("drop by drop"), 1, 10000);
    else if (mf_span_is(request->path, "/hold")) {
        world->held[world->held_count++] = exchange;
    } else if (mf_span_is(request->path, "/watch")) {
        world->held[world->held_count++] = exchange;
        server_exchange_on_drop(exchange, world_on_drop, world);
    } else {
        server_reply(exchange, 200, &type, 1, MF_SPAN("fine"));
    }
}

static inline void world_open(struct world *world, const struct net_server_options *options, bool with_client)
{
    struct mf_error error;
    memset(world, 0, sizeof *world);
    assert_int_equal(net_loop_create(&world->loop, &error), 0);
    assert_int_equal(net_timer_create(&world->limit, world->loop, world_late, world, &error), 0);
    assert_int_equal(net_timer_create(&world->later, world->loop, world_answer_held, world, &error), 0);
    assert_int_equal(net_server_create(&world->server, world->loop, options, world_handle, world, &error), 0);
    if (with_client)
        assert_int_equal(net_client_create(&world->client, world->loop, NULL, &error), 0);
}

static inline void world_close(struct world *world)
{
    net_client_destroy(world->client);
    net_server_destroy(world->server);
    net_timer_destroy(world->later);
    net_timer_destroy(world->limit);
    net_loop_destroy(world->loop);
}

#endif
