/*
 * heard.c - what the gateway saw, as inputs of the core and facts of the journal
 *
 * Anomalies, usage, budgets and heads of the audit log come from the runner, which is ours; what they describe comes from agents.
 * Numbers are kept in a range that a replay accepts. The same facts are read back from the journal of an earlier life.
 */
#include "app/app_private.h"

#include "base/assert.h"
#include "json/write.h"

#include <string.h>

#define CREDENTIAL_AGAIN_MS 1000 /* a key that is refused again is read again after this, then twice this ... */
#define CREDENTIAL_AGAIN_MS_MAX 60000
#define MICRO_USD_MAX (INT64_C(1) << 50) /* a billion dollars: sums stay far from their end */

/* The node and attempt of a stage, also of one that is over. */
static bool stage_of(struct app *app, uint64_t stage, struct core_input *input)
{
    struct app_past past;
    if (!app_stage_past(app, stage, &past))
        return false;
    input->node = past.node;
    input->attempt = past.attempt;
    input->stage = stage;
    input->stage_kind = past.kind;
    return true;
}

/* --- anomalies --- */

void app_heard_anomaly(void *context, const struct runner_anomaly *anomaly)
{
    struct app *app = context;
    struct core_input input = {.kind = CORE_INPUT_VIOLATION, .node = CORE_NONE, .flag = !anomaly->violation};
    if (anomaly->stage != 0)
        stage_of(app, anomaly->stage, &input);
    struct app_payload *payload = app_payload_new();
    mf_buf_text(&payload->extra, "\"anomaly\":");
    json_escape(&payload->extra, mf_span(anomaly->kind));
    mf_buf_text(&payload->extra, ",\"detail\":");
    json_escape(&payload->extra, mf_span(anomaly->detail));
    if (input.node == CORE_NONE && anomaly->violation)
        mf_buf_text(&payload->extra, ",\"violation\":true");
    app->violations += anomaly->violation;
    app_push(app, &input, payload);
}

/* --- accounts and credentials --- */

void app_heard_account_dead(void *context, uint64_t lease)
{
    struct app *app = context;
    uint32_t account = core_lease_account(app->core, lease);
    if (account == CORE_NONE)
        return;
    struct app_payload *payload = app_payload_new();
    app_payload_reason(payload, "the provider refused its credential three times in a row");
    app_push(app, &(struct core_input){.kind = CORE_INPUT_ACCOUNT_DEAD, .account = account}, payload);
}

static void read_again(void *context)
{
    struct app_service *service = context;
    struct app *app = service->app;
    struct mf_error error = {0};
    struct mf_span credential;
    if (app->runner == NULL || app->runner_dead)
        return;
    int64_t pause_ms = (int64_t)CREDENTIAL_AGAIN_MS << (service->asked < 6 ? service->asked : 6);
    service->asked++;
    service->again_ms = net_now_ms() + (pause_ms < CREDENTIAL_AGAIN_MS_MAX ? pause_ms : CREDENTIAL_AGAIN_MS_MAX);
    app_note(app, "service `%s` refused the operator's credential; reading it again", service->source.name);
    /* Sent in any case: only then the gateway tells the next refusal. */
    if (app_provider_credential(&service->source, true, &credential, &error) != 0)
        app_note(app, "%s", error.text);
    if (app_service_send(app, (uint32_t)(service - app->services), &error) != 0)
        app_note(app, "%s", error.text);
}

/* At once for the first time; a key that stays wrong is read less and less often. */
void app_heard_service_refused(void *context, uint64_t id)
{
    struct app *app = context;
    struct mf_error error = {0};
    if (id < 1 || id > app->service_count || !app->services[id - 1].used)
        return;
    struct app_service *service = &app->services[id - 1];
    if (service->again == NULL && net_timer_create(&service->again, app->loop, read_again, service, &error) != 0)
        app_note(app, "service `%s`: %s", service->source.name, error.text);
    else
        net_timer_set(service->again, service->again_ms > net_now_ms() ? service->again_ms : net_now_ms());
}

/* --- money --- */

static bool service_named(const struct app *app, const char *name, uint32_t *out)
{
    for (uint32_t i = 0; i < app->service_count; i++)
        if (strcmp(graph_service(app->graph, i)->source.name, name) == 0) {
            *out = i;
            return true;
        }
    return false;
}

void app_heard_budget(void *context, uint64_t stage, const char *which)
{
    struct app *app = context;
    struct core_input input = {.kind = CORE_INPUT_BUDGET, .node = CORE_NONE};
    if (stage != 0 && !stage_of(app, stage, &input))
        return;
    struct app_payload *payload = app_payload_new();
    char reason[200];
    uint32_t service;
    if (stage != 0)
        mf_format(reason, sizeof reason, "its budget_usd is used up");
    else if (service_named(app, which, &service))
        mf_format(reason, sizeof reason, "the budget_usd of service `%s` is used up", which);
    else
        mf_format(reason, sizeof reason, "limits.budget_usd is used up");
    app_payload_reason(payload, reason);
    app_push(app, &input, payload);
}

static void write_figures(struct mf_buf *out, const char *service, const struct usage_figures *figures)
{
    mf_buf_text(out, "\"service\":");
    json_escape(out, mf_span(service));
#define X(name, member) mf_buf_printf(out, ",\"" name "\":%llu", (unsigned long long)figures->member);
    USAGE_COUNTS(X)
#undef X
    if (figures->micro_usd >= 0)
        mf_buf_printf(out, ",\"micro_usd\":%lld", (long long)figures->micro_usd);
}

