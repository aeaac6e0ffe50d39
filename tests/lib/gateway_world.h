/*
 * lib/gateway_world.h - a gateway on a loop in a thread of its own, and an upstream that records, for tests that speak raw bytes
 *
 * The test's thread is the agent: it connects to a stage's door and writes what it likes. Everything that touches the gateway
 * runs on the loop's thread (world_call). The upstream has a thread for each connection and does what the path says.
 */
#ifndef MF_TESTS_GATEWAY_WORLD_H
#define MF_TESTS_GATEWAY_WORLD_H

#include "gateway/gateway.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_SECRET "MFYCANARY-3c1b9c7a6e5d4f30-credential"
#define WORLD_ACCOUNT "0123456789abcdef0123456789abcdef"
#define WORLD_RECORD_BYTES 8192

struct world_seen { /* one request at the upstream */
    char head[WORLD_RECORD_BYTES];
    uint64_t body_bytes, body_hash;
    char body[256];
};

struct world {
    struct net_loop *loop;
    struct net_client *client;
    struct gateway *gateway;
    struct gateway_options options;
    char dir[64];
    int dir_fd;
    /* the upstream */
    int upstream_fd;
    char upstream[64]; /* "http://127.0.0.1:PORT" */
    _Atomic uint32_t seen_count, upstream_connections, upstream_broken; /* broken: connections that ended within a request */
    struct world_seen *seen; /* the last 64: [count % 64] */
    /* what the gateway told */
    _Atomic uint32_t anomalies[WATCH_KIND_COUNT];
    _Atomic uint64_t anomaly_stage; /* of the last one */
    _Atomic uint32_t dead, service_refused, budgets, dropped, heads, usages;
    struct gateway_usage usage;
    char anomaly_detail[512];
};

struct world *world_open(const struct gateway_options *options); /* loop, client, directory and run id are filled in */
void world_close(struct world *world);
/* The gateway dies and a new one opens on the same record; every stage is gone. */
void world_again(struct world *world);
/* Runs on the loop's thread; returns when it has run. */
void world_call(struct world *world, void (*function)(struct world *world, void *context), void *context);

#define WORLD_POLICY_ACCOUNT 1
#define WORLD_POLICY_SERVICE 2
/* Opens a stage with one lease (id stage + 1000; permissions read and write; account WORLD_ACCOUNT) at a door on a loopback port. */
uint16_t world_open_stage(struct world *world, uint64_t stage, const char *task, char token[GATEWAY_TOKEN_BYTES]);
void world_close_stage(struct world *world, uint64_t stage);
void world_drop(struct world *world, uint64_t lease);
/* A service of the upstream, and its use by a stage. */
void world_add_service(struct world *world, uint32_t running_max, int64_t budget_micro_usd);
void world_use(struct world *world, uint64_t stage, char token[GATEWAY_TOKEN_BYTES]);

/* --- an agent --- */
int world_connect(uint16_t port);
void world_send(int fd, const char *data, size_t bytes); /* what the peer no longer takes is dropped */
void world_text(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reads one answer (by its framing), or until the end. Returns the status, 0: none came whole. */
struct world_answer {
    int status;
    bool closed;  /* the connection ended */
    bool whole;   /* the framing says that nothing is missing */
    char head[16384];
    char body[65536]; /* its first bytes, terminated */
    uint64_t body_bytes, body_hash;
    int64_t first_ms, duration_ms;
};
int world_read(int fd, struct world_answer *answer);
/* One request on a connection of its own. `extra`: header lines. */
int world_ask(uint16_t port, const char *method, const char *target, const char *token, const char *extra, const char *body,
              struct world_answer *answer);
/* Value of a header line of a recorded head or answer, or NULL; lower case name. */
const char *world_header(const char *head, const char *name, char *out, size_t out_bytes);
const struct world_seen *world_last(struct world *world);
/* Waits until the number is reached; false after five seconds. */
bool world_reaches(_Atomic uint32_t *number, uint32_t value);
/* The record, whole; free it. */
char *world_audit(struct world *world);
uint32_t world_count(const char *text, const char *needle);

uint64_t world_hash(uint64_t hash, const void *data, size_t bytes);
int64_t world_now_ms(void);

#endif
