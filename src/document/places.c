/* places.c - templates in a graph file: where they stand and what they may name there */
#include "document/load.h"
#include "document/template_private.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

#define ROOT(root) (1u << TEMPLATE_##root)
#define ALL_ROOTS (ROOT(PARAMS) | ROOT(ITEM) | ROOT(KEY) | ROOT(RUN) | ROOT(TASK) | ROOT(RESULT))

/* place, what it is called, which roots may stand there */
#define PLACES(X)                                                                                                      \
    X(FOR_EACH, "for_each", ROOT(PARAMS) | ROOT(RESULT))                                                               \
    X(ELEMENT, "an element of for_each", ROOT(PARAMS) | ROOT(RUN))                                                     \
    X(KEY, "key", ROOT(PARAMS) | ROOT(ITEM) | ROOT(RUN))                                                               \
    X(TEXT, "a text", ALL_ROOTS)                                                                                       \
    X(ONLY, "the narrowing of a permission", ROOT(PARAMS) | ROOT(ITEM))
enum place {
#define X(place, name, roots) PLACE_##place,
    PLACES(X)
#undef X
};

struct check {
    struct loader *loader;
    uint32_t task;
    enum place place;
    uint32_t node;      /* the string, or JSON_NONE for a text of another file */
    struct mf_span raw; /* what positions refer to: the text as it is looked at */
    bool positions;     /* offsets in `raw` are offsets in the node, too */
    bool foreign;       /* `raw` is a file of its own */
};

