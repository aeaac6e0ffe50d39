/* accounts.c - accounts of a task: permissions, loans, and what a verifier may do */
#include "document/load.h"

#include "base/alloc.h"

#include <string.h>

/* --- permissions --- */

static struct mf_span raw_inside(const struct json_document *document, uint32_t node)
{
    struct mf_span raw = json_raw(document, node);
    return (struct mf_span){raw.data + 1, raw.length - 2};
}

/* ASCII only: a Cyrillic letter must not pass for a Latin one. */
static bool is_permission(struct mf_span name)
{
    if (name.length == 0 || name.length > 128)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '_' && c != '-' && c != '.' && c != ':')))
            return false;
    }
    return true;
}

static void read_permission_name(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    struct mf_span name;
    if (!load_without_template(loader, node) || !load_name(loader, node, &name) || is_permission(name))
        return;
    load_fail(loader, node, "permission `%.*s` does not match [A-Za-z0-9][A-Za-z0-9_.:-]{0,127}",
              (int)(name.length < 80 ? name.length : 80), name.data);
}

static void read_only_value(struct loader *loader, uint32_t node, struct mf_span name)
{
    if (load_expect(loader, node, JSON_STRING) && json_is(loader->document, node, ""))
        load_fail(loader, node, "the value of `%.*s` is empty", MF_SPAN_ARGS(name));
}

/* One value, or several of which any may be meant. None would allow nothing, and is rather a slip. */
static void read_only_values(struct loader *loader, uint32_t node, struct mf_span name)
{
    const struct json_document *document = loader->document;
    if (json_kind(document, node) != JSON_ARRAY) {
        read_only_value(loader, node, name);
        return;
    }
    if (document->nodes[node].children < 1 || document->nodes[node].children > LOAD_ONLY_VALUES_MAX)
        load_fail(loader, node, "expected 1 to %d values of `%.*s`", LOAD_ONLY_VALUES_MAX, MF_SPAN_ARGS(name));
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child))
        read_only_value(loader, child, name);
}

static void read_only(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    const struct json_document *document = loader->document;
    struct mf_span name;
    if (!load_expect(loader, node, JSON_OBJECT))
        return;
    if (document->nodes[node].children == 0)
        load_fail(loader, node, "`only` names no parameter");
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        if (load_id(loader, key, "parameter", &name))
            read_only_values(loader, json_value(document, key), name);
    }
}

static void read_permission(struct loader *loader, uint32_t node)
{
    static const struct load_field fields[] = {{"name", read_permission_name}, {"only", read_only}};
    if (json_kind(loader->document, node) == JSON_STRING)
        read_permission_name(loader, node, NULL);
    else if (json_kind(loader->document, node) != JSON_OBJECT)
        load_fail(loader, node, "expected a permission's name, or {\"name\": NAME, \"only\": {...}}");
    else if (LOAD_OBJECT(loader, node, fields, NULL) && json_member(loader->document, node, "name") == JSON_NONE)
        load_fail(loader, node, "`name` is missing");
}

uint32_t graph_permission_count(const struct graph *graph, uint32_t permissions)
{
    if (permissions == JSON_NONE || json_kind(&graph->document, permissions) != JSON_ARRAY)
        return 0;
    return graph->document.nodes[permissions].children;
}

static struct graph_permission permission_of(const struct json_document *document, uint32_t node)
{
    struct graph_permission permission = {.name = MF_SPAN(""), .only = JSON_NONE};
    uint32_t name = node;
    if (json_kind(document, node) == JSON_OBJECT) {
        name = json_member(document, node, "name");
        permission.only = json_member(document, node, "only");
    }
    if (name != JSON_NONE && json_kind(document, name) == JSON_STRING)
        permission.name = raw_inside(document, name);
    return permission;
}

struct graph_permission graph_permission(const struct graph *graph, uint32_t permissions, uint32_t index)
{
    return permission_of(&graph->document, json_element(&graph->document, permissions, index));
}

