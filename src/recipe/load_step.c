/* load_step.c - one step: a request with its templates, or a builtin */
#include "recipe/load.h"

#include <stdio.h>
#include <string.h>

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
/* First words of names that templates know: a step may not take one. */
static const char *const reserved[] = {"account", "secret", "inputs", "item", "tag", "credential"};

static struct recipe_place place_of(struct recipe_operation *operation, uint32_t index)
{
    const struct recipe_step *step = &operation->steps[index];
    return (struct recipe_place){.operation = operation, .step = index, .each = step->for_each, .page = step->repeat.times_max > 0};
}

static void load_name(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t index, uint32_t node)
{
    struct recipe_step *step = &operation->steps[index];
    uint32_t name = recipe_required(loader, node, "name");
    step->name = name == JSON_NONE ? NULL : recipe_name(loader, name);
    for (size_t i = 0; step->name != NULL && i < RECIPE_COUNT(reserved); i++)
        if (strcmp(step->name, reserved[i]) == 0)
            recipe_problem(loader, name, "step name `%s` is reserved", step->name);
    for (uint32_t i = 0; step->name != NULL && i < index; i++)
        if (operation->steps[i].name != NULL && strcmp(step->name, operation->steps[i].name) == 0)
            recipe_problem(loader, name, "step name `%s` stands twice", step->name);
    if (step->name == NULL)
        step->name = "?"; /* no template can name it */
}

static void load_path(struct recipe_loader *loader, struct recipe_place place, uint32_t node, struct recipe_step *step)
{
    uint32_t path = recipe_required(loader, node, "path");
    if (path == JSON_NONE)
        return;
    step->path_text = recipe_string(loader, path, 1000);
    if (step->path_text != NULL && strstr(step->path_text, "://") != NULL) {
        recipe_problem(loader, path, "must be a path: the host is fixed by `base_url`");
        return;
    }
    place.path = true;
    if (step->path_text == NULL || !recipe_template_load(loader, &place, path, &step->path))
        return;
    struct mf_buf literal; /* with an x for every value */
    mf_buf_init(&literal, 4000);
    for (uint32_t i = 0; i < step->path.count; i++)
        mf_buf_span(&literal, step->path.parts[i].is_reference ? MF_SPAN("x") : step->path.parts[i].literal);
    const char *problem = literal.failed ? NULL : recipe_path_problem(mf_buf_view(&literal));
    loader->no_memory = loader->no_memory || literal.failed; /* the text itself is bounded */
    if (problem != NULL)
        recipe_problem(loader, path, "%s", problem);
    mf_buf_free(&literal);
}

static void load_body(struct recipe_loader *loader, struct recipe_place place, uint32_t node, struct recipe_step *step)
{
    uint32_t body = json_member(loader->document, node, "body"), form = json_member(loader->document, node, "form");
    place.secrets = true;
    if (body != JSON_NONE && form != JSON_NONE)
        recipe_problem(loader, form, "a step has `body` or `form`, not both");
    if ((body != JSON_NONE || form != JSON_NONE) && step->method != NULL && (strcmp(step->method, "GET") == 0 || strcmp(step->method, "HEAD") == 0))
        recipe_problem(loader, body != JSON_NONE ? body : form, "a %s request has no body", step->method);
    if (form != JSON_NONE) {
        step->body_kind = RECIPE_BODY_FORM;
        recipe_pairs_load(loader, &place, form, false, &step->form);
    } else if (body != JSON_NONE) {
        step->body_kind = RECIPE_BODY_JSON;
        place.permissions = true;
        recipe_tree_load(loader, &place, body, &step->body);
    }
}

