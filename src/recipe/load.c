/*
 * load.c - a provider file becomes a recipe
 *
 * The file is scanned strictly, then read top down: names that create records first, because every other operation may use
 * them, then the operations, then the rules that span all of it. One pass reports every problem with line, column and pointer.
 */
#include "recipe/load.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

static const char *const top_keys[] = {"$schema", "recipe", "name", "description", "kind", "base_url", "base_url_env", "terms", "inputs", "limits",
                                       "consistency_ms", "error_code", "create", "find", "check", "revoke", "delete", "list", "claim", "inject",
                                       "reach", "benign", "permissions", "emulated", "rules", "refusal", "hand_on", "usage", "prices"};

#define DAY_MS ((int64_t)24 * 3600 * 1000)

static void load_kind(struct recipe_loader *loader)
{
    static const char *const names[] = {"account", "credential", "service"};
    uint32_t node = recipe_required(loader, 0, "kind");
    int kind = node == JSON_NONE ? -1 : recipe_choice(loader, node, names, RECIPE_COUNT(names));
    loader->recipe->info.kind = kind < 0 ? RECIPE_KIND_ACCOUNT : (enum recipe_kind)kind;
}

/* A service may be where the operator says: then the base URL is one input, which load_gateway.c reads. */
static void load_base_url(struct recipe_loader *loader)
{
    struct recipe_info *info = &loader->recipe->info;
    uint32_t url = recipe_required(loader, 0, "base_url"), variable = json_member(loader->document, 0, "base_url_env");
    info->base_url = recipe_string(loader, url, 500);
    bool template = info->base_url != NULL && strstr(info->base_url, "{{") != NULL;
    if (template && info->kind != RECIPE_KIND_SERVICE)
        recipe_problem(loader, url, "the host is fixed: a template may not stand here");
    else if (!template && info->base_url != NULL && recipe_base_url_problem(mf_span(info->base_url)) != NULL)
        recipe_problem(loader, url, "base_url %s", recipe_base_url_problem(mf_span(info->base_url)));
    if (variable != JSON_NONE)
        info->base_url_env = recipe_variable_name(loader, variable);
    if (template && info->base_url_env != NULL)
        recipe_problem(loader, variable, "the base URL is an input: there is nothing to replace");
}

static void load_identity(struct recipe_loader *loader)
{
    const struct json_document *document = loader->document;
    struct recipe_info *info = &loader->recipe->info;
    uint32_t version = recipe_required(loader, 0, "recipe"), name = recipe_required(loader, 0, "name");
    if (version != JSON_NONE)
        recipe_number(loader, version, 1, 1, 1);
    if (name != JSON_NONE)
        info->name = recipe_name(loader, name);
    info->description = recipe_string(loader, json_member(document, 0, "description"), 2000);
    load_kind(loader);
    load_base_url(loader);
    uint32_t emulated = json_member(document, 0, "emulated");
    if (emulated != JSON_NONE && json_bool(document, emulated, &info->emulated) != 0)
        recipe_problem(loader, emulated, "emulated must be true or false");
    else if (info->emulated && info->base_url_env == NULL)
        recipe_problem(loader, emulated, "emulated needs base_url_env: the variable that points at a running emulator instead");
    uint32_t code = json_member(document, 0, "error_code");
    if (code != JSON_NONE)
        loader->recipe->error_code = recipe_pointer(loader, code);
}

static void load_terms(struct recipe_loader *loader)
{
    static const char *const keys[] = {"title", "url"};
    const struct json_document *document = loader->document;
    struct recipe_info *info = &loader->recipe->info;
    uint32_t node = json_member(document, 0, "terms");
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    struct recipe_terms *terms = recipe_take(loader, document->nodes[node].children, sizeof *terms);
    info->terms = terms;
    for (uint32_t item = json_first(document, node); item != JSON_NONE && terms != NULL; item = json_next(document, node, item)) {
        if (!recipe_keys(loader, item, keys, RECIPE_COUNT(keys)))
            continue;
        struct recipe_terms *out = &terms[info->terms_count++];
        out->title = recipe_string(loader, recipe_required(loader, item, "title"), 200);
        out->url = recipe_string(loader, recipe_required(loader, item, "url"), 500);
        if (out->url != NULL && strncmp(out->url, "https://", 8) != 0)
            recipe_problem(loader, item, "url must begin with https://");
    }
}

static void load_inputs(struct recipe_loader *loader)
{
    const struct json_document *document = loader->document;
    struct recipe_info *info = &loader->recipe->info;
    uint32_t node = json_member(document, 0, "inputs");
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_OBJECT))
        return;
    const char **names = recipe_take(loader, RECIPE_NAMES_MAX, sizeof *names);
    info->inputs = names;
    if (document->nodes[node].children > RECIPE_NAMES_MAX)
        recipe_problem(loader, node, "more than %u names", RECIPE_NAMES_MAX);
    for (uint32_t key = json_first(document, node); key != JSON_NONE && names != NULL && info->inputs_count < RECIPE_NAMES_MAX;
         key = json_next(document, node, key)) {
        const char *name = recipe_name(loader, key);
        recipe_string(loader, json_value(document, key), 500); /* what it is, for people */
        if (name != NULL)
            names[info->inputs_count++] = name;
    }
}