void app_usage_told(struct app *app, const struct usage_key *key, const struct usage_figures *figures)
{
    if (usage_book_put(&app->usage, key, figures) != 0)
        app_note(app, "usage of `%s`: no memory to count it", app_node_path(app, key->node));
    struct app_payload *payload = app_payload_new();
    write_figures(&payload->extra, graph_service(app->graph, key->service)->source.name, figures);
    app_push(app,
             &(struct core_input){.kind = CORE_INPUT_USAGE,
                                  .node = key->node,
                                  .attempt = key->attempt,
                                  .stage_kind = (enum core_stage)key->stage_kind},
             payload);
}

void app_heard_usage(void *context, const struct runner_usage *usage)
{
    struct app *app = context;
    struct core_input input = {0}; /* only its stage is of interest */
    uint32_t service;
    if (!stage_of(app, usage->stage, &input) || !service_named(app, usage->service, &service))
        return;
    struct usage_figures figures = {
#define X(name, member) .member = usage->member,
        USAGE_COUNTS(X)
#undef X
            .micro_usd = usage->micro_usd < MICRO_USD_MAX ? usage->micro_usd : MICRO_USD_MAX};
    struct usage_key key = {input.node, input.attempt, service, (uint32_t)input.stage_kind};
    app_usage_told(app, &key, &figures);
}

/* --- the audit log --- */

/* A count that went back is no news for the core. Nobody but the runner writes the log: it is told, and the journal keeps what it has. */
void app_heard_audit_head(void *context, uint64_t count, const char *head)
{
    struct app *app = context;
    if (count < app->audit_count || count >= CORE_NONE || strlen(head) != AUDIT_HASH_HEX - 1) {
        app_note(app, "audit log: the runner says %llu lines, but %llu are journaled", (unsigned long long)count,
                 (unsigned long long)app->audit_count);
        return;
    }
    struct app_payload *payload = app_payload_new();
    memcpy(payload->sha256, head, AUDIT_HASH_HEX);
    mf_buf_text(&payload->extra, "\"head\":");
    json_escape(&payload->extra, mf_span(head));
    app_push(app, &(struct core_input){.kind = CORE_INPUT_AUDIT, .count = (uint32_t)count}, payload);
}

/* --- from the journal --- */

static uint64_t member_u64(const struct json_document *document, const char *name)
{
    int64_t value;
    uint32_t node = json_member(document, 0, name);
    return node != JSON_NONE && json_int(document, node, &value) == 0 && value > 0 ? (uint64_t)value : 0;
}

static int replay_usage(struct app *app, const struct core_record *record, const struct json_document *document,
                        struct mf_error *error)
{
    char name[128];
    uint32_t service;
    uint32_t node = json_member(document, 0, "service");
    if (node == JSON_NONE || json_copy(document, node, name, sizeof name) != 0 || !service_named(app, name, &service))
        return 0; /* another graph's: the sums are of this one's services */
    struct usage_figures figures = {
#define X(text, member) .member = member_u64(document, text),
        USAGE_COUNTS(X)
#undef X
            .micro_usd =
            json_member(document, 0, "micro_usd") != JSON_NONE ? (int64_t)member_u64(document, "micro_usd") : -1};
    if (figures.micro_usd > MICRO_USD_MAX)
        figures.micro_usd = MICRO_USD_MAX;
    struct usage_key key = {record->node, (uint32_t)record->facts[0], service, (uint32_t)record->facts[1]};
    return usage_book_put(&app->usage, &key, &figures) == 0 ? 0 : mf_fail(error, MF_MEMORY, "usage: no memory");
}

static void replay_head(struct app *app, const struct core_record *record, const struct json_document *document)
{
    char head[AUDIT_HASH_HEX];
    uint32_t node = json_member(document, 0, "head");
    if (node == JSON_NONE || json_copy(document, node, head, sizeof head) != 0 || strlen(head) != AUDIT_HASH_HEX - 1)
        return;
    app->audit_count = (uint64_t)record->facts[0];
    memcpy(app->audit_head, head, sizeof app->audit_head);
}

int app_heard_replay(struct app *app, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    struct mf_buf object;
    struct json_document document;
    int result = 0;
    bool known = record->kind == CORE_TASK_USAGE || record->kind == CORE_RUN_AUDIT || record->kind == CORE_TASK_STARTED;
    app->violations += record->kind == CORE_TASK_VIOLATION;
    if (!known || extra.length == 0)
        return 0;
    mf_buf_init(&object, extra.length + 2);
    mf_buf_char(&object, '{');
    mf_buf_span(&object, extra);
    mf_buf_char(&object, '}');
    if (!object.failed && json_scan(&document, mf_buf_view(&object), &json_limits_default, NULL) == 0) {
        if (record->kind == CORE_TASK_USAGE)
            result = replay_usage(app, record, &document, error);
        else if (record->kind == CORE_RUN_AUDIT)
            replay_head(app, record, &document);
        else
            app->stages_without_sandbox += json_member(&document, 0, "sandbox") != JSON_NONE;
        json_document_free(&document);
    }
    mf_buf_free(&object);
    return result;
}
