/* expand.c - templates become values: one pass, nothing is expanded twice */
#include "document/graph_private.h"
#include "document/template_private.h"

#include "base/alloc.h"
#include "json/write.h"

#include <string.h>

/* Values come from results of agents and from lists: as strict as any answer, but as large as a fan-in can be. */
static const struct json_limits value_limits = {
    .depth_max = 64,
    .text_bytes_max = GRAPH_LIST_BYTES_MAX,
    .string_bytes_max = 1u << 20,
    .nodes_max = 16u << 20,
};

struct expansion {
    const struct graph *graph;
    const struct template_values *values;
    struct mf_buf *out;
    const char *limit_name;
    struct mf_error *error;
};

/* A found value: plain text, or a node of a scanned document. */
struct value {
    struct mf_span text; /* when `plain` */
    bool plain;
    struct mf_buf json; /* a result's text */
    struct json_document document;
    uint32_t node;
};

static void value_free(struct value *value)
{
    json_document_free(&value->document);
    mf_buf_free(&value->json);
}

static int put(const struct expansion *expansion, struct mf_span text)
{
    size_t left = expansion->out->bytes_max - expansion->out->length;
    if (mf_buf_span(expansion->out, text) == 0)
        return 0;
    if (text.length <= left)
        return mf_fail(expansion->error, MF_MEMORY, "no memory");
    return mf_fail(expansion->error, MF_LIMIT, "the expanded text passes %s (%zu bytes)", expansion->limit_name,
                   expansion->out->bytes_max);
}

static int put_result(const struct expansion *expansion, int appended)
{
    if (appended == 0 && !expansion->out->failed)
        return 0;
    return mf_fail(expansion->error, MF_LIMIT, "the expanded text passes %s (%zu bytes)", expansion->limit_name,
                   expansion->out->bytes_max);
}

static int missing(const struct expansion *expansion, struct mf_span path, const struct template_path *parsed)
{
    if (parsed->root == TEMPLATE_RESULT)
        return mf_fail(expansion->error, MF_NOT_FOUND, "{{%.*s}}: the result of task `%.*s` has no such value",
                       MF_SPAN_ARGS(path), MF_SPAN_ARGS(parsed->name));
    return mf_fail(expansion->error, MF_NOT_FOUND, "{{%.*s}}: there is no such value", MF_SPAN_ARGS(path));
}

/* The JSON text that a path starts from; an empty span when there is none. */
static int root_json(const struct expansion *expansion, const struct template_path *path, struct value *value,
                     struct mf_span *json)
{
    if (path->root == TEMPLATE_PARAMS) {
        *json = graph_parameter(expansion->graph, path->name);
        return 0;
    }
    if (path->root == TEMPLATE_ITEM) {
        *json = expansion->values->item_json;
        return 0;
    }
    uint32_t task = graph_find(expansion->graph, path->name);
    *json = (struct mf_span){"", 0};
    if (task == GRAPH_NONE || expansion->values->result == NULL)
        return 0;
    mf_buf_init(&value->json, GRAPH_LIST_BYTES_MAX);
    if (expansion->values->result(expansion->values->context, task, &value->json, expansion->error) != 0)
        return -1;
    if (value->json.failed)
        return mf_fail(expansion->error, MF_LIMIT, "the result of task `%.*s` is larger than %u bytes",
                       MF_SPAN_ARGS(path->name), GRAPH_LIST_BYTES_MAX);
    *json = mf_buf_view(&value->json);
    return 0;
}

static int find_json(const struct expansion *expansion, struct mf_span text, const struct template_path *path,
                     struct value *value)
{
    struct mf_span json;
    if (root_json(expansion, path, value, &json) != 0)
        return -1;
    if (json.length == 0)
        return missing(expansion, text, path);
    if (json_scan_error(&value->document, json, &value_limits, expansion->error) != 0)
        return mf_wrap(expansion->error, "{{%.*s}}", MF_SPAN_ARGS(text));
    value->node = template_walk(&value->document, path->steps);
    return value->node != JSON_NONE ? 0 : missing(expansion, text, path);
}

