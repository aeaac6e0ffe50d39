/*
 * audit.c - the record of every request: writes lines, each with the hash of the line before it
 *
 * The gateway calls this before anything happens that a line allows. A line goes out with one write(2), so the kernel has it
 * whole when the call returns: it survives the death of this process, not that of the machine. What can fail: no space, a
 * read-only or lost file system, a file size limit. Then nothing of the line stays in the file, and the next line tries
 * again; where the rest of a half-written line cannot be taken away, the file is given up: every later call fails, so
 * nothing is allowed any more. Finding what an earlier life wrote is audit_open.c.
 */
#include "gateway/audit_private.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The longest of each text; a byte becomes at most six ("\u001b"), and each text that is not whole adds its length and hash
 * (130 bytes). refused is the longest record: 6 * (160 + 16 + 64 + 32 + 1024 + 640 + 128 + 64) = 12768, 8 * 130 for the whole
 * lengths, and below 600 bytes of names, numbers and the chain: less than AUDIT_LINE_BYTES_MAX.
 */
#define TASK_BYTES_MAX 160 /* "task/key": 129 */
#define STAGE_BYTES_MAX 16
#define NAME_BYTES_MAX 64
#define METHOD_BYTES_MAX 32
#define RULE_BYTES_MAX 640
#define PERMISSION_BYTES_MAX 128

/* --- one line --- */

void audit_begin(struct audit *audit, int64_t at_ms, const char *event)
{
    struct json_writer *writer = &audit->writer;
    mf_buf_clear(&audit->line);
    json_begin(writer, &audit->line);
    json_open_object(writer);
    json_member_u64(writer, "n", audit->chain.count + 1);
    json_member_i64(writer, "at_ms", at_ms);
    json_member_string(writer, "event", event);
}

int audit_hash(struct audit *audit, struct mf_span text, char out[AUDIT_HASH_HEX])
{
    uint8_t digest[32];
    if (EVP_DigestInit_ex2(audit->digest, audit->sha256, NULL) != 1 ||
        EVP_DigestUpdate(audit->digest, text.data, text.length) != 1 ||
        EVP_DigestFinal_ex(audit->digest, digest, NULL) != 1)
        return -1;
    mf_hex(digest, sizeof digest, out);
    return 0;
}

/* After a failed write: true when the file ends with a whole line again. */
static bool take_back(const struct audit *audit)
{
    struct stat now;
    if (fstat(audit->fd, &now) != 0)
        return false;
    return (uint64_t)now.st_size == audit->bytes || ftruncate(audit->fd, (off_t)audit->bytes) == 0;
}

static void give_up(struct audit *audit, int reason)
{
    if (reason != EBADF) /* then the number may be somebody else's file by now */
        close(audit->fd);
    audit->fd = -1;
}

static int write_line(struct audit *audit, struct mf_error *error)
{
    ssize_t written;
    do {
        written = write(audit->fd, audit->line.data, audit->line.length);
    } while (written < 0 && errno == EINTR);
    if (written == (ssize_t)audit->line.length)
        return 0;
    int reason = written < 0 ? errno : ENOSPC; /* the kernel says why only at the next try */
    if (!take_back(audit))
        give_up(audit, reason);
    return mf_fail_os(error, reason, AUDIT_FILE ": cannot write record %llu%s",
                      (unsigned long long)audit->chain.count + 1, audit->fd < 0 ? ", the file is given up" : "");
}

int audit_end(struct audit *audit, struct mf_error *error)
{
    struct json_writer *writer = &audit->writer;
    char head[AUDIT_HASH_HEX];
    json_member_string(writer, "chain", audit->chain.count > 0 ? audit->chain.head : AUDIT_FIRST_HEAD);
    json_close_object(writer);
    mf_buf_char(&audit->line, '\n');
    if (audit->line.failed)
        return mf_fail(error, MF_MEMORY, AUDIT_FILE ": no memory for a record");
    if (audit->fd < 0)
        return mf_fail_os(error, EBADF, AUDIT_FILE ": was given up after a write that failed");
    if (audit_hash(audit, (struct mf_span){audit->line.data, audit->line.length - 1}, head) != 0)
        return mf_fail(error, MF_CRYPTO, AUDIT_FILE ": cannot hash a record");
    if (write_line(audit, error) != 0)
        return -1;
    audit->bytes += audit->line.length;
    audit->chain.count++;
    memcpy(audit->chain.head, head, sizeof head);
    return 0;
}

