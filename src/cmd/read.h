/*
 * cmd/read.h - a run opened for reading: what all commands that only look have in common
 *
 * They work while the run goes on, take no lock, send nothing, and say on stderr when a run was left unfinished.
 */
#ifndef MF_CMD_READ_H
#define MF_CMD_READ_H

#include "base/buf.h"
#include "cmd/options.h"
#include "store/state.h"
#include "store/view.h"

struct reader {
    struct state_dir *state; /* owned unless it was given */
    bool state_given;
    char id[STATE_RUN_ID_BYTES];
    char *dir;               /* owned: the run's directory */
    struct journal *journal; /* owned */
    struct view *view;       /* owned */
    bool locked;             /* an orchestrator works on it; looked up before the view was read */
};

/* `run` is an id, a name or "last". All return 0, or -1 with *error; reader_close is right after both. */
int reader_open(struct reader *out, const struct options *options, const char *run, struct mf_error *error);
/* A known id of an open state directory. */
int reader_open_id(struct reader *out, struct state_dir *state, const char *id, struct mf_error *error);
/* Without the view; for those that read it themselves. */
int reader_open_journal(struct reader *out, const struct options *options, const char *run, struct mf_error *error);
void reader_close(struct reader *reader);

/* "running", "finished" or "unfinished". */
const char *reader_state(const struct reader *reader);
/* One line on stderr when the run did not finish and nobody works on it. */
void reader_notice(const struct reader *reader);
/* Nothing more will come: the run is settled, or its orchestrator is gone. To be asked before the last update. */
bool reader_over(struct reader *reader);

/* Opens below a directory, following no link and leaving it nowhere; -1 with errno. For reading, or with the flags of open. */
int read_open_beneath(int dir_fd, const char *path, int flags);
/* The run's directory; the caller closes it. -1 with *error. */
int reader_directory(const struct reader *reader, struct mf_error *error);
int read_write_all(int fd, const void *data, size_t bytes); /* -1 with errno */

int64_t read_now_ms(void);
/* "14:32", with the date when it is another day than now; at most 31 bytes. Returns `out`. */
char *read_clock(int64_t at_ms, char out[32]);
/* "still alive until 14:32, no credential left" and the like: what became of an account, for people. */
void read_account_story(const struct view_account *account, int64_t now_ms, struct mf_buf *out);
/* What every command does with its first error. Returns the exit code. */
int read_fail(const struct mf_error *error);

#endif
