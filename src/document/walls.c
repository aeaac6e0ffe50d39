/*
 * walls.c - what stands around an agent: sandbox and egress, of a task and of `defaults`
 *
 * Most tasks say nothing, so nothing is kept for a task: what it says is read again from its object when it starts.
 */
#include "document/load.h"

#include <string.h>

#define CPU_DIGITS 3
#define CPU_MILLIS_MIN 10
#define CPU_MILLIS_MAX 1024000
#define PIDS_MAX 4194304u
/* Less is a slip of the unit: nothing starts in it. */
#define SIZE_BYTES_MIN (1u << 20)

/* --- sandbox --- */

static void read_path(struct loader *loader, uint32_t node)
{
    char path[4097];
    if (!load_without_template(loader, node))
        return;
    struct mf_span raw = json_raw(loader->document, node);
    const char *fault = json_copy(loader->document, node, path, sizeof path) != 0
                            ? "is longer than 4095 bytes"
                            : graph_host_path_fault(mf_span(path));
    if (fault != NULL)
        load_fail(loader, node, "path `%.*s` %s", (int)(raw.length - 2 < 80 ? raw.length - 2 : 80), raw.data + 1,
                  fault);
}

static void read_read(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    if (load_strings(loader, node, read_path) && loader->document->nodes[node].children > LOAD_READ_MAX)
        load_fail(loader, node, "more than %d paths", LOAD_READ_MAX);
}

static void read_root(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    struct mf_span root;
    if (load_name(loader, node, &root))
        read_path(loader, node);
}

static void read_size(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    uint64_t bytes;
    if (load_bytes(loader, node, &bytes) && bytes < SIZE_BYTES_MIN)
        load_fail(loader, node, "less than 1M, which nothing starts in: is a unit missing, as in \"512M\"?");
}

static void read_pids(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    uint32_t pids;
    load_count(loader, node, 1, PIDS_MAX, &pids);
}

static void read_cpus(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    int64_t millis;
    load_decimal(loader, node, CPU_DIGITS, CPU_MILLIS_MIN, CPU_MILLIS_MAX, &millis);
}

static const struct load_field sandbox_fields[] = {
    {"read", read_read}, {"root", read_root}, {"memory", read_size},
    {"pids", read_pids}, {"cpus", read_cpus}, {"disk", read_size},
};

bool load_sandbox(struct loader *loader, uint32_t node, bool *off)
{
    enum json_kind kind = json_kind(loader->document, node);
    if (kind == JSON_TRUE || kind == JSON_FALSE) {
        *off = kind == JSON_FALSE;
        return true;
    }
    if (kind != JSON_OBJECT) {
        load_fail(loader, node, "expected true, false, or an object such as {\"memory\": \"2G\", \"read\": [...]}");
        return false;
    }
    *off = false;
    return LOAD_OBJECT(loader, node, sandbox_fields, NULL);
}

static uint64_t bytes_of(const struct json_document *document, uint32_t node, uint64_t otherwise)
{
    struct mf_span text;
    uint64_t bytes;
    if (node == JSON_NONE)
        return otherwise;
    if (json_plain(document, node, &text) != 0)
        text = json_raw(document, node);
    return mf_parse_bytes(text, &bytes) == 0 ? bytes : otherwise;
}

static uint32_t count_of(const struct json_document *document, uint32_t node, unsigned digits, uint32_t otherwise)
{
    int64_t number;
    if (node == JSON_NONE || load_parse_decimal(json_raw(document, node), digits, &number) != 0)
        return otherwise;
    return (uint32_t)number;
}

/* Puts what an object says over what holds already; it was checked when it was loaded. */
static void lay_over(const struct json_document *document, uint32_t object, struct graph_sandbox *sandbox)
{
    uint32_t read = json_member(document, object, "read");
    uint32_t root = json_member(document, object, "root");
    sandbox->read = read != JSON_NONE ? read : sandbox->read;
    if (root != JSON_NONE)
        json_plain(document, root, &sandbox->root);
    sandbox->memory_bytes = bytes_of(document, json_member(document, object, "memory"), sandbox->memory_bytes);
    sandbox->disk_bytes = bytes_of(document, json_member(document, object, "disk"), sandbox->disk_bytes);
    sandbox->pids = count_of(document, json_member(document, object, "pids"), 0, sandbox->pids);
    sandbox->cpu_millis = count_of(document, json_member(document, object, "cpus"), CPU_DIGITS, sandbox->cpu_millis);
}

