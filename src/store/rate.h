/*
 * store/rate.h - one request budget for all runs on the host: a token bucket and a Retry-After in a small file
 *
 * The file is `providers/NAME.rate` of the state directory: fixed size, mapped or read and written under a lock that is held
 * for microseconds. Times are CLOCK_BOOTTIME ms with the boot id stored beside them: after a reboot the bucket is full.
 */
#ifndef MF_STORE_RATE_H
#define MF_STORE_RATE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct store_rate;

/* requests 0: no budget, only the gate. `reserve` of the requests can only be taken with `reserved` set (teardown). */
int store_rate_open(struct store_rate **out, const char *path, uint32_t requests, uint32_t window_ms, uint32_t reserve, struct mf_error *error);
void store_rate_close(struct store_rate *rate);
/* Takes one token. Returns 0 when the request may go now, else the boot-time ms at which to ask again. */
int64_t store_rate_take(struct store_rate *rate, int64_t now_ms, bool reserved);
/* Shuts the gate for everybody until then (Retry-After); only ever later. */
void store_rate_shut(struct store_rate *rate, int64_t until_ms);

#endif
