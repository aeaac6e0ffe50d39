/* content.c - content keys: canonical definitions, parameters, inputs, items; the files are content_files.c's */
#include "app/content_private.h"

#include "app/app_private.h"
#include "base/alloc.h"
#include "store/hash.h"
#include "json/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFINITION_BYTES_MAX (4u << 20)

/* Of a task: when, how often and under which names it runs does not change what comes out. */
static const char *const left_out[] = {"description", "labels",        "needs",    "for_each", "key",
                                       "timeout",     "grace",         "attempts", "retry",    "retain",
                                       "budget_usd",  "allow_failure", NULL};

struct contents *contents_create(void)
{
    return mf_calloc(1, sizeof(struct contents));
}

void contents_destroy(struct contents *contents)
{
    if (contents == NULL)
        return;
    mf_free(contents->files);
    mf_free(contents->occurrences);
    mf_free(contents);
}

/* --- one canonical form of JSON: members sorted, texts escaped in one way, nothing between --- */

static int by_key(const void *left, const void *right)
{
    const struct content_member *a = left, *b = right;
    size_t shorter = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
    int order = memcmp(a->name, b->name, shorter);
    return order != 0 ? order : (a->name_bytes > b->name_bytes) - (a->name_bytes < b->name_bytes);
}

static bool is_left_out(const char *name, const char *const *without)
{
    for (; without != NULL && *without != NULL; without++)
        if (strcmp(name, *without) == 0)
            return true;
    return false;
}

static bool write_object(const struct json_document *document, uint32_t object, const char *const *without,
                         struct mf_buf *out)
{
    struct content_member *members = NULL;
    size_t count = 0, capacity = 0;
    bool well = true;
    for (uint32_t key = json_first(document, object); well && key != JSON_NONE;
         key = json_next(document, object, key)) {
        well = mf_grow((void **)&members, &capacity, count + 1, sizeof *members, 16) == 0;
        char *name = well ? json_dup(document, key) : NULL;
        well = name != NULL;
        if (well && is_left_out(name, without))
            mf_free(name);
        else if (well)
            members[count++] = (struct content_member){name, strlen(name), json_value(document, key)};
    }
    if (count > 1)
        qsort(members, count, sizeof *members, by_key);
    mf_buf_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        json_escape(out, (struct mf_span){members[i].name, members[i].name_bytes});
        mf_buf_char(out, ':');
        well = well && content_canonical(document, members[i].value, NULL, out);
        mf_buf_char(out, ',');
        mf_free(members[i].name);
    }
    mf_buf_char(out, '}');
    mf_free(members);
    return well;
}

bool content_canonical(const struct json_document *document, uint32_t node, const char *const *without,
                       struct mf_buf *out)
{
    char *text;
    bool well = true;
    switch (json_kind(document, node)) {
    case JSON_OBJECT:
        return write_object(document, node, without, out);
    case JSON_ARRAY:
        mf_buf_char(out, '[');
        for (uint32_t at = json_first(document, node); well && at != JSON_NONE; at = json_next(document, node, at)) {
            well = content_canonical(document, at, NULL, out);
            mf_buf_char(out, ',');
        }
        mf_buf_char(out, ']');
        return well && !out->failed;
    case JSON_STRING:
        text = json_dup(document, node);
        well = text != NULL && json_escape(out, mf_span(text)) == 0;
        mf_free(text);
        return well;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_NUMBER:
        return mf_buf_span(out, json_raw(document, node)) == 0;
    }
    return false;
}

/* --- the parts of a key --- */

/* Values of the parameters that the text so far names. */
static bool add_parameters(const struct graph *graph, struct mf_buf *out)
{
    const struct json_document *document = graph_document(graph);
    uint32_t params = json_member(document, 0, "params");
    size_t length = out->length;
    bool well = !out->failed;
    for (uint32_t key = params != JSON_NONE ? json_first(document, params) : JSON_NONE; well && key != JSON_NONE;
         key = json_next(document, params, key)) {
        char *name = json_dup(document, key), used[256];
        well = name != NULL;
        if (well) {
            snprintf(used, sizeof used, "params.%s", name);
            bool named = memmem(out->data, length, used, strlen(used)) != NULL;
            well = !named || (mf_buf_printf(out, "\n%s=", used) == 0 &&
                              mf_buf_span(out, graph_parameter(graph, mf_span(name))) == 0);
        }
        mf_free(name);
    }
    return well;
}

