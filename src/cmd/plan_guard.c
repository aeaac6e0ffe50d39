/*
 * plan_guard.c - the part of a plan about what agents may do: permissions and who keeps them, services and money, walls
 *
 * Everything an agent asks of a provider or service passes mayfly's gateway, which holds it to the declared permissions; where a
 * provider has scoped tokens, its token is narrowed too. What a permission lets through is printed once, by provider.
 */
#include "cmd/plan_private.h"

#include "app/app.h"
#include "app/progress.h"
#include "base/buf.h"
#include "sandbox/sandbox.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

#define TASKS_SHOWN_MAX 200u

static const char *enforced_by(const struct plan *plan, const struct graph_slot *slot)
{
    return recipe_info(plan->recipes[slot->provider])->scoped_tokens ? "provider and gateway" : "gateway";
}

/* --- permissions --- */

static void print_list(const struct graph *graph, uint32_t permissions)
{
    uint32_t count = graph_permission_count(graph, permissions);
    if (count == 0)
        printf(" nothing is allowed");
    for (uint32_t i = 0; i < count; i++) {
        struct graph_permission permission = graph_permission(graph, permissions, i);
        printf("%s%.*s", i == 0 ? " " : ", ", MF_SPAN_ARGS(permission.name));
        if (permission.only != JSON_NONE)
            printf(" only %.*s", MF_SPAN_ARGS(json_raw(graph_document(graph), permission.only)));
    }
}

static void print_slot(const struct graph *graph, const struct plan *plan, uint32_t task, const struct graph_slot *slot)
{
    const struct graph_task *entry = &graph_tasks(graph)[task];
    printf("  %-24.*s %s", MF_SPAN_ARGS(entry->name), graph_provider(graph, slot->provider)->name);
    if (slot->lender != GRAPH_NONE)
        printf(" (borrowed from %.*s)", MF_SPAN_ARGS(graph_tasks(graph)[slot->lender].name));
    if (slot->keep_on_success)
        printf(" (kept on success)");
    printf(":");
    print_list(graph, slot->permissions);
    printf("; enforced by %s\n", enforced_by(plan, slot));
    if (!entry->verify || !slot->environment)
        return;
    printf("  %-24s its verify:", "");
    print_list(graph, graph_part(graph, task, GRAPH_PART_VERIFY_PERMISSIONS));
    printf("\n");
}

static bool permission_used(const struct graph *graph, uint32_t provider, struct mf_span name)
{
    for (uint32_t s = 0; s < graph_slot_count(graph); s++) {
        const struct graph_slot *slot = &graph_slots(graph)[s];
        for (uint32_t i = 0; slot->provider == provider && i < graph_permission_count(graph, slot->permissions); i++)
            if (mf_span_equal(graph_permission(graph, slot->permissions, i).name, name))
                return true;
    }
    return false;
}

void plan_print_rules(const struct graph *graph, const struct plan *plan)
{
    bool begun = false;
    for (uint32_t p = 0; p < graph_provider_count(graph); p++) {
        const char *name;
        for (uint32_t n = 0; plan->recipes[p] != NULL && (name = recipe_permission_name(plan->recipes[p], n)) != NULL;
             n++) {
            if (!permission_used(graph, p, mf_span(name)))
                continue;
            if (!begun)
                printf("rules     what a permission lets through, for the agent's own account; everything else is "
                       "refused:\n");
            begun = true;
            printf("  %s of %s\n", name, graph_provider(graph, p)->name);
            const char *rule;
            for (uint32_t r = 0; (rule = recipe_permission_rule(plan->recipes[p], mf_span(name), r)) != NULL; r++)
                printf("      %s\n", rule);
        }
    }
}

void plan_print_permissions(const struct graph *graph, const struct plan *plan)
{
    for (uint32_t task = 0; task < graph_task_count(graph) && task < TASKS_SHOWN_MAX; task++)
        for (uint32_t s = 0; s < graph_tasks(graph)[task].slot_count; s++)
            print_slot(graph, plan, task, &graph_slots(graph)[graph_tasks(graph)[task].slot_first + s]);
}

/* --- services --- */

