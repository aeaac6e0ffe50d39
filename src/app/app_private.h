/*
 * app/app_private.h - the run's parts, shared by the files of app/
 */
#ifndef MF_APP_APP_PRIVATE_H
#define MF_APP_APP_PRIVATE_H

#include "app/app.h"
#include "app/content.h"
#include "app/provision.h"
#include "app/strings.h"
#include "app/usage.h"
#include "base/buf.h"
#include "document/template.h"
#include "net/client.h"
#include "net/loop.h"
#include "gateway/audit.h"
#include "recipe/recipe.h"
#include "runner/peer.h"
#include "store/journal.h"
#include "store/state.h"

#include <sys/types.h>

/* Inputs of one turn at the most: bounds how long the loop is away from its sockets (about 5 ms at 5 us each). */
#define APP_TURN_INPUTS_MAX 1024u
/* Text facts of one record: a reason, ids, a hash. */
#define APP_EXTRA_BYTES_MAX 8192u
/* Secrets and ids of one account: 16 values of at most 8 KiB. */
#define APP_VALUES_BYTES_MAX (160u * 1024u)
#define APP_CREDENTIAL_BYTES_MAX 16384u
/* Permissions of one account: the longest shipped table has about 60 names. */
#define APP_PERMISSIONS_MAX 128u
/* The gateway's policy of one provider: the longest shipped table has about 400 rules of 100 bytes. */
#define APP_POLICY_BYTES_MAX (1u << 20)
/* Log of one stream of one attempt. */
#define APP_LOG_BYTES_MAX (16ull << 20)

struct app_expansion { /* an evaluated for_each list */
    char **paths;      /* owned: "deploy/web" */
    char **items;      /* owned: JSON text of each item */
    uint32_t count;
    bool taken;        /* the strings belong to the tables now */
};

/* What comes with an input beside its numbers; owned by the queue, freed at the end of the turn. */
struct app_payload {
    struct mf_buf extra;
    struct mf_buf ids;      /* JSON object; recorded when it is not empty */
    struct mf_buf secrets;  /* secret; sealed when it is not empty */
    struct mf_buf claim;    /* secret: the claim URL */
    char **found_ids;       /* FOUND: ids of the further accounts */
    uint32_t found_count;
    struct app_expansion *expansion;
    char sha256[65];        /* RESULT; AUDIT: the head */
    bool has_outputs;
    struct app_payload *next;
};

struct app_input {
    struct core_input core;
    struct app_payload *payload; /* NULL for most */
};

struct app_account {
    struct mf_buf ids;     /* JSON object, not secret */
    struct mf_buf secrets; /* JSON object, secret */
    struct mf_buf claim;   /* claim URL, secret */
    struct provision_job *job;
    bool loaded;
};

struct app_node {
    uint8_t sha256[32];
    bool has_result, has_outputs;
    uint32_t result_attempt;
    uint8_t content[32]; /* content.h: of the attempt, then of the success */
    bool has_content;
};

/* A stage that the runner knows: open-addressed by its seq. */
struct app_stage {
    uint64_t seq; /* 0: free */
    uint32_t node, attempt;
    enum core_stage kind;
    bool walled; /* runs in a sandbox */
    char sha256[65];
    bool has_outputs;
};

/* Stages that are over, for what is told of them later: the last so many. */
#define APP_PAST_STAGES 4096u
struct app_past {
    uint64_t seq; /* 0: free */
    uint32_t node, attempt;
    enum core_stage kind;
};

struct app_provider {
    const char *name;           /* of the graph; view */
    struct recipe *recipe;      /* owned */
    char *recipe_sha256;        /* owned hex */
    char *base_url;             /* owned; without trailing slash */
    char *origin;               /* owned */
    struct recipe_value *inputs;
    uint32_t input_count;
    struct mf_span source_json; /* where the credential comes from; view into graph or NULL */
    char *source;               /* owned: "env:NAME", "file:PATH", "command:JSON"; NULL: none */
    struct mf_buf credential;   /* secret, as read */
    bool credential_read;
    char *rate_path;            /* owned */
    bool served;                /* by an emulator of our own */
    bool service;
    struct mf_buf policy;       /* JSON for the gateway (gateway/policy.h) */
};

struct app_service {            /* what it shares with a provider, and what may be spent */
    struct app_provider source;
    bool used;                  /* by some task; else it is not opened */
    struct app *app;
    struct net_timer *again;    /* owned; made when its credential is first refused */
    uint32_t asked;             /* so often its credential was read again */
    int64_t again_ms;           /* not before that boot time */
};

struct app_emulator {
    pid_t pid; /* 0: none */
    int pidfd;
    char *url;
    struct mf_buf token; /* secret */
};

struct app {
    struct app_options options;
    struct state_dir *state;
    char run_id[STATE_RUN_ID_BYTES];
    char *run_dir;      /* owned */
    int run_dir_fd;
    int lock_fd;
    char owner[25];
    char *run_name;     /* owned */
    char *base_dir;     /* owned: absolute directory of the graph file */
    struct graph *graph;
    struct mf_buf params_json;