static bool add_definition(const struct app *app, uint32_t task, struct mf_buf *out)
{
    const struct json_document *document = graph_document(app->graph);
    uint32_t defaults = json_member(document, 0, "defaults"), provider = json_member(document, 0, "provider");
    return content_canonical(document, graph_tasks(app->graph)[task].node, left_out, out) &&
           (defaults == JSON_NONE || content_canonical(document, defaults, left_out, out)) &&
           (provider == JSON_NONE || content_canonical(document, provider, NULL, out)) &&
           add_parameters(app->graph, out);
}

static void add_result(struct app *app, uint32_t node, struct mf_buf *out)
{
    struct core_node_view view;
    const struct app_node *entry = app_node_at(app, node);
    char hex[65] = "-";
    if (core_node(app->core, node, &view) && view.state == CORE_TASK_STATE_SUCCEEDED && entry->has_result)
        mf_hex(entry->sha256, sizeof entry->sha256, hex);
    mf_buf_printf(out, " %s", hex);
}

/* What an attempt reads of the tasks that it needs; in the order of their names' entries. */
static bool add_inputs(struct app *app, uint32_t task, struct mf_buf *out)
{
    const struct graph_task *of = &graph_tasks(app->graph)[task];
    for (uint32_t e = of->edge_first; e < of->edge_first + of->edge_count; e++) {
        uint32_t from = graph_edges(app->graph)[e].from, first = from, count = 1;
        mf_buf_text(out, "\nneeds ");
        mf_buf_span(out, graph_tasks(app->graph)[from].name);
        core_instances(app->core, from, &first, &count);
        for (uint32_t i = 0; i < count; i++)
            add_result(app, first + i, out);
    }
    return !out->failed;
}

static bool add_recipes(const struct app *app, uint32_t task, struct mf_buf *out)
{
    const struct graph_task *of = &graph_tasks(app->graph)[task];
    for (uint32_t s = of->slot_first; s < of->slot_first + of->slot_count; s++)
        mf_buf_printf(out, "\nrecipe %s", app->providers[graph_slots(app->graph)[s].provider].recipe_sha256);
    return !out->failed;
}

/* How many equal items stand before it in its list: counted once for a list, in a table of their texts. */
static bool count_occurrences(struct app *app, uint32_t first, uint32_t count)
{
    struct contents *contents = app->contents;
    size_t slots = 16;
    while (slots < (size_t)count * 2)
        slots *= 2;
    uint32_t *table = mf_calloc(slots, sizeof *table); /* instance + 1 */
    mf_free(contents->occurrences);
    contents->occurrences = mf_calloc(count, sizeof *contents->occurrences);
    bool well = table != NULL && contents->occurrences != NULL;
    for (uint32_t i = 0; well && i < count; i++) {
        struct mf_span item = mf_span(app_node_item(app, first + i));
        size_t at = (size_t)mf_hash(item.data, item.length, 1) & (slots - 1);
        while (table[at] != 0 && !mf_span_is(item, app_node_item(app, first + table[at] - 1)))
            at = (at + 1) & (slots - 1);
        contents->occurrences[i] = table[at] != 0 ? contents->occurrences[table[at] - 1] + 1 : 0;
        table[at] = i + 1;
    }
    mf_free(table);
    contents->occurrences_first = well ? first : 0;
    return well;
}

