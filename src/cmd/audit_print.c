/* audit_print.c - mayfly audit for people: tables of what was granted, used, refused and odd */
#include "cmd/audit_private.h"
#include "cmd/read.h"
#include "cmd/table.h"
#include "gateway/watch.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

/* --- the record --- */

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void audit_print_chain(const struct evidence *evidence, bool running)
{
    const struct trail_result *trail = evidence_trail(evidence);
    uint64_t behind = trail->lines - trail->anchored;
    if (trail->fault != TRAIL_NONE) {
        printf("record: NOT WHOLE: " AUDIT_FILE ": %s; %llu line%s before that can be trusted\n",
               strncmp(trail->text, AUDIT_FILE ": ", sizeof AUDIT_FILE + 1) == 0 ? trail->text + sizeof AUDIT_FILE + 1
                                                                                 : trail->text,
               (unsigned long long)trail->lines, plural(trail->lines));
        return;
    }
    if (!trail->present) {
        puts("record: none. No agent had an account or a service in this run, or it was made before mayfly kept a "
             "record.");
        return;
    }
    printf("record: whole, %llu line%s, head %s; ", (unsigned long long)trail->lines, plural(trail->lines),
           trail->head);
    if (trail->anchors == 0)
        printf("none of it is journaled%s", running ? " yet" : "");
    else
        printf("%llu journaled head%s found", (unsigned long long)trail->anchors, plural(trail->anchors));
    if (trail->anchors > 0 && behind > 0)
        printf(", %llu line%s behind the last one%s", (unsigned long long)behind, plural(behind),
               running ? " (the run goes on)" : "");
    puts("");
    if (trail->late > 0)
        printf("record: %llu line%s were found without a journaled head when a runner had died\n",
               (unsigned long long)trail->late, plural(trail->late));
    if (trail->torn_bytes > 0)
        printf("record: %llu bytes of an unfinished line at the end%s\n", (unsigned long long)trail->torn_bytes,
               running ? " (being written)" : "");
    if (evidence_unanswered(evidence) > 0)
        printf("record: %llu request%s without an answer in it\n", (unsigned long long)evidence_unanswered(evidence),
               plural(evidence_unanswered(evidence)));
    if (evidence_left_out(evidence) > 0)
        printf("record: %llu lines about more different things than are listed here\n",
               (unsigned long long)evidence_left_out(evidence));
}

/* --- who --- */

static void cell_task(struct table *table, const struct evidence *evidence, uint32_t task)
{
    if (task == GRAPH_NONE)
        table_cell(table, "-");
    else
        table_cell(table, "%.*s", MF_SPAN_ARGS(graph_tasks(evidence_graph(evidence))[task].name));
}

static void cells_subject(struct table *table, const struct evidence *evidence, const struct evidence_subject *subject)
{
    const struct graph *graph = evidence_graph(evidence);
    cell_task(table, evidence, subject->task);
    table_cell(table, "%s", subject->verify ? "verify" : "agent");
    if (subject->task == GRAPH_NONE || subject->slot == GRAPH_NONE)
        table_cell(table, "-");
    else
        table_cell(table, "%.*s",
                   MF_SPAN_ARGS(graph_slots(graph)[graph_tasks(graph)[subject->task].slot_first + subject->slot].name));
}

/* --- permissions --- */

struct count {
    uint64_t used, failed, refused;
};

static struct count count_of(const struct evidence *evidence, const struct evidence_subject *subject,
                             struct mf_span name)
{
    struct count count = {0};
    for (uint32_t i = evidence_first_use(evidence, subject->task); i != GRAPH_NONE;
         i = evidence_next_use(evidence, i)) {
        const struct evidence_use *use = evidence_use(evidence, i);
        if (use->subject.slot != subject->slot || use->subject.verify != subject->verify ||
            !mf_span_is(name, use->permission))
            continue;
        if (use->reason[0] == '\0') {
            count.used += use->count;
            count.failed += use->failed;
        } else {
            count.refused += use->count;
        }
    }
    return count;
}

