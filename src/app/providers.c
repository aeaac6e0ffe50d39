/*
 * providers.c - the providers of a run: recipe, address, terms, inputs, operator's credential
 *
 * Everything that can be wrong is found before anything is sent: an unknown recipe, a permission that it does not know, a missing
 * input or credential, terms that nobody accepted, an address that points away from this machine.
 */
#include "app/app_private.h"

#include "app/credential.h"
#include "app/recipes.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "store/hash.h"
#include "json/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORIGIN_BYTES_MAX 320u                  /* a scheme, a host name of at most 253, a port */
#define PLACED_URL_BYTES_MAX 8192u              /* as any URL of a recipe */
#define EMULATOR_TOKEN "MAYFLY_EMULATOR_TOKEN" /* as `mayfly emulate` reads it */

const char *app_provider_name(const struct app *app, uint32_t provider)
{
    return provider < app->provider_count ? app->providers[provider].name : "?";
}

static const char *word_of(const struct app_provider *provider)
{
    return provider->service ? "service" : "provider";
}

int app_provider_credential(void *context, bool fresh, struct mf_span *out, struct mf_error *error)
{
    struct app_provider *provider = context;
    /* A command may know a newer one, and so may a file; a variable was taken out of the environment. */
    bool again = provider->source != NULL && strncmp(provider->source, "env:", 4) != 0;
    if ((!provider->credential_read || (fresh && again)) && provider->source != NULL) {
        struct mf_buf value; /* what is there stays when nothing new can be read */
        mf_buf_init_secret(&value, APP_CREDENTIAL_BYTES_MAX);
        if (credential_read(provider->source, &value, error) != 0) {
            mf_buf_free(&value);
            return mf_wrap(error, "%s `%s`", word_of(provider), provider->name);
        }
        mf_buf_free(&provider->credential);
        provider->credential = value;
        provider->credential_read = true;
    }
    if (provider->credential.length == 0)
        return mf_fail(error, MF_USAGE, "%s `%s`: no operator's credential; give `--credential %s=file:PATH`",
                       word_of(provider), provider->name, provider->name);
    *out = mf_buf_view(&provider->credential);
    return 0;
}

/* --- one provider, step by step --- */

const char *app_provider_override(const struct recipe_info *info)
{
    const char *override = info->base_url_env != NULL ? getenv(info->base_url_env) : NULL;
    return override != NULL && override[0] != '\0' ? override : NULL;
}

int app_provider_address(struct app_provider *provider, const char *url, bool allow_base_url, struct mf_error *error)
{
    const struct recipe_info *info = recipe_info(provider->recipe);
    char origin[ORIGIN_BYTES_MAX];
    bool loopback = false;
    if (net_check_base_url(url, &loopback, error) != 0)
        return mf_wrap(error, "%s `%s`: base url", word_of(provider), provider->name);
    if (app_provider_override(info) != NULL && !loopback && !allow_base_url)
        return mf_fail(error, MF_USAGE,
                       "%s `%s`: %s points away from this machine (%s); give --allow-base-url if it is meant",
                       word_of(provider), provider->name, info->base_url_env, url);
    if (net_origin(url, origin, sizeof origin, error) != 0)
        return mf_wrap(error, "%s `%s`: base url", word_of(provider), provider->name);
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        length--;
    provider->base_url = mf_strndup(url, length);
    provider->origin = mf_strdup(origin);
    return provider->base_url != NULL && provider->origin != NULL
               ? 0
               : mf_fail(error, MF_MEMORY, "%s `%s`: no memory", word_of(provider), provider->name);
}

/* What the gateway must know of it: made once, the same for every runner. */
static int open_policy(struct app_provider *provider, struct mf_error *error)
{
    mf_buf_init(&provider->policy, APP_POLICY_BYTES_MAX);
    if (recipe_policy(provider->recipe, &provider->policy, error) != 0)
        return mf_wrap(error, "%s `%s`: policy", word_of(provider), provider->name);
    return provider->policy.failed
               ? mf_fail(error, MF_LIMIT, "%s `%s`: its policy does not fit", word_of(provider), provider->name)
               : 0;
}

