/* assert.c - internal impossibilities, checked in production too */
#include "base/assert.h"

#include <stddef.h>
#include <stdlib.h>

static mf_assert_hook *assert_hook;

void mf_assert_set_hook(mf_assert_hook *hook)
{
    assert_hook = hook;
}

_Noreturn void mf_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    mf_assert_hook *hook = assert_hook;
    assert_hook = NULL; /* a hook that asserts must not come back here */
    if (hook != NULL)
        hook(condition, file, line, function);
    abort();
}
