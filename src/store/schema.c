/*
 * schema.c - the tables of a run's database and the views for people
 *
 * The program never reads the views: it folds the journal with the same rows of core/states.h (view.c). The views do it in
 * SQL, for a person with the sqlite3 shell:
 *
 *   machine      the rows of both state machines
 *   task_now     each task with its state, attempt and since when
 *   account_now  each account with its state
 *   leaked       accounts that may still exist
 */
#include "store/schema.h"

#include "base/buf.h"
#include "core/states.h"

#define MACHINE_BYTES_MAX 65536 /* below SQLITE_LIMIT_SQL_LENGTH; about 8 KiB today */

static const char sql_application_id[] = "PRAGMA application_id";
static const char sql_user_version[] = "PRAGMA user_version";

static const char sql_tables[] =
    "PRAGMA application_id=0x6d666c79;"
    "PRAGMA user_version=1;"
    "CREATE TABLE run(one INTEGER PRIMARY KEY CHECK(one = 1), id TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL,"
    " epoch INTEGER NOT NULL, opened_ms INTEGER NOT NULL, graph_path TEXT NOT NULL, graph_sha256 TEXT NOT NULL,"
    " params_json TEXT NOT NULL, providers_json TEXT NOT NULL, limits_json TEXT NOT NULL, options_json TEXT NOT NULL,"
    " terms_json TEXT NOT NULL, socket_path TEXT NOT NULL, pid INTEGER NOT NULL, birth INTEGER NOT NULL,"
    " boot_id TEXT NOT NULL) STRICT;"
    "CREATE TABLE graph(revision INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;" /* long: not in a row that changes */
    "CREATE TABLE journal(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, task INTEGER,"
    " account INTEGER, facts TEXT NOT NULL) STRICT;"
    "CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;"
    "CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;"
    "CREATE TABLE secret(account INTEGER NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(account, name))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE ids(account INTEGER PRIMARY KEY, ids TEXT NOT NULL) STRICT;"
    "CREATE TABLE node(node INTEGER PRIMARY KEY, template INTEGER, ordinal INTEGER NOT NULL, path TEXT NOT NULL,"
    " item TEXT NOT NULL) STRICT;"
    "CREATE TABLE name(task INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;" /* of the graph's tasks, for the views */
    "CREATE TABLE result(node INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, sha256 TEXT NOT NULL, outputs TEXT NOT NULL)"
    " STRICT;"
    "CREATE TABLE request(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, account INTEGER, task INTEGER,"
    " facts TEXT NOT NULL) STRICT;";

/*
 * Parts of one statement, because a string literal may have 4,095 bytes. Names in the rows are those of the enums; the view
 * shows the names of the journal.
 */
static const char *const sql_machine[] = {
    "CREATE VIEW machine(subject, source, kind, target) AS",
    " WITH state(subject, word, name) AS (VALUES('account', 'NEW', 'new')",
#define X(state, name, class) ",('task','" #state "','" name "')",
    CORE_TASK_STATES(X)
#undef X
#define X(state, name, class) ",('account','" #state "','" name "')",
    CORE_ACCOUNT_STATES(X)
#undef X
    "), record(word, name) AS (VALUES('','')",
#define X(kind, name, subject, f0, f1, f2, f3) ",('" #kind "','" name "')",
    CORE_RECORDS(X)
#undef X
    "), row(subject, source, record, target) AS (VALUES('','','','')",
#define X(from, record, to) ",('task','" #from "','" #record "','" #to "')",
    CORE_TASK_ROWS(X)
#undef X
#define X(from, record, to) ",('account','" #from "','" #record "','" #to "')",
    CORE_ACCOUNT_ROWS(X)
#undef X
    ") SELECT row.subject, source.name, record.name, target.name FROM row",
    " JOIN state AS source ON source.subject = row.subject AND source.word = row.source",
    " JOIN state AS target ON target.subject = row.subject AND target.word = row.target",
    " JOIN record ON record.word = row.record;",
};

