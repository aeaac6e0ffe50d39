/*
 * runner/peer.h - the orchestrator's end of the runner: start it, tell it what to do, hear what happened
 *
 * The runner is a process of its own (`mayfly runner`, reached over a socketpair with framed messages). It captures agents'
 * output and is the gateway that holds leased credentials; it knows no journal and no other run. A spawner, forked before
 * the runner has threads or secrets, starts the agents and prepares workspaces.
 *
 * In the run directory, each made with its first byte: PATH/ATTEMPT/{stdout.log,stderr.log} of an agent, setup.log and
 * verify.log with both streams, outputs/ and outputs.refused, workspace/ (retained), results/SHA256.json. Working
 * directories are in .work/, which goes with an orderly end. An agent that was given a lease has $MAYFLY_ACCOUNTS: an object
 * of account_json by name, "account" for the one without a name. Verify has $MAYFLY_SUBJECT/{workspace,outputs,result.json}
 * and no $MAYFLY_RESULT. Values shorter than 6 bytes are not redacted.
 *
 * Every call only queues a message. Answers come as callbacks from the loop, in order. When the runner dies, `died` is called
 * once and nothing after it; all its agents are gone or will be found by the next start (cgroup, or boot id + pid + birth).
 */
#ifndef MF_RUNNER_PEER_H
#define MF_RUNNER_PEER_H

#include "base/error.h"
#include "base/str.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct runner_peer;

/* --- what a stage is started with; all pointers are only read during the call --- */

struct runner_variable {
    struct mf_span name, value;
};

struct runner_use;

struct runner_walls {             /* what stands around a process: struct sandbox_spec and what it may connect to */
    bool sandbox;
    const struct mf_span *read;   /* host paths shown read-only */
    uint32_t read_count;
    struct mf_span root;
    uint64_t memory_bytes, disk_bytes;
    uint32_t pids, cpu_millis;
    const struct mf_span *egress; /* "host:port", "*.suffix:port", "!host:port" (private addresses allowed) */
    uint32_t egress_count;
    const struct mf_span *reach;  /* origins of what agents deploy, of all recipes at hand */
    uint32_t reach_count;
};

struct runner_input {       /* one upstream task: becomes $MAYFLY_INPUTS/PATH/{result.json,outputs/} */
    struct mf_span path;    /* "plan" or "deploy/web" */
    struct mf_span result;  /* SHA-256 hex of results/SHA256.json; empty: none */
    struct mf_span outputs; /* directory relative to the run directory; empty: none */
};

/* CONTINUE without a kept workspace (first attempt, or its runner died) starts afresh with what else is given: copy, git, files. */
enum runner_workspace_kind { RUNNER_WORKSPACE_EMPTY, RUNNER_WORKSPACE_COPY, RUNNER_WORKSPACE_GIT, RUNNER_WORKSPACE_CONTINUE };

/* PREPARE: only for stages that have something to prepare (files, copy, git, setup, continue) */
struct runner_prepare {
    uint64_t stage;
    struct mf_span path;         /* instance: "deploy/web" */
    uint32_t attempt;
    enum runner_workspace_kind kind;
    struct mf_span base;         /* absolute directory of the graph file: relative names start here */
    const struct mf_span *files; /* relative to base: regular files and directories ("template/"), copied without following links */
    uint32_t file_count;
    struct mf_span copy;         /* RUNNER_WORKSPACE_COPY: directory, relative to base */
    struct mf_span git_url, git_ref;
    const struct mf_span *setup; /* argv; none: setup_count 0 */
    uint32_t setup_count;
    const struct runner_variable *environment; /* for setup */
    uint32_t environment_count;
    int64_t setup_timeout_ms;
    uint64_t workspace_bytes_max; /* what files, copy and git may bring */
    struct runner_walls walls;    /* around setup; it has no account and no service */
};

/*
 * SPAWN: agent or verify. Each stage ends with spawn_failed, or with exited and then result. The leases of a stage end with its
 * exited or spawn_failed; dropped comes only as the answer to runner_send_drop, when nothing of the lease is in flight any more.
 */
