/* groups.c - tables of permission groups and access classes, from the lists in groups.h */
#include "emulator/groups.h"

#define BIT(group, word) ((group) / 64 == (word) ? (uint64_t)1 << ((group) % 64) : 0)

/* NO is a name of its own, so that a row of the access table always has five columns. */
enum { EMU_GROUP_NO = 2 * 64 };

struct group_row {
    const char *name, *id;
    enum emu_scope scope;
};

static const struct group_row group_rows[] = {
#define X(group, name, id, scope) {name, id, EMU_SCOPE_##scope},
    EMU_GROUPS(X)
#undef X
};

static const char *const scope_names[] = {
#define X(scope, name) name,
    EMU_SCOPES(X)
#undef X
};

#define WORD(a, b, c, d, e, word) \
    BIT(EMU_GROUP_##a, word) | BIT(EMU_GROUP_##b, word) | BIT(EMU_GROUP_##c, word) | BIT(EMU_GROUP_##d, word) | BIT(EMU_GROUP_##e, word)

static const struct emu_group_set access_rows[] = {
#define X(access, a, b, c, d, e) {{WORD(a, b, c, d, e, 0), WORD(a, b, c, d, e, 1)}},
    EMU_ACCESS(X)
#undef X
};

/* The products of a temporary account, as documented; R2 because the real client offers it for them. */
#define TEMPORARY(word)                                                                                                  \
    BIT(EMU_GROUP_WORKERS_SCRIPTS_WRITE, word) | BIT(EMU_GROUP_WORKERS_TAIL_READ, word) |                                \
        BIT(EMU_GROUP_WORKERS_KV_STORAGE_WRITE, word) | BIT(EMU_GROUP_D1_WRITE, word) | BIT(EMU_GROUP_QUEUES_WRITE, word) | \
        BIT(EMU_GROUP_HYPERDRIVE_WRITE, word) | BIT(EMU_GROUP_ACCOUNT_SSL_AND_CERTIFICATES_WRITE, word) |                \
        BIT(EMU_GROUP_WORKERS_R2_STORAGE_WRITE, word) | BIT(EMU_GROUP_ACCOUNT_SETTINGS_READ, word)
static const struct emu_group_set temporary_groups = {{TEMPORARY(0), TEMPORARY(1)}};

const char *emu_group_name(enum emu_group group)
{
    return group_rows[group].name;
}

const char *emu_group_id(enum emu_group group)
{
    return group_rows[group].id;
}

enum emu_scope emu_group_scope(enum emu_group group)
{
    return group_rows[group].scope;
}

const char *emu_scope_name(enum emu_scope scope)
{
    return scope_names[scope];
}

enum emu_group emu_group_find(struct mf_span id)
{
    for (unsigned group = 0; group < EMU_GROUP_COUNT; group++)
        if (mf_span_is(id, group_rows[group].id))
            return (enum emu_group)group;
    return EMU_GROUP_COUNT;
}

void emu_set_add(struct emu_group_set *set, enum emu_group group)
{
    set->words[group / 64] |= (uint64_t)1 << (group % 64);
}

bool emu_set_has(const struct emu_group_set *set, enum emu_group group)
{
    return (set->words[group / 64] >> (group % 64) & 1) != 0;
}

const struct emu_group_set *emu_access_groups(enum emu_access access)
{
    return &access_rows[access];
}

const struct emu_group_set *emu_temporary_groups(void)
{
    return &temporary_groups;
}
