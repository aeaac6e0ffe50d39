/*
 * sweep.c - finds an owner's accounts by the provider's list, says which may be touched, and has them deleted
 *
 * A list may lag behind the truth, so one is not enough: the provider is asked again until it names nothing new, and not before its
 * consistency window is over (an account whose create was in the air when the run died appears late). An account belongs to us when
 * its whole name is a tag of this owner; one of a run that is still going on belongs to that run.
 */
#include "app/sweep_private.h"

#include "app/control.h"
#include "app/recipes.h"
#include "base/alloc.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LISTS_MAX 100u /* each but the last finds accounts that the one before did not have */
#define LIST_TRIES_MAX 6u
#define LIST_AGAIN_MS 1000
#define ASK_MS 5000
#define LEAST_PAUSE_MS 20

int64_t sweep_now(const struct sweep *sweep)
{
    return sweep->base_ms + (net_now_ms() - sweep->start_ms);
}

/* --- which accounts may be touched --- */

/* Somebody works on the run: its orchestrator answers, or its lock is held (it may be stopped, or have another runtime directory). */
static bool run_goes_on(const struct sweep *sweep, const char *run)
{
    char path[256];
    struct mf_buf answer;
    struct mf_error error;
    if (sweep->state != NULL && state_run_locked(sweep->state, run))
        return true;
    if (control_path(run, path, sizeof path, &error) != 0)
        return false;
    mf_buf_init(&answer, 4096);
    bool silent =
        control_request(path, "{\"op\":\"ping\"}\n", ASK_MS, &answer, &error) != 0 && error.code == MF_NOT_FOUND;
    mf_buf_free(&answer);
    if (silent && !sweep->options->dry_run)
        unlink(
            path); /* what an orchestrator that was killed left: with the state directory gone nobody else knows of it */
    return !silent;
}

/* Asked once for each run: the accounts of a run come one after the other, so the last ones are the place to look. */
static enum sweep_left why_left(const struct sweep *sweep, const struct sweep_item *item)
{
    const struct sweep_result *result = sweep->result;
    int64_t age_ms = sweep_now(sweep) - item->created_ms;
    if (sweep->options->older_than_ms > 0 && (item->created_ms == 0 || age_ms < sweep->options->older_than_ms))
        return SWEEP_TOO_YOUNG;
    for (size_t i = result->count; i-- > 0;)
        if (result->items[i].left != SWEEP_TOO_YOUNG && strcmp(result->items[i].tag.run, item->tag.run) == 0)
            return result->items[i].left;
    return run_goes_on(sweep, item->tag.run) ? SWEEP_RUN_GOES_ON : SWEEP_TAKEN;
}

static bool is_known(const struct sweep_result *result, struct mf_span ids, const struct tag *tag)
{
    for (size_t i = 0; i < result->count; i++)
        if (result->items[i].tag.n == tag->n && strcmp(result->items[i].tag.run, tag->run) == 0 &&
            mf_span_is(ids, result->items[i].ids))
            return true;
    return false;
}

static int add(struct sweep *sweep, struct mf_span ids, const struct tag *tag, int64_t created_ms)
{
    struct sweep_result *result = sweep->result;
    struct sweep_item item = {.tag = *tag, .created_ms = created_ms, .state = CORE_ACCOUNT_STATE_RELEASED};
    if (mf_grow((void **)&result->items, &result->capacity, result->count + 1, sizeof *result->items, 64) != 0 ||
        (item.ids = mf_strndup(ids.data, ids.length)) == NULL)
        return -1;
    item.left = why_left(sweep, &item);
    result->items[result->count++] = item;
    sweep->added += item.left == SWEEP_TAKEN;
    return 0;
}

/* --- the list --- */

static void on_listed(void *context, struct provision_job *job, const struct recipe_result *result)
{
    struct sweep *sweep = context;
    struct mf_span ids, text;
    struct tag tag;
    sweep->listed = result->verdict == RECIPE_VERDICT_SUCCESS;
    snprintf(sweep->reason, sizeof sweep->reason, "%s", result->reason);
    size_t before = sweep->result->count;
    for (uint32_t i = 0; i < result->found_count && provision_found(job, i, &ids, &text); i++) {
        if (!tag_parse(text, &tag) || strcmp(tag.owner, sweep->result->owner) != 0 ||
            is_known(sweep->result, ids, &tag))
            continue;
        if (add(sweep, ids, &tag, provision_found_created_ms(job, i)) != 0) {
            sweep->listed = false;
            snprintf(sweep->reason, sizeof sweep->reason, "no memory for %u accounts", result->found_count);
            break;
        }
    }
    if (!sweep->listed && sweep->result->count > before) /* a list that was cut: what it has is real, there is more */
        sweep->listed = true;
    net_loop_stop(sweep->loop);
}