/* --- members --- */

static void put_string(struct audit *audit, const char *key, const char *text, size_t bytes_max)
{
    audit_put_text(audit, key, mf_span(text), bytes_max);
}

static void put_optional(struct audit *audit, const char *key, struct mf_span text, size_t bytes_max)
{
    if (text.length > 0)
        audit_put_text(audit, key, text, bytes_max);
}

static void put_subject(struct audit *audit, const struct audit_subject *subject)
{
    put_optional(audit, "task", subject->task, TASK_BYTES_MAX);
    if (subject->attempt > 0)
        json_member_u64(&audit->writer, "attempt", subject->attempt);
    put_optional(audit, "stage", mf_span(subject->stage), STAGE_BYTES_MAX);
    put_optional(audit, "provider", subject->provider, NAME_BYTES_MAX);
    if (subject->account > 0)
        json_member_u64(&audit->writer, "account", subject->account);
}

static void put_number(struct audit *audit, uint64_t request)
{
    if (request > 0)
        json_member_u64(&audit->writer, "request", request);
}

static void put_money(struct audit *audit, const char *key, int64_t micro_usd)
{
    if (micro_usd > 0)
        json_member_i64(&audit->writer, key, micro_usd);
}

static void put_request(struct audit *audit, const struct audit_request *request)
{
    put_number(audit, request->request);
    put_subject(audit, &request->subject);
    audit_put_text(audit, "method", request->method, METHOD_BYTES_MAX);
    audit_put_text(audit, "path", request->path, AUDIT_TEXT_BYTES_MAX);
    put_optional(audit, "rule", request->rule, RULE_BYTES_MAX);
    put_optional(audit, "permission", request->permission, PERMISSION_BYTES_MAX);
}

static void put_usage(struct audit *audit, const struct audit_usage *usage)
{
    if (!usage->known)
        return;
    json_key(&audit->writer, "usage");
    json_open_object(&audit->writer);
    put_optional(audit, "model", usage->model, NAME_BYTES_MAX);
    json_member_u64(&audit->writer, "input_tokens", usage->input_tokens);
    json_member_u64(&audit->writer, "output_tokens", usage->output_tokens);
    json_member_u64(&audit->writer, "cached_tokens", usage->cached_tokens);
    json_member_u64(&audit->writer, "cache_write_tokens", usage->cache_write_tokens);
    if (usage->micro_usd >= 0)
        json_member_i64(&audit->writer, "micro_usd", usage->micro_usd);
    json_close_object(&audit->writer);
}

static void put_traffic(struct audit *audit, uint64_t sent_bytes, uint64_t received_bytes, int64_t duration_ms)
{
    json_member_u64(&audit->writer, "sent_bytes", sent_bytes);
    json_member_u64(&audit->writer, "received_bytes", received_bytes);
    json_member_i64(&audit->writer, "duration_ms", duration_ms);
}

/* --- records --- */

int audit_allowed(struct audit *audit, int64_t at_ms, const struct audit_request *request, struct mf_error *error)
{
    audit_begin(audit, at_ms, "allowed");
    put_request(audit, request);
    put_money(audit, "reserved_micro_usd", request->reserved_micro_usd);
    return audit_end(audit, error);
}

int audit_answered(struct audit *audit, int64_t at_ms, const struct audit_answer *answer, struct mf_error *error)
{
    audit_begin(audit, at_ms, "answered");
    put_number(audit, answer->request);
    put_subject(audit, &answer->subject);
    json_member_i64(&audit->writer, "status", answer->status);
    put_string(audit, "outcome", answer->outcome, NAME_BYTES_MAX);
    put_traffic(audit, answer->sent_bytes, answer->received_bytes, answer->duration_ms);
    put_usage(audit, &answer->usage);
    put_money(audit, "charged_micro_usd", answer->charged_micro_usd);
    return audit_end(audit, error);
}

int audit_refused(struct audit *audit, int64_t at_ms, const struct audit_request *request, int status,
                  const char *reason, struct mf_error *error)
{
    audit_begin(audit, at_ms, "refused");
    put_request(audit, request);
    json_member_i64(&audit->writer, "status", status);
    put_string(audit, "reason", reason, NAME_BYTES_MAX);
    return audit_end(audit, error);
}

