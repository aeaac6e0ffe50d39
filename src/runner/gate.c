/*
 * gate.c - the runner's gateway: policies and services handed in, what it sees handed on to the orchestrator
 *
 * The gateway lives on the runner's loop. A policy or service that it does not take is remembered with the reason: a stage that
 * needs it fails with that text, and nothing is allowed meanwhile.
 */
#include "runner/runner_private.h"

#include "base/alloc.h"
#include "gateway/policy.h"

#include <stdio.h>
#include <string.h>

#define DETAIL_BYTES_MAX 2000 /* what the other end has room for */

/* Descriptors of the run are raised to what the system gives; agents share what providers and services take. */
#define CONNECTIONS_PER_ORIGIN_MAX 64
#define CONNECTIONS_MAX 1024

/* --- what the gateway sees --- */

static void on_anomaly(void *context, uint64_t stage, uint64_t lease, enum watch_kind kind, const char *detail)
{
    struct runner *runner = context;
    struct frame_writer writer;
    size_t length = strlen(detail);
    struct message_anomaly message = {
        .kind = mf_span(watch_name(kind)),
        .violation = watch_is_violation(kind),
        .detail = {detail, length < DETAIL_BYTES_MAX ? length : DETAIL_BYTES_MAX},
    };
    channel_begin(runner->orchestrator, &writer, FRAME_ANOMALY, stage, lease);
    message_put_anomaly(&writer, &message);
    channel_end(runner->orchestrator, &writer, NULL);
}

static void on_account_dead(void *context, uint64_t lease)
{
    struct runner *runner = context;
    struct frame_writer writer;
    channel_begin(runner->orchestrator, &writer, FRAME_ACCOUNT_DEAD, 0, lease);
    channel_end(runner->orchestrator, &writer, NULL);
}

static void on_service_refused(void *context, uint64_t service)
{
    struct runner *runner = context;
    struct frame_writer writer;
    channel_begin(runner->orchestrator, &writer, FRAME_SERVICE_REFUSED, 0, 0);
    frame_put_u64(&writer, service);
    channel_end(runner->orchestrator, &writer, NULL);
}

static void on_budget(void *context, uint64_t stage, const char *which)
{
    struct runner *runner = context;
    struct frame_writer writer;
    channel_begin(runner->orchestrator, &writer, FRAME_BUDGET, stage, 0);
    frame_put_text(&writer, which);
    channel_end(runner->orchestrator, &writer, NULL);
}

static void on_usage(void *context, const struct gateway_usage *usage)
{
    struct runner *runner = context;
    struct frame_writer writer;
    struct message_usage message = {
        .service = usage->service,
        .requests = usage->requests,
        .input_tokens = usage->input_tokens,
        .output_tokens = usage->output_tokens,
        .cached_tokens = usage->cached_tokens,
        .cache_write_tokens = usage->cache_write_tokens,
        .micro_usd = usage->micro_usd,
    };
    channel_begin(runner->orchestrator, &writer, FRAME_USAGE, usage->stage, 0);
    message_put_usage(&writer, &message);
    channel_end(runner->orchestrator, &writer, NULL);
}

static void on_audit_head(void *context, uint64_t count, const char *head)
{
    struct runner *runner = context;
    struct frame_writer writer;
    channel_begin(runner->orchestrator, &writer, FRAME_AUDIT_HEAD, 0, 0);
    frame_put_u64(&writer, count);
    frame_put_text(&writer, head);
    channel_end(runner->orchestrator, &writer, NULL);
}

static void on_dropped(void *context, uint64_t lease)
{
    struct runner *runner = context;
    struct frame_writer writer;
    channel_begin(runner->orchestrator, &writer, FRAME_DROPPED, 0, lease);
    channel_end(runner->orchestrator, &writer, NULL);
}

/* --- life --- */

int gate_open(struct runner *runner, struct mf_error *error)
{
    static const struct gateway_handlers handlers = {
        .anomaly = on_anomaly,
        .account_dead = on_account_dead,
        .service_refused = on_service_refused,
        .budget = on_budget,
        .usage = on_usage,
        .audit_head = on_audit_head,
        .dropped = on_dropped,
    };
    struct net_client_options client = {
        .connections_per_origin_max = CONNECTIONS_PER_ORIGIN_MAX,
        .connections_max = CONNECTIONS_MAX,
        .ca_file = runner->ca_file[0] != '\0' ? runner->ca_file : NULL,
    };
    if (net_client_create(&runner->client, runner->loop, &client, error) != 0)
        return -1;
    struct gateway_options options = {
        .loop = runner->loop,
        .client = runner->client,
        .run_dir_fd = runner->run_fd,
        .run_id = runner->run_id,
        .anchored_count = runner->anchored_count,
    };
    memcpy(options.anchored_head, runner->anchored_head, sizeof options.anchored_head);
    return gateway_create(&runner->gateway, &options, &handlers, runner, error);
}

