/* strings.c - lists of texts that are built for one message */
#include "app/strings.h"

#include "base/alloc.h"

#include <string.h>

void strings_init(struct strings *strings, size_t bytes_max, bool secret)
{
    *strings = (struct strings){0};
    if (secret)
        mf_buf_init_secret(&strings->bytes, bytes_max);
    else
        mf_buf_init(&strings->bytes, bytes_max);
}

void strings_free(struct strings *strings)
{
    mf_buf_free(&strings->bytes);
    mf_free(strings->spans);
    mf_free(strings->variables);
    strings->spans = NULL;
    strings->variables = NULL;
    strings->count = 0;
}

int strings_add(struct strings *strings, struct mf_span text)
{
    if (text.length > 0 && memchr(text.data, '\0', text.length) != NULL)
        return -1; /* what follows it would be another text */
    if (mf_buf_span(&strings->bytes, text) != 0 || mf_buf_char(&strings->bytes, '\0') != 0)
        return -1;
    strings->count++;
    return 0;
}

int strings_add_variable(struct strings *strings, struct mf_span name, struct mf_span value)
{
    if (mf_buf_span(&strings->bytes, name) != 0 || mf_buf_char(&strings->bytes, '=') != 0)
        return -1;
    return strings_add(strings, value);
}

int strings_add_list(struct strings *strings, const struct json_document *document, uint32_t node)
{
    if (node == JSON_NONE)
        return 0;
    for (uint32_t at = json_first(document, node); at != JSON_NONE; at = json_next(document, node, at)) {
        if (json_text(document, at, &strings->bytes) != 0 || mf_buf_char(&strings->bytes, '\0') != 0)
            return -1;
        strings->count++;
    }
    return 0;
}

const struct mf_span *strings_spans(struct strings *strings)
{
    mf_free(strings->spans);
    strings->spans = mf_calloc(strings->count, sizeof *strings->spans);
    strings->no_memory = strings->no_memory || strings->spans == NULL;
    const char *at = mf_buf_cstr(&strings->bytes);
    for (uint32_t i = 0; strings->spans != NULL && i < strings->count; i++) {
        strings->spans[i] = mf_span(at);
        at += strings->spans[i].length + 1;
    }
    return strings->spans;
}

const struct runner_variable *strings_variables(struct strings *strings)
{
    mf_free(strings->variables);
    strings->variables = mf_calloc(strings->count, sizeof *strings->variables);
    strings->no_memory = strings->no_memory || strings->variables == NULL;
    const char *at = mf_buf_cstr(&strings->bytes);
    for (uint32_t i = 0; strings->variables != NULL && i < strings->count; i++) {
        size_t length = strlen(at);
        const char *equals = memchr(at, '=', length);
        size_t name = equals != NULL ? (size_t)(equals - at) : length;
        strings->variables[i].name = (struct mf_span){at, name};
        strings->variables[i].value =
            equals != NULL ? (struct mf_span){equals + 1, length - name - 1} : (struct mf_span){"", 0};
        at += length + 1;
    }
    return strings->variables;
}
