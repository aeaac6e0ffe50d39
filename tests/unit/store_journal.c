/* store_journal.c - tests of the run database: turns, fencing, replay, secrets, damage, a disk that fails */
#include "store_help.h"

#include "store/record.h"
#include "store/view.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/wait.h>

#define CANARY "MFYCANARY-8f14e45fceea167a5a36dedd4bea2543"

static struct help_run run;

static int setup(void **state)
{
    (void)state;
    help_make_base();
    help_open(&run);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    help_close(&run);
    help_remove_base();
    return 0;
}

struct seen {
    struct core_record records[64];
    char extra[64][128];
    size_t count;
};

static int see(void *context, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    (void)error;
    struct seen *seen = context;
    assert_true(seen->count < 64);
    snprintf(seen->extra[seen->count], 128, "%.*s", MF_SPAN_ARGS(extra));
    seen->records[seen->count++] = *record;
    return 0;
}

/* Member by member: what lies between them is nobody's. */
static void same_record(const struct core_record *got, const struct core_record *wanted)
{
    assert_true(got->seq == wanted->seq && got->at_ms == wanted->at_ms && got->kind == wanted->kind);
    assert_true(got->node == wanted->node && got->account == wanted->account);
    assert_memory_equal(got->facts, wanted->facts, sizeof wanted->facts);
}

static void test_replay_returns_what_was_appended(void **state)
{
    (void)state;
    struct mf_error error;
    const struct core_record records[] = {
        {.seq = 1, .at_ms = 5, .kind = CORE_RUN_OPENED, .node = CORE_NONE, .account = CORE_NONE},
        help_task(2, CORE_TASK_BACKOFF, 3, 2, CORE_CLASS_INFRASTRUCTURE, INT64_MAX),
        help_account(3, CORE_ACCOUNT_CREATE, 1, 3, 0, 1),
        help_task(4, CORE_TASK_EXITED, 3, CORE_STAGE_AGENT, -1, 9),
        help_task(5, CORE_TASK_STOP, 3, CORE_STOP_DEADLINE, 2, 0),
    };
    help_turn(run.journal, records, 3, "\"reason\":\"it, \\\"broke\\\"}\"");
    help_turn(run.journal, records + 3, 2, "");
    help_reopen(&run, false);
    struct seen seen = {0};
    assert_ok(journal_replay(run.journal, see, &seen, &error));
    assert_int_equal(seen.count, 5);
    for (size_t i = 0; i < 5; i++)
        same_record(&seen.records[i], &records[i]);
    assert_string_equal(seen.extra[0], "\"reason\":\"it, \\\"broke\\\"}\"");
    assert_string_equal(seen.extra[1], "\"reason\":\"it, \\\"broke\\\"}\"");
    assert_string_equal(seen.extra[4], "");
    uint64_t last;
    seen.count = 0;
    assert_ok(journal_read_from(run.journal, 3, see, &seen, &last, &error));
    assert_int_equal(seen.count, 2);
    assert_int_equal(last, 5);
}

static void test_every_kind_survives_the_round_trip(void **state)
{
    (void)state;
    for (int kind = 0; kind < CORE_RECORD_COUNT; kind++) {
        struct mf_error error;
        static char facts[RECORD_FACTS_BYTES_MAX], again[RECORD_FACTS_BYTES_MAX];
        size_t length, again_length;
        enum core_subject subject = record_subject((enum core_record_kind)kind);
        struct core_record in = {.seq = 1, .kind = (enum core_record_kind)kind, .node = subject == CORE_SUBJECT_TASK ? 4 : CORE_NONE,
                                 .account = subject == CORE_SUBJECT_ACCOUNT ? 4 : CORE_NONE, .facts = {1, 1, 1, 1}};
        struct core_record out = {.seq = 1, .node = in.node, .account = in.account};
        struct mf_span extra;
        assert_ok(record_encode(&in, MF_SPAN("\"x\":[1,{\"y\":2}]"), facts, &length, &error));
        assert_ok(record_decode(&out, record_kind_name((enum core_record_kind)kind), (struct mf_span){facts, length}, &extra, &error));
        assert_ok(record_encode(&out, extra, again, &again_length, &error));
        assert_int_equal(again_length, length);
        assert_memory_equal(facts, again, length);
        assert_true(mf_span_is(extra, "\"x\":[1,{\"y\":2}]"));
    }
}

