/* exec_result.c - what an execution amounts to: ids, secrets, times, accounts found */
#include "base/alloc.h"
#include "json/write.h"
#include "recipe/run.h"

#include <stdio.h>
#include <string.h>

#define EPOCH_MS_FROM 100000000000 /* a larger number counts milliseconds: as seconds it would be the year 5138 */

/* --- ids and secrets of create --- */

/* A name whose values are not all there yet stays absent. */
static void settle_cell(struct recipe_exec *exec, const struct recipe_template *template, struct recipe_cell *cell)
{
    struct recipe_why why;
    struct mf_buf text;
    if (template->count == 0)
        return;
    mf_buf_init_secret(&text, RECIPE_VALUE_BYTES_MAX);
    if (recipe_expand(&exec->values, template, RECIPE_IN_TEXT, &text, &why) == 0) {
        enum json_kind kind = template->whole ? recipe_resolve(&exec->values, template->parts[0].reference).kind : JSON_STRING;
        if (recipe_cell_set(cell, mf_buf_view(&text), kind) != 0)
            exec->names_lost = true;
    }
    exec->names_lost = exec->names_lost || text.failed;
    mf_buf_free(&text);
}

static void write_cell(struct json_writer *writer, const char *name, const struct recipe_cell *cell)
{
    if (!cell->present)
        return;
    json_key(writer, name);
    if (cell->kind == JSON_STRING)
        json_string_span(writer, (struct mf_span){cell->text, cell->length});
    else
        json_raw_value(writer, (struct mf_span){cell->text, cell->length});
}

static bool write_names(const struct recipe_name *names, uint32_t count, const struct recipe_cell *cells, struct mf_buf *out)
{
    struct json_writer writer;
    bool any = false;
    json_begin(&writer, out);
    json_open_object(&writer);
    for (uint32_t i = 0; i < count; i++) {
        write_cell(&writer, names[i].name, &cells[i]);
        any = any || cells[i].present;
    }
    json_close_object(&writer);
    return any;
}

bool recipe_settle_names(struct recipe_exec *exec)
{
    const struct recipe *recipe = exec->recipe;
    const struct recipe_operation *create = exec->operation;
    exec->names_lost = false;
    for (uint32_t i = 0; create->ids != NULL && i < recipe->id_count; i++)
        settle_cell(exec, &create->ids[i], &exec->values.ids[i]);
    for (uint32_t i = 0; create->secrets != NULL && i < recipe->secret_count; i++)
        settle_cell(exec, &create->secrets[i], &exec->values.secrets[i]);
    mf_buf_clear(&exec->ids_json);
    mf_buf_clear(&exec->secrets_json);
    bool any = write_names(recipe->ids, recipe->id_count, exec->values.ids, &exec->ids_json);
    write_names(recipe->secrets, recipe->secret_count, exec->values.secrets, &exec->secrets_json);
    exec->names_lost = exec->names_lost || exec->ids_json.failed || exec->secrets_json.failed;
    exec->result.ids_json = mf_buf_view(&exec->ids_json);
    exec->result.secrets_json = mf_buf_view(&exec->secrets_json);
    return any;
}

/* --- times --- */

/* RFC 3339, or seconds or milliseconds since the epoch; 0 when it is neither. */
static int64_t parse_time_ms(struct mf_span text)
{
    int64_t at;
    if (mf_parse_rfc3339_ms(text, &at) == 0)
        return at > 0 ? at : 1;
    if (mf_parse_i64(text, &at) != 0 || at <= 0)
        return 0;
    return at < EPOCH_MS_FROM ? at * 1000 : at;
}

/*
 * On our clock. A time that is over is "now": teardown, not a loop. One that is missing, unreadable or too far away is the
 * end of the lifetime that the recipe states.
 */