static void fail_here(const struct check *check, struct mf_span at, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Reports at a place inside a string, as far as it is known. */
static void fail_here(const struct check *check, struct mf_span at, const char *hint, const char *format, ...)
{
    struct mf_buf pointer;
    struct diagnostic_place place = {.suggestion = hint};
    const struct json_document *document = check->loader->document;
    mf_buf_init(&pointer, 4096);
    place.offset = check->positions ? (uint32_t)(at.data - check->raw.data) : 0;
    place.text = check->raw;
    if (!check->foreign && !diagnostics_full(check->loader->diagnostics)) { /* a pointer is dear in a large file */
        json_pointer_of(document, check->node, &pointer);
        place.text = document->text;
        place.offset += document->nodes[check->node].start + check->positions;
        place.pointer = mf_buf_cstr(&pointer);
    }
    va_list arguments;
    va_start(arguments, format);
    if (diagnostics_add_list(check->loader->diagnostics, DIAGNOSTIC_ERROR, &place, format, arguments) != 0)
        check->loader->no_memory = true;
    va_end(arguments);
    mf_buf_free(&pointer);
}

static const char *place_name(enum place place)
{
    static const char *const names[] = {
#define X(place, name, roots) [PLACE_##place] = name,
        PLACES(X)
#undef X
    };
    return names[place];
}

static unsigned place_roots(enum place place)
{
    static const unsigned roots[] = {
#define X(place, name, roots) [PLACE_##place] = roots,
        PLACES(X)
#undef X
    };
    return roots[place];
}

static void check_parameter(const struct check *check, struct mf_span text, const struct template_path *path)
{
    const struct graph *graph = check->loader->graph;
    const struct graph_parameter *parameter = graph_find_parameter(graph, path->name);
    if (parameter == NULL) {
        char room[LOAD_HINT_BYTES] = "";
        for (size_t i = 0; i < graph->parameter_count && room[0] == '\0'; i++) {
            if (mf_edit_distance(path->name, graph->parameters[i].name, path->name.length < 6 ? 1 : 2) <
                (path->name.length < 6 ? 2u : 3u))
                snprintf(room, sizeof room, "did you mean `%.*s`?", MF_SPAN_ARGS(graph->parameters[i].name));
        }
        fail_here(check, text, room, "no parameter `%.*s`", MF_SPAN_ARGS(path->name));
        return;
    }
    struct json_document document;
    if (path->steps.length == 0)
        return;
    if (json_scan(&document, parameter->json, &json_limits_default, NULL) != 0) {
        check->loader->no_memory = true; /* it was scanned before */
        return;
    }
    if (template_walk(&document, path->steps) == JSON_NONE)
        fail_here(check, text, NULL, "parameter `%.*s` has no value `%.*s`", MF_SPAN_ARGS(path->name),
                  MF_SPAN_ARGS(path->steps));
    json_document_free(&document);
}

static void check_result(const struct check *check, struct mf_span text, const struct template_path *path)
{
    const struct graph *graph = check->loader->graph;
    uint32_t producer = graph_find(graph, path->name);
    bool too_far = false;
    if (producer == GRAPH_NONE)
        fail_here(check, text, NULL, "no task `%.*s`", MF_SPAN_ARGS(path->name));
    else if (producer == check->task)
        fail_here(check, text, NULL, "a task has no result before it ran");
    else if (check->loader->ordered && !load_is_ancestor(check->loader, check->task, producer, &too_far))
        fail_here(check, text, NULL,
                  too_far ? "too many tasks to find out whether `%.*s` runs before: add it to `needs`"
                          : "task `%.*s` need not have run: add it to `needs`",
                  MF_SPAN_ARGS(path->name));
}

/* The elements stand in the file or come from a parameter, not from an agent. */
static bool items_are_known(const struct graph *graph, uint32_t task)
{
    struct mf_span text;
    struct mf_span path;
    struct template_path parsed;
    const char *fault;
    uint32_t node = graph_part(graph, task, GRAPH_PART_FOR_EACH);
    if (node == JSON_NONE || json_kind(&graph->document, node) == JSON_ARRAY)
        return node != JSON_NONE;
    return json_plain(&graph->document, node, &text) == 0 && template_is_whole(text, &path) &&
           template_parse_path(path, &parsed, &fault) == 0 && parsed.root == TEMPLATE_PARAMS;
}

static void check_path(const struct check *check, struct mf_span text)
{
    struct template_path path;
    const char *fault;
    const struct graph *graph = check->loader->graph;
    if (template_parse_path(text, &path, &fault) != 0) {
        fail_here(check, text, NULL, "template `%.*s` %s", text.length < 80 ? (int)text.length : 80, text.data, fault);
        return;
    }
    if ((place_roots(check->place) & 1u << path.root) == 0)
        fail_here(check, text, NULL, "`%.*s` may not stand in %s", MF_SPAN_ARGS(text), place_name(check->place));
    else if ((path.root == TEMPLATE_ITEM || path.root == TEMPLATE_KEY) && !graph->tasks[check->task].for_each)
        fail_here(check, text, NULL, "`%.*s`: the task has no for_each", MF_SPAN_ARGS(text));
    else if (path.root == TEMPLATE_ITEM && check->place == PLACE_ONLY && !items_are_known(graph, check->task))
        fail_here(check, text, NULL, "`%.*s` comes from an agent's result and may not narrow a permission",
                  MF_SPAN_ARGS(text));
    else if (path.root == TEMPLATE_PARAMS)
        check_parameter(check, text, &path);
    else if (path.root == TEMPLATE_RESULT)
        check_result(check, text, &path);
}

static void check_text(const struct check *check)
{
    struct template_piece piece;
    const char *fault = "";
    struct mf_span rest = check->raw;
    int more;
    while ((more = template_next(&rest, &piece, &fault)) == 1) {
        if (piece.is_path)
            check_path(check, piece.text);
    }
    if (more < 0)
        fail_here(check, rest, NULL, "%s", fault);
}

static void check_string(struct loader *loader, uint32_t task, uint32_t node, enum place place)
{
    if (node == JSON_NONE || json_kind(loader->document, node) != JSON_STRING ||
        !graph_has_template(loader->graph, node))
        return;
    struct check check = {.loader = loader, .task = task, .place = place, .node = node};
    struct mf_buf room;
    mf_buf_init(&room, loader->document->nodes[node].length);
    check.positions = json_plain(loader->document, node, &check.raw) == 0;
    if (!check.positions) {
        loader->no_memory |= json_text(loader->document, node, &room) != 0;
        check.raw = mf_buf_view(&room);
    }
    check_text(&check);
    mf_buf_free(&room);
}

/* Arguments: that the program's name holds no template is said elsewhere. */
static void check_command(struct loader *loader, uint32_t task, uint32_t node)
{
    const struct json_document *document = loader->document;
    uint32_t child = json_first(document, node);
    while (child != JSON_NONE && (child = json_next(document, node, child)) != JSON_NONE)
        check_string(loader, task, child, PLACE_TEXT);
}

/* Strings that are elements of an array or values of an object. */
static void check_children(struct loader *loader, uint32_t task, uint32_t node, enum place place)
{
    const struct json_document *document = loader->document;
    if (node == JSON_NONE)
        return;
    bool object = json_kind(document, node) == JSON_OBJECT;
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child))
        check_string(loader, task, object ? json_value(document, child) : child, place);
}

/* Every string below a list or object; names of members are checked like the rest. */
static void check_below(struct loader *loader, uint32_t task, uint32_t list, enum place place)
{
    for (uint32_t node = list; node != JSON_NONE && node < loader->document->nodes[list].end; node++)
        check_string(loader, task, node, place);
}

static void check_permissions(struct loader *loader, uint32_t task, uint32_t permissions)
{
    const struct json_document *document = loader->document;
    if (permissions == JSON_NONE || json_kind(document, permissions) != JSON_ARRAY)
        return;
    for (uint32_t child = json_first(document, permissions); child != JSON_NONE;
         child = json_next(document, permissions, child))
        check_below(loader, task, json_member(document, child, "only"), PLACE_ONLY);
}

