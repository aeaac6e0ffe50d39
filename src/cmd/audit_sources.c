/* audit_sources.c - the graph and the gateway's policies of an earlier run, from its database */
#include "app/app.h"
#include "base/alloc.h"
#include "cmd/audit_private.h"
#include "recipe/recipe.h"
#include "store/journal.h"
#include "json/scan.h"

#include <stdio.h>

#define ROW_BYTES_MAX (64u << 20)
#define POLICY_BYTES_MAX (4u << 20)

static int take_policy(struct evidence_provider *provider, const struct recipe *recipe, struct mf_error *error)
{
    const struct recipe_info *info = recipe_info(recipe);
    struct policy *policy = NULL;
    struct mf_buf json;
    mf_buf_init(&json, POLICY_BYTES_MAX);
    provider->can_check = info->has[RECIPE_CHECK];
    provider->can_revoke = info->has[RECIPE_REVOKE];
    provider->scoped = info->scoped_tokens;
    int status = recipe_policy(recipe, &json, error);
    if (status == 0)
        status = policy_create(&policy, mf_buf_view(&json), error);
    if (status == 0)
        status = evidence_count_rules(provider, mf_buf_view(&json), error);
    provider->policy = policy;
    mf_buf_free(&json);
    return status;
}

static int take_recipe(struct evidence_provider *provider, const struct json_document *document, uint32_t entry,
                       const char *name, struct mf_error *error)
{
    struct recipe *recipe = NULL;
    char *text = json_dup(document, json_member(document, entry, "text"));
    if (text == NULL)
        return mf_fail(error, MF_STATE, "run: provider `%s` has no recipe in the journal", name);
    int status = recipe_load(&recipe, mf_span(text), name, NULL, error);
    if (status == 0)
        status = take_policy(provider, recipe, error);
    recipe_destroy(recipe);
    mf_free(text);
    if (status == 0 || error->code == MF_MEMORY)
        return status;
    fprintf(
        stderr,
        "mayfly: provider `%s`: its recipe of that time cannot be read: what else would have sufficed is not known\n",
        name);
    *error = (struct mf_error){0};
    return 0;
}

/* Rows of the run by the graph's names: a row may be missing for a provider that no task uses. */
static int take_providers(struct audit_sources *sources, struct mf_span json, struct mf_error *error)
{
    struct json_document document;
    uint32_t count = graph_provider_count(sources->graph);
    int status = 0;
    sources->providers = mf_calloc(count, sizeof *sources->providers);
    if (sources->providers == NULL)
        return mf_fail(error, MF_MEMORY, "audit: no memory");
    if (json_scan_error(&document, json, &json_limits_default, error) != 0)
        return mf_wrap(error, "run: providers");
    for (uint32_t entry = json_first(&document, 0); entry != JSON_NONE; entry = json_next(&document, 0, entry)) {
        for (uint32_t i = 0; i < count && status == 0; i++) {
            const char *name = graph_provider(sources->graph, i)->name;
            if (sources->providers[i].policy == NULL && json_is(&document, json_member(&document, entry, "name"), name))
                status = take_recipe(&sources->providers[i], &document, entry, name, error);
        }
    }
    json_document_free(&document);
    return status;
}

/* A graph that a newer loader refuses: the record can be proven all the same, and what is in it be counted. */
static int load_nothing(struct graph **out, struct mf_error *error)
{
    struct diagnostics *diagnostics = NULL;
    struct mf_buf text;
    mf_buf_init(&text, 1024);
    fprintf(stderr, "mayfly: the run's graph cannot be read by this mayfly: %s\n", error->text);
    mf_buf_text(&text, "{\"mayfly\":1,\"tasks\":{}}");
    *error = (struct mf_error){0};
    int status = diagnostics_create(&diagnostics, "graph", 1, error);
    if (status == 0)
        status = graph_load(out, &text, &(struct graph_options){0}, diagnostics, error);
    mf_buf_free(&text);
    diagnostics_destroy(diagnostics);
    return status;
}

int audit_sources_load(struct audit_sources *out, const char *state_path, const char *run, struct journal *journal,
                       struct mf_error *error)
{
    struct journal_run row = {0};
    struct mf_buf hold;
    char id[13];
    *out = (struct audit_sources){0};
    mf_buf_init(&hold, ROW_BYTES_MAX);
    int status = app_load_run(state_path, run, id, &out->graph, error);
    if (status != 0 && error->code == MF_INPUT)
        status = load_nothing(&out->graph, error);
    if (status == 0)
        status = journal_read_run_small(journal, &row, &hold, error);
    if (status == 0)
        status = take_providers(out, row.providers_json, error);
    mf_buf_free(&hold);
    return status;
}

void audit_sources_free(struct audit_sources *sources)
{
    for (uint32_t i = 0; sources->providers != NULL && i < graph_provider_count(sources->graph); i++)
        policy_destroy((struct policy *)(uintptr_t)sources->providers[i].policy);
    mf_free(sources->providers);
    graph_destroy(sources->graph);
}
