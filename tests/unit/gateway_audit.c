/* gateway_audit.c - records: their form, the chain, hostile text, a later life of the writer, a disk that is full */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gateway/audit.h"
#include "http1/match.h"
#include "json/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64];
static int base_fd;
static struct mf_error error;

static int setup(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/mayfly-audit-XXXXXX");
    assert_non_null(mkdtemp(base));
    base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return base_fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    DIR *dir = fdopendir(base_fd);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        unlinkat(base_fd, entry->d_name, 0);
    closedir(dir);
    return rmdir(base);
}

/* --- helpers --- */

static struct mf_buf read_file(const char *name)
{
    struct mf_buf out;
    char chunk[4096];
    ssize_t got;
    mf_buf_init(&out, 64u << 20);
    int fd = openat(base_fd, name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    while ((got = read(fd, chunk, sizeof chunk)) > 0)
        assert_int_equal(mf_buf_append(&out, chunk, (size_t)got), 0);
    close(fd);
    return out;
}

static void append_file(const char *text, size_t bytes)
{
    int fd = openat(base_fd, AUDIT_FILE, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, bytes), bytes);
    close(fd);
}

static struct audit_options options_of(void)
{
    return (struct audit_options){.run_dir_fd = base_fd, .run_id = "abcdefghijkl", .at_ms = 1000};
}

static struct audit *open_audit(const struct audit_options *options)
{
    struct audit *audit;
    if (audit_open(&audit, options, &error) != 0)
        fail_msg("%s", error.text);
    return audit;
}

static struct audit *open_plain(void)
{
    struct audit_options options = options_of();
    return open_audit(&options);
}

static void expect_refused(const struct audit_options *options, enum mf_code code)
{
    struct audit *audit;
    error.code = MF_NONE;
    assert_int_equal(audit_open(&audit, options, &error), -1);
    assert_null(audit);
    if (error.code != code)
        fail_msg("%s: %s", mf_code_name(error.code), error.text);
}

static const struct audit_subject subject = {
    .task = {"deploy/web", 10}, .attempt = 1, .stage = "agent", .provider = {"emulator", 8}, .account = 3};

static struct audit_request request_of(const char *path, size_t path_bytes)
{
    return (struct audit_request){.subject = subject,
                                  .request = 7,
                                  .method = MF_SPAN("PUT"),
                                  .path = {path, path_bytes},
                                  .rule = MF_SPAN("PUT /accounts/{account_id}/x"),
                                  .permission = MF_SPAN("x:write")};
}

static int write_one(struct audit *audit)
{
    struct audit_request request = request_of("/accounts/a/x", 13);
    return audit_allowed(audit, 2000, &request, &error);
}

/* Takes the whole file into a chain, each line strict JSON of printable text; how many lines. */
static uint64_t check_file(struct audit_chain *chain)
{
    struct mf_buf text = read_file(AUDIT_FILE);
    *chain = (struct audit_chain){.count = 0};
    for (char *at = text.data, *end; at != NULL && *at != '\0'; at = end + 1) {
        struct json_document document;
        end = strchr(at, '\n');
        assert_non_null(end);
        struct mf_span line = {at, (size_t)(end - at)};
        if (audit_chain_take(chain, line, &error) != 0 ||
            json_scan_error(&document, line, &json_limits_default, &error) != 0)
            fail_msg("%s: %.*s", error.text, MF_SPAN_ARGS(line));
        json_document_free(&document);
    }
    mf_buf_free(&text);
    return chain->count;
}

/* The n-th line from 1, without its chain. */
static char *line_of(uint64_t n)
{
    static char out[AUDIT_LINE_BYTES_MAX];
    struct mf_buf text = read_file(AUDIT_FILE);
    char *at = text.data;
    for (; n > 1; n--)
        at = strchr(at, '\n') + 1;
    char *end = strchr(at, '\n');
    snprintf(out, sizeof out, "%.*s", (int)(end - at), at);
    mf_buf_free(&text);
    *strstr(out, ",\"chain\":\"") = '\0';
    return out;
}