static void test_bad_facts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"task.unheard", "{}"}, {"task.failed", "{}"}, {"task.failed", "{\"attempt\":1}"}, {"task.failed", "{\"attempt\":1,\"class\":\"martian\"}"},
        {"task.failed", "{\"attempt\":1,\"class\":\"agent\""}, {"task.failed", "{\"attempt\":01,\"class\":\"agent\"}"}, {"task.failed", ""},
        {"task.failed", "{"}, {"task.failed", "}"}, {"task.failed", "{\"attempt\":99999999999999999999,\"class\":\"agent\"}"},
        {"task.failed", "{\"class\":\"agent\",\"attempt\":1}"}, {"task.failed", "{\"attempt\":1,\"class\":\"agent\"x}"},
        {"account.gone", "{}"}, {"run.opened", "{}"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mf_error error;
        struct mf_span extra;
        struct core_record record = {.seq = 77, .node = 1, .account = CORE_NONE};
        assert_int_equal(record_decode(&record, mf_span(bad[i][0]), mf_span(bad[i][1]), &extra, &error), -1);
        assert_int_equal(error.code, MF_STATE);
        assert_non_null(strstr(error.text, "77"));
        assert_non_null(strstr(error.text, bad[i][0]));
    }
}

static void test_nothing_of_a_rolled_back_turn_stays(void **state)
{
    (void)state;
    struct mf_error error;
    struct core_record record = help_task(1, CORE_TASK_READY, 0, 0, 0, 0);
    assert_ok(journal_begin(run.journal, &error));
    assert_ok(journal_append(run.journal, &record, MF_SPAN(""), &error));
    assert_ok(journal_put_secret(run.journal, 1, "secrets", MF_SPAN("x"), &error));
    journal_rollback(run.journal);
    help_turn(run.journal, &record, 1, ""); /* the same seq again */
    uint32_t secrets = 9;
    assert_ok(journal_secret_count(run.journal, &secrets, &error));
    assert_int_equal(secrets, 0);
    assert_int_equal(journal_last_seq(run.journal), 1);
}

static void test_a_gap_is_refused_at_append_and_at_replay(void **state)
{
    (void)state;
    struct mf_error error;
    struct core_record record = help_task(2, CORE_TASK_READY, 0, 0, 0, 0);
    assert_ok(journal_begin(run.journal, &error));
    assert_int_equal(journal_append(run.journal, &record, MF_SPAN(""), &error), -1);
    assert_int_equal(journal_commit(run.journal, &error), -1); /* the turn is gone as a whole */
    assert_int_equal(journal_begin(run.journal, &error), -1);
}

static void test_a_second_writer_fences_the_first(void **state)
{
    (void)state;
    struct mf_error error;
    struct core_record record = help_task(1, CORE_TASK_READY, 0, 0, 0, 0);
    struct journal *second;
    assert_ok(journal_open(&second, run.dir, run.key, true, &error));
    assert_int_equal(journal_begin(run.journal, &error), -1);
    assert_int_equal(error.code, MF_LOCKED);
    assert_int_equal(journal_begin(run.journal, &error), -1); /* for good */
    assert_int_equal(journal_set_run(run.journal, "socket_path", MF_SPAN("/new"), &error), -1);
    help_turn(second, &record, 1, "");
    journal_close(second);
}

