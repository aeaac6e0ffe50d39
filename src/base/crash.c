/* crash.c - test builds only: dies at the place that MFY_CRASH names, fails the allocation that MFY_FAIL_ALLOC names */
#include "base/crash.h"

#ifdef MAYFLY_CRASHPOINTS

#include "base/alloc.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void mf_crash_point(unsigned point)
{
    static unsigned wanted, pass, passed;
    static int known;
    if (!known) {
        const char *text = getenv("MFY_CRASH");
        known = 1;
        if (text == NULL || sscanf(text, "K%u:%u", &wanted, &pass) != 2)
            wanted = 0;
    }
    if (wanted != 0 && point == wanted && ++passed == pass)
        kill(getpid(), SIGKILL);
}

static void print_count(void)
{
    fprintf(stderr, "allocations %llu\n", (unsigned long long)mf_alloc_count());
}

void mf_crash_arm(void)
{
    unsigned long long which, times = 1;
    const char *text = getenv("MFY_FAIL_ALLOC");
    if (text == NULL)
        return;
    if (strcmp(text, "count") == 0)
        atexit(print_count);
    else if (sscanf(text, "%llu:%llu", &which, &times) >= 1 && which > 0)
        mf_alloc_fail_after((int64_t)which - 1, times);
}

#else

typedef int mf_crash_nothing; /* a file must hold something */

#endif
