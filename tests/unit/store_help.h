/* store_help.h - a state directory of its own for each test, and records to put into a journal */
#ifndef MF_TESTS_STORE_HELP_H
#define MF_TESTS_STORE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "store/journal.h"
#include "store/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char help_base[64];

static inline const char *help_make_base(void)
{
    snprintf(help_base, sizeof help_base, "/tmp/mayfly-unit-XXXXXX");
    assert_non_null(mkdtemp(help_base));
    return help_base;
}

static inline void help_remove_base(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", help_base);
    assert_int_equal(system(command), 0);
}

static inline char *help_path(const char *below)
{
    static char path[4][PATH_MAX];
    static unsigned next;
    char *out = path[next++ % 4];
    snprintf(out, PATH_MAX, "%s/%s", help_base, below);
    return out;
}

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != 0)                                                                                               \
            fail_msg("%s: %s", #call, error.text);                                                                     \
    } while (0)

struct help_run {
    struct state_dir *state;
    char id[STATE_RUN_ID_BYTES];
    char *dir, *key;
    struct journal *journal;
};

static const char help_graph[] = "{ // three tasks\n\"mayfly\":1,\"tasks\":{\"plan\":{\"command\":[\"true\"]},"
                                 "\"deploy\":{\"for_each\":\"{{plan.result}}\"},\"judge\":{}}}";

static inline struct journal_run help_run_row(const char *id)
{
    return (struct journal_run){.id = mf_span(id), .name = MF_SPAN("nightly"), .owner = MF_SPAN("ow1"), .opened_ms = 1000,
                                .graph_path = MF_SPAN("/g/graph.json"), .graph_text = mf_span(help_graph),
                                .graph_sha256 = MF_SPAN("aa"), .params_json = MF_SPAN("{}"),
                                .providers_json = MF_SPAN("[{\"name\":\"emulator\"}]"), .limits_json = MF_SPAN("{}"),
                                .options_json = MF_SPAN("{}"), .terms_json = MF_SPAN("{}"), .socket_path = MF_SPAN("/s"),
                                .pid = 7, .birth = 8, .boot_id = MF_SPAN("b")};
}

static inline void help_open(struct help_run *run)
{
    struct mf_error error;
    int dir_fd;
    memset(run, 0, sizeof *run);
    assert_ok(state_open(&run->state, help_path("state"), true, &error));
    assert_ok(state_run_create(run->state, run->id, &dir_fd, &error));
    close(dir_fd);
    run->dir = state_run_path(run->state, run->id, NULL);
    run->key = mf_strdup(help_path("state/key"));
    struct journal_run row = help_run_row(run->id);
    assert_ok(journal_create(&run->journal, run->dir, run->key, &row, &error));
}

static inline void help_close(struct help_run *run)
{
    journal_close(run->journal);
    state_close(run->state);
    mf_free(run->dir);
    mf_free(run->key);
}

static inline void help_reopen(struct help_run *run, bool writer)
{
    struct mf_error error;
    journal_close(run->journal);
    run->journal = NULL;
    assert_ok(journal_open(&run->journal, run->dir, run->key, writer, &error));
}

static inline struct core_record help_task(uint64_t seq, enum core_record_kind kind, uint32_t node, int64_t f0, int64_t f1, int64_t f2)
{
    return (struct core_record){.seq = seq, .at_ms = 1000 + (int64_t)seq, .kind = kind, .node = node, .account = CORE_NONE, .facts = {f0, f1, f2}};
}

static inline struct core_record help_account(uint64_t seq, enum core_record_kind kind, uint32_t account, int64_t f0, int64_t f1, int64_t f2)
{
    return (struct core_record){.seq = seq, .at_ms = 1000 + (int64_t)seq, .kind = kind, .node = CORE_NONE, .account = account, .facts = {f0, f1, f2}};
}

/* One turn with these records. */
static inline void help_turn(struct journal *journal, const struct core_record *records, size_t count, const char *extra)
{
    struct mf_error error;
    assert_ok(journal_begin(journal, &error));
    for (size_t i = 0; i < count; i++)
        assert_ok(journal_append(journal, &records[i], mf_span(extra), &error));
    assert_ok(journal_commit(journal, &error));
}

#endif
