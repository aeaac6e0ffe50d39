/*
 * least.c - the smallest permission lists that would have sufficed
 *
 * A list must hit every class of requests that was seen under it: a class knows all permissions that would have allowed it. So
 * each list is a set cover, weighted by the number of rules: forced permissions first, then what allows most for least, then
 * what has become needless goes. Lists of verify and of borrowers come first, because the account's own list must cover them.
 */
#include "report/least_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

struct list { /* one list while it is made */
    const struct evidence_provider *provider;
    uint32_t node;
    struct least_set declared, must, chosen;
    const struct evidence_use **uses; /* views */
    size_t use_count;
};

/* --- sets --- */

bool least_has(const struct least_set *set, uint32_t permission)
{
    return (set->bits[permission / 64] >> permission % 64 & 1) != 0;
}

static void set_put(struct least_set *set, uint32_t permission, bool in)
{
    uint64_t bit = UINT64_C(1) << permission % 64;
    set->bits[permission / 64] = in ? set->bits[permission / 64] | bit : set->bits[permission / 64] & ~bit;
}

static bool set_empty(const struct least_set *set)
{
    static const struct least_set none;
    return memcmp(set, &none, sizeof none) == 0;
}

static bool meets(const struct least_set *set, const struct least_set *other)
{
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++) {
        if ((set->bits[i] & other->bits[i]) != 0)
            return true;
    }
    return false;
}

static struct mf_span name_of(const struct list *list, uint32_t permission)
{
    return policy_permission_name(list->provider->policy, permission);
}

/* "x:read" of "x:write"; UINT32_MAX when there is none. */
uint32_t least_read_of(const struct policy *policy, struct mf_span name)
{
    char read[160];
    if (!mf_span_ends(name, ":write") || name.length > 128)
        return UINT32_MAX;
    mf_format(read, sizeof read, "%.*s:read", (int)name.length - 6, name.data);
    return policy_permission(policy, mf_span(read));
}

/* --- what a class may be allowed by --- */

static uint32_t only_of(const struct graph *graph, uint32_t node, struct mf_span name)
{
    for (uint32_t i = 0; i < graph_permission_count(graph, node); i++) {
        struct graph_permission permission = graph_permission(graph, node, i);
        if (mf_span_equal(permission.name, name))
            return permission.only;
    }
    return JSON_NONE;
}

/* Does a rule of the permission that allows the example have every parameter of `only`? Then it can be narrowed as well. */
static bool narrows(const struct list *list, uint32_t permission, const struct evidence_use *use,
                    const struct json_document *document, uint32_t only)
{
    struct http1_path path;
    struct http1_match match;
    struct mf_span example = mf_span(use->example);
    const char *space = memchr(example.data, ' ', example.length);
    struct mf_span method = {example.data, space != NULL ? (size_t)(space - example.data) : 0};
    if (space == NULL || http1_path_parse(&path, mf_span(space + 1), NULL) != 0)
        return false;
    for (uint32_t key = json_first(document, only); key != JSON_NONE; key = json_next(document, only, key)) {
        struct http1_narrowing narrowing = {.permission = permission, .value = MF_SPAN("\x01")}; /* is no segment */
        struct http1_grant grant = {.narrowings = &narrowing, .narrowing_count = 1};
        grant.permissions[permission / 64] = UINT64_C(1) << permission % 64;
        if (json_plain(document, key, &narrowing.name) != 0)
            return false;
        http1_table_match(policy_table(list->provider->policy), method, &path, &grant, &match);
        if (match.verdict != HTTP1_VERDICT_NARROWED)
            return false;
    }
    return true;
}

/* Nobody wants a permission of another name, though it has fewer rules: what is declared, its reading half, what was recorded. */
static void keep_near(const struct list *list, uint32_t recorded, struct least_set *set)
{
    struct least_set near = list->declared;
    for (uint32_t i = 0; i < HTTP1_PERMISSIONS_MAX && name_of(list, i).length > 0; i++) {
        uint32_t read =
            least_has(&list->declared, i) ? least_read_of(list->provider->policy, name_of(list, i)) : UINT32_MAX;
        if (read != UINT32_MAX)
            set_put(&near, read, true);
    }
    if (recorded != UINT32_MAX)
        set_put(&near, recorded, true);
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        set->bits[i] &= near.bits[i];
}

