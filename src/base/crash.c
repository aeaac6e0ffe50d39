/* crash.c - test builds only: dies at the place that MFY_CRASH names */
#include "base/crash.h"

#ifdef MAYFLY_CRASHPOINTS

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

#else

typedef int mf_crash_nothing; /* a file must hold something */

#endif
