/*
 * load_gateway.c - what a recipe says about agents: their environment, where their requests go, what is put into them
 *
 * The gateway stands between an agent and the provider. The recipe tells it where a token may stand, which credential goes
 * upstream, how a refusal looks, which identity probes are harmless, and for a service which requests are open to its users.
 */
#include "json/write.h"
#include "recipe/load.h"

#include <string.h>

const char *recipe_variable_problem(struct mf_span name)
{
    static const char *const refused[] = {"PATH", "HOME", "LD_", "MAYFLY_RUN", "MAYFLY_TASK", "IFS", "ENV", "BASH_ENV"};
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        if (!((c >= 'A' && c <= 'Z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
            return "must match [A-Z_][A-Z0-9_]*";
    }
    for (size_t i = 0; i < RECIPE_COUNT(refused); i++) {
        bool prefix = refused[i][strlen(refused[i]) - 1] == '_';
        if (prefix ? mf_span_starts(name, refused[i]) : mf_span_is(name, refused[i]))
            return "is not for recipes";
    }
    return name.length > 0 && name.length <= 100 ? NULL : "must have 1 to 100 bytes";
}

const char *recipe_variable_name(struct recipe_loader *loader, uint32_t node)
{
    const char *text = recipe_string(loader, node, 100);
    const char *problem = text == NULL ? NULL : recipe_variable_problem(mf_span(text));
    if (problem != NULL)
        recipe_problem(loader, node, "variable `%.80s` %s", text, problem);
    return problem == NULL ? text : NULL;
}

/* --- templates of inputs only --- */

/* A string that is one whole {{inputs.NAME}}: which; RECIPE_NONE otherwise, without a problem. */
static uint32_t whole_input(struct recipe_loader *loader, uint32_t node)
{
    const struct recipe_info *info = &loader->recipe->info;
    char text[100];
    if (json_copy(loader->document, node, text, sizeof text) != 0 || !mf_span_starts(mf_span(text), "{{inputs.") || !mf_span_ends(mf_span(text), "}}"))
        return RECIPE_NONE;
    struct mf_span name = {text + strlen("{{inputs."), strlen(text) - strlen("{{inputs.}}")};
    for (uint32_t i = 0; i < info->inputs_count; i++)
        if (mf_span_is(name, info->inputs[i]))
            return i;
    return RECIPE_NONE;
}

static void load_base_url(struct recipe_loader *loader)
{
    struct recipe *recipe = loader->recipe;
    struct recipe_place place = {.each = RECIPE_NONE, .origin = true};
    if (recipe->info.base_url == NULL || strstr(recipe->info.base_url, "{{") == NULL || recipe->info.kind != RECIPE_KIND_SERVICE)
        return;
    uint32_t node = json_member(loader->document, 0, "base_url");
    if (whole_input(loader, node) == RECIPE_NONE)
        recipe_problem(loader, node, "base_url must be a URL or one whole {{inputs.NAME}}");
    else
        recipe->info.base_url_input = recipe_template_load(loader, &place, node, &recipe->gateway.base_url);
}

/* --- inject --- */

static void load_environment(struct recipe_loader *loader, uint32_t node)
{
    const struct json_document *document = loader->document;
    struct recipe_gateway *gateway = &loader->recipe->gateway;
    struct recipe_place place = {.each = RECIPE_NONE, .secrets = true, .environment = true, .token = loader->recipe->info.kind == RECIPE_KIND_SERVICE};
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_OBJECT))
        return;
    gateway->environment = recipe_take(loader, document->nodes[node].children, sizeof *gateway->environment);
    for (uint32_t key = json_first(document, node); key != JSON_NONE && gateway->environment != NULL; key = json_next(document, node, key)) {
        struct recipe_variable variable = {.input = whole_input(loader, key)};
        variable.name = variable.input == RECIPE_NONE ? recipe_variable_name(loader, key) : loader->recipe->info.inputs[variable.input];
        if (variable.name != NULL && recipe_template_load(loader, &place, json_value(document, key), &variable.value))
            gateway->environment[gateway->environment_count++] = variable;
    }
}