static int list_once(struct sweep *sweep, struct mf_error *error)
{
    static const struct provision_calls calls = {.done = on_listed};
    struct provision_job *job;
    char prefix[TAG_BYTES];
    snprintf(prefix, sizeof prefix, "mayfly-%s-", sweep->result->owner);
    struct provision_spec spec = {.op = RECIPE_LIST, .owner_prefix = mf_span(prefix), .teardown = true};
    sweep->added = 0;
    if (provision_start(sweep->provision, &spec, &calls, sweep, &job, error) != 0)
        return -1;
    net_loop_run(sweep->loop);
    sweep->result->lists++;
    return 0;
}

static int list(struct sweep *sweep, struct mf_error *error)
{
    for (uint32_t tries = 1;; tries++) {
        if (list_once(sweep, error) != 0)
            return -1;
        if (sweep->listed)
            return 0;
        if (tries == LIST_TRIES_MAX)
            return mf_fail(error, MF_PROVIDER, "provider `%s`: its accounts cannot be listed: %s", sweep->provider.name,
                           sweep->reason);
        poll(NULL, 0, LIST_AGAIN_MS);
    }
}

/* --- opening --- */

static int open_owner(struct sweep *sweep, struct mf_error *error)
{
    struct mf_error cause;
    if (state_open(&sweep->state, sweep->options->state_path, false, &cause) != 0) {
        sweep->state = NULL;
        if (cause.code != MF_NOT_FOUND)
            return mf_fail(error, cause.code, "%s", cause.text);
    }
    return state_owner_known(sweep->state, sweep->options->owner, sweep->result->owner, error);
}

/* What a recipe without list can promise instead. */
static int check_recipe(const struct sweep *sweep, struct mf_error *error)
{
    const struct recipe_info *info = recipe_info(sweep->provider.recipe);
    char lifetime[24];
    if (info->kind == RECIPE_KIND_SERVICE)
        return mf_fail(error, MF_USAGE, "provider `%s`: its recipe is a service, which gives no accounts",
                       sweep->provider.name);
    if (!info->has[RECIPE_LIST] && info->lifetime_ms > 0)
        return mf_fail(error, MF_USAGE,
                       "provider `%s`: cannot list accounts, so nothing can be swept; each expires by itself at the "
                       "latest %s after it was made",
                       sweep->provider.name, mf_format_duration(info->lifetime_ms, lifetime));
    if (!info->has[RECIPE_LIST])
        return mf_fail(error, MF_USAGE,
                       "provider `%s`: cannot list accounts, and they do not expire: only the state directory knows "
                       "them; run mayfly teardown --all",
                       sweep->provider.name);
    if (sweep->options->older_than_ms > 0 && !info->lists_created)
        return mf_fail(error, MF_USAGE,
                       "provider `%s`: its list does not say when an account was made; leave out --older-than",
                       sweep->provider.name);
    return 0;
}

static const char *input_given(const struct sweep_options *options, const char *name)
{
    for (uint32_t i = 0; i < options->input_count; i++)
        if (strcmp(options->inputs[i].name, name) == 0)
            return options->inputs[i].value;
    return NULL;
}

static int open_inputs(struct sweep *sweep, struct mf_error *error)
{
    struct app_provider *provider = &sweep->provider;
    const struct recipe_info *info = recipe_info(provider->recipe);
    provider->inputs = mf_calloc(info->inputs_count, sizeof *provider->inputs);
    for (uint32_t i = 0; provider->inputs != NULL && i < info->inputs_count; i++) {
        const char *value = input_given(sweep->options, info->inputs[i]);
        if (value == NULL)
            return mf_fail(error, MF_USAGE, "provider `%s`: input `%s` is missing; give --input %s=VALUE",
                           provider->name, info->inputs[i], info->inputs[i]);
        char *copy = mf_strdup(value);
        if (copy == NULL)
            return mf_fail(error, MF_MEMORY, "provider `%s`: no memory", provider->name);
        provider->inputs[provider->input_count++] = (struct recipe_value){mf_span(info->inputs[i]), mf_span(copy)};
    }
    return provider->inputs != NULL || info->inputs_count == 0
               ? 0
               : mf_fail(error, MF_MEMORY, "provider `%s`: no memory", provider->name);
}

static int open_provider(struct sweep *sweep, struct mf_error *error)
{
    struct app_provider *provider = &sweep->provider;
    provider->name = sweep->options->provider;
    mf_buf_init_secret(&provider->credential, APP_CREDENTIAL_BYTES_MAX);
    if (recipes_load(&provider->recipe, provider->name, NULL, error) != 0 || check_recipe(sweep, error) != 0)
        return -1;
    const struct recipe_info *info = recipe_info(provider->recipe);
    const char *override = app_provider_override(info);
    if (override == NULL && info->emulated)
        return mf_fail(error, MF_USAGE,
                       "provider `%s`: the emulator of a run ends with it, and `mayfly teardown RUN` cleans it; for "
                       "one of your own set %s",
                       provider->name, info->base_url_env);
    if (app_provider_address(provider, override != NULL ? override : info->base_url, sweep->options->allow_base_url,
                             error) != 0 ||
        open_inputs(sweep, error) != 0)
        return -1;
    if (sweep->state != NULL)
        provider->rate_path = state_rate_path(sweep->state, provider->name);
    return info->needs_credential
               ? app_provider_source(provider, sweep->options->credentials, sweep->options->credential_count, error)
               : 0;
}

