/*
 * journal.c - what a journal record costs: through store/journal.h, and the same rows through bare SQLite with the same grouping
 *
 *     bench_journal [DIRECTORY]       a directory on the disk that counts (default: /tmp)
 *
 * The budget is at least 0.8 of bare SQLite. Both sides sync each commit (WAL, synchronous=FULL); they take turns, and the best
 * of ROUNDS counts, because other programs' syncs go into single rounds. Then a million records are folded into a view.
 */
#include "base/alloc.h"
#include "store/journal.h"
#include "store/state.h"
#include "store/view.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5

/* Four records of a task without account, over and over: kind, its name, the numbers, and what bare SQLite writes for them. */
static const struct step {
    enum core_record_kind kind;
    int64_t facts[3];
    const char *name, *text;
} steps[] = {
    {CORE_TASK_READY, {0, 0, 0}, "task.ready", "{}"},
    {CORE_TASK_SPAWN, {1, CORE_STAGE_AGENT, 0}, "task.spawn", "{\"attempt\":1,\"stage\":\"agent\"}"},
    {CORE_TASK_STARTED, {CORE_STAGE_AGENT, 12345, 9876543}, "task.started", "{\"stage\":\"agent\",\"pid\":12345,\"birth\":9876543}"},
    {CORE_TASK_SUCCEEDED, {1, 0, 0}, "task.succeeded", "{\"attempt\":1}"},
};
#define STEP_COUNT (sizeof steps / sizeof steps[0])

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

_Noreturn static void give_up(const char *text)
{
    fprintf(stderr, "bench_journal: %s\n", text);
    exit(1);
}

/* --- ours --- */

static struct journal *make_journal(const char *base, struct state_dir **state)
{
    struct mf_error error;
    struct journal *journal;
    char id[STATE_RUN_ID_BYTES], key[512];
    int dir_fd;
    if (state_open(state, base, true, &error) != 0 || state_run_create(*state, id, &dir_fd, &error) != 0)
        give_up(error.text);
    close(dir_fd);
    char *dir = state_run_path(*state, id, NULL);
    snprintf(key, sizeof key, "%s/key", base);
    struct journal_run run = {.id = mf_span(id), .graph_text = MF_SPAN("{\"tasks\":{}}")};
    if (dir == NULL || journal_create(&journal, dir, key, &run, &error) != 0)
        give_up(error.text);
    mf_free(dir);
    return journal;
}

static void append_turn(struct journal *journal, uint64_t first, uint64_t count)
{
    struct mf_error error;
    int status = journal_begin(journal, &error);
    for (uint64_t seq = first; status == 0 && seq < first + count; seq++) {
        const struct step *step = &steps[(seq - 1) % STEP_COUNT];
        struct core_record record = {.seq = seq, .at_ms = (int64_t)seq, .kind = step->kind, .node = (uint32_t)((seq - 1) / STEP_COUNT),
                                     .account = CORE_NONE};
        memcpy(record.facts, step->facts, sizeof step->facts);
        status = journal_append(journal, &record, (struct mf_span){"", 0}, &error);
    }
    if (status != 0 || journal_commit(journal, &error) != 0)
        give_up(error.text);
}

static void time_view(struct journal *journal, uint64_t total)
{
    struct mf_error error;
    struct view *view;
    double start = now_seconds();
    if (view_load(&view, journal, &error) != 0)
        give_up(error.text);
    printf("journal_fold_%llu %.2f s\n", (unsigned long long)total, now_seconds() - start);
    view_free(view);
}

static double ours(const char *base, uint64_t total, uint64_t group, bool fold)
{
    struct state_dir *state;
    struct journal *journal = make_journal(base, &state);
    double start = now_seconds();
    for (uint64_t seq = 1; seq <= total; seq += group)
        append_turn(journal, seq, group);
    double took = now_seconds() - start;
    if (fold)
        time_view(journal, total);
    journal_close(journal);
    state_close(state);
    return took;
}

/* --- bare SQLite --- */

static void raw_turn(sqlite3_stmt *const statements[3], uint64_t first, uint64_t count)
{
    sqlite3_stmt *insert = statements[2];
    sqlite3_step(statements[0]);
    sqlite3_reset(statements[0]);
    for (uint64_t seq = first; seq < first + count; seq++) {
        const struct step *step = &steps[(seq - 1) % STEP_COUNT];
        sqlite3_bind_int64(insert, 1, (sqlite3_int64)seq);
        sqlite3_bind_int64(insert, 2, (sqlite3_int64)seq);
        sqlite3_bind_text(insert, 3, step->name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 4, (sqlite3_int64)((seq - 1) / STEP_COUNT));
        sqlite3_bind_text(insert, 6, step->text, -1, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE)
            give_up("bare SQLite: insert");
        sqlite3_reset(insert);
    }
    if (sqlite3_step(statements[1]) != SQLITE_DONE)
        give_up("bare SQLite: commit");
    sqlite3_reset(statements[1]);
}

static double raw(const char *base, uint64_t total, uint64_t group)
{
    static const char *const texts[] = {"BEGIN IMMEDIATE", "COMMIT", "INSERT INTO journal VALUES(?1, ?2, ?3, ?4, ?5, ?6)"};
    char path[512];
    sqlite3 *handle;
    sqlite3_stmt *statements[3];
    snprintf(path, sizeof path, "%s/raw.db", base);
    if (sqlite3_open(path, &handle) != SQLITE_OK ||
        sqlite3_exec(handle,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE journal(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT "
                     "NULL, kind TEXT NOT NULL, task INTEGER, account INTEGER, facts TEXT NOT NULL) STRICT",
                     NULL, NULL, NULL) != SQLITE_OK)
        give_up("bare SQLite: open");
    for (int i = 0; i < 3; i++)
        sqlite3_prepare_v2(handle, texts[i], -1, &statements[i], NULL);
    double start = now_seconds();
    for (uint64_t seq = 1; seq <= total; seq += group)
        raw_turn(statements, seq, group);
    double took = now_seconds() - start;
    for (int i = 0; i < 3; i++)
        sqlite3_finalize(statements[i]);
    sqlite3_close(handle);
    return took;
}

static void measure(const char *base, uint64_t total, uint64_t group)
{
    double best_ours = 1e9, best_raw = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        char dir[400];
        snprintf(dir, sizeof dir, "%s/%llu-%d", base, (unsigned long long)group, round);
        double one = ours(dir, total, group, round == 0 && total >= 1000000), other = raw(dir, total, group);
        best_ours = one < best_ours ? one : best_ours;
        best_raw = other < best_raw ? other : best_raw;
    }
    printf("journal_by_%llu %.0f records/s\nsqlite_by_%llu %.0f records/s\njournal_by_%llu_ratio %.2f of-sqlite\n", (unsigned long long)group,
           (double)total / best_ours, (unsigned long long)group, (double)total / best_raw, (unsigned long long)group, best_raw / best_ours);
}

int main(int argc, char **argv)
{
    char base[300];
    char command[400];
    snprintf(base, sizeof base, "%s/mayfly-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (mkdtemp(base) == NULL)
        give_up("cannot make a directory");
    measure(base, 12000, 1);
    measure(base, 60000, 10);
    measure(base, 400000, 100);
    measure(base, 1000000, 1000);
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command) == 0 ? 0 : 1;
}
