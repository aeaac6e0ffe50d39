/*
 * audit.c - what the record of one request costs: audit_allowed and audit_answered, beside writing as many bytes with write(2)
 *
 *     bench_audit [DIRECTORY]       default: /tmp
 *
 * The budget is 5 us for a record. Both sides take turns in one run; the median of ROUNDS counts.
 */
#include "gateway/audit.h"
#include "base/alloc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7
#define REQUESTS 50000

_Noreturn static void give_up(const char *text)
{
    fprintf(stderr, "bench_audit: %s\n", text);
    exit(1);
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Microseconds for each record; *bytes is what the file has in the end. */
static double write_records(int dir_fd, int64_t *bytes)
{
    struct mf_error error;
    struct audit *audit;
    struct stat written;
    struct audit_subject subject = {.task = MF_SPAN("deploy/customer-0017"),
                                    .attempt = 1,
                                    .stage = "agent",
                                    .provider = MF_SPAN("cloudflare-temporary"),
                                    .account = 17};
    struct audit_request request = {
        .subject = subject,
        .method = MF_SPAN("PUT"),
        .path = MF_SPAN("/accounts/0123456789abcdef0123456789abcdef/workers/scripts/customer-0017/settings"),
        .rule = MF_SPAN("PUT /accounts/{account_id}/workers/scripts/{script}/settings"),
        .permission = MF_SPAN("workers_scripts:write"),
    };
    struct audit_answer answer = {.subject = subject,
                                  .status = 200,
                                  .outcome = "complete",
                                  .sent_bytes = 512,
                                  .received_bytes = 2048,
                                  .duration_ms = 12};
    struct audit_options options = {.run_dir_fd = dir_fd, .run_id = "abcdefghijkl", .at_ms = 1};
    if (audit_open(&audit, &options, &error) != 0)
        give_up(error.text);
    double begin = now_seconds();
    for (int i = 0; i < REQUESTS; i++) {
        request.request = answer.request = audit_next_request(audit);
        if (audit_allowed(audit, 1795478400000 + i, &request, &error) != 0 ||
            audit_answered(audit, 1795478400000 + i, &answer, &error) != 0)
            give_up(error.text);
    }
    double used = now_seconds() - begin;
    audit_close(audit);
    if (fstatat(dir_fd, AUDIT_FILE, &written, 0) != 0 || unlinkat(dir_fd, AUDIT_FILE, 0) != 0)
        give_up("the record is gone");
    *bytes = written.st_size;
    return used * 1e6 / (2 * REQUESTS);
}

static double write_bytes(int dir_fd, int64_t bytes)
{
    size_t each = (size_t)(bytes / (2 * REQUESTS));
    char *line = mf_calloc(1, each);
    int fd = openat(dir_fd, "bare", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (line == NULL || fd < 0)
        give_up("cannot make a file");
    double begin = now_seconds();
    for (int i = 0; i < 2 * REQUESTS; i++) {
        if (write(fd, line, each) != (ssize_t)each)
            give_up("cannot write");
    }
    double used = now_seconds() - begin;
    close(fd);
    unlinkat(dir_fd, "bare", 0);
    mf_free(line);
    return used * 1e6 / (2 * REQUESTS);
}

int main(int argc, char **argv)
{
    char dir[512];
    double ours[ROUNDS], bare[ROUNDS];
    int64_t bytes = 0;
    snprintf(dir, sizeof dir, "%s/mfy-bench-audit-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    int dir_fd = mkdtemp(dir) != NULL ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir_fd < 0)
        give_up("cannot make a directory");
    for (int round = 0; round < ROUNDS; round++) {
        ours[round] = write_records(dir_fd, &bytes);
        bare[round] = write_bytes(dir_fd, bytes);
    }
    close(dir_fd);
    rmdir(dir);
    qsort(ours, ROUNDS, sizeof ours[0], by_value);
    qsort(bare, ROUNDS, sizeof bare[0], by_value);
    printf("audit_record_bytes %lld B\n", (long long)(bytes / (2 * REQUESTS)));
    printf("audit_record_us %.2f us\n", ours[ROUNDS / 2]);
    printf("audit_bare_write_us %.2f us\n", bare[ROUNDS / 2]);
    printf("audit_ratio %.2f ratio\n", ours[ROUNDS / 2] / bare[ROUNDS / 2]);
    return 0;
}
