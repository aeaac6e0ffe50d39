/* providers.c - providers: where an account comes from, and with whose credential it is made */
#include "document/load.h"

#include "base/alloc.h"

#include <string.h>

bool load_source(struct loader *loader, struct mf_span name, struct graph_provider *out)
{
    *out = (struct graph_provider){
        .name = mf_strndup(name.data, name.length),
        .recipe = mf_strndup(name.data, name.length),
        .inputs = JSON_NONE,
        .credential_command = JSON_NONE,
    };
    loader->no_memory |= out->name == NULL || out->recipe == NULL;
    return out->name != NULL && out->recipe != NULL;
}

/* Adds an entry that owns its name; NULL after an error. */
static struct graph_provider *add_provider(struct loader *loader, uint32_t node, struct mf_span name)
{
    struct graph *graph = loader->graph;
    void *providers = graph->providers;
    if (graph->provider_count == LOAD_PROVIDERS_MAX) {
        load_fail(loader, node, "more than %d providers", LOAD_PROVIDERS_MAX);
        return NULL;
    }
    if (!load_grow(loader, &providers, &graph->provider_capacity, graph->provider_count + 1, sizeof *graph->providers))
        return NULL;
    graph->providers = providers;
    struct graph_provider *added = &graph->providers[graph->provider_count++];
    return load_source(loader, name, added) ? added : NULL;
}

static uint32_t find_provider(const struct graph *graph, struct mf_span name)
{
    for (size_t i = 0; i < graph->provider_count; i++) {
        if (mf_span_is(name, graph->providers[i].name))
            return (uint32_t)i;
    }
    return GRAPH_NONE;
}

uint32_t load_provider(struct loader *loader, uint32_t node)
{
    struct mf_span name;
    if (!load_without_template(loader, node) || !load_id(loader, node, "provider", &name))
        return GRAPH_NONE;
    uint32_t provider = find_provider(loader->graph, name);
    if (provider == GRAPH_NONE) {
        if (add_provider(loader, node, name) == NULL)
            return GRAPH_NONE;
        provider = (uint32_t)loader->graph->provider_count - 1;
    }
    loader->graph->providers[provider].used = true;
    return provider;
}

uint32_t load_default_provider(struct loader *loader, uint32_t node)
{
    if (loader->default_provider != GRAPH_NONE)
        return loader->default_provider;
    if (loader->options->provider != NULL) {
        struct mf_span name = mf_span(loader->options->provider);
        uint32_t provider = find_provider(loader->graph, name);
        if (provider == GRAPH_NONE && add_provider(loader, node, name) != NULL)
            provider = (uint32_t)loader->graph->provider_count - 1;
        if (provider != GRAPH_NONE)
            loader->graph->providers[provider].used = true;
        loader->default_provider = provider;
    } else if (loader->provider != JSON_NONE) {
        loader->default_provider = load_provider(loader, loader->provider);
    } else {
        load_fail(loader, node, "no provider: name one here, at the top of the file, or with --provider");
    }
    return loader->default_provider;
}

/* Replaces an owned text by the decoded string of a node. */
static void take_text(struct loader *loader, uint32_t node, const char **text)
{
    char *old;
    memcpy(&old, text, sizeof old);
    mf_free(old);
    *text = json_dup(loader->document, node);
    if (*text == NULL)
        loader->no_memory = true;
}

void load_recipe(struct loader *loader, uint32_t node, void *target)
{
    uint64_t before = diagnostics_errors(loader->diagnostics);
    load_check_path(loader, node);
    if (diagnostics_errors(loader->diagnostics) == before)
        take_text(loader, node, &((struct graph_provider *)target)->recipe);
}

void load_inputs(struct loader *loader, uint32_t node, void *target)
{
    const struct json_document *document = loader->document;
    struct mf_span name;
    if (!load_expect(loader, node, JSON_OBJECT))
        return;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        load_id(loader, key, "input", &name);
        if (load_expect(loader, json_value(document, key), JSON_STRING))
            load_without_template(loader, json_value(document, key));
    }
    ((struct graph_provider *)target)->inputs = node;
}

static void read_credential_env(struct loader *loader, uint32_t node, void *target)
{
    struct graph_provider *provider = target;
    struct mf_span name;
    if (!load_name(loader, node, &name))
        return;
    for (size_t i = 0; i < name.length || i == 0; i++) {
        char c = i < name.length ? name.data[i] : '-';
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (i > 0 && c >= '0' && c <= '9');
        if (!good || i >= 255) { /* perhaps the secret itself: never shown */
            load_fail_at(loader, node, 0, true, "expected the name of a variable, [A-Za-z_][A-Za-z0-9_]*");
            return;
        }
    }
    provider->credential = GRAPH_CREDENTIAL_ENV;
    take_text(loader, node, &provider->credential_source);
}

static void read_credential_file(struct loader *loader, uint32_t node, void *target)
{
    struct graph_provider *provider = target;
    if (!load_expect(loader, node, JSON_STRING) || !load_without_template(loader, node))
        return;
    if (json_is(loader->document, node, "")) {
        load_fail(loader, node, "the path is empty");
        return;
    }
    provider->credential = GRAPH_CREDENTIAL_FILE;
    take_text(loader, node, &provider->credential_source);
}

static void read_credential_command(struct loader *loader, uint32_t node, void *target)
{
    struct graph_provider *provider = target;
    load_command(loader, node, false);
    provider->credential = GRAPH_CREDENTIAL_COMMAND;
    provider->credential_command = node;
}

void load_credential(struct loader *loader, uint32_t node, void *target)
{
    static const struct load_field fields[] = {
        {"env", read_credential_env},
        {"file", read_credential_file},
        {"command", read_credential_command},
    };
    if (json_kind(loader->document, node) != JSON_OBJECT)
        load_fail_at(loader, node, 0, true,
                     "a credential never stands in a file: say where it is, {\"env\": NAME}, {\"file\": PATH} or "
                     "{\"command\": [...]}");
    else if (loader->document->nodes[node].children != 1)
        load_fail_at(loader, node, 0, true, "expected exactly one of `env`, `file` and `command`");
    else
        LOAD_OBJECT(loader, node, fields, target);
}

static void read_provider(struct loader *loader, uint32_t node, struct graph_provider *provider)
{
    static const struct load_field fields[] = {
        {"recipe", load_recipe},
        {"inputs", load_inputs},
        {"credential", load_credential},
        {"description", load_description},
    };
    provider->declared = true;
    LOAD_OBJECT(loader, node, fields, provider);
}

void load_providers(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    const struct json_document *document = loader->document;
    struct mf_span name;
    if (!load_expect(loader, node, JSON_OBJECT))
        return;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        struct graph_provider *provider = NULL;
        if (load_id(loader, key, "provider", &name))
            provider = add_provider(loader, key, name);
        if (provider != NULL)
            read_provider(loader, json_value(document, key), provider);
        if (loader->no_memory || loader->graph->provider_count == LOAD_PROVIDERS_MAX)
            return;
    }
}
