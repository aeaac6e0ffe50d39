/* certificate_print.c - a certificate as text for people and as JSON */
#include "report/certificate_private.h"

#include "json/write.h"

#include <string.h>

#define SHOWN_MAX 300u

/* --- what is said in both forms --- */

struct subject {
    const struct view_account *account;
    const struct certificate_life *life;
    const struct evidence_account *deeds;
    const struct graph_slot *slot; /* NULL: the graph does not know it */
    uint32_t task;                 /* of the graph, or GRAPH_NONE */
    const char *path;              /* of the instance */
    char tag[96];
};

static void make_subject(const struct certificates *all, uint32_t number, struct subject *out)
{
    const struct view *view = evidence_view(all->evidence);
    const struct graph *graph = evidence_graph(all->evidence);
    const struct view_account *account = view_account(view, number);
    *out = (struct subject){.account = account,
                            .life = &all->lives[number - 1],
                            .deeds = evidence_account(all->evidence, number),
                            .task = GRAPH_NONE,
                            .path = "?"};
    view_tag(view, number, out->tag, sizeof out->tag);
    if (account->node >= view_task_count(view))
        return;
    const struct view_task *task = view_task(view, account->node);
    uint32_t of = evidence_task_of(all->evidence, mf_span(task->path));
    out->path = task->path;
    if (of == GRAPH_NONE || account->slot >= graph_tasks(graph)[of].slot_count)
        return;
    out->task = of;
    out->slot = &graph_slots(graph)[graph_tasks(graph)[of].slot_first + account->slot];
}

static const char *path_of(const struct certificates *all, uint32_t node)
{
    const struct view *view = evidence_view(all->evidence);
    return node < view_task_count(view) ? view_task(view, node)->path : "?";
}

static struct certificate_moment moment(const struct subject *subject, enum core_record_kind kind)
{
    return subject->life->moments[kind];
}

/* --- text --- */

static void put_shown(struct mf_buf *out, const char *text)
{
    json_escape_shown(out, mf_span(text), SHOWN_MAX);
}

static void put_moment(struct mf_buf *out, const char *what, struct certificate_moment moment)
{
    char at[40];
    if (moment.seq > 0)
        mf_buf_printf(out, "  %-12s %s (record %llu)\n", what, mf_format_rfc3339(moment.at_ms, at),
                      (unsigned long long)moment.seq);
}

static void put_permissions(struct mf_buf *out, const struct graph *graph, uint32_t list)
{
    if (graph_permission_count(graph, list) == 0)
        mf_buf_text(out, "nothing");
    for (uint32_t i = 0; i < graph_permission_count(graph, list); i++) {
        struct graph_permission permission = graph_permission(graph, list, i);
        mf_buf_printf(out, "%s%.*s", i > 0 ? ", " : "", MF_SPAN_ARGS(permission.name));
        if (permission.only != JSON_NONE) {
            mf_buf_text(out, " only ");
            json_escape_shown(out, json_raw(graph_document(graph), permission.only), SHOWN_MAX);
        }
    }
}

static void put_could(struct mf_buf *out, const struct certificates *all, const struct subject *subject)
{
    const struct graph *graph = evidence_graph(all->evidence);
    const struct evidence_provider *provider = subject->account->provider < graph_provider_count(graph)
                                                   ? evidence_provider(all->evidence, subject->account->provider)
                                                   : NULL;
    mf_buf_text(out, "  could do     ");
    if (subject->slot == NULL) {
        mf_buf_text(out, "not known: the graph has no such account\n");
        return;
    }
    put_permissions(out, graph, subject->slot->permissions);
    mf_buf_printf(out, "\n  enforced by  %s\n",
                  provider != NULL && provider->scoped ? "mayfly's gateway, and the provider's own token"
                                                       : "mayfly's gateway alone");
}

static void put_held(struct mf_buf *out, const struct certificates *all, const struct subject *subject)
{
    char from[40];
    char to[40];
    uint32_t next = subject->life->leases > 0 ? subject->life->first_lease : CERTIFICATE_NONE;
    for (const char *head = "held by"; next != CERTIFICATE_NONE; next = all->leases[next].next, head = "") {
        const struct certificate_lease *lease = &all->leases[next];
        mf_buf_printf(out, "  %-12s ", head);
        put_shown(out, path_of(all, lease->node));
        mf_buf_printf(out, " (%s) from %s to %s\n", lease->stage == CORE_STAGE_VERIFY ? "verify" : "agent",
                      mf_format_rfc3339(lease->granted_ms, from),
                      lease->dropped_ms > 0 ? mf_format_rfc3339(lease->dropped_ms, to) : "now");
    }
}