/* --- form --- */

static void each_record_has_its_form(void **state)
{
    (void)state;
    struct audit *audit = open_plain();
    struct audit_request request = request_of("/accounts/a/x", 13);
    assert_int_equal(audit_allowed(audit, 5, &request, &error), 0);
    struct audit_answer answer = {.subject = subject,
                                  .request = 7,
                                  .status = 200,
                                  .outcome = "complete",
                                  .sent_bytes = 10,
                                  .received_bytes = 20,
                                  .duration_ms = 30};
    assert_int_equal(audit_answered(audit, 6, &answer, &error), 0);
    assert_int_equal(audit_refused(audit, 7, &request, 403, http1_verdict_name(HTTP1_VERDICT_NO_RULE), &error), 0);
    assert_int_equal(audit_anomaly(audit, 8, &subject, "peer", MF_SPAN("PUT /x"), &error), 0);
    struct audit_subject service = {.task = MF_SPAN("a"), .attempt = 2, .stage = "verify", .provider = MF_SPAN("m")};
    answer = (struct audit_answer){.subject = service,
                                   .request = 8,
                                   .outcome = "lost",
                                   .usage = {.known = true,
                                             .input_tokens = 1,
                                             .output_tokens = 2,
                                             .cached_tokens = 3,
                                             .cache_write_tokens = 4,
                                             .micro_usd = 5,
                                             .model = MF_SPAN("m-1")},
                                   .charged_micro_usd = 9};
    assert_int_equal(audit_answered(audit, 9, &answer, &error), 0);
    assert_int_equal(audit_connected(audit, 10, &service, 9, MF_SPAN("h.test"), 443, "192.0.2.1", &error), 0);
    assert_int_equal(audit_closed(audit, 11, &service, 9, 1, 2, 3, &error), 0);
    audit_close(audit);
    assert_string_equal(
        line_of(1), "{\"n\":1,\"at_ms\":1000,\"event\":\"opened\",\"version\":1,\"run\":\"abcdefghijkl\",\"life\":1");
    assert_string_equal(
        line_of(2),
        "{\"n\":2,\"at_ms\":5,\"event\":\"allowed\",\"request\":7,\"task\":\"deploy/web\",\"attempt\":1,"
        "\"stage\":\"agent\",\"provider\":\"emulator\",\"account\":3,\"method\":\"PUT\",\"path\":\"/accounts/a/x\","
        "\"rule\":\"PUT /accounts/{account_id}/x\",\"permission\":\"x:write\"");
    assert_string_equal(
        line_of(3),
        "{\"n\":3,\"at_ms\":6,\"event\":\"answered\",\"request\":7,\"task\":\"deploy/web\",\"attempt\":1,"
        "\"stage\":\"agent\",\"provider\":\"emulator\",\"account\":3,\"status\":200,\"outcome\":\"complete\","
        "\"sent_bytes\":10,\"received_bytes\":20,\"duration_ms\":30");
    assert_non_null(strstr(line_of(4), "\"status\":403,\"reason\":\"no_rule\""));
    assert_non_null(strstr(line_of(5), "\"event\":\"anomaly\",\"task\":\"deploy/web\""));
    assert_non_null(strstr(line_of(5), "\"kind\":\"peer\",\"detail\":\"PUT /x\""));
    assert_non_null(strstr(line_of(6),
                           "\"status\":0,\"outcome\":\"lost\",\"sent_bytes\":0,\"received_bytes\":0,\"duration_ms\":0,"
                           "\"usage\":{\"model\":\"m-1\",\"input_tokens\":1,\"output_tokens\":2,\"cached_tokens\":3,"
                           "\"cache_write_tokens\":4,\"micro_usd\":5},\"charged_micro_usd\":9"));
    assert_non_null(
        strstr(line_of(7),
               "\"request\":9,\"task\":\"a\",\"attempt\":2,\"stage\":\"verify\",\"provider\":\"m\",\"host\":\"h.test\","
               "\"port\":443,\"address\":\"192.0.2.1\""));
    assert_non_null(strstr(line_of(8), "\"event\":\"closed\",\"request\":9,"));
    assert_non_null(strstr(line_of(8), "\"sent_bytes\":1,\"received_bytes\":2,\"duration_ms\":3"));
    struct audit_chain chain;
    assert_int_equal(check_file(&chain), 8);
}

