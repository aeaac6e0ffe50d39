/* graph_load.c - any bytes as a graph file; what loads must expand, what does not must print safely */
#include "base/alloc.h"
#include "document/template.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static int result_of(void *context, uint32_t task, struct mf_buf *out, struct mf_error *error)
{
    (void)context;
    (void)task;
    (void)error;
    return mf_buf_text(out, "[{\"name\":\"{{key}}\"},null,2]");
}

static int take_only(void *context, struct mf_span name, struct mf_span value, struct mf_error *error)
{
    (void)context;
    (void)error;
    require(name.length > 0 && value.length > 0);
    return 0;
}

/* What stands around a task was checked: nothing of it can be wrong when it is read again. */
static void use_walls(const struct graph *graph, uint32_t task, struct mf_buf *out)
{
    struct graph_sandbox sandbox = graph_sandbox(graph, task);
    require(sandbox.off == graph_tasks(graph)[task].no_sandbox);
    require(sandbox.root.length == 0 || graph_host_path_fault(sandbox.root) == NULL);
    require(sandbox.memory_bytes == 0 || sandbox.memory_bytes >= 1u << 20);
    require(sandbox.cpu_millis <= 1024000);
    for (uint32_t i = 0; i < graph_egress_count(graph, task); i++) {
        mf_buf_clear(out);
        require(graph_egress(graph, task, i, out) == 0 && out->length > 2);
        bool private = out->data[0] == '!';
        require(graph_egress_fault((struct mf_span){out->data + private, out->length - private}, private) == NULL);
    }
    for (uint32_t i = 0; i < graph_use_count(graph, task); i++)
        require(graph_service(graph, graph_use(graph, task, i))->source.used);
    require(graph_task_budget_micro_usd(graph, task) >= -1);
    mf_buf_clear(out);
}

static void use_slots(const struct graph *graph, uint32_t task, const struct template_values *values)
{
    struct mf_error error;
    const struct graph_task *entry = &graph_tasks(graph)[task];
    for (uint32_t i = 0; i < entry->slot_count; i++) {
        uint32_t list = graph_slots(graph)[entry->slot_first + i].permissions;
        for (uint32_t p = 0; p < graph_permission_count(graph, list) && p < 20; p++)
            template_expand_only(graph, graph_permission(graph, list, p).only, values, take_only, NULL, &error);
    }
}

static void use_task(const struct graph *graph, uint32_t task, struct template_values *values)
{
    struct mf_buf out;
    struct mf_error error;
    struct graph_workspace workspace;
    struct graph_list *list;
    uint32_t count;
    mf_buf_init(&out, 1u << 20);
    use_walls(graph, task, &out);
    use_slots(graph, task, values);
    template_expand_command(graph, graph_part(graph, task, GRAPH_PART_COMMAND), values, &out, &count, &error);
    template_expand_env(graph, graph_part(graph, task, GRAPH_PART_ENV), values, &out, &count, &error);
    if (graph_workspace(graph, task, values, &workspace, &error) == 0)
        graph_workspace_free(&workspace);
    if (graph_tasks(graph)[task].for_each && graph_list_evaluate(&list, graph, task, values, &error) == 0)
        graph_list_destroy(list);
    mf_buf_free(&out);
}

static void use_graph(const struct graph *graph)
{
    struct template_values values = {
        .item_json = MF_SPAN("{\"name\":\"x\"}"),
        .key = MF_SPAN("x"),
        .run_id = MF_SPAN("r"),
        .task_name = MF_SPAN("t/x"),
        .result = result_of,
    };
    for (uint32_t i = 0; i < graph_task_count(graph); i++) {
        const struct graph_task *task = &graph_tasks(graph)[graph_order(graph)[i]];
        for (uint32_t edge = 0; edge < task->edge_count; edge++)
            require(graph_tasks(graph)[graph_edges(graph)[task->edge_first + edge].from].level < task->level);
        for (uint32_t slot = 0; slot < task->slot_count; slot++)
            require(graph_slots(graph)[task->slot_first + slot].provider < graph_provider_count(graph));
        require(task->profile < graph_profile_count(graph));
        if (i < 100)
            use_task(graph, i, &values);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mf_buf text;
    struct mf_buf printed;
    struct diagnostics *diagnostics;
    struct mf_error error = {0};
    struct graph *graph;
    const struct graph_options options = {.comments = size % 2 == 0, .provider = size % 3 == 0 ? "p" : NULL};
    mf_buf_init(&text, 1u << 24);
    mf_buf_init(&printed, 1u << 24);
    require(mf_buf_append(&text, data, size) == 0);
    require(diagnostics_create(&diagnostics, "fuzz", 20, &error) == 0);
    if (graph_load(&graph, &text, &options, diagnostics, &error) == 0) {
        require(diagnostics_errors(diagnostics) == 0);
        use_graph(graph);
        graph_destroy(graph);
    } else {
        require(diagnostics_errors(diagnostics) > 0 && error.text[0] != '\0');
    }
    require(diagnostics_print(diagnostics, &printed) == 0 && diagnostics_json(diagnostics, &printed) == 0);
    for (size_t i = 0; i < printed.length; i++)
        require((unsigned char)printed.data[i] >= 0x20 || printed.data[i] == '\n');
    diagnostics_destroy(diagnostics);
    mf_buf_free(&printed);
    return 0;
}
