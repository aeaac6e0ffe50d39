/* report_diff.c - unified diffs of known edits, and the numbers of keys */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "report/diff.h"
#include "report/tally.h"

#include <stdio.h>
#include <string.h>

static void check(const char *old, const struct diff_edit *given, size_t count, const char *wanted)
{
    struct diff_edit edits[8];
    struct mf_buf out;
    struct mf_error error = {0};
    memcpy(edits, given, count * sizeof *edits);
    mf_buf_init(&out, 1u << 20);
    assert_int_equal(diff_make(mf_span(old), edits, count, "g.json", &out, &error), 0);
    assert_string_equal(mf_buf_cstr(&out), wanted);
    mf_buf_free(&out);
}
#define HEAD "--- a/g.json\n+++ b/g.json\n"

static void test_hunks(void **state)
{
    (void)state;
    check("one\n", (struct diff_edit[]){{0, 3, MF_SPAN("two")}}, 1, HEAD "@@ -1,1 +1,1 @@\n-one\n+two\n");
    check("a\nb\nc\nd\ne\nf\ng\nh\ni\n", (struct diff_edit[]){{8, 1, MF_SPAN("E")}}, 1,
          HEAD "@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n");
    /* lines more and less, numbers of later hunks */
    check("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n", (struct diff_edit[]){{18, 1, MF_SPAN("J")}, {0, 1, MF_SPAN("1\n2\n3")}}, 2,
          HEAD "@@ -1,4 +1,6 @@\n-a\n+1\n+2\n+3\n b\n c\n d\n@@ -7,4 +9,4 @@\n g\n h\n i\n-j\n+J\n");
    /* two edits whose context meets are one hunk; two on one line are one line */
    check("a b\nc\nd\ne\n", (struct diff_edit[]){{0, 1, MF_SPAN("A")}, {2, 1, MF_SPAN("B")}, {8, 1, MF_SPAN("E")}}, 3,
          HEAD "@@ -1,4 +1,4 @@\n-a b\n+A B\n c\n d\n-e\n+E\n");
    /* an edit over several lines, and one that begins where it ends */
    check("x[\n1,\n2\n] y\n", (struct diff_edit[]){{1, 8, MF_SPAN("[]")}, {10, 1, MF_SPAN("z")}}, 2,
          HEAD "@@ -1,4 +1,1 @@\n-x[\n-1,\n-2\n-] y\n+x[] z\n");
    /* nothing is taken, something comes */
    check("{ }\n", (struct diff_edit[]){{1, 0, MF_SPAN(" \"a\": 1")}}, 1, HEAD "@@ -1,1 +1,1 @@\n-{ }\n+{ \"a\": 1 }\n");
}

static void test_no_newline_at_the_end(void **state)
{
    (void)state;
    check("a\nb", (struct diff_edit[]){{0, 1, MF_SPAN("A")}}, 1,
          HEAD "@@ -1,2 +1,2 @@\n-a\n+A\n b\n\\ No newline at end of file\n");
    check("b", (struct diff_edit[]){{0, 1, MF_SPAN("B")}}, 1,
          HEAD "@@ -1,1 +1,1 @@\n-b\n\\ No newline at end of file\n+B\n\\ No newline at end of file\n");
}

/* --- any edits: what `patch` would make of it is the edited text --- */

static void apply_edits(struct mf_span old, const struct diff_edit *edits, size_t count, struct mf_buf *out)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        mf_buf_append(out, old.data + at, edits[i].offset - at);
        mf_buf_span(out, edits[i].text);
        at = edits[i].offset + edits[i].length;
    }
    mf_buf_append(out, old.data + at, old.length - at);
}

static size_t line_at(struct mf_span text, size_t at)
{
    const char *end = memchr(text.data + at, '\n', text.length - at);
    return end != NULL ? (size_t)(end - text.data) + 1 : text.length;
}

/* Applies a diff line by line and checks what it says of the old text and of its own counts. */
static void apply_diff(struct mf_span old, struct mf_span diff, struct mf_buf *out)
{
    size_t from = 0;
    size_t at = line_at(diff, line_at(diff, 0));
    long line = 1, fresh = 1;
    while (at < diff.length) {
        long old_line, old_count, new_line, new_count;
        char head[80];
        size_t end = line_at(diff, at);
        assert_true(end - at < sizeof head);
        memcpy(head, diff.data + at, end - at);
        head[end - at] = '\0';
        assert_int_equal(sscanf(head, "@@ -%ld,%ld +%ld,%ld @@", &old_line, &old_count, &new_line, &new_count), 4);
        for (; line < old_line; line++, fresh++) {
            size_t next = line_at(old, from);
            mf_buf_append(out, old.data + from, next - from);
            from = next;
        }
        assert_int_equal(fresh, new_line);
        for (at = end; at < diff.length && diff.data[at] != '@'; at = end) {
            end = line_at(diff, at);
            size_t length = end - at - 1;
            bool bare = end < diff.length && diff.data[end] == '\\';
            length -= bare;
            if (diff.data[at] == ' ' || diff.data[at] == '-') {
                size_t next = line_at(old, from);
                assert_int_equal(next - from, length);
                assert_memory_equal(old.data + from, diff.data + at + 1, length);
                from = next;
                line++;
                old_count--;
            }
            if (diff.data[at] == ' ' || diff.data[at] == '+') {
                mf_buf_append(out, diff.data + at + 1, length);
                fresh++;
                new_count--;
            }
            if (bare)
                end = line_at(diff, end);
        }
        assert_int_equal(old_count, 0);
        assert_int_equal(new_count, 0);
    }
    mf_buf_append(out, old.data + from, old.length - from);
}