static void the_file_is_private_and_the_head_is_its_last_line(void **state)
{
    (void)state;
    struct stat found;
    struct audit_chain chain;
    umask(0);
    struct audit *audit = open_plain();
    assert_int_equal(fstatat(base_fd, AUDIT_FILE, &found, 0), 0);
    assert_int_equal(found.st_mode, S_IFREG | 0600);
    for (uint64_t n = 1; n < 50; n++) {
        assert_int_equal(check_file(&chain), n);
        assert_int_equal(audit_count(audit), n);
        assert_string_equal(audit_head(audit), chain.head);
        assert_int_equal(write_one(audit), 0);
    }
    audit_close(audit);
}

/* --- hostile text --- */

static void expect_path(const char *path, size_t bytes, const char *wanted)
{
    struct audit *audit = open_plain();
    struct audit_request request = request_of(path, bytes);
    struct audit_chain chain;
    char part[4096];
    assert_int_equal(audit_refused(audit, 1, &request, 400, "bad_path", &error), 0);
    audit_close(audit);
    char *line = line_of(check_file(&chain));
    snprintf(part, sizeof part, "\"path\":\"%s\",", wanted);
    if (strstr(line, part) == NULL)
        fail_msg("wanted %s in %s", part, line);
    for (char *at = line; *at != '\0'; at++)
        assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
}

#define EXPECT_PATH(path, wanted) expect_path(path, sizeof(path) - 1, wanted)

static void a_path_cannot_forge_a_record(void **state)
{
    (void)state;
    EXPECT_PATH("/a\n{\"n\":1,\"allowed\":true}", "/a\\n{\\\"n\\\":1,\\\"allowed\\\":true}");
    EXPECT_PATH("/\",\"chain\":\"0\"}", "/\\\",\\\"chain\\\":\\\"0\\\"}");
    EXPECT_PATH("/\x1b[2J\x07", "/\\u001b[2J\\u0007");
    EXPECT_PATH("/\xe2\x80\xa8\xe2\x80\xa9", "/\\u2028\\u2029");
    EXPECT_PATH("/\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf", "/\\u202e\\u2066\\u200b\\ufeff");
    EXPECT_PATH("/\xc2\x9b"
                "31m",
                "/\\u009b31m");
    EXPECT_PATH("/\xc3\xa9", "/\xc3\xa9");
    /* what JSON cannot hold is told by length and hash */
    EXPECT_PATH("/\x9b\0z", "/\xef\xbf\xbd\xef\xbf\xbdz\",\"path_bytes\":4,\"path_sha256\":"
                            "\"9c03bfbb8d54dea77b3bf4f1dd5449cf816207a58b42fc549242401d5606aa5e");
}

