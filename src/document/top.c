/* top.c - the top of a graph file: version, params, limits, providers, defaults */
#include "document/load.h"

#include "base/alloc.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

static void read_version(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    int64_t version;
    if (json_int(loader->document, node, &version) != 0 || version != 1)
        load_fail(loader, node, "expected 1, the version of the format that this program reads");
}

static void read_graph_name(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_id(loader, node, "name", &loader->graph->name);
}

static void read_graph_labels(struct loader *loader, uint32_t node, void *target)
{
    load_labels(loader, node, target);
    loader->graph->labels = node;
}

/* Long enough that no client sends one by chance, short enough for a header; words of a header's value only. */
static void check_canary(struct loader *loader, uint32_t element)
{
    struct mf_span text;
    bool good = json_plain(loader->document, element, &text) == 0 && text.length >= GRAPH_CANARY_BYTES_MIN &&
                text.length <= GRAPH_CANARY_BYTES_MAX;
    for (size_t i = 0; good && i < text.length; i++)
        good = text.data[i] > ' ' && text.data[i] < 0x7f;
    if (!good)
        load_fail(loader, element, "expected %d to %d printable characters without spaces: a credential that is planted",
                  GRAPH_CANARY_BYTES_MIN, GRAPH_CANARY_BYTES_MAX);
}

static void read_canaries(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    if (!load_strings(loader, node, check_canary))
        return;
    loader->graph->canaries = node;
    if (loader->document->nodes[node].children > GRAPH_CANARIES_MAX)
        load_fail(loader, node, "more than %d canaries", GRAPH_CANARIES_MAX);
}

static void read_parameters(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    struct graph *graph = loader->graph;
    if (!load_expect(loader, node, JSON_OBJECT))
        return;
    const struct json_document *document = loader->document;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        struct graph_parameter parameter = {.json = json_raw(document, json_value(document, key))};
        void *parameters = graph->parameters;
        if (graph->parameter_count == LOAD_PARAMETERS_MAX) {
            load_fail(loader, key, "more than %d parameters", LOAD_PARAMETERS_MAX);
            return;
        }
        if (!load_id(loader, key, "parameter", &parameter.name))
            continue;
        if (!load_grow(loader, &parameters, &graph->parameter_capacity, graph->parameter_count + 1, sizeof parameter))
            return;
        graph->parameters = parameters;
        graph->parameters[graph->parameter_count++] = parameter;
    }
}

/* --- limits --- */

static void read_running(struct loader *loader, uint32_t node, void *target)
{
    load_count(loader, node, 1, LOAD_RUNNING_MAX, &((struct graph_limits *)target)->running_max);
}

static void read_accounts(struct loader *loader, uint32_t node, void *target)
{
    load_count(loader, node, 1, LOAD_ACCOUNTS_MAX, &((struct graph_limits *)target)->accounts_max);
}

static void read_run_timeout(struct loader *loader, uint32_t node, void *target)
{
    load_duration(loader, node, &((struct graph_limits *)target)->run_timeout_ms);
}

static void read_outputs_bytes(struct loader *loader, uint32_t node, void *target)
{
    load_bytes(loader, node, &((struct graph_limits *)target)->outputs_bytes_max);
}

static void read_outputs_files(struct loader *loader, uint32_t node, void *target)
{
    load_count(loader, node, 1, LOAD_FILES_MAX, &((struct graph_limits *)target)->outputs_files_max);
}

static void read_files_bytes(struct loader *loader, uint32_t node, void *target)
{
    load_bytes(loader, node, &((struct graph_limits *)target)->files_bytes_max);
}

static void read_for_each_max(struct loader *loader, uint32_t node, void *target)
{
    load_count(loader, node, 1, LOAD_FOR_EACH_MAX, &((struct graph_limits *)target)->for_each_max);
}

static void read_run_budget(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_usd(loader, node, &loader->graph->budget_micro_usd);
}

static void read_limits(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    static const struct load_field fields[] = {
        {"running", read_running},
        {"accounts", read_accounts},
        {"run_timeout", read_run_timeout},
        {"outputs_bytes", read_outputs_bytes},
        {"outputs_files", read_outputs_files},
        {"files_bytes", read_files_bytes},
        {"for_each", read_for_each_max},
        {"budget_usd", read_run_budget},
    };
    LOAD_OBJECT(loader, node, fields, &loader->graph->limits);
}

/* --- what `defaults` and tasks share --- */

void load_timeout(struct loader *loader, uint32_t node, void *target)
{
    load_duration(loader, node, &((struct graph_profile *)target)->timeout_ms);
}

void load_grace(struct loader *loader, uint32_t node, void *target)
{
    load_duration(loader, node, &((struct graph_profile *)target)->grace_ms);
}

void load_attempts(struct loader *loader, uint32_t node, void *target)
{
    load_count(loader, node, 1, LOAD_ATTEMPTS_MAX, &((struct graph_profile *)target)->attempts_max);
}