static void load_upstream(struct recipe_loader *loader, uint32_t node)
{
    struct recipe_gateway *gateway = &loader->recipe->gateway;
    struct recipe_place place = {.each = RECIPE_NONE, .origin = true};
    const char *text = recipe_string(loader, node, 500);
    if (text == NULL || !recipe_template_load(loader, &place, node, &gateway->upstream))
        return;
    if (strstr(text, "{{") == NULL && recipe_base_url_problem(mf_span(text)) != NULL)
        recipe_problem(loader, node, "upstream %s", recipe_base_url_problem(mf_span(text)));
}

static void load_base_path(struct recipe_loader *loader, uint32_t node)
{
    struct recipe *recipe = loader->recipe;
    const char *path = recipe_string(loader, node, 500);
    recipe->gateway.base_path = "";
    if (path == NULL)
        return;
    size_t length = strlen(path);
    if (recipe_path_problem(mf_span(path)) != NULL)
        recipe_problem(loader, node, "%s", recipe_path_problem(mf_span(path)));
    else if (length < 2 || path[length - 1] == '/')
        recipe_problem(loader, node, "base_path must not end with a slash");
    else if (recipe->gateway.upstream.count == 0 && recipe->gateway.base_url.count == 0 && recipe->info.base_url != NULL &&
             !mf_span_ends(mf_span(recipe->info.base_url), path))
        recipe_problem(loader, node, "base_path must be the end of base_url");
    else
        recipe->gateway.base_path = path;
}

static bool has_credential(const struct recipe_pairs *headers)
{
    for (uint32_t i = 0; i < headers->count; i++)
        for (uint32_t part = 0; part < headers->items[i].value.count; part++)
            if (headers->items[i].value.parts[part].is_reference && headers->items[i].value.parts[part].reference.source == RECIPE_SOURCE_CREDENTIAL)
                return true;
    return false;
}

static void load_headers(struct recipe_loader *loader, uint32_t node)
{
    struct recipe *recipe = loader->recipe;
    struct recipe_place place = {.each = RECIPE_NONE, .secrets = true};
    recipe_pairs_load(loader, &place, node, true, &recipe->gateway.headers);
    if (!has_credential(&recipe->gateway.headers))
        return;
    if (recipe->info.kind == RECIPE_KIND_SERVICE)
        recipe->info.needs_credential = true;
    else
        recipe_problem(loader, node, "the operator's credential is never put into an agent's request: use a secret of the account");
}

static const char *token_scheme(struct recipe_loader *loader, uint32_t node)
{
    const char *text = recipe_string(loader, node, 40);
    for (const char *c = text; c != NULL && *c != '\0'; c++) {
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '-')
            continue;
        recipe_problem(loader, node, "scheme `%.40s` may hold letters and `-`", text);
        return NULL;
    }
    return text;
}

static void load_tokens(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"header", "scheme"};
    const struct json_document *document = loader->document;
    struct recipe_gateway *gateway = &loader->recipe->gateway;
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    uint32_t count = document->nodes[node].children;
    if (count == 0 || count > RECIPE_TOKEN_PLACES_MAX) {
        recipe_problem(loader, node, "must have 1 to %u places", RECIPE_TOKEN_PLACES_MAX);
        return;
    }
    gateway->tokens = recipe_take(loader, count, sizeof *gateway->tokens);
    for (uint32_t item = json_first(document, node); item != JSON_NONE && gateway->tokens != NULL; item = json_next(document, node, item)) {
        if (!recipe_keys(loader, item, keys, RECIPE_COUNT(keys)))
            continue;
        uint32_t header = recipe_required(loader, item, "header");
        struct recipe_token_place place = {.header = header == JSON_NONE ? NULL : recipe_header_name(loader, header)};
        place.scheme = token_scheme(loader, json_member(document, item, "scheme"));
        if (place.header != NULL && (recipe_header_is_own(place.header) || strcmp(place.header, "cookie") == 0))
            recipe_problem(loader, header, "a token cannot stand in header `%s`", place.header);
        else if (place.header != NULL)
            gateway->tokens[gateway->token_count++] = place;
    }
}