/* Fills *value, which the caller frees in any case. */
static int find_value(const struct expansion *expansion, struct mf_span text, struct value *value)
{
    struct template_path path;
    const char *fault;
    *value = (struct value){.plain = true};
    if (template_parse_path(text, &path, &fault) != 0)
        return mf_fail(expansion->error, MF_INPUT, "{{%.*s}} %s", text.length < 80 ? (int)text.length : 80, text.data,
                       fault);
    switch (path.root) {
    case TEMPLATE_KEY:
        value->text = expansion->values->key;
        break;
    case TEMPLATE_RUN:
        value->text = expansion->values->run_id;
        break;
    case TEMPLATE_TASK:
        value->text = expansion->values->task_name;
        break;
    case TEMPLATE_PARAMS:
    case TEMPLATE_ITEM:
    case TEMPLATE_RESULT:
    default:
        value->plain = false;
        return find_json(expansion, text, &path, value);
    }
    return value->text.length > 0 ? 0 : missing(expansion, text, &path);
}

/* As text: a string without quotes, all else as JSON. */
static int put_text(const struct expansion *expansion, struct mf_span path)
{
    struct value value;
    int result = find_value(expansion, path, &value);
    if (result == 0 && value.plain)
        result = put(expansion, value.text);
    else if (result == 0 && json_kind(&value.document, value.node) == JSON_STRING)
        result = put_result(expansion, json_text(&value.document, value.node, expansion->out));
    else if (result == 0)
        result = put(expansion, json_raw(&value.document, value.node));
    value_free(&value);
    return result;
}

static int expand_text(const struct expansion *expansion, struct mf_span text)
{
    struct template_piece piece;
    const char *fault = "";
    int more;
    while ((more = template_next(&text, &piece, &fault)) == 1) {
        if ((piece.is_path ? put_text(expansion, piece.text) : put(expansion, piece.text)) != 0)
            return -1;
    }
    return more == 0 ? 0 : mf_fail(expansion->error, MF_INPUT, "%s", fault);
}

int template_expand(const struct graph *graph, struct mf_span text, const struct template_values *values,
                    struct mf_buf *out, const char *limit_name, struct mf_error *error)
{
    return expand_text(&(struct expansion){graph, values, out, limit_name, error}, text);
}

/* Decodes a string of the graph into a buffer that the caller frees; without escapes it is a view and the buffer stays
 * empty. */
static int decode(const struct graph *graph, uint32_t node, struct mf_buf *room, struct mf_span *text,
                  struct mf_error *error)
{
    mf_buf_init(room, graph->document.nodes[node].length);
    if (json_plain(&graph->document, node, text) == 0)
        return 0;
    if (json_text(&graph->document, node, room) != 0)
        return mf_fail(error, MF_MEMORY, "no memory");
    *text = mf_buf_view(room);
    return 0;
}

int template_expand_node(const struct graph *graph, uint32_t node, const struct template_values *values,
                         struct mf_buf *out, const char *limit_name, struct mf_error *error)
{
    struct mf_buf room;
    struct mf_span text;
    int result = decode(graph, node, &room, &text, error);
    if (result == 0)
        result = template_expand(graph, text, values, out, limit_name, error);
    mf_buf_free(&room);
    return result;
}

/* --- JSON --- */

static int put_json_value(const struct expansion *expansion, struct mf_span path)
{
    struct value value;
    int result = find_value(expansion, path, &value);
    if (result == 0 && value.plain)
        result = put_result(expansion, json_escape(expansion->out, value.text));
    else if (result == 0)
        result = put(expansion, json_raw(&value.document, value.node));
    value_free(&value);
    return result;
}

/* A string with templates among other text stays a string. */
static int put_json_text(const struct expansion *expansion, struct mf_span text)
{
    struct mf_buf expanded;
    mf_buf_init(&expanded, GRAPH_LIST_BYTES_MAX);
    struct expansion inner = *expansion;
    inner.out = &expanded;
    int result = expand_text(&inner, text);
    if (result == 0)
        result = put_result(expansion, json_escape(expansion->out, mf_buf_view(&expanded)));
    mf_buf_free(&expanded);
    return result;
}

static int expand_string(const struct expansion *expansion, uint32_t node)
{
    struct mf_buf room;
    struct mf_span text;
    struct mf_span path;
    int result = decode(expansion->graph, node, &room, &text, expansion->error);
    if (result == 0)
        result = template_is_whole(text, &path) ? put_json_value(expansion, path) : put_json_text(expansion, text);
    mf_buf_free(&room);
    return result;
}