struct runner_spawn {
    uint64_t stage;
    bool verify;
    struct mf_span path;
    uint32_t attempt;
    bool prepared;                /* a PREPARE of this attempt made the workspace; else an empty one is taken */
    struct mf_span base;
    const struct mf_span *argv;
    uint32_t argc;
    const struct runner_variable *environment; /* on top of the clean base: PATH LANG TERM HOME and the MAYFLY_* that the runner itself knows */
    uint32_t environment_count;
    struct mf_span prompt;        /* text, on stdin and as the file $MAYFLY_PROMPT; data NULL: none (stdin is /dev/null) */
    struct mf_span prompt_file;   /* or a file relative to base */
    const struct runner_input *inputs;
    uint32_t input_count;
    uint32_t previous_attempt;    /* 0: none; else $MAYFLY_PREVIOUS shows outcome, logs, verify log, outputs of that attempt */
    struct mf_span previous_outcome; /* class name */
    const struct mf_span *files;  /* verify: its own files */
    uint32_t file_count;
    const struct mf_span *collect; /* globs ("dist/ **") to outputs/ when the agent ended, also after failure */
    uint32_t collect_count;
    uint64_t outputs_bytes_max;   /* 256 MiB */
    uint32_t outputs_files_max;   /* 10,000 */
    uint64_t log_bytes_max;       /* each of stdout, stderr */
    const uint64_t *leases;       /* LEASE messages sent before; the spawn fails when one is not held */
    uint32_t lease_count;
    const struct mf_span *redact; /* further values that must never reach a log (pass_env) */
    uint32_t redact_count;
    const struct runner_use *uses; /* services of this stage */
    uint32_t use_count;
    int64_t budget_micro_usd;     /* of its services; -1: none */
    struct runner_walls walls;
};

#define RUNNER_USES_MAX 32u

/* A service that the stage may use: its token and base URL go where the marks stand in the values (gateway/gateway.h). */
struct runner_use {
    uint64_t service;
    const struct runner_variable *environment;
    uint32_t environment_count;
};

/* POLICY: what the gateway must know of a provider or service (gateway/policy.h); sent once, before the first LEASE or SERVICE that names it. */
struct runner_policy {
    uint64_t policy;
    struct mf_span json;
};

/* SERVICE: an upstream with an operator's key that many stages share. Sent again when its credential was read again. */
struct runner_service {
    uint64_t service, policy;
    struct mf_span name, upstream;
    const struct runner_variable *headers; /* secret values */
    uint32_t header_count;
    uint32_t running_max;                  /* 0: unlimited */
    int64_t budget_micro_usd, run_budget_micro_usd; /* -1: none */
    const struct mf_span *secrets;         /* given to every redactor of a stage that uses it */
    uint32_t secret_count;
};

struct runner_narrowing {
    struct mf_span permission, name, value;
};

/*
 * LEASE: one account for one stage. The real credential stays in the runner: `environment` and `account_json` hold the marks of
 * gateway/gateway.h where token and base URL belong.
 */
struct runner_lease {
    uint64_t lease, stage;
    const struct runner_variable *environment; /* only for the slot that gets the inject variables */
    uint32_t environment_count;
    struct mf_span name;          /* the slot's name, for $MAYFLY_ACCOUNTS; empty for the only one */
    struct mf_span account_json;  /* this account's member of $MAYFLY_ACCOUNTS: JSON object */
    const struct mf_span *secrets; /* given to the redactor, and looked for in answers */
    uint32_t secret_count;
    uint64_t policy;
    uint32_t account;             /* n */
    struct mf_span upstream;      /* origin without base path and trailing slash */
    const struct runner_variable *headers; /* the credential, as the recipe injects it */
    uint32_t header_count;
    const struct mf_span *permissions; /* names */
    uint32_t permission_count;
    const struct runner_variable *bindings; /* the account's ids, for {name} in rules */
    uint32_t binding_count;
    const struct runner_narrowing *narrowings;
    uint32_t narrowing_count;
};

enum runner_retain { RUNNER_RETAIN_NEVER, RUNNER_RETAIN_WORKSPACE };

/* --- what happened --- */

struct runner_exit {
    uint64_t stage;
    int32_t code;       /* exit status; -1 when a signal ended it */
    int32_t signal;
    int64_t ended_ms;   /* net_now_ms clock, when the main process ended */
    int64_t user_ms, system_ms, rss_bytes_max;
};

struct runner_result {
    uint64_t stage;
    bool valid;               /* false: `reason` says why, the attempt fails as `class_name` */
    const char *class_name;   /* "agent" | "infrastructure" */
    const char *reason;
    const char *sha256;       /* hex of results/SHA256.json, fsynced; NULL without a result */
    uint64_t result_bytes;
    uint32_t output_files;    /* collected */
    uint64_t output_bytes;
    uint64_t stdout_bytes, stderr_bytes; /* produced, also what a cap cut off */
};

struct runner_anomaly {
    uint64_t stage, lease;  /* 0: not known */
    const char *kind;       /* name in gateway/watch.h */
    bool violation;
    const char *detail;     /* escaped, no secret */
};

