/*
 * match.c - which requests a lease may make: the compiled rules of a provider, and one decision
 *
 * The rules stand in a tree of segments, one root for each method. A node knows its literal children by one hash table over
 * (parent, text), its one child for `{name}` and `*`, and the rules that end there or take the rest. A decision walks the tree
 * from the left, literal before any segment before the rest, so the first rule that allows is the most specific one; each node
 * is seen at most once. What a rule asks of its own segments (bound ids, narrowed names, opaque bytes) is checked at its end.
 *
 * Called for every request of every agent: no allocation, no copy, well under a microsecond for a table of some hundred rules.
 */
#include "http1/match.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "http1/chars.h"

#include <string.h>

#define NONE UINT32_MAX

enum {
#define X(method, name) METHOD_##method,
    HTTP1_RULE_METHODS(X)
#undef X
    METHOD_COUNT
};

struct parameter { /* a segment that has a name */
    struct mf_span name;
    uint32_t segment;
};

struct rule {
    struct mf_span text;
    uint32_t permission, flags;
    uint32_t parameter_first, parameter_count;
    uint32_t next;   /* rule that ends at the same node, NONE: last */
    uint64_t opaque; /* segments */
};

struct node {
    uint32_t parent;
    struct mf_span text; /* of a literal */
    uint32_t any;        /* child, or NONE */
    uint32_t ends, rest; /* first rule that ends here; first rule that takes what follows */
};

struct http1_table {
    char *text; /* owned: of all rules, one after the other */
    struct rule *rules;
    struct parameter *parameters;
    struct node *nodes;
    uint32_t *slots; /* literal nodes by hash of (parent, text), open addressing */
    uint32_t rule_count, parameter_count, node_count, slot_mask;
};

/* --- building --- */

static uint64_t hash_of(uint32_t parent, struct mf_span text)
{
    return mf_hash(text.data, text.length, parent);
}

/* The slot of a literal child: its node, or the empty slot where it belongs. */
static uint32_t *slot_of(const struct http1_table *table, uint32_t parent, struct mf_span text)
{
    uint32_t at = (uint32_t)hash_of(parent, text) & table->slot_mask;
    for (;; at = (at + 1) & table->slot_mask) {
        uint32_t *slot = &table->slots[at];
        if (*slot == NONE || (table->nodes[*slot].parent == parent && mf_span_equal(table->nodes[*slot].text, text)))
            return slot;
    }
}

static uint32_t add_node(struct http1_table *table, uint32_t parent, struct mf_span text)
{
    table->nodes[table->node_count] = (struct node){.parent = parent, .text = text, .any = NONE, .ends = NONE, .rest = NONE};
    return table->node_count++;
}

static uint32_t child_of(struct http1_table *table, uint32_t parent, const struct http1_rule_part *part)
{
    if (part->kind == HTTP1_PART_ANY) {
        if (table->nodes[parent].any == NONE)
            table->nodes[parent].any = add_node(table, parent, (struct mf_span){NULL, 0});
        return table->nodes[parent].any;
    }
    uint32_t *slot = slot_of(table, parent, part->text);
    if (*slot == NONE)
        *slot = add_node(table, parent, part->text);
    return *slot;
}

/* Of rules with the same shape those without the account's credential come first: so the order of the table decides nothing. */
static void link_rule(struct http1_table *table, uint32_t *first, uint32_t index)
{
    bool agent = (table->rules[index].flags & HTTP1_RULE_AGENT_CREDENTIAL) != 0;
    while (*first != NONE && (!agent || (table->rules[*first].flags & HTTP1_RULE_AGENT_CREDENTIAL) != 0))
        first = &table->rules[*first].next;
    table->rules[index].next = *first;
    *first = index;
}