static int expand_json(const struct expansion *expansion, uint32_t node);

static int expand_members(const struct expansion *expansion, uint32_t node, bool object)
{
    const struct json_document *document = &expansion->graph->document;
    bool first = true;
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child)) {
        if (!first && put(expansion, MF_SPAN(",")) != 0)
            return -1;
        first = false;
        if (object && (put(expansion, json_raw(document, child)) != 0 || put(expansion, MF_SPAN(":")) != 0))
            return -1;
        if (expand_json(expansion, object ? json_value(document, child) : child) != 0)
            return -1;
    }
    return 0;
}

/* Goes as deep as the graph file, which the scanner has limited. */
static int expand_json(const struct expansion *expansion, uint32_t node)
{
    const struct json_document *document = &expansion->graph->document;
    enum json_kind kind = json_kind(document, node);
    if (!graph_has_template(expansion->graph, node))
        return put(expansion, json_raw(document, node));
    if (kind == JSON_STRING)
        return expand_string(expansion, node);
    bool object = kind == JSON_OBJECT;
    if (put(expansion, object ? MF_SPAN("{") : MF_SPAN("[")) != 0 || expand_members(expansion, node, object) != 0)
        return -1;
    return put(expansion, object ? MF_SPAN("}") : MF_SPAN("]"));
}

int template_expand_json(const struct graph *graph, uint32_t node, const struct template_values *values,
                         struct mf_buf *out, struct mf_error *error)
{
    return expand_json(&(struct expansion){graph, values, out, "the size of a list", error}, node);
}

struct narrowing {
    int (*take)(void *context, struct mf_span name, struct mf_span value, struct mf_error *error);
    void *context;
};

static int put_narrowing(const struct graph *graph, uint32_t key, uint32_t node, const struct template_values *values,
                         const struct narrowing *narrowing, struct mf_error *error)
{
    struct mf_buf value;
    struct mf_span name;
    mf_buf_init(&value, GRAPH_ARGUMENT_BYTES_MAX);
    int result = template_expand_node(graph, node, values, &value, "argument_bytes_max", error);
    if (result == 0 && json_plain(&graph->document, key, &name) != 0)
        result = mf_fail(error, MF_INTERNAL, "a parameter's name has escapes");
    if (result == 0 && value.length == 0)
        result = mf_fail(error, MF_INPUT, "the value of `%.*s` in `only` expands to nothing", MF_SPAN_ARGS(name));
    if (result == 0)
        result = narrowing->take(narrowing->context, name, mf_buf_view(&value), error);
    mf_buf_free(&value);
    return result;
}

int template_expand_only(const struct graph *graph, uint32_t node, const struct template_values *values,
                         int (*take)(void *context, struct mf_span name, struct mf_span value, struct mf_error *error),
                         void *context, struct mf_error *error)
{
    const struct json_document *document = &graph->document;
    const struct narrowing narrowing = {take, context};
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        uint32_t value = json_value(document, key);
        bool several = json_kind(document, value) == JSON_ARRAY;
        for (uint32_t one = several ? json_first(document, value) : value; one != JSON_NONE;
             one = several ? json_next(document, value, one) : JSON_NONE) {
            if (put_narrowing(graph, key, one, values, &narrowing, error) != 0)
                return -1;
        }
    }
    return 0;
}

/* --- commands, variables, workspaces --- */

/* Appends one argument or variable with its NUL; `head` stands in front of it and counts. */
static int put_argument(const struct graph *graph, struct mf_span head, uint32_t node, bool templates,
                        const struct template_values *values, struct mf_buf *out, struct mf_error *error)
{
    struct mf_buf one;
    mf_buf_init(&one, GRAPH_ARGUMENT_BYTES_MAX);
    struct expansion expansion = {graph, values, &one, "argument_bytes_max", error};
    int result = put(&expansion, head);
    if (result == 0 && templates)
        result = template_expand_node(graph, node, values, &one, "argument_bytes_max", error);
    else if (result == 0)
        result = put_result(&expansion, json_text(&graph->document, node, &one));
    if (result == 0 && (mf_buf_span(out, mf_buf_view(&one)) != 0 || mf_buf_char(out, '\0') != 0))
        result =
            mf_fail(error, MF_LIMIT, "the expanded command or environment is larger than %zu bytes", out->bytes_max);
    mf_buf_free(&one);
    return result;
}

