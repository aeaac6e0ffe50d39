/*
 * base/assert.h - internal impossibilities, checked in production too
 *
 * External input never reaches mf_assert. When one fails, the hook (set by main) decides the exit code, because a failed
 * assertion with an account open must end with exit 4; without a hook the process aborts.
 */
#ifndef MF_BASE_ASSERT_H
#define MF_BASE_ASSERT_H

#define mf_assert(condition) ((condition) ? (void)0 : mf_assert_failed(#condition, __FILE__, __LINE__, __func__))

#define mf_unreachable() mf_assert_failed("unreachable", __FILE__, __LINE__, __func__)

typedef void mf_assert_hook(const char *condition, const char *file, int line, const char *function);

/* Reports through the hook and never returns. */
_Noreturn void mf_assert_failed(const char *condition, const char *file, int line, const char *function);

/* Sets the hook that runs before the process aborts; NULL takes it away. */
void mf_assert_set_hook(mf_assert_hook *hook);

#endif
