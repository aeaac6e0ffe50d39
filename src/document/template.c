/* template.c - the grammar of {{path}} */
#include "document/template_private.h"

#include <string.h>

#define NO_ROOT "names no value: use params, item, key, run.id, task.name or TASK.result"

static struct mf_span behind(struct mf_span text, size_t bytes)
{
    return (struct mf_span){text.data + bytes, text.length - bytes};
}

static const char *find(struct mf_span text, const char *two)
{
    return text.length > 0 ? memmem(text.data, text.length, two, 2) : NULL;
}

static struct mf_span trimmed(struct mf_span text)
{
    while (text.length > 0 && text.data[0] == ' ')
        text = behind(text, 1);
    while (text.length > 0 && text.data[text.length - 1] == ' ')
        text.length--;
    return text;
}

int template_next(struct mf_span *rest, struct template_piece *piece, const char **fault)
{
    if (rest->length == 0)
        return 0;
    const char *open = find(*rest, "{{");
    if (open != rest->data) {
        size_t length = open != NULL ? (size_t)(open - rest->data) : rest->length;
        *piece = (struct template_piece){false, {rest->data, length}};
        *rest = behind(*rest, length);
        return 1;
    }
    if (mf_span_starts(*rest, "{{{{")) {
        *piece = (struct template_piece){false, {rest->data, 2}};
        *rest = behind(*rest, 4);
        return 1;
    }
    const char *close = find(behind(*rest, 2), "}}");
    if (close == NULL) {
        *fault = "the template is not closed; write {{{{ for a literal {{";
        return -1;
    }
    struct mf_span path = {rest->data + 2, (size_t)(close - rest->data) - 2};
    *piece = (struct template_piece){true, trimmed(path)};
    *rest = behind(*rest, path.length + 4);
    return 1;
}

bool template_is_whole(struct mf_span text, struct mf_span *path)
{
    struct template_piece piece;
    const char *fault;
    if (template_next(&text, &piece, &fault) != 1 || !piece.is_path || text.length > 0)
        return false;
    *path = piece.text;
    return true;
}

/* Takes the text up to the next dot off a path. */
static struct mf_span take_step(struct mf_span *path)
{
    const char *dot = path->length > 0 ? memchr(path->data, '.', path->length) : NULL;
    struct mf_span step = {path->data, dot != NULL ? (size_t)(dot - path->data) : path->length};
    *path = behind(*path, step.length + (dot != NULL));
    return step;
}

static const char *characters_fault(struct mf_span path)
{
    bool step_open = true; /* nothing since the last dot */
    if (path.length > TEMPLATE_PATH_BYTES_MAX)
        return "is longer than 512 bytes";
    for (size_t i = 0; i < path.length; i++) {
        char c = path.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!word && (c != '.' || step_open))
            return c == '.' ? "has an empty step" : "may hold letters, digits, `_`, `-` and dots only";
        step_open = !word;
    }
    return path.length == 0 ? "is empty" : step_open ? "has an empty step" : NULL;
}

/* "run.id" and "task.name" have one form only. */
static int parse_fixed(struct mf_span rest, const char *wanted, const char **fault)
{
    if (mf_span_is(rest, wanted))
        return 0;
    *fault = NO_ROOT;
    return -1;
}

int template_parse_path(struct mf_span path, struct template_path *out, const char **fault)
{
    *fault = characters_fault(path);
    if (*fault != NULL)
        return -1;
    struct mf_span rest = path;
    struct mf_span first = take_step(&rest);
    *out = (struct template_path){.root = TEMPLATE_RESULT, .name = first, .steps = rest};
    if (mf_span_is(first, "run")) {
        out->root = TEMPLATE_RUN;
        return parse_fixed(rest, "id", fault);
    }
    if (mf_span_is(first, "task")) {
        out->root = TEMPLATE_TASK;
        return parse_fixed(rest, "name", fault);
    }
    if (mf_span_is(first, "key")) {
        out->root = TEMPLATE_KEY;
        return parse_fixed(rest, "", fault);
    }
    if (mf_span_is(first, "item")) {
        out->root = TEMPLATE_ITEM;
        return 0;
    }
    struct mf_span second = take_step(&rest);
    bool parameter = mf_span_is(first, "params");
    out->root = parameter ? TEMPLATE_PARAMS : TEMPLATE_RESULT;
    out->name = parameter ? second : first;
    out->steps = rest;
    if (parameter ? second.length > 0 : mf_span_is(second, "result"))
        return 0;
    *fault = NO_ROOT;
    return -1;
}

uint32_t template_walk(const struct json_document *document, struct mf_span steps)
{
    char pointer[TEMPLATE_PATH_BYTES_MAX + 2];
    if (steps.length == 0)
        return 0;
    if (steps.length > TEMPLATE_PATH_BYTES_MAX)
        return JSON_NONE;
    pointer[0] = '/';
    for (size_t i = 0; i < steps.length; i++)
        pointer[i + 1] = steps.data[i] == '.' ? '/' : steps.data[i]; /* a step holds neither "/" nor "~" */
    return json_pointer(document, (struct mf_span){pointer, steps.length + 1});
}
