/* plan_print.c - a plan for people and as JSON */
#include "cmd/plan_private.h"

#include "base/buf.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

#define TASKS_SHOWN_MAX 200u

static void print_waves(const struct graph *graph)
{
    uint32_t shown = 0, level = GRAPH_NONE;
    for (uint32_t i = 0; i < graph_task_count(graph); i++) {
        uint32_t task = graph_order(graph)[i];
        const struct graph_task *entry = &graph_tasks(graph)[task];
        bool known;
        if (shown++ >= TASKS_SHOWN_MAX) {
            printf("\n          ... and %u more tasks", graph_task_count(graph) - TASKS_SHOWN_MAX);
            break;
        }
        if (entry->level != level)
            printf("%swave %-3u  ", level == GRAPH_NONE ? "" : "\n", entry->level + 1);
        else
            printf(", ");
        level = entry->level;
        uint32_t instances = plan_instances(graph, task, &known);
        printf("%.*s", MF_SPAN_ARGS(entry->name));
        if (entry->for_each && known)
            printf(" x %u", instances);
        else if (entry->for_each)
            printf(" x (list of an earlier result)");
    }
    printf("\n");
}

static void print_path(const struct graph *graph, const struct plan *plan, uint32_t task)
{
    if (plan->before[task] != GRAPH_NONE) {
        print_path(graph, plan, plan->before[task]);
        printf(" -> ");
    }
    printf("%.*s", MF_SPAN_ARGS(graph_tasks(graph)[task].name));
}

static void print_secrets(const struct graph *graph)
{
    const struct json_document *document = graph_document(graph);
    for (uint32_t task = 0; task < graph_task_count(graph) && task < TASKS_SHOWN_MAX; task++) {
        uint32_t list = graph_part(graph, task, GRAPH_PART_PASS_ENV);
        if (list == JSON_NONE)
            continue;
        printf("  %-24.*s holds", MF_SPAN_ARGS(graph_tasks(graph)[task].name));
        for (uint32_t at = json_first(document, list); at != JSON_NONE; at = json_next(document, list, at))
            printf(" %.*s", MF_SPAN_ARGS(json_raw(document, at)));
        printf(" of the operator's environment\n");
    }
    for (uint32_t i = 0; i < graph_provider_count(graph); i++)
        if (graph_provider(graph, i)->credential != GRAPH_CREDENTIAL_NONE)
            printf("  %-24s the operator's credential stays in the orchestrator; no agent sees it\n",
                   graph_provider(graph, i)->name);
}

static void print_terms(const struct graph *graph, const struct plan *plan)
{
    for (uint32_t i = 0; i < graph_provider_count(graph); i++)
        for (uint32_t t = 0; plan->recipes[i] != NULL && t < recipe_info(plan->recipes[i])->terms_count; t++)
            printf("terms     %s: %s %s\n", graph_provider(graph, i)->name,
                   recipe_info(plan->recipes[i])->terms[t].title, recipe_info(plan->recipes[i])->terms[t].url);
}

static void print_forecast(const struct plan *plan)
{
    char text[24];
    if (plan->proof_ms > 0) {
        printf("forecast  proof of work: %.1f s of one core for each account", plan->proof_ms_each / 1000.0);
        printf(", %s for all on this machine\n", mf_format_duration((int64_t)plan->proof_ms, text));
    }
    if (plan->create_ms > 0)
        printf("forecast  creations: at least %s by the provider's rate\n",
               mf_format_duration((int64_t)plan->create_ms, text));
    if (plan->budget_ms >= 1000)
        printf("forecast  requests: at least %s by the provider's budget\n",
               mf_format_duration((int64_t)plan->budget_ms, text));
}

