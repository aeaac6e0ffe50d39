/*
 * inject.c - what stands between an agent and its account: the environment it gets, where the gateway sends its requests and
 * with which headers, what else it may reach
 */
#include "http1/write.h"
#include "recipe/run.h"

#include <string.h>

typedef int put_value(void *context, struct mf_span name, struct mf_span value);

/* Expands into `out` (set up by the caller); `what` and `name` are for the message. */
static int expand(const struct recipe_scope_of_values *values, const struct recipe_template *template, enum recipe_place_kind place,
                  const char *what, const char *name, struct mf_buf *out, struct mf_error *error)
{
    struct recipe_why why = {0};
    if (recipe_expand(values, template, place, out, &why) == 0)
        return 0;
    return mf_fail(error, MF_INPUT, "%s%s%s of provider %s: %s %s", what, name[0] != '\0' ? " " : "", name, values->recipe->info.name, why.name, why.text);
}

/* The values of an account, read from what was recorded; free them also after a failure. */
static int begin(struct recipe_scope_of_values *values, const struct recipe *recipe, const struct recipe_vars *vars, struct mf_error *error)
{
    recipe_values_init(values, recipe, NULL, vars);
    return recipe_values_read(values, error);
}

/* --- the environment --- */

static int variable_name(const struct recipe_scope_of_values *values, const struct recipe_variable *variable, struct mf_span *out, struct mf_error *error)
{
    *out = mf_span(variable->name);
    if (variable->input == RECIPE_NONE)
        return 0;
    struct recipe_view view = recipe_resolve(values, (struct recipe_reference){RECIPE_SOURCE_INPUT, variable->input});
    const char *problem = view.present ? recipe_variable_problem(view.text) : "is not given";
    *out = view.text;
    if (problem == NULL)
        return 0;
    return mf_fail(error, MF_INPUT, "input %s of provider %s names a variable: it %s", variable->name, values->recipe->info.name, problem);
}

static int inject_one(const struct recipe_scope_of_values *values, const struct recipe_variable *variable, put_value *put, void *context, struct mf_error *error)
{
    struct mf_span name;
    struct mf_buf text;
    if (variable_name(values, variable, &name, error) != 0)
        return -1;
    mf_buf_init_secret(&text, RECIPE_VALUE_BYTES_MAX);
    int result = expand(values, &variable->value, RECIPE_IN_TEXT, "variable", variable->name, &text, error);
    if (result == 0)
        result = put(context, name, mf_buf_view(&text));
    mf_buf_free(&text);
    return result;
}

int recipe_inject(const struct recipe *recipe, const struct recipe_vars *vars, put_value *put, void *context, struct mf_error *error)
{
    struct recipe_scope_of_values values;
    int result = begin(&values, recipe, vars, error);
    for (uint32_t i = 0; result == 0 && i < recipe->gateway.environment_count; i++)
        result = inject_one(&values, &recipe->gateway.environment[i], put, context, error);
    recipe_values_free(&values);
    return result;
}

/* --- the upstream --- */

/* Takes the base path off the end, because the gateway puts it there again. `must`: it has to be there. */
static int cut_base_path(const struct recipe *recipe, struct mf_buf *url, bool must, struct mf_error *error)
{
    const char *path = recipe->gateway.base_path;
    const char *problem = recipe_base_url_problem(mf_buf_view(url));
    if (problem != NULL)
        return mf_fail(error, MF_INPUT, "base URL of provider %s %s", recipe->info.name, problem);
    if (mf_span_ends(mf_buf_view(url), path)) {
        url->length -= strlen(path);
        url->data[url->length] = '\0';
    } else if (must) {
        return mf_fail(error, MF_INPUT, "base URL of provider %s must end with %s, where its clients expect the API", recipe->info.name, path);
    }
    return 0;
}