static void test_a_foreign_writer_is_waited_for_and_then_named(void **state)
{
    (void)state;
    struct mf_error error;
    char path[PATH_MAX];
    sqlite3 *foreign;
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    assert_int_equal(sqlite3_open(path, &foreign), SQLITE_OK);
    assert_int_equal(sqlite3_exec(foreign, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(journal_begin(run.journal, &error), -1);
    assert_int_equal(error.code, MF_LOCKED);
    assert_int_equal(sqlite3_exec(foreign, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_ok(journal_begin(run.journal, &error)); /* it was only busy */
    assert_ok(journal_commit(run.journal, &error));
    sqlite3_close(foreign);
}

static void test_the_journal_is_append_only(void **state)
{
    (void)state;
    char path[PATH_MAX];
    sqlite3 *foreign;
    struct core_record record = help_task(1, CORE_TASK_READY, 0, 0, 0, 0);
    help_turn(run.journal, &record, 1, "");
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    assert_int_equal(sqlite3_open(path, &foreign), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(foreign, "UPDATE journal SET at_ms = 0", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(foreign, "DELETE FROM journal", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(foreign);
}

/* --- secrets --- */

static bool file_holds(const char *path, const char *needle)
{
    static char text[1 << 22];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    return got > 0 && memmem(text, (size_t)got, needle, strlen(needle)) != NULL;
}

static bool tree_holds(const char *path, const char *needle)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return file_holds(path, needle);
    bool holds = false;
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        char below[PATH_MAX];
        if (entry->d_name[0] == '.' && (entry->d_name[1] == '\0' || entry->d_name[1] == '.'))
            continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        holds = holds || tree_holds(below, needle);
    }
    closedir(directory);
    return holds;
}

static void test_secrets_are_sealed_and_go(void **state)
{
    (void)state;
    struct mf_error error;
    struct mf_buf out;
    uint32_t count;
    mf_buf_init_secret(&out, 1024);
    assert_ok(journal_begin(run.journal, &error));
    assert_ok(journal_put_secret(run.journal, 4, "secrets", MF_SPAN("old " CANARY), &error));
    assert_ok(journal_put_secret(run.journal, 4, "secrets", MF_SPAN(CANARY), &error));
    assert_ok(journal_put_secret(run.journal, 4, "claim", MF_SPAN("https://x/" CANARY), &error));
    assert_ok(journal_put_secret(run.journal, 5, "secrets", MF_SPAN(CANARY), &error));
    assert_ok(journal_commit(run.journal, &error));
    assert_false(tree_holds(help_base, CANARY));
    assert_true(tree_holds(help_base, "nightly")); /* the search works */
    assert_ok(journal_get_secret(run.journal, 4, "secrets", &out, &error));
    assert_true(mf_span_is(mf_buf_view(&out), CANARY));
    help_reopen(&run, false); /* a reader finds the key by itself */
    mf_buf_clear(&out);
    assert_ok(journal_get_secret(run.journal, 4, "claim", &out, &error));
    assert_true(mf_span_is(mf_buf_view(&out), "https://x/" CANARY));
    help_reopen(&run, true);
    assert_ok(journal_begin(run.journal, &error));
    assert_ok(journal_drop_secrets(run.journal, 4, "secrets", &error));
    assert_ok(journal_drop_secrets(run.journal, 5, NULL, &error));
    assert_ok(journal_commit(run.journal, &error));
    assert_ok(journal_secret_count(run.journal, &count, &error));
    assert_int_equal(count, 1);
    assert_int_equal(journal_get_secret(run.journal, 4, "secrets", &out, &error), -1);
    assert_int_equal(error.code, MF_NOT_FOUND);
    mf_buf_free(&out);
    assert_false(tree_holds(help_base, CANARY));
}

static void test_a_moved_secret_does_not_open(void **state)
{
    (void)state;
    struct mf_error error;
    struct mf_buf out;
    char path[PATH_MAX];
    sqlite3 *foreign;
    mf_buf_init_secret(&out, 1024);
    assert_ok(journal_put_secret(run.journal, 4, "secrets", MF_SPAN(CANARY), &error));
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    assert_int_equal(sqlite3_open(path, &foreign), SQLITE_OK);
    assert_int_equal(sqlite3_exec(foreign, "UPDATE secret SET account = 5", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(journal_get_secret(run.journal, 5, "secrets", &out, &error), -1);
    assert_int_equal(error.code, MF_CRYPTO);
    assert_null(strstr(error.text, CANARY));
    sqlite3_close(foreign);
    mf_buf_free(&out);
}

static void test_rows_beside_the_journal(void **state)
{
    (void)state;
    struct mf_error error;
    struct mf_buf first, second, hold;
    struct journal_run row;
    mf_buf_init(&first, 1024);
    mf_buf_init(&second, 1024);
    mf_buf_init(&hold, 1 << 20);
    assert_ok(journal_put_ids(run.journal, 1, MF_SPAN("{\"account\":\"a1\"}"), &error));
    assert_ok(journal_put_ids(run.journal, 1, MF_SPAN("{\"account\":\"a2\"}"), &error));
    assert_ok(journal_put_result(run.journal, 2, 3, MF_SPAN("ff"), MF_SPAN("deploy/web/3/outputs"), &error));
    assert_ok(journal_get_ids(run.journal, 1, &first, &error));
    assert_string_equal(mf_buf_cstr(&first), "{\"account\":\"a2\"}");
    mf_buf_clear(&first);
    assert_ok(journal_get_ids(run.journal, 9, &first, &error));
    assert_int_equal(first.length, 0);
    assert_ok(journal_get_result(run.journal, 2, &first, &second, &error));
    assert_string_equal(mf_buf_cstr(&first), "ff");
    assert_string_equal(mf_buf_cstr(&second), "deploy/web/3/outputs");
    assert_ok(journal_set_run(run.journal, "socket_path", MF_SPAN("/new"), &error));
    assert_ok(journal_set_run(run.journal, "pid", MF_SPAN("123"), &error));
    assert_ok(journal_read_run(run.journal, &row, &hold, &error));
    assert_true(mf_span_is(row.socket_path, "/new"));
    assert_true(mf_span_is(row.graph_text, help_graph));
    assert_true(mf_span_is(row.name, "nightly"));
    assert_int_equal(row.pid, 123);
    assert_int_equal(row.birth, 8);
    mf_buf_free(&first);
    mf_buf_free(&second);
    mf_buf_free(&hold);
}

/* --- files that are not as they should be --- */

static void expect_refused(const char *part)
{
    struct mf_error error;
    struct journal *journal = NULL;
    for (int writer = 0; writer < 2; writer++) {
        assert_int_equal(journal_open(&journal, run.dir, run.key, writer != 0, &error), -1);
        assert_int_equal(error.code, MF_STATE);
        if (strstr(error.text, part) == NULL)
            fail_msg("%s: does not say %s", error.text, part);
    }
}

static void test_foreign_and_linked_files_are_refused(void **state)
{
    (void)state;
    char path[PATH_MAX], other[PATH_MAX];
    journal_close(run.journal);
    run.journal = NULL;
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    snprintf(other, sizeof other, "%s/other.db", run.dir);
    assert_int_equal(chmod(path, 0666), 0);
    expect_refused("chmod");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(link(path, other), 0);
    expect_refused("hard link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(other, path), 0);
    expect_refused("symbolic link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(other, path), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 0), 0);
        expect_refused("belongs to user 12345");
        assert_int_equal(chown(path, 0, 0), 0);
    }
    assert_int_equal(unlink(path), 0);
    struct mf_error error;
    assert_int_equal(journal_open(&run.journal, run.dir, run.key, false, &error), -1);
    assert_int_equal(error.code, MF_NOT_FOUND);
}

static void test_other_schemas_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *part;
    } cases[] = {{"PRAGMA user_version=2", "newer mayfly"}, {"PRAGMA user_version=0", "is not the database"}, {"PRAGMA application_id=1", "is not the database"}};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    journal_close(run.journal);
    run.journal = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sqlite3 *foreign;
        assert_int_equal(sqlite3_open(path, &foreign), SQLITE_OK);
        assert_int_equal(sqlite3_exec(foreign, cases[i].sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(foreign);
        expect_refused(cases[i].part);
    }
}

static int ignore(void *context, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    (void)context, (void)record, (void)extra, (void)error;
    return 0;
}

/* Opens, reads everything, writes a turn: whatever the bytes are, an error or not, never a crash. */
static void poke(void)
{
    struct mf_error error;
    struct journal *journal;
    for (int writer = 0; writer < 2; writer++) {
        if (journal_open(&journal, run.dir, run.key, writer != 0, &error) != 0)
            continue;
        struct view *view = NULL;
        if (journal_replay(journal, ignore, NULL, &error) != 0)
            assert_true(error.code == MF_STATE || error.code == MF_LIMIT || error.code == MF_MEMORY);
        if (view_load(&view, journal, &error) == 0)
            view_free(view);
        struct core_record record = help_task(journal_last_seq(journal) + 1, CORE_TASK_READY, 0, 0, 0, 0);
        if (writer && journal_begin(journal, &error) == 0 && journal_append(journal, &record, MF_SPAN(""), &error) == 0)
            journal_commit(journal, &error);
        journal_close(journal);
    }
}

static void fill_database(void)
{
    struct core_record records[40];
    for (size_t i = 0; i < 20; i++) {
        records[2 * i] = help_task(2 * i + 1, CORE_TASK_READY, (uint32_t)i, 0, 0, 0);
        records[2 * i + 1] = help_account(2 * i + 2, CORE_ACCOUNT_CREATE, (uint32_t)i + 1, (int64_t)i, 0, 0);
    }
    help_turn(run.journal, records, 40, "\"reason\":\"r\"");
    journal_close(run.journal);
    run.journal = NULL;
}

static void test_damaged_databases_never_crash(void **state)
{
    (void)state;
    char path[PATH_MAX];
    static unsigned char good[1 << 20], bad[1 << 20];
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    fill_database();
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ssize_t size = read(fd, good, sizeof good);
    assert_true(size > 4096);
    uint64_t random = 42;
    for (int round = 0; round < 300; round++) {
        memcpy(bad, good, (size_t)size);
        size_t kept = (size_t)size;
        for (int flips = 0; flips <= round % 8; flips++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bad[(random >> 20) % (size_t)size] ^= (unsigned char)(1u << (random >> 61));
        }
        if (round % 10 == 0)
            kept = (random >> 20) % (size_t)size; /* truncated */
        if (round == 5)
            memset(bad, 0, 4096); /* page 1 is gone */
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, bad, kept, 0), (ssize_t)kept);
        poke();
    }
    close(fd);
}

/* --- a disk that fails: a VFS in front of the real one --- */

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real;
};
static sqlite3_vfs faulty, *real_vfs;
static sqlite3_io_methods faulty_methods;
static int faulty_countdown, faulty_code; /* the n-th write or sync fails, and all after it */

static int faulty_next(void)
{
    return faulty_code != 0 && --faulty_countdown < 0 ? faulty_code : SQLITE_OK;
}

#define REAL(file) (((struct faulty_file *)(file))->real)
static int faulty_close(sqlite3_file *file) { return REAL(file)->pMethods->xClose(REAL(file)); }
static int faulty_read(sqlite3_file *file, void *data, int bytes, sqlite3_int64 at) { return REAL(file)->pMethods->xRead(REAL(file), data, bytes, at); }
static int faulty_truncate(sqlite3_file *file, sqlite3_int64 size) { return REAL(file)->pMethods->xTruncate(REAL(file), size); }
static int faulty_size(sqlite3_file *file, sqlite3_int64 *out) { return REAL(file)->pMethods->xFileSize(REAL(file), out); }
static int faulty_lock(sqlite3_file *file, int level) { return REAL(file)->pMethods->xLock(REAL(file), level); }
static int faulty_unlock(sqlite3_file *file, int level) { return REAL(file)->pMethods->xUnlock(REAL(file), level); }
static int faulty_reserved(sqlite3_file *file, int *out) { return REAL(file)->pMethods->xCheckReservedLock(REAL(file), out); }
static int faulty_control(sqlite3_file *file, int op, void *argument) { return REAL(file)->pMethods->xFileControl(REAL(file), op, argument); }
static int faulty_sector(sqlite3_file *file) { return REAL(file)->pMethods->xSectorSize(REAL(file)); }
static int faulty_device(sqlite3_file *file) { return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file)); }
static int faulty_map(sqlite3_file *file, int page, int size, int extend, void volatile **out) { return REAL(file)->pMethods->xShmMap(REAL(file), page, size, extend, out); }
static int faulty_shm_lock(sqlite3_file *file, int offset, int n, int flags) { return REAL(file)->pMethods->xShmLock(REAL(file), offset, n, flags); }
static void faulty_barrier(sqlite3_file *file) { REAL(file)->pMethods->xShmBarrier(REAL(file)); }
static int faulty_unmap(sqlite3_file *file, int gone) { return REAL(file)->pMethods->xShmUnmap(REAL(file), gone); }

static int faulty_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 at)
{
    int code = faulty_next();
    return code != SQLITE_OK ? code : REAL(file)->pMethods->xWrite(REAL(file), data, bytes, at);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    int code = faulty_next();
    return code != SQLITE_OK ? (code == SQLITE_IOERR_WRITE ? SQLITE_IOERR_FSYNC : code) : REAL(file)->pMethods->xSync(REAL(file), flags);
}

static int faulty_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    struct faulty_file *mine = (struct faulty_file *)file;
    mine->real = (sqlite3_file *)(mine + 1);
    int code = real_vfs->xOpen(real_vfs, name, mine->real, flags, out_flags);
    file->pMethods = code == SQLITE_OK ? &faulty_methods : NULL;
    return code;
}