void plan_print(const struct graph *graph, const struct plan *plan)
{
    char text[24];
    printf("%.*s  %u tasks, %u%s agents, %u at a time\n", MF_SPAN_ARGS(graph_name(graph)), graph_task_count(graph),
           plan->agents, plan->agents_open_ended ? "+" : "", plan->running);
    print_waves(graph);
    if (plan->critical_last != GRAPH_NONE) {
        printf("longest   ");
        print_path(graph, plan, plan->critical_last);
        printf(": at most %s by its timeouts and attempts\n", mf_format_duration(plan->critical_ms, text));
    }
    printf("accounts  %u%s\n", plan->accounts,
           plan->accounts_open_ended ? " and one for each item of lists that are not known yet" : "");
    plan_print_permissions(graph, plan);
    plan_print_walls(graph, plan);
    printf("secrets   agents hold tokens of mayfly's gateway in place of credentials and keys\n");
    print_secrets(graph);
    print_terms(graph, plan);
    print_forecast(plan);
    plan_print_rules(graph, plan);
}

/* --- JSON --- */

static void json_slots(struct json_writer *writer, const struct graph *graph, const struct plan *plan, uint32_t index)
{
    const struct graph_task *task = &graph_tasks(graph)[index];
    json_key(writer, "accounts");
    json_open_array(writer);
    for (uint32_t s = 0; s < task->slot_count; s++) {
        const struct graph_slot *slot = &graph_slots(graph)[task->slot_first + s];
        json_open_object(writer);
        json_member_span(writer, "name", slot->name);
        json_member_string(writer, "provider", graph_provider(graph, slot->provider)->name);
        json_member_bool(writer, "borrowed", slot->lender != GRAPH_NONE);
        plan_json_slot(writer, graph, plan, index, slot);
        json_key(writer, "permissions");
        json_open_array(writer);
        for (uint32_t i = 0; i < graph_permission_count(graph, slot->permissions); i++)
            json_string_span(writer, graph_permission(graph, slot->permissions, i).name);
        json_close_array(writer);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void json_tasks(struct json_writer *writer, const struct graph *graph, const struct plan *plan)
{
    json_key(writer, "tasks");
    json_open_array(writer);
    for (uint32_t i = 0; i < graph_task_count(graph); i++) {
        uint32_t task = graph_order(graph)[i];
        bool known;
        uint32_t instances = plan_instances(graph, task, &known);
        json_open_object(writer);
        json_member_span(writer, "name", graph_tasks(graph)[task].name);
        json_member_u64(writer, "wave", graph_tasks(graph)[task].level + 1);
        if (known)
            json_member_u64(writer, "instances", instances);
        json_slots(writer, graph, plan, task);
        plan_json_task(writer, graph, task);
        json_close_object(writer);
    }
    json_close_array(writer);
}

void plan_print_json(const struct graph *graph, const struct plan *plan)
{
    struct mf_buf line;
    struct json_writer writer;
    mf_buf_init(&line, 1u << 30);
    json_begin(&writer, &line);
    json_open_object(&writer);
    json_member_u64(&writer, "mayfly", 1);
    json_member_span(&writer, "name", graph_name(graph));
    json_member_u64(&writer, "agents", plan->agents);
    json_member_u64(&writer, "accounts", plan->accounts);
    json_member_bool(&writer, "open_ended", plan->accounts_open_ended || plan->agents_open_ended);
    json_member_u64(&writer, "waves", graph_level_count(graph));
    json_member_i64(&writer, "longest_ms", plan->critical_ms);
    json_key(&writer, "forecast_ms");
    json_open_object(&writer);
    json_member_i64(&writer, "proof_of_work", (int64_t)plan->proof_ms);
    json_member_i64(&writer, "creations", (int64_t)plan->create_ms);
    json_member_i64(&writer, "requests", (int64_t)plan->budget_ms);
    json_close_object(&writer);
    plan_json_services(&writer, graph, plan);
    json_tasks(&writer, graph, plan);
    json_close_object(&writer);
    printf("%s\n", mf_buf_cstr(&line));
    mf_buf_free(&line);
}
