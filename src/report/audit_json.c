/* audit_json.c - evidence as one JSON object, version 1 */
#include "report/audit.h"

#include "json/write.h"

static void put_trail(struct json_writer *writer, const struct evidence *evidence)
{
    const struct trail_result *trail = evidence_trail(evidence);
    json_key(writer, "log");
    json_open_object(writer);
    json_member_bool(writer, "present", trail->present);
    json_member_string(writer, "chain", trail_fault_name(trail->fault));
    if (trail->fault != TRAIL_NONE)
        json_member_string(writer, "fault", trail->text);
    json_member_u64(writer, "lines", trail->lines);
    json_member_string(writer, "head", trail->head);
    json_member_u64(writer, "journaled_heads", trail->anchors);
    json_member_u64(writer, "journaled_lines", trail->anchored);
    json_member_u64(writer, "lives", trail->lives);
    json_member_u64(writer, "late_lines", trail->late);
    json_member_u64(writer, "torn_bytes", trail->torn_bytes);
    json_member_u64(writer, "unanswered", evidence_unanswered(evidence));
    json_member_u64(writer, "left_out", evidence_left_out(evidence));
    json_close_object(writer);
}

static void put_task_name(struct json_writer *writer, const struct evidence *evidence, uint32_t task)
{
    if (task != GRAPH_NONE)
        json_member_span(writer, "task", graph_tasks(evidence_graph(evidence))[task].name);
}

static void put_subject(struct json_writer *writer, const struct evidence *evidence,
                        const struct evidence_subject *subject)
{
    const struct graph *graph = evidence_graph(evidence);
    put_task_name(writer, evidence, subject->task);
    json_member_string(writer, "stage", subject->verify ? "verify" : "agent");
    if (subject->task != GRAPH_NONE && subject->slot != GRAPH_NONE)
        json_member_span(writer, "account",
                         graph_slots(graph)[graph_tasks(graph)[subject->task].slot_first + subject->slot].name);
}

static void put_granted(struct json_writer *writer, const struct graph *graph, uint32_t node)
{
    json_key(writer, "permissions");
    json_open_array(writer);
    for (uint32_t i = 0; i < graph_permission_count(graph, node); i++)
        json_raw_value(writer, json_raw(graph_document(graph), json_element(graph_document(graph), node, i)));
    json_close_array(writer);
}

static void put_tasks(struct json_writer *writer, const struct evidence *evidence)
{
    const struct graph *graph = evidence_graph(evidence);
    json_key(writer, "granted");
    json_open_array(writer);
    for (uint32_t task = 0; task < graph_task_count(graph); task++) {
        const struct graph_task *entry = &graph_tasks(graph)[task];
        for (uint32_t i = 0; i < entry->slot_count; i++) {
            const struct graph_slot *slot = &graph_slots(graph)[entry->slot_first + i];
            for (int verify = 0; verify <= (entry->verify && slot->environment); verify++) {
                const struct evidence_subject subject = {task, i, verify == 1};
                json_open_object(writer);
                put_subject(writer, evidence, &subject);
                json_member_string(writer, "provider", graph_provider(graph, slot->provider)->name);
                json_member_bool(writer, "ran", evidence_ran(evidence, task));
                put_granted(writer, graph,
                            verify ? graph_part(graph, task, GRAPH_PART_VERIFY_PERMISSIONS) : slot->permissions);
                json_close_object(writer);
            }
        }
    }
    json_close_array(writer);
}

static void put_uses(struct json_writer *writer, const struct evidence *evidence, bool refused)
{
    json_key(writer, refused ? "refused" : "used");
    json_open_array(writer);
    for (uint32_t i = 0; i < evidence_use_count(evidence); i++) {
        const struct evidence_use *use = evidence_use(evidence, i);
        if ((use->reason[0] != '\0') != refused)
            continue;
        json_open_object(writer);
        put_subject(writer, evidence, &use->subject);
        json_member_string(writer, "provider", use->provider);
        json_member_string(writer, refused ? "needed" : "permission", use->permission);
        json_member_string(writer, "rule", use->rule);
        if (refused)
            json_member_string(writer, "reason", use->reason);
        json_member_string(writer, "example", use->example);
        json_member_u64(writer, "count", use->count);
        if (!refused) {
            json_member_u64(writer, "succeeded", use->succeeded);
            json_member_u64(writer, "failed", use->failed);
        }
        json_member_u64(writer, "first_line", use->lines_first);
        json_member_u64(writer, "last_line", use->lines_last);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void put_anomalies(struct json_writer *writer, const struct evidence *evidence)
{
    json_key(writer, "anomalies");
    json_open_array(writer);
    for (uint32_t i = 0; i < evidence_anomaly_count(evidence); i++) {
        const struct evidence_anomaly *anomaly = evidence_anomaly(evidence, i);
        json_open_object(writer);
        json_member_string(writer, "task", anomaly->task);
        json_member_u64(writer, "attempt", anomaly->attempt);
        json_member_string(writer, "kind", anomaly->kind);
        json_member_string(writer, "detail", anomaly->detail);
        json_member_u64(writer, "count", anomaly->count);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void put_egress(struct json_writer *writer, const struct evidence *evidence)
{
    json_key(writer, "egress");
    json_open_array(writer);
    for (uint32_t i = 0; i < evidence_connection_count(evidence); i++) {
        const struct evidence_connection *connection = evidence_connection(evidence, i);
        json_open_object(writer);
        put_task_name(writer, evidence, connection->task);
        json_member_string(writer, "host", connection->host);
        json_member_string(writer, "address", connection->address);
        json_member_u64(writer, "connections", connection->count);
        json_member_u64(writer, "sent_bytes", connection->sent_bytes);
        json_member_u64(writer, "received_bytes", connection->received_bytes);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void put_services(struct json_writer *writer, const struct evidence *evidence)
{
    json_key(writer, "services");
    json_open_array(writer);
    for (uint32_t i = 0; i < evidence_service_count(evidence); i++) {
        const struct evidence_service *service = evidence_service(evidence, i);
        json_open_object(writer);
        put_task_name(writer, evidence, service->task);
        json_member_string(writer, "service", service->name);
        json_member_u64(writer, "requests", service->requests);
        json_member_u64(writer, "refused", service->refused);
        json_member_u64(writer, "input_tokens", service->input_tokens);
        json_member_u64(writer, "output_tokens", service->output_tokens);
        json_member_u64(writer, "cached_tokens", service->cached_tokens);
        json_member_u64(writer, "cache_write_tokens", service->cache_write_tokens);
        json_member_i64(writer, "charged_micro_usd", service->charged_micro_usd);
        json_member_u64(writer, "without_price", service->unpriced);
        json_close_object(writer);
    }
    json_close_array(writer);
}

int audit_json(const struct evidence *evidence, const struct least *least, const char *state, struct mf_buf *out,
               struct mf_error *error)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_object(&writer);
    json_member_i64(&writer, "mayfly", 1);
    json_member_span(&writer, "run", view_run(evidence_view(evidence))->id);
    json_member_string(&writer, "state", state);
    put_trail(&writer, evidence);
    put_tasks(&writer, evidence);
    put_uses(&writer, evidence, false);
    put_uses(&writer, evidence, true);
    put_anomalies(&writer, evidence);
    put_egress(&writer, evidence);
    put_services(&writer, evidence);
    json_key(&writer, "patch");
    if (least_json_patch(least, &writer, error) != 0)
        return -1;
    json_member_u64(&writer, "not_judged", least_unjudged(least));
    json_close_object(&writer);
    return out->failed ? mf_fail(error, MF_MEMORY, "audit: no memory") : 0;
}
