/* report_trail.c - reading the record: whole, changed, cut off, torn, missing; and lines taken apart */
#include "report_help.h"

static struct report_run report;

static int setup(void **state)
{
    (void)state;
    report_open(&report);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    report_close(&report);
    return 0;
}

struct told {
    uint64_t lines;
    enum trail_event last;
};

static int count_line(void *context, const struct trail_line *line, struct mf_error *error)
{
    (void)error;
    struct told *told = context;
    assert_int_equal(line->n, ++told->lines);
    told->last = line->event;
    return 0;
}

static void anchor(struct trail_anchor *anchors, size_t *count)
{
    anchors[*count] = (struct trail_anchor){.count = audit_count(report.audit), .seq = 7 + *count, .at_ms = 1};
    snprintf(anchors[*count].head, AUDIT_HASH_HEX, "%s", audit_head(report.audit));
    (*count)++;
}

static struct trail_result read_trail(const struct trail_anchor *anchors, size_t count, uint64_t told_wanted)
{
    struct trail_result result;
    struct told told = {0};
    struct mf_error error = {0};
    assert_ok(trail_read(report.dir_fd, anchors, count, count_line, &told, &result, &error));
    assert_int_equal(told.lines, told_wanted);
    assert_int_equal(result.lines, told_wanted);
    return result;
}

static void fill(struct trail_anchor *anchors, size_t *count)
{
    for (int i = 0; i < 5; i++) {
        report_request(&report, report_subject("deploy/0", "agent", 1), "PUT", "/a/1/s/x", "PUT /a/{id}/s/{script}", "s:write", 200);
        if (i % 2 == 0)
            anchor(anchors, count);
    }
}

static void edit_file(size_t at, const char *with, ssize_t cut_to)
{
    int fd = openat(report.dir_fd, AUDIT_FILE, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, with, strlen(with), (off_t)at), strlen(with));
    if (cut_to >= 0)
        assert_int_equal(ftruncate(fd, cut_to), 0);
    close(fd);
}

static size_t file_bytes(void)
{
    struct stat found;
    assert_int_equal(fstatat(report.dir_fd, AUDIT_FILE, &found, 0), 0);
    return (size_t)found.st_size;
}

static void test_whole(void **state)
{
    (void)state;
    struct trail_anchor anchors[8];
    size_t count = 0;
    fill(anchors, &count);
    struct trail_result result = read_trail(anchors, count, 11);
    assert_int_equal(result.fault, TRAIL_NONE);
    assert_string_equal(result.head, audit_head(report.audit));
    assert_int_equal(result.anchors, 3);
    assert_int_equal(result.anchored, 11);
    assert_int_equal(result.lives, 1);
    result = read_trail(anchors, 1, 11); /* lines behind the last journaled head: a run that goes on */
    assert_int_equal(result.anchored, 3);
    assert_int_equal(result.fault, TRAIL_NONE);
    result = read_trail(NULL, 0, 11);
    assert_int_equal(result.anchors, 0);
}

static void test_changed_line(void **state)
{
    (void)state;
    struct trail_anchor anchors[8];
    size_t count = 0;
    fill(anchors, &count);
    edit_file(file_bytes() / 2, "X", -1);
    struct trail_result result;
    struct mf_error error = {0};
    struct told told = {0};
    assert_ok(trail_read(report.dir_fd, anchors, count, count_line, &told, &result, &error));
    assert_int_equal(result.fault, TRAIL_BROKEN);
    assert_true(result.lines > 2 && result.lines < 9);
    assert_int_equal(told.lines, result.lines);
    assert_non_null(strstr(result.text, "line"));
}

/* A chain that is whole in itself, written anew by who holds the file: only the journal knows better. */
static void test_rewritten(void **state)
{
    (void)state;
    struct trail_anchor anchors[8];
    size_t count = 0;
    struct mf_error error = {0};
    fill(anchors, &count);
    audit_close(report.audit);
    assert_int_equal(unlinkat(report.dir_fd, AUDIT_FILE, 0), 0);
    const struct audit_options options = {.run_dir_fd = report.dir_fd, .run_id = report.run.id, .at_ms = 1000};
    assert_ok(audit_open(&report.audit, &options, &error));
    for (int i = 0; i < 9; i++)
        report_refusal(&report, report_subject("deploy/0", "agent", 1), "GET", "/x", "", "", "no_rule");
    struct trail_result result = read_trail(anchors, count, 2);
    assert_int_equal(result.fault, TRAIL_CHANGED);
    assert_string_equal(result.text, "line 3 is not the one that was journaled");
    assert_int_equal(read_trail(NULL, 0, 10).fault, TRAIL_NONE);
}

