/* watch.c - the names of what looks wrong, and the signal that siblings give */
#include "gateway/watch.h"

static const struct {
    const char *name, *text;
    bool violation;
} kinds[] = {
#define VIOLATION true
#define INFORM false
#define X(kind, name, effect, text) {name, text, effect},
    WATCH_KINDS(X)
#undef X
#undef INFORM
#undef VIOLATION
};

const char *watch_name(enum watch_kind kind)
{
    return kinds[kind].name;
}

const char *watch_text(enum watch_kind kind)
{
    return kinds[kind].text;
}

bool watch_is_violation(enum watch_kind kind)
{
    return kinds[kind].violation;
}
