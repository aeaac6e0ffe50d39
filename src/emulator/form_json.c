/*
 * form_json.c - puts name[key][][key] fields together again
 *
 * An element of a list has no number: fields go into the last element until one of them is there already, then a new
 * element begins. The tree lives in one array, so there is one thing to free and one limit.
 */
#include "emulator/form_json.h"

#include "base/alloc.h"
#include "emulator/multipart.h"
#include "json/write.h"

#include <string.h>

enum { NODES_MAX = 20000, DEPTH_MAX = 16, NONE = 0 };

enum kind { KIND_OPEN, KIND_OBJECT, KIND_ARRAY, KIND_VALUE };

struct node {
    enum kind kind;
    struct mf_span key, value;
    uint32_t first, last, next; /* children, sibling: 0 for none, for the root is nobody's child */
};

struct tree {
    struct node *nodes; /* owned; nodes[0] is the root */
    size_t count, capacity;
};

static uint32_t append(struct tree *tree, uint32_t parent, struct mf_span key)
{
    if (tree->count >= NODES_MAX ||
        mf_grow((void **)&tree->nodes, &tree->capacity, tree->count + 1, sizeof(struct node), 64) < 0)
        return NONE;
    uint32_t node = (uint32_t)tree->count++;
    tree->nodes[node] = (struct node){.key = key};
    if (tree->nodes[parent].first == NONE)
        tree->nodes[parent].first = node;
    else
        tree->nodes[tree->nodes[parent].last].next = node;
    tree->nodes[parent].last = node;
    return node;
}

static uint32_t find(const struct tree *tree, uint32_t parent, struct mf_span key)
{
    for (uint32_t child = tree->nodes[parent].first; child != NONE; child = tree->nodes[child].next)
        if (mf_span_equal(tree->nodes[child].key, key))
            return child;
    return NONE;
}

/* Takes "[key]" off the front; -1 when it is something else. */
static int take_key(struct mf_span *rest, struct mf_span *key)
{
    const char *end = rest->length > 1 && rest->data[0] == '[' ? memchr(rest->data, ']', rest->length) : NULL;
    if (end == NULL)
        return -1;
    *key = (struct mf_span){rest->data + 1, (size_t)(end - rest->data) - 1};
    *rest = (struct mf_span){end + 1, rest->length - key->length - 2};
    return 0;
}

/* The element of a list that the rest of the name goes into: the last, unless it has that member as a value already. */
static uint32_t element(struct tree *tree, uint32_t array, struct mf_span rest)
{
    struct mf_span key;
    uint32_t last = tree->nodes[array].last;
    if (last == NONE || rest.length == 0 || take_key(&rest, &key) < 0)
        return append(tree, array, (struct mf_span){"", 0});
    uint32_t member = find(tree, last, key);
    bool again = member != NONE && tree->nodes[member].kind == KIND_VALUE;
    return again || tree->nodes[last].kind == KIND_VALUE ? append(tree, array, (struct mf_span){"", 0}) : last;
}

static int put(struct tree *tree, struct mf_span rest, struct mf_span value)
{
    uint32_t at = 0;
    for (unsigned depth = 0; rest.length > 0; depth++) {
        struct mf_span key;
        if (depth == DEPTH_MAX || take_key(&rest, &key) < 0)
            return -1;
        enum kind wanted = key.length == 0 ? KIND_ARRAY : KIND_OBJECT;
        if (tree->nodes[at].kind == KIND_OPEN)
            tree->nodes[at].kind = wanted;
        if (tree->nodes[at].kind != wanted)
            return -1;
        uint32_t child = wanted == KIND_ARRAY ? element(tree, at, rest) : find(tree, at, key);
        if (child == NONE && (child = append(tree, at, key)) == NONE)
            return -1;
        at = child;
    }
    if (at == 0 || tree->nodes[at].kind != KIND_OPEN)
        return -1;
    tree->nodes[at].kind = KIND_VALUE;
    tree->nodes[at].value = value;
    return 0;
}

static void write_value(struct json_writer *writer, struct mf_span value)
{
    if (mf_span_is(value, "true") || mf_span_is(value, "false"))
        json_boolean(writer, value.length == 4);
    else
        json_string_span(writer, value);
}

static void write_node(struct json_writer *writer, const struct tree *tree, uint32_t at)
{
    const struct node *node = &tree->nodes[at];
    if (node->kind == KIND_VALUE) {
        write_value(writer, node->value);
        return;
    }
    node->kind == KIND_ARRAY ? json_open_array(writer) : json_open_object(writer);
    for (uint32_t child = node->first; child != NONE; child = tree->nodes[child].next) {
        if (node->kind != KIND_ARRAY)
            json_key_span(writer, tree->nodes[child].key);
        write_node(writer, tree, child);
    }
    node->kind == KIND_ARRAY ? json_close_array(writer) : json_close_object(writer);
}

static int collect(struct tree *tree, struct mf_span content_type, struct mf_span body, const char *name)
{
    struct emu_multipart multipart;
    struct emu_part part;
    size_t length = strlen(name);
    if (emu_multipart_begin(&multipart, content_type, body) < 0)
        return 0;
    while (emu_multipart_next(&multipart, &part) == 1) {
        if (!mf_span_starts(part.name, name) || part.name.length == length || part.name.data[length] != '[')
            continue;
        if (put(tree, (struct mf_span){part.name.data + length, part.name.length - length}, part.data) < 0)
            return -1;
    }
    return tree->count > 1 ? 1 : 0;
}

int emu_form_json(struct mf_span content_type, struct mf_span body, const char *name, struct mf_buf *out)
{
    struct tree tree = {0};
    struct json_writer writer;
    if (mf_grow((void **)&tree.nodes, &tree.capacity, 1, sizeof(struct node), 64) < 0)
        return -1;
    tree.nodes[tree.count++] = (struct node){0};
    int found = collect(&tree, content_type, body, name);
    if (found == 1) {
        json_begin(&writer, out);
        write_node(&writer, &tree, 0);
    }
    mf_free(tree.nodes);
    return found == 1 && out->failed ? -1 : found;
}
