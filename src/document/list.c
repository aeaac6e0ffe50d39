/* list.c - for_each: an evaluated list, its elements and their keys */
#include "document/graph_private.h"
#include "document/template_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <inttypes.h>
#include <string.h>

/* A key and its terminator, which keeps them apart when one looks at memory. */
#define KEY_ROOM 65

struct graph_list {
    char *json; /* owned */
    size_t json_bytes;
    struct json_document document;
    struct list_item {
        uint32_t node;
        uint32_t key; /* offset in keys */
        uint8_t key_length;
    } * items; /* owned */
    uint32_t count;
    struct mf_buf keys;
};

void graph_list_destroy(struct graph_list *list)
{
    if (list == NULL)
        return;
    json_document_free(&list->document);
    mf_buf_free(&list->keys);
    mf_free(list->items);
    mf_free(list->json);
    mf_free(list);
}

uint32_t graph_list_count(const struct graph_list *list)
{
    return list->count;
}

struct mf_span graph_list_key(const struct graph_list *list, uint32_t index)
{
    mf_assert(index < list->count);
    return (struct mf_span){list->keys.data + list->items[index].key, list->items[index].key_length};
}

struct mf_span graph_list_item(const struct graph_list *list, uint32_t index)
{
    mf_assert(index < list->count);
    return json_raw(&list->document, list->items[index].node);
}

struct mf_span graph_list_json(const struct graph_list *list)
{
    return (struct mf_span){list->json, list->json_bytes};
}

