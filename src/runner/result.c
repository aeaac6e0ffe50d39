/* result.c - what an agent left at $MAYFLY_RESULT: opened warily, validated, kept under its SHA-256 */
#include "runner/result.h"

#include "base/alloc.h"
#include "runner/paths.h"
#include "runner/slot.h"
#include "json/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct json_limits result_limits = {
    .depth_max = 32, .text_bytes_max = RESULT_BYTES_MAX, .string_bytes_max = RESULT_BYTES_MAX, .nodes_max = 1u << 20};

/* A descriptor on a regular file with one name and an acceptable size; -1 with *answer filled. */
static int open_result(const struct job_place *place, size_t *bytes, struct job_answer *answer)
{
    struct stat about;
    int fd = openat(place->slot_fd, SLOT_RESULT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return job_fail(answer, "agent", "result: %s", errno == ELOOP ? "is a symbolic link" : strerror(errno));
    int result = 0;
    if (fstat(fd, &about) != 0)
        result = job_fail_os(answer, "result");
    else if (!S_ISREG(about.st_mode))
        result = job_fail(answer, "agent", "result: is no regular file");
    else if (about.st_nlink != 1)
        result = job_fail(answer, "agent", "result: has more than one name (a hard link)");
    else if (about.st_size > (off_t)RESULT_BYTES_MAX)
        result = job_fail(answer, "agent", "result: is larger than 1 MiB (result_bytes_max)");
    if (result != 0) {
        close(fd);
        return -1;
    }
    *bytes = (size_t)about.st_size;
    return fd;
}

static int read_all(int fd, char *out, size_t bytes)
{
    size_t length = 0;
    while (length < bytes) {
        ssize_t got = read(fd, out + length, bytes - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        length += (size_t)got;
    }
    return 0;
}

static int check(struct mf_span text, struct job_answer *answer)
{
    struct json_document document;
    struct mf_error error;
    if (json_scan_error(&document, text, &result_limits, &error) != 0)
        return job_fail(answer, error.code == MF_MEMORY ? "infrastructure" : "agent", "result: is not valid JSON: %s",
                        error.text);
    json_document_free(&document);
    return 0;
}

/* Written beside, synced, renamed, and the directory synced: a recorded hash is never without its file. */
static int keep(int results_fd, struct mf_span text, const char *name, struct job_answer *answer)
{
    char temporary[128];
    if (faccessat(results_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0; /* an equal result is there already */
    snprintf(temporary, sizeof temporary, ".%s.%d", name, (int)getpid());
    int result = paths_write_file(results_fd, temporary, text.data, text.length);
    int fd = result == 0 ? openat(results_fd, temporary, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0 || fchmod(fd, 0400) != 0 || fsync(fd) != 0 || renameat(results_fd, temporary, results_fd, name) != 0 ||
        fsync(results_fd) != 0) {
        result = job_fail_os(answer, "result: cannot be written");
        unlinkat(results_fd, temporary, 0);
    }
    if (fd >= 0)
        close(fd);
    return result;
}

static int take_text(const struct job_place *place, struct mf_span text, struct job_answer *answer)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char name[80];
    if (check(text, answer) != 0)
        return -1;
    if (EVP_Digest(text.data, text.length, digest, NULL, EVP_sha256(), NULL) != 1)
        return job_fail(answer, "infrastructure", "result: cannot be hashed");
    mf_hex(digest, 32, name);
    snprintf(answer->text, sizeof answer->text, "%s", name);
    snprintf(name + 64, sizeof name - 64, ".json");
    int results_fd = paths_make(place->run_fd, "results");
    int result =
        results_fd >= 0 ? keep(results_fd, text, name, answer) : job_fail_os(answer, "results: cannot be opened");
    if (results_fd >= 0)
        close(results_fd);
    answer->result_bytes = text.length;
    if (result != 0)
        answer->text[0] = '\0';
    return result;
}

int result_take(const struct job_place *place, struct job_answer *answer)
{
    size_t bytes = 0;
    if (faccessat(place->slot_fd, SLOT_RESULT, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        return 0;
    int fd = open_result(place, &bytes, answer);
    if (fd < 0)
        return -1;
    char *text = mf_alloc(bytes + 1);
    int result;
    if (text == NULL)
        result = job_fail(answer, "infrastructure", "result: no memory");
    else if (read_all(fd, text, bytes) != 0)
        result = job_fail(answer, "agent", "result: changed while it was read");
    else
        result = take_text(place, (struct mf_span){text, bytes}, answer);
    mf_free(text);
    close(fd);
    return result;
}
