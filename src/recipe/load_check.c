/*
 * load_check.c - rules that span a whole recipe
 *
 * They exist so that a recipe which loads can also clean up: whatever create may leave behind has an id by then, the steps of
 * teardown have what they need after a lost answer, and no credential is used after it was revoked.
 */
#include "recipe/load.h"

#include <string.h>

static void need(struct recipe_loader *loader, bool holds, const char *text)
{
    if (!holds)
        recipe_problem(loader, 0, "%s", text);
}

static void check_kind(struct recipe_loader *loader)
{
    const struct recipe_info *info = &loader->recipe->info;
    switch (info->kind) {
    case RECIPE_KIND_ACCOUNT:
        need(loader, info->has[RECIPE_CREATE], "kind `account` needs `create`");
        need(loader, info->has[RECIPE_DELETE], "kind `account` needs `delete`");
        need(loader, info->has[RECIPE_FIND] || info->lifetime_ms > 0,
             "kind `account` needs `find` or `limits.lifetime`: a lost answer must not leave an account for ever");
        break;
    case RECIPE_KIND_CREDENTIAL:
        need(loader, info->has[RECIPE_CREATE], "kind `credential` needs `create`");
        need(loader, info->has[RECIPE_FIND], "kind `credential` needs `find`");
        need(loader, info->has[RECIPE_REVOKE], "kind `credential` needs `revoke`");
        need(loader, !info->has[RECIPE_DELETE], "kind `credential` has no `delete`: its teardown is `revoke`");
        break;
    case RECIPE_KIND_SERVICE:
        for (uint32_t op = 0; op < RECIPE_OP_COUNT; op++)
            need(loader, !info->has[op], "kind `service` has no operations");
        break;
    }
    if (info->delete_ends_expiring && info->lifetime_ms == 0)
        recipe_problem(loader, loader->recipe->operations[RECIPE_DELETE].node, "`ends` is `expiring`, but `limits.lifetime` is missing");
}

/* Steps that must have run before the first effect is over; step_count when there is none. */
static uint32_t first_effect(const struct recipe_operation *create)
{
    uint32_t step = 0;
    while (step < create->step_count && !create->steps[step].effect)
        step++;
    return step;
}

static void check_effects(struct recipe_loader *loader, const struct recipe_operation *create)
{
    uint32_t first = first_effect(create);
    if (first == create->step_count)
        recipe_problem(loader, create->node, "`create` has no step with an effect");
    for (uint32_t i = 0; i < create->step_count; i++) {
        const struct recipe_step *step = &create->steps[i];
        if (i > first && step->effect && !step->undone_by_delete)
            recipe_problem(loader, step->node, "effect of step `%s` is not undone by deleting the account", step->name);
        if (step->effect && (step->for_each != RECIPE_NONE || step->repeat.times_max > 0))
            recipe_problem(loader, step->node, "a step of `create` with an effect runs once");
    }
}

static void check_create(struct recipe_loader *loader)
{
    struct recipe *recipe = loader->recipe;
    const struct recipe_operation *create = &recipe->operations[RECIPE_CREATE];
    if (create->step_count == 0)
        return;
    check_effects(loader, create);
    bool named = false;
    for (uint32_t i = 0; i < recipe->id_count; i++)
        named = named || recipe->ids[i].known_after <= first_effect(create) + 1;
    if (!named)
        recipe_problem(loader, create->node, "no id in `result.ids` is known after the first effect: what cannot be named cannot be deleted");
    for (size_t i = 0; i < create->use_count; i++) {
        const struct recipe_use *use = &create->uses[i];
        if (use->step == RECIPE_NONE || use->shared || (use->reference.source != RECIPE_SOURCE_ID && use->reference.source != RECIPE_SOURCE_SECRET))
            continue;
        const struct recipe_name *name =
            use->reference.source == RECIPE_SOURCE_ID ? &recipe->ids[use->reference.index] : &recipe->secrets[use->reference.index];
        if (name->known_after > use->step)
            recipe_problem(loader, use->node, "`%s` is not known before this step", name->name);
    }
}

