/* ledger.c - appends lines to the ledger */
#include "emulator/ledger.h"

#include "base/alloc.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A line is six short members; ids are at most a KV name of 512 bytes, each byte six characters when escaped. */
enum { LINE_BYTES_MAX = 8192, MEMORY_BYTES_MAX = 8 << 20 };

static const char *const op_names[] = {
#define X(op, name) name,
    EMU_LEDGER_OPS(X)
#undef X
};

struct emu_ledger {
    int fd; /* -1: memory */
    struct mf_buf line;
    struct mf_buf memory;
};

int emu_ledger_open(struct emu_ledger **out, const char *path, struct mf_error *error)
{
    struct emu_ledger *ledger = mf_calloc(1, sizeof(*ledger));
    if (ledger == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    ledger->fd = -1;
    mf_buf_init(&ledger->line, LINE_BYTES_MAX);
    mf_buf_init(&ledger->memory, MEMORY_BYTES_MAX);
    if (path != NULL && (ledger->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0) {
        int saved = errno;
        emu_ledger_close(ledger);
        return mf_fail_os(error, saved, "%s", path);
    }
    *out = ledger;
    return 0;
}

void emu_ledger_close(struct emu_ledger *ledger)
{
    if (ledger == NULL)
        return;
    if (ledger->fd >= 0)
        close(ledger->fd);
    mf_buf_free(&ledger->line);
    mf_buf_free(&ledger->memory);
    mf_free(ledger);
}

static int write_whole(int fd, struct mf_span line)
{
    ssize_t written;
    do
        written = write(fd, line.data, line.length);
    while (written < 0 && errno == EINTR);
    return written == (ssize_t)line.length ? 0 : -1;
}

/* Drops the older half, at a line's end, when a line does not fit. */
static int keep(struct mf_buf *memory, struct mf_span line)
{
    if (memory->length + line.length >= memory->bytes_max) {
        const char *half = memory->data + memory->length / 2;
        const char *end = memchr(half, '\n', (size_t)(memory->data + memory->length - half));
        mf_buf_consume(memory, end == NULL ? memory->length : (size_t)(end + 1 - memory->data));
    }
    return mf_buf_span(memory, line);
}

int emu_ledger_write(struct emu_ledger *ledger, const struct emu_ledger_line *line)
{
    struct json_writer writer;
    mf_buf_clear(&ledger->line);
    json_begin(&writer, &ledger->line);
    json_open_object(&writer);
    json_member_i64(&writer, "at_ms", line->at_ms);
    json_member_string(&writer, "op", op_names[line->op]);
    json_member_string(&writer, "kind", line->kind);
    json_member_string(&writer, "id", line->id);
    json_member_string(&writer, "account", line->account);
    json_member_i64(&writer, "status", line->status);
    json_close_object(&writer);
    mf_buf_char(&ledger->line, '\n');
    if (ledger->line.failed)
        return -1;
    struct mf_span text = mf_buf_view(&ledger->line);
    return ledger->fd >= 0 ? write_whole(ledger->fd, text) : keep(&ledger->memory, text);
}

static int tail_of_file(int fd, size_t bytes_max, struct mf_buf *out)
{
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)bytes_max ? size - (off_t)bytes_max : 0;
    size_t wanted = (size_t)(size - from);
    if (size < 0 || mf_buf_reserve(out, wanted) < 0)
        return -1;
    ssize_t got = pread(fd, out->data + out->length, wanted, from);
    if (got < 0)
        return -1;
    out->length += (size_t)got;
    out->data[out->length] = '\0';
    const char *line_end = from == 0 || got == 0 ? NULL : memchr(out->data, '\n', out->length);
    if (line_end != NULL)
        mf_buf_consume(out, (size_t)(line_end + 1 - out->data));
    return 0;
}

int emu_ledger_tail(struct emu_ledger *ledger, size_t bytes_max, struct mf_buf *out)
{
    if (ledger->fd >= 0)
        return tail_of_file(ledger->fd, bytes_max, out);
    struct mf_span all = mf_buf_view(&ledger->memory);
    if (all.length > bytes_max) {
        const char *from = all.data + (all.length - bytes_max);
        const char *end = memchr(from, '\n', bytes_max);
        from = end == NULL ? all.data + all.length : end + 1;
        all = (struct mf_span){from, (size_t)(all.data + all.length - from)};
    }
    return mf_buf_span(out, all);
}