static void a_long_text_is_cut_with_its_length_and_hash(void **state)
{
    (void)state;
    struct audit *audit = open_plain();
    char *path = malloc(65536);
    memset(path, 'a', 65536);
    memcpy(path + 1023, "\xc3\xa9", 2); /* the cut would go through this one */
    struct audit_request request = request_of(path, 65536);
    request.method = (struct mf_span){path, 65536};
    assert_int_equal(audit_refused(audit, 1, &request, 414, "bad_path", &error), 0);
    char *line = line_of(2);
    char *shown = strstr(line, "\"path\":\"") + 8;
    assert_int_equal(strspn(shown, "a"), 1023);
    assert_non_null(strstr(shown, "aaa\",\"path_bytes\":65536,\"path_sha256\":\""));
    assert_non_null(strstr(line, "\"method_bytes\":65536,\"method_sha256\":\""));
    /* the worst that can come still fits a line */
    memset(path, 0x01, 65536);
    struct mf_span worst = {path, 65536};
    request = (struct audit_request){
        .subject = {.task = worst, .attempt = UINT32_MAX, .stage = "agent", .provider = worst, .account = UINT32_MAX},
        .request = UINT64_MAX,
        .method = worst,
        .path = worst,
        .rule = worst,
        .permission = worst};
    assert_int_equal(audit_refused(audit, INT64_MIN, &request, INT32_MIN, "bad_path", &error), 0);
    assert_int_equal(audit_allowed(audit, INT64_MIN, &request, &error), 0);
    assert_int_equal(audit_anomaly(audit, 1, &request.subject, "trick", worst, &error), 0);
    assert_int_equal(audit_connected(audit, 1, &request.subject, 1, worst, 1, "x", &error), 0);
    audit_close(audit);
    free(path);
    struct audit_chain chain;
    assert_int_equal(check_file(&chain), 6);
}

static void a_token_is_taken_out(void **state)
{
    (void)state;
#define TOKEN "mfy_0123456789abcdefghijklmnopqrstuvwxyzABCDE-_"
    static const char text[] = "/x?token=" TOKEN "&y=" TOKEN "%20mfy_short";
    struct audit *audit = open_plain();
    struct audit_request request = request_of(text, sizeof text - 1);
    assert_int_equal(audit_refused(audit, 1, &request, 401, "bad_path", &error), 0);
    assert_int_equal(audit_anomaly(audit, 1, &subject, "token_place", MF_SPAN(TOKEN), &error), 0);
    char *large = malloc(3000);
    memset(large, '/', 3000);
    memcpy(large + 1000, TOKEN, sizeof TOKEN - 1); /* over the cut */
    request.path = (struct mf_span){large, 3000};
    assert_int_equal(audit_refused(audit, 1, &request, 401, "bad_path", &error), 0);
    audit_close(audit);
    free(large);
    assert_non_null(
        strstr(line_of(2), "\"path\":\"/x?token=mfy_[redacted]&y=mfy_[redacted]%20mfy_short\",\"path_bytes\":"));
    assert_non_null(strstr(line_of(3), "\"detail\":\"mfy_[redacted]\",\"detail_bytes\":47,"));
    assert_null(strstr(line_of(4), "mfy_0"));
    struct audit_chain chain;
    check_file(&chain);
}

static void what_people_see_of_a_text(void **state)
{
    (void)state;
    struct mf_buf out;
    mf_buf_init(&out, 1000);
    assert_int_equal(audit_show_text(&out, MF_SPAN("GET /" TOKEN "/\x1b?a=" TOKEN), 200), 0);
    assert_string_equal(mf_buf_cstr(&out), "GET /mfy_[redacted]/\\u001b?a=mfy_[redacted]");
    mf_buf_clear(&out);
    assert_int_equal(audit_show_text(&out, MF_SPAN("abcdef"), 3), 0);
    assert_string_equal(mf_buf_cstr(&out), "abc...");
    mf_buf_clear(&out);
    assert_int_equal(audit_show_text(&out, MF_SPAN("abcdef" TOKEN "xyz /tail"), 10), 0);
    assert_string_equal(mf_buf_cstr(&out), "abcdefmfy_[redacted]...");
    mf_buf_free(&out);
}

/* --- another life --- */

struct heard {
    uint64_t lines;
    char last[AUDIT_LINE_BYTES_MAX];
};

static void hear(void *context, struct mf_span line)
{
    struct heard *heard = context;
    heard->lines++;
    snprintf(heard->last, sizeof heard->last, "%.*s", MF_SPAN_ARGS(line));
}