static void put_list(struct table *table, const struct evidence *evidence, const struct evidence_subject *subject,
                     uint32_t list)
{
    const struct graph *graph = evidence_graph(evidence);
    for (uint32_t i = 0; i < graph_permission_count(graph, list); i++) {
        struct graph_permission permission = graph_permission(graph, list, i);
        struct count count = count_of(evidence, subject, permission.name);
        cells_subject(table, evidence, subject);
        table_cell(table, "%.*s", MF_SPAN_ARGS(permission.name));
        table_cell(table, "%llu", (unsigned long long)count.used);
        table_cell(table, "%llu", (unsigned long long)count.failed);
        table_cell(table, "%llu", (unsigned long long)count.refused);
        if (permission.only != JSON_NONE)
            table_cell(table, "%sonly %.*s", count.used == 0 ? "unused, " : "",
                       MF_SPAN_ARGS(json_raw(graph_document(graph), permission.only)));
        else
            table_cell(table, "%s",
                       count.used > 0                          ? ""
                       : evidence_ran(evidence, subject->task) ? "unused"
                                                               : "did not run");
    }
}

static int print_permissions(const struct evidence *evidence, struct mf_error *error)
{
    const struct graph *graph = evidence_graph(evidence);
    struct table *table;
    if (table_create(&table, "TASK STAGE ACCOUNT PERMISSION USED> FAILED> REFUSED> NOTE", error) != 0)
        return -1;
    for (uint32_t task = 0; task < graph_task_count(graph); task++) {
        const struct graph_task *entry = &graph_tasks(graph)[task];
        for (uint32_t i = 0; i < entry->slot_count; i++) {
            const struct graph_slot *slot = &graph_slots(graph)[entry->slot_first + i];
            put_list(table, evidence, &(struct evidence_subject){task, i, false}, slot->permissions);
            if (entry->verify && slot->environment)
                put_list(table, evidence, &(struct evidence_subject){task, i, true},
                         graph_part(graph, task, GRAPH_PART_VERIFY_PERMISSIONS));
        }
    }
    int status = 0;
    if (table_rows(table) > 0) {
        puts("\ngranted and used");
        status = table_print(table, stdout, error);
    }
    table_destroy(table);
    return status;
}

/* --- what else was seen --- */

static int print_refused(const struct evidence *evidence, struct mf_error *error)
{
    struct table *table;
    if (table_create(&table, "TASK STAGE ACCOUNT COUNT> REASON NEEDED FIRST", error) != 0)
        return -1;
    for (uint32_t i = 0; i < evidence_use_count(evidence); i++) {
        const struct evidence_use *use = evidence_use(evidence, i);
        if (use->reason[0] == '\0')
            continue;
        cells_subject(table, evidence, &use->subject);
        table_cell(table, "%llu", (unsigned long long)use->count);
        table_cell(table, "%s", use->reason);
        table_cell(table, "%s", use->permission[0] != '\0' ? use->permission : "-");
        table_cell(table, "%s", use->example);
    }
    int status = 0;
    if (table_rows(table) > 0) {
        puts("\nrefused");
        status = table_print(table, stdout, error);
    }
    table_destroy(table);
    return status;
}

static const char *anomaly_text(const char *kind)
{
    for (int i = 0; i < WATCH_KIND_COUNT; i++) {
        if (strcmp(watch_name((enum watch_kind)i), kind) == 0)
            return watch_text((enum watch_kind)i);
    }
    return "";
}