static int64_t settle_time(const struct recipe_exec *exec, const struct recipe_template *template)
{
    struct recipe_why why;
    struct mf_buf text;
    int64_t at_ms = 0, lifetime_ms = exec->recipe->info.lifetime_ms;
    int64_t offset_ms = exec->offset_ms > CLOCKS_AGREE_MS || exec->offset_ms < -CLOCKS_AGREE_MS ? exec->offset_ms : 0;
    mf_buf_init(&text, 64);
    if (template->count > 0 && recipe_expand(&exec->values, template, RECIPE_IN_TEXT, &text, &why) == 0)
        at_ms = parse_time_ms(mf_buf_view(&text));
    mf_buf_free(&text);
    if (at_ms != 0 && at_ms - offset_ms <= exec->received_ms)
        return exec->received_ms > 0 ? exec->received_ms : 1;
    if (at_ms != 0)
        at_ms -= offset_ms;
    if (lifetime_ms > 0 && (at_ms == 0 || at_ms > exec->received_ms + lifetime_ms))
        at_ms = exec->received_ms + lifetime_ms;
    return at_ms;
}

static void settle_create(struct recipe_exec *exec)
{
    const struct recipe *recipe = exec->recipe;
    struct recipe_result *result = &exec->result;
    struct recipe_why why;
    result->expires_ms = settle_time(exec, &recipe->expires);
    int64_t asked_ms = recipe->asks_expiry && exec->vars.expires_ms > 0 ? (exec->vars.expires_ms + 999) / 1000 * 1000 : 0;
    if (asked_ms > 0 && (result->expires_ms == 0 || result->expires_ms > asked_ms))
        result->expires_ms = asked_ms;
    if (!recipe->info.has_claim || recipe_expand(&exec->values, &recipe->claim_url, RECIPE_IN_TEXT, &exec->claim_url, &why) != 0)
        return;
    result->claim_url = mf_buf_view(&exec->claim_url);
    result->claim_expires_ms = settle_time(exec, &recipe->claim_expires);
}

/* --- accounts found --- */

static void write_found_ids(struct recipe_exec *exec)
{
    struct json_writer writer;
    json_begin(&writer, &exec->found);
    json_open_object(&writer);
    for (uint32_t i = 0; exec->operation->ids != NULL && i < exec->recipe->id_count; i++) {
        struct recipe_cell cell = {0};
        settle_cell(exec, &exec->operation->ids[i], &cell);
        write_cell(&writer, exec->recipe->ids[i].name, &cell);
        recipe_cell_clear(&cell);
    }
    json_close_object(&writer);
}

/* In the past by our clock, whatever the provider's says; 0 when it says nothing that can be read. */
static int64_t settle_created(const struct recipe_exec *exec, const struct recipe_template *template)
{
    struct recipe_why why;
    struct mf_buf text;
    int64_t at_ms = 0;
    mf_buf_init(&text, 64);
    if (template->count > 0 && recipe_expand(&exec->values, template, RECIPE_IN_TEXT, &text, &why) == 0)
        at_ms = parse_time_ms(mf_buf_view(&text));
    mf_buf_free(&text);
    return at_ms != 0 && (exec->offset_ms > CLOCKS_AGREE_MS || exec->offset_ms < -CLOCKS_AGREE_MS) ? at_ms - exec->offset_ms : at_ms;
}

static bool add_found(struct recipe_exec *exec)
{
    uint32_t count = exec->result.found_count;
    struct recipe_why why;
    if (mf_grow((void **)&exec->founds, &exec->found_capacity, (size_t)count + 1, sizeof *exec->founds, 4) != 0)
        return false;
    struct recipe_found *found = &exec->founds[count];
    found->ids_at = exec->found.length;
    exec->names_lost = false;
    write_found_ids(exec);
    if (exec->names_lost)
        return false;
    found->ids_length = exec->found.length - found->ids_at;
    found->tag_at = exec->found.length;
    if (exec->operation->tag.count > 0)
        recipe_expand(&exec->values, &exec->operation->tag, RECIPE_IN_TEXT, &exec->found, &why);
    found->tag_length = exec->found.length - found->tag_at;
    found->created_ms = settle_created(exec, &exec->operation->created);
    if (exec->found.failed)
        return false;
    exec->result.found_count++;
    return true;
}

