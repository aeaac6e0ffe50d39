/*
 * policy.c - what the gateway must know of a recipe, as the JSON text of gateway/policy.h
 *
 * The text holds every rule of every permission, also of those that no task declares, so that a refusal can name what would
 * have been needed. Nothing in it is secret, and it is the same for the same recipe: it is sent once and named by its hash.
 * A service has one permission, `use`, that all of its rules belong to.
 */
#include "json/write.h"
#include "recipe/compiled.h"

#include <string.h>

#define SERVICE_PERMISSION "use"

static void write_tokens(struct json_writer *writer, const struct recipe_gateway *gateway)
{
    static const struct recipe_token_place usual = {"authorization", "Bearer"};
    const struct recipe_token_place *places = gateway->token_count > 0 ? gateway->tokens : &usual;
    json_key(writer, "token");
    json_open_array(writer);
    for (uint32_t i = 0; i < (gateway->token_count > 0 ? gateway->token_count : 1); i++) {
        json_open_object(writer);
        json_member_string(writer, "header", places[i].header);
        if (places[i].scheme != NULL)
            json_member_string(writer, "scheme", places[i].scheme);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void write_rules(struct json_writer *writer, const struct recipe_rules *rules, uint32_t permission)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        json_open_array(writer);
        json_string(writer, rules->items[i].text);
        json_u64(writer, permission);
        if (rules->items[i].agent)
            json_string(writer, "agent");
        if (rules->items[i].shared)
            json_string(writer, "shared");
        if (rules->items[i].free)
            json_string(writer, "free");
        json_close_array(writer);
    }
}

static void write_permissions(struct json_writer *writer, const struct recipe *recipe)
{
    const struct recipe_permissions *table = &recipe->permissions;
    bool service = recipe->info.kind == RECIPE_KIND_SERVICE;
    json_key(writer, "permissions");
    json_open_array(writer);
    if (service)
        json_string(writer, SERVICE_PERMISSION);
    for (uint32_t i = 0; !service && i < table->count; i++)
        json_string(writer, table->items[i].name);
    json_close_array(writer);
    json_key(writer, "rules");
    json_open_array(writer);
    write_rules(writer, &recipe->gateway.open, 0);
    for (uint32_t i = 0; i < table->count; i++)
        write_rules(writer, &table->items[i].rules, service ? 0 : i);
    json_close_array(writer);
}

static void write_lists(struct json_writer *writer, const struct recipe_gateway *gateway)
{
    json_key(writer, "benign");
    json_open_array(writer);
    for (uint32_t i = 0; i < gateway->benign.count; i++)
        json_string(writer, gateway->benign.items[i].text);
    json_close_array(writer);
    json_key(writer, "forward");
    json_open_array(writer);
    for (uint32_t i = 0; i < gateway->forward_count; i++)
        json_string(writer, gateway->forward[i]);
    json_close_array(writer);
}

static void write_answers(struct json_writer *writer, const struct recipe *recipe)
{
    const struct recipe_gateway *gateway = &recipe->gateway;
    if (gateway->refusal_body.data != NULL) {
        json_key(writer, "refusal");
        json_open_object(writer);
        json_member_string(writer, "type", gateway->refusal_type);
        json_member_span(writer, "body", gateway->refusal_body);
        json_close_object(writer);
    }
    if (gateway->hand_on.data != NULL) {
        json_key(writer, "hand_on");
        json_open_object(writer);
        json_member_span(writer, "pointer", gateway->hand_on);
        json_close_object(writer);
    }
    if (gateway->usage != JSON_NONE) {
        json_key(writer, "usage");
        json_raw_value(writer, json_raw(&recipe->document, gateway->usage));
    }
    if (gateway->prices != JSON_NONE) {
        json_key(writer, "prices");
        json_raw_value(writer, json_raw(&recipe->document, gateway->prices));
    }
}

int recipe_policy(const struct recipe *recipe, struct mf_buf *out, struct mf_error *error)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_object(&writer);
    json_member_u64(&writer, "policy", 1);
    json_member_string(&writer, "name", recipe->info.name);
    json_member_string(&writer, "base_path", recipe->gateway.base_path);
    write_tokens(&writer, &recipe->gateway);
    write_permissions(&writer, recipe);
    write_lists(&writer, &recipe->gateway);
    write_answers(&writer, recipe);
    json_close_object(&writer);
    return out->failed ? mf_fail(error, MF_MEMORY, "policy of provider %s: no memory, or longer than %zu bytes", recipe->info.name, out->bytes_max) : 0;
}

bool recipe_has_usage(const struct recipe *recipe)
{
    return recipe->gateway.usage != JSON_NONE;
}

bool recipe_has_prices(const struct recipe *recipe)
{
    return recipe->gateway.prices != JSON_NONE;
}

const char *recipe_price_date(const struct recipe *recipe)
{
    return recipe->gateway.price_date;
}
