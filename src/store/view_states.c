/* view_states.c - what the states of the machines are called and what they mean to a reader */
#include "store/record.h"
#include "store/view.h"

const char *view_task_state_name(enum core_task_state state)
{
    static const char *const names[] = {
#define X(state, name, class) name,
        CORE_TASK_STATES(X)
#undef X
    };
    return state < CORE_TASK_STATE_COUNT ? names[state] : "?";
}

const char *view_account_state_name(enum core_account_state state)
{
    static const char *const names[] = {"new",
#define X(state, name, class) name,
                                        CORE_ACCOUNT_STATES(X)
#undef X
    };
    return state < CORE_ACCOUNT_STATE_COUNT ? names[state] : "?";
}

const char *view_class_name(enum core_class class)
{
    const char *name = record_fact_word(CORE_FACT_CLASS, (int64_t)class);
    return name != NULL ? name : "?";
}

const char *view_record_name(enum core_record_kind kind)
{
    return record_kind_name(kind).data;
}

enum view_openness view_account_openness(enum core_account_state state)
{
    static const enum view_openness openness[] = {VIEW_OPEN,
#define X(state, name, class) VIEW_##class,
                                                  CORE_ACCOUNT_STATES(X)
#undef X
    };
    return openness[state];
}

bool view_task_final(enum core_task_state state)
{
    enum { OPEN, LIVE, FINAL };
    static const int classes[] = {
#define X(state, name, class) class,
        CORE_TASK_STATES(X)
#undef X
    };
    return classes[state] == FINAL;
}

bool view_account_may_exist(const struct view_account *account, int64_t now_ms)
{
    if (view_account_openness(account->state) == VIEW_FINAL || account->state == CORE_ACCOUNT_STATE_NEW)
        return false;
    bool dies_alone = account->state == CORE_ACCOUNT_STATE_EXPIRING || account->state == CORE_ACCOUNT_STATE_CLAIMABLE;
    return !dies_alone || account->expires_ms == 0 || account->expires_ms > now_ms;
}