static void test_any_edits(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x", "\n", "new\nlines\n", "[\n]", "long text without an end"};
    struct mf_rng rng;
    mf_rng_seed(&rng, 5);
    for (int round = 0; round < 3000; round++) {
        struct mf_buf old, wanted, diff, got;
        struct diff_edit edits[4];
        struct mf_error error = {0};
        mf_buf_init(&old, 4096);
        mf_buf_init(&wanted, 1u << 16);
        mf_buf_init(&diff, 1u << 16);
        mf_buf_init(&got, 1u << 16);
        size_t bytes = 1 + mf_rng_below(&rng, 120);
        for (size_t i = 0; i < bytes; i++)
            mf_buf_char(&old, mf_rng_below(&rng, 4) == 0 ? '\n' : (char)('a' + mf_rng_below(&rng, 26)));
        size_t count = 0;
        for (size_t at = 0; count < 4 && at < bytes; count++) {
            at += mf_rng_below(&rng, 40);
            if (at >= bytes)
                break;
            size_t length = mf_rng_below(&rng, bytes - at < 9 ? (uint32_t)(bytes - at) : 9);
            edits[count] = (struct diff_edit){at, length, mf_span(texts[mf_rng_below(&rng, 6)])};
            at += length + 1;
        }
        if (count > 0) {
            apply_edits(mf_buf_view(&old), edits, count, &wanted);
            assert_int_equal(diff_make(mf_buf_view(&old), edits, count, "g", &diff, &error), 0);
            apply_diff(mf_buf_view(&old), mf_buf_view(&diff), &got);
            if (!mf_span_equal(mf_buf_view(&got), mf_buf_view(&wanted)))
                fail_msg("round %d:\n%s\n--- diff\n%s--- got\n%s", round, mf_buf_cstr(&old), mf_buf_cstr(&diff),
                         mf_buf_cstr(&got));
        }
        mf_buf_free(&old);
        mf_buf_free(&wanted);
        mf_buf_free(&diff);
        mf_buf_free(&got);
    }
}

static void test_tally(void **state)
{
    (void)state;
    struct tally tally = {0};
    uint32_t number;
    bool fresh;
    char key[32];
    assert_false(tally_known(&tally, MF_SPAN("key 7"), &number));
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < 1000; i++) {
            snprintf(key, sizeof key, "key %u", i);
            assert_int_equal(tally_number(&tally, mf_span(key), &number, &fresh), 0);
            assert_int_equal(number, i);
            assert_int_equal(fresh, pass == 0);
        }
    }
    assert_int_equal(tally_number(&tally, (struct mf_span){"key\0 7", 6}, &number, &fresh), 0);
    assert_true(fresh);
    assert_true(tally_known(&tally, MF_SPAN("key 7"), &number));
    assert_int_equal(number, 7);
    assert_false(tally_known(&tally, MF_SPAN("key"), &number));
    tally_free(&tally);
}

static int use_both(void)
{
    struct tally tally = {0};
    struct mf_buf out;
    struct mf_error error;
    uint32_t number;
    bool fresh;
    struct diff_edit edit = {0, 1, MF_SPAN("b")};
    mf_buf_init(&out, 1000);
    int status = 0;
    for (char key = 'a'; key < 'z' && status == 0; key++)
        status = tally_number(&tally, (struct mf_span){&key, 1}, &number, &fresh);
    if (status == 0)
        status = diff_make(MF_SPAN("a\n"), &edit, 1, "g", &out, &error);
    tally_free(&tally);
    mf_buf_free(&out);
    return status;
}

static void test_without_memory(void **state)
{
    (void)state;
    int n = 0;
    for (bool done = false; !done; n++) {
        mf_alloc_fail_after(n, 1);
        done = use_both() == 0;
        mf_alloc_fail_after(-1, 0);
    }
    assert_true(n > 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hunks), cmocka_unit_test(test_no_newline_at_the_end), cmocka_unit_test(test_any_edits),
        cmocka_unit_test(test_tally), cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
