/*
 * cmd/graphs.h - what run, validate and plan share: reading a graph file and the options that concern it
 */
#ifndef MF_CMD_GRAPHS_H
#define MF_CMD_GRAPHS_H

#include "app/app.h"
#include "cmd/options.h"

#define PAIRS_MAX 256u

struct pairs { /* NAME=VALUE options */
    struct app_pair items[PAIRS_MAX];
    char *texts[PAIRS_MAX * 2]; /* owned */
    uint32_t count, text_count;
};

/* Takes all `--option NAME=VALUE`; with `files`, VALUE @PATH is the text of the file. -1 after one line on stderr. */
int pairs_take(struct pairs *pairs, const struct options *options, const char *option, bool files);
void pairs_free(struct pairs *pairs);

/*
 * Reads and checks a graph ("-": standard input). Problems go to stderr, or as JSON into `problems`. Returns 0, or the exit code
 * after a message (2 for a bad file).
 */
int graphs_read(struct graph **out, const char *path, const struct pairs *params, const char *provider, struct mf_buf *problems);

/* The same for a changed graph of an earlier run: app_load_revision. */
int graphs_read_revision(const struct options *options, const char *run, char id[13], const char *path, struct graph **old,
                         struct graph **graph);

/* "mayfly: text" on stderr, escaped. Returns the exit code that belongs to the error. */
int complain(const struct mf_error *error);

#endif