static void put_did(struct mf_buf *out, const struct certificates *all, const struct subject *subject)
{
    const struct evidence_account *deeds = subject->deeds;
    mf_buf_printf(
        out, "  did          %llu requests allowed (%llu succeeded, %llu failed), %llu refused, %llu anomalies\n",
        (unsigned long long)deeds->allowed, (unsigned long long)deeds->succeeded, (unsigned long long)deeds->failed,
        (unsigned long long)deeds->refused, (unsigned long long)deeds->anomalies);
    uint32_t next = subject->life->deeds > 0 ? subject->life->first_deed : CERTIFICATE_NONE;
    for (; next != CERTIFICATE_NONE; next = all->deeds[next].next) {
        const struct certificate_deed *deed = &all->deeds[next];
        mf_buf_printf(out, "    %6llu %s ", (unsigned long long)deed->count, deed->refused ? "refused" : "allowed");
        put_shown(out, deed->rule);
        if (deed->why[0] != '\0') {
            mf_buf_text(out, deed->refused ? ": " : " by ");
            put_shown(out, deed->why);
        }
        mf_buf_char(out, '\n');
    }
}

static void put_proof(struct mf_buf *out, const struct certificates *all, const struct subject *subject,
                      uint32_t number)
{
    const struct trail_result *trail = evidence_trail(all->evidence);
    const struct evidence_account *deeds = subject->deeds;
    mf_buf_printf(out, "  proof        records %llu to %llu of the journal\n",
                  (unsigned long long)subject->life->first_seq, (unsigned long long)subject->life->last_seq);
    if (deeds->lines == 0) {
        mf_buf_printf(out, "               %s\n",
                      trail->present ? "no line of " AUDIT_FILE " is about it" : "the run has no " AUDIT_FILE);
        return;
    }
    const struct trail_anchor *anchor = evidence_anchor(all->evidence, deeds->line_last);
    mf_buf_printf(out, "               %llu lines of " AUDIT_FILE ", %llu to %llu, SHA-256 %s\n",
                  (unsigned long long)deeds->lines, (unsigned long long)deeds->line_first,
                  (unsigned long long)deeds->line_last, deeds->sha256);
    mf_buf_printf(out, "               (grep -F '\"account\":%u,' " AUDIT_FILE " | sha256sum)\n", number);
    if (anchor != NULL)
        mf_buf_printf(out, "               journaled up to line %llu by record %llu, head %s\n",
                      (unsigned long long)anchor->count, (unsigned long long)anchor->seq, anchor->head);
    else
        mf_buf_text(out, "               NOT journaled: no head behind its last line is in the journal\n");
    if (trail->fault != TRAIL_NONE)
        mf_buf_printf(out, "               the log is %s behind line %llu: what follows is not counted\n",
                      trail_fault_name(trail->fault), (unsigned long long)trail->lines);
}

int certificate_text(const struct certificates *all, uint32_t number, const char *state, struct mf_buf *out,
                     struct mf_error *error)
{
    const struct view *view = evidence_view(all->evidence);
    struct subject subject;
    char at[40];
    make_subject(all, number, &subject);
    mf_buf_printf(out, "account %s\n", subject.tag);
    mf_buf_printf(out, "  run          %.*s (%s), opened %s\n", MF_SPAN_ARGS(view_run(view)->id), state,
                  mf_format_rfc3339(view_run(view)->opened_ms, at));
    mf_buf_printf(out, "  provider     %s\n  made for     ", view_provider(view, subject.account->provider));
    put_shown(out, subject.path);
    mf_buf_char(out, '\n');
    put_moment(out, "asked for", moment(&subject, CORE_ACCOUNT_CREATE));
    put_moment(out, "adopted", moment(&subject, CORE_ACCOUNT_ADOPTED));
    put_moment(out, "created", moment(&subject, CORE_ACCOUNT_CREATED));
    if (subject.account->expires_ms > 0)
        mf_buf_printf(out, "  ends by      %s\n", mf_format_rfc3339(subject.account->expires_ms, at));
    put_could(out, all, &subject);
    put_held(out, all, &subject);
    put_did(out, all, &subject);
    put_moment(out, "released", moment(&subject, CORE_ACCOUNT_RELEASED));
    put_moment(out, "revoked", moment(&subject, CORE_ACCOUNT_REVOKED));
    put_moment(out, "delete sent", moment(&subject, CORE_ACCOUNT_DELETE));
    put_moment(out, "gone", moment(&subject, CORE_ACCOUNT_GONE));
    mf_buf_printf(out, "  state        %s: %s\n", view_account_state_name(subject.account->state),
                  certificate_verdict(all, number));
    if (subject.account->reason != NULL) {
        mf_buf_text(out, "  last answer  ");
        put_shown(out, subject.account->reason);
        mf_buf_char(out, '\n');
    }
    put_proof(out, all, &subject, number);
    return out->failed ? mf_fail(error, MF_MEMORY, "audit: no memory") : 0;
}

/* --- JSON --- */

static void json_moment(struct json_writer *writer, const char *key, struct certificate_moment moment)
{
    if (moment.seq == 0)
        return;
    json_key(writer, key);
    json_open_object(writer);
    json_member_i64(writer, "at_ms", moment.at_ms);
    json_member_u64(writer, "record", moment.seq);
    json_close_object(writer);
}