static void a_later_life_goes_on(void **state)
{
    (void)state;
    struct heard heard = {.lines = 0};
    struct audit_options options = options_of();
    struct audit *audit = open_audit(&options);
    assert_int_equal(audit_next_request(audit), 1);
    assert_int_equal(write_one(audit), 0); /* names request 7 */
    options.anchored_count = audit_count(audit);
    memcpy(options.anchored_head, audit_head(audit), AUDIT_HASH_HEX);
    audit_close(audit);
    options.found = hear;
    options.context = &heard;
    audit = open_audit(&options); /* all was journaled */
    assert_int_equal(heard.lines, 2);
    assert_non_null(strstr(heard.last, "\"event\":\"allowed\",\"request\":7,"));
    assert_int_equal(audit_count(audit), 3);
    assert_non_null(strstr(line_of(3), "\"event\":\"opened\",\"version\":1,\"run\":\"abcdefghijkl\",\"life\":2"));
    assert_int_equal(audit_next_request(audit), 8);
    assert_int_equal(write_one(audit), 0);
    audit_close(audit);
    audit = open_audit(&options); /* the last two were not */
    assert_string_equal(line_of(6), "{\"n\":6,\"at_ms\":1000,\"event\":\"unanchored\",\"anchored\":2,\"found\":4");
    audit_close(audit);
    struct audit_chain chain;
    assert_int_equal(check_file(&chain), 6);
}

static void the_journaled_head_must_be_there(void **state)
{
    (void)state;
    struct audit_options options = options_of();
    struct audit_chain chain;
    options.anchored_count = 1;
    memset(options.anchored_head, '0', AUDIT_HASH_HEX - 1);
    expect_refused(&options, MF_STATE); /* no file at all */
    assert_int_equal(faccessat(base_fd, AUDIT_FILE, F_OK, 0), -1);
    audit_close(open_plain());
    expect_refused(&options, MF_STATE); /* another first line */
    options.anchored_count = 2;
    expect_refused(&options, MF_STATE); /* too few lines */
    assert_int_equal(check_file(&chain), 1);
    memcpy(options.anchored_head, chain.head, AUDIT_HASH_HEX);
    options.anchored_count = 1;
    audit_close(open_audit(&options));
}

static void a_torn_line_is_set_aside(void **state)
{
    (void)state;
    struct audit_chain chain;
    audit_close(open_plain());
    append_file("{\"n\":2,\"at_m", 12);
    audit_close(open_plain());
    struct mf_buf torn = read_file("audit.torn-1");
    assert_string_equal(mf_buf_cstr(&torn), "{\"n\":2,\"at_m");
    mf_buf_free(&torn);
    assert_string_equal(line_of(3),
                        "{\"n\":3,\"at_ms\":1000,\"event\":\"unanchored\",\"anchored\":0,\"found\":1,\"torn_bytes\":12,"
                        "\"torn_file\":\"audit.torn-1\"");
    append_file("x", 1);
    audit_close(open_plain());
    torn = read_file("audit.torn-2");
    assert_string_equal(mf_buf_cstr(&torn), "x");
    mf_buf_free(&torn);
    assert_int_equal(check_file(&chain), 5);
}

static void a_file_of_one_torn_line_begins_again(void **state)
{
    (void)state;
    struct audit_chain chain;
    append_file("{\"n\":1", 6);
    audit_close(open_plain());
    assert_int_equal(check_file(&chain), 2);
    assert_non_null(strstr(line_of(1), "\"life\":1"));
}

