/* emulator_state.c - accounts, tokens, objects and tables: against simple models, and under a failing allocator */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "emulator/state.h"

#include <stdio.h>
#include <string.h>

static struct emu_identity *identity;
static struct emu_state *world;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(emu_identity_create(&identity, true, 3, NULL, NULL), 0);
    return emu_state_create(&world, identity, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    emu_state_destroy(world);
    emu_identity_destroy(identity);
    return 0;
}

static struct emu_account *make_account(const char *name, int64_t lifetime_ms)
{
    struct emu_account *account;
    struct emu_account_spec spec = {.name = mf_span(name), .type = EMU_ACCOUNT_TENANT, .lifetime_ms = lifetime_ms};
    assert_int_equal(emu_account_create(world, &spec, &account, NULL), 0);
    return account;
}

static void test_table(void **state)
{
    (void)state;
    enum { KEYS = 300 };
    static char names[KEYS][8];
    bool there[KEYS] = {false};
    struct emu_table table;
    struct mf_rng rng;
    uint32_t count = 0;
    mf_rng_seed(&rng, 5);
    emu_table_init(&table, 9, KEYS);
    for (int step = 0; step < 30000; step++) {
        size_t key = (size_t)mf_rng_below(&rng, KEYS);
        snprintf(names[key], sizeof(names[key]), "k%zu", key);
        if (mf_rng_below(&rng, 2) == 0) {
            assert_int_equal(emu_table_put(&table, mf_span(names[key]), names[key]), 0);
            count += !there[key];
            there[key] = true;
        } else {
            void *gone = emu_table_remove(&table, mf_span(names[key]));
            assert_ptr_equal(gone, there[key] ? names[key] : NULL);
            count -= there[key];
            there[key] = false;
        }
        size_t other = (size_t)mf_rng_below(&rng, KEYS);
        snprintf(names[other], sizeof(names[other]), "k%zu", other);
        assert_ptr_equal(emu_table_get(&table, mf_span(names[other])), there[other] ? names[other] : NULL);
        assert_int_equal(table.count, count);
    }
    emu_table_free(&table);
}

static void test_names(void **state)
{
    (void)state;
    struct emu_account *first = make_account("same", 0), *second = make_account("same", 0), *third = make_account("same", 0);
    unsigned count = 0;
    for (struct emu_account *each = emu_account_of_name(world, MF_SPAN("same")); each != NULL; each = each->next_of_name)
        count++;
    assert_int_equal(count, 3);
    emu_account_delete(world, first);
    emu_account_delete(world, third);
    assert_ptr_equal(emu_account_of_name(world, MF_SPAN("same")), second);
    assert_null(second->next_of_name);
    assert_int_equal(emu_account_rename(world, second, MF_SPAN("other"), NULL), 0);
    assert_null(emu_account_of_name(world, MF_SPAN("same")));
    assert_ptr_equal(emu_account_of_name(world, MF_SPAN("other")), second);
    emu_account_delete(world, second);
    assert_int_equal(world->account_count, 0);
}

static void test_expiry(void **state)
{
    (void)state;
    struct emu_account *late = make_account("late", 5000), *soon = make_account("soon", 1000), *never = make_account("never", 0);
    int64_t now_ms = emu_now(world);
    assert_null(emu_account_due(world, now_ms));
    assert_ptr_equal(emu_account_due(world, soon->expires_ms), soon);
    assert_true(emu_next_expiry(world) == soon->expires_ms);
    emu_account_delete(world, soon);
    assert_ptr_equal(emu_account_due(world, late->expires_ms), late);
    assert_int_equal(emu_account_end_at(world, late, MF_NEVER), 0);
    assert_null(emu_account_due(world, INT64_MAX));
    emu_account_delete(world, late);
    emu_account_delete(world, never);
}

static struct emu_token *make_token(struct emu_account *account, const char *value)
{
    struct emu_token *token;
    struct emu_token_spec spec = {.value = mf_span(value), .name = MF_SPAN("t"), .expires_ms = MF_NEVER};
    assert_int_equal(emu_token_create(world, account, &spec, &token, NULL), 0);
    return token;
}

static struct emu_token *of_value(const char *value)
{
    uint8_t hash[EMU_HASH_BYTES];
    emu_sha256(identity, mf_span(value), hash);
    return emu_token_of_hash(world, hash);
}

static void test_tokens(void **state)
{
    (void)state;
    struct emu_account *account = make_account("a", 0), *other = make_account("b", 0);
    struct emu_token *token = make_token(account, "one");
    make_token(account, "two");
    assert_ptr_equal(of_value("one"), token);
    assert_ptr_equal(emu_token_find(world, account, mf_span(token->id)), token);
    assert_null(emu_token_find(world, other, mf_span(token->id)));
    assert_int_equal(emu_token_roll(world, token, MF_SPAN("three")), 0);
    assert_null(of_value("one"));
    assert_ptr_equal(of_value("three"), token);
    emu_token_delete(world, token);
    assert_null(of_value("three"));
    emu_account_delete(world, account);
    assert_null(of_value("two")); /* it died with its account */
    emu_account_delete(world, other);
}

