/* tasks.c - the tasks of a graph file */
#include "document/load.h"

#include "base/alloc.h"

#include <string.h>

/* A task while it is read: what goes into its profile is settled at the end. */
struct draft {
    struct graph_task *task;
    uint32_t index;
    struct graph_profile profile;
    bool continue_workspace;
    uint32_t key, prompt; /* nodes, for checks that need two members */
    uint32_t account, accounts;
    uint32_t uses, budget, egress;
};

static void read_needs(struct loader *loader, uint32_t node, void *target)
{
    load_needs(loader, node, ((struct draft *)target)->index);
}

static void read_command(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_command(loader, node, true);
}

static void read_for_each(struct loader *loader, uint32_t node, void *target)
{
    enum json_kind kind = json_kind(loader->document, node);
    if (kind != JSON_ARRAY && kind != JSON_STRING)
        load_fail(loader, node,
                  "expected an array, or a string that is one template such as \"{{plan.result.sites}}\"");
    else if (kind == JSON_ARRAY && loader->document->nodes[node].children > loader->graph->limits.for_each_max)
        load_fail(loader, node, "%u elements are more than limits.for_each, %u", loader->document->nodes[node].children,
                  loader->graph->limits.for_each_max);
    ((struct draft *)target)->task->for_each = true;
}

static void read_key(struct loader *loader, uint32_t node, void *target)
{
    load_expect(loader, node, JSON_STRING);
    ((struct draft *)target)->key = node;
}

static void read_files(struct loader *loader, uint32_t node, void *target)
{
    if (load_strings(loader, node, load_check_path) && loader->document->nodes[node].children > 0)
        ((struct draft *)target)->task->prepare = true;
}

static void read_collect(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_strings(loader, node, load_check_path);
}

/* --- workspace --- */

static void read_copy(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    if (load_expect(loader, node, JSON_STRING) && !graph_has_template(loader->graph, node))
        load_check_path(loader, node);
}

static void read_git(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    char url[4096];
    if (!load_expect(loader, node, JSON_STRING) || graph_has_template(loader->graph, node))
        return;
    const char *fault = json_copy(loader->document, node, url, sizeof url) != 0
                            ? "is longer than 4095 bytes"
                            : graph_git_fault(mf_span(url), MF_SPAN("HEAD"));
    if (fault != NULL)
        load_fail_at(loader, node, 0, true, "the place to clone from %s", fault);
}

static void read_ref(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    char ref[1024];
    if (!load_expect(loader, node, JSON_STRING) || graph_has_template(loader->graph, node))
        return;
    const char *fault = json_copy(loader->document, node, ref, sizeof ref) != 0
                            ? "is longer than 1023 bytes"
                            : graph_git_fault(MF_SPAN("x"), mf_span(ref));
    if (fault != NULL)
        load_fail(loader, node, "the ref %s", fault);
}

static void read_workspace(struct loader *loader, uint32_t node, void *target)
{
    static const struct load_field fields[] = {{"copy", read_copy}, {"git", read_git}, {"ref", read_ref}};
    if (!LOAD_OBJECT(loader, node, fields, target))
        return;
    bool copy = json_member(loader->document, node, "copy") != JSON_NONE;
    bool git = json_member(loader->document, node, "git") != JSON_NONE;
    if (copy == git)
        load_fail(loader, node, "expected exactly one of `copy` and `git`");
    else if (copy && json_member(loader->document, node, "ref") != JSON_NONE)
        load_fail(loader, node, "`ref` goes with `git`");
    ((struct draft *)target)->task->prepare = true;
}

/* --- setup, prompt --- */

static void read_setup_command(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_command(loader, node, false);
}

static void read_setup_timeout(struct loader *loader, uint32_t node, void *target)
{
    load_duration(loader, node, &((struct draft *)target)->profile.setup_timeout_ms);
}

static void read_setup(struct loader *loader, uint32_t node, void *target)
{
    static const struct load_field fields[] = {{"command", read_setup_command}, {"timeout", read_setup_timeout}};
    ((struct draft *)target)->task->prepare = true;
    if (json_kind(loader->document, node) == JSON_ARRAY)
        load_command(loader, node, false);
    else if (json_kind(loader->document, node) != JSON_OBJECT)
        load_fail(loader, node, "expected a command (an array), or an object with `command` and `timeout`");
    else if (LOAD_OBJECT(loader, node, fields, target) && json_member(loader->document, node, "command") == JSON_NONE)
        load_fail(loader, node, "`command` is missing");
}