static void load_http(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t index, uint32_t node, uint32_t common_headers)
{
    static const char *const keys[] = {"method", "path", "query", "headers", "body", "form"};
    struct recipe_step *step = &operation->steps[index];
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t method = json_member(loader->document, node, "method");
    int choice = method == JSON_NONE ? 0 : recipe_choice(loader, method, methods, RECIPE_COUNT(methods));
    step->method = methods[choice < 0 ? 0 : choice];
    step->effect = choice > 1; /* what the method says, until `effect` says otherwise */
    struct recipe_place place = place_of(operation, index);
    load_path(loader, place, node, step);
    recipe_pairs_load(loader, &place, json_member(loader->document, node, "query"), false, &step->query);
    place.secrets = true;
    recipe_pairs_load(loader, &place, common_headers, true, &step->headers);
    recipe_pairs_load(loader, &place, json_member(loader->document, node, "headers"), true, &step->headers);
    load_body(loader, place_of(operation, index), node, step);
}

static void add_computed(struct recipe_operation *operation, uint32_t index, const char *name, bool secret)
{
    operation->slots[operation->slot_count++] = (struct recipe_slot){.name = name, .step = index, .kind = RECIPE_SLOT_COMPUTED, .secret = secret};
    operation->steps[index].slot_count++;
}

static void load_with(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t index, uint32_t node,
                      const char *const *names, uint32_t count)
{
    struct recipe_step *step = &operation->steps[index];
    struct recipe_place place = place_of(operation, index);
    place.secrets = true;
    uint32_t with = recipe_required(loader, node, "with");
    if (with == JSON_NONE || !recipe_keys(loader, with, names, count))
        return;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = recipe_required(loader, with, names[i]);
        if (value != JSON_NONE)
            recipe_template_load(loader, &place, value, &step->with[i]);
    }
}

static bool any_secret(const struct recipe_loader *loader, const struct recipe_operation *operation, const struct recipe_template *template)
{
    for (uint32_t i = 0; i < template->count; i++)
        if (template->parts[i].is_reference && recipe_reference_secret(loader->recipe, operation, template->parts[i].reference))
            return true;
    return false;
}

static void load_builtin(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t index, uint32_t node, uint32_t builtin)
{
    static const char *const names[] = {"proof_of_work", "base64"};
    static const char *const proof[] = {"seed", "k", "g"}, *const text[] = {"text"};
    struct recipe_step *step = &operation->steps[index];
    int choice = recipe_choice(loader, builtin, names, RECIPE_COUNT(names));
    step->kind = choice == 1 ? RECIPE_STEP_BASE64 : RECIPE_STEP_PROOF_OF_WORK;
    if (choice == 0) {
        load_with(loader, operation, index, node, proof, 3);
        add_computed(operation, index, "solution", false);
        if (operation->op != RECIPE_CREATE)
            recipe_problem(loader, builtin, "proof of work is for `create` only");
        loader->recipe->info.has_proof_of_work = true;
    } else if (choice == 1) {
        load_with(loader, operation, index, node, text, 1);
        add_computed(operation, index, "text", any_secret(loader, operation, &step->with[0]));
    }
}