static void on_hold(void *context, uint32_t provider, int64_t until_ms)
{
    (void)context;
    (void)provider;
    (void)until_ms; /* concerns creates only */
}

static void on_note(void *context, uint32_t provider, const char *text)
{
    (void)context;
    (void)provider;
    fprintf(stderr, "mayfly: %s\n", text);
}

static int open_network(struct sweep *sweep, struct mf_error *error)
{
    static const struct provision_events events = {.hold = on_hold, .note = on_note};
    struct net_client_options client = {.ca_file = getenv("MAYFLY_CA_FILE")};
    struct provision_provider provider = {.recipe = sweep->provider.recipe,
                                          .base_url = sweep->provider.base_url,
                                          .inputs = sweep->provider.inputs,
                                          .input_count = sweep->provider.input_count,
                                          .credential = app_provider_credential,
                                          .credential_context = &sweep->provider,
                                          .rate_file = sweep->provider.rate_path};
    if (net_loop_create(&sweep->loop, error) != 0 ||
        net_client_create(&sweep->client, sweep->loop, &client, error) != 0)
        return -1;
    return provision_create(&sweep->provision, sweep->loop, sweep->client, &provider, 1, 1, &events, sweep, error);
}

static void close_all(struct sweep *sweep)
{
    provision_destroy(sweep->provision);
    net_client_destroy(sweep->client);
    net_loop_destroy(sweep->loop);
    app_provider_close(&sweep->provider);
    state_close(sweep->state);
}

/* --- the whole --- */

static int clean(struct sweep *sweep, struct mf_error *error)
{
    int64_t window_ms = recipe_info(sweep->provider.recipe)->consistency_ms;
    for (uint32_t round = 0; round < LISTS_MAX; round++) {
        size_t first = sweep->result->count;
        int64_t listed_ms = net_now_ms();
        if (list(sweep, error) != 0)
            return -1;
        if (sweep->options->dry_run)
            return 0;
        if (sweep->added > 0 && sweep_fleet(sweep, first, error) != 0)
            return -1;
        if (sweep->added > 0)
            continue;
        int64_t left_ms = sweep->start_ms + window_ms - listed_ms;
        if (left_ms <= 0)
            return 0;
        poll(NULL, 0, (int)(left_ms > LEAST_PAUSE_MS ? left_ms : LEAST_PAUSE_MS));
    }
    return mf_fail(error, MF_PROVIDER,
                   "provider `%s`: %u lists, and each names new accounts of owner %s: something still makes them",
                   sweep->provider.name, LISTS_MAX, sweep->result->owner);
}

static void count(struct sweep_result *result, const struct sweep_options *options)
{
    uint32_t listed = 0, going_on = 0;
    for (size_t i = 0; i < result->count; i++) {
        const struct sweep_item *item = &result->items[i];
        result->left += item->left != SWEEP_TAKEN;
        going_on += item->left == SWEEP_RUN_GOES_ON;
        if (item->left != SWEEP_TAKEN)
            continue;
        result->gone += item->state == CORE_ACCOUNT_STATE_GONE;
        result->expired += item->state == CORE_ACCOUNT_STATE_EXPIRED;
        result->expiring += item->state == CORE_ACCOUNT_STATE_EXPIRING;
        result->leaked += item->state == CORE_ACCOUNT_STATE_LEAKED;
        listed += item->state == CORE_ACCOUNT_STATE_RELEASED;
    }
    bool open = result->leaked + listed + going_on > 0 || (options->strict_teardown && result->expiring > 0);
    result->exit_code = open ? 4 : 0;
}

int sweep_run(struct sweep_result *out, const struct sweep_options *options, struct mf_error *error)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct sweep_result){0};
    struct sweep sweep = {.options = options,
                          .result = out,
                          .start_ms = net_now_ms(),
                          .base_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000};
    int result = open_owner(&sweep, error) == 0 && open_provider(&sweep, error) == 0 && open_network(&sweep, error) == 0
                     ? 0
                     : -1;
    if (result == 0) {
        result = clean(&sweep, error);
        count(out, options);
        if (result != 0) /* what was not seen may exist */
            out->exit_code = 4;
    } else {
        out->exit_code = app_error_exit(error);
    }
    out->wall_ms = net_now_ms() - sweep.start_ms;
    close_all(&sweep);
    return result;
}

void sweep_result_free(struct sweep_result *result)
{
    for (size_t i = 0; i < result->count; i++)
        mf_free(result->items[i].ids);
    mf_free(result->items);
    *result = (struct sweep_result){0};
}