/* Where a service is that the operator places by an input. */
static int open_placed(struct app *app, struct app_provider *provider, struct mf_error *error)
{
    struct recipe_vars vars = app_recipe_vars(provider, (struct mf_span){"", 0}, (struct mf_span){"", 0}, 0);
    struct mf_buf url;
    mf_buf_init(&url, PLACED_URL_BYTES_MAX);
    int result = recipe_upstream(provider->recipe, &vars, &url, error);
    if (result != 0)
        result = mf_wrap(error, "%s `%s`", word_of(provider), provider->name);
    else
        result = app_provider_address(provider, mf_buf_cstr(&url), app->options.allow_base_url, error);
    mf_buf_free(&url);
    return result;
}

static int open_address(struct app *app, struct app_provider *provider, struct mf_error *error)
{
    const struct recipe_info *info = recipe_info(provider->recipe);
    const char *override = app_provider_override(info);
    if (provider->base_url !=
        NULL) { /* of an earlier run: the address that it used, whatever the environment says now */
        provider->origin = mf_alloc(ORIGIN_BYTES_MAX);
        return provider->origin != NULL
                   ? net_origin(provider->base_url, provider->origin, ORIGIN_BYTES_MAX, error)
                   : mf_fail(error, MF_MEMORY, "%s `%s`: no memory", word_of(provider), provider->name);
    }
    if (info->base_url_input)
        return open_placed(app, provider, error);
    const char *url = override != NULL ? override : info->base_url;
    if (override == NULL && info->emulated) {
        if (app_emulator_start(app, error) != 0)
            return -1;
        provider->served = true;
        url = app->emulator.url;
    }
    return app_provider_address(provider, url, app->options.allow_base_url, error);
}

static int open_terms(struct app *app, const struct app_provider *provider, struct mf_error *error)
{
    const struct recipe_info *info = recipe_info(provider->recipe);
    if (info->terms_count == 0 || app->options.mode == APP_TEARDOWN || state_terms_accepted(app->state, provider->name))
        return 0;
    for (uint32_t i = 0; i < app->options.accept_terms_count; i++)
        if (strcmp(app->options.accept_terms[i], provider->name) == 0 ||
            strcmp(app->options.accept_terms[i], info->name) == 0)
            return 0;
    char list[600] = "";
    for (uint32_t i = 0; i < info->terms_count; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", info->terms[i].url);
    }
    return mf_fail(error, MF_USAGE, "%s `%s`: its terms are not accepted (%s); read them, then give --accept-terms %s",
                   word_of(provider), provider->name, list, provider->name);
}

/* The graph's own source as text; a file is relative to the graph. */
static char *declared_source(const struct app *app, const struct graph_provider *declared)
{
    struct mf_buf text;
    mf_buf_init(&text, APP_CREDENTIAL_BYTES_MAX);
    if (declared->credential == GRAPH_CREDENTIAL_ENV)
        mf_buf_printf(&text, "env:%s", declared->credential_source);
    else if (declared->credential == GRAPH_CREDENTIAL_FILE)
        mf_buf_printf(&text, declared->credential_source[0] == '/' ? "file:%s%s" : "file:%s/%s",
                      declared->credential_source[0] == '/' ? "" : app->base_dir, declared->credential_source);
    else if (declared->credential == GRAPH_CREDENTIAL_COMMAND)
        mf_buf_printf(&text, "command:%.*s",
                      MF_SPAN_ARGS(json_raw(graph_document(app->graph), declared->credential_command)));
    char *source = text.length > 0 ? mf_buf_take(&text) : NULL;
    mf_buf_free(&text);
    return source;
}

static const char *given_source(const struct app_pair *given, uint32_t count, const char *name)
{
    for (uint32_t i = count; i-- > 0;)
        if (strcmp(given[i].name, name) == 0)
            return given[i].value;
    return NULL;
}

int app_provider_source(struct app_provider *provider, const struct app_pair *given, uint32_t given_count,
                        struct mf_error *error)
{
    const char *source = given_source(given, given_count, provider->name);
    if (source != NULL) {
        mf_free(provider->source);
        provider->source = mf_strdup(source);
    }
    if (provider->source == NULL && recipe_info(provider->recipe)->emulated)
        provider->source = mf_strdup("env:" EMULATOR_TOKEN);
    if (provider->source != NULL && credential_fault(provider->source) != NULL)
        return mf_fail(error, MF_USAGE, "%s `%s`: credential: %s", word_of(provider), provider->name,
                       credential_fault(provider->source));
    struct mf_span value;
    return app_provider_credential(provider, false, &value, error);
}

