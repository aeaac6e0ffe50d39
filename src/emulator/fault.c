/* fault.c - decides which rules of the script hit a request */
#include "emulator/fault.h"

#include "base/alloc.h"
#include "json/write.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    bool ends, edits;
} action_rows[] = {
#define X(action, name, ends, edits) {name, ends, edits},
    EMU_ACTIONS(X)
#undef X
};

static struct mf_span take_segment(struct mf_span *rest)
{
    size_t start = rest->length > 0 && rest->data[0] == '/' ? 1 : 0, at = start;
    while (at < rest->length && rest->data[at] != '/')
        at++;
    struct mf_span segment = {rest->data + start, at - start};
    *rest = (struct mf_span){rest->data + at, rest->length - at};
    return segment;
}

bool emu_path_fits(const char *pattern, struct mf_span path)
{
    struct mf_span left = mf_span(pattern);
    while (left.length > 0) {
        struct mf_span wanted = take_segment(&left);
        if (mf_span_is(wanted, "**"))
            return true;
        if (path.length == 0)
            return false;
        struct mf_span given = take_segment(&path);
        if (!mf_span_is(wanted, "*") && !mf_span_equal(wanted, given))
            return false;
    }
    return path.length == 0;
}

static bool is_nth(const struct emu_rule *rule)
{
    if (rule->nth_count == 0)
        return true;
    for (uint32_t each = 0; each < rule->nth_count; each++)
        if (rule->nth[each] == rule->matched)
            return true;
    return false;
}

static bool looks_at(const struct emu_rule *rule, struct mf_span method, struct mf_span path)
{
    return rule->action != EMU_ACTION_HTTP2 && (rule->method == NULL || mf_span_is(method, rule->method)) && emu_path_fits(rule->path, path);
}

/* The generator moves only for rules with a probability, so that adding a plain rule does not change the others. */
static bool hits(struct emu_faults *faults, struct emu_rule *rule)
{
    rule->matched++;
    if ((rule->times > 0 && rule->fired >= rule->times) || rule->matched <= rule->after || !is_nth(rule) ||
        (rule->every > 0 && rule->matched % rule->every != 0))
        return false;
    if (rule->probability < 1.0 && mf_rng_unit(&faults->rng) >= rule->probability)
        return false;
    rule->fired++;
    return true;
}

static int64_t draw_delay(struct emu_faults *faults, const struct emu_rule *rule)
{
    switch (rule->distribution) {
    case EMU_UNIFORM:
        return rule->low_ms + (int64_t)mf_rng_below(&faults->rng, (uint64_t)(rule->high_ms - rule->low_ms) + 1);
    case EMU_EXPONENTIAL:
        return (int64_t)(-log(1.0 - mf_rng_unit(&faults->rng)) * (double)rule->low_ms);
    case EMU_FIXED:
        break;
    }
    return rule->low_ms;
}

static void add_to_plan(struct emu_faults *faults, struct emu_rule *rule, struct emu_plan *plan)
{
    if (rule->action == EMU_ACTION_LATENCY)
        *(rule->before ? &plan->before_ms : &plan->after_ms) += draw_delay(faults, rule);
    else if (rule->action == EMU_ACTION_SECOND_ID)
        plan->second_id = true;
    else if (rule->action == EMU_ACTION_PENDING)
        plan->pending_ms = draw_delay(faults, rule);
    else if (action_rows[rule->action].edits && plan->edit_count < EMU_PLAN_EDITS_MAX)
        plan->edits[plan->edit_count++] = rule;
    else if (action_rows[rule->action].ends && plan->end == NULL)
        plan->end = rule;
}

void emu_faults_plan(struct emu_faults *faults, struct mf_span method, struct mf_span path, struct emu_plan *plan)
{
    *plan = (struct emu_plan){0};
    for (uint32_t each = 0; each < faults->count; each++)
        if (looks_at(&faults->rules[each], method, path) && hits(faults, &faults->rules[each]))
            add_to_plan(faults, &faults->rules[each], plan);
}

const struct emu_rule *emu_faults_connection(struct emu_faults *faults)
{
    const struct emu_rule *found = NULL;
    for (uint32_t each = 0; each < faults->count; each++) {
        struct emu_rule *rule = &faults->rules[each];
        if (rule->action == EMU_ACTION_HTTP2 && hits(faults, rule) && found == NULL)
            found = rule;
    }
    return found;
}

bool emu_rule_has_effect(const struct emu_rule *rule)
{
    if (rule == NULL)
        return true;
    if (rule->action == EMU_ACTION_STATUS || rule->action == EMU_ACTION_REDIRECT || rule->action == EMU_ACTION_HANG)
        return rule->effect;
    return rule->action != EMU_ACTION_LOST_BEFORE && rule->action != EMU_ACTION_RESET;
}

void emu_faults_write(const struct emu_faults *faults, struct json_writer *writer)
{
    json_open_array(writer);
    for (uint32_t each = 0; each < faults->count; each++) {
        const struct emu_rule *rule = &faults->rules[each];
        json_open_object(writer);
        json_member_string(writer, "name", rule->name);
        json_member_string(writer, "action", action_rows[rule->action].name);
        json_member_string(writer, "method", rule->method);
        json_member_string(writer, "path", rule->path);
        json_member_u64(writer, "matched", rule->matched);
        json_member_u64(writer, "fired", rule->fired);
        json_close_object(writer);
    }
    json_close_array(writer);
}