static void print_money(const char *before, int64_t micro_usd)
{
    char usd[32];
    if (micro_usd >= 0)
        printf("%sat most $%s", before, usd_text(micro_usd, usd));
}

static void print_services(const struct graph *graph, const struct plan *plan)
{
    for (uint32_t i = 0; i < graph_service_count(graph); i++) {
        const struct graph_service *service = graph_service(graph, i);
        if (plan->services[i] == NULL)
            continue;
        printf("service   %s: the operator's key stays in the runner", service->source.name);
        print_money("; ", service->budget_micro_usd);
        if (service->running_max > 0)
            printf("; %u requests at a time", service->running_max);
        if (recipe_has_prices(plan->services[i]))
            printf("; prices of %s", recipe_price_date(plan->services[i]) != NULL ? recipe_price_date(plan->services[i])
                                                                                  : "an unknown date");
        else
            printf("; %s", recipe_has_usage(plan->services[i]) ? "no prices: tokens are counted, money is not"
                                                               : "it does not say what it used");
        printf("\n");
    }
    if (graph_budget_micro_usd(graph) >= 0) {
        print_money("service   all together ", graph_budget_micro_usd(graph));
        printf("\n");
    }
}

/* --- walls --- */

static void print_limits(const struct graph_sandbox *sandbox, const struct graph *graph)
{
    if (sandbox->memory_bytes > 0)
        printf(", memory %llu MiB", (unsigned long long)(sandbox->memory_bytes >> 20));
    if (sandbox->pids > 0)
        printf(", %u processes", sandbox->pids);
    if (sandbox->cpu_millis > 0)
        printf(", %u.%03u cpus", sandbox->cpu_millis / 1000, sandbox->cpu_millis % 1000);
    if (sandbox->disk_bytes > 0)
        printf(", disk %llu MiB", (unsigned long long)(sandbox->disk_bytes >> 20));
    if (sandbox->root.length > 0)
        printf(", root %.*s", MF_SPAN_ARGS(sandbox->root));
    if (sandbox->read != JSON_NONE)
        printf(", reads %.*s", MF_SPAN_ARGS(json_raw(graph_document(graph), sandbox->read)));
}

static void print_walls(const struct graph *graph, uint32_t task)
{
    struct graph_sandbox sandbox = graph_sandbox(graph, task);
    bool walled = app_walled(graph, task);
    printf("  %-24.*s %s", MF_SPAN_ARGS(graph_tasks(graph)[task].name),
           walled ? "sandbox" : "NO SANDBOX: its tokens are the only guard");
    if (walled)
        print_limits(&sandbox, graph);
    uint32_t count = graph_egress_count(graph, task);
    printf("; network: %s", !walled ? "the host's" : count == 0 ? "none but the gateway" : "");
    for (uint32_t i = 0; i < count && walled; i++) {
        struct mf_buf host;
        mf_buf_init(&host, 1024);
        graph_egress(graph, task, i, &host);
        bool private = host.length > 0 && host.data[0] == '!';
        printf("%s%s%s", i > 0 ? ", " : "", mf_buf_cstr(&host) + private, private ? " (private too)" : "");
        mf_buf_free(&host);
    }
    for (uint32_t i = 0; i < graph_use_count(graph, task); i++)
        printf("%s%s", i == 0 ? "; uses " : ", ", graph_service(graph, graph_use(graph, task, i))->source.name);
    print_money(", ", graph_task_budget_micro_usd(graph, task));
    if (graph_tasks(graph)[task].stop_on_violation)
        printf("; stopped at its first violation");
    printf("\n");
}

static void print_machine(const struct graph *graph)
{
    bool wanted = false;
    struct sandbox_report report = {0};
    struct sandbox_options options = {.agent_uid = -1};
    struct mf_error error = {0};
    for (uint32_t task = 0; task < graph_task_count(graph); task++)
        wanted |= app_walled(graph, task);
    if (!wanted)
        return;
    if (sandbox_check(&options, &report, &error) != 0)
        printf("sandbox   CANNOT BE LOOKED AT: %s\n", error.text);
    else if (!report.available)
        printf("sandbox   NOT AVAILABLE, a run would end with exit 6: %s\n", report.reason);
    else
        printf("sandbox   bubblewrap %s, agents as uid %u, cgroup %s\n", report.version, report.uid, report.cgroup);
}

