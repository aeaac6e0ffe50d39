/*
 * recipe_answer.c - fuzz target: any answers to the requests of the shipped recipes
 *
 * The first byte chooses recipe and operation; then answers follow, each a status byte and a body up to a byte 0xff. Checked:
 * an execution ends; a create that was answered with a success is never called absent or refused; no secret is in a reason
 * or in a URL, and the host of a URL never changes.
 */
#include "base/alloc.h"
#include "recipe/recipe.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE "http://127.0.0.1:8787/client/v4"

static struct recipe *recipes[8];
static uint32_t recipe_count;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void load_all(void)
{
    const char *name;
    while ((name = recipe_shipped_name(recipe_count)) != NULL) {
        struct mf_error error;
        require(recipe_load(&recipes[recipe_count], recipe_shipped(name), name, NULL, &error) == 0);
        recipe_count++;
    }
}

static struct recipe_reply next_reply(const struct recipe_want *want, const uint8_t **data, size_t *bytes)
{
    static const int statuses[] = {200, 201, 204, 302, 400, 401, 403, 404, 409, 429, 500, 503};
    struct recipe_reply reply = {.kind = want->kind == RECIPE_WANT_PROOF ? RECIPE_REPLY_PROOF : RECIPE_REPLY_HTTP, .proof = MF_SPAN("AAAA"), .received_ms = 1795464000000};
    if (*bytes == 0)
        return reply;
    uint8_t choice = **data;
    const uint8_t *start = *data + 1, *end = memchr(start, 0xff, *bytes - 1);
    size_t length = end == NULL ? *bytes - 1 : (size_t)(end - start);
    reply.sent = choice != 0;
    reply.answered = choice > 1;
    reply.status = statuses[choice % 12];
    reply.body = (struct mf_span){(const char *)start, length};
    *bytes -= length + 1 + (end != NULL);
    *data = start + length + (end != NULL);
    return reply;
}

static void check_want(const struct recipe_want *want)
{
    if (want->kind != RECIPE_WANT_HTTP)
        return;
    require(strncmp(want->http.url, BASE "/", strlen(BASE) + 1) == 0);
    require(strstr(want->http.url, "operator-secret") == NULL && strstr(want->http.url, "/../") == NULL && strchr(want->http.url, '\n') == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (recipe_count == 0)
        load_all();
    if (bytes < 1)
        return 0;
    const struct recipe *recipe = recipes[data[0] % recipe_count];
    const struct recipe_value input = {MF_SPAN("account_id"), MF_SPAN("0123456789abcdef0123456789abcdef")};
    const struct mf_span permission = MF_SPAN("workers_scripts:write");
    struct recipe_vars vars = {
        .op = (enum recipe_op)(data[0] / 8 % RECIPE_OP_COUNT),
        .base_url = MF_SPAN(BASE),
        .tag = MF_SPAN("mayfly-me-abcdefghijkl-1"),
        .owner_prefix = MF_SPAN("mayfly-me-"),
        .credential = MF_SPAN("operator-secret"),
        .random = MF_SPAN("random-secret"),
        .inputs = &input,
        .input_count = 1,
        .ids_json = MF_SPAN("{\"account_id\":\"0123456789abcdef0123456789abcdef\",\"token_id\":\"t1\"}"),
        .secrets_json = MF_SPAN("{\"token\":\"account-secret\"}"),
        .permissions = &permission,
        .permission_count = 1,
        .now_ms = 1795464000000,
        .terms_accepted = true,
        .expired = data[0] >= 128,
    };
    struct recipe_exec *exec;
    if (recipe_begin(&exec, recipe, &vars, NULL) != 0)
        return 0;
    data++;
    bytes--;
    struct recipe_want want;
    bool committed = false;
    recipe_next(exec, NULL, &want);
    for (int i = 0; want.kind != RECIPE_WANT_DONE; i++) {
        require(i < 100000);
        check_want(&want);
        committed = committed || want.kind == RECIPE_WANT_COMMIT;
        struct recipe_reply reply = next_reply(&want, &data, &bytes);
        recipe_next(exec, &reply, &want);
    }
    require(strstr(want.result.reason, "secret") == NULL);
    require(!committed || want.result.ids_json.length > 2);
    struct mf_span ids, tag;
    for (uint32_t i = 0; i < want.result.found_count; i++)
        require(recipe_found(exec, i, &ids, &tag) && ids.length > 2);
    recipe_exec_destroy(exec);
    return 0;
}
