/* expand.c - a template's list becomes instances: "deploy" and the key "web" are "deploy/web" from here on */
#include "app/app_private.h"

#include "base/alloc.h"
#include "store/hash.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

void app_expansion_free(struct app_expansion *expansion)
{
    if (expansion == NULL)
        return;
    for (uint32_t i = 0; !expansion->taken && i < expansion->count; i++) {
        mf_free(expansion->paths != NULL ? expansion->paths[i] : NULL);
        mf_free(expansion->items != NULL ? expansion->items[i] : NULL);
    }
    mf_free(expansion->paths);
    mf_free(expansion->items);
    mf_free(expansion);
}

static int fill(struct app_expansion *expansion, const char *task, const struct graph_list *list)
{
    uint32_t count = graph_list_count(list);
    expansion->paths = mf_calloc(count, sizeof *expansion->paths);
    expansion->items = mf_calloc(count, sizeof *expansion->items);
    if (expansion->paths == NULL || expansion->items == NULL)
        return -1;
    expansion->count = count;
    for (uint32_t i = 0; i < count; i++) {
        char path[160]; /* a name of 64, a slash, a key of 64 */
        struct mf_span key = graph_list_key(list, i), item = graph_list_item(list, i);
        snprintf(path, sizeof path, "%s/%.*s", task, MF_SPAN_ARGS(key));
        expansion->paths[i] = mf_strdup(path);
        expansion->items[i] = mf_strndup(item.data, item.length);
        if (expansion->paths[i] == NULL || expansion->items[i] == NULL)
            return -1;
    }
    return 0;
}

static void hash_list(struct app_payload *payload, struct mf_span json)
{
    char hex[65];
    store_sha256(json, hex);
    mf_buf_printf(&payload->extra, "\"list_sha256\":\"%s\"", hex);
}

void app_expand(struct app *app, const struct core_command *command)
{
    struct app_payload *payload = app_payload_new();
    struct template_values values;
    struct graph_list *list = NULL;
    struct mf_error error;
    app_values(app, command->node, &values);
    payload->expansion = mf_calloc(1, sizeof *payload->expansion);
    if (payload->expansion != NULL && graph_list_evaluate(&list, app->graph, command->node, &values, &error) == 0 &&
        (fill(payload->expansion, app_node_path(app, command->node), list) == 0 ||
         mf_fail(&error, MF_MEMORY, "for_each: no memory") == 0)) {
        hash_list(payload, graph_list_json(list));
        app_push(app,
                 &(struct core_input){
                     .kind = CORE_INPUT_EXPANDED, .node = command->node, .count = payload->expansion->count},
                 payload);
    } else {
        app_payload_reason(payload, payload->expansion != NULL ? error.text : "for_each: no memory");
        app_push(app, &(struct core_input){.kind = CORE_INPUT_EXPAND_FAILED, .node = command->node}, payload);
    }
    graph_list_destroy(list);
}
