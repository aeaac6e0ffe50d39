/* least_change.c - a smaller list as text: elements, JSON patch, and a unified diff that keeps the file's form */
#include "report/least_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "report/diff.h"
#include "json/write.h"

#include <string.h>

#define TEXT_BYTES_MAX (4u << 20)
#define DIFF_BYTES_MAX (1u << 30)

/* --- the elements --- */

struct making {
    const struct graph *graph;
    const struct policy *policy;
    uint32_t node;
    const struct least_set *declared, *chosen;
    struct least_set done;
    char **elements; /* owned */
    size_t count, capacity;
    struct mf_buf taken, added;
    bool no_memory;
};

static void add_element(struct making *making, struct mf_span text)
{
    char *copy = mf_strndup(text.data, text.length);
    if (copy == NULL ||
        mf_grow((void **)&making->elements, &making->capacity, making->count + 1, sizeof(char *), 8) != 0) {
        making->no_memory = true;
        mf_free(copy);
        return;
    }
    making->elements[making->count++] = copy;
}

static void add_name(struct mf_buf *list, struct mf_span name)
{
    mf_buf_printf(list, "%s%.*s", list->length > 0 ? ", " : "", MF_SPAN_ARGS(name));
}

static void mark(struct making *making, uint32_t permission)
{
    making->done.bits[permission / 64] |= UINT64_C(1) << permission % 64;
}

/* A name, narrowed like the one that it stands for. */
static void add_new(struct making *making, uint32_t permission, uint32_t only)
{
    struct mf_span name = policy_permission_name(making->policy, permission);
    struct mf_buf text;
    mf_buf_init(&text, TEXT_BYTES_MAX);
    if (only != JSON_NONE)
        mf_buf_printf(&text, "{ \"name\": \"%.*s\", \"only\": ", MF_SPAN_ARGS(name));
    else
        mf_buf_printf(&text, "\"%.*s\"", MF_SPAN_ARGS(name));
    if (only != JSON_NONE) {
        mf_buf_span(&text, json_raw(graph_document(making->graph), only));
        mf_buf_text(&text, " }");
    }
    making->no_memory |= text.failed;
    add_element(making, mf_buf_view(&text));
    add_name(&making->added, name);
    mark(making, permission);
    mf_buf_free(&text);
}

/* Declared ones stay in their place and spelling; the reading half of one stands in its place. */
static void add_declared(struct making *making, uint32_t index)
{
    const struct json_document *document = graph_document(making->graph);
    struct graph_permission permission = graph_permission(making->graph, making->node, index);
    uint32_t number = policy_permission(making->policy, permission.name);
    if (number == UINT32_MAX || least_has(making->chosen, number)) {
        add_element(making, json_raw(document, json_element(document, making->node, index)));
        if (number != UINT32_MAX)
            mark(making, number);
        return;
    }
    add_name(&making->taken, permission.name);
    uint32_t read = least_read_of(making->policy, permission.name);
    if (read != UINT32_MAX && least_has(making->chosen, read) && !least_has(making->declared, read) &&
        !least_has(&making->done, read))
        add_new(making, read, permission.only);
}

static void make(struct making *making)
{
    for (uint32_t i = 0; i < graph_permission_count(making->graph, making->node); i++)
        add_declared(making, i);
    for (uint32_t i = 0; i < HTTP1_PERMISSIONS_MAX; i++) {
        if (least_has(making->chosen, i) && !least_has(&making->done, i))
            add_new(making, i, JSON_NONE);
    }
    making->no_memory |= making->taken.failed || making->added.failed;
}

static void free_elements(const char *const *elements, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mf_free((void *)(uintptr_t)elements[i]);
    mf_free((void *)(uintptr_t)elements);
}

static int keep(struct least *least, struct making *making, struct least_change *change)
{
    if (making->no_memory || mf_grow((void **)&least->changes, &least->change_capacity, least->change_count + 1,
                                     sizeof *least->changes, 16) != 0)
        return -1;
    change->taken = mf_strdup(mf_buf_cstr(&making->taken));
    change->added = mf_strdup(mf_buf_cstr(&making->added));
    if (change->taken == NULL || change->added == NULL) {
        mf_free((void *)(uintptr_t)change->taken);
        mf_free((void *)(uintptr_t)change->added);
        return -1;
    }
    change->elements = (const char *const *)making->elements;
    change->element_count = (uint32_t)making->count;
    making->elements = NULL;
    making->count = 0;
    least->changes[least->change_count++] = *change;
    return 0;
}

int least_put(struct least *least, const struct evidence_subject *subject, const struct policy *policy, uint32_t object,
              uint32_t node, const struct least_set *declared, const struct least_set *chosen, struct mf_error *error)
{
    if (memcmp(declared, chosen, sizeof *declared) == 0)
        return 0;
    struct making making = {.graph = evidence_graph(least->evidence),
                            .policy = policy,
                            .node = node,
                            .declared = declared,
                            .chosen = chosen};
    struct least_change change = {
        .task = subject->task, .slot = subject->slot, .verify = subject->verify, .node = node, .object = object};
    mf_buf_init(&making.taken, TEXT_BYTES_MAX);
    mf_buf_init(&making.added, TEXT_BYTES_MAX);
    make(&making);
    int status = keep(least, &making, &change);
    free_elements((const char *const *)making.elements, making.count);
    mf_buf_free(&making.taken);
    mf_buf_free(&making.added);
    return status == 0 ? 0 : mf_fail(error, MF_MEMORY, "audit: no memory");
}