int audit_anomaly(struct audit *audit, int64_t at_ms, const struct audit_subject *subject, const char *kind,
                  struct mf_span detail, struct mf_error *error)
{
    audit_begin(audit, at_ms, "anomaly");
    put_subject(audit, subject);
    put_string(audit, "kind", kind, NAME_BYTES_MAX);
    put_optional(audit, "detail", detail, AUDIT_TEXT_BYTES_MAX);
    return audit_end(audit, error);
}

int audit_connected(struct audit *audit, int64_t at_ms, const struct audit_subject *subject, uint64_t request,
                    struct mf_span host, uint16_t port, const char *address, struct mf_error *error)
{
    audit_begin(audit, at_ms, "connected");
    put_number(audit, request);
    put_subject(audit, subject);
    audit_put_text(audit, "host", host, AUDIT_TEXT_BYTES_MAX);
    json_member_u64(&audit->writer, "port", port);
    put_string(audit, "address", address, NAME_BYTES_MAX);
    return audit_end(audit, error);
}

int audit_closed(struct audit *audit, int64_t at_ms, const struct audit_subject *subject, uint64_t request,
                 uint64_t sent_bytes, uint64_t received_bytes, int64_t duration_ms, struct mf_error *error)
{
    audit_begin(audit, at_ms, "closed");
    put_number(audit, request);
    put_subject(audit, subject);
    put_traffic(audit, sent_bytes, received_bytes, duration_ms);
    return audit_end(audit, error);
}

/* --- life --- */

static int write_opening(struct audit *audit, const struct audit_options *options, const struct audit_past *past,
                         struct mf_error *error)
{
    uint64_t found = audit->chain.count;
    audit_begin(audit, options->at_ms, "opened");
    json_member_u64(&audit->writer, "version", 1);
    put_string(audit, "run", options->run_id, NAME_BYTES_MAX);
    json_member_u64(&audit->writer, "life", past->lives + 1);
    if (audit_end(audit, error) != 0)
        return -1;
    if (found == options->anchored_count && past->torn_bytes == 0)
        return 0;
    audit_begin(audit, options->at_ms, "unanchored");
    json_member_u64(&audit->writer, "anchored", options->anchored_count);
    json_member_u64(&audit->writer, "found", found);
    if (past->torn_bytes > 0) {
        json_member_u64(&audit->writer, "torn_bytes", past->torn_bytes);
        json_member_string(&audit->writer, "torn_file", past->torn_file);
    }
    return audit_end(audit, error);
}

static int open_all(struct audit *audit, const struct audit_options *options, struct mf_error *error)
{
    struct audit_past past = {.lives = 0};
    audit->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    audit->digest = EVP_MD_CTX_new();
    if (audit->sha256 == NULL || audit->digest == NULL)
        return mf_fail(error, MF_CRYPTO, AUDIT_FILE ": cannot hash records");
    if (mf_buf_reserve(&audit->line, AUDIT_LINE_BYTES_MAX) != 0) /* so that no later record fails for want of memory */
        return mf_fail(error, MF_MEMORY, AUDIT_FILE ": no memory");
    if (audit_find(audit, options, &past, error) != 0)
        return -1;
    return write_opening(audit, options, &past, error);
}

int audit_open(struct audit **out, const struct audit_options *options, struct mf_error *error)
{
    *out = NULL;
    struct audit *audit = mf_calloc(1, sizeof *audit);
    if (audit == NULL)
        return mf_fail(error, MF_MEMORY, AUDIT_FILE ": no memory");
    audit->fd = -1;
    mf_buf_init(&audit->line, AUDIT_LINE_BYTES_MAX);
    if (open_all(audit, options, error) != 0) {
        audit_close(audit);
        return -1;
    }
    *out = audit;
    return 0;
}

void audit_close(struct audit *audit)
{
    if (audit == NULL)
        return;
    if (audit->fd >= 0) {
        (void)fdatasync(audit->fd); /* nobody is left who could do anything about a failure */
        close(audit->fd);
    }
    EVP_MD_CTX_free(audit->digest);
    EVP_MD_free(audit->sha256);
    mf_buf_free(&audit->line);
    mf_free(audit);
}

uint64_t audit_next_request(struct audit *audit)
{
    return ++audit->requests;
}

uint64_t audit_count(const struct audit *audit)
{
    return audit->chain.count;
}

const char *audit_head(const struct audit *audit)
{
    return audit->chain.head;
}