/* What the gateway itself decides about, or what would let an agent speak with another voice. */
static bool may_forward(const struct recipe_gateway *gateway, const char *name)
{
    static const char *const refused[] = {"authorization", "cookie", "origin", "referer", "forwarded", "via", "x-http-method-override", "x-original-url",
                                          "x-rewrite-url", "keep-alive", "trailer"};
    static const char *const prefixes[] = {"proxy-", "x-forwarded-", "sec-"};
    bool good = !recipe_header_is_own(name);
    for (size_t i = 0; i < RECIPE_COUNT(refused); i++)
        good = good && strcmp(name, refused[i]) != 0;
    for (size_t i = 0; i < RECIPE_COUNT(prefixes); i++)
        good = good && !mf_span_starts(mf_span(name), prefixes[i]);
    for (uint32_t i = 0; i < gateway->token_count; i++)
        good = good && strcmp(name, gateway->tokens[i].header) != 0;
    for (uint32_t i = 0; i < gateway->headers.count; i++)
        good = good && strcmp(name, gateway->headers.items[i].name) != 0;
    return good;
}

static void load_forward(struct recipe_loader *loader, uint32_t node)
{
    const struct json_document *document = loader->document;
    struct recipe_gateway *gateway = &loader->recipe->gateway;
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    if (document->nodes[node].children > RECIPE_FORWARD_MAX) {
        recipe_problem(loader, node, "has more than %u headers", RECIPE_FORWARD_MAX);
        return;
    }
    gateway->forward = recipe_take(loader, document->nodes[node].children, sizeof *gateway->forward);
    for (uint32_t item = json_first(document, node); item != JSON_NONE && gateway->forward != NULL; item = json_next(document, node, item)) {
        const char *name = recipe_header_name(loader, item);
        if (name != NULL && !may_forward(gateway, name))
            recipe_problem(loader, item, "header `%s` is not an agent's to send", name);
        else if (name != NULL)
            gateway->forward[gateway->forward_count++] = name;
    }
}

static void load_inject(struct recipe_loader *loader)
{
    static const char *const keys[] = {"environment", "upstream", "base_path", "headers", "token", "forward"};
    const struct json_document *document = loader->document;
    uint32_t node = json_member(document, 0, "inject");
    if (node == JSON_NONE || !recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    load_environment(loader, json_member(document, node, "environment"));
    load_upstream(loader, json_member(document, node, "upstream"));
    load_base_path(loader, json_member(document, node, "base_path"));
    load_headers(loader, json_member(document, node, "headers"));
    load_tokens(loader, json_member(document, node, "token"));
    load_forward(loader, json_member(document, node, "forward"));
}

/* --- refusal --- */

static void write_envelope(struct json_writer *writer, const struct json_document *document, uint32_t node);

static void write_members(struct json_writer *writer, const struct json_document *document, uint32_t node)
{
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        struct mf_span raw = json_raw(document, key);
        json_key_span(writer, (struct mf_span){raw.data + 1, raw.length - 2}); /* has no escapes: check_envelope */
        write_envelope(writer, document, json_value(document, key));
    }
}

