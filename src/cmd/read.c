/* read.c - a run opened for reading: what all commands that only look have in common */
#include "cmd/read.h"

#include "base/alloc.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int key_path(const struct state_dir *state, struct mf_buf *out)
{
    mf_buf_init(out, 8192);
    return mf_buf_printf(out, "%s/key", state_path(state));
}

static int open_journal(struct reader *reader, struct mf_error *error)
{
    struct mf_buf key;
    reader->locked = state_run_locked(reader->state, reader->id); /* first: what is read later is then not older */
    reader->dir = state_run_path(reader->state, reader->id, NULL);
    int status = key_path(reader->state, &key);
    if (reader->dir == NULL || status != 0)
        status = mf_fail(error, MF_MEMORY, "run %s: no memory", reader->id);
    else if (journal_open(&reader->journal, reader->dir, mf_buf_cstr(&key), false, error) != 0)
        status = -1;
    mf_buf_free(&key);
    return status;
}

int reader_open_id(struct reader *out, struct state_dir *state, const char *id, struct mf_error *error)
{
    *out = (struct reader){.state = state, .state_given = true};
    snprintf(out->id, sizeof out->id, "%s", id);
    if (open_journal(out, error) != 0)
        return -1;
    return view_load(&out->view, out->journal, error);
}

int reader_open_journal(struct reader *out, const struct options *options, const char *run, struct mf_error *error)
{
    *out = (struct reader){0};
    if (state_open(&out->state, option_value(options, "state"), false, error) != 0 ||
        state_run_find(out->state, run, out->id, error) != 0)
        return -1;
    return open_journal(out, error);
}

int reader_open(struct reader *out, const struct options *options, const char *run, struct mf_error *error)
{
    if (reader_open_journal(out, options, run, error) != 0)
        return -1;
    return view_load(&out->view, out->journal, error);
}

void reader_close(struct reader *reader)
{
    view_free(reader->view);
    journal_close(reader->journal);
    mf_free(reader->dir);
    if (!reader->state_given)
        state_close(reader->state);
    *reader = (struct reader){0};
}

const char *reader_state(const struct reader *reader)
{
    if (reader->locked)
        return "running";
    return view_run(reader->view)->settled ? "finished" : "unfinished";
}

void reader_notice(const struct reader *reader)
{
    if (!reader->locked && !view_run(reader->view)->settled)
        fprintf(stderr, "mayfly: run %s did not finish: run mayfly resume %s to go on, or mayfly teardown %s to clean\n",
                reader->id, reader->id, reader->id);
}

bool reader_over(struct reader *reader)
{
    reader->locked = state_run_locked(reader->state, reader->id);
    return !reader->locked || (reader->view != NULL && view_run(reader->view)->settled);
}

int read_open_beneath(int dir_fd, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

int reader_directory(const struct reader *reader, struct mf_error *error)
{
    int fd = -1;
    return state_run_open(reader->state, reader->id, &fd, error) == 0 ? fd : -1;
}

int read_write_all(int fd, const void *data, size_t bytes)
{
    for (const char *next = data; bytes > 0;) {
        ssize_t written = write(fd, next, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        next += written;
        bytes -= (size_t)written;
    }
    return 0;
}

int64_t read_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

char *read_clock(int64_t at_ms, char out[32])
{
    time_t then = (time_t)(at_ms / 1000), now = (time_t)(read_now_ms() / 1000);
    struct tm at, today;
    if (localtime_r(&then, &at) == NULL || localtime_r(&now, &today) == NULL)
        return memcpy(out, "?", 2);
    bool same_day = at.tm_year == today.tm_year && at.tm_yday == today.tm_yday;
    if (strftime(out, 32, same_day ? "%H:%M" : "%Y-%m-%d %H:%M", &at) == 0)
        memcpy(out, "?", 2);
    return out;
}

static void put_reason(const struct view_account *account, struct mf_buf *out)
{
    if (account->reason != NULL)
        mf_buf_printf(out, ": %s", account->reason);
}

void read_account_story(const struct view_account *account, int64_t now_ms, struct mf_buf *out)
{
    char until[32] = "its end of life";
    if (account->expires_ms > 0)
        read_clock(account->expires_ms, until);
    bool past = account->expires_ms > 0 && account->expires_ms <= now_ms;
    switch ((int)account->state) {
    case CORE_ACCOUNT_STATE_EXPIRING:
        mf_buf_printf(out, past ? "expired at %s" : "still alive until %s, no credential left", until);
        break;
    case CORE_ACCOUNT_STATE_CLAIMABLE:
        mf_buf_printf(out, past ? "claimed or expired at %s" : "can be claimed until %s: mayfly claim", until);
        break;
    case CORE_ACCOUNT_STATE_LEAKED:
        mf_buf_text(out, "could not be deleted");
        put_reason(account, out);
        break;
    case CORE_ACCOUNT_STATE_UNKNOWN:
        mf_buf_text(out, "an answer was lost: looking for it by its tag");
        break;
    case CORE_ACCOUNT_STATE_ABSENT:
        mf_buf_text(out, "never existed");
        put_reason(account, out);
        break;
    case CORE_ACCOUNT_STATE_ACTIVE:
        mf_buf_printf(out, "%u in use", account->leases);
        if (account->expires_ms > 0)
            mf_buf_printf(out, ", ends at %s", until);
        break;
    default:
        put_reason(account, out);
        if (out->length > 2) /* a bare reason needs no colon before it */
            mf_buf_consume(out, 2);
    }
}

/* Exit codes of design section 9 for what goes wrong before anything is shown. */
static int exit_code(enum mf_code code)
{
    switch ((int)code) {
    case MF_USAGE:
    case MF_INPUT:
    case MF_NOT_FOUND:
    case MF_LIMIT:
        return 2;
    case MF_STATE:
    case MF_LOCKED:
    case MF_OS:
    case MF_CRYPTO:
        return 5;
    default:
        return 7;
    }
}

int read_fail(const struct mf_error *error)
{
    struct mf_buf shown;
    mf_buf_init(&shown, 8192);
    json_escape_shown(&shown, mf_span(error->text), MF_ERROR_TEXT_MAX);
    fprintf(stderr, "mayfly: %s\n", shown.failed ? "no memory" : mf_buf_cstr(&shown));
    mf_buf_free(&shown);
    return exit_code(error->code);
}