static void install_faulty(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    faulty = *real_vfs;
    faulty.zName = "faulty";
    faulty.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
    faulty.xOpen = faulty_open;
    faulty_methods = (sqlite3_io_methods){2, faulty_close, faulty_read, faulty_write, faulty_truncate, faulty_sync, faulty_size, faulty_lock,
                                          faulty_unlock, faulty_reserved, faulty_control, faulty_sector, faulty_device, faulty_map,
                                          faulty_shm_lock, faulty_barrier, faulty_unmap, NULL, NULL};
    assert_int_equal(sqlite3_vfs_register(&faulty, 1), SQLITE_OK);
}

static size_t count_records(void)
{
    struct mf_error error;
    struct seen seen = {0};
    struct journal *journal;
    assert_ok(journal_open(&journal, run.dir, run.key, false, &error));
    assert_ok(journal_replay(journal, see, &seen, &error));
    journal_close(journal);
    return seen.count;
}

/* Fails from the n-th write on: what was committed before stays, the failed turn is reported, the journal is closed for good. */
static void fail_writes(int code, int countdown)
{
    struct mf_error error;
    size_t committed = 0;
    faulty_code = code;
    faulty_countdown = countdown;
    for (uint64_t seq = 1; seq <= 6; seq++) {
        struct core_record record = help_task(seq, CORE_TASK_READY, (uint32_t)seq, 0, 0, 0);
        if (journal_begin(run.journal, &error) != 0 || journal_append(run.journal, &record, MF_SPAN(""), &error) != 0 ||
            journal_commit(run.journal, &error) != 0)
            break;
        committed = seq;
    }
    if (committed < 6) {
        assert_int_equal(error.code, MF_STATE);
        assert_non_null(strstr(error.text, code == SQLITE_FULL ? "full" : "check the disk"));
        faulty_code = 0;
        assert_int_equal(journal_begin(run.journal, &error), -1); /* no second try after a failed sync */
    }
    faulty_code = 0;
    journal_close(run.journal);
    run.journal = NULL;
    size_t found = count_records(); /* a turn whose sync failed may have reached the disk: intent without effect is harmless */
    assert_true(found == committed || found == committed + 1);
}