/* Reads the text: it must be an array of at most limits.for_each elements. */
static int read_elements(struct graph_list *list, const struct graph *graph, struct mf_error *error)
{
    static const struct json_limits limits = {
        .depth_max = 64,
        .text_bytes_max = GRAPH_LIST_BYTES_MAX,
        .string_bytes_max = 1u << 20,
        .nodes_max = 16u << 20,
    };
    if (json_scan_error(&list->document, graph_list_json(list), &limits, error) != 0)
        return mf_wrap(error, "for_each");
    if (json_kind(&list->document, 0) != JSON_ARRAY)
        return mf_fail(error, MF_INPUT, "for_each: expected an array, found %s",
                       json_kind_name(json_kind(&list->document, 0)));
    uint32_t count = list->document.nodes[0].children;
    if (count > graph->limits.for_each_max)
        return mf_fail(error, MF_LIMIT, "for_each: %u elements are more than limits.for_each, %u", count,
                       graph->limits.for_each_max);
    list->items = mf_calloc(count, sizeof *list->items);
    if (list->items == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    list->count = count;
    uint32_t node = json_first(&list->document, 0);
    for (uint32_t i = 0; i < count; i++, node = json_next(&list->document, 0, node))
        list->items[i].node = node;
    mf_buf_init(&list->keys, (size_t)count * KEY_ROOM + 1);
    return 0;
}

/* Writes the key of one element into `key`. */
static int expand_key(const struct graph_list *list, const struct graph *graph, uint32_t template_node, uint32_t index,
                      const struct template_values *values, struct mf_buf *key, struct mf_error *error)
{
    if (template_node == JSON_NONE)
        return mf_buf_printf(key, "%" PRIu32, index) == 0 ? 0 : mf_fail(error, MF_MEMORY, "no memory");
    struct template_values own = *values;
    own.item_json = graph_list_item(list, index);
    own.key = (struct mf_span){"", 0};
    if (template_expand_node(graph, template_node, &own, key, "the length of a key", error) != 0)
        return mf_wrap(error, "key of element %u", index);
    if (!graph_is_key(mf_buf_view(key)))
        return mf_fail(error, MF_INPUT, "key `%s` of element %u does not match [A-Za-z0-9._-]{1,64}", mf_buf_cstr(key),
                       index);
    return 0;
}

static int make_keys(struct graph_list *list, const struct graph *graph, uint32_t template_node,
                     const struct template_values *values, struct mf_error *error)
{
    struct mf_buf key;
    int result = 0;
    mf_buf_init(&key, 256); /* longer than any valid one, so that a wrong one can be shown */
    for (uint32_t i = 0; i < list->count && result == 0; i++) {
        mf_buf_clear(&key);
        result = expand_key(list, graph, template_node, i, values, &key, error);
        if (result != 0)
            break;
        list->items[i].key = (uint32_t)list->keys.length;
        list->items[i].key_length = (uint8_t)key.length;
        if (mf_buf_span(&list->keys, mf_buf_view(&key)) != 0 || mf_buf_char(&list->keys, '\0') != 0)
            result = mf_fail(error, MF_MEMORY, "no memory");
    }
    mf_buf_free(&key);
    return result;
}

static int check_unique(const struct graph_list *list, uint32_t *slots, size_t mask, struct mf_error *error)
{
    uint64_t seed = (uint64_t)(uintptr_t)list;
    for (uint32_t i = 0; i < list->count; i++) {
        struct mf_span key = graph_list_key(list, i);
        size_t at = (size_t)mf_hash(key.data, key.length, seed) & mask;
        for (; slots[at] != 0; at = (at + 1) & mask) {
            if (mf_span_equal(graph_list_key(list, slots[at] - 1), key))
                return mf_fail(error, MF_INPUT, "key `%.*s` stands for elements %u and %u", MF_SPAN_ARGS(key),
                               slots[at] - 1, i);
        }
        slots[at] = i + 1;
    }
    return 0;
}

static int check_keys(const struct graph_list *list, struct mf_error *error)
{
    size_t slot_count = 16;
    while (slot_count < 2 * (size_t)list->count)
        slot_count *= 2;
    uint32_t *slots = mf_calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    int result = check_unique(list, slots, slot_count - 1, error);
    mf_free(slots);
    return result;
}

/* Takes `json` over, also on failure. */
static int make_list(struct graph_list **out, const struct graph *graph, uint32_t task, char *json, size_t json_bytes,
                     const struct template_values *values, struct mf_error *error)
{
    struct graph_list *list = mf_calloc(1, sizeof *list);
    if (list == NULL) {
        mf_free(json);
        return mf_fail(error, MF_MEMORY, "no memory");
    }
    list->json = json;
    list->json_bytes = json_bytes;
    uint32_t key = graph_part(graph, task, GRAPH_PART_KEY);
    if (read_elements(list, graph, error) != 0 || make_keys(list, graph, key, values, error) != 0 ||
        (key != JSON_NONE && check_keys(list, error) != 0)) {
        graph_list_destroy(list);
        return mf_wrap(error, "task `%.*s`", MF_SPAN_ARGS(graph->tasks[task].name));
    }
    *out = list;
    return 0;
}

int graph_list_evaluate(struct graph_list **out, const struct graph *graph, uint32_t task,
                        const struct template_values *values, struct mf_error *error)
{
    struct mf_buf json;
    struct template_values own = *values;
    own.item_json = own.key = (struct mf_span){"", 0};
    mf_buf_init(&json, GRAPH_LIST_BYTES_MAX);
    if (template_expand_json(graph, graph_part(graph, task, GRAPH_PART_FOR_EACH), &own, &json, error) != 0) {
        mf_buf_free(&json);
        return mf_wrap(error, "task `%.*s`: for_each", MF_SPAN_ARGS(graph->tasks[task].name));
    }
    size_t bytes = json.length;
    char *text = mf_buf_take(&json);
    mf_buf_free(&json);
    if (text == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    return make_list(out, graph, task, text, bytes, &own, error);
}

int graph_list_from_json(struct graph_list **out, const struct graph *graph, uint32_t task, struct mf_span json,
                         const struct template_values *values, struct mf_error *error)
{
    char *text = mf_strndup(json.data, json.length);
    if (text == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    return make_list(out, graph, task, text, json.length, values, error);
}