void plan_print_walls(const struct graph *graph, const struct plan *plan)
{
    print_services(graph, plan);
    print_machine(graph);
    printf("walls     what stands around each agent:\n");
    for (uint32_t task = 0; task < graph_task_count(graph) && task < TASKS_SHOWN_MAX; task++)
        print_walls(graph, task);
}

/* --- JSON --- */

static void json_permissions(struct json_writer *writer, const struct graph *graph, const struct recipe *recipe,
                             uint32_t permissions)
{
    json_open_array(writer);
    for (uint32_t i = 0; i < graph_permission_count(graph, permissions); i++) {
        struct graph_permission permission = graph_permission(graph, permissions, i);
        json_open_object(writer);
        json_member_span(writer, "name", permission.name);
        if (permission.only != JSON_NONE) {
            json_key(writer, "only");
            json_raw_value(writer, json_raw(graph_document(graph), permission.only));
        }
        json_key(writer, "rules");
        json_open_array(writer);
        const char *rule;
        for (uint32_t r = 0; (rule = recipe_permission_rule(recipe, permission.name, r)) != NULL; r++)
            json_string(writer, rule);
        json_close_array(writer);
        json_close_object(writer);
    }
    json_close_array(writer);
}

void plan_json_slot(struct json_writer *writer, const struct graph *graph, const struct plan *plan, uint32_t task,
                    const struct graph_slot *slot)
{
    const struct recipe *recipe = plan->recipes[slot->provider];
    json_member_bool(writer, "enforced", true);
    json_member_string(writer, "enforced_by", enforced_by(plan, slot));
    json_key(writer, "effective");
    json_permissions(writer, graph, recipe, slot->permissions);
    if (graph_tasks(graph)[task].verify && slot->environment) {
        json_key(writer, "verify");
        json_permissions(writer, graph, recipe, graph_part(graph, task, GRAPH_PART_VERIFY_PERMISSIONS));
    }
}

static void json_usd(struct json_writer *writer, const char *key, int64_t micro_usd)
{
    char usd[32];
    if (micro_usd < 0)
        return;
    json_key(writer, key);
    json_raw_value(writer, mf_span(usd_text(micro_usd, usd)));
}

void plan_json_task(struct json_writer *writer, const struct graph *graph, uint32_t task)
{
    json_member_bool(writer, "sandbox", app_walled(graph, task));
    json_key(writer, "egress");
    json_open_array(writer);
    for (uint32_t i = 0; i < graph_egress_count(graph, task); i++) {
        struct mf_buf host;
        mf_buf_init(&host, 1024);
        graph_egress(graph, task, i, &host);
        json_string_span(writer, mf_buf_view(&host));
        mf_buf_free(&host);
    }
    json_close_array(writer);
    json_key(writer, "uses");
    json_open_array(writer);
    for (uint32_t i = 0; i < graph_use_count(graph, task); i++)
        json_string(writer, graph_service(graph, graph_use(graph, task, i))->source.name);
    json_close_array(writer);
    json_usd(writer, "budget_usd", graph_task_budget_micro_usd(graph, task));
    json_member_string(writer, "on_violation", graph_tasks(graph)[task].stop_on_violation ? "stop" : "continue");
}

void plan_json_services(struct json_writer *writer, const struct graph *graph, const struct plan *plan)
{
    json_key(writer, "services");
    json_open_array(writer);
    for (uint32_t i = 0; i < graph_service_count(graph); i++) {
        const struct graph_service *service = graph_service(graph, i);
        if (plan->services[i] == NULL)
            continue;
        json_open_object(writer);
        json_member_string(writer, "name", service->source.name);
        json_member_u64(writer, "running", service->running_max);
        json_member_bool(writer, "priced", recipe_has_prices(plan->services[i]));
        json_member_string(writer, "prices", recipe_price_date(plan->services[i]));
        json_usd(writer, "budget_usd", service->budget_micro_usd);
        json_close_object(writer);
    }
    json_close_array(writer);
    json_usd(writer, "budget_usd", graph_budget_micro_usd(graph));
}