void load_permissions(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    const struct json_document *document = loader->document;
    if (!load_expect(loader, node, JSON_ARRAY))
        return;
    if (document->nodes[node].children > LOAD_PERMISSIONS_MAX) {
        load_fail(loader, node, "more than %d permissions", LOAD_PERMISSIONS_MAX);
        return;
    }
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child)) {
        read_permission(loader, child);
        struct mf_span name = permission_of(document, child).name;
        for (uint32_t other = json_first(document, node); other != child; other = json_next(document, node, other)) {
            if (name.length > 0 && mf_span_equal(name, permission_of(document, other).name)) {
                load_fail(loader, child, "permission `%.*s` stands twice", (int)(name.length < 80 ? name.length : 80),
                          name.data);
                break;
            }
        }
    }
}

/* --- accounts --- */

struct account_draft {
    struct graph_slot slot;
    uint32_t provider, from, keep, environment; /* nodes */
    bool environment_flag;
};

static void read_permissions(struct loader *loader, uint32_t node, void *target)
{
    ((struct account_draft *)target)->slot.permissions = node;
    load_permissions(loader, node, NULL);
}

static void read_provider(struct loader *loader, uint32_t node, void *target)
{
    ((struct account_draft *)target)->provider = node;
    ((struct account_draft *)target)->slot.provider = load_provider(loader, node);
}

static void read_keep(struct loader *loader, uint32_t node, void *target)
{
    ((struct account_draft *)target)->keep = node;
    load_keep(loader, node, &((struct account_draft *)target)->slot.keep_on_success);
}

static void read_from(struct loader *loader, uint32_t node, void *target)
{
    if (load_without_template(loader, node) && load_expect(loader, node, JSON_STRING))
        ((struct account_draft *)target)->from = node;
}

static void read_environment(struct loader *loader, uint32_t node, void *target)
{
    ((struct account_draft *)target)->environment = node;
    load_flag(loader, node, &((struct account_draft *)target)->environment_flag);
}

static void add_loan(struct loader *loader, uint32_t task, const struct account_draft *draft)
{
    void *loans = loader->loans;
    if (draft->provider != JSON_NONE)
        load_fail(loader, draft->provider, "a borrowed account has the provider of its lender");
    if (draft->keep != JSON_NONE)
        load_fail(loader, draft->keep, "only the lender decides whether its account is kept");
    if (!load_grow(loader, &loans, &loader->loan_capacity, loader->loan_count + 1, sizeof *loader->loans))
        return;
    loader->loans = loans;
    loader->loans[loader->loan_count++] =
        (struct loader_loan){.slot = (uint32_t)loader->graph->slot_count, .task = task, .from = draft->from};
}

/* Reads one account and adds its slot. */
static void read_slot(struct loader *loader, uint32_t node, struct mf_span name, struct graph_task *task)
{
    static const struct load_field fields[] = {
        {"permissions", read_permissions}, {"keep", read_keep}, {"provider", read_provider}, {"from", read_from},
        {"env", read_environment},
    };
    struct graph *graph = loader->graph;
    struct account_draft draft = {
        .slot = {.name = name,
                 .node = node,
                 .permissions = JSON_NONE,
                 .provider = GRAPH_NONE,
                 .lender = GRAPH_NONE,
                 .keep_on_success = loader->keep_on_success},
        .provider = JSON_NONE,
        .from = JSON_NONE,
        .keep = JSON_NONE,
        .environment = JSON_NONE,
    };
    if (!LOAD_OBJECT(loader, node, fields, &draft))
        return;
    draft.slot.environment = draft.environment_flag;
    if (draft.from != JSON_NONE) {
        draft.slot.keep_on_success = false;
        add_loan(loader, (uint32_t)(task - graph->tasks), &draft);
    } else if (draft.provider == JSON_NONE) {
        draft.slot.provider = load_default_provider(loader, node);
    }
    void *slots = graph->slots;
    if (!load_grow(loader, &slots, &graph->slot_capacity, graph->slot_count + 1, sizeof draft.slot))
        return;
    graph->slots = slots;
    graph->slots[graph->slot_count++] = draft.slot;
}

void load_account(struct loader *loader, uint32_t node, void *target)
{
    size_t before = loader->graph->slot_count;
    read_slot(loader, node, MF_SPAN("account"), target);
    if (loader->graph->slot_count > before)
        loader->graph->slots[before].environment = true;
}

