/* store/journal_private.h - what journal.c, journal_read.c and journal_rows.c share */
#ifndef MF_STORE_JOURNAL_PRIVATE_H
#define MF_STORE_JOURNAL_PRIVATE_H

#include "store/database.h"
#include "store/journal.h"
#include "store/record.h"
#include "store/seal.h"
#include "store/state.h"

struct journal {
    struct database *database; /* owned */
    struct seal_key *key;      /* owned; a reader opens it when it needs it */
    char *key_path;            /* owned */
    char id[STATE_RUN_ID_BYTES];
    bool writer;
    bool in_turn;
    bool broken;               /* a write failed or we are fenced: nothing is written any more */
    sqlite3_int64 epoch;
    uint64_t committed_seq, last_seq;
    uint64_t commits;
    char facts[RECORD_FACTS_BYTES_MAX];
};

/* Marks the journal as broken unless the failure was a busy database. Returns -1. */
int journal_broke(struct journal *journal, struct mf_error *error);

typedef int each_node(void *context, uint32_t node, uint32_t template_node, uint32_t ordinal, struct mf_span path, struct mf_span item_json,
                      struct mf_error *error);
/* As journal_nodes, from a node on. */
int journal_nodes_from(struct journal *journal, uint32_t first, each_node *each, void *context, struct mf_error *error);

#endif