static void test_a_failing_disk(void **state)
{
    (void)state;
    static const int codes[] = {SQLITE_IOERR_WRITE, SQLITE_FULL};
    install_faulty();
    for (size_t c = 0; c < 2; c++)
        for (int countdown = 0; countdown < 30; countdown += 2) {
            help_close(&run);
            help_remove_base();
            help_make_base();
            help_open(&run);
            fail_writes(codes[c], countdown);
        }
    sqlite3_vfs_unregister(&faulty);
}

static void test_creation_on_a_full_disk(void **state)
{
    (void)state;
    struct mf_error error;
    install_faulty();
    for (int countdown = 0; countdown < 40; countdown++) {
        char id[STATE_RUN_ID_BYTES];
        int dir_fd;
        struct journal *journal = NULL;
        assert_ok(state_run_create(run.state, id, &dir_fd, &error));
        close(dir_fd);
        char *dir = state_run_path(run.state, id, NULL);
        struct journal_run row = help_run_row(id);
        faulty_code = SQLITE_FULL;
        faulty_countdown = countdown;
        if (journal_create(&journal, dir, run.key, &row, &error) != 0)
            assert_int_equal(error.code, MF_STATE);
        faulty_code = 0;
        journal_close(journal);
        mf_free(dir);
    }
    sqlite3_vfs_unregister(&faulty);
}