/* The first one gets the variables unless another one says so. */
static void settle_environment(struct loader *loader, uint32_t node, size_t before)
{
    struct graph *graph = loader->graph;
    uint32_t count = 0;
    for (size_t i = before; i < graph->slot_count; i++)
        count += graph->slots[i].environment;
    if (count > 1)
        load_fail(loader, node, "more than one account says \"env\": true");
    else if (count == 0 && graph->slot_count > before)
        graph->slots[before].environment = true;
}

void load_accounts(struct loader *loader, uint32_t node, void *target)
{
    const struct json_document *document = loader->document;
    size_t before = loader->graph->slot_count;
    struct mf_span name;
    if (!load_expect(loader, node, JSON_OBJECT))
        return;
    if (document->nodes[node].children < 1 || document->nodes[node].children > LOAD_SLOTS_MAX) {
        load_fail(loader, node, "expected 1 to %d accounts", LOAD_SLOTS_MAX);
        return;
    }
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        if (load_id(loader, key, "account", &name))
            read_slot(loader, json_value(document, key), name, target);
    }
    settle_environment(loader, node, before);
}

/* --- what is lent must be held --- */

static bool has_value(const struct json_document *document, uint32_t values, uint32_t wanted)
{
    if (json_kind(document, values) != JSON_ARRAY)
        return json_same_text(document, values, wanted);
    for (uint32_t one = json_first(document, values); one != JSON_NONE; one = json_next(document, values, one)) {
        if (json_same_text(document, one, wanted))
            return true;
    }
    return false;
}

static bool has_values(const struct json_document *document, uint32_t values, uint32_t wanted)
{
    if (json_kind(document, wanted) != JSON_ARRAY)
        return has_value(document, values, wanted);
    for (uint32_t one = json_first(document, wanted); one != JSON_NONE; one = json_next(document, wanted, one)) {
        if (!has_value(document, values, one))
            return false;
    }
    return true;
}

/* A narrowed permission covers only what is narrowed at least as much, to the very same texts. */
static bool covers_only(const struct json_document *document, uint32_t held, uint32_t wanted)
{
    if (held == JSON_NONE)
        return true;
    for (uint32_t key = json_first(document, held); key != JSON_NONE; key = json_next(document, held, key)) {
        bool found = false;
        uint32_t other = wanted != JSON_NONE ? json_first(document, wanted) : JSON_NONE;
        for (; other != JSON_NONE && !found; other = json_next(document, wanted, other))
            found = json_same_text(document, key, other) &&
                    has_values(document, json_value(document, key), json_value(document, other));
        if (!found)
            return false;
    }
    return true;
}

/* The same name; and X:write covers X:read, by the naming that recipes follow. */
static bool covers_name(struct mf_span held, struct mf_span wanted)
{
    if (mf_span_equal(held, wanted))
        return true;
    return mf_span_ends(held, ":write") && mf_span_ends(wanted, ":read") && held.length - 6 == wanted.length - 5 &&
           memcmp(held.data, wanted.data, held.length - 6) == 0;
}

static bool covers(const struct json_document *document, uint32_t held, struct graph_permission wanted)
{
    for (uint32_t child = json_first(document, held); child != JSON_NONE; child = json_next(document, held, child)) {
        struct graph_permission permission = permission_of(document, child);
        if (covers_name(permission.name, wanted.name) && covers_only(document, permission.only, wanted.only))
            return true;
    }
    return false;
}

static void check_covered(struct loader *loader, uint32_t held, uint32_t wanted, const char *holder)
{
    const struct json_document *document = loader->document;
    if (wanted == JSON_NONE || json_kind(document, wanted) != JSON_ARRAY)
        return;
    if (held != JSON_NONE && json_kind(document, held) != JSON_ARRAY)
        return;
    for (uint32_t child = json_first(document, wanted); child != JSON_NONE;
         child = json_next(document, wanted, child)) {
        struct graph_permission permission = permission_of(document, child);
        if (permission.name.length > 0 && (held == JSON_NONE || !covers(document, held, permission)))
            load_fail(loader, child, "permission `%.*s` is not among those of %s",
                      (int)(permission.name.length < 80 ? permission.name.length : 80), permission.name.data, holder);
    }
}

/* --- loans --- */

static bool needs_on_success(const struct graph *graph, uint32_t task, uint32_t lender)
{
    const struct graph_task *borrower = &graph->tasks[task];
    for (uint32_t i = 0; i < borrower->edge_count; i++) {
        const struct graph_edge *edge = &graph->edges[borrower->edge_first + i];
        if (edge->from == lender && edge->on == GRAPH_ON_SUCCEEDED)
            return true;
    }
    return false;
}