static void service_free(struct service_entry *entry)
{
    message_memory_free(&entry->memory);
    mf_buf_free(&entry->payload);
    mf_free(entry);
}

void gate_close(struct runner *runner)
{
    gateway_destroy(runner->gateway);
    net_client_destroy(runner->client);
    runner->gateway = NULL;
    runner->client = NULL;
    while (runner->policies != NULL) {
        struct policy_entry *next = runner->policies->next;
        mf_free(runner->policies->base_path);
        mf_free(runner->policies);
        runner->policies = next;
    }
    while (runner->services != NULL) {
        struct service_entry *next = runner->services->next;
        service_free(runner->services);
        runner->services = next;
    }
}

/* --- policies --- */

const struct policy_entry *gate_policy(const struct runner *runner, uint64_t id)
{
    const struct policy_entry *entry = runner->policies;
    while (entry != NULL && entry->id != id)
        entry = entry->next;
    return entry;
}

/* The base path as the gateway reads it, because agents are told a URL with it. */
static char *base_path_of(struct mf_span json, struct mf_error *error)
{
    struct policy *policy;
    if (policy_create(&policy, json, error) != 0)
        return NULL;
    struct mf_span base_path = policy_base_path(policy);
    char *copy = mf_strndup(base_path.data != NULL ? base_path.data : "", base_path.length);
    if (copy == NULL)
        mf_fail(error, MF_MEMORY, "policy: no memory");
    policy_destroy(policy);
    return copy;
}

static struct policy_entry *policy_entry(struct runner *runner, uint64_t id)
{
    struct policy_entry *entry = runner->policies;
    while (entry != NULL && entry->id != id)
        entry = entry->next;
    if (entry != NULL)
        return entry;
    entry = mf_calloc(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->id = id;
    entry->next = runner->policies;
    runner->policies = entry;
    return entry;
}

int runner_on_policy(struct runner *runner, const struct frame *frame)
{
    struct runner_policy message;
    struct message_memory memory;
    struct mf_error error = {.code = MF_NONE};
    if (message_take_policy(frame->payload, &message, &memory) != 0)
        return -1;
    message_memory_free(&memory);
    struct policy_entry *entry = policy_entry(runner, message.policy);
    if (entry == NULL)
        return -1;
    mf_free(entry->base_path);
    entry->trouble[0] = '\0';
    entry->base_path = base_path_of(message.json, &error);
    if (entry->base_path == NULL || gateway_add_policy(runner->gateway, message.policy, message.json, &error) != 0)
        snprintf(entry->trouble, sizeof entry->trouble, "policy: %.200s", error.text);
    return 0;
}

/* --- services --- */

const struct service_entry *gate_service(const struct runner *runner, uint64_t id)
{
    const struct service_entry *entry = runner->services;
    while (entry != NULL && entry->id != id)
        entry = entry->next;
    return entry;
}

static int add_service(struct runner *runner, const struct runner_service *message, struct mf_error *error)
{
    struct gateway_header *headers = mf_calloc(message->header_count, sizeof *headers);
    if (headers == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    for (uint32_t i = 0; i < message->header_count; i++)
        headers[i] = (struct gateway_header){message->headers[i].name, message->headers[i].value};
    struct gateway_service service = {
        .service = message->service,
        .policy = message->policy,
        .name = message->name,
        .upstream = message->upstream,
        .headers = headers,
        .header_count = message->header_count,
        .running_max = message->running_max,
        .budget_micro_usd = message->budget_micro_usd,
        .run_budget_micro_usd = message->run_budget_micro_usd,
    };
    int result = gateway_add_service(runner->gateway, &service, error);
    mf_free(headers);
    return result;
}

static void replace_service(struct runner *runner, struct service_entry *entry)
{
    struct service_entry **at = &runner->services;
    while (*at != NULL && (*at)->id != entry->id)
        at = &(*at)->next;
    if (*at != NULL) {
        struct service_entry *old = *at;
        *at = old->next;
        service_free(old);
    }
    entry->next = runner->services;
    runner->services = entry;
}

int runner_on_service(struct runner *runner, const struct frame *frame)
{
    struct mf_error error = {.code = MF_NONE};
    struct service_entry *entry = mf_calloc(1, sizeof *entry);
    if (entry == NULL)
        return -1;
    mf_buf_init_secret(&entry->payload, FRAME_BYTES_MAX);
    if (mf_buf_span(&entry->payload, frame->payload) != 0 ||
        message_take_service(mf_buf_view(&entry->payload), &entry->message, &entry->memory) != 0) {
        service_free(entry);
        return -1;
    }
    entry->id = entry->message.service;
    if (add_service(runner, &entry->message, &error) != 0)
        snprintf(entry->trouble, sizeof entry->trouble, "service: %.200s", error.text);
    replace_service(runner, entry);
    return 0;
}