static void check_for_each(struct loader *loader, uint32_t task, uint32_t node)
{
    struct mf_span text;
    struct mf_span path;
    if (json_kind(loader->document, node) == JSON_ARRAY) {
        check_below(loader, task, node, PLACE_ELEMENT);
        return;
    }
    if (json_kind(loader->document, node) != JSON_STRING)
        return;
    if (json_plain(loader->document, node, &text) != 0 || !template_is_whole(text, &path))
        load_fail(loader, node,
                  "expected an array, or a string that is one template such as \"{{plan.result.sites}}\"");
    else
        check_string(loader, task, node, PLACE_FOR_EACH);
}

static int no_result(void *context, uint32_t task, struct mf_buf *json_out, struct mf_error *error)
{
    (void)context;
    (void)task;
    (void)json_out;
    return mf_fail(error, MF_INTERNAL, "a result before the run");
}

/* A list that is known already must have good keys; it is made once and thrown away. */
static void check_known_list(struct loader *loader, uint32_t task, uint32_t node)
{
    struct graph_list *list;
    struct mf_error error = {0};
    const struct template_values values = {.run_id = MF_SPAN("000000000000"), .result = no_result};
    if (!items_are_known(loader->graph, task))
        return;
    if (graph_list_evaluate(&list, loader->graph, task, &values, &error) == 0)
        graph_list_destroy(list);
    else if (error.code == MF_MEMORY)
        loader->no_memory = true;
    else
        load_fail(loader, node, "%s", error.text);
}

static void check_task(struct loader *loader, uint32_t task)
{
    const struct graph *graph = loader->graph;
    uint32_t workspace = json_member(loader->document, graph->tasks[task].node, "workspace");
    check_command(loader, task, graph_part(graph, task, GRAPH_PART_COMMAND));
    check_children(loader, task, graph_part(graph, task, GRAPH_PART_ENV), PLACE_TEXT);
    check_command(loader, task, graph_part(graph, task, GRAPH_PART_VERIFY_COMMAND));
    check_children(loader, task, graph_part(graph, task, GRAPH_PART_VERIFY_ENV), PLACE_TEXT);
    check_children(loader, task, workspace, PLACE_TEXT);
    check_string(loader, task, graph_part(graph, task, GRAPH_PART_PROMPT), PLACE_TEXT);
    check_string(loader, task, graph_part(graph, task, GRAPH_PART_KEY), PLACE_KEY);
    check_permissions(loader, task, graph_part(graph, task, GRAPH_PART_VERIFY_PERMISSIONS));
    for (uint32_t i = 0; i < graph->tasks[task].slot_count; i++)
        check_permissions(loader, task, graph->slots[graph->tasks[task].slot_first + i].permissions);
}

void load_check_templates(struct loader *loader)
{
    const struct graph *graph = loader->graph;
    bool sound = diagnostics_errors(loader->diagnostics) == 0; /* only then may lists be evaluated */
    for (uint32_t task = 0; task < graph->task_count && !loader->no_memory; task++) {
        uint32_t errors = diagnostics_errors(loader->diagnostics);
        uint32_t for_each = JSON_NONE;
        if (graph->tasks[task].for_each)
            for_each = graph_part(graph, task, GRAPH_PART_FOR_EACH);
        if (for_each != JSON_NONE)
            check_for_each(loader, task, for_each);
        if (graph_has_template(graph, graph->tasks[task].node))
            check_task(loader, task);
        if (for_each != JSON_NONE && sound && diagnostics_errors(loader->diagnostics) == errors)
            check_known_list(loader, task, for_each);
    }
}

int template_check_prompt(const struct graph *graph, uint32_t task, struct mf_span text,
                          struct diagnostics *diagnostics, struct mf_error *error)
{
    struct graph *borrowed;
    memcpy(&borrowed, &graph, sizeof borrowed); /* the loader only reads it here */
    struct loader loader = {
        .graph = borrowed, .document = &graph->document, .diagnostics = diagnostics, .ordered = true};
    uint32_t before = diagnostics_errors(diagnostics);
    load_begin_walks(&loader);
    struct check check = {
        .loader = &loader,
        .task = task,
        .place = PLACE_TEXT,
        .node = JSON_NONE,
        .raw = text,
        .positions = true,
        .foreign = true,
    };
    if (!loader.no_memory)
        check_text(&check);
    mf_free(loader.seen_in);
    if (loader.no_memory)
        return mf_fail(error, MF_MEMORY, "no memory");
    return diagnostics_errors(diagnostics) == before ? 0 : diagnostics_fail(diagnostics, error);
}