struct graph_sandbox graph_sandbox(const struct graph *graph, uint32_t task)
{
    struct graph_sandbox sandbox = {.read = JSON_NONE, .off = graph->tasks[task].no_sandbox};
    if (sandbox.off)
        return sandbox;
    lay_over(&graph->document, graph->default_sandbox, &sandbox);
    lay_over(&graph->document, json_member(&graph->document, graph->tasks[task].node, "sandbox"), &sandbox);
    return sandbox;
}

/* --- egress --- */

struct egress {
    uint32_t host; /* node */
    bool private;
};

static void read_host(struct loader *loader, uint32_t node, void *target)
{
    (void)loader;
    ((struct egress *)target)->host = node;
}

static void read_private(struct loader *loader, uint32_t node, void *target)
{
    load_flag(loader, node, &((struct egress *)target)->private);
}

static const struct load_field egress_fields[] = {{"host", read_host}, {"private", read_private}};

static struct egress egress_of(const struct json_document *document, uint32_t node)
{
    struct egress egress = {.host = node};
    if (json_kind(document, node) == JSON_OBJECT) {
        egress.host = json_member(document, node, "host");
        uint32_t private = json_member(document, node, "private");
        egress.private = private != JSON_NONE && json_kind(document, private) == JSON_TRUE;
    }
    return egress;
}

/* Two spellings of one entry cannot be: what is accepted has one spelling. */
static void check_twice(struct loader *loader, uint32_t list, uint32_t node, struct mf_span text)
{
    const struct json_document *document = loader->document;
    for (uint32_t other = json_first(document, list); other != node; other = json_next(document, list, other)) {
        struct mf_span earlier;
        uint32_t host = egress_of(document, other).host;
        if (host != JSON_NONE && json_plain(document, host, &earlier) == 0 && mf_span_equal(earlier, text)) {
            load_fail(loader, node, "`%.*s` stands twice", (int)(text.length < 80 ? text.length : 80), text.data);
            return;
        }
    }
}

static void read_egress(struct loader *loader, uint32_t list, uint32_t node)
{
    struct egress egress = {.host = node};
    struct mf_span text;
    enum json_kind kind = json_kind(loader->document, node);
    if (kind == JSON_OBJECT) {
        egress.host = JSON_NONE;
        if (LOAD_OBJECT(loader, node, egress_fields, &egress) && egress.host == JSON_NONE)
            load_fail(loader, node, "`host` is missing");
    } else if (kind != JSON_STRING) {
        load_fail(loader, node, "expected \"host:port\", or {\"host\": \"host:port\", \"private\": true}");
        return;
    }
    if (egress.host == JSON_NONE || !load_without_template(loader, egress.host) ||
        !load_name(loader, egress.host, &text))
        return;
    const char *fault = graph_egress_fault(text, egress.private);
    if (fault != NULL)
        load_fail(loader, egress.host, "egress `%.*s` %s", (int)(text.length < 80 ? text.length : 80), text.data,
                  fault);
    else
        check_twice(loader, list, node, text);
}

void load_egress(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    const struct json_document *document = loader->document;
    if (!load_expect(loader, node, JSON_ARRAY))
        return;
    if (document->nodes[node].children > LOAD_EGRESS_MAX) {
        load_fail(loader, node, "more than %d entries", LOAD_EGRESS_MAX);
        return;
    }
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child))
        read_egress(loader, node, child);
}

/* A task's own list stands instead of the default's. */
static uint32_t egress_list(const struct graph *graph, uint32_t task)
{
    uint32_t own = json_member(&graph->document, graph->tasks[task].node, "egress");
    return own != JSON_NONE ? own : graph->default_egress;
}

uint32_t graph_egress_count(const struct graph *graph, uint32_t task)
{
    uint32_t list = egress_list(graph, task);
    return list != JSON_NONE ? graph->document.nodes[list].children : 0;
}

int graph_egress(const struct graph *graph, uint32_t task, uint32_t index, struct mf_buf *out)
{
    uint32_t node = json_element(&graph->document, egress_list(graph, task), index);
    struct egress egress = egress_of(&graph->document, node);
    if (egress.private)
        mf_buf_text(out, "!");
    return json_text(&graph->document, egress.host, out);
}