static const char *const class_names[] = {
#define X(class, name) [GRAPH_CLASS_##class] = name,
    GRAPH_CLASSES(X)
#undef X
};

static void read_retry_class(struct loader *loader, uint32_t node, uint32_t *set)
{
    uint32_t class;
    if (json_is(loader->document, node, "infrastructure")) {
        load_fail(loader, node, "`infrastructure` is always retried, on a count of its own");
    } else if (load_choice(loader, node, class_names, sizeof class_names / sizeof class_names[0], &class)) {
        if ((*set & 1u << class) != 0)
            load_fail(loader, node, "`%s` stands twice", class_names[class]);
        *set |= 1u << class;
    }
}

static void read_retry_on(struct loader *loader, uint32_t node, void *target)
{
    uint32_t set = 0;
    if (!load_expect(loader, node, JSON_ARRAY))
        return;
    const struct json_document *document = loader->document;
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child))
        read_retry_class(loader, child, &set);
    *((struct load_retry *)target)->retry_on = set;
}

static void read_retry_workspace(struct loader *loader, uint32_t node, void *target)
{
    static const char *const names[] = {"fresh", "continue"};
    uint32_t choice;
    if (load_choice(loader, node, names, 2, &choice))
        *((struct load_retry *)target)->continue_workspace = choice == 1;
}

void load_retry(struct loader *loader, uint32_t node, void *target)
{
    static const struct load_field fields[] = {{"on", read_retry_on}, {"workspace", read_retry_workspace}};
    LOAD_OBJECT(loader, node, fields, target);
}

void load_retain(struct loader *loader, uint32_t node, void *target)
{
    static const char *const names[] = {
#define X(retain, name) [GRAPH_RETAIN_##retain] = name,
        GRAPH_RETAINS(X)
#undef X
    };
    uint32_t choice;
    if (load_choice(loader, node, names, sizeof names / sizeof names[0], &choice))
        *(uint8_t *)target = (uint8_t)choice;
}

void load_keep(struct loader *loader, uint32_t node, void *target)
{
    static const char *const names[] = {"never", "on_success"};
    uint32_t choice;
    if (load_choice(loader, node, names, 2, &choice))
        *(bool *)target = choice == 1;
}

void load_on_violation(struct loader *loader, uint32_t node, void *target)
{
    static const char *const names[] = {"continue", "stop"};
    uint32_t choice;
    if (load_choice(loader, node, names, 2, &choice))
        *(bool *)target = choice == 1;
}

static void default_timeout(struct loader *loader, uint32_t node, void *target)
{
    load_timeout(loader, node, &((struct loader *)target)->profile);
}

static void default_setup_timeout(struct loader *loader, uint32_t node, void *target)
{
    load_duration(loader, node, &((struct loader *)target)->profile.setup_timeout_ms);
}

static void default_verify_timeout(struct loader *loader, uint32_t node, void *target)
{
    load_duration(loader, node, &((struct loader *)target)->profile.verify_timeout_ms);
}

static void default_grace(struct loader *loader, uint32_t node, void *target)
{
    load_grace(loader, node, &((struct loader *)target)->profile);
}

static void default_attempts(struct loader *loader, uint32_t node, void *target)
{
    load_attempts(loader, node, &((struct loader *)target)->profile);
}

static void default_retry(struct loader *loader, uint32_t node, void *target)
{
    struct loader *defaults = target;
    load_retry(loader, node, &(struct load_retry){&defaults->profile.retry_on, &defaults->continue_workspace});
}

static void default_retain(struct loader *loader, uint32_t node, void *target)
{
    load_retain(loader, node, &((struct loader *)target)->retain);
}

static void default_keep(struct loader *loader, uint32_t node, void *target)
{
    load_keep(loader, node, &((struct loader *)target)->keep_on_success);
}

static void default_on_violation(struct loader *loader, uint32_t node, void *target)
{
    load_on_violation(loader, node, &((struct loader *)target)->stop_on_violation);
}

static void default_sandbox(struct loader *loader, uint32_t node, void *target)
{
    if (load_sandbox(loader, node, &((struct loader *)target)->no_sandbox))
        loader->graph->default_sandbox = node;
}

static void default_egress(struct loader *loader, uint32_t node, void *target)
{
    load_egress(loader, node, target);
    loader->graph->default_egress = node;
}

static void default_budget(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_usd(loader, node, &loader->graph->default_budget_micro_usd);
}

/* `provider` may stand at the top or in `defaults`, as people expect it in both. */
static void read_default_provider(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    struct mf_span name;
    if (!load_without_template(loader, node) || !load_id(loader, node, "provider", &name))
        return;
    if (loader->provider != JSON_NONE)
        load_fail(loader, node, "`provider` stands at the top and in `defaults`");
    loader->provider = node;
}