static void read_prompt_file(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_check_path(loader, node);
}

static void read_prompt(struct loader *loader, uint32_t node, void *target)
{
    static const struct load_field fields[] = {{"file", read_prompt_file}};
    (void)target;
    if (json_kind(loader->document, node) == JSON_STRING)
        return;
    if (json_kind(loader->document, node) != JSON_OBJECT)
        load_fail(loader, node, "expected a text, or {\"file\": PATH}");
    else if (LOAD_OBJECT(loader, node, fields, target) && json_member(loader->document, node, "file") == JSON_NONE)
        load_fail(loader, node, "`file` is missing");
}

/* --- accounts --- */

static void read_account(struct loader *loader, uint32_t node, void *target)
{
    struct draft *draft = target;
    draft->account = node;
    if (draft->accounts == JSON_NONE)
        load_account(loader, node, draft->task);
}

static void read_accounts(struct loader *loader, uint32_t node, void *target)
{
    struct draft *draft = target;
    draft->accounts = node;
    if (draft->account == JSON_NONE)
        load_accounts(loader, node, draft->task);
}

/* --- verify --- */

static void read_verify_files(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_strings(loader, node, load_check_path);
}

static void read_verify_timeout(struct loader *loader, uint32_t node, void *target)
{
    load_duration(loader, node, &((struct draft *)target)->profile.verify_timeout_ms);
}

static void read_verify(struct loader *loader, uint32_t node, void *target)
{
    static const struct load_field fields[] = {
        {"command", read_command},
        {"files", read_verify_files},
        {"permissions", load_permissions},
        {"timeout", read_verify_timeout},
        {"env", load_env},
    };
    ((struct draft *)target)->task->verify = true;
    if (LOAD_OBJECT(loader, node, fields, target) && json_member(loader->document, node, "command") == JSON_NONE)
        load_fail(loader, node, "`command` is missing");
}

/* --- what has a default --- */

static void read_timeout(struct loader *loader, uint32_t node, void *target)
{
    load_timeout(loader, node, &((struct draft *)target)->profile);
}

static void read_grace(struct loader *loader, uint32_t node, void *target)
{
    load_grace(loader, node, &((struct draft *)target)->profile);
}

static void read_attempts(struct loader *loader, uint32_t node, void *target)
{
    load_attempts(loader, node, &((struct draft *)target)->profile);
}

static void read_retry(struct loader *loader, uint32_t node, void *target)
{
    struct draft *draft = target;
    load_retry(loader, node, &(struct load_retry){&draft->profile.retry_on, &draft->continue_workspace});
}

static void read_retain(struct loader *loader, uint32_t node, void *target)
{
    load_retain(loader, node, &((struct draft *)target)->task->retain);
}

static void read_on_violation(struct loader *loader, uint32_t node, void *target)
{
    struct draft *draft = target;
    bool stop = draft->task->stop_on_violation;
    load_on_violation(loader, node, &stop);
    draft->task->stop_on_violation = stop;
}

static void read_allow_failure(struct loader *loader, uint32_t node, void *target)
{
    bool flag = false;
    load_flag(loader, node, &flag);
    ((struct draft *)target)->task->allow_failure = flag;
}

static void read_sandbox(struct loader *loader, uint32_t node, void *target)
{
    bool off;
    if (load_sandbox(loader, node, &off))
        ((struct draft *)target)->task->no_sandbox = off;
}

static void read_egress(struct loader *loader, uint32_t node, void *target)
{
    load_egress(loader, node, NULL);
    ((struct draft *)target)->egress = node;
}

static void read_uses(struct loader *loader, uint32_t node, void *target)
{
    load_uses(loader, node);
    ((struct draft *)target)->uses = node;
}

static void read_budget(struct loader *loader, uint32_t node, void *target)
{
    int64_t micro_usd; /* read again when the task starts */
    load_usd(loader, node, &micro_usd);
    ((struct draft *)target)->budget = node;
}

static void read_misplaced_services(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_fail(loader, node, "stands at the top of the file; a task names what it needs in `uses`");
}

