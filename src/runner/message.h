/*
 * runner/message.h - the long messages of the protocol as structs: one field list writes and reads each
 *
 * Encoding copies from the caller's struct into the queue. Decoding makes a struct whose spans point into the payload
 * and whose arrays live in a message_memory: both must stay as long as the struct is used.
 */
#ifndef MF_RUNNER_MESSAGE_H
#define MF_RUNNER_MESSAGE_H

#include "runner/peer.h"
#include "runner/protocol.h"

#define MESSAGE_ARRAYS_MAX 64 /* SPAWN has 10 lists and one for each service that it uses (RUNNER_USES_MAX) */

struct message_memory {
    void *arrays[MESSAGE_ARRAYS_MAX]; /* owned */
    uint32_t count;
};

void message_memory_free(struct message_memory *memory);

/* What both ends say first. The runner answers with the version alone in mind; its strings are empty. */
struct message_hello {
    uint32_t version;
    struct mf_span run_id, run_dir, path;
    uint32_t running_max;
    int64_t pid, birth;
    int64_t agent_uid;
    uint64_t anchored_count;
    struct mf_span anchored_head, ca_file;
};

/* SPAWN with what only the wire knows: a list of inputs that is too long for a frame is a file in the run directory. */
struct message_spawn {
    struct runner_spawn spawn;
    struct mf_span inputs_file; /* name in .work/; empty: the list is in `spawn` */
};

struct message_finish {
    struct mf_span path;
    uint32_t attempt;
    uint32_t retain;
    bool again;
};

struct message_exited {
    int64_t code, signal, ended_ms, user_ms, system_ms, rss_bytes_max;
};

struct message_result {
    bool valid;
    struct mf_span class_name, reason, sha256;
    uint64_t result_bytes;
    uint32_t output_files;
    uint64_t output_bytes, stdout_bytes, stderr_bytes;
};

/* To the spawner: argv and environment entries end with their NUL inside the span. */
struct message_run {
    uint32_t slot;
    bool prompt; /* stdin is in/prompt of the slot */
    bool verify;
    struct mf_span mark; /* value of MAYFLY_SPAWN, to find what a tree left */
    struct mf_span path; /* PATH to search for argv[0] */
    const struct mf_span *argv;
    uint32_t argc;
    const struct mf_span *environment;
    uint32_t environment_count;
    bool sandbox;
    bool has_in;           /* a helper furnished `in` */
    const struct mf_span *read;
    uint32_t read_count;
    struct mf_span root;
    uint64_t memory_bytes, disk_bytes;
    uint32_t pids, cpu_millis;
    const uint64_t *ports; /* to listen on inside */
    uint32_t port_count;
};

struct message_anomaly { /* stage and lease are the frame's */
    struct mf_span kind, detail;
    bool violation;
};

struct message_usage {
    struct mf_span service;
    uint64_t requests, input_tokens, output_tokens, cached_tokens, cache_write_tokens;
    int64_t micro_usd;
};

struct message_ended {
    int64_t code, signal, ended_ms, user_us, system_us, rss_bytes_max;
    bool pristine;   /* nothing was left in the slot: it can be used again as it is */
    bool has_result; /* the agent wrote something at $MAYFLY_RESULT */
    bool stuck;      /* something of the tree would not die */
};

struct message_release {
    uint32_t slot;
    bool retain; /* ws goes to PATH/ATTEMPT/workspace first */
    struct mf_span path;
    uint32_t attempt;
};

/* How a helper's work ended. */
struct message_job_ended {
    bool done; /* false: class_name and reason say why not */
    struct mf_span class_name, reason;
    struct mf_span text; /* PREPARE: commit; COLLECT: SHA-256 of the result; may be empty */
    uint64_t result_bytes, output_bytes;
    uint32_t output_files;
};

/* Each pair: put appends the fields to an open frame; take returns -1 when the payload is bad or there is no memory. */
#define MESSAGE_CODECS(X)                                                                                              \
    X(hello, struct message_hello)                                                                                     \
    X(prepare, struct runner_prepare)                                                                                  \
    X(spawn, struct message_spawn)                                                                                     \
    X(lease, struct runner_lease)                                                                                      \
    X(policy, struct runner_policy)                                                                                    \
    X(service, struct runner_service)                                                                                  \
    X(anomaly, struct message_anomaly)                                                                                 \
    X(usage, struct message_usage)                                                                                     \
    X(finish, struct message_finish)                                                                                   \
    X(exited, struct message_exited)                                                                                   \
    X(result, struct message_result)                                                                                   \
    X(run, struct message_run)                                                                                         \
    X(ended, struct message_ended)                                                                                     \
    X(release, struct message_release)                                                                                 \
    X(job_ended, struct message_job_ended)
#define X(name, type)                                                                                                  \
    void message_put_##name(struct frame_writer *writer, const type *message);                                         \
    int message_take_##name(struct mf_span payload, type *message, struct message_memory *memory);
MESSAGE_CODECS(X)
#undef X

/* A list of inputs alone, as it stands in an inputs file. */
void message_put_inputs(struct frame_writer *writer, const struct runner_input *inputs, uint32_t count);
int message_take_inputs(struct frame_reader *reader, const struct runner_input **inputs, uint32_t *count,
                        struct message_memory *memory);

#endif