static void read_defaults(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    static const struct load_field fields[] = {
        {"timeout", default_timeout},
        {"setup_timeout", default_setup_timeout},
        {"verify_timeout", default_verify_timeout},
        {"grace", default_grace},
        {"attempts", default_attempts},
        {"retry", default_retry},
        {"retain", default_retain},
        {"keep", default_keep},
        {"on_violation", default_on_violation},
        {"provider", read_default_provider},
        {"sandbox", default_sandbox},
        {"egress", default_egress},
        {"budget_usd", default_budget},
    };
    LOAD_OBJECT(loader, node, fields, loader);
}

static void read_tasks(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    if (load_expect(loader, node, JSON_OBJECT))
        loader->tasks = node;
}

static void read_misplaced(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_fail(loader, node, "stands in a task or in `defaults`, not at the top");
}

static void read_misplaced_uses(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_fail(loader, node, "stands in a task, not at the top: only what names a service may use it");
}

void load_top(struct loader *loader)
{
    static const struct load_field fields[] = {
        {"mayfly", read_version},      {"name", read_graph_name},     {"description", load_description},
        {"labels", read_graph_labels}, {"$schema", load_ignore},      {"params", read_parameters},
        {"limits", read_limits},       {"defaults", read_defaults},   {"provider", read_default_provider},
        {"providers", load_providers}, {"tasks", read_tasks},         {"services", load_services},
        {"canaries", read_canaries},   {"egress", read_misplaced},    {"uses", read_misplaced_uses}, {"sandbox", read_misplaced},
    };
    if (!LOAD_OBJECT(loader, 0, fields, NULL))
        return;
    if (json_member(loader->document, 0, "mayfly") == JSON_NONE)
        load_fail(loader, 0, "`mayfly` is missing: every graph starts with \"mayfly\": 1");
    if (json_member(loader->document, 0, "tasks") == JSON_NONE)
        load_fail(loader, 0, "`tasks` is missing");
}

/* --- --set --- */

static enum json_kind kind_of(struct mf_span json)
{
    switch (json.data[0]) {
    case '"':
        return JSON_STRING;
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case 't':
    case 'f':
        return JSON_TRUE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

/* Appends a value as JSON: a string for a string, else JSON of the default's kind; null takes what it gets. */
static void append_value(struct loader *loader, enum json_kind wanted, struct mf_span value, struct mf_buf *json)
{
    struct json_document document;
    struct json_failure failure = {.code = MF_INPUT};
    if (wanted != JSON_STRING && json_scan(&document, value, &json_limits_default, &failure) == 0) {
        if (wanted == JSON_NULL || kind_of(json_raw(&document, 0)) == wanted)
            mf_buf_span(json, json_raw(&document, 0));
        json_document_free(&document);
    } else if (failure.code == MF_MEMORY) {
        loader->no_memory = true;
    } else if (wanted == JSON_STRING || wanted == JSON_NULL) {
        json_escape(json, value);
    }
    loader->no_memory |= json->failed;
}

static struct graph_parameter *parameter_of(struct graph *graph, struct mf_span name)
{
    for (size_t i = 0; i < graph->parameter_count; i++) {
        if (mf_span_equal(graph->parameters[i].name, name))
            return &graph->parameters[i];
    }
    return NULL;
}

/* The value is not shown: it may be a ticket's text or worse. */
static void settle(struct loader *loader, const struct graph_setting *setting)
{
    struct graph_parameter *parameter = parameter_of(loader->graph, setting->name);
    int shown = setting->name.length < 80 ? (int)setting->name.length : 80;
    if (parameter == NULL) {
        load_fail(loader, JSON_NONE, "--set %.*s: the graph has no such parameter", shown, setting->name.data);
        return;
    }
    if (!mf_utf8_valid(setting->value.data, setting->value.length)) {
        load_fail(loader, JSON_NONE, "--set %.*s: the value is not UTF-8", shown, setting->name.data);
        return;
    }
    enum json_kind wanted = kind_of(parameter->json);
    struct mf_buf json;
    mf_buf_init(&json, 6 * setting->value.length + 16);
    append_value(loader, wanted, setting->value, &json);
    char *text = json.length > 0 ? mf_buf_take(&json) : NULL;
    mf_buf_free(&json);
    if (text == NULL && !loader->no_memory)
        load_fail(loader, JSON_NONE, "--set %.*s: the default is %s %s, the value is none", shown, setting->name.data,
                  wanted == JSON_ARRAY || wanted == JSON_OBJECT ? "an" : "a", json_kind_name(wanted));
    if (text == NULL)
        return;
    mf_free(parameter->owned);
    parameter->owned = text;
    parameter->json = mf_span(text);
}

void load_settings(struct loader *loader)
{
    for (uint32_t i = 0; i < loader->options->setting_count; i++)
        settle(loader, &loader->options->settings[i]);
}
