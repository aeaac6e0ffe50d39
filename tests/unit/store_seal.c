/* store_seal.c - tests of sealed values: round trip, every changed byte, the key file, no memory */
#include "store_help.h"

#include "store/seal.h"

static int setup(void **state)
{
    (void)state;
    help_make_base();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    help_remove_base();
    return 0;
}

static struct seal_key *make_key(const char *name)
{
    struct mf_error error;
    struct seal_key *key;
    assert_ok(seal_key_open(&key, help_path(name), true, &error));
    return key;
}

static void test_round_trip_and_every_changed_byte(void **state)
{
    (void)state;
    struct mf_error error;
    struct seal_key *key = make_key("key");
    struct mf_buf sealed, opened;
    mf_buf_init(&sealed, 1000);
    mf_buf_init_secret(&opened, 1000);
    assert_ok(seal_value(key, MF_SPAN("run/1/secrets"), MF_SPAN("the secret"), &sealed, &error));
    assert_int_equal(sealed.length, strlen("the secret") + SEAL_OVERHEAD_BYTES);
    assert_null(memmem(sealed.data, sealed.length, "secret", 6));
    assert_ok(seal_open(key, MF_SPAN("run/1/secrets"), mf_buf_view(&sealed), &opened, &error));
    assert_string_equal(mf_buf_cstr(&opened), "the secret");
    mf_buf_clear(&opened);
    for (size_t i = 0; i < sealed.length; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(seal_open(key, MF_SPAN("run/1/secrets"), mf_buf_view(&sealed), &opened, &error), -1);
        assert_int_equal(error.code, MF_CRYPTO);
        assert_int_equal(opened.length, 0);
        sealed.data[i] ^= 1;
    }
    for (size_t length = 0; length < sealed.length; length++)
        assert_int_equal(seal_open(key, MF_SPAN("run/1/secrets"), (struct mf_span){sealed.data, length}, &opened, &error), -1);
    assert_int_equal(seal_open(key, MF_SPAN("run/2/secrets"), mf_buf_view(&sealed), &opened, &error), -1);
    struct seal_key *other = make_key("other");
    assert_int_equal(seal_open(other, MF_SPAN("run/1/secrets"), mf_buf_view(&sealed), &opened, &error), -1);
    seal_key_close(other);
    seal_key_close(key);
    mf_buf_free(&sealed);
    mf_buf_free(&opened);
}

static void test_empty_values_and_fresh_nonces(void **state)
{
    (void)state;
    struct mf_error error;
    struct seal_key *key = make_key("key");
    struct mf_buf one, two, opened;
    mf_buf_init(&one, 100);
    mf_buf_init(&two, 100);
    mf_buf_init_secret(&opened, 100);
    assert_ok(seal_value(key, MF_SPAN("c"), MF_SPAN(""), &one, &error));
    assert_ok(seal_value(key, MF_SPAN("c"), MF_SPAN(""), &two, &error));
    assert_memory_not_equal(one.data, two.data, one.length);
    assert_ok(seal_open(key, MF_SPAN("c"), mf_buf_view(&one), &opened, &error));
    assert_int_equal(opened.length, 0);
    seal_key_close(key);
    mf_buf_free(&one);
    mf_buf_free(&two);
    mf_buf_free(&opened);
}

static void test_the_key_file(void **state)
{
    (void)state;
    struct mf_error error;
    struct seal_key *key;
    struct stat status;
    assert_int_equal(seal_key_open(&key, help_path("key"), false, &error), -1);
    assert_int_equal(error.code, MF_STATE);
    seal_key_close(make_key("key"));
    assert_int_equal(stat(help_path("key"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, 32);
    seal_key_close(make_key("key")); /* it stays */
    assert_int_equal(chmod(help_path("key"), 0640), 0);
    assert_int_equal(seal_key_open(&key, help_path("key"), true, &error), -1);
    assert_non_null(strstr(error.text, "chmod 600"));
    assert_int_equal(chmod(help_path("key"), 0600), 0);
    assert_int_equal(truncate(help_path("key"), 31), 0);
    assert_int_equal(seal_key_open(&key, help_path("key"), true, &error), -1);
    assert_non_null(strstr(error.text, "32 bytes"));
    assert_int_equal(truncate(help_path("key"), 100), 0);
    assert_int_equal(seal_key_open(&key, help_path("key"), true, &error), -1);
    assert_int_equal(rename(help_path("key"), help_path("moved")), 0);
    assert_int_equal(symlink("moved", help_path("key")), 0);
    assert_int_equal(seal_key_open(&key, help_path("key"), true, &error), -1);
    assert_non_null(strstr(error.text, "symbolic link"));
}

static void test_no_memory(void **state)
{
    (void)state;
    struct mf_error error;
    struct seal_key *key = make_key("key");
    for (int64_t n = 0; n < 8; n++) {
        struct mf_buf sealed;
        mf_buf_init(&sealed, 1000);
        mf_alloc_fail_after(n, 1);
        int status = seal_value(key, MF_SPAN("c"), MF_SPAN("v"), &sealed, &error);
        mf_alloc_fail_after(-1, 0);
        assert_true(status == 0 || error.code == MF_MEMORY);
        mf_buf_free(&sealed);
    }
    seal_key_close(key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip_and_every_changed_byte),
        TEST(test_empty_values_and_fresh_nonces),
        TEST(test_the_key_file),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
