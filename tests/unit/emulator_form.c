/* emulator_form.c - JSON that came as form fields */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulator/form_json.h"
#include "emulator/multipart.h"

#include <string.h>

static const char content_type[] = "multipart/form-data; boundary=B";

/* Pairs of name and value, NULL at the end. */
static void make_form(struct mf_buf *out, const char *const *pairs)
{
    mf_buf_init(out, 1u << 20);
    for (; pairs[0] != NULL; pairs += 2)
        mf_buf_printf(out, "--B\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", pairs[0], pairs[1]);
    mf_buf_text(out, "--B--\r\n");
}

static int put_together(const char *const *pairs, const char *type, struct mf_buf *out)
{
    struct mf_buf body;
    make_form(&body, pairs);
    mf_buf_init(out, 1u << 16);
    int found = emu_form_json(mf_span(type), mf_buf_view(&body), "metadata", out);
    mf_buf_free(&body);
    return found;
}

static void test_whole(void **state)
{
    (void)state;
    static const char *const pairs[] = {"metadata[main_module]",
                                        "index.js",
                                        "metadata[bindings][][type]",
                                        "d1",
                                        "metadata[bindings][][id]",
                                        "1",
                                        "metadata[bindings][][type]",
                                        "kv",
                                        "metadata[flags][]",
                                        "a",
                                        "metadata[flags][]",
                                        "b",
                                        "metadata[assets][config][on]",
                                        "true",
                                        "files[]",
                                        "x",
                                        NULL};
    struct mf_buf out;
    assert_int_equal(put_together(pairs, content_type, &out), 1);
    assert_string_equal(mf_buf_cstr(&out),
                        "{\"main_module\":\"index.js\",\"bindings\":[{\"type\":\"d1\",\"id\":\"1\"},{\"type\":\"kv\"}],"
                        "\"flags\":[\"a\",\"b\"],\"assets\":{\"config\":{\"on\":true}}}");
    mf_buf_free(&out);
    assert_int_equal(put_together(pairs, "application/javascript", &out),
                     1); /* the first line says what the boundary is */
    mf_buf_free(&out);
}

static void test_none_and_bad(void **state)
{
    (void)state;
    static const char *const none[] = {"other[a]", "1", "metadata", "{}", NULL};
    static const char *const bad[][5] = {{"metadata[a]", "1", "metadata[a][b]", "2", NULL},
                                         {"metadata[a][]", "1", "metadata[a][b]", "2", NULL},
                                         {"metadata[a", "1", NULL},
                                         {"metadata[a]b", "1", NULL},
                                         {"metadata[a]", "1", "metadata[a]", "2", NULL}};
    struct mf_buf out;
    assert_int_equal(put_together(none, content_type, &out), 0);
    mf_buf_free(&out);
    for (size_t each = 0; each < sizeof(bad) / sizeof(bad[0]); each++) {
        assert_int_equal(put_together(bad[each], content_type, &out), -1);
        mf_buf_free(&out);
    }
}

static void test_find_by_file_name(void **state)
{
    (void)state;
    struct emu_part part;
    struct mf_span body =
        MF_SPAN("--B\r\nContent-Disposition: form-data; name=\"files[]\"; filename=\"a.js\"\r\n\r\none\r\n"
                "--B\r\nContent-Disposition: form-data; name=\"a.js\"\r\n\r\ntwo\r\n--B--\r\n");
    assert_true(emu_multipart_find(mf_span(content_type), body, "a.js", &part));
    assert_true(mf_span_is(part.data, "two")); /* a part's own name wins */
    assert_true(emu_multipart_find(mf_span(content_type), body, "files[]", &part));
    assert_true(mf_span_is(part.data, "one"));
    assert_false(emu_multipart_find(mf_span(content_type), body, "b.js", &part));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_none_and_bad),
                                       cmocka_unit_test(test_find_by_file_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
