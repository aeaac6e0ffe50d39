/* load_outcome.c - what an answer means: statuses, body patterns and headers that lead to a verdict */
#include "recipe/load.h"

#include <string.h>

static const char *const verdict_names[] = {
#define X(verdict, name) name,
    RECIPE_VERDICTS(X)
#undef X
};

/* 404 or "4xx". */
static bool load_range(struct recipe_loader *loader, uint32_t node, struct recipe_range *out)
{
    char text[8];
    int64_t status;
    if (json_int(loader->document, node, &status) == 0 && status >= 200 && status <= 599) {
        *out = (struct recipe_range){(uint16_t)status, (uint16_t)status};
        return true;
    }
    if (json_copy(loader->document, node, text, sizeof text) == 0 && strlen(text) == 3 && text[0] >= '2' && text[0] <= '5' &&
        strcmp(text + 1, "xx") == 0) {
        uint16_t first = (uint16_t)((text[0] - '0') * 100);
        *out = (struct recipe_range){first, (uint16_t)(first + 99)};
        return true;
    }
    recipe_problem(loader, node, "status must be 200 to 599 or a class such as \"5xx\"");
    return false;
}

static void load_statuses(struct recipe_loader *loader, uint32_t node, struct recipe_match *out)
{
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    out->statuses = recipe_take(loader, loader->document->nodes[node].children, sizeof *out->statuses);
    if (loader->document->nodes[node].children == 0)
        recipe_problem(loader, node, "has no status");
    for (uint32_t item = json_first(loader->document, node); item != JSON_NONE && out->statuses != NULL;
         item = json_next(loader->document, node, item))
        out->status_count += load_range(loader, item, &out->statuses[out->status_count]);
}

/* A scalar: the decoded text of a string, else the raw text. */
static void load_scalar(struct recipe_loader *loader, uint32_t node, struct recipe_condition *out)
{
    out->kind = json_kind(loader->document, node);
    if (out->kind == JSON_STRING)
        out->text = mf_span(recipe_string(loader, node, 1000));
    else if (out->kind == JSON_ARRAY || out->kind == JSON_OBJECT)
        recipe_problem(loader, node, "must be a string, a number, true, false or null");
    else
        out->text = json_raw(loader->document, node);
}

static void load_test(struct recipe_loader *loader, uint32_t node, struct recipe_condition *out)
{
    uint32_t equals = json_member(loader->document, node, "equals");
    uint32_t contains = json_member(loader->document, node, "contains");
    uint32_t fewer = json_member(loader->document, node, "fewer_than");
    if ((equals != JSON_NONE) + (contains != JSON_NONE) + (fewer != JSON_NONE) != 1) {
        recipe_problem(loader, node, "needs exactly one of `equals`, `contains`%s", out->header == NULL ? ", `fewer_than`" : "");
        return;
    }
    if (equals != JSON_NONE) {
        out->test = RECIPE_TEST_EQUALS;
        load_scalar(loader, equals, out);
    } else if (contains != JSON_NONE) {
        out->test = RECIPE_TEST_CONTAINS;
        out->text = mf_span(recipe_string(loader, contains, 1000));
    } else {
        out->test = RECIPE_TEST_FEWER_THAN;
        out->number = (uint32_t)recipe_number(loader, fewer, 1, RECIPE_ROWS_OF_PAGE_MAX, 1);
    }
}

static void load_body(struct recipe_loader *loader, uint32_t node, struct recipe_condition *out)
{
    static const char *const keys[] = {"pointer", "equals", "contains", "fewer_than"};
    if (node == JSON_NONE || !recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t pointer = json_member(loader->document, node, "pointer");
    out->has_pointer = pointer != JSON_NONE;
    out->pointer = recipe_pointer(loader, pointer);
    load_test(loader, node, out);
    if (!out->has_pointer && out->test != RECIPE_TEST_CONTAINS && out->test != RECIPE_TEST_NONE)
        recipe_problem(loader, node, "without `pointer` only `contains` is possible");
}

static void load_header(struct recipe_loader *loader, uint32_t node, struct recipe_condition *out)
{
    static const char *const keys[] = {"name", "equals", "contains"};
    if (node == JSON_NONE || !recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t name = recipe_required(loader, node, "name");
    out->header = name == JSON_NONE ? NULL : recipe_header_name(loader, name);
    if (out->header != NULL)
        load_test(loader, node, out);
}

bool recipe_match_load(struct recipe_loader *loader, uint32_t node, struct recipe_match *out)
{
    load_statuses(loader, json_member(loader->document, node, "status"), out);
    load_body(loader, json_member(loader->document, node, "body"), &out->body);
    load_header(loader, json_member(loader->document, node, "header"), &out->header);
    if (out->status_count > 0 || out->body.test != RECIPE_TEST_NONE || out->header.test != RECIPE_TEST_NONE)
        return true;
    recipe_problem(loader, node, "needs `status`, `body` or `header`");
    return false;
}

static void load_outcome(struct recipe_loader *loader, enum recipe_op op, uint32_t node, struct recipe_outcome *out)
{
    static const char *const keys[] = {"description", "status", "body", "header", "after_expiry", "rate_limited", "is"};
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)) || !recipe_match_load(loader, node, &out->match))
        return;
    uint32_t is = recipe_required(loader, node, "is");
    int verdict = is == JSON_NONE ? -1 : recipe_choice(loader, is, verdict_names, RECIPE_COUNT(verdict_names));
    out->verdict = verdict < 0 ? RECIPE_VERDICT_REFUSED : (enum recipe_verdict)verdict;
    out->after_expiry = recipe_boolean(loader, json_member(loader->document, node, "after_expiry"), false);
    out->rate_limited = recipe_boolean(loader, json_member(loader->document, node, "rate_limited"), false);
    if (op == RECIPE_CREATE && out->verdict == RECIPE_VERDICT_GONE)
        recipe_problem(loader, is, "`gone` means nothing in `create`");
    if (out->rate_limited && out->verdict != RECIPE_VERDICT_RETRY)
        recipe_problem(loader, node, "`rate_limited` goes with `retry` only");
}

void recipe_outcomes_load(struct recipe_loader *loader, struct recipe_step *step, enum recipe_op op, uint32_t node)
{
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    uint32_t count = loader->document->nodes[node].children;
    if (count > 32) {
        recipe_problem(loader, node, "has more than 32 outcomes");
        return;
    }
    step->outcomes = recipe_take(loader, count, sizeof *step->outcomes);
    for (uint32_t item = json_first(loader->document, node); item != JSON_NONE && step->outcomes != NULL;
         item = json_next(loader->document, node, item))
        load_outcome(loader, op, item, &step->outcomes[step->outcome_count++]);
}
