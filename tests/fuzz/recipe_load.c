/*
 * recipe_load.c - fuzz target: any bytes as a provider file; what loads is executed against one fixed answer
 */
#include "recipe/recipe.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static void execute(const struct recipe *recipe, enum recipe_op op)
{
    const struct recipe_value input = {MF_SPAN("account_id"), MF_SPAN("0123456789abcdef")};
    struct recipe_vars vars = {
        .op = op,
        .base_url = MF_SPAN("https://api.example.com"),
        .tag = MF_SPAN("mayfly-me-abcdefghijkl-1"),
        .owner_prefix = MF_SPAN("mayfly-me-"),
        .credential = MF_SPAN("secret"),
        .random = MF_SPAN("random"),
        .inputs = &input,
        .input_count = 1,
        .ids_json = MF_SPAN("{\"id\":\"a\",\"account_id\":\"b\",\"token_id\":\"c\"}"),
        .secrets_json = MF_SPAN("{\"token\":\"s\"}"),
        .expires_ms = 1000,
        .terms_accepted = true,
    };
    struct recipe_exec *exec;
    struct recipe_want want;
    struct recipe_reply reply = {.kind = RECIPE_REPLY_HTTP, .sent = true, .answered = true, .status = 200,
                                 .body = MF_SPAN("{\"id\":\"a\",\"token\":\"t\",\"result\":[{\"id\":\"x\"}],\"accounts\":[{\"id\":\"y\"}]}")};
    if (recipe_begin(&exec, recipe, &vars, NULL) != 0)
        return;
    recipe_next(exec, NULL, &want);
    for (int i = 0; i < 5000 && want.kind != RECIPE_WANT_DONE; i++) {
        reply.kind = want.kind == RECIPE_WANT_PROOF ? RECIPE_REPLY_PROOF : RECIPE_REPLY_HTTP;
        reply.proof = MF_SPAN("AAAA");
        recipe_next(exec, &reply, &want);
    }
    recipe_exec_destroy(exec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct recipe *recipe;
    struct mf_error error;
    struct mf_buf problems;
    mf_buf_init(&problems, 100000);
    if (recipe_load(&recipe, (struct mf_span){(const char *)data, bytes}, "fuzz.json", &problems, &error) == 0) {
        if (problems.length != 0)
            abort(); /* loaded, and yet there is something to say */
        for (int op = 0; op < RECIPE_OP_COUNT; op++)
            execute(recipe, (enum recipe_op)op);
        recipe_destroy(recipe);
    } else if (problems.length == 0) {
        abort(); /* refused without a word */
    }
    mf_buf_free(&problems);
    return 0;
}