static int add_rule(struct http1_table *table, uint32_t index, struct mf_error *error)
{
    struct rule *rule = &table->rules[index];
    struct http1_rule_part part = {.kind = HTTP1_PART_LITERAL};
    struct mf_span path;
    int more;
    if (http1_rule_path(rule->text, &path, error) != 0)
        return -1;
    uint32_t node = http1_rule_method((struct mf_span){rule->text.data, (size_t)(path.data - rule->text.data) - 1});
    for (uint32_t segment = 0; (more = http1_rule_next(&path, &part, error)) > 0; segment++) {
        if (segment == HTTP1_SEGMENTS_MAX)
            return mf_fail(error, MF_INPUT, "rule has more than %u segments", HTTP1_SEGMENTS_MAX);
        if (part.opaque)
            rule->opaque |= part.kind == HTTP1_PART_REST ? UINT64_MAX << segment : UINT64_C(1) << segment;
        if (part.name.length > 0) {
            table->parameters[table->parameter_count++] = (struct parameter){part.name, segment};
            rule->parameter_count++;
        }
        if (part.kind != HTTP1_PART_REST)
            node = child_of(table, node, &part);
    }
    if (more < 0)
        return -1;
    link_rule(table, part.kind == HTTP1_PART_REST ? &table->nodes[node].rest : &table->nodes[node].ends, index);
    return 0;
}

static int allocate(struct http1_table *table, const struct http1_rule *rules, uint32_t count)
{
    size_t bytes = 0, segments = METHOD_COUNT; /* slashes bound the segments, and so nodes and parameters */
    for (uint32_t i = 0; i < count; i++) {
        bytes += rules[i].text.length;
        for (size_t at = 0; at < rules[i].text.length; at++)
            segments += rules[i].text.data[at] == '/';
    }
    size_t slots = 16;
    while (slots < 2 * segments)
        slots *= 2;
    table->slot_mask = (uint32_t)(slots - 1);
    table->text = mf_alloc(bytes + 1);
    table->rules = mf_calloc(count + 1, sizeof *table->rules);
    table->parameters = mf_calloc(segments, sizeof *table->parameters);
    table->nodes = mf_calloc(segments, sizeof *table->nodes);
    table->slots = mf_alloc(slots * sizeof *table->slots);
    if (table->text == NULL || table->rules == NULL || table->parameters == NULL || table->nodes == NULL || table->slots == NULL)
        return -1;
    memset(table->slots, 0xff, slots * sizeof *table->slots); /* NONE */
    return 0;
}

static int fill(struct http1_table *table, const struct http1_rule *rules, uint32_t count, struct mf_error *error)
{
    size_t used = 0;
    for (uint32_t method = 0; method < METHOD_COUNT; method++)
        add_node(table, NONE, (struct mf_span){NULL, 0});
    for (uint32_t i = 0; i < count; i++) {
        struct mf_span text = {table->text + used, rules[i].text.length};
        if (text.length > 0)
            memcpy(table->text + used, rules[i].text.data, text.length);
        used += text.length;
        if (rules[i].permission >= HTTP1_PERMISSIONS_MAX && (rules[i].flags & HTTP1_RULE_BENIGN) == 0)
            return mf_fail(error, MF_INPUT, "rule %u belongs to permission %u of at most %u", i, rules[i].permission, HTTP1_PERMISSIONS_MAX);
        table->rules[i] = (struct rule){.text = text, .permission = rules[i].permission, .flags = rules[i].flags,
                                        .parameter_first = table->parameter_count, .next = NONE};
        table->rule_count++;
        if (add_rule(table, i, error) != 0)
            return -1;
    }
    return 0;
}