static int print_anomalies(const struct evidence *evidence, struct mf_error *error)
{
    struct table *table;
    if (table_create(&table, "TASK COUNT> KIND WHAT DETAIL", error) != 0)
        return -1;
    for (uint32_t i = 0; i < evidence_anomaly_count(evidence); i++) {
        const struct evidence_anomaly *anomaly = evidence_anomaly(evidence, i);
        table_cell(table, "%s", anomaly->task[0] != '\0' ? anomaly->task : "-");
        table_cell(table, "%llu", (unsigned long long)anomaly->count);
        table_cell(table, "%s", anomaly->kind);
        table_cell(table, "%s", anomaly_text(anomaly->kind));
        table_cell(table, "%s", anomaly->detail);
    }
    int status = 0;
    if (table_rows(table) > 0) {
        puts("\nanomalies");
        status = table_print(table, stdout, error);
    }
    table_destroy(table);
    return status;
}

static int print_egress(const struct evidence *evidence, struct mf_error *error)
{
    struct table *table;
    if (table_create(&table, "TASK HOST ADDRESS CONNECTIONS> SENT> RECEIVED>", error) != 0)
        return -1;
    for (uint32_t i = 0; i < evidence_connection_count(evidence); i++) {
        const struct evidence_connection *connection = evidence_connection(evidence, i);
        cell_task(table, evidence, connection->task);
        table_cell(table, "%s", connection->host);
        table_cell(table, "%s", connection->address);
        table_cell(table, "%llu", (unsigned long long)connection->count);
        table_cell(table, "%llu", (unsigned long long)connection->sent_bytes);
        table_cell(table, "%llu", (unsigned long long)connection->received_bytes);
    }
    int status = 0;
    if (table_rows(table) > 0) {
        puts("\negress");
        status = table_print(table, stdout, error);
    }
    table_destroy(table);
    return status;
}

static int print_services(const struct evidence *evidence, struct mf_error *error)
{
    struct table *table;
    if (table_create(&table, "TASK SERVICE REQUESTS> REFUSED> INPUT> OUTPUT> CACHED> COST>", error) != 0)
        return -1;
    for (uint32_t i = 0; i < evidence_service_count(evidence); i++) {
        const struct evidence_service *service = evidence_service(evidence, i);
        cell_task(table, evidence, service->task);
        table_cell(table, "%s", service->name);
        table_cell(table, "%llu", (unsigned long long)service->requests);
        table_cell(table, "%llu", (unsigned long long)service->refused);
        table_cell(table, "%llu", (unsigned long long)service->input_tokens);
        table_cell(table, "%llu", (unsigned long long)service->output_tokens);
        table_cell(table, "%llu", (unsigned long long)(service->cached_tokens + service->cache_write_tokens));
        table_cell(table, "$%.4f", (double)service->charged_micro_usd / 1e6);
    }
    int status = 0;
    if (table_rows(table) > 0) {
        puts("\nservices");
        status = table_print(table, stdout, error);
    }
    table_destroy(table);
    return status;
}

static void print_least(const struct evidence *evidence, const struct least *least, const char *run)
{
    const struct graph *graph = evidence_graph(evidence);
    if (least_count(least) > 0)
        puts("\nless would have sufficed");
    for (uint32_t i = 0; i < least_count(least); i++) {
        const struct least_change *change = least_change(least, i);
        printf("  %.*s%s:%s%s%s%s\n", MF_SPAN_ARGS(graph_tasks(graph)[change->task].name),
               change->verify ? " (verify)" : "", change->taken[0] != '\0' ? " without " : "", change->taken,
               change->added[0] != '\0' ? " with " : "", change->added);
    }
    if (least_count(least) > 0)
        printf("  mayfly audit %s --patch prints the change of the graph\n", run);
    if (least_unjudged(least) > 0)
        printf("  %u list%s could not be judged: nothing of their tasks succeeded\n", least_unjudged(least),
               plural(least_unjudged(least)));
}

int audit_print(const struct evidence *evidence, const struct least *least, const char *run, struct mf_error *error)
{
    static int (*const parts[])(const struct evidence *evidence, struct mf_error *error) = {
        print_permissions, print_refused, print_anomalies, print_egress, print_services};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i](evidence, error) != 0)
            return -1;
    }
    print_least(evidence, least, run);
    return 0;
}