void least_destroy(struct least *least)
{
    if (least == NULL)
        return;
    for (size_t i = 0; i < least->change_count; i++) {
        free_elements(least->changes[i].elements, least->changes[i].element_count);
        mf_free((void *)(uintptr_t)least->changes[i].taken);
        mf_free((void *)(uintptr_t)least->changes[i].added);
    }
    mf_free(least->changes);
    mf_free(least->lent);
    mf_free(least);
}

/* --- the text --- */

/* White space between the start of the line and `at`, when there is nothing else. */
static struct mf_span indent_of(struct mf_span text, size_t at)
{
    size_t start = at;
    while (start > 0 && text.data[start - 1] != '\n')
        start--;
    size_t end = start;
    while (end < at && (text.data[end] == ' ' || text.data[end] == '\t'))
        end++;
    return (struct mf_span){text.data + start, end - start};
}

/* As the list stands in the file: on one line, or one element a line. */
static void put_list(const struct least_change *change, struct mf_span text, struct mf_span raw, struct mf_span first,
                     struct mf_buf *out)
{
    bool lines = memchr(raw.data, '\n', raw.length) != NULL;
    bool wide = raw.length > 1 && raw.data[1] == ' ';
    size_t inner = first.length > 0 ? (size_t)(first.data - text.data) : 0;
    for (uint32_t i = 0; i < change->element_count; i++) {
        mf_buf_text(out, i == 0 ? "[" : ",");
        if (lines) {
            mf_buf_char(out, '\n');
            mf_buf_span(out, indent_of(text, inner));
        } else if (i > 0 || wide) {
            mf_buf_char(out, ' ');
        }
        mf_buf_text(out, change->elements[i]);
    }
    if (change->element_count == 0)
        mf_buf_char(out, '[');
    else if (lines) {
        mf_buf_char(out, '\n');
        mf_buf_span(out, indent_of(text, (size_t)(raw.data - text.data) + raw.length - 1));
    } else if (wide)
        mf_buf_char(out, ' ');
    mf_buf_char(out, ']');
}

static void put_edit(const struct least_change *change, const struct graph *graph, struct diff_edit *edit,
                     struct mf_buf *out)
{
    const struct json_document *document = graph_document(graph);
    struct mf_span text = graph_text(graph);
    if (change->node != JSON_NONE) {
        struct mf_span raw = json_raw(document, change->node);
        uint32_t first = json_first(document, change->node);
        *edit = (struct diff_edit){.offset = (size_t)(raw.data - text.data), .length = raw.length};
        put_list(change, text, raw, first != JSON_NONE ? json_raw(document, first) : MF_SPAN(""), out);
        return;
    }
    struct mf_span object = json_raw(document, change->object); /* it has no list: one is put in behind its brace */
    *edit = (struct diff_edit){.offset = (size_t)(object.data - text.data) + 1, .length = 0};
    mf_buf_text(out, " \"permissions\": ");
    put_list(change, text, MF_SPAN("[]"), MF_SPAN(""), out);
    mf_buf_text(out, document->nodes[change->object].children > 0 ? "," : " ");
}

int least_diff(const struct least *least, const char *name, struct mf_buf *out, struct mf_error *error)
{
    const struct graph *graph = evidence_graph(least->evidence);
    size_t count = least->change_count;
    struct diff_edit *edits = mf_calloc(count, sizeof *edits);
    struct mf_buf *texts = mf_calloc(count, sizeof *texts);
    int status = edits != NULL && texts != NULL ? 0 : mf_fail(error, MF_MEMORY, "audit: no memory");
    for (size_t i = 0; status == 0 && i < count; i++) {
        mf_buf_init(&texts[i], TEXT_BYTES_MAX);
        put_edit(&least->changes[i], graph, &edits[i], &texts[i]);
        edits[i].text = mf_buf_view(&texts[i]);
        if (texts[i].failed)
            status = mf_fail(error, MF_MEMORY, "audit: no memory");
    }
    if (status == 0 && count > 0)
        status = diff_make(graph_text(graph), edits, count, name, out, error);
    for (size_t i = 0; texts != NULL && i < count; i++)
        mf_buf_free(&texts[i]);
    mf_free(texts);
    mf_free(edits);
    return status;
}

int least_json_patch(const struct least *least, struct json_writer *writer, struct mf_error *error)
{
    const struct json_document *document = graph_document(evidence_graph(least->evidence));
    json_open_array(writer);
    for (size_t i = 0; i < least->change_count; i++) {
        const struct least_change *change = &least->changes[i];
        struct mf_buf pointer;
        bool there = change->node != JSON_NONE;
        mf_buf_init(&pointer, TEXT_BYTES_MAX);
        json_pointer_of(document, there ? change->node : change->object, &pointer);
        if (!there)
            mf_buf_text(&pointer, "/permissions");
        json_open_object(writer);
        json_member_string(writer, "op", there ? "replace" : "add");
        json_member_span(writer, "path", mf_buf_view(&pointer));
        json_key(writer, "value");
        json_open_array(writer);
        for (uint32_t j = 0; j < change->element_count; j++)
            json_raw_value(writer, mf_span(change->elements[j]));
        json_close_array(writer);
        json_close_object(writer);
        bool failed = pointer.failed;
        mf_buf_free(&pointer);
        if (failed)
            return mf_fail(error, MF_MEMORY, "audit: no memory");
    }
    json_close_array(writer);
    return 0;
}