/* Writes the envelope once, with the two placeholders as the gateway expects them. The depth is bounded by the scanner. */
static void write_envelope(struct json_writer *writer, const struct json_document *document, uint32_t node)
{
    enum json_kind kind = json_kind(document, node);
    if (kind == JSON_OBJECT) {
        json_open_object(writer);
        write_members(writer, document, node);
        json_close_object(writer);
    } else if (kind == JSON_ARRAY) {
        json_open_array(writer);
        for (uint32_t item = json_first(document, node); item != JSON_NONE; item = json_next(document, node, item))
            write_envelope(writer, document, item);
        json_close_array(writer);
    } else if (json_is(document, node, "{{code}}")) {
        json_raw_value(writer, MF_SPAN("{{code}}"));
    } else if (json_is(document, node, "{{message}}")) {
        json_raw_value(writer, MF_SPAN("{{message}}"));
    } else {
        json_raw_value(writer, json_raw(document, node));
    }
}

/* A placeholder is a whole string; a key is written as it stands. */
static bool check_envelope(struct recipe_loader *loader, uint32_t root)
{
    const struct json_document *document = loader->document;
    for (uint32_t node = root; node < document->nodes[root].end; node++) {
        struct mf_span raw = json_raw(document, node);
        if (json_kind(document, node) != JSON_STRING || json_is(document, node, "{{code}}") || json_is(document, node, "{{message}}"))
            continue;
        bool braces = document->nodes[node].escaped;
        for (size_t i = 0; i + 1 < raw.length; i++)
            braces = braces || (raw.data[i] == '{' && raw.data[i + 1] == '{');
        if (!braces)
            continue;
        recipe_problem(loader, node, "a refusal knows \"{{code}}\" and \"{{message}}\" as whole strings, and no escapes");
        return false;
    }
    return true;
}

static void load_refusal(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"type", "body"};
    struct recipe_gateway *gateway = &loader->recipe->gateway;
    struct json_writer writer;
    struct mf_buf text;
    if (node == JSON_NONE || !recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t type = json_member(loader->document, node, "type"), body = recipe_required(loader, node, "body");
    gateway->refusal_type = type == JSON_NONE ? "application/json" : recipe_string(loader, type, 100);
    if (body == JSON_NONE || !recipe_is(loader, body, JSON_OBJECT) || !check_envelope(loader, body))
        return;
    mf_buf_init(&text, RECIPE_TEMPLATE_BYTES_MAX);
    json_begin(&writer, &text);
    write_envelope(&writer, loader->document, body);
    if (text.failed && loader->document->nodes[body].length <= RECIPE_TEMPLATE_BYTES_MAX)
        loader->no_memory = true;
    else if (text.failed)
        recipe_problem(loader, body, "is longer than %u bytes", RECIPE_TEMPLATE_BYTES_MAX);
    else
        gateway->refusal_body = mf_span(recipe_copy(loader, mf_buf_view(&text)));
    mf_buf_free(&text);
}

/* --- reach, benign, rules --- */

/* With a loopback origin for {{base_origin}} and an x for every other value. */
static void check_reach(struct recipe_loader *loader, uint32_t node, const struct recipe_template *template)
{
    struct mf_buf text;
    mf_buf_init(&text, RECIPE_TEMPLATE_BYTES_MAX);
    for (uint32_t i = 0; i < template->count; i++) {
        bool origin = template->parts[i].is_reference && template->parts[i].reference.source == RECIPE_SOURCE_BASE_ORIGIN;
        if (origin && i > 0)
            recipe_problem(loader, node, "`base_origin` can only be the beginning");
        mf_buf_span(&text, origin ? MF_SPAN("http://127.0.0.1:1") : template->parts[i].is_reference ? MF_SPAN("x") : template->parts[i].literal);
    }
    if (text.failed)
        loader->no_memory = true;
    else if (recipe_reach_problem(mf_buf_view(&text)) != NULL)
        recipe_problem(loader, node, "%s", recipe_reach_problem(mf_buf_view(&text)));
    mf_buf_free(&text);
}

