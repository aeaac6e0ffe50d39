/* inject.c - the environment that an agent gets for an account */
#include "recipe/run.h"

static int inject_one(const struct recipe_scope_of_values *values, const struct recipe_pair *pair,
                      int (*put)(void *context, struct mf_span name, struct mf_span value), void *context, struct mf_error *error)
{
    struct recipe_why why = {0};
    struct mf_buf text;
    mf_buf_init_secret(&text, RECIPE_VALUE_BYTES_MAX);
    int result = recipe_expand(values, &pair->value, RECIPE_IN_TEXT, &text, &why);
    if (result != 0)
        mf_fail(error, MF_INPUT, "variable %s of provider %s: %s %s", pair->name, values->recipe->info.name, why.name, why.text);
    else
        result = put(context, mf_span(pair->name), mf_buf_view(&text));
    mf_buf_free(&text);
    return result;
}

int recipe_inject(const struct recipe *recipe, const struct recipe_vars *vars, int (*put)(void *context, struct mf_span name, struct mf_span value),
                  void *context, struct mf_error *error)
{
    struct recipe_scope_of_values values;
    recipe_values_init(&values, recipe, NULL, vars);
    int result = recipe_values_read(&values, error);
    for (uint32_t i = 0; result == 0 && i < recipe->environment.count; i++)
        result = inject_one(&values, &recipe->environment.items[i], put, context, error);
    recipe_values_free(&values);
    return result;
}
