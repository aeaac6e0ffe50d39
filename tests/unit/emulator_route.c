/* emulator_route.c - the route table and multipart bodies */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulator/multipart.h"
#include "emulator/route.h"

#include <string.h>

static struct emu_router *router;

static int set_up(void **state)
{
    (void)state;
    return emu_router_create(&router);
}

static int tear_down(void **state)
{
    (void)state;
    emu_router_destroy(router);
    return 0;
}

static struct emu_match match(const char *method, const char *path)
{
    struct emu_match out;
    emu_router_match(router, mf_span(method), mf_span(path), &out);
    return out;
}

static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *route, *last;
        enum emu_access access;
    } rows[] = {
        {"GET", "/accounts", "/accounts", NULL, EMU_ACCESS_ANY_TOKEN},
        {"HEAD", "/accounts/a", "/accounts/{account}", "a", EMU_ACCESS_ANY_ACCOUNT},
        {"GET", "/accounts/a/tokens/verify", "/accounts/{account}/tokens/verify", "a", EMU_ACCESS_ANY_ACCOUNT},
        {"GET", "/accounts/a/tokens/t", "/accounts/{account}/tokens/{token}", "t", EMU_ACCESS_TOKENS_READ},
        {"POST", "/accounts/a/tokens", "/accounts/{account}/tokens", "a", EMU_ACCESS_TOKENS_WRITE},
        {"PUT", "/accounts/a/workers/scripts/s", "/accounts/{account}/workers/scripts/{script}", "s", EMU_ACCESS_SCRIPTS_WRITE},
        {"PUT", "/accounts/a/storage/kv/namespaces/n/values/a%2Fb", "/accounts/{account}/storage/kv/namespaces/{namespace}/values/{key}", "a%2Fb", EMU_ACCESS_KV_WRITE},
        {"GET", "/accounts/a/r2/buckets/b/objects/x/y/z", "/accounts/{account}/r2/buckets/{bucket}/objects/{key...}", "x/y/z", EMU_ACCESS_R2_ITEM_READ},
        {"DELETE", "/accounts/a/r2/buckets/b/objects/1/2/3/4/5/6/7/8/9/10", "/accounts/{account}/r2/buckets/{bucket}/objects/{key...}", "1/2/3/4/5/6/7/8/9/10", EMU_ACCESS_R2_ITEM_WRITE},
    };
    for (size_t each = 0; each < sizeof(rows) / sizeof(rows[0]); each++) {
        struct emu_match found = match(rows[each].method, rows[each].path);
        if (found.route == NULL)
            fail_msg("no route: %s %s", rows[each].method, rows[each].path);
        assert_string_equal(found.route->path, rows[each].route);
        assert_int_equal(found.route->access, rows[each].access);
        if (rows[each].last != NULL)
            assert_true(mf_span_is(found.parameters[found.parameter_count - 1], rows[each].last));
    }
}

static void test_no_route(void **state)
{
    (void)state;
    static const char *const paths[] = {"", "/", "accounts", "/account", "/accounts/", "/accounts//tokens", "/accounts/a/workers", "/accounts/a/tokens/t/value/x",
                                        "/accounts/a/r2/buckets/b/objects/", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14"};
    for (size_t each = 0; each < sizeof(paths) / sizeof(paths[0]); each++)
        if (match("GET", paths[each]).route != NULL)
            fail_msg("a route for \"%s\"", paths[each]);
    struct emu_match other = match("PATCH", "/accounts");
    assert_null(other.route);
    assert_true(other.other_method);
}

#define BODY(text) MF_SPAN(text)
static const char content_type[] = "multipart/form-data; boundary=\"xyz\"";

static void test_multipart(void **state)
{
    (void)state;
    static const char body[] =
        "--xyz\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{\"a\":1}\r\n"
        "--xyz\r\nContent-Disposition: form-data; name=\"index.js\"; filename=\"index.js\"\r\nContent-Type: application/javascript+module\r\n\r\nline\r\n--xy\r\n\r\n"
        "--xyz--\r\n";
    struct emu_part part;
    assert_true(emu_multipart_find(mf_span(content_type), mf_span(body), "metadata", &part));
    assert_true(mf_span_is(part.data, "{\"a\":1}"));
    assert_int_equal(part.content_type.length, 0);
    assert_true(emu_multipart_find(mf_span(content_type), mf_span(body), "index.js", &part));
    assert_true(mf_span_is(part.data, "line\r\n--xy\r\n"));
    assert_true(mf_span_is(part.content_type, "application/javascript+module"));
    assert_true(mf_span_is(part.file_name, "index.js"));
    assert_false(emu_multipart_find(mf_span(content_type), mf_span(body), "other", &part));
    assert_false(emu_multipart_find(MF_SPAN("application/json"), mf_span(body), "metadata", &part));
}

/* Every prefix of a body is refused or ends early, and none is read beyond its end (the sanitizer looks). */
static void test_multipart_cut(void **state)
{
    (void)state;
    static const char body[] = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nvalue\r\n--b--\r\n";
    for (size_t length = 0; length < sizeof(body) - 1; length++) {
        char *copy = test_malloc(length + 1);
        memcpy(copy, body, length);
        struct emu_multipart multipart;
        struct emu_part part;
        struct mf_span cut = {copy, length};
        int more = emu_multipart_begin(&multipart, MF_SPAN("multipart/form-data; boundary=b"), cut);
        while (more == 0 && (more = emu_multipart_next(&multipart, &part)) == 1)
            more = 0;
        test_free(copy);
    }
    struct emu_multipart multipart;
    assert_int_equal(emu_multipart_begin(&multipart, MF_SPAN("multipart/form-data"), BODY("--b")), -1);
    assert_int_equal(emu_multipart_begin(&multipart, MF_SPAN("multipart/form-data; boundary="), BODY("--")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows), cmocka_unit_test(test_no_route), cmocka_unit_test(test_multipart), cmocka_unit_test(test_multipart_cut),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