static void every_changed_byte_breaks_the_chain(void **state)
{
    (void)state;
    struct audit *audit = open_plain();
    assert_int_equal(write_one(audit), 0);
    assert_int_equal(write_one(audit), 0);
    struct audit_options options = options_of();
    options.anchored_count = audit_count(audit);
    memcpy(options.anchored_head, audit_head(audit), AUDIT_HASH_HEX);
    audit_close(audit);
    struct mf_buf text = read_file(AUDIT_FILE);
    int fd = openat(base_fd, AUDIT_FILE, O_WRONLY | O_CLOEXEC);
    for (size_t at = 0; at < text.length; at++) {
        char other = (char)(text.data[at] ^ 1);
        assert_int_equal(pwrite(fd, &other, 1, (off_t)at), 1);
        expect_refused(&options, MF_STATE);
        assert_int_equal(pwrite(fd, &text.data[at], 1, (off_t)at), 1);
    }
    close(fd);
    mf_buf_free(&text);
    audit_close(open_audit(&options));
}

static void lines_that_are_none_of_ours_are_refused(void **state)
{
    (void)state;
    struct audit_options options = options_of();
    static const char *const bad[] = {"\n", "{}\n", "{\"n\":2,\"at_ms\":1}\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        audit_close(open_plain());
        append_file(bad[i], strlen(bad[i]));
        expect_refused(&options, MF_STATE);
        unlinkat(base_fd, AUDIT_FILE, 0);
    }
    char *large = calloc(1, 3u * AUDIT_LINE_BYTES_MAX);
    append_file(large, 3u * AUDIT_LINE_BYTES_MAX);
    expect_refused(&options, MF_STATE);
    free(large);
}

static void only_our_own_file_is_taken(void **state)
{
    (void)state;
    struct audit_options options = options_of();
    struct audit *first = open_plain();
    expect_refused(&options, MF_LOCKED);
    audit_close(first);
    assert_int_equal(linkat(base_fd, AUDIT_FILE, base_fd, "second", 0), 0);
    expect_refused(&options, MF_STATE);
    unlinkat(base_fd, "second", 0);
    assert_int_equal(fchmodat(base_fd, AUDIT_FILE, 0640, 0), 0);
    expect_refused(&options, MF_STATE);
    assert_int_equal(renameat(base_fd, AUDIT_FILE, base_fd, "elsewhere"), 0);
    assert_int_equal(symlinkat("elsewhere", base_fd, AUDIT_FILE), 0);
    expect_refused(&options, MF_OS);
    unlinkat(base_fd, AUDIT_FILE, 0);
    assert_int_equal(mkfifoat(base_fd, AUDIT_FILE, 0600), 0);
    expect_refused(&options, MF_STATE);
}

/* --- what cannot be written does not happen --- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_leaves_whole_lines(void **state)
{
    (void)state;
    struct audit_chain chain;
    struct stat before;
    signal(SIGXFSZ, SIG_IGN);
    struct audit *audit = open_plain();
    assert_int_equal(fstatat(base_fd, AUDIT_FILE, &before, 0), 0);
    for (rlim_t room = 0; room < 40; room += 13) { /* no byte fits; some fit */
        limit_files((rlim_t)before.st_size + room);
        assert_int_equal(write_one(audit), -1);
        assert_int_equal(error.code, MF_OS);
        assert_int_equal(audit_count(audit), 1);
        assert_int_equal(check_file(&chain), 1);
    }
    limit_files(RLIM_INFINITY);
    assert_int_equal(write_one(audit), 0); /* there is room again: it goes on */
    audit_close(audit);
    assert_int_equal(check_file(&chain), 2);
}

/* The descriptor that the record is written to. */
static int find_fd(void)
{
    char wanted[128], name[64], path[256];
    snprintf(wanted, sizeof wanted, "%s/%s", base, AUDIT_FILE);
    for (int fd = 3; fd < 256; fd++) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(name, path, sizeof path - 1);
        if (length > 0 && (size_t)length == strlen(wanted) && memcmp(path, wanted, (size_t)length) == 0)
            return fd;
    }
    return -1;
}