static void json_held(struct json_writer *writer, const struct certificates *all, const struct subject *subject)
{
    json_key(writer, "held");
    json_open_array(writer);
    uint32_t next = subject->life->leases > 0 ? subject->life->first_lease : CERTIFICATE_NONE;
    for (; next != CERTIFICATE_NONE; next = all->leases[next].next) {
        const struct certificate_lease *lease = &all->leases[next];
        json_open_object(writer);
        json_member_string(writer, "task", path_of(all, lease->node));
        json_member_string(writer, "stage", lease->stage == CORE_STAGE_VERIFY ? "verify" : "agent");
        json_member_i64(writer, "from_ms", lease->granted_ms);
        if (lease->dropped_ms > 0)
            json_member_i64(writer, "to_ms", lease->dropped_ms);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void json_did(struct json_writer *writer, const struct certificates *all, const struct subject *subject)
{
    const struct evidence_account *deeds = subject->deeds;
    json_key(writer, "did");
    json_open_object(writer);
    json_member_u64(writer, "allowed", deeds->allowed);
    json_member_u64(writer, "succeeded", deeds->succeeded);
    json_member_u64(writer, "failed", deeds->failed);
    json_member_u64(writer, "refused", deeds->refused);
    json_member_u64(writer, "anomalies", deeds->anomalies);
    json_key(writer, "requests");
    json_open_array(writer);
    uint32_t next = subject->life->deeds > 0 ? subject->life->first_deed : CERTIFICATE_NONE;
    for (; next != CERTIFICATE_NONE; next = all->deeds[next].next) {
        const struct certificate_deed *deed = &all->deeds[next];
        json_open_object(writer);
        json_member_string(writer, "rule", deed->rule);
        json_member_string(writer, deed->refused ? "refused" : "permission", deed->why);
        json_member_u64(writer, "count", deed->count);
        json_close_object(writer);
    }
    json_close_array(writer);
    json_close_object(writer);
}

static void json_could(struct json_writer *writer, const struct certificates *all, const struct subject *subject)
{
    const struct graph *graph = evidence_graph(all->evidence);
    json_key(writer, "could");
    json_open_array(writer);
    for (uint32_t i = 0; subject->slot != NULL && i < graph_permission_count(graph, subject->slot->permissions); i++)
        json_raw_value(writer, json_raw(graph_document(graph),
                                        json_element(graph_document(graph), subject->slot->permissions, i)));
    json_close_array(writer);
}

static void json_proof(struct json_writer *writer, const struct certificates *all, const struct subject *subject)
{
    const struct evidence_account *deeds = subject->deeds;
    const struct trail_anchor *anchor = deeds->lines > 0 ? evidence_anchor(all->evidence, deeds->line_last) : NULL;
    json_key(writer, "proof");
    json_open_object(writer);
    json_member_u64(writer, "first_record", subject->life->first_seq);
    json_member_u64(writer, "last_record", subject->life->last_seq);
    json_member_u64(writer, "lines", deeds->lines);
    if (deeds->lines > 0) {
        json_member_u64(writer, "first_line", deeds->line_first);
        json_member_u64(writer, "last_line", deeds->line_last);
        json_member_string(writer, "sha256", deeds->sha256);
    }
    json_member_bool(writer, "journaled", anchor != NULL);
    if (anchor != NULL) {
        json_member_u64(writer, "journaled_lines", anchor->count);
        json_member_u64(writer, "journaled_by", anchor->seq);
        json_member_string(writer, "head", anchor->head);
    }
    json_member_string(writer, "chain", trail_fault_name(evidence_trail(all->evidence)->fault));
    json_close_object(writer);
}

int certificate_json(const struct certificates *all, uint32_t number, const char *state, struct json_writer *writer,
                     struct mf_error *error)
{
    const struct view *view = evidence_view(all->evidence);
    struct subject subject;
    make_subject(all, number, &subject);
    json_open_object(writer);
    json_member_u64(writer, "number", number);
    json_member_string(writer, "tag", subject.tag);
    json_member_span(writer, "run", view_run(view)->id);
    json_member_string(writer, "run_state", state);
    json_member_string(writer, "provider", view_provider(view, subject.account->provider));
    json_member_string(writer, "task", subject.path);
    json_moment(writer, "asked", moment(&subject, CORE_ACCOUNT_CREATE));
    json_moment(writer, "created", moment(&subject, CORE_ACCOUNT_CREATED));
    if (subject.account->expires_ms > 0)
        json_member_i64(writer, "expires_ms", subject.account->expires_ms);
    json_could(writer, all, &subject);
    json_held(writer, all, &subject);
    json_did(writer, all, &subject);
    json_moment(writer, "released", moment(&subject, CORE_ACCOUNT_RELEASED));
    json_moment(writer, "revoked", moment(&subject, CORE_ACCOUNT_REVOKED));
    json_moment(writer, "delete_sent", moment(&subject, CORE_ACCOUNT_DELETE));
    json_moment(writer, "gone", moment(&subject, CORE_ACCOUNT_GONE));
    json_member_string(writer, "state", view_account_state_name(subject.account->state));
    json_member_string(writer, "verified", certificate_verdict(all, number));
    if (subject.account->reason != NULL)
        json_member_string(writer, "last_answer", subject.account->reason);
    json_proof(writer, all, &subject);
    json_close_object(writer);
    return writer->out->failed ? mf_fail(error, MF_MEMORY, "audit: no memory") : 0;
}
