/*
 * emulator/deliver.h - hands answers to the server: at once, late, broken, or never
 *
 * Late answers and held requests wait in one heap behind one timer. A peer that goes away takes its entry along.
 */
#ifndef MF_EMULATOR_DELIVER_H
#define MF_EMULATOR_DELIVER_H

#include "base/error.h"
#include "emulator/call.h"
#include "emulator/fault.h"
#include "net/server.h"

#define EMU_WAITING_MAX 100000u /* answers and requests that wait at one time */

struct emu_deliveries;

/* A held request whose wait is over. */
typedef void emu_resume(void *context, struct net_exchange *exchange, const struct net_server_request *request);

int emu_deliveries_create(struct emu_deliveries **out, struct net_loop *loop, emu_resume *resume, void *context, struct mf_error *error);
/* Only after the server is gone. */
void emu_deliveries_destroy(struct emu_deliveries *deliveries);

/* Sends the call's answer in the way of `end` (NULL: cleanly), after the delay. */
void emu_deliver(struct emu_deliveries *deliveries, struct net_exchange *exchange, const struct emu_call *call, const struct emu_rule *end, int64_t delay_ms);
/* Holds a request back and resumes it after the delay. */
void emu_hold(struct emu_deliveries *deliveries, struct net_exchange *exchange, const struct net_server_request *request, int64_t delay_ms);

#endif