/* A class under a narrowed permission must stay narrowed: by itself, or by the reading half of it. */
static struct least_set allowing(const struct least *least, const struct list *list, const struct evidence_use *use)
{
    const struct graph *graph = evidence_graph(least->evidence);
    struct mf_span name = mf_span(use->permission);
    struct least_set set = {{0}};
    memcpy(set.bits, use->allowing, sizeof set.bits);
    uint32_t own = policy_permission(list->provider->policy, name);
    uint32_t only = own != UINT32_MAX ? only_of(graph, list->node, name) : JSON_NONE;
    if (only == JSON_NONE) {
        keep_near(list, own, &set);
        return set;
    }
    uint32_t read = least_read_of(list->provider->policy, name);
    bool halved = read != UINT32_MAX && least_has(&set, read) && !least_has(&list->declared, read) &&
                  narrows(list, read, use, graph_document(graph), only);
    set = (struct least_set){{0}};
    set_put(&set, own, true);
    if (halved)
        set_put(&set, read, true);
    return set;
}

/* --- the cover --- */

static uint32_t weight(const struct list *list, uint32_t permission)
{
    return list->provider->rules[permission] + 1u;
}

static uint32_t gain(const struct list *list, const struct least_set *sets, uint32_t permission)
{
    uint32_t count = 0;
    for (size_t i = 0; i < list->use_count; i++)
        count += least_has(&sets[i], permission) && !meets(&sets[i], &list->chosen);
    return count;
}

static bool is_single(const struct least_set *set)
{
    int count = 0;
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        count += __builtin_popcountll(set->bits[i]);
    return count == 1;
}

/* What allows most for its weight; what is declared wins a tie. UINT32_MAX: nothing is left to be allowed. */
static uint32_t best(const struct list *list, const struct least_set *sets)
{
    uint32_t found = UINT32_MAX;
    uint64_t found_gain = 0;
    for (uint32_t i = 0; i < HTTP1_PERMISSIONS_MAX && name_of(list, i).length > 0; i++) {
        uint64_t own = gain(list, sets, i);
        if (own == 0)
            continue;
        uint64_t left = own * (found != UINT32_MAX ? weight(list, found) : 1);
        uint64_t right = found_gain * weight(list, i);
        if (found == UINT32_MAX || left > right ||
            (left == right && least_has(&list->declared, i) && !least_has(&list->declared, found))) {
            found = i;
            found_gain = own;
        }
    }
    return found;
}

static bool is_needless(const struct list *list, const struct least_set *sets, uint32_t permission)
{
    struct least_set without = list->chosen;
    set_put(&without, permission, false);
    for (size_t i = 0; i < list->use_count; i++) {
        if (!set_empty(&sets[i]) && !meets(&sets[i], &without))
            return false;
    }
    return true;
}

static void cover(struct list *list, const struct least_set *sets)
{
    list->chosen = list->must;
    for (size_t i = 0; i < list->use_count; i++) {
        for (uint32_t bit = 0; is_single(&sets[i]) && bit < HTTP1_PERMISSIONS_MAX; bit++) {
            if (least_has(&sets[i], bit))
                set_put(&list->chosen, bit, true);
        }
    }
    for (uint32_t next; (next = best(list, sets)) != UINT32_MAX;)
        set_put(&list->chosen, next, true);
    for (uint32_t i = 0; i < HTTP1_PERMISSIONS_MAX; i++) {
        if (least_has(&list->chosen, i) && !least_has(&list->must, i) && is_needless(list, sets, i))
            set_put(&list->chosen, i, false);
    }
}

/* X:write covers X:read where one list must lie within another. */
static void drop_covered_reads(struct list *list)
{
    for (uint32_t i = 0; i < HTTP1_PERMISSIONS_MAX && name_of(list, i).length > 0; i++) {
        uint32_t read =
            least_has(&list->chosen, i) ? least_read_of(list->provider->policy, name_of(list, i)) : UINT32_MAX;
        if (read != UINT32_MAX && least_has(&list->must, read) && least_has(&list->chosen, read))
            set_put(&list->chosen, read, false);
    }
}

/* --- one list --- */

static struct least_set set_of(const struct graph *graph, const struct policy *policy, uint32_t node)
{
    struct least_set set = {{0}};
    for (uint32_t i = 0; i < graph_permission_count(graph, node); i++) {
        uint32_t permission = policy_permission(policy, graph_permission(graph, node, i).name);
        if (permission != UINT32_MAX)
            set_put(&set, permission, true);
    }
    return set;
}

static bool counts(const struct least *least, const struct evidence_use *use, const struct evidence_subject *subject)
{
    bool same = use->subject.slot == subject->slot && use->subject.verify == subject->verify;
    return same && (use->reason[0] == '\0' || (least->options.refused && strcmp(use->reason, "not_granted") == 0));
}

static bool judged(const struct least *least, uint32_t task)
{
    return evidence_succeeded(least->evidence, task) || (least->options.refused && evidence_ran(least->evidence, task));
}

/*
 * Makes one list and gives what it holds then. What must be in it (lists that lie within) is given; what cannot be judged stays
 * as it is declared.
 */