static struct emu_object *make_object(struct emu_account *account, struct emu_object *parent, enum emu_kind kind, const char *name)
{
    struct emu_object *object;
    assert_int_equal(emu_object_create(world, account, parent, kind, mf_span(name), MF_SPAN("{}"), &object, NULL), 0);
    return object;
}

static void test_objects(void **state)
{
    (void)state;
    struct emu_account *account = make_account("a", 0), *other = make_account("b", 0);
    struct emu_object *namespace = make_object(account, NULL, EMU_KV, "n"), *taken;
    struct mf_error error = {0};
    char name[16];
    for (int each = 999; each >= 0; each--) {
        snprintf(name, sizeof(name), "k%03d", each * 7 % 1000);
        make_object(account, namespace, EMU_KV_KEY, name);
    }
    const struct emu_collection *keys = emu_collection(account, namespace, EMU_KV_KEY);
    assert_int_equal(keys->count, 1000);
    for (size_t each = 1; each < keys->count; each++)
        assert_true(strcmp(keys->objects[each - 1]->name, keys->objects[each]->name) < 0);
    assert_int_equal(emu_position(keys, MF_SPAN("k500")), 500);
    assert_int_equal(emu_object_create(world, account, namespace, EMU_KV_KEY, MF_SPAN("k001"), MF_SPAN(""), &taken, &error), -1);
    assert_int_equal(error.code, MF_STATE);
    assert_ptr_equal(emu_object_of_id(world, account, EMU_KV, mf_span(namespace->id)), namespace);
    assert_null(emu_object_of_id(world, other, EMU_KV, mf_span(namespace->id)));
    assert_null(emu_object_of_id(world, account, EMU_D1, mf_span(namespace->id)));
    assert_int_equal(emu_object_rename(world, emu_object_of_name(account, namespace, EMU_KV_KEY, MF_SPAN("k000")), MF_SPAN("z")), 0);
    assert_string_equal(keys->objects[999]->name, "z");
    emu_object_delete(world, namespace);
    assert_int_equal(world->object_count, 0);
    assert_int_equal(world->bytes, 0);
    emu_account_delete(world, account);
    emu_account_delete(world, other);
}

static void test_claim(void **state)
{
    (void)state;
    struct emu_account *account;
    uint8_t hash[EMU_HASH_BYTES] = {1};
    struct emu_account_spec spec = {.name = MF_SPAN("t"), .type = EMU_ACCOUNT_TEMPORARY, .lifetime_ms = 1000, .claim_hash = hash};
    assert_int_equal(emu_account_create(world, &spec, &account, NULL), 0);
    struct emu_token *token;
    struct emu_token_spec token_spec = {.value = MF_SPAN("v"), .name = MF_SPAN("t"), .expires_ms = account->expires_ms, .temporary = true};
    assert_int_equal(emu_token_create(world, account, &token_spec, &token, NULL), 0);
    assert_true(emu_policy_allows(&token->policy, emu_access_groups(EMU_ACCESS_SCRIPTS_WRITE), NULL, NULL));
    assert_false(emu_policy_allows(&token->policy, emu_access_groups(EMU_ACCESS_TOKENS_WRITE), NULL, NULL));
    emu_account_claim(world, account);
    assert_null(of_value("v"));
    assert_null(emu_account_due(world, INT64_MAX));
    assert_int_equal(account->type, EMU_ACCOUNT_CLAIMED);
    emu_account_delete(world, account);
}

/* Whatever allocation fails: an error, no leak (the sanitizer looks), and the state as before. */
static void test_torture(void **state)
{
    (void)state;
    struct emu_account *account = make_account("base", 0);
    for (int64_t countdown = 0; countdown < 40; countdown++) {
        struct emu_account *made = NULL;
        struct emu_token *token = NULL;
        struct emu_object *object = NULL;
        uint8_t hash[EMU_HASH_BYTES] = {2};
        struct emu_account_spec spec = {.name = MF_SPAN("x"), .type = EMU_ACCOUNT_TEMPORARY, .lifetime_ms = 1000, .claim_hash = hash};
        struct emu_token_spec token_spec = {.value = MF_SPAN("w"), .name = MF_SPAN("t"), .expires_ms = MF_NEVER};
        mf_alloc_fail_after(countdown, 1);
        int done = emu_account_create(world, &spec, &made, NULL);
        done |= emu_token_create(world, account, &token_spec, &token, NULL);
        done |= emu_object_create(world, account, NULL, EMU_KV, MF_SPAN("n"), MF_SPAN("{}"), &object, NULL);
        mf_alloc_fail_after(-1, 0);
        if (object != NULL)
            emu_object_delete(world, object);
        if (token != NULL)
            emu_token_delete(world, token);
        if (made != NULL)
            emu_account_delete(world, made);
        assert_int_equal(world->account_count, 1);
        assert_int_equal(world->object_count, 0);
        if (countdown > 20)
            assert_int_equal(done, 0);
    }
    emu_account_delete(world, account);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expiry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tokens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_objects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_claim, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torture, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