/* find, list, check: one account for each row, or the one that the answers were about. */
static enum recipe_verdict settle_found(struct recipe_exec *exec)
{
    uint32_t rows = exec->operation->rows;
    bool complete = !exec->cut;
    if (rows == RECIPE_NONE)
        return exec->operation->op == RECIPE_CHECK || add_found(exec) ? RECIPE_VERDICT_SUCCESS : RECIPE_VERDICT_RETRY;
    complete = complete && !exec->values.lists[rows].cut;
    exec->values.each = rows;
    for (exec->values.row = 0; exec->values.row < exec->values.lists[rows].count; exec->values.row++)
        complete = add_found(exec) && complete;
    exec->values.each = RECIPE_NONE;
    if (!complete) {
        snprintf(exec->result.reason, sizeof exec->result.reason, "%s: the list was cut", recipe_op_name(exec->operation->op));
        return RECIPE_VERDICT_RETRY; /* what was not seen cannot be called absent */
    }
    return exec->result.found_count == 0 && exec->operation->op != RECIPE_LIST ? RECIPE_VERDICT_GONE : RECIPE_VERDICT_SUCCESS;
}

static bool any_cut(const struct recipe_exec *exec)
{
    bool cut = exec->cut;
    for (uint32_t i = 0; i < exec->operation->slot_count; i++)
        cut = cut || exec->values.lists[i].cut;
    return cut;
}

void recipe_settle(struct recipe_exec *exec, enum recipe_verdict verdict)
{
    struct recipe_result *result = &exec->result;
    enum recipe_op op = exec->operation->op;
    if (op == RECIPE_CREATE) {
        bool named = recipe_settle_names(exec);
        if (exec->effect_done && (exec->names_lost || (!named && verdict != RECIPE_VERDICT_SUCCESS)))
            verdict = RECIPE_VERDICT_UNKNOWN; /* something exists that cannot be named, so it is not absent */
        if (exec->effect_done && exec->names_lost)
            result->ids_json = result->secrets_json = (struct mf_span){NULL, 0};
        else if (exec->effect_done)
            settle_create(exec);
        else /* ids that are inputs name nothing that was created */
            result->ids_json = result->secrets_json = (struct mf_span){NULL, 0};
    } else if (op == RECIPE_REVOKE || op == RECIPE_DELETE) {
        if (any_cut(exec) && (verdict == RECIPE_VERDICT_SUCCESS || verdict == RECIPE_VERDICT_GONE)) {
            snprintf(result->reason, sizeof result->reason, "%s: there is more to do", recipe_op_name(op));
            verdict = RECIPE_VERDICT_RETRY;
        }
    } else if (verdict == RECIPE_VERDICT_SUCCESS) {
        verdict = settle_found(exec);
        if (result->found_count > 0)
            result->ids_json = (struct mf_span){exec->found.data + exec->founds[0].ids_at, exec->founds[0].ids_length};
    }
    if (verdict != RECIPE_VERDICT_RETRY) {
        result->after_ms = 0;
        result->rate_limited = false;
    }
    result->verdict = verdict;
}

bool recipe_found(const struct recipe_exec *exec, uint32_t index, struct mf_span *ids_json, struct mf_span *tag)
{
    if (index >= exec->result.found_count)
        return false;
    const struct recipe_found *found = &exec->founds[index];
    *ids_json = (struct mf_span){exec->found.data + found->ids_at, found->ids_length};
    *tag = (struct mf_span){exec->found.data + found->tag_at, found->tag_length};
    return true;
}

int64_t recipe_found_created_ms(const struct recipe_exec *exec, uint32_t index)
{
    return index < exec->result.found_count ? exec->founds[index].created_ms : 0;
}