static int make_list(struct least *least, const struct evidence_subject *subject, uint32_t provider, uint32_t object,
                     uint32_t node, struct least_set *inout, struct mf_error *error)
{
    const struct graph *graph = evidence_graph(least->evidence);
    struct list list = {.provider = evidence_provider(least->evidence, provider), .node = node, .must = *inout};
    if (list.provider->policy == NULL)
        return 0;
    list.declared = set_of(graph, list.provider->policy, node);
    if (!judged(least, subject->task)) {
        least->unjudged += !set_empty(&list.declared);
        *inout = list.declared;
        return 0;
    }
    for (uint32_t i = evidence_first_use(least->evidence, subject->task); i != GRAPH_NONE;
         i = evidence_next_use(least->evidence, i))
        list.use_count += counts(least, evidence_use(least->evidence, i), subject);
    list.uses = mf_calloc(list.use_count, sizeof(const struct evidence_use *));
    struct least_set *sets = mf_calloc(list.use_count, sizeof *sets);
    int status = list.uses != NULL && sets != NULL ? 0 : mf_fail(error, MF_MEMORY, "audit: no memory");
    size_t count = 0;
    for (uint32_t i = evidence_first_use(least->evidence, subject->task); status == 0 && i != GRAPH_NONE;
         i = evidence_next_use(least->evidence, i)) {
        const struct evidence_use *use = evidence_use(least->evidence, i);
        if (!counts(least, use, subject))
            continue;
        sets[count] = allowing(least, &list, use);
        list.uses[count++] = use;
    }
    if (status == 0) {
        cover(&list, sets);
        drop_covered_reads(&list);
        *inout = list.chosen;
        status = least_put(least, subject, list.provider->policy, object, node, &list.declared, &list.chosen, error);
    }
    mf_free(list.uses);
    mf_free(sets);
    return status;
}

static void add_all(struct least_set *set, const struct least_set *more)
{
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        set->bits[i] |= more->bits[i];
}

/* A slot and, for the one in the environment, verify's list, which must lie within the slot's. */
static int make_slot(struct least *least, uint32_t task, uint32_t index, struct mf_error *error)
{
    const struct graph *graph = evidence_graph(least->evidence);
    const struct graph_task *entry = &graph_tasks(graph)[task];
    const struct graph_slot *slot = &graph_slots(graph)[entry->slot_first + index];
    uint32_t verify = entry->verify ? graph_part(graph, task, GRAPH_PART_VERIFY_PERMISSIONS) : JSON_NONE;
    struct least_set *lent = &least->lent[entry->slot_first + index];
    struct least_set within = {{0}};
    struct evidence_subject subject = {task, index, true};
    if (entry->verify && slot->environment &&
        make_list(least, &subject, slot->provider, json_member(graph_document(graph), entry->node, "verify"), verify,
                  &within, error) != 0)
        return -1;
    add_all(&within, lent);
    subject.verify = false;
    if (make_list(least, &subject, slot->provider, slot->node, slot->permissions, &within, error) != 0)
        return -1;
    if (slot->lender != GRAPH_NONE)
        add_all(&least->lent[graph_tasks(graph)[slot->lender].slot_first + slot->lender_slot], &within);
    return 0;
}

/* Borrowers first: what they need must be among the lender's. A lender never borrows that account itself. */
static int make_all(struct least *least, struct mf_error *error)
{
    const struct graph *graph = evidence_graph(least->evidence);
    for (int owners = 0; owners < 2; owners++) {
        for (uint32_t task = 0; task < graph_task_count(graph); task++) {
            const struct graph_task *entry = &graph_tasks(graph)[task];
            for (uint32_t i = 0; i < entry->slot_count; i++) {
                bool owner = graph_slots(graph)[entry->slot_first + i].lender == GRAPH_NONE;
                if (owner == (owners == 1) && make_slot(least, task, i, error) != 0)
                    return -1;
            }
        }
    }
    return 0;
}

int least_create(struct least **out, const struct evidence *evidence, const struct least_options *options,
                 struct mf_error *error)
{
    struct least *least = mf_calloc(1, sizeof *least);
    if (least == NULL)
        return mf_fail(error, MF_MEMORY, "audit: no memory");
    least->evidence = evidence;
    least->options = *options;
    least->lent = mf_calloc(graph_slot_count(evidence_graph(evidence)), sizeof *least->lent);
    int status = least->lent != NULL ? make_all(least, error) : mf_fail(error, MF_MEMORY, "audit: no memory");
    if (status != 0)
        least_destroy(least);
    else
        *out = least;
    return status;
}

uint32_t least_count(const struct least *least)
{
    return (uint32_t)least->change_count;
}

const struct least_change *least_change(const struct least *least, uint32_t index)
{
    mf_assert(index < least->change_count);
    return &least->changes[index];
}

uint32_t least_unjudged(const struct least *least)
{
    return least->unjudged;
}
