/* environment.c - the variables of one process, from nothing: each name once, the last value wins */
#include "runner/environment.h"

#include "base/alloc.h"

#include <string.h>

void environment_init(struct environment *environment)
{
    *environment = (struct environment){.entries = NULL};
    mf_buf_init_secret(&environment->text, ENVIRONMENT_BYTES_MAX);
}

void environment_free(struct environment *environment)
{
    mf_buf_free(&environment->text);
    mf_free(environment->entries);
    mf_free(environment->spans);
    environment_init(environment);
}

static struct environment_entry *find(const struct environment *environment, struct mf_span name)
{
    for (uint32_t i = 0; i < environment->count; i++) {
        struct environment_entry *entry = &environment->entries[i];
        if (entry->name_length == name.length &&
            memcmp(environment->text.data + entry->offset, name.data, name.length) == 0)
            return entry;
    }
    return NULL;
}

static int check(struct mf_span name, struct mf_span value, struct mf_error *error)
{
    if (name.length == 0 || memchr(name.data, '=', name.length) != NULL || memchr(name.data, '\0', name.length) != NULL)
        return mf_fail(error, MF_INPUT, "environment: a name is empty or holds `=` or NUL");
    if (value.length > 0 && memchr(value.data, '\0', value.length) != NULL)
        return mf_fail(error, MF_INPUT, "environment: the value of %.*s holds a NUL",
                       (int)(name.length < 64 ? name.length : 64), name.data);
    if (name.length + value.length + 2 > ENVIRONMENT_ENTRY_BYTES_MAX)
        return mf_fail(error, MF_LIMIT, "environment: %.*s is longer than argument_bytes_max",
                       (int)(name.length < 64 ? name.length : 64), name.data);
    return 0;
}

int environment_set(struct environment *environment, struct mf_span name, struct mf_span value, struct mf_error *error)
{
    if (check(name, value, error) != 0)
        return -1;
    struct environment_entry *entry = find(environment, name);
    if (entry == NULL) {
        void *entries = environment->entries;
        if (environment->count >= ENVIRONMENT_ENTRIES_MAX)
            return mf_fail(error, MF_LIMIT, "environment: more than %d variables", ENVIRONMENT_ENTRIES_MAX);
        if (mf_grow(&entries, &environment->capacity, environment->count + 1, sizeof *entry, 32) != 0)
            return mf_fail(error, MF_MEMORY, "environment: no memory");
        environment->entries = entries;
        entry = &environment->entries[environment->count++];
    }
    struct mf_buf *text = &environment->text;
    *entry = (struct environment_entry){(uint32_t)text->length, (uint32_t)(name.length + value.length + 2),
                                        (uint32_t)name.length};
    mf_buf_span(text, name);
    mf_buf_char(text, '=');
    mf_buf_span(text, value);
    mf_buf_char(text, '\0');
    if (text->failed)
        return mf_fail(error, MF_LIMIT, "environment: larger than 1 MiB");
    return 0;
}

int environment_set_text(struct environment *environment, const char *name, const char *value, struct mf_error *error)
{
    return environment_set(environment, mf_span(name), mf_span(value), error);
}

struct mf_span environment_get(const struct environment *environment, const char *name)
{
    const struct environment_entry *entry = find(environment, mf_span(name));
    if (entry == NULL)
        return (struct mf_span){NULL, 0};
    return (struct mf_span){environment->text.data + entry->offset + entry->name_length + 1,
                            entry->length - entry->name_length - 2};
}

const struct mf_span *environment_spans(struct environment *environment)
{
    mf_free(environment->spans);
    environment->spans = mf_calloc(environment->count + 1, sizeof environment->spans[0]);
    for (uint32_t i = 0; environment->spans != NULL && i < environment->count; i++)
        environment->spans[i] =
            (struct mf_span){environment->text.data + environment->entries[i].offset, environment->entries[i].length};
    return environment->spans;
}
