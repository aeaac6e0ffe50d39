/*
 * store/statements.h - every SQL statement that the program runs on a run's database, but for the schema
 *
 * Name, text. Each is prepared once, at its first use. Values are always bound.
 */
#ifndef MF_STORE_STATEMENTS_H
#define MF_STORE_STATEMENTS_H

#define STATEMENTS(X)                                                                                                  \
    X(BEGIN, "BEGIN IMMEDIATE") /* a deferred one that turns into a writer gets SQLITE_BUSY without waiting */         \
    X(COMMIT, "COMMIT")                                                                                                \
    X(ROLLBACK, "ROLLBACK")                                                                                            \
    X(READ_BEGIN, "BEGIN")                                                                                             \
    X(READ_END, "END")                                                                                                 \
    X(DATA_VERSION, "PRAGMA data_version")                                                                             \
    X(RUN_INSERT,                                                                                                      \
      "INSERT INTO run(one, epoch, id, name, owner, opened_ms, graph_path, graph_sha256, params_json, providers_json, "\
      "limits_json, options_json, terms_json, socket_path, pid, birth, boot_id) "                                      \
      "VALUES(1, 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)")                                \
    X(GRAPH_INSERT, "INSERT INTO graph(revision, text) VALUES(1, ?1)")                                                 \
    X(GRAPH_REVISE, "INSERT INTO graph(revision, text) SELECT max(revision) + 1, ?1 FROM graph")                       \
    X(RUN_READ,                                                                                                        \
      "SELECT id, name, owner, graph_path, text, graph_sha256, params_json, providers_json, limits_json, "             \
      "options_json, terms_json, socket_path, boot_id, opened_ms, pid, birth FROM run "                                \
      "JOIN graph ON revision = (SELECT max(revision) FROM graph)")                                                    \
    X(RUN_READ_SMALL, /* what a list of runs needs: a graph may have 100 MiB */                                        \
      "SELECT id, name, owner, graph_path, '', graph_sha256, '', providers_json, '', "                                 \
      "options_json, '', socket_path, boot_id, opened_ms, pid, birth FROM run")                                        \
    X(RUN_ID, "SELECT id FROM run")                                                                                    \
    X(EPOCH_TAKE, "UPDATE run SET epoch = epoch + 1")                                                                  \
    X(EPOCH_READ, "SELECT epoch FROM run")                                                                             \
    X(APPEND, "INSERT INTO journal(seq, at_ms, kind, task, account, facts) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")            \
    X(LAST_SEQ, "SELECT ifnull(max(seq), 0) FROM journal")                                                             \
    X(LAST_KIND, "SELECT kind FROM journal ORDER BY seq DESC LIMIT 1")                                                 \
    X(REPLAY, "SELECT seq, at_ms, kind, task, account, facts FROM journal WHERE seq > ?1 ORDER BY seq")                \
    X(SECRET_PUT,                                                                                                      \
      "INSERT INTO secret(account, name, sealed) VALUES(?1, ?2, ?3) "                                                  \
      "ON CONFLICT(account, name) DO UPDATE SET sealed = excluded.sealed")                                             \
    X(SECRET_DROP, "DELETE FROM secret WHERE account = ?1 AND name = ?2")                                              \
    X(SECRET_DROP_ALL, "DELETE FROM secret WHERE account = ?1")                                                        \
    X(SECRET_GET, "SELECT sealed FROM secret WHERE account = ?1 AND name = ?2")                                        \
    X(SECRET_COUNT, "SELECT count(*) FROM secret")                                                                     \
    X(IDS_PUT, "INSERT INTO ids(account, ids) VALUES(?1, ?2) ON CONFLICT(account) DO UPDATE SET ids = excluded.ids")   \
    X(IDS_GET, "SELECT ids FROM ids WHERE account = ?1")                                                               \
    X(NODE_PUT,                                                                                                        \
      "INSERT INTO node(node, template, ordinal, path, item) VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(node) "            \
      "DO UPDATE SET template = excluded.template, ordinal = excluded.ordinal, path = excluded.path, "                 \
      "item = excluded.item")                                                                                          \
    X(NODES, "SELECT node, template, ordinal, path, item FROM node WHERE node >= ?1 ORDER BY node")                                    \
    X(NAME_PUT, "INSERT INTO name(task, name) VALUES(?1, ?2)")                                                         \
    X(RESULT_PUT,                                                                                                      \
      "INSERT INTO result(node, attempt, sha256, outputs) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(node) "                   \
      "DO UPDATE SET attempt = excluded.attempt, sha256 = excluded.sha256, outputs = excluded.outputs")                \
    X(RESULT_GET, "SELECT sha256, outputs FROM result WHERE node = ?1")                                                \
    X(REQUEST_LAST, "SELECT ifnull(max(seq), 0) FROM request")                                                         \
    X(REQUEST_PUT, "INSERT INTO request(seq, at_ms, account, facts) VALUES(?1, ?2, ?3, ?4)")                           \
    X(REQUEST_TASKS,                                                                                                   \
      "UPDATE request SET task = known.task FROM (SELECT node AS task, path FROM node UNION SELECT task, name FROM name) " \
      "AS known WHERE request.task IS NULL AND known.path = request.facts ->> '$.task'")

enum statement {
#define X(name, sql) STATEMENT_##name,
    STATEMENTS(X)
#undef X
    STATEMENT_COUNT
};

#endif
