/*
 * exec_answer.c - the values of a step out of its answer
 *
 * All or nothing for the verdict, but each value for itself: when an answer to a create lacks the token but names the account,
 * the account can still be deleted. A value that becomes part of a path must look like an identifier unless the recipe says
 * that it is opaque.
 */
#include "base/alloc.h"
#include "recipe/run.h"

#include <stdio.h>
#include <string.h>

static bool fail(struct recipe_why *why, const char *name, const char *text)
{
    why->text = text;
    snprintf(why->name, sizeof why->name, "%s", name);
    return false;
}

/* An id that quotes the operator's credential back would carry it into URLs and into the journal. */
static bool is_usable(const struct recipe_exec *exec, struct mf_span text, bool identifier, bool opaque)
{
    struct mf_span credential = exec->vars.credential;
    if (text.length == 0 || text.length > RECIPE_VALUE_BYTES_MAX)
        return false;
    if (identifier && credential.length > 0 && memmem(text.data, text.length, credential.data, credential.length) != NULL)
        return false;
    return !identifier || opaque || recipe_is_identifier(text);
}

/* A scalar that is no null. */
static bool take_scalar(const struct recipe_exec *exec, const struct json_document *document, uint32_t node, bool identifier, bool opaque,
                        struct recipe_cell *cell)
{
    enum json_kind kind = node == JSON_NONE ? JSON_NULL : json_kind(document, node);
    if (kind == JSON_NULL || kind == JSON_ARRAY || kind == JSON_OBJECT)
        return false;
    struct mf_buf text;
    mf_buf_init_secret(&text, RECIPE_VALUE_BYTES_MAX);
    int result = kind == JSON_STRING ? json_text(document, node, &text) : mf_buf_span(&text, json_raw(document, node));
    bool good = result == 0 && is_usable(exec, mf_buf_view(&text), identifier, opaque) && recipe_cell_set(cell, mf_buf_view(&text), kind) == 0;
    mf_buf_free(&text);
    return good;
}

/* --- lists --- */

static bool row_matches(const struct recipe_slot *slot, const struct json_document *document, uint32_t row, struct mf_span wanted)
{
    if (slot->where == RECIPE_TEST_NONE)
        return true;
    uint32_t node = json_pointer_from(document, row, slot->where_pointer);
    struct mf_buf text;
    mf_buf_init_secret(&text, RECIPE_VALUE_BYTES_MAX);
    bool string = node != JSON_NONE && json_kind(document, node) == JSON_STRING && json_text(document, node, &text) == 0;
    struct mf_span found = mf_buf_view(&text);
    bool equal = string && (slot->where == RECIPE_TEST_EQUALS
                                ? mf_span_equal(found, wanted)
                                : found.length >= wanted.length && memcmp(found.data, wanted.data, wanted.length) == 0);
    mf_buf_free(&text);
    return equal;
}

/* A row of which one field is missing that is not optional is not a row that can be handled: the answer counts as unreadable. */
static bool add_row(struct recipe_exec *exec, const struct recipe_slot *slot, uint32_t index, const struct json_document *document, uint32_t row)
{
    struct recipe_rows *rows = &exec->values.lists[index];
    size_t first = (size_t)rows->count * slot->field_count;
    if (mf_grow((void **)&rows->cells, &rows->capacity, first + slot->field_count, sizeof *rows->cells, 16) != 0)
        return false;
    memset(&rows->cells[first], 0, slot->field_count * sizeof *rows->cells);
    rows->count++; /* at once, so that a half-read row is freed too */
    for (uint32_t i = 0; i < slot->field_count; i++) {
        const struct recipe_field *field = &slot->fields[i];
        uint32_t node = json_pointer_from(document, row, field->pointer);
        if (!take_scalar(exec, document, node, field->identifier, field->opaque, &rows->cells[first + i]) && !field->optional)
            return false;
    }
    return true;
}

static bool take_list(struct recipe_exec *exec, const struct recipe_slot *slot, uint32_t index, const struct recipe_answer *answer,
                      struct recipe_why *why)
{
    struct recipe_rows *rows = &exec->values.lists[index];
    uint32_t array = answer->parsed ? json_pointer(&answer->document, slot->pointer) : JSON_NONE, taken = 0;
    if (array == JSON_NONE || json_kind(&answer->document, array) != JSON_ARRAY)
        return fail(why, slot->name, "is no list");
    struct mf_buf wanted;
    mf_buf_init_secret(&wanted, RECIPE_VALUE_BYTES_MAX);
    bool good = slot->where == RECIPE_TEST_NONE || recipe_expand(&exec->values, &slot->where_value, RECIPE_IN_TEXT, &wanted, why) == 0;
    for (uint32_t row = json_first(&answer->document, array); good && row != JSON_NONE; row = json_next(&answer->document, array, row)) {
        if (!row_matches(slot, &answer->document, row, mf_buf_view(&wanted)))
            continue;
        if (taken++ >= slot->rows_max || rows->count >= RECIPE_ROWS_MAX) {
            rows->cut = true; /* the rest is for the next time */
            break;
        }
        if (!add_row(exec, slot, index, &answer->document, row))
            good = fail(why, slot->name, "has a row that cannot be read");
    }
    mf_buf_free(&wanted);
    return good;
}

/* --- one value --- */

static bool take_value(struct recipe_exec *exec, const struct recipe_slot *slot, uint32_t index, const struct recipe_answer *answer)
{
    struct recipe_cell *cell = &exec->values.slots[index];
    if (slot->kind == RECIPE_SLOT_POINTER) {
        uint32_t node = answer->parsed ? json_pointer(&answer->document, slot->pointer) : JSON_NONE;
        return take_scalar(exec, &answer->document, node, slot->identifier, slot->opaque, cell);
    }
    struct mf_span value = recipe_reply_header(answer->reply, slot->header, 0);
    return is_usable(exec, value, slot->identifier, slot->opaque) && recipe_cell_set(cell, value, JSON_STRING) == 0;
}

bool recipe_extract(struct recipe_exec *exec, const struct recipe_step *step, const struct recipe_answer *answer, struct recipe_why *why)
{
    bool good = true;
    for (uint32_t i = step->slot_first; i < step->slot_first + step->slot_count; i++) {
        const struct recipe_slot *slot = &exec->operation->slots[i];
        if (slot->kind == RECIPE_SLOT_LIST) {
            good = take_list(exec, slot, i, answer, why) && good;
        } else {
            recipe_cell_clear(&exec->values.slots[i]);
            if (!take_value(exec, slot, i, answer) && !slot->optional)
                good = fail(why, slot->name, "is missing or malformed in the answer");
        }
    }
    return good;
}