int template_expand_command(const struct graph *graph, uint32_t node, const struct template_values *values,
                            struct mf_buf *out, uint32_t *count, struct mf_error *error)
{
    const struct json_document *document = &graph->document;
    *count = 0;
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child)) {
        bool templates = *count > 0; /* never in the program's name */
        if (put_argument(graph, MF_SPAN(""), child, templates, values, out, error) != 0)
            return mf_wrap(error, "argument %u", *count);
        (*count)++;
    }
    return 0;
}

int template_expand_env(const struct graph *graph, uint32_t node, const struct template_values *values,
                        struct mf_buf *out, uint32_t *count, struct mf_error *error)
{
    const struct json_document *document = &graph->document;
    *count = 0;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        char head[300]; /* names are at most 255 bytes long */
        if (json_copy(document, key, head, sizeof head - 1) != 0)
            return mf_fail(error, MF_INTERNAL, "a variable's name is too long");
        size_t length = strlen(head);
        memcpy(head + length, "=", 2);
        if (put_argument(graph, mf_span(head), json_value(document, key), true, values, out, error) != 0) {
            head[length] = '\0';
            return mf_wrap(error, "variable %s", head);
        }
        (*count)++;
    }
    return 0;
}

/* A member of `workspace`, expanded; NULL with *error filled. */
static char *workspace_text(const struct graph *graph, uint32_t node, const struct template_values *values,
                            struct mf_error *error)
{
    struct mf_buf text;
    mf_buf_init(&text, 4095);
    char *owned = NULL;
    if (template_expand_node(graph, node, values, &text, "the length of a path", error) == 0) {
        owned = mf_buf_take(&text);
        if (owned == NULL)
            mf_fail(error, MF_MEMORY, "no memory");
    }
    mf_buf_free(&text);
    return owned;
}

static int workspace_git(const struct graph *graph, uint32_t object, const struct template_values *values,
                         struct graph_workspace *out, struct mf_error *error)
{
    uint32_t ref = json_member(&graph->document, object, "ref");
    out->kind = GRAPH_WORKSPACE_GIT;
    out->location = workspace_text(graph, json_member(&graph->document, object, "git"), values, error);
    if (out->location == NULL)
        return -1;
    if (ref != JSON_NONE) {
        out->ref = workspace_text(graph, ref, values, error);
    } else if ((out->ref = mf_strdup("HEAD")) == NULL) {
        mf_fail(error, MF_MEMORY, "no memory");
    }
    if (out->ref == NULL)
        return -1;
    const char *fault = graph_git_fault(mf_span(out->location), mf_span(out->ref));
    return fault == NULL ? 0 : mf_fail(error, MF_INPUT, "workspace.git or its ref %s", fault);
}

static int workspace_copy(const struct graph *graph, uint32_t node, const struct template_values *values,
                          struct graph_workspace *out, struct mf_error *error)
{
    out->kind = GRAPH_WORKSPACE_COPY;
    out->location = workspace_text(graph, node, values, error);
    if (out->location == NULL)
        return -1;
    const char *fault = graph_path_fault(mf_span(out->location));
    return fault == NULL ? 0 : mf_fail(error, MF_INPUT, "workspace.copy %s", fault);
}

int graph_workspace(const struct graph *graph, uint32_t task, const struct template_values *values,
                    struct graph_workspace *out, struct mf_error *error)
{
    uint32_t object = json_member(&graph->document, graph->tasks[task].node, "workspace");
    uint32_t copy = json_member(&graph->document, object, "copy");
    *out = (struct graph_workspace){.kind = GRAPH_WORKSPACE_EMPTY};
    if (object == JSON_NONE)
        return 0;
    int result = copy != JSON_NONE ? workspace_copy(graph, copy, values, out, error)
                                   : workspace_git(graph, object, values, out, error);
    if (result != 0)
        graph_workspace_free(out);
    return result;
}

void graph_workspace_free(struct graph_workspace *workspace)
{
    mf_free(workspace->location);
    mf_free(workspace->ref);
    *workspace = (struct graph_workspace){.kind = GRAPH_WORKSPACE_EMPTY};
}