static void load_limits(struct recipe_loader *loader)
{
    static const char *const keys[] = {"creating_max", "deleting_max", "creates_per_minute", "requests_max", "window", "lifetime"};
    const struct json_document *document = loader->document;
    struct recipe_info *info = &loader->recipe->info;
    uint32_t node = json_member(document, 0, "limits");
    info->consistency_ms = recipe_number(loader, json_member(document, 0, "consistency_ms"), 0, 600000, 0);
    if (node == JSON_NONE || !recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    info->creating_max = (uint32_t)recipe_number(loader, json_member(document, node, "creating_max"), 1, 100000, 0);
    info->deleting_max = (uint32_t)recipe_number(loader, json_member(document, node, "deleting_max"), 1, 100000, 0);
    info->creates_per_minute = (uint32_t)recipe_number(loader, json_member(document, node, "creates_per_minute"), 1, 1000000, 0);
    info->requests_per_window = (uint32_t)recipe_number(loader, json_member(document, node, "requests_max"), 1, 1000000000, 0);
    info->window_ms = (uint32_t)recipe_duration(loader, json_member(document, node, "window"), DAY_MS);
    info->lifetime_ms = recipe_duration(loader, json_member(document, node, "lifetime"), 365 * DAY_MS);
    if ((info->requests_per_window > 0) != (info->window_ms > 0))
        recipe_problem(loader, node, "`requests_max` and `window` go together");
}

static void load_claim(struct recipe_loader *loader)
{
    static const char *const keys[] = {"url", "expires"};
    struct recipe *recipe = loader->recipe;
    uint32_t node = json_member(loader->document, 0, "claim");
    if (node == JSON_NONE || !recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    struct recipe_place place = {.operation = &recipe->operations[RECIPE_CREATE], .step = RECIPE_NONE, .each = RECIPE_NONE};
    uint32_t url = recipe_required(loader, node, "url"), expires = recipe_required(loader, node, "expires");
    if (!recipe->info.has[RECIPE_CREATE] || url == JSON_NONE || expires == JSON_NONE)
        return;
    recipe_template_load(loader, &place, expires, &recipe->claim_expires);
    place.secrets = true;
    recipe->info.has_claim = recipe_template_load(loader, &place, url, &recipe->claim_url);
}

static void load_all(struct recipe_loader *loader)
{
    if (!recipe_keys(loader, 0, top_keys, RECIPE_COUNT(top_keys)))
        return;
    load_identity(loader);
    load_terms(loader);
    load_inputs(loader);
    load_limits(loader);
    recipe_names_load(loader);
    for (uint32_t op = 0; op < RECIPE_OP_COUNT; op++)
        recipe_operation_load(loader, (enum recipe_op)op);
    load_claim(loader);
    recipe_gateway_load(loader);
    recipe_usage_load(loader);
    recipe_permissions_load(loader, json_member(loader->document, 0, "permissions"));
    recipe_check(loader);
}

static int scan(struct recipe_loader *loader)
{
    struct recipe *recipe = loader->recipe;
    struct json_limits limits = json_limits_default;
    limits.text_bytes_max = RECIPE_TEXT_BYTES_MAX;
    struct mf_error error = {0};
    if (json_scan_error(&recipe->document, (struct mf_span){recipe->text, recipe->text_length}, &limits, &error) == 0)
        return 0;
    if (error.code == MF_MEMORY)
        return mf_fail(loader->error, MF_MEMORY, "no memory for %s", loader->file_name);
    mf_fail(loader->error, MF_INPUT, "%s:%s", loader->file_name, error.text);
    if (loader->problems != NULL)
        mf_buf_printf(loader->problems, "%s:%s\n", loader->file_name, error.text);
    return -1;
}

int recipe_load(struct recipe **out, struct mf_span text, const char *file_name, struct mf_buf *problems, struct mf_error *error)
{
    *out = NULL;
    if (text.length > RECIPE_TEXT_BYTES_MAX)
        return mf_fail(error, MF_INPUT, "%s: longer than %u bytes", file_name, RECIPE_TEXT_BYTES_MAX);
    struct recipe *recipe = mf_calloc(1, sizeof *recipe);
    if (recipe == NULL)
        return mf_fail(error, MF_MEMORY, "no memory for %s", file_name);
    recipe->text = recipe_arena_text(&recipe->arena, text);
    recipe->text_length = text.length;
    struct recipe_loader loader = {.recipe = recipe, .document = &recipe->document, .file_name = file_name, .problems = problems, .error = error};
    int result = recipe->text == NULL ? mf_fail(error, MF_MEMORY, "no memory for %s", file_name) : scan(&loader);
    if (result == 0)
        load_all(&loader);
    if (loader.no_memory)
        result = mf_fail(error, MF_MEMORY, "no memory for %s", file_name);
    if (result != 0 || loader.problem_count > 0) {
        recipe_destroy(recipe);
        return -1;
    }
    *out = recipe;
    return 0;
}

void recipe_destroy(struct recipe *recipe)
{
    if (recipe == NULL)
        return;
    for (uint32_t op = 0; op < RECIPE_OP_COUNT; op++)
        mf_free(recipe->operations[op].uses);
    json_document_free(&recipe->document);
    json_document_free(&recipe->shared);
    recipe_arena_free(&recipe->arena);
    mf_free(recipe);
}

const struct recipe_info *recipe_info(const struct recipe *recipe)
{
    return &recipe->info;
}

struct mf_span recipe_text(const struct recipe *recipe)
{
    return (struct mf_span){recipe->text, recipe->text_length};
}
