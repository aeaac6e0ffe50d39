/*
 * object.c - what lives inside an account, in collections sorted by name
 *
 * Inserting moves the tail of an array of pointers: for the 10,000 of a large list that is 40 KiB on average, a few
 * microseconds, and it buys paging, cursors and prefixes for nothing.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "emulator/persist.h"
#include "emulator/state_private.h"

#include <string.h>

enum id_form { ID_NAME, ID_HEX, ID_UUID };

static const struct {
    enum id_form form;
    uint32_t count_max;
} kind_rows[] = {
#define X(kind, name, id, logged, count_max) {ID_##id, count_max},
    EMU_KINDS(X)
#undef X
};

const char *emu_object_id(const struct emu_object *object)
{
    return object->id[0] == '\0' ? object->name : object->id;
}

/* --- collections --- */

static struct emu_collection *find_collection(struct emu_collection *list, enum emu_kind kind)
{
    while (list != NULL && list->kind != kind)
        list = list->next;
    return list;
}

static struct emu_collection **list_of(struct emu_account *account, struct emu_object *parent)
{
    return parent == NULL ? &account->collections : &parent->children;
}

const struct emu_collection *emu_collection(const struct emu_account *account, const struct emu_object *parent, enum emu_kind kind)
{
    return find_collection(parent == NULL ? account->collections : parent->children, kind);
}

size_t emu_count(const struct emu_account *account, const struct emu_object *parent, enum emu_kind kind)
{
    const struct emu_collection *collection = emu_collection(account, parent, kind);
    return collection == NULL ? 0 : collection->count;
}

