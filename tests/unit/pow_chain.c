/* pow_chain.c - the published vectors, every kernel against OpenSSL's, bounds, verification */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "pow/kernel.h"
#include "pow/pow.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static struct pow_challenge counted(uint32_t k, uint32_t g)
{
    struct pow_challenge challenge = {.k = k, .g = g};
    for (uint8_t i = 0; i < POW_SEED_BYTES; i++)
        challenge.seed[i] = i;
    return challenge;
}

static uint64_t draw(void *context)
{
    return mf_rng_next(context);
}

static void assert_hex(const uint8_t *bytes, const char *expected)
{
    char text[2 * POW_DIGEST_BYTES + 1];
    mf_hex(bytes, POW_DIGEST_BYTES, text);
    assert_string_equal(text, expected);
}

static void check_vector(uint32_t k, uint32_t g, const char *first, const char *last, size_t length, const char *hash)
{
    struct pow_challenge challenge = counted(k, g);
    size_t bytes = ((size_t)k + 1) * 32;
    uint8_t *checkpoints = malloc(bytes), digest[32];
    char *text = malloc(mf_base64_length(bytes) + 1);
    assert_non_null(checkpoints);
    assert_non_null(text);
    assert_int_equal(pow_solve(&challenge, checkpoints, NULL, NULL), 0);
    if (first != NULL)
        assert_hex(checkpoints, first);
    assert_hex(checkpoints + bytes - 32, last);
    mf_base64(checkpoints, bytes, text);
    assert_int_equal(strlen(text), length);
    assert_int_equal(EVP_Digest(text, length, digest, NULL, EVP_sha256(), NULL), 1);
    assert_hex(digest, hash);
    assert_true(pow_verify(&challenge, checkpoints, 0, NULL, NULL));
    free(checkpoints);
    free(text);
}

static void test_vectors(void **state)
{
    (void)state;
    check_vector(4, 3, "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd",
                 "7dcc85c9586f9849467458d9209ffd036826eba1063e4726f09870b7d13ae18c", 216,
                 "7623a645d446d1db658db6686716b196a12c974645ab7511ff9adcee3c89bd84");
    check_vector(1000, 50, NULL, "bab7d180949fc93ff9286be46fc9ec1fccb2b5ab170f6c66f7ddb50144a35c7a", 42712,
                 "e46c63689c4f6a16ecbec64185ebaed3cfba482f23a89d7ca58fe6b2ad983cbd");
}

static void test_kernels_agree(void **state)
{
    (void)state;
    struct mf_rng rng;
    mf_rng_seed(&rng, 7);
    pow_kernel *kernel = pow_kernel_best();
    for (int round = 0; round < 200; round++) {
        uint8_t left[POW_LANES_MAX][32], right[POW_LANES_MAX][32];
        for (size_t i = 0; i < sizeof left; i++)
            left[i / 32][i % 32] = (uint8_t)mf_rng_next(&rng);
        memcpy(right, left, sizeof left);
        uint32_t lanes = (uint32_t)mf_rng_below(&rng, POW_LANES_MAX + 1), rounds = (uint32_t)mf_rng_below(&rng, 20);
        kernel(left, lanes, rounds);
        pow_kernel_portable(right, lanes, rounds);
        assert_memory_equal(left, right, sizeof left);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(pow_check(1000, 2000, NULL), 0);
    assert_int_equal(pow_check(POW_SEGMENTS_MAX, POW_HASHES_MAX / POW_SEGMENTS_MAX, NULL), 0);
    assert_int_equal(pow_check(1, POW_HASHES_MAX, NULL), 0);
    assert_int_equal(pow_check(1, POW_HASHES_MAX + 1, NULL), -1);
    assert_int_equal(pow_check(POW_SEGMENTS_MAX + 1, 1, NULL), -1);
    assert_int_equal(pow_check(0, 1, NULL), -1);
    assert_int_equal(pow_check(1, 0, NULL), -1);
    assert_int_equal(pow_check(UINT64_MAX, UINT64_MAX, NULL), -1);
    assert_int_equal(pow_check(2, (uint64_t)1 << 63, NULL), -1);
    struct pow_challenge huge = counted(2, UINT32_MAX);
    uint8_t checkpoints[3 * 32] = {0};
    assert_int_equal(pow_solve(&huge, checkpoints, NULL, NULL), -1);
    assert_false(pow_verify(&huge, checkpoints, 0, NULL, NULL));
}

static void test_verification(void **state)
{
    (void)state;
    struct pow_challenge challenge = counted(9, 5);
    uint8_t checkpoints[10 * 32];
    struct mf_rng rng;
    mf_rng_seed(&rng, 1);
    assert_int_equal(pow_solve(&challenge, checkpoints, NULL, NULL), 0);
    assert_true(pow_verify(&challenge, checkpoints, 3, draw, &rng));
    for (size_t i = 0; i < sizeof checkpoints; i += 13) { /* one bit wrong anywhere */
        checkpoints[i] ^= 4;
        assert_false(pow_verify(&challenge, checkpoints, 0, NULL, NULL));
        checkpoints[i] ^= 4;
    }
    checkpoints[5 * 32] ^= 1; /* a sample finds it sooner or later */
    int found = 0;
    for (int i = 0; i < 100; i++)
        found += !pow_verify(&challenge, checkpoints, 2, draw, &rng);
    assert_in_range(found, 10, 90);
    challenge.seed[0] ^= 1;
    checkpoints[5 * 32] ^= 1;
    assert_false(pow_verify(&challenge, checkpoints, 3, draw, &rng));
}

static void test_cancelled(void **state)
{
    (void)state;
    struct pow_challenge challenge = counted(1, POW_HASHES_MAX);
    uint8_t checkpoints[2 * 32];
    atomic_bool cancelled = true;
    struct mf_error error;
    assert_int_equal(pow_solve(&challenge, checkpoints, &cancelled, &error), -1);
    assert_int_equal(error.code, MF_NONE);
}

static void test_rate(void **state)
{
    (void)state;
    assert_true(pow_rate(1) > 1000.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),      cmocka_unit_test(test_kernels_agree), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_verification), cmocka_unit_test(test_cancelled),     cmocka_unit_test(test_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
