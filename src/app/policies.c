/*
 * policies.c - what the runner's gateway must know of providers and services, and what an agent gets to see of them
 *
 * After every start of a runner each policy is sent once, then each service with its operator's key; leases and stages name
 * them by number. An agent sees the marks of gateway/gateway.h instead of a token and an address: the runner puts in what its
 * gateway gives out, so that no real value ever stands in what is made here for an agent.
 */
#include "app/app_private.h"

#include "app/strings.h"
#include "base/assert.h"
#include "gateway/gateway.h"
#include "json/write.h"

uint64_t app_policy_of_provider(const struct app *app, uint32_t provider)
{
    (void)app;
    return 1 + (uint64_t)provider;
}

static uint64_t policy_of_service(const struct app *app, uint32_t service)
{
    return 1 + (uint64_t)app->provider_count + service;
}

uint64_t app_service_id(uint32_t service)
{
    return 1 + (uint64_t)service;
}

struct recipe_vars app_recipe_vars(const struct app_provider *provider, struct mf_span ids, struct mf_span secrets,
                                   int64_t now_ms)
{
    return (struct recipe_vars){.base_url = mf_span(provider->base_url),
                                .inputs = provider->inputs,
                                .input_count = provider->input_count,
                                .ids_json = ids,
                                .secrets_json = secrets,
                                .now_ms = now_ms};
}

int app_put_variable(void *context, struct mf_span name, struct mf_span value)
{
    return strings_add_variable(context, name, value);
}

/* --- what an agent sees --- */

/* Every secret that was recorded, by name, each with the mark as its value. */
static int mask(struct mf_span secrets, struct mf_buf *out, struct mf_error *error)
{
    struct json_document document;
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_object(&writer);
    if (secrets.length > 0) {
        if (json_scan_error(&document, secrets, &json_limits_default, error) != 0)
            return mf_wrap(error, "secrets of an account");
        for (uint32_t key = json_first(&document, 0); key != JSON_NONE; key = json_next(&document, 0, key)) {
            struct mf_buf name;
            mf_buf_init(&name, 1024);
            json_text(&document, key, &name);
            json_key_span(&writer, mf_buf_view(&name));
            json_string_span(&writer, MF_SPAN(GATEWAY_TOKEN_MARK));
            mf_buf_free(&name);
        }
        json_document_free(&document);
    }
    json_close_object(&writer);
    return out->failed ? mf_fail(error, MF_MEMORY, "secrets of an account: no memory") : 0;
}

int app_agent_variables(const struct app_provider *provider, struct mf_span ids, struct mf_span secrets,
                        struct strings *out, struct mf_error *error)
{
    struct mf_buf masked;
    mf_buf_init(&masked, APP_VALUES_BYTES_MAX);
    int result = mask(secrets, &masked, error);
    if (result == 0) {
        struct recipe_vars vars = app_recipe_vars(provider, ids, mf_buf_view(&masked), 0);
        vars.base_url = MF_SPAN(GATEWAY_URL_MARK);
        vars.credential = MF_SPAN(GATEWAY_TOKEN_MARK);
        result = recipe_inject(provider->recipe, &vars, app_put_variable, out, error);
    }
    mf_buf_free(&masked);
    return result;
}

/* --- sending --- */

/* The recipe's policy with the canaries of the graph as one more member. */
static void write_policy(const struct app *app, const struct app_provider *provider, struct mf_buf *out)
{
    const struct json_document *document = graph_document(app->graph);
    uint32_t list = graph_canaries(app->graph);
    struct mf_span text = mf_buf_view(&provider->policy);
    mf_assert(text.length > 2 && text.data[text.length - 1] == '}');
    mf_buf_append(out, text.data, text.length - (list != JSON_NONE));
    if (list == JSON_NONE)
        return;
    struct json_writer writer;
    mf_buf_text(out, ",\"canaries\":");
    json_begin(&writer, out);
    json_open_array(&writer);
    for (uint32_t at = json_first(document, list); at != JSON_NONE; at = json_next(document, list, at)) {
        char canary[GRAPH_CANARY_BYTES_MAX + 1];
        int fits = json_copy(document, at, canary, sizeof canary);
        mf_assert(fits == 0); /* checked at load */
        json_string(&writer, canary);
    }
    json_close_array(&writer);
    mf_buf_char(out, '}');
}

static int send_policy(struct app *app, uint64_t policy, const struct app_provider *provider, struct mf_error *error)
{
    struct mf_buf text;
    mf_buf_init(&text, APP_POLICY_BYTES_MAX);
    write_policy(app, provider, &text);
    struct runner_policy message = {.policy = policy, .json = mf_buf_view(&text)};
    int result = text.failed ? mf_fail(error, MF_MEMORY, "no memory") : runner_send_policy(app->runner, &message, error);
    mf_buf_free(&text);
    return result == 0 ? 0 : mf_wrap(error, "policy of `%s`", provider->name);
}

static int build_service(struct app *app, uint32_t index, struct strings *headers, struct mf_buf *upstream,
                         struct mf_span *credential, struct mf_error *error)
{
    struct app_provider *source = &app->services[index].source;
    struct recipe_vars vars = app_recipe_vars(source, (struct mf_span){"", 0}, (struct mf_span){"", 0}, app_now(app));
    if (recipe_info(source->recipe)->needs_credential && app_provider_credential(source, false, credential, error) != 0)
        return -1;
    vars.credential = *credential;
    if (recipe_upstream(source->recipe, &vars, upstream, error) != 0)
        return -1;
    return recipe_inject_headers(source->recipe, &vars, app_put_variable, headers, error);
}

int app_service_send(struct app *app, uint32_t index, struct mf_error *error)
{
    const struct app_service *service = &app->services[index];
    const struct graph_service *declared = graph_service(app->graph, index);
    struct strings headers;
    struct mf_buf upstream;
    struct mf_span credential = {NULL, 0};
    strings_init(&headers, APP_VALUES_BYTES_MAX, true);
    mf_buf_init(&upstream, 8192);
    int result = build_service(app, index, &headers, &upstream, &credential, error);
    if (result == 0) {
        struct runner_service message = {
            .service = app_service_id(index),
            .policy = policy_of_service(app, index),
            .name = mf_span(service->source.name),
            .upstream = mf_buf_view(&upstream),
            .headers = strings_variables(&headers),
            .header_count = headers.count,
            .running_max = declared->running_max,
            .budget_micro_usd = declared->budget_micro_usd,
            .run_budget_micro_usd = graph_budget_micro_usd(app->graph),
            .secrets = &credential,
            .secret_count = credential.length > 0,
        };
        result = headers.no_memory ? mf_fail(error, MF_MEMORY, "no memory")
                                   : runner_send_service(app->runner, &message, error);
    }
    strings_free(&headers);
    mf_buf_free(&upstream);
    return result == 0 ? 0 : mf_wrap(error, "service `%s`", service->source.name);
}

int app_policies_send(struct app *app, struct mf_error *error)
{
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (send_policy(app, app_policy_of_provider(app, i), &app->providers[i], error) != 0)
            return -1;
    for (uint32_t i = 0; i < app->service_count; i++) {
        if (!app->services[i].used)
            continue;
        if (send_policy(app, policy_of_service(app, i), &app->services[i].source, error) != 0 ||
            app_service_send(app, i, error) != 0)
            return -1;
    }
    return 0;
}