    struct core_graph core_graph;
    struct core_limits limits;
    struct core *core;
    struct journal *journal;
    bool journal_broken;
    struct net_loop *loop;
    struct net_client *client;
    struct provision *provision;
    struct runner_peer *runner;
    bool runner_dead;             /* its end was told; it is freed before the next one starts */
    uint32_t runner_generation;
    struct app_emulator emulator;
    struct app_control *control;
    struct net_timer *refresh;
    struct app_prompt {
        uint32_t task;
        char *text; /* owned */
    } *prompts;         /* by task */
    uint32_t prompt_count;
    size_t prompt_capacity;

    struct app_provider *providers;
    uint32_t provider_count;
    struct app_service *services; /* by the graph's index */
    uint32_t service_count;
    char left_boot_id[64];      /* of the life before: when and as what its runner was started */
    int64_t left_runner_pid, left_runner_birth;
    bool missing_credential;    /* TEARDOWN: of some provider */

    int64_t base_ms, start_ms; /* core time = base + (boot time - start) */
    int64_t opened_ms;

    struct app_input *inputs;  /* ring */
    size_t input_first, input_count, input_capacity;
    struct app_turn_record {
        struct core_record record;
        const struct app_payload *payload;
    } *records;                /* of this turn */
    size_t record_count, record_capacity;
    struct core_command *commands; /* to be started after the commit; also those that wait for the runner */
    size_t command_count, command_capacity;
    struct app_payload *spent; /* payloads of this turn */
    bool in_transaction;
    uint64_t records_total;

    struct app_account *accounts; /* by n */
    size_t account_capacity;
    struct contents *contents; /* what content keys have read */
    struct app_node *nodes;
    size_t node_capacity;
    const char **task_names;      /* of the graph's tasks; into task_name_bytes; both owned */
    char *task_name_bytes;
    char **paths, **items;        /* of instances: index node - task_count; owned */
    size_t instance_count, instance_capacity;
    struct app_stage *stages;     /* open-addressed */
    size_t stage_capacity, stage_count;
    struct app_past past[APP_PAST_STAGES]; /* ring */
    uint32_t past_next;
    struct usage_book usage;
    uint64_t audit_count;         /* the last head that is journaled */
    char audit_head[AUDIT_HASH_HEX];
    uint32_t stages_without_sandbox, violations;
    struct app_lease {            /* granted, waiting for the spawn that uses it */
        uint64_t lease;
        uint32_t node, account, slot;
    } *leases;
    size_t lease_count, lease_capacity;

    int signal_number;  /* the first one that ended the run; 0 */
    uint32_t signals;
    bool stopping;      /* settled: the loop is to end */
    int exit_code;
};

