/* exec_request.c - what a step sends, or computes, from the values so far */
#include "base/alloc.h"
#include "http1/write.h"
#include "recipe/run.h"

#include <stdio.h>
#include <string.h>

static int fail(struct recipe_why *why, const char *name, const char *text)
{
    why->text = text;
    snprintf(why->name, sizeof why->name, "%s", name);
    return -1;
}

static int build_url(struct recipe_exec *exec, const struct recipe_step *step, struct recipe_why *why)
{
    const struct recipe_scope_of_values *values = &exec->values;
    mf_buf_clear(&exec->url);
    mf_buf_span(&exec->url, exec->vars.base_url);
    if (recipe_expand(values, &step->path, RECIPE_IN_PATH, &exec->url, why) != 0)
        return -1;
    char separator = '?';
    for (uint32_t i = 0; i < step->query.count; i++) {
        const struct recipe_pair *pair = &step->query.items[i];
        if (recipe_is_absent(values, &pair->value))
            continue;
        mf_buf_char(&exec->url, separator);
        mf_buf_text(&exec->url, pair->name);
        mf_buf_char(&exec->url, '=');
        separator = '&';
        if (recipe_expand(values, &pair->value, RECIPE_IN_QUERY, &exec->url, why) != 0)
            return -1;
    }
    return exec->url.failed ? fail(why, "url", "is too long") : 0;
}

static int build_form(struct recipe_exec *exec, const struct recipe_step *step, struct recipe_why *why)
{
    bool first = true;
    for (uint32_t i = 0; i < step->form.count; i++) {
        const struct recipe_pair *pair = &step->form.items[i];
        if (recipe_is_absent(&exec->values, &pair->value))
            continue;
        if (!first)
            mf_buf_char(&exec->body, '&');
        first = false;
        mf_buf_text(&exec->body, pair->name);
        mf_buf_char(&exec->body, '=');
        if (recipe_expand(&exec->values, &pair->value, RECIPE_IN_FORM, &exec->body, why) != 0)
            return -1;
    }
    return exec->body.failed ? fail(why, "body", "is too long") : 0;
}

static bool has_header(const struct recipe_step *step, const char *name)
{
    for (uint32_t i = 0; i < step->headers.count; i++)
        if (strcmp(step->headers.items[i].name, name) == 0)
            return true;
    return false;
}

static void add_constant(struct recipe_exec *exec, uint32_t *count, const char *name, const char *value)
{
    exec->headers[(*count)++] = (struct recipe_value){mf_span(name), mf_span(value)};
}

/* Values go into one buffer, which may move while it grows: spans are made at the end. */
static int build_headers(struct recipe_exec *exec, const struct recipe_step *step, uint32_t *count, struct recipe_why *why)
{
    size_t ends[RECIPE_HEADERS_MAX];
    uint32_t used = 0;
    mf_buf_clear(&exec->headers_text);
    for (uint32_t i = 0; i < step->headers.count; i++) {
        const struct recipe_pair *pair = &step->headers.items[i];
        if (recipe_is_absent(&exec->values, &pair->value))
            continue;
        if (recipe_expand(&exec->values, &pair->value, RECIPE_IN_HEADER, &exec->headers_text, why) != 0)
            return -1;
        exec->headers[used].name = mf_span(pair->name);
        ends[used++] = exec->headers_text.length;
    }
    size_t start = 0;
    for (uint32_t i = 0; i < used; i++) {
        exec->headers[i].value = (struct mf_span){exec->headers_text.data + start, ends[i] - start};
        start = ends[i];
        if (!http1_header_valid(exec->headers[i].name, exec->headers[i].value))
            return fail(why, exec->headers[i].name.data, "does not fit into a header");
    }
    if (!has_header(step, "accept"))
        add_constant(exec, &used, "accept", "application/json");
    if (step->body_kind != RECIPE_BODY_NONE && !has_header(step, "content-type"))
        add_constant(exec, &used, "content-type", step->body_kind == RECIPE_BODY_JSON ? "application/json" : "application/x-www-form-urlencoded");
    *count = used;
    return 0;
}

int recipe_request_build(struct recipe_exec *exec, const struct recipe_step *step, struct recipe_request *out, struct recipe_why *why)
{
    uint32_t header_count = 0;
    mf_buf_clear(&exec->body);
    if (build_url(exec, step, why) != 0 || build_headers(exec, step, &header_count, why) != 0)
        return -1;
    if (step->body_kind == RECIPE_BODY_JSON && recipe_tree_expand(&exec->values, &step->body, &exec->body, why) != 0)
        return -1;
    if (step->body_kind == RECIPE_BODY_FORM && build_form(exec, step, why) != 0)
        return -1;
    *out = (struct recipe_request){
        .step = step->name,
        .method = step->method,
        .url = mf_buf_cstr(&exec->url),
        .headers = exec->headers,
        .header_count = header_count,
        .body = mf_buf_view(&exec->body),
        .effect = step->effect,
        .reads_only = !step->effect,
    };
    return 0;
}

/* --- builtins --- */

static int expand_number(struct recipe_exec *exec, const struct recipe_template *template, const char *name, uint64_t *out, struct recipe_why *why)
{
    struct mf_buf text;
    mf_buf_init(&text, 64);
    int result = recipe_expand(&exec->values, template, RECIPE_IN_TEXT, &text, why);
    if (result == 0 && mf_parse_u64(mf_buf_view(&text), out) != 0)
        result = fail(why, name, "is no number");
    mf_buf_free(&text);
    return result;
}

int recipe_proof_build(struct recipe_exec *exec, const struct recipe_step *step, struct recipe_proof *out, struct recipe_why *why)
{
    struct mf_buf seed;
    size_t bytes = 0;
    mf_buf_init(&seed, 256);
    int result = recipe_expand(&exec->values, &step->with[0], RECIPE_IN_TEXT, &seed, why);
    if (result == 0 && (mf_unbase64(mf_buf_view(&seed), out->seed, sizeof out->seed, &bytes) != 0 || bytes != sizeof out->seed))
        result = fail(why, "seed", "is not 32 bytes in base64url");
    mf_buf_free(&seed);
    if (result == 0)
        result = expand_number(exec, &step->with[1], "k", &out->k, why);
    if (result == 0)
        result = expand_number(exec, &step->with[2], "g", &out->g, why);
    return result;
}

int recipe_base64_run(struct recipe_exec *exec, const struct recipe_step *step, struct recipe_why *why)
{
    struct mf_buf text;
    mf_buf_init_secret(&text, 2 * RECIPE_VALUE_BYTES_MAX);
    int result = recipe_expand(&exec->values, &step->with[0], RECIPE_IN_TEXT, &text, why);
    if (result == 0) {
        size_t length = mf_base64_length(text.length);
        char *encoded = mf_alloc(length + 1);
        result = encoded == NULL ? fail(why, step->name, "needs more memory") : 0;
        if (encoded != NULL) {
            mf_base64(mf_buf_cstr(&text), text.length, encoded);
            result = recipe_cell_set(&exec->values.slots[step->slot_first], (struct mf_span){encoded, length}, JSON_STRING);
        }
        mf_free_secret(encoded, encoded == NULL ? 0 : length);
    }
    mf_buf_free(&text);
    return result;
}