static int open_credential(struct app *app, struct app_provider *provider, const struct graph_provider *declared,
                           struct mf_error *error)
{
    mf_buf_init_secret(&provider->credential, APP_CREDENTIAL_BYTES_MAX);
    if (!recipe_info(provider->recipe)->needs_credential)
        return 0;
    if (provider->served) {
        provider->credential_read = true;
        return mf_buf_span(&provider->credential, mf_buf_view(&app->emulator.token));
    }
    if (provider->source == NULL)
        provider->source = declared_source(app, declared);
    int result = app_provider_source(provider, app->options.credentials, app->options.credential_count, error);
    if (result == 0 || app->options.mode != APP_TEARDOWN)
        return result;
    app->missing_credential = true; /* matters only when something is left to clean: app.c looks after the replay */
    app_note(app, "%s", error->text);
    return 0;
}

static int open_inputs(struct app *app, struct app_provider *provider, const struct graph_provider *declared,
                       struct mf_error *error)
{
    const struct recipe_info *info = recipe_info(provider->recipe);
    const struct json_document *document = graph_document(app->graph);
    provider->inputs = mf_calloc(info->inputs_count, sizeof *provider->inputs);
    if (provider->inputs == NULL)
        return mf_fail(error, MF_MEMORY, "%s `%s`: no memory", word_of(provider), provider->name);
    for (uint32_t i = 0; i < info->inputs_count; i++) {
        uint32_t node =
            declared->inputs != JSON_NONE ? json_member(document, declared->inputs, info->inputs[i]) : JSON_NONE;
        struct mf_buf value;
        mf_buf_init(&value, 8192);
        struct template_values none = {.run_id = mf_span(app->run_id)};
        if (node == JSON_NONE)
            return mf_fail(error, MF_INPUT, "%s `%s`: input `%s` is missing; give it in %ss.%s.inputs",
                           word_of(provider), provider->name, info->inputs[i], word_of(provider), provider->name);
        if (template_expand_node(app->graph, node, &none, &value, "input", error) != 0) {
            mf_buf_free(&value);
            return mf_wrap(error, "%s `%s`: input `%s`", word_of(provider), provider->name, info->inputs[i]);
        }
        char *text = mf_buf_take(&value);
        if (text == NULL)
            return mf_fail(error, MF_MEMORY, "%s `%s`: no memory", word_of(provider), provider->name);
        provider->inputs[provider->input_count++] = (struct recipe_value){mf_span(info->inputs[i]), mf_span(text)};
    }
    return 0;
}

static int check_kind(const struct app_provider *provider, bool service, struct mf_error *error)
{
    bool is_service = recipe_info(provider->recipe)->kind == RECIPE_KIND_SERVICE;
    if (is_service && !service)
        return mf_fail(error, MF_INPUT,
                       "%s `%s`: its recipe is a service, which gives no accounts; it belongs into `services`",
                       word_of(provider), provider->name);
    if (!is_service && service)
        return mf_fail(error, MF_INPUT, "service `%s`: its recipe gives accounts; it belongs into `providers`",
                       provider->name);
    return 0;
}

int app_source_open(struct app *app, struct app_provider *provider, const struct graph_provider *declared, bool service,
                    struct mf_error *error)
{
    char sha256[65];
    provider->name = declared->name;
    provider->service = service;
    if (provider->recipe == NULL && recipes_load(&provider->recipe, declared->recipe, app->base_dir, error) != 0)
        return mf_wrap(error, "%s `%s`", word_of(provider), declared->name);
    store_sha256(recipe_text(provider->recipe), sha256);
    mf_free(provider->recipe_sha256);
    provider->recipe_sha256 = mf_strdup(sha256);
    provider->rate_path = state_rate_path(app->state, provider->name);
    if (check_kind(provider, service, error) != 0)
        return -1;
    if (app->options.mode != APP_TEARDOWN && open_policy(provider, error) != 0) /* a clean-up starts no agent */
        return -1;
    if (open_terms(app, provider, error) != 0 || open_inputs(app, provider, declared, error) != 0 ||
        open_address(app, provider, error) != 0)
        return -1;
    return open_credential(app, provider, declared, error);
}