/* step: the records of each subject, counted; fold: the machine run over them; the last row of each is what is now. */
static const char sql_views[] =
    "CREATE VIEW task_now AS"
    " WITH RECURSIVE machine_task AS MATERIALIZED (SELECT * FROM machine WHERE subject = 'task'),"
    " step AS MATERIALIZED (SELECT task, seq, at_ms, kind, facts,"
    "  row_number() OVER (PARTITION BY task ORDER BY seq) AS place FROM journal WHERE task IS NOT NULL"
    "   AND kind NOT IN ('task.violation', 'task.anomaly', 'task.usage')),"
    " fold(task, place, state, since_ms, attempt, class) AS ("
    "  SELECT task, 0, 'blocked', 0, 0, NULL FROM step WHERE place = 1"
    "  UNION ALL SELECT step.task, step.place, machine_task.target,"
    "   iif(machine_task.target = fold.state, fold.since_ms, step.at_ms),"
    "   ifnull(step.facts ->> '$.attempt', fold.attempt), ifnull(step.facts ->> '$.class', fold.class)"
    "  FROM fold JOIN step ON step.task = fold.task AND step.place = fold.place + 1"
    "  JOIN machine_task ON machine_task.source = fold.state AND machine_task.kind = step.kind)"
    " SELECT fold.task AS task, coalesce(node.path, name.name, '#' || fold.task) AS path, state, attempt, class,"
    "  strftime('%Y-%m-%dT%H:%M:%SZ', since_ms / 1000, 'unixepoch') AS since, max(place) AS records"
    " FROM fold LEFT JOIN node ON node.node = fold.task LEFT JOIN name ON name.task = fold.task GROUP BY fold.task;"
    "CREATE VIEW account_now AS"
    " WITH RECURSIVE machine_account AS MATERIALIZED (SELECT * FROM machine WHERE subject = 'account'),"
    " step AS MATERIALIZED (SELECT account, seq, at_ms, kind, facts,"
    "  row_number() OVER (PARTITION BY account ORDER BY seq) AS place FROM journal WHERE account IS NOT NULL),"
    " fold(account, place, state, since_ms, task, expires_ms) AS ("
    "  SELECT account, 0, 'new', 0, NULL, 0 FROM step WHERE place = 1"
    "  UNION ALL SELECT step.account, step.place, machine_account.target,"
    "   iif(machine_account.target = fold.state, fold.since_ms, step.at_ms),"
    "   iif(fold.state = 'new', step.facts ->> '$.of', fold.task),"
    "   ifnull(step.facts ->> '$.expires_ms', fold.expires_ms)"
    "  FROM fold JOIN step ON step.account = fold.account AND step.place = fold.place + 1"
    "  JOIN machine_account ON machine_account.source = fold.state AND machine_account.kind = step.kind)"
    " SELECT fold.account AS account, 'mayfly-' || run.owner || '-' || run.id || '-' || fold.account AS tag, state,"
    "  coalesce(node.path, name.name, '#' || fold.task) AS path,"
    "  strftime('%Y-%m-%dT%H:%M:%SZ', since_ms / 1000, 'unixepoch') AS since,"
    "  iif(expires_ms > 0, strftime('%Y-%m-%dT%H:%M:%SZ', expires_ms / 1000, 'unixepoch'), NULL) AS expires,"
    "  ids.ids AS ids, max(place) AS records"
    " FROM fold JOIN run LEFT JOIN node ON node.node = fold.task LEFT JOIN name ON name.task = fold.task LEFT JOIN ids ON ids.account = fold.account"
    " GROUP BY fold.account;"
    "CREATE VIEW leaked AS SELECT * FROM account_now WHERE state NOT IN ('gone', 'absent', 'expired');";

static int create_machine(struct database *database, struct mf_error *error)
{
    struct mf_buf sql;
    mf_buf_init(&sql, MACHINE_BYTES_MAX);
    for (size_t i = 0; i < sizeof sql_machine / sizeof sql_machine[0]; i++)
        mf_buf_text(&sql, sql_machine[i]);
    int status = sql.failed ? mf_fail(error, MF_MEMORY, "schema: no memory") : database_exec(database, mf_buf_cstr(&sql), error);
    mf_buf_free(&sql);
    return status;
}

int schema_create(struct database *database, struct mf_error *error)
{
    if (database_exec(database, sql_tables, error) != 0 || create_machine(database, error) != 0)
        return -1;
    return database_exec(database, sql_views, error);
}

int schema_check(struct database *database, struct mf_error *error)
{
    sqlite3_int64 application = 0, version = 0;
    if (database_pragma(database, sql_application_id, &application, error) != 0 ||
        database_pragma(database, sql_user_version, &version, error) != 0)
        return -1;
    if (application != SCHEMA_APPLICATION_ID || version < 1)
        return mf_fail(error, MF_STATE, "%s: is not the database of a mayfly run", database->path);
    if (version > SCHEMA_VERSION)
        return mf_fail(error, MF_STATE, "%s: was written by a newer mayfly (schema %lld, this one knows %d): use that one",
                       database->path, (long long)version, SCHEMA_VERSION);
    return 0;
}