static void check_readers(struct recipe_loader *loader)
{
    static const enum recipe_op readers[] = {RECIPE_FIND, RECIPE_CHECK, RECIPE_LIST};
    for (size_t i = 0; i < RECIPE_COUNT(readers); i++) {
        const struct recipe_operation *operation = &loader->recipe->operations[readers[i]];
        for (uint32_t step = 0; step < operation->step_count; step++)
            if (operation->steps[step].effect)
                recipe_problem(loader, operation->steps[step].node, "step `%s` must not change anything (say `\"effect\": false` if it does not)",
                               operation->steps[step].name);
        if (readers[i] != RECIPE_CHECK && operation->step_count > 0 && operation->ids == NULL)
            recipe_problem(loader, operation->node, "`result.ids` is missing");
        if (readers[i] == RECIPE_LIST && operation->step_count > 0 && operation->rows == RECIPE_NONE)
            recipe_problem(loader, operation->node, "`result.for_each` is missing");
    }
}

static bool is_conditional(const struct recipe_step *step, struct recipe_reference reference)
{
    for (uint32_t i = 0; i < step->only_with_count; i++)
        if (step->only_with[i].source == reference.source && step->only_with[i].index == reference.index)
            return true;
    return false;
}

/* A value that teardown uses must be there when create stopped after its first effect, and when find brought the account. */
static void check_teardown_use(struct recipe_loader *loader, const struct recipe_operation *operation, const struct recipe_use *use)
{
    const struct recipe *recipe = loader->recipe;
    bool id = use->reference.source == RECIPE_SOURCE_ID, secret = use->reference.source == RECIPE_SOURCE_SECRET;
    if ((!id && !secret) || use->step == RECIPE_NONE)
        return;
    const struct recipe_name *name = id ? &recipe->ids[use->reference.index] : &recipe->secrets[use->reference.index];
    const char *head = id ? "account" : "secret";
    if (secret && operation->op == RECIPE_DELETE && name->killed && recipe->info.has[RECIPE_REVOKE])
        recipe_problem(loader, use->node, "`secret.%s` is dead here: `revoke` comes first and kills it", name->name);
    if (is_conditional(&operation->steps[use->step], use->reference))
        return;
    if (recipe->info.has[RECIPE_FIND] && !(id && name->found))
        recipe_problem(loader, use->node, "`%s.%s` is not known for an account that `find` brought: give it there, or use `only_with`", head, name->name);
    else if (name->known_after > first_effect(&recipe->operations[RECIPE_CREATE]) + 1)
        recipe_problem(loader, use->node, "`%s.%s` may be missing when `create` stopped half way: use `only_with`", head, name->name);
}

static void check_teardown(struct recipe_loader *loader)
{
    static const enum recipe_op ops[] = {RECIPE_CHECK, RECIPE_REVOKE, RECIPE_DELETE};
    for (size_t i = 0; i < RECIPE_COUNT(ops); i++) {
        const struct recipe_operation *operation = &loader->recipe->operations[ops[i]];
        for (size_t use = 0; use < operation->use_count; use++)
            check_teardown_use(loader, operation, &operation->uses[use]);
    }
    for (uint32_t i = 0; i < 2; i++) { /* a find or list knows nothing of the account yet */
        const struct recipe_operation *operation = &loader->recipe->operations[i == 0 ? RECIPE_FIND : RECIPE_LIST];
        for (size_t use = 0; use < operation->use_count; use++)
            if (operation->uses[use].reference.source == RECIPE_SOURCE_ID || operation->uses[use].reference.source == RECIPE_SOURCE_SECRET)
                recipe_problem(loader, operation->uses[use].node, "nothing of the account is known here");
    }
}

static void settle_info(struct recipe *recipe)
{
    for (uint32_t op = 0; op < RECIPE_OP_COUNT; op++) {
        const struct recipe_operation *operation = &recipe->operations[op];
        for (size_t i = 0; i < operation->use_count; i++) {
            enum recipe_source source = operation->uses[i].reference.source;
            recipe->info.needs_credential = recipe->info.needs_credential || source == RECIPE_SOURCE_CREDENTIAL;
            recipe->info.scoped_tokens = recipe->info.scoped_tokens || source == RECIPE_SOURCE_PERMISSIONS;
            recipe->asks_expiry = recipe->asks_expiry || source == RECIPE_SOURCE_EXPIRES_ON;
        }
    }
}

void recipe_check(struct recipe_loader *loader)
{
    check_kind(loader);
    check_create(loader);
    check_readers(loader);
    check_teardown(loader);
    recipe_gateway_check(loader);
    settle_info(loader->recipe);
}