int http1_table_create(struct http1_table **out, const struct http1_rule *rules, uint32_t count, struct mf_error *error)
{
    *out = NULL;
    if (count > HTTP1_RULES_MAX)
        return mf_fail(error, MF_LIMIT, "table has more than %u rules", HTTP1_RULES_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (rules[i].text.length > HTTP1_RULE_BYTES_MAX)
            return mf_fail(error, MF_INPUT, "rule %u is longer than %u bytes", i, HTTP1_RULE_BYTES_MAX);
    struct http1_table *table = mf_calloc(1, sizeof *table);
    if (table == NULL || allocate(table, rules, count) != 0) {
        http1_table_destroy(table);
        return mf_fail(error, MF_MEMORY, "no memory for a table of %u rules", count);
    }
    if (fill(table, rules, count, error) != 0) {
        http1_table_destroy(table);
        return -1;
    }
    *out = table;
    return 0;
}

void http1_table_destroy(struct http1_table *table)
{
    if (table == NULL)
        return;
    mf_free(table->text);
    mf_free(table->rules);
    mf_free(table->parameters);
    mf_free(table->nodes);
    mf_free(table->slots);
    mf_free(table);
}

/* --- deciding --- */

struct search {
    const struct http1_table *table;
    const struct http1_path *path;
    const struct http1_grant *grant;
    uint64_t marked; /* segments with a trait that only an opaque name may have */
    struct http1_match *out;
};

/* Which finding says most: the lower, the more. */
static int rank_of(enum http1_verdict verdict)
{
    switch (verdict) {
    case HTTP1_VERDICT_ALLOWED:
        return 0;
    case HTTP1_VERDICT_BENIGN:
        return 1;
    case HTTP1_VERDICT_NARROWED:
        return 2;
    case HTTP1_VERDICT_NOT_GRANTED:
        return 3;
    case HTTP1_VERDICT_FOREIGN_ACCOUNT:
        return 4;
    case HTTP1_VERDICT_NO_RULE:
    case HTTP1_VERDICT_BAD_PATH:
        break;
    }
    return 5;
}

/* Does the canonical segment decode to the value? */
static bool stands_for(struct mf_span segment, struct mf_span value)
{
    size_t at = 0;
    for (size_t i = 0; i < segment.length; i++, at++) {
        unsigned char c = (unsigned char)segment.data[i];
        if (c == '%') {
            c = (unsigned char)(http1_hex_value((unsigned char)segment.data[i + 1]) << 4 | http1_hex_value((unsigned char)segment.data[i + 2]));
            i += 2;
        }
        if (at == value.length || (unsigned char)value.data[at] != c)
            return false;
    }
    return at == value.length;
}

/* Are the segments that have the name of something of the account its own? */
static bool is_own(const struct search *search, const struct rule *rule)
{
    const struct http1_grant *grant = search->grant;
    const struct parameter *parameters = search->table->parameters + rule->parameter_first;
    for (uint32_t p = 0; p < rule->parameter_count; p++)
        for (uint32_t b = 0; b < grant->binding_count; b++)
            if (mf_span_equal(parameters[p].name, grant->bindings[b].name) &&
                !stands_for(http1_path_segment(search->path, parameters[p].segment), grant->bindings[b].value))
                return false;
    return true;
}

/* Does the permission hold for this segment, which has a name? */
static bool is_among(const struct search *search, uint32_t permission, const struct parameter *parameter)
{
    const struct http1_grant *grant = search->grant;
    bool narrowed = false;
    for (uint32_t i = 0; i < grant->narrowing_count; i++) {
        const struct http1_narrowing *narrowing = &grant->narrowings[i];
        if (narrowing->permission != permission || !mf_span_equal(narrowing->name, parameter->name))
            continue;
        if (stands_for(http1_path_segment(search->path, parameter->segment), narrowing->value))
            return true;
        narrowed = true;
    }
    return !narrowed;
}

static bool has_parameter(const struct http1_table *table, const struct rule *rule, struct mf_span name)
{
    for (uint32_t p = 0; p < rule->parameter_count; p++)
        if (mf_span_equal(table->parameters[rule->parameter_first + p].name, name))
            return true;
    return false;
}

static bool is_within(const struct search *search, const struct rule *rule)
{
    const struct http1_grant *grant = search->grant;
    for (uint32_t i = 0; i < grant->narrowing_count && (rule->flags & HTTP1_RULE_SHARED) == 0; i++)
        if (grant->narrowings[i].permission == rule->permission && !has_parameter(search->table, rule, grant->narrowings[i].name))
            return false;
    for (uint32_t p = 0; p < rule->parameter_count; p++)
        if (!is_among(search, rule->permission, &search->table->parameters[rule->parameter_first + p]))
            return false;
    return true;
}

static enum http1_verdict judge(const struct search *search, const struct rule *rule)
{
    if ((search->marked & ~rule->opaque) != 0)
        return HTTP1_VERDICT_BAD_PATH;
    if (!is_own(search, rule))
        return HTTP1_VERDICT_FOREIGN_ACCOUNT;
    if ((rule->flags & HTTP1_RULE_BENIGN) != 0)
        return HTTP1_VERDICT_BENIGN;
    if ((search->grant->permissions[rule->permission / 64] >> rule->permission % 64 & 1) == 0)
        return HTTP1_VERDICT_NOT_GRANTED;
    return is_within(search, rule) ? HTTP1_VERDICT_ALLOWED : HTTP1_VERDICT_NARROWED;
}

static bool try_rules(struct search *search, uint32_t first)
{
    struct http1_match *out = search->out;
    for (uint32_t index = first; index != NONE; index = search->table->rules[index].next) {
        const struct rule *rule = &search->table->rules[index];
        enum http1_verdict verdict = judge(search, rule);
        if (rank_of(verdict) >= rank_of(out->verdict))
            continue;
        bool benign = (rule->flags & HTTP1_RULE_BENIGN) != 0;
        *out = (struct http1_match){.verdict = verdict, .rule = index, .permission = benign ? NONE : rule->permission, .flags = rule->flags};
        if (verdict != HTTP1_VERDICT_ALLOWED)
            continue;
        uint32_t count = search->path->count;
        out->opaque = count < 64 ? rule->opaque & ((UINT64_C(1) << count) - 1) : rule->opaque;
        return true;
    }
    return false;
}

/* True when a rule allows. As deep as the path has segments. */
static bool visit(struct search *search, uint32_t index, uint32_t depth)
{
    const struct node *node = &search->table->nodes[index];
    if (depth == search->path->count)
        return try_rules(search, node->ends);
    uint32_t child = *slot_of(search->table, index, http1_path_segment(search->path, depth));
    if (child != NONE && visit(search, child, depth + 1))
        return true;
    if (node->any != NONE && visit(search, node->any, depth + 1))
        return true;
    return try_rules(search, node->rest);
}

static const bool may_be_opaque[] = {
#define X(trait, opaque, text) opaque,
    HTTP1_TRAITS(X)
#undef X
};

/* Segments that only an opaque name may have; -1 for what none may have. */
static int read_traits(const struct http1_path *path, uint64_t *marked)
{
    unsigned never = 0;
    for (unsigned bit = 0; bit < HTTP1_TRAIT_COUNT; bit++)
        never |= may_be_opaque[bit] ? 0u : 1u << bit;
    *marked = 0;
    for (uint32_t i = 0; i < path->count; i++) {
        if ((path->traits[i] & never) != 0)
            return -1;
        *marked |= (uint64_t)(path->traits[i] != 0) << i;
    }
    return 0;
}

void http1_table_match(const struct http1_table *table, struct mf_span method, const struct http1_path *path, const struct http1_grant *grant,
                       struct http1_match *out)
{
    struct search search = {.table = table, .path = path, .grant = grant, .out = out};
    *out = (struct http1_match){.verdict = HTTP1_VERDICT_BAD_PATH, .rule = NONE, .permission = NONE};
    if (read_traits(path, &search.marked) != 0)
        return;
    if (search.marked == 0)
        out->verdict = HTTP1_VERDICT_NO_RULE;
    uint32_t root = http1_rule_method(mf_span_is(method, "HEAD") ? MF_SPAN("GET") : method);
    if (root != NONE && visit(&search, root, 0))
        mf_assert((search.marked & ~out->opaque) == 0); /* http1_path_check holds */
}

const char *http1_verdict_name(enum http1_verdict verdict)
{
    static const char *const names[] = {
#define X(verdict, name, status) name,
        HTTP1_VERDICTS(X)
#undef X
    };
    return names[verdict];
}

int http1_verdict_status(enum http1_verdict verdict)
{
    static const int statuses[] = {
#define X(verdict, name, status) status,
        HTTP1_VERDICTS(X)
#undef X
    };
    return statuses[verdict];
}