int recipe_upstream(const struct recipe *recipe, const struct recipe_vars *vars, struct mf_buf *out, struct mf_error *error)
{
    const struct recipe_gateway *gateway = &recipe->gateway;
    struct recipe_scope_of_values values;
    struct mf_buf url;
    bool own = gateway->upstream.count > 0, input = !own && gateway->base_url.count > 0;
    mf_buf_init(&url, RECIPE_URL_BYTES_MAX);
    int result = begin(&values, recipe, vars, error);
    if (result == 0 && (own || input))
        result = expand(&values, own ? &gateway->upstream : &gateway->base_url, RECIPE_IN_TEXT, "upstream", "", &url, error);
    else if (result == 0)
        result = mf_buf_span(&url, vars->base_url);
    if (result == 0)
        result = cut_base_path(recipe, &url, !own && !input, error);
    if (result == 0 && mf_buf_span(out, mf_buf_view(&url)) != 0)
        result = mf_fail(error, MF_MEMORY, "no memory for the upstream of provider %s", recipe->info.name);
    mf_buf_free(&url);
    recipe_values_free(&values);
    return result;
}

static int header_one(const struct recipe_scope_of_values *values, const struct recipe_pair *pair, put_value *put, void *context, struct mf_error *error)
{
    struct mf_buf text;
    mf_buf_init_secret(&text, RECIPE_VALUE_BYTES_MAX);
    int result = expand(values, &pair->value, RECIPE_IN_HEADER, "header", pair->name, &text, error);
    if (result == 0 && !http1_header_valid(mf_span(pair->name), mf_buf_view(&text)))
        result = mf_fail(error, MF_INPUT, "header %s of provider %s: its value does not fit into a header", pair->name, values->recipe->info.name);
    if (result == 0)
        result = put(context, mf_span(pair->name), mf_buf_view(&text));
    mf_buf_free(&text);
    return result;
}

int recipe_inject_headers(const struct recipe *recipe, const struct recipe_vars *vars, put_value *put, void *context, struct mf_error *error)
{
    struct recipe_scope_of_values values;
    int result = begin(&values, recipe, vars, error);
    for (uint32_t i = 0; result == 0 && i < recipe->gateway.headers.count; i++)
        result = header_one(&values, &recipe->gateway.headers.items[i], put, context, error);
    recipe_values_free(&values);
    return result;
}

/* --- reach --- */

/* An https origin that is bounded by a path cannot be opened: inside a tunnel no path is seen. It is left out. */
static bool is_closed(const struct recipe_template *template, struct mf_span text)
{
    bool origin = template->count > 1 && template->parts[0].is_reference && template->parts[0].reference.source == RECIPE_SOURCE_BASE_ORIGIN;
    return origin && mf_span_starts(text, "https://") && recipe_origin_of(text).length < text.length;
}

static int reach_one(const struct recipe_scope_of_values *values, const struct recipe_template *template,
                     int (*put)(void *context, struct mf_span origin), void *context, struct mf_error *error)
{
    struct mf_buf text;
    mf_buf_init(&text, RECIPE_URL_BYTES_MAX);
    int result = expand(values, template, RECIPE_IN_TEXT, "reach", "", &text, error);
    const char *problem = NULL;
    if (result == 0 && !is_closed(template, mf_buf_view(&text))) {
        problem = recipe_reach_problem(mf_buf_view(&text));
        result = problem == NULL ? put(context, mf_buf_view(&text)) : mf_fail(error, MF_INPUT, "reach of provider %s %s", values->recipe->info.name, problem);
    }
    mf_buf_free(&text);
    return result;
}

int recipe_reach(const struct recipe *recipe, const struct recipe_vars *vars, int (*put)(void *context, struct mf_span origin), void *context, struct mf_error *error)
{
    struct recipe_scope_of_values values;
    int result = begin(&values, recipe, vars, error);
    for (uint32_t i = 0; result == 0 && i < recipe->gateway.reach_count; i++)
        result = reach_one(&values, &recipe->gateway.reach[i], put, context, error);
    recipe_values_free(&values);
    return result;
}