static int check_lifetimes(const struct app *app, const struct graph_task *task, struct mf_error *error)
{
    const struct graph_profile *profile = &graph_profiles(app->graph)[task->profile];
    int64_t need = profile->timeout_ms + (task->verify ? profile->verify_timeout_ms : 0) + profile->grace_ms +
                   core_limits_default.lease_margin_ms;
    for (uint32_t s = 0; s < task->slot_count; s++) {
        const struct app_provider *provider = &app->providers[graph_slots(app->graph)[task->slot_first + s].provider];
        int64_t lifetime = recipe_info(provider->recipe)->lifetime_ms;
        char have[24], want[24];
        if (lifetime > 0 && lifetime < need)
            return mf_fail(error, MF_INPUT,
                           "task `%.*s`: timeout + verify + grace + 60s is %s, but an account of `%s` lives only %s",
                           MF_SPAN_ARGS(task->name), mf_format_duration(need, want), provider->name,
                           mf_format_duration(lifetime, have));
    }
    return 0;
}

static int check_slot(const struct app *app, const struct graph_task *task, const struct graph_slot *slot,
                      struct mf_error *error)
{
    const struct recipe *recipe = app->providers[slot->provider].recipe;
    uint32_t count = graph_permission_count(app->graph, slot->permissions);
    if (count > APP_PERMISSIONS_MAX)
        return mf_fail(error, MF_LIMIT, "task `%.*s`: more than %u permissions", MF_SPAN_ARGS(task->name),
                       APP_PERMISSIONS_MAX);
    if (slot->keep_on_success && !recipe_info(recipe)->has_claim)
        return mf_fail(error, MF_INPUT, "task `%.*s`: keep: accounts of `%s` cannot be claimed",
                       MF_SPAN_ARGS(task->name), app->providers[slot->provider].name);
    for (uint32_t i = 0; i < count; i++) {
        struct mf_span name = graph_permission(app->graph, slot->permissions, i).name;
        if (!recipe_has_permission(recipe, name))
            return recipes_unknown_permission(recipe, task->name, name, app->providers[slot->provider].name, error);
    }
    return 0;
}

static int check_tasks(const struct app *app, struct mf_error *error)
{
    for (uint32_t t = 0; t < graph_task_count(app->graph); t++) {
        const struct graph_task *task = &graph_tasks(app->graph)[t];
        if (task->slot_count > 0 && check_lifetimes(app, task, error) != 0)
            return -1;
        for (uint32_t s = 0; s < task->slot_count; s++)
            if (check_slot(app, task, &graph_slots(app->graph)[task->slot_first + s], error) != 0)
                return -1;
    }
    return 0;
}

int app_providers_open(struct app *app, struct mf_error *error)
{
    uint32_t count = graph_provider_count(app->graph);
    if (app->providers == NULL)
        app->providers = mf_calloc(count, sizeof *app->providers);
    if (app->providers == NULL)
        return mf_fail(error, MF_MEMORY, "providers: no memory");
    app->provider_count = count;
    for (uint32_t i = 0; i < count; i++)
        if (app_source_open(app, &app->providers[i], graph_provider(app->graph, i), false, error) != 0)
            return -1;
    return check_tasks(app, error);
}

bool app_provider_enforces(const struct app *app, uint32_t provider)
{
    return provider < app->provider_count && recipe_info(app->providers[provider].recipe)->scoped_tokens;
}

void app_provider_close(struct app_provider *provider)
{
    recipe_destroy(provider->recipe);
    mf_free(provider->recipe_sha256);
    mf_free(provider->base_url);
    mf_free(provider->origin);
    mf_free(provider->source);
    mf_free(provider->rate_path);
    for (uint32_t k = 0; k < provider->input_count; k++)
        mf_free((void *)(uintptr_t)provider->inputs[k].value.data);
    mf_free(provider->inputs);
    mf_buf_free(&provider->credential);
    mf_buf_free(&provider->policy);
}

void app_providers_close(struct app *app)
{
    for (uint32_t i = 0; i < app->provider_count; i++)
        app_provider_close(&app->providers[i]);
    mf_free(app->providers);
    app->providers = NULL;
    app->provider_count = 0;
}