static void test_cut_off(void **state)
{
    (void)state;
    struct trail_anchor anchors[8];
    size_t count = 0;
    fill(anchors, &count);
    int fd = openat(report.dir_fd, AUDIT_FILE, O_RDONLY);
    char *text = mf_calloc(1, file_bytes() + 1);
    assert_int_equal(read(fd, text, file_bytes()), file_bytes());
    close(fd);
    char *end = text;
    for (int i = 0; i < 9; i++)
        end = strchr(end, '\n') + 1;
    edit_file(0, "", end - text);
    struct trail_result result = read_trail(anchors, count, 9);
    assert_int_equal(result.fault, TRAIL_SHORT);
    assert_non_null(strstr(result.text, "knows 11 lines"));
    edit_file(0, "", end - text - 5); /* within a line */
    result = read_trail(anchors, 1, 8);
    assert_int_equal(result.fault, TRAIL_NONE);
    assert_true(result.torn_bytes > 100);
    mf_free(text);
}

static void test_missing(void **state)
{
    (void)state;
    struct trail_anchor anchors[8];
    size_t count = 0;
    fill(anchors, &count);
    assert_int_equal(unlinkat(report.dir_fd, AUDIT_FILE, 0), 0);
    struct trail_result result = read_trail(anchors, count, 0);
    assert_int_equal(result.fault, TRAIL_MISSING);
    assert_false(result.present);
    assert_int_equal(read_trail(NULL, 0, 0).fault, TRAIL_NONE); /* a run from before there was a record */
}

static void test_other_kinds_of_file(void **state)
{
    (void)state;
    struct trail_result result;
    struct mf_error error = {0};
    assert_int_equal(unlinkat(report.dir_fd, AUDIT_FILE, 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", report.dir_fd, AUDIT_FILE), 0);
    assert_int_equal(trail_read(report.dir_fd, NULL, 0, NULL, NULL, &result, &error), -1);
    assert_int_equal(unlinkat(report.dir_fd, AUDIT_FILE, 0), 0);
    assert_int_equal(mkfifoat(report.dir_fd, AUDIT_FILE, 0600), 0);
    assert_int_equal(trail_read(report.dir_fd, NULL, 0, NULL, NULL, &result, &error), -1);
    assert_non_null(strstr(error.text, "no regular file"));
}

/* Lines longer than any of ours, and bytes that are no lines. */
static void test_noise(void **state)
{
    (void)state;
    size_t bytes = file_bytes();
    char *noise = mf_calloc(1, 40001);
    memset(noise, 'x', 40000);
    edit_file(bytes, noise, -1);
    assert_int_equal(read_trail(NULL, 0, 1).fault, TRAIL_BROKEN);
    noise[30000] = '\n';
    edit_file(bytes, noise, -1);
    assert_int_equal(read_trail(NULL, 0, 1).fault, TRAIL_BROKEN);
    mf_free(noise);
}

static void test_members(void **state)
{
    (void)state;
    struct trail_line line;
    struct mf_buf room;
    struct mf_error error = {0};
    mf_buf_init(&room, 2 * AUDIT_LINE_BYTES_MAX);
    assert_ok(trail_parse(&line,
                          MF_SPAN("{\"n\":3,\"at_ms\":5,\"event\":\"answered\",\"task\":\"d/\\u0031\",\"detail\":\"a\\nb\",\"status\":200,"
                                  "\"account\":2,\"usage\":{\"model\":\"m\\\"\",\"input_tokens\":7},\"newer\":[1],\"chain\":\"x\"}"),
                          &room, &error));
    assert_int_equal(line.n, 3);
    assert_int_equal(line.event, TRAIL_ANSWERED);
    assert_true(mf_span_is(line.task, "d/1"));
    assert_true(mf_span_is(line.detail, "a\nb"));
    assert_true(mf_span_is(line.model, "m\""));
    assert_int_equal(line.status, 200);
    assert_int_equal(line.input_tokens, 7);
    assert_int_equal(line.micro_usd, -1);
    assert_true(line.has_usage);
    assert_ok(trail_parse(&line, MF_SPAN("{\"n\":1,\"event\":\"newer\"}"), &room, &error));
    assert_int_equal(line.event, TRAIL_OTHER);
    static const char *const bad[] = {"", "x", "[]", "{}", "{\"n\":0}", "{\"n\":\"1\"}", "{\"n\":1,\"status\":\"x\"}", "{\"n\":1,\"task\":5}", "{\"n\":1,\"usage\":{\"input_tokens\":1.5}}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (trail_parse(&line, mf_span(bad[i]), &room, &error) == 0)
            fail_msg("taken: %s", bad[i]);
    }
    mf_buf_free(&room);
}

static void test_without_memory(void **state)
{
    (void)state;
    struct trail_anchor anchors[8];
    size_t count = 0;
    fill(anchors, &count);
    int n = 0;
    for (bool done = false; !done; n++) {
        struct trail_result result;
        struct mf_error error = {0};
        mf_alloc_fail_after(n, 1);
        done = trail_read(report.dir_fd, anchors, count, NULL, NULL, &result, &error) == 0;
        mf_alloc_fail_after(-1, 0);
        assert_true(done || error.code == MF_MEMORY);
        assert_int_equal(result.fault, TRAIL_NONE);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rewritten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_kinds_of_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