static void load_repeat(struct recipe_loader *loader, uint32_t node, struct recipe_step *step)
{
    static const char *const keys[] = {"until", "every_ms", "times_max"}, *const until_keys[] = {"status", "body", "header"};
    if (node == JSON_NONE || !recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t until = recipe_required(loader, node, "until"), times = recipe_required(loader, node, "times_max");
    if (until != JSON_NONE && recipe_keys(loader, until, until_keys, RECIPE_COUNT(until_keys)))
        recipe_match_load(loader, until, &step->repeat.until);
    step->repeat.every_ms = (uint32_t)recipe_number(loader, json_member(loader->document, node, "every_ms"), 0, 60000, 0);
    step->repeat.times_max = (uint32_t)recipe_number(loader, times, 1, RECIPE_TIMES_MAX, 1);
    if (step->for_each != RECIPE_NONE)
        recipe_problem(loader, node, "a step has `for_each` or `repeat`, not both");
}

/* "account.NAME" or "secret.NAME", without braces: these are conditions, not values. */
static bool load_condition(struct recipe_loader *loader, uint32_t node, struct recipe_reference *out)
{
    const struct recipe *recipe = loader->recipe;
    const char *text = recipe_string(loader, node, 100);
    if (text == NULL)
        return false;
    for (uint32_t i = 0; strncmp(text, "account.", 8) == 0 && i < recipe->id_count; i++) {
        *out = (struct recipe_reference){RECIPE_SOURCE_ID, i};
        if (strcmp(text + 8, recipe->ids[i].name) == 0)
            return true;
    }
    for (uint32_t i = 0; strncmp(text, "secret.", 7) == 0 && i < recipe->secret_count; i++) {
        *out = (struct recipe_reference){RECIPE_SOURCE_SECRET, i};
        if (strcmp(text + 7, recipe->secrets[i].name) == 0)
            return true;
    }
    recipe_problem(loader, node, "`%.80s` is neither account.NAME nor secret.NAME that `create` records", text);
    return false;
}

static void load_only_with(struct recipe_loader *loader, uint32_t node, struct recipe_step *step)
{
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    step->only_with = recipe_take(loader, loader->document->nodes[node].children, sizeof *step->only_with);
    for (uint32_t item = json_first(loader->document, node); item != JSON_NONE && step->only_with != NULL;
         item = json_next(loader->document, node, item))
        step->only_with_count += load_condition(loader, item, &step->only_with[step->only_with_count]);
}

static void load_flags(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t node, struct recipe_step *step)
{
    const struct json_document *document = loader->document;
    bool account = loader->recipe->info.kind == RECIPE_KIND_ACCOUNT;
    step->effect = recipe_boolean(loader, json_member(document, node, "effect"), step->effect);
    step->undone_by_delete = recipe_boolean(loader, json_member(document, node, "undone_by_delete"), account);
    uint32_t go_on = json_member(document, node, "go_on");
    step->go_on = recipe_boolean(loader, go_on, false);
    if (go_on != JSON_NONE && operation->op != RECIPE_DELETE && operation->op != RECIPE_REVOKE)
        recipe_problem(loader, go_on, "`go_on` is for `delete` and `revoke`");
    uint32_t only_with = json_member(document, node, "only_with");
    load_only_with(loader, only_with, step);
    if (only_with != JSON_NONE && operation->op == RECIPE_CREATE)
        recipe_problem(loader, only_with, "`only_with` is not for `create`");
}

void recipe_step_load(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t index, uint32_t node, uint32_t common_headers)
{
    static const char *const keys[] = {"name",   "description", "http",     "builtin",          "with",   "extract",  "outcomes",
                                       "effect", "for_each",    "repeat",   "undone_by_delete", "go_on",  "only_with"};
    const struct json_document *document = loader->document;
    struct recipe_step *step = &operation->steps[index];
    *step = (struct recipe_step){.name = "?", .node = node, .for_each = RECIPE_NONE, .slot_first = operation->slot_count, .method = "GET"};
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    load_name(loader, operation, index, node);
    uint32_t http = json_member(document, node, "http"), builtin = json_member(document, node, "builtin");
    uint32_t for_each = json_member(document, node, "for_each");
    if ((http == JSON_NONE) == (builtin == JSON_NONE)) {
        recipe_problem(loader, node, "needs exactly one of `http`, `builtin`");
        return;
    }
    if (for_each != JSON_NONE)
        step->for_each = recipe_list_load(loader, operation, index, for_each);
    load_repeat(loader, json_member(document, node, "repeat"), step);
    if (http != JSON_NONE)
        load_http(loader, operation, index, http, common_headers);
    else
        load_builtin(loader, operation, index, node, builtin);
    load_flags(loader, operation, node, step);
    uint32_t extract = json_member(document, node, "extract");
    if (builtin != JSON_NONE && (extract != JSON_NONE || for_each != JSON_NONE))
        recipe_problem(loader, node, "a builtin has neither `extract` nor `for_each`");
    else if (step->for_each != RECIPE_NONE && extract != JSON_NONE)
        recipe_problem(loader, extract, "a step with `for_each` extracts nothing");
    else
        recipe_extract_load(loader, operation, index, extract);
    recipe_outcomes_load(loader, step, operation->op, json_member(document, node, "outcomes"));
}
