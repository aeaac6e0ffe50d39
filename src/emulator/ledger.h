/*
 * emulator/ledger.h - what really happened: one JSON line for every effect and every authenticated request
 *
 * Each line is one write to a file opened with O_APPEND, made before the answer goes out, so a reader never sees half a line
 * and never misses what a client may already know. Without a file the last lines are kept in memory for the admin socket.
 */
#ifndef MF_EMULATOR_LEDGER_H
#define MF_EMULATOR_LEDGER_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

#define EMU_LEDGER_OPS(X) \
    X(CREATE, "create")   \
    X(USE, "use")         \
    X(REVOKE, "revoke")   \
    X(DELETE, "delete")   \
    X(EXPIRE, "expire")

enum emu_ledger_op {
#define X(op, name) EMU_LEDGER_##op,
    EMU_LEDGER_OPS(X)
#undef X
};

struct emu_ledger_line {
    int64_t at_ms; /* virtual wall clock */
    enum emu_ledger_op op;
    const char *kind, *id, *account; /* account NULL: none */
    int status; /* HTTP status; of a `use` the one that the client saw, 0 when it saw none */
};

struct emu_ledger;

int emu_ledger_open(struct emu_ledger **out, const char *path, struct mf_error *error); /* NULL path: memory */
void emu_ledger_close(struct emu_ledger *ledger);
/* -1 when the line could not be written. */
int emu_ledger_write(struct emu_ledger *ledger, const struct emu_ledger_line *line);
/* Appends the last lines, at most bytes_max, beginning with a whole one. */
int emu_ledger_tail(struct emu_ledger *ledger, size_t bytes_max, struct mf_buf *out);

#endif