static void a_lost_descriptor_is_given_up(void **state)
{
    (void)state;
    struct audit_chain chain;
    struct audit *audit = open_plain();
    int fd = find_fd();
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(write_one(audit), -1);
    assert_int_equal(error.os_errno, EBADF);
    int other = openat(base_fd, "other", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(other, fd); /* the number is somebody else's now */
    assert_int_equal(write_one(audit), -1);
    audit_close(audit);
    assert_int_equal(lseek(other, 0, SEEK_END), 0);
    close(other);
    assert_int_equal(check_file(&chain), 1);
}

static void a_descriptor_that_may_not_write_is_refused_each_time(void **state)
{
    (void)state;
    struct audit *audit = open_plain();
    int fd = find_fd();
    int readable = openat(base_fd, AUDIT_FILE, O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup3(readable, fd, O_CLOEXEC), fd);
    close(readable);
    assert_int_equal(write_one(audit), -1);
    assert_int_equal(write_one(audit), -1);
    audit_close(audit);
    struct audit_chain chain;
    assert_int_equal(check_file(&chain), 1);
}

static void without_memory_nothing_is_half_done(void **state)
{
    (void)state;
    struct audit_options options = options_of();
    struct audit_chain chain;
    bool done = false;
    audit_close(open_plain());
    append_file("torn", 4);
    for (int64_t n = 0; !done && n < 200; n++) {
        struct audit *audit;
        mf_alloc_fail_after(n, 1);
        done = audit_open(&audit, &options, &error) == 0;
        mf_alloc_fail_after(-1, 0);
        if (done) {
            mf_alloc_fail_after(0, 0); /* an open file needs no memory any more */
            assert_int_equal(write_one(audit), 0);
            mf_alloc_fail_after(-1, 0);
        }
        audit_close(audit);
    }
    assert_true(done);
    assert_int_equal(check_file(&chain), 4);
}

static void a_chain_is_taken_line_by_line(void **state)
{
    (void)state;
    struct audit_chain chain = {.count = 0};
    static const char *const bad[] = {
        "",
        "{",
        "{\"n\":1,\"at_ms\":1}",
        "{\"n\":2,\"at_ms\":1,\"chain\":\"0000000000000000000000000000000000000000000000000000000000000000\"}",
        "{\"n\":1,\"at_ms\":1,\"chain\":\"1000000000000000000000000000000000000000000000000000000000000000\"}",
        "{\"n\":1,\"at_ms\":1,\"chain\":\"0000000000000000000000000000000000000000000000000000000000000000\"} ",
        "{\"n\":1,\"at_ms\":\n1,\"chain\":\"0000000000000000000000000000000000000000000000000000000000000000\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(audit_chain_take(&chain, mf_span(bad[i]), &error), -1);
        assert_int_equal(chain.count, 0);
    }
    assert_int_equal(
        audit_chain_take(
            &chain,
            MF_SPAN(
                "{\"n\":1,\"at_ms\":1,\"chain\":\"0000000000000000000000000000000000000000000000000000000000000000\"}"),
            &error),
        0);
    assert_int_equal(chain.count, 1);
    assert_string_equal(chain.head, "8e180611637e11c303a55799dfeb288cd453efe9384e5f181c0e1cc5e6f64b90");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_record_has_its_form),
        TEST(the_file_is_private_and_the_head_is_its_last_line),
        TEST(a_path_cannot_forge_a_record),
        TEST(a_long_text_is_cut_with_its_length_and_hash),
        TEST(a_token_is_taken_out),
        TEST(what_people_see_of_a_text),
        TEST(a_later_life_goes_on),
        TEST(the_journaled_head_must_be_there),
        TEST(a_torn_line_is_set_aside),
        TEST(a_file_of_one_torn_line_begins_again),
        TEST(every_changed_byte_breaks_the_chain),
        TEST(lines_that_are_none_of_ours_are_refused),
        TEST(only_our_own_file_is_taken),
        TEST(a_full_disk_leaves_whole_lines),
        TEST(a_lost_descriptor_is_given_up),
        TEST(a_descriptor_that_may_not_write_is_refused_each_time),
        TEST(without_memory_nothing_is_half_done),
        TEST(a_chain_is_taken_line_by_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