/* The lender's slot of a name (empty: the only one) or GRAPH_NONE after an error. */
static uint32_t lent_slot(struct loader *loader, const struct loader_loan *loan, uint32_t lender, struct mf_span name)
{
    struct graph *graph = loader->graph;
    const struct graph_task *task = &graph->tasks[lender];
    if (task->slot_count == 0) {
        load_fail(loader, loan->from, "task `%.*s` has no account", MF_SPAN_ARGS(task->name));
        return GRAPH_NONE;
    }
    if (name.length == 0 && task->slot_count == 1)
        return 0;
    for (uint32_t i = 0; i < task->slot_count && name.length > 0; i++) {
        if (mf_span_equal(graph->slots[task->slot_first + i].name, name))
            return i;
    }
    if (name.length == 0)
        load_fail(loader, loan->from, "task `%.*s` has several accounts: name one, \"%.*s.NAME\"",
                  MF_SPAN_ARGS(task->name), MF_SPAN_ARGS(task->name));
    else
        load_fail(loader, loan->from, "task `%.*s` has no account of that name", MF_SPAN_ARGS(task->name));
    return GRAPH_NONE;
}

static void settle_loan(struct loader *loader, const struct loader_loan *loan)
{
    struct graph *graph = loader->graph;
    struct graph_slot *slot = &graph->slots[loan->slot];
    struct mf_span text = raw_inside(loader->document, loan->from);
    const char *dot = text.length > 0 ? memchr(text.data, '.', text.length) : NULL;
    struct mf_span task = {text.data, dot != NULL ? (size_t)(dot - text.data) : text.length};
    struct mf_span name = dot != NULL ? (struct mf_span){dot + 1, text.length - task.length - 1} : MF_SPAN("");
    uint32_t lender = load_task_of(loader, loan->from, task);
    if (lender == GRAPH_NONE)
        return;
    if (lender == loan->task) {
        load_fail(loader, loan->from, "a task cannot borrow its own account");
        return;
    }
    if (graph->tasks[lender].for_each) {
        load_fail(loader, loan->from, "task `%.*s` has for_each: its accounts cannot be borrowed", MF_SPAN_ARGS(task));
        return;
    }
    if (!needs_on_success(graph, loan->task, lender))
        load_fail(loader, loan->from, "the lender must stand in `needs`, on succeeded: `%.*s`", MF_SPAN_ARGS(task));
    uint32_t index = lent_slot(loader, loan, lender, name);
    if (index == GRAPH_NONE)
        return;
    const struct graph_slot *lent = &graph->slots[graph->tasks[lender].slot_first + index];
    if (json_member(loader->document, lent->node, "from") != JSON_NONE) {
        load_fail(loader, loan->from, "that account of `%.*s` is borrowed itself: name its owner", MF_SPAN_ARGS(task));
        return;
    }
    slot->lender = lender;
    slot->lender_slot = index;
    slot->provider = lent->provider;
    check_covered(loader, lent->permissions, slot->permissions, "the lender's account");
}

static uint32_t verify_permissions(const struct graph *graph, const struct graph_task *task)
{
    return json_member(&graph->document, json_member(&graph->document, task->node, "verify"), "permissions");
}

static void settle_verify(struct loader *loader, const struct graph_task *task)
{
    struct graph *graph = loader->graph;
    uint32_t wanted = verify_permissions(graph, task);
    if (wanted == JSON_NONE)
        return;
    for (uint32_t i = 0; i < task->slot_count; i++) {
        const struct graph_slot *slot = &graph->slots[task->slot_first + i];
        if (slot->environment)
            check_covered(loader, slot->permissions, wanted, "the task's account");
    }
    if (task->slot_count == 0)
        check_covered(loader, JSON_NONE, wanted, "the task: it has no account");
}

void load_settle_accounts(struct loader *loader)
{
    for (size_t i = 0; i < loader->loan_count; i++)
        settle_loan(loader, &loader->loans[i]);
    for (size_t i = 0; i < loader->graph->task_count; i++) {
        if (loader->graph->tasks[i].verify)
            settle_verify(loader, &loader->graph->tasks[i]);
    }
}