/* --- pump.c --- */
/* Queues an input; `payload` (may be NULL) is taken. The time is put in when it is stepped. */
void app_push(struct app *app, const struct core_input *input, struct app_payload *payload);
struct app_payload *app_payload_new(void); /* asserts that there is memory: 400 bytes */
void app_payload_free(struct app_payload *payload);
/* "reason": text as the extra of a payload. */
void app_payload_reason(struct app_payload *payload, const char *reason);
void app_pump_turn(void *context);
void app_note(struct app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- execute.c and its parts: each starts one effect; trouble comes back as an input --- */
void app_execute(struct app *app, const struct core_command *command);
void app_execute_account(struct app *app, const struct core_command *command);
/* -1: the runner's queue is full, the command must wait. */
int app_execute_stage(struct app *app, const struct core_command *command);
void app_expand(struct app *app, const struct core_command *command);
void app_expansion_free(struct app_expansion *expansion);
int app_start_runner(struct app *app);

/* --- accounts.c --- */

enum recipe_op app_account_op(enum core_command_kind kind); /* what a command asks for */
enum recipe_op app_recipe_op(const struct recipe_info *info, enum recipe_op op); /* the operation that does it */
/* What a verdict means to the core; ids, secrets and times are the caller's to add. */
struct core_input app_account_answer(const struct recipe_info *info, enum recipe_op op, uint32_t account, const struct recipe_result *result);

/* --- tables.c --- */
struct app_account *app_account_at(struct app *app, uint32_t account); /* grows; asserts memory */
void app_account_forget(struct app *app, uint32_t account, bool keep_claim);
struct app_node *app_node_at(struct app *app, uint32_t node);
struct app_stage *app_stage_find(struct app *app, uint64_t seq);
struct app_stage *app_stage_add(struct app *app, uint64_t seq, uint32_t node, uint32_t attempt, enum core_stage kind);
/* Of a stage that runs, or of one that is over; false when it is not known any more. */
bool app_stage_past(struct app *app, uint64_t seq, struct app_past *out);
void app_stage_remove(struct app *app, uint64_t seq);
int app_instances_add(struct app *app, struct app_expansion *expansion, uint32_t first); /* takes the strings */
const char *app_node_item(const struct app *app, uint32_t node); /* JSON text or NULL */
uint32_t app_node_task(const struct app *app, uint32_t node);    /* the graph task that a node belongs to */
void app_tables_free(struct app *app);

/* --- providers.c --- */
int app_providers_open(struct app *app, struct mf_error *error);
void app_providers_close(struct app *app);
/* The parts that a sweep needs too, which has no run. */
const char *app_provider_override(const struct recipe_info *info); /* the address from the environment; NULL: none */
int app_provider_address(struct app_provider *provider, const char *url, bool allow_base_url, struct mf_error *error);
/* Takes the source out of --credential (else what is there, else the emulator's own) and reads it. */
int app_provider_source(struct app_provider *provider, const struct app_pair *given, uint32_t given_count, struct mf_error *error);
void app_provider_close(struct app_provider *provider);
int app_provider_credential(void *context, bool fresh, struct mf_span *out, struct mf_error *error);
/* Recipe, terms, address, inputs and credential of one provider or service. `index` and `app` must be those of a run. */
int app_source_open(struct app *app, struct app_provider *provider, const struct graph_provider *declared,
                    bool service, struct mf_error *error);

/* --- services.c --- */
int app_services_open(struct app *app, struct mf_error *error); /* after the providers */
void app_services_close(struct app *app);

/* --- policies.c: what the runner's gateway must know before the first stage --- */
uint64_t app_policy_of_provider(const struct app *app, uint32_t provider);
uint64_t app_service_id(uint32_t service);
int app_policies_send(struct app *app, struct mf_error *error); /* after every RUNNER_UP */
int app_service_send(struct app *app, uint32_t service, struct mf_error *error); /* again when its credential is new */
/* What an agent gets to see of a provider or service: the marks of gateway/gateway.h where token and address belong. */
int app_put_variable(void *strings, struct mf_span name, struct mf_span value); /* for recipe_inject and the like */
int app_agent_variables(const struct app_provider *provider, struct mf_span ids, struct mf_span secrets,
                        struct strings *out, struct mf_error *error);
struct recipe_vars app_recipe_vars(const struct app_provider *provider, struct mf_span ids, struct mf_span secrets,
                                   int64_t now_ms);

/* --- lease.c --- */
int app_lease_keep(struct app *app, const struct core_command *command);
void app_leases_forget(struct app *app, uint32_t node); /* the stage cannot be: nobody gets them */
/* Sends the leases of a node's next stage. Their numbers: the caller frees them; NULL: it cannot be. */
uint64_t *app_leases_send(struct app *app, const struct core_command *command, uint32_t *count, struct mf_error *error);

/* --- walls.c; see app/walls.h --- */
/* Before anything is started: MF_SANDBOX (exit 6) with the remedy when a task's walls cannot be given, MF_INPUT for a path. */
int app_walls_check(struct app *app, struct mf_error *error);

/* --- heard.c: what the gateway saw --- */
void app_heard_anomaly(void *context, const struct runner_anomaly *anomaly);
void app_heard_account_dead(void *context, uint64_t lease);
void app_heard_service_refused(void *context, uint64_t service);
void app_heard_budget(void *context, uint64_t stage, const char *which);
void app_heard_usage(void *context, const struct runner_usage *usage);
void app_heard_audit_head(void *context, uint64_t count, const char *head);
/* Takes the figures in, to be journaled. */
void app_usage_told(struct app *app, const struct usage_key *key, const struct usage_figures *figures);
/* The same facts from the journal of an earlier life. */
int app_heard_replay(struct app *app, const struct core_record *record, struct mf_span extra, struct mf_error *error);

/* --- rebuild.c --- */
void app_usage_rebuild(struct app *app); /* between two runners: from the audit log that the last one left */

/* --- emulate.c --- */
int app_emulator_start(struct app *app, struct mf_error *error);
void app_emulator_stop(struct app *app);

/* --- plan.c: the graph as the core's arrays --- */
struct core_provider app_core_provider(const struct recipe_info *info);
int app_build_core_graph(struct app *app, struct mf_error *error);
void app_free_core_graph(struct app *app);

/* --- values.c: what templates may name --- */
void app_values(struct app *app, uint32_t node, struct template_values *out);
/* The text of a task's prompt file, read once when the run was opened; empty when it has none. */
struct mf_span app_prompt_file(const struct app *app, uint32_t task);
int app_prompts_open(struct app *app, struct mf_error *error);
void app_prompts_free(struct app *app);

/* --- control.c --- */
int app_control_open(struct app *app, struct mf_error *error);
void app_control_close(struct app *app);

/* --- leftover.c --- */
void app_boot_id(char out[64]);
int app_end_leftovers(struct app *app, struct mf_error *error); /* after the replay */
void app_remove_leftovers(struct app *app);                     /* when all accounts are settled */

/* --- recover.c --- */
int app_open_new(struct app *app, struct mf_error *error);
int app_open_existing(struct app *app, struct mf_error *error);
int app_replay(struct app *app, struct mf_error *error); /* after core_create */
int app_revise(struct app *app, struct mf_error *error); /* after the replay: the graph becomes the run's */

#endif