/* --- speed of reading: a million records in seconds, whatever the build --- */

static void test_many_records(void **state)
{
    (void)state;
    enum { TURNS = 200, EACH = 100 };
    struct mf_error error;
    uint64_t seq = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        struct core_record records[EACH];
        for (int i = 0; i < EACH; i++, seq++)
            records[i] = help_task(seq + 1, seq % 2 == 0 ? CORE_TASK_READY : CORE_TASK_CANCELLED, (uint32_t)(seq / 2), 0, 0, 0);
        help_turn(run.journal, records, EACH, "");
    }
    assert_int_equal(journal_commits(run.journal), TURNS);
    struct view *view;
    struct view_totals totals;
    assert_ok(view_load(&view, run.journal, &error));
    view_totals(view, &totals);
    assert_int_equal(totals.tasks[CORE_TASK_STATE_CANCELLED], TURNS * EACH / 2 - 1); /* node 1 is the template of the graph */
    view_free(view);
    assert_ok(journal_check(run.journal, false, &error));
}

/* --- memory that ends: at every allocation of ours, once --- */

static struct view *load_view(void)
{
    struct mf_error error;
    struct view *view;
    assert_ok(view_load(&view, run.journal, &error));
    return view;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct mf_error error;
    struct core_record record = help_task(1, CORE_TASK_READY, 0, 0, 0, 0);
    help_turn(run.journal, &record, 1, "\"reason\":\"r\"");
    assert_ok(journal_put_node(run.journal, 3, 1, 0, MF_SPAN("deploy/web"), MF_SPAN("{}"), &error));
    uint64_t before = mf_alloc_count();
    help_reopen(&run, false);
    view_free(load_view());
    int64_t needed = (int64_t)(mf_alloc_count() - before);
    assert_true(needed > 5);
    for (int64_t n = 0; n < needed; n++) {
        struct journal *journal = NULL;
        struct view *view = NULL;
        mf_alloc_fail_after(n, 1);
        int status = journal_open(&journal, run.dir, run.key, false, &error);
        if (status == 0)
            status = view_load(&view, journal, &error);
        mf_alloc_fail_after(-1, 0);
        assert_true(status == 0 || error.code == MF_MEMORY || error.code == MF_LIMIT); /* names and reasons may be missing */
        if (status == 0)
            view_free(view);
        journal_close(journal);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_replay_returns_what_was_appended),
        TEST(test_every_kind_survives_the_round_trip),
        TEST(test_bad_facts_are_refused),
        TEST(test_nothing_of_a_rolled_back_turn_stays),
        TEST(test_a_gap_is_refused_at_append_and_at_replay),
        TEST(test_a_second_writer_fences_the_first),
        TEST(test_a_foreign_writer_is_waited_for_and_then_named),
        TEST(test_the_journal_is_append_only),
        TEST(test_secrets_are_sealed_and_go),
        TEST(test_a_moved_secret_does_not_open),
        TEST(test_rows_beside_the_journal),
        TEST(test_foreign_and_linked_files_are_refused),
        TEST(test_other_schemas_are_refused),
        TEST(test_damaged_databases_never_crash),
        TEST(test_a_failing_disk),
        TEST(test_creation_on_a_full_disk),
        TEST(test_no_memory),
        TEST(test_many_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