size_t emu_position(const struct emu_collection *collection, struct mf_span name)
{
    size_t low = 0, high = collection->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mf_span_compare(mf_span(collection->objects[middle]->name), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct emu_object *emu_object_of_name(const struct emu_account *account, const struct emu_object *parent, enum emu_kind kind, struct mf_span name)
{
    const struct emu_collection *collection = emu_collection(account, parent, kind);
    if (collection == NULL)
        return NULL;
    size_t at = emu_position(collection, name);
    return at < collection->count && mf_span_is(name, collection->objects[at]->name) ? collection->objects[at] : NULL;
}

struct emu_object *emu_object_of_id(const struct emu_state *state, const struct emu_account *account, enum emu_kind kind, struct mf_span id)
{
    struct emu_object *object = emu_table_get(&state->object_by_id, id);
    return object != NULL && object->account == account && object->kind == kind ? object : NULL;
}

static struct emu_collection *obtain_collection(struct emu_account *account, struct emu_object *parent, enum emu_kind kind)
{
    struct emu_collection **list = list_of(account, parent), *collection = find_collection(*list, kind);
    if (collection != NULL)
        return collection;
    collection = mf_calloc(1, sizeof(*collection));
    if (collection == NULL)
        return NULL;
    collection->kind = kind;
    collection->next = *list;
    *list = collection;
    return collection;
}

static int insert(struct emu_collection *collection, struct emu_object *object)
{
    if (mf_grow((void **)&collection->objects, &collection->capacity, collection->count + 1, sizeof(struct emu_object *), 4) < 0)
        return -1;
    size_t at = emu_position(collection, mf_span(object->name));
    memmove(&collection->objects[at + 1], &collection->objects[at], (collection->count - at) * sizeof(struct emu_object *));
    collection->objects[at] = object;
    collection->count++;
    return 0;
}

static void take_out(struct emu_collection *collection, const struct emu_object *object)
{
    size_t at = emu_position(collection, mf_span(object->name));
    mf_assert(at < collection->count && collection->objects[at] == object);
    memmove(&collection->objects[at], &collection->objects[at + 1], (collection->count - at - 1) * sizeof(struct emu_object *));
    collection->count--;
}

void emu_collections_free(struct emu_collection *list)
{
    while (list != NULL) {
        struct emu_collection *next = list->next;
        for (size_t each = 0; each < list->count; each++)
            emu_object_free(list->objects[each]);
        mf_free(list->objects);
        mf_free(list);
        list = next;
    }
}

/* --- objects --- */

static uint64_t bytes_of(const struct emu_object *object)
{
    return sizeof(*object) + strlen(object->name) + strlen(object->document) + object->data_bytes;
}

void emu_object_free(struct emu_object *object)
{
    if (object == NULL)
        return;
    emu_collections_free(object->children);
    mf_free(object->name);
    mf_free(object->document);
    mf_free(object->data);
    mf_free(object);
}

static struct emu_object *allocate(struct emu_state *state, enum emu_kind kind, struct mf_span name, struct mf_span document)
{
    struct emu_object *object = mf_calloc(1, sizeof(*object));
    if (object == NULL)
        return NULL;
    object->kind = kind;
    object->name = emu_span_dup(name);
    object->document = document.length == 0 ? mf_strdup("{}") : emu_span_dup(document);
    if (object->name == NULL || object->document == NULL) {
        emu_object_free(object);
        return NULL;
    }
    object->sequence = ++state->sequence;
    object->created_ms = object->modified_ms = emu_now(state);
    object->expires_ms = MF_NEVER;
    if (kind_rows[kind].form == ID_HEX)
        emu_hex_id(state->identity, object->id);
    else if (kind_rows[kind].form == ID_UUID)
        emu_uuid(state->identity, object->id);
    return object;
}

static int enter(struct emu_state *state, struct emu_object *object)
{
    struct emu_collection *collection = obtain_collection(object->account, object->parent, object->kind);
    if (collection == NULL || insert(collection, object) < 0)
        return -1;
    if (object->id[0] != '\0' && emu_table_put(&state->object_by_id, mf_span(object->id), object) < 0) {
        take_out(collection, object);
        return -1;
    }
    state->bytes += bytes_of(object);
    state->object_count++;
    return 0;
}

static int check_room(const struct emu_state *state, struct emu_account *account, struct emu_object *parent, enum emu_kind kind, struct mf_error *error)
{
    if (emu_count(account, parent, kind) >= kind_rows[kind].count_max)
        return mf_fail(error, MF_LIMIT, "%s: more than %u", emu_kind_name(kind), kind_rows[kind].count_max);
    if (state->object_count >= EMU_OBJECTS_MAX || state->bytes >= state->bytes_max)
        return mf_fail(error, MF_LIMIT, "emulator: its memory limit is reached");
    return 0;
}

int emu_object_create(struct emu_state *state, struct emu_account *account, struct emu_object *parent, enum emu_kind kind, struct mf_span name, struct mf_span document, struct emu_object **out, struct mf_error *error)
{
    if (check_room(state, account, parent, kind, error) < 0)
        return -1;
    if (emu_object_of_name(account, parent, kind, name) != NULL)
        return mf_fail(error, MF_STATE, "%s: the name is taken", emu_kind_name(kind));
    struct emu_object *object = allocate(state, kind, name, document);
    if (object == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    object->account = account;
    object->parent = parent;
    if (enter(state, object) < 0) {
        emu_object_free(object);
        return mf_fail(error, MF_MEMORY, "no memory");
    }
    emu_persist_object(state->persist, object);
    *out = object;
    return 0;
}

int emu_object_restore(struct emu_state *state, struct emu_object *object, struct mf_error *error)
{
    if (enter(state, object) < 0) {
        emu_object_free(object);
        return mf_fail(error, MF_MEMORY, "no memory");
    }
    if (object->sequence > state->sequence)
        state->sequence = object->sequence;
    return 0;
}

static void forget(struct emu_state *state, struct emu_object *object)
{
    if (object->id[0] != '\0')
        emu_table_remove(&state->object_by_id, mf_span(object->id));
    if (state->forgotten != NULL)
        state->forgotten(state->forgotten_context, object);
    state->bytes -= bytes_of(object);
    state->object_count--;
    emu_collections_forget(state, object->children);
}

void emu_collections_forget(struct emu_state *state, struct emu_collection *list)
{
    for (; list != NULL; list = list->next)
        for (size_t each = 0; each < list->count; each++)
            forget(state, list->objects[each]);
}

void emu_object_delete(struct emu_state *state, struct emu_object *object)
{
    take_out(find_collection(*list_of(object->account, object->parent), object->kind), object);
    forget(state, object);
    emu_persist_object_delete(state->persist, object);
    emu_object_free(object);
}

int emu_object_set_data(struct emu_state *state, struct emu_object *object, struct mf_span data)
{
    char *copy = emu_span_dup(data);
    if (copy == NULL)
        return -1;
    state->bytes -= bytes_of(object);
    mf_free(object->data);
    object->data = copy;
    object->data_bytes = data.length;
    state->bytes += bytes_of(object);
    return 0;
}

int emu_object_set_document(struct emu_state *state, struct emu_object *object, struct mf_span document)
{
    char *copy = emu_span_dup(document);
    if (copy == NULL)
        return -1;
    state->bytes -= bytes_of(object);
    mf_free(object->document);
    object->document = copy;
    state->bytes += bytes_of(object);
    return 0;
}

int emu_object_rename(struct emu_state *state, struct emu_object *object, struct mf_span name)
{
    struct emu_collection *collection = find_collection(*list_of(object->account, object->parent), object->kind);
    char *copy = emu_span_dup(name);
    if (copy == NULL)
        return -1;
    take_out(collection, object);
    state->bytes -= bytes_of(object);
    mf_free(object->name);
    object->name = copy;
    state->bytes += bytes_of(object);
    return insert(collection, object); /* cannot fail: the place was just freed */
}

void emu_object_save(struct emu_state *state, struct emu_object *object)
{
    object->modified_ms = emu_now(state);
    emu_persist_object(state->persist, object);
}