static bool add_item(struct app *app, uint32_t node, struct mf_buf *out)
{
    uint32_t first, count;
    const char *item = app_node_item(app, node);
    struct json_document document;
    if (item == NULL)
        return true;
    if (!core_instances(app->core, app_node_task(app, node), &first, &count) || node < first || node >= first + count)
        return false; /* of a list that was given up */
    if (app->contents->occurrences_first != first && !count_occurrences(app, first, count))
        return false;
    if (json_scan(&document, mf_span(item), &json_limits_default, NULL) != 0)
        return false;
    mf_buf_text(out, "\nitem ");
    bool well = content_canonical(&document, 0, NULL, out);
    json_document_free(&document);
    return mf_buf_printf(out, "\noccurrence %u", app->contents->occurrences[node - first]) == 0 && well;
}

/* --- the key --- */

bool app_content_key(struct app *app, uint32_t node, uint8_t out[32])
{
    struct mf_buf text;
    char hex[65];
    uint32_t task = app_node_task(app, node);
    mf_buf_init(&text, DEFINITION_BYTES_MAX);
    bool well = app->contents != NULL && add_definition(app, task, &text) && content_add_files(app, task, &text) &&
                add_inputs(app, task, &text) && add_item(app, node, &text) && add_recipes(app, task, &text) &&
                !text.failed;
    if (well) {
        store_sha256(mf_buf_view(&text), hex);
        well = mf_unhex(mf_span(hex), out, 32) == 0;
    }
    mf_buf_free(&text);
    return well;
}

void app_content_begin(struct app *app, uint32_t node, bool prepares)
{
    struct app_node *entry = app_node_at(app, node);
    if (graph_tasks(app->graph)[app_node_task(app, node)].prepare != prepares)
        return;
    entry->has_content = app_content_key(app, node, entry->content);
}

static bool is_template(const struct app *app, uint32_t node)
{
    return node < app->core_graph.task_count && graph_tasks(app->graph)[node].for_each;
}

void app_content_end(struct app *app, uint32_t node, struct mf_buf *extra)
{
    struct app_node *entry = app_node_at(app, node);
    uint8_t now[32];
    char hex[65];
    if (is_template(app, node))
        return;
    entry->has_content =
        entry->has_content && app_content_key(app, node, now) && memcmp(now, entry->content, sizeof now) == 0;
    if (!entry->has_content)
        return;
    mf_hex(entry->content, sizeof entry->content, hex);
    mf_buf_printf(extra, "%s\"content\":\"%s\"", extra->length > 0 ? "," : "", hex);
}

void app_content_take(struct app *app, uint32_t node, struct mf_span extra)
{
    static const char name[] = "\"content\":\"";
    struct app_node *entry = app_node_at(app, node);
    const char *at =
        memmem(extra.data, extra.length, name, sizeof name - 1); /* facts are ours: no text of others holds a quote */
    size_t before = at != NULL ? (size_t)(at - extra.data) + sizeof name - 1 : extra.length;
    entry->has_content = before + 64 < extra.length && mf_unhex((struct mf_span){extra.data + before, 64},
                                                                entry->content, sizeof entry->content) == 0;
}

static bool list_text(const struct graph *graph, uint32_t task, struct mf_buf *out)
{
    const struct json_document *document = graph_document(graph);
    uint32_t list = graph_part(graph, task, GRAPH_PART_FOR_EACH), key = graph_part(graph, task, GRAPH_PART_KEY);
    mf_buf_init(out, GRAPH_LIST_BYTES_MAX);
    return (list == JSON_NONE || content_canonical(document, list, NULL, out)) && mf_buf_char(out, '\n') == 0 &&
           (key == JSON_NONE || content_canonical(document, key, NULL, out)) && add_parameters(graph, out);
}

bool app_content_same_list(const struct graph *left, const struct graph *right, uint32_t task)
{
    struct mf_buf a, b;
    bool well = list_text(left, task, &a);
    well = list_text(right, task, &b) && well && mf_buf_view(&a).length == mf_buf_view(&b).length &&
           memcmp(a.data, b.data, a.length) == 0;
    mf_buf_free(&a);
    mf_buf_free(&b);
    return well;
}
