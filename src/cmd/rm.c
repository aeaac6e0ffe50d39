/*
 * rm.c - mayfly rm: removes a run's directory, unless it is the last trace of something that may still exist
 *
 * The run's lock is held meanwhile, so nobody can start to work on it.
 */
#include "cmd/commands.h"
#include "cmd/read.h"

#include <stdio.h>

#define EXIT_MAY_EXIST 4

/* The first account that stands in the way; 0 when there is none. */
static uint32_t account_in_the_way(const struct view *view, bool include_kept)
{
    int64_t now_ms = read_now_ms();
    for (uint32_t number = 1; number <= view_account_count(view); number++) {
        const struct view_account *account = view_account(view, number);
        bool kept = account->state == CORE_ACCOUNT_STATE_CLAIMABLE;
        if (view_account_may_exist(account, now_ms) && !(kept && include_kept))
            return number;
    }
    return 0;
}

static const char *remedy(enum core_account_state state)
{
    if (state == CORE_ACCOUNT_STATE_EXPIRING)
        return "wait for its end of life";
    return state == CORE_ACCOUNT_STATE_CLAIMABLE ? "claim it, or say --include-kept" : "run mayfly teardown";
}

/* 0 when nothing stands in the way, else the exit code after a message. */
static int may_remove(struct state_dir *state, const char *id, bool include_kept)
{
    struct mf_error error = {0};
    struct reader reader;
    int code = 0;
    if (reader_open_id(&reader, state, id, &error) != 0) {
        if (error.code != MF_NOT_FOUND) /* without a database nothing was ever started */
            code = read_fail(&error);
        reader_close(&reader);
        return code;
    }
    uint32_t number = account_in_the_way(reader.view, include_kept);
    if (number != 0) {
        const struct view_account *account = view_account(reader.view, number);
        char tag[96];
        view_tag(reader.view, number, tag, sizeof tag);
        fprintf(stderr, "mayfly: run %s: account %s may still exist (%s): %s\n", id, tag,
                view_account_state_name(account->state), remedy(account->state));
        code = EXIT_MAY_EXIST;
    }
    reader_close(&reader);
    return code;
}

static int remove_run(struct state_dir *state, const char *name, bool include_kept)
{
    struct mf_error error = {0};
    char id[STATE_RUN_ID_BYTES];
    int lock_fd;
    if (state_run_find(state, name, id, &error) != 0 || state_run_lock(state, id, &lock_fd, &error) != 0)
        return read_fail(&error);
    int code = may_remove(state, id, include_kept);
    if (code == 0 && state_run_remove(state, id, &error) != 0)
        code = read_fail(&error);
    if (code == 0)
        printf("removed %s\n", id);
    state_unlock(lock_fd);
    return code;
}

int cmd_rm(const struct options *options)
{
    struct mf_error error = {0};
    struct state_dir *state;
    if (state_open(&state, option_value(options, "state"), false, &error) != 0)
        return read_fail(&error);
    int worst = 0;
    for (size_t i = 0; i < options->argument_count; i++) {
        int code = remove_run(state, options->arguments[i], option_set(options, "include-kept"));
        if (code == EXIT_MAY_EXIST || worst == 0)
            worst = code;
    }
    state_close(state);
    return worst;
}
