/* gateway_tokens.c - tokens live, die and are remembered; the table under many of them and without memory */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gateway/proxy.h"

#include <stdlib.h>
#include <string.h>

static void life(void **state)
{
    (void)state;
    struct tokens *tokens;
    struct mf_error error;
    struct grant grant = {0};
    char token[GATEWAY_TOKEN_BYTES], other[GATEWAY_TOKEN_BYTES];
    uint8_t hash[TOKEN_HASH_BYTES], other_hash[TOKEN_HASH_BYTES], again[TOKEN_HASH_BYTES];
    assert_int_equal(tokens_create(&tokens, &error), 0);
    assert_int_equal(tokens_issue(tokens, &grant, 7, token, hash, &error), 0);
    assert_int_equal(tokens_issue(tokens, &grant, 8, other, other_hash, &error), 0);
    assert_int_equal(strlen(token), GATEWAY_TOKEN_BYTES - 1);
    assert_memory_equal(token, "mfy_", 4);
    assert_string_not_equal(token, other);
    token_hash(mf_span(token), again);
    assert_true(token_hash_equal(hash, again));
    const struct token *found = tokens_find(tokens, hash);
    assert_non_null(found);
    assert_int_equal(found->kind, TOKEN_LIVE);
    assert_ptr_equal(found->grant, &grant);
    assert_int_equal(found->stage, 7);
    tokens_kill(tokens, hash);
    found = tokens_find(tokens, hash);
    assert_int_equal(found->kind, TOKEN_DEAD);
    assert_null(found->grant);
    assert_int_equal(tokens_find(tokens, other_hash)->kind, TOKEN_LIVE);
    hash[0] ^= 1;
    assert_null(tokens_find(tokens, hash));
    assert_int_equal(tokens_add_canary(tokens, MF_SPAN("planted"), &error), 0);
    assert_int_equal(tokens_add_canary(tokens, MF_SPAN("planted"), &error), 0);
    token_hash(MF_SPAN("planted"), hash);
    assert_int_equal(tokens_find(tokens, hash)->kind, TOKEN_CANARY);
    tokens_kill(tokens, hash); /* none of a grant's */
    assert_int_equal(tokens_find(tokens, hash)->kind, TOKEN_CANARY);
    tokens_destroy(tokens);
    tokens_destroy(NULL);
}

/* The oldest dead ones are forgotten, the living never. */
static void many(void **state)
{
    (void)state;
    enum { COUNT = 70000 };
    struct tokens *tokens;
    struct mf_error error;
    struct grant grant = {0};
    char token[GATEWAY_TOKEN_BYTES];
    uint8_t living[TOKEN_HASH_BYTES], (*hashes)[TOKEN_HASH_BYTES] = calloc(COUNT, sizeof *hashes);
    assert_int_equal(tokens_create(&tokens, &error), 0);
    assert_int_equal(tokens_issue(tokens, &grant, 1, token, living, &error), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(tokens_issue(tokens, &grant, 2, token, hashes[i], &error), 0);
        tokens_kill(tokens, hashes[i]);
    }
    assert_null(tokens_find(tokens, hashes[0]));
    assert_null(tokens_find(tokens, hashes[COUNT - 65537]));
    assert_int_equal(tokens_find(tokens, hashes[COUNT - 65536])->kind, TOKEN_DEAD);
    assert_int_equal(tokens_find(tokens, hashes[COUNT - 1])->kind, TOKEN_DEAD);
    assert_int_equal(tokens_find(tokens, living)->kind, TOKEN_LIVE);
    tokens_destroy(tokens);
    free(hashes);
}

static void no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        struct tokens *tokens = NULL;
        struct mf_error error;
        struct grant grant = {0};
        char token[GATEWAY_TOKEN_BYTES];
        uint8_t hash[TOKEN_HASH_BYTES];
        bool failed = false;
        mf_alloc_fail_after(n, 1);
        failed = tokens_create(&tokens, &error) != 0;
        for (int i = 0; !failed && i < 300; i++) {
            if (tokens_issue(tokens, &grant, 1, token, hash, &error) == 0) {
                tokens_kill(tokens, hash);
            } else {
                failed = true;
                assert_int_equal(token[0], 0);
                assert_null(tokens_find(tokens, hash) != NULL && tokens_find(tokens, hash)->kind == TOKEN_LIVE ? tokens
                                                                                                               : NULL);
            }
        }
        mf_alloc_fail_after(-1, 0);
        tokens_destroy(tokens);
        if (!failed && n > 20)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(life), cmocka_unit_test(many), cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
