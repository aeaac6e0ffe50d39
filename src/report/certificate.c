/*
 * certificate.c - the life of each account, gathered: when it was asked for, who held it, what was done, how its end is known
 *
 * From the journal (times, leases, ends) and the proven part of the log (requests by rule). What is certified of the log can be
 * checked without this program: the hash is over the lines that name the account, as grep finds them.
 */
#include "report/certificate_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

static int no_memory(struct mf_error *error)
{
    return mf_fail(error, MF_MEMORY, "audit: no memory");
}

/* --- the journal --- */

static int take_lease(struct certificates *all, const struct core_record *record, struct mf_error *error)
{
    if (record->kind == CORE_LEASE_GRANT) {
        if (mf_grow((void **)&all->leases, &all->lease_capacity, all->lease_count + 1, sizeof *all->leases, 64) != 0)
            return no_memory(error);
        struct certificate_life *life = &all->lives[record->account - 1];
        uint32_t number = (uint32_t)all->lease_count++;
        all->leases[number] = (struct certificate_lease){.node = (uint32_t)record->facts[0],
                                                         .stage = (enum core_stage)record->facts[1],
                                                         .seq = record->seq,
                                                         .granted_ms = record->at_ms,
                                                         .next = CERTIFICATE_NONE};
        if (life->leases++ == 0)
            life->first_lease = number;
        else
            all->leases[life->last_lease].next = number;
        life->last_lease = number;
        return 0;
    }
    for (size_t i = all->lease_count; i-- > 0;) { /* the ones that end are among the last */
        if (all->leases[i].seq == (uint64_t)record->facts[0]) {
            all->leases[i].dropped_ms = record->at_ms;
            break;
        }
    }
    return 0;
}

static int take_record(void *context, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    (void)extra;
    struct certificates *all = context;
    if (record->account == CORE_NONE || record->account < 1 || record->account > all->count)
        return 0;
    struct certificate_life *life = &all->lives[record->account - 1];
    struct certificate_moment *moment = &life->moments[record->kind];
    *moment = (struct certificate_moment){record->at_ms, record->seq};
    life->first_seq = life->first_seq > 0 ? life->first_seq : record->seq;
    life->last_seq = record->seq;
    if (record->kind == CORE_LEASE_GRANT || record->kind == CORE_LEASE_DROPPED)
        return take_lease(all, record, error);
    return 0;
}

/* --- the log --- */

static char *copy(struct mf_span text)
{
    return text.length > 0 ? mf_strndup(text.data, text.length) : mf_strdup("");
}

static int take_deed(struct certificates *all, const struct trail_line *line, struct mf_error *error)
{
    uint32_t number;
    bool fresh;
    bool refused = line->event == TRAIL_REFUSED;
    uint64_t head = (uint64_t)line->account << 1 | refused;
    mf_buf_clear(&all->key);
    mf_buf_append(&all->key, &head, sizeof head);
    mf_buf_span(&all->key, refused ? line->reason : line->permission);
    mf_buf_char(&all->key, '\0');
    mf_buf_span(&all->key, line->rule);
    if (all->key.failed || tally_number(&all->deed_keys, mf_buf_view(&all->key), &number, &fresh) != 0 ||
        mf_grow((void **)&all->deeds, &all->deed_capacity, (size_t)number + 1, sizeof *all->deeds, 64) != 0)
        return no_memory(error);
    struct certificate_deed *deed = &all->deeds[number];
    if (fresh) {
        struct certificate_life *life = &all->lives[line->account - 1];
        struct mf_span what = line->rule.length > 0 ? line->rule : line->path;
        *deed = (struct certificate_deed){.refused = refused,
                                          .rule = copy(what),
                                          .why = copy(refused ? line->reason : line->permission),
                                          .next = CERTIFICATE_NONE};
        all->deed_count++;
        if (life->deeds == 0)
            life->first_deed = number;
        else
            all->deeds[life->last_deed].next = number;
        life->last_deed = number;
        life->deeds++;
    }
    deed->count++;
    return deed->rule != NULL && deed->why != NULL ? 0 : no_memory(error);
}

static int take_line(void *context, const struct trail_line *line, struct mf_error *error)
{
    struct certificates *all = context;
    if (line->account < 1 || line->account > all->count ||
        (line->event != TRAIL_ALLOWED && line->event != TRAIL_REFUSED))
        return 0;
    return take_deed(all, line, error);
}

/* --- all --- */

int certificates_create(struct certificates **out, const struct evidence *evidence, struct journal *journal,
                        struct mf_error *error)
{
    struct certificates *all = mf_calloc(1, sizeof *all);
    if (all == NULL)
        return no_memory(error);
    all->evidence = evidence;
    mf_buf_init(&all->key, 4u * AUDIT_LINE_BYTES_MAX);
    all->count = view_account_count(evidence_view(evidence));
    all->lives = mf_calloc(all->count, sizeof *all->lives);
    int status = all->lives != NULL ? journal_replay(journal, take_record, all, error) : no_memory(error);
    if (status == 0)
        status = evidence_each(evidence, take_line, all, error);
    if (status != 0)
        certificates_destroy(all);
    else
        *out = all;
    return status;
}

void certificates_destroy(struct certificates *all)
{
    if (all == NULL)
        return;
    for (size_t i = 0; i < all->deed_count; i++) {
        mf_free(all->deeds[i].rule);
        mf_free(all->deeds[i].why);
    }
    tally_free(&all->deed_keys);
    mf_free(all->deeds);
    mf_free(all->leases);
    mf_free(all->lives);
    mf_buf_free(&all->key);
    mf_free(all);
}

/* --- how its end is known --- */

const char *certificate_verdict(const struct certificates *all, uint32_t number)
{
    const struct view_account *account = view_account(evidence_view(all->evidence), number);
    const struct certificate_life *life = &all->lives[number - 1];
    bool checked = account->provider < graph_provider_count(evidence_graph(all->evidence)) &&
                   evidence_provider(all->evidence, account->provider)->can_check;
    switch ((int)account->state) {
    case CORE_ACCOUNT_STATE_GONE:
        if (life->moments[CORE_ACCOUNT_DELETED].seq > 0)
            return "read back: asked for it again after the delete, the provider said that it is not there";
        if (life->moments[CORE_ACCOUNT_DELETE].seq > 0 && checked)
            return "the provider answered the delete with: it is not there";
        return life->moments[CORE_ACCOUNT_DELETE].seq > 0
                   ? "the provider confirmed the delete; it gives no way to ask again"
                   : "searched for by its tag after a lost answer: it is not there";
    case CORE_ACCOUNT_STATE_ABSENT:
        return "it never existed";
    case CORE_ACCOUNT_STATE_EXPIRED:
        return "its end of life has passed; the provider gives no way to ask";
    case CORE_ACCOUNT_STATE_EXPIRING:
        return "not gone yet: the provider has no delete for it, no credential is left, it dies at its end of life";
    case CORE_ACCOUNT_STATE_CLAIMABLE:
        return "kept on purpose for a human to claim";
    case CORE_ACCOUNT_STATE_LEAKED:
        return "NOT verified: it could not be deleted, and may still exist";
    default:
        return "NOT verified: it is still open";
    }
}