struct runner_usage {       /* of one stage and one service so far: replaces what was told before */
    uint64_t stage;
    const char *service;
    uint64_t requests, input_tokens, output_tokens, cached_tokens, cache_write_tokens;
    int64_t micro_usd;      /* -1: no prices */
};

struct runner_handlers {
    void (*up)(void *context, int64_t pid, int64_t birth);
    void (*prepared)(void *context, uint64_t stage, const char *git_commit /* or NULL */);
    /* class_name: "setup" | "infrastructure" | "refused" */
    void (*prepare_failed)(void *context, uint64_t stage, const char *class_name, const char *reason);
    void (*started)(void *context, uint64_t stage, int64_t pid, int64_t birth);
    /* class_name: "agent" (no such program, not executable) | "infrastructure" | "refused" */
    void (*spawn_failed)(void *context, uint64_t stage, const char *class_name, const char *reason);
    void (*exited)(void *context, const struct runner_exit *exit);
    void (*result)(void *context, const struct runner_result *result);
    void (*dropped)(void *context, uint64_t lease);
    void (*anomaly)(void *context, const struct runner_anomaly *anomaly);
    void (*account_dead)(void *context, uint64_t lease);           /* the provider refused its credential three times in a row */
    void (*service_refused)(void *context, uint64_t service);      /* 401: its credential is to be read again */
    void (*budget)(void *context, uint64_t stage, const char *which); /* stage 0: the run's or a service's */
    void (*usage)(void *context, const struct runner_usage *usage);
    void (*audit_head)(void *context, uint64_t count, const char *head); /* hex; before the EXITED of what it covers */
    void (*died)(void *context, const char *reason);
};

struct runner_options {
    const char *program;      /* path of the mayfly binary: /proc/self/exe */
    int run_dir_fd;           /* runs/ID, opened; inherited by the runner */
    const char *run_dir;      /* the same, absolute, for the paths that agents see */
    const char *run_id;
    const char *path;         /* PATH of agents */
    uint32_t running_max;     /* to size its tables */
    int64_t agent_uid;        /* of sandboxed agents on the host; -1: as sandbox/sandbox.h says */
    uint64_t anchored_count;  /* the last audit head that was journaled; 0: none */
    const char *anchored_head;/* hex; may be NULL with count 0 */
    const char *ca_file;      /* for upstreams; NULL: the system's */
    bool crash_points;        /* pass MFY_CRASH on (test build) */
};

int runner_start(struct runner_peer **out, struct net_loop *loop, const struct runner_options *options, const struct runner_handlers *handlers, void *context, struct mf_error *error);
/* Closes the connection: the runner kills every agent, drops every lease and leaves. Waits for it, at most `wait_ms`, then SIGKILL. NULL is fine. */
void runner_stop(struct runner_peer *peer, int64_t wait_ms);

/* -1 with MF_LIMIT: above 4 MiB are queued; try again after `runner_ready`. -1 otherwise: the message cannot be built. */
int runner_send_prepare(struct runner_peer *peer, const struct runner_prepare *prepare, struct mf_error *error);
int runner_send_spawn(struct runner_peer *peer, const struct runner_spawn *spawn, struct mf_error *error);
int runner_send_lease(struct runner_peer *peer, const struct runner_lease *lease, struct mf_error *error);
int runner_send_policy(struct runner_peer *peer, const struct runner_policy *policy, struct mf_error *error);
int runner_send_service(struct runner_peer *peer, const struct runner_service *service, struct mf_error *error);
int runner_send_signal(struct runner_peer *peer, uint64_t stage, uint32_t level, struct mf_error *error);
int runner_send_drop(struct runner_peer *peer, uint64_t lease, struct mf_error *error);
/* The attempt is over: its workspace goes, or stays as TASK/ATTEMPT/workspace; `again` keeps it for RUNNER_WORKSPACE_CONTINUE. */
int runner_send_finish(struct runner_peer *peer, struct mf_span path, uint32_t attempt, enum runner_retain retain, bool again, struct mf_error *error);
bool runner_ready(const struct runner_peer *peer); /* less than 4 MiB queued */

/* Entry of `mayfly runner` (descriptors are inherited): never returns to the command line's code. */
int runner_main(int argc, char **argv);

/*
 * Kills what an earlier life of a run left: agents whose environment carries this run's MAYFLY_SPAWN values or that live in its
 * cgroup. Returns how many were killed, -1 when something could not be.
 */
int runner_sweep(const char *run_id, const char *run_dir, struct mf_error *error);

#endif