static void load_reach(struct recipe_loader *loader, uint32_t node)
{
    const struct json_document *document = loader->document;
    struct recipe_gateway *gateway = &loader->recipe->gateway;
    struct recipe_place place = {.each = RECIPE_NONE, .origin = true};
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    if (document->nodes[node].children > RECIPE_REACH_MAX) {
        recipe_problem(loader, node, "has more than %u origins", RECIPE_REACH_MAX);
        return;
    }
    gateway->reach = recipe_take(loader, document->nodes[node].children, sizeof *gateway->reach);
    for (uint32_t item = json_first(document, node); item != JSON_NONE && gateway->reach != NULL; item = json_next(document, node, item))
        if (recipe_template_load(loader, &place, item, &gateway->reach[gateway->reach_count]))
            check_reach(loader, item, &gateway->reach[gateway->reach_count++]);
}

void recipe_gateway_load(struct recipe_loader *loader)
{
    const struct json_document *document = loader->document;
    struct recipe_gateway *gateway = &loader->recipe->gateway;
    uint32_t hand_on = json_member(document, 0, "hand_on"), benign = json_member(document, 0, "benign");
    gateway->base_path = "";
    load_base_url(loader);
    load_inject(loader);
    load_refusal(loader, json_member(document, 0, "refusal"));
    if (hand_on != JSON_NONE)
        gateway->hand_on = recipe_pointer(loader, hand_on);
    if (gateway->hand_on.data != NULL && gateway->hand_on.length == 0)
        recipe_problem(loader, hand_on, "must lead to a member of the answer");
    load_reach(loader, json_member(document, 0, "reach"));
    if (benign != JSON_NONE && json_kind(document, benign) == JSON_ARRAY && document->nodes[benign].children > RECIPE_BENIGN_MAX)
        recipe_problem(loader, benign, "has more than %u routes", RECIPE_BENIGN_MAX);
    recipe_rules_load(loader, benign, false, &gateway->benign);
    recipe_rules_load(loader, json_member(document, 0, "rules"), true, &gateway->open);
}

/* --- what spans the file --- */

static uint32_t count_rules(const struct recipe *recipe, bool *agent)
{
    uint32_t count = recipe->gateway.benign.count + recipe->gateway.open.count;
    for (uint32_t i = 0; i < recipe->gateway.open.count; i++)
        *agent = *agent || recipe->gateway.open.items[i].agent;
    for (uint32_t i = 0; i < recipe->permissions.count; i++) {
        const struct recipe_rules *rules = &recipe->permissions.items[i].rules;
        count += rules->count;
        for (uint32_t rule = 0; rule < rules->count; rule++)
            *agent = *agent || rules->items[rule].agent;
    }
    return count;
}

void recipe_gateway_check(struct recipe_loader *loader)
{
    const struct recipe *recipe = loader->recipe;
    bool agent = false, service = recipe->info.kind == RECIPE_KIND_SERVICE;
    if (count_rules(recipe, &agent) > HTTP1_RULES_MAX)
        recipe_problem(loader, 0, "more than %u rules", HTTP1_RULES_MAX);
    if (agent && recipe->gateway.hand_on.data == NULL)
        recipe_problem(loader, 0, "a rule has `\"credential\": \"agent\"`, but `hand_on` is missing: where the provider gives it");
    if (!service && json_member(loader->document, 0, "rules") != JSON_NONE)
        recipe_problem(loader, 0, "`rules` of their own are for kind `service`: others have `permissions`");
    if (service && !recipe->info.needs_credential)
        recipe_problem(loader, 0, "kind `service` needs `{{credential}}` in `inject.headers`");
    if (service && recipe->gateway.open.count == 0 && recipe->permissions.count == 0)
        recipe_problem(loader, 0, "kind `service` needs `rules`: what its users may do");
    if (!service && (recipe->gateway.usage != JSON_NONE || recipe->gateway.prices != JSON_NONE))
        recipe_problem(loader, 0, "`usage` and `prices` are for kind `service`");
}