static const struct load_field task_fields[] = {
    {"needs", read_needs},
    {"command", read_command},
    {"files", read_files},
    {"account", read_account},
    {"timeout", read_timeout},
    {"env", load_env},
    {"verify", read_verify},
    {"collect", read_collect},
    {"prompt", read_prompt},
    {"for_each", read_for_each},
    {"key", read_key},
    {"description", load_description},
    {"labels", load_labels},
    {"accounts", read_accounts},
    {"attempts", read_attempts},
    {"retry", read_retry},
    {"grace", read_grace},
    {"setup", read_setup},
    {"workspace", read_workspace},
    {"pass_env", load_pass_env},
    {"allow_failure", read_allow_failure},
    {"on_violation", read_on_violation},
    {"retain", read_retain},
    {"sandbox", read_sandbox},
    {"uses", read_uses},
    {"budget_usd", read_budget},
    {"egress", read_egress},
    {"services", read_misplaced_services},
};

/* Stores a profile or finds it again. */
static uint32_t profile_index(struct loader *loader, const struct graph_profile *profile)
{
    struct graph *graph = loader->graph;
    uint32_t *cached = &loader->profile_cache[mf_hash(profile, sizeof *profile, 0) % PROFILE_CACHE];
    if (*cached > 0 && memcmp(&graph->profiles[*cached - 1], profile, sizeof *profile) == 0)
        return *cached - 1;
    void *profiles = graph->profiles;
    if (!load_grow(loader, &profiles, &graph->profile_capacity, graph->profile_count + 1, sizeof *profile))
        return 0;
    graph->profiles = profiles;
    graph->profiles[graph->profile_count++] = *profile;
    *cached = (uint32_t)graph->profile_count;
    return *cached - 1;
}

static void check_reach(struct loader *loader, const struct draft *draft)
{
    if (draft->budget != JSON_NONE && draft->uses == JSON_NONE)
        load_fail(loader, draft->budget, "`budget_usd` goes with `uses`");
    if (draft->egress != JSON_NONE && draft->task->no_sandbox && loader->document->nodes[draft->egress].children > 0)
        load_note(loader, draft->egress, "without a sandbox nothing holds the task to this list");
}

static void read_task(struct loader *loader, uint32_t index)
{
    struct graph *graph = loader->graph;
    struct graph_task *task = &graph->tasks[index];
    struct draft draft = {
        .task = task,
        .index = index,
        .profile = loader->profile,
        .continue_workspace = loader->continue_workspace,
        .key = JSON_NONE,
        .account = JSON_NONE,
        .accounts = JSON_NONE,
        .uses = JSON_NONE,
        .budget = JSON_NONE,
        .egress = JSON_NONE,
    };
    task->no_sandbox = loader->no_sandbox;
    task->retain = loader->retain;
    task->stop_on_violation = loader->stop_on_violation;
    task->edge_first = (uint32_t)graph->edge_count;
    task->slot_first = (uint32_t)graph->slot_count;
    task->profile = profile_index(loader, &loader->profile);
    if (!LOAD_OBJECT(loader, task->node, task_fields, &draft))
        return;
    if (json_member(loader->document, task->node, "command") == JSON_NONE)
        load_fail(loader, task->node, "`command` is missing");
    if (draft.account != JSON_NONE && draft.accounts != JSON_NONE)
        load_fail(loader, draft.accounts, "a task has `account` or `accounts`, not both");
    if (draft.key != JSON_NONE && !task->for_each)
        load_fail(loader, draft.key, "`key` goes with `for_each`");
    check_reach(loader, &draft);
    task->continue_workspace = draft.continue_workspace;
    task->profile = profile_index(loader, &draft.profile);
    task->slot_count = (uint32_t)graph->slot_count - task->slot_first;
    graph->has_prepare |= task->prepare;
}

void load_tasks(struct loader *loader)
{
    if (loader->tasks == JSON_NONE)
        return;
    load_names(loader);
    if (loader->no_memory)
        return;
    for (uint32_t i = 0; i < loader->graph->task_count && !loader->no_memory; i++)
        read_task(loader, i);
    if (loader->graph->task_count == 0 && diagnostics_errors(loader->diagnostics) == 0)
        load_note(loader, loader->tasks, "the graph has no tasks: there is nothing to do");
}
