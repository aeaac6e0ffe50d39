/*
 * net/loop.h - the one event loop of a process, its clock, its deadline and its wake-ups
 *
 * Owns a libev loop. Time is CLOCK_BOOTTIME based (libev's own timers stop while the machine is suspended): the deadline
 * is a timerfd. Callbacks run on the loop's thread, except that net_loop_wake may be called from any thread.
 */
#ifndef MF_NET_LOOP_H
#define MF_NET_LOOP_H

#include "base/error.h"
#include "base/heap.h" /* MF_NEVER */

#include <stdbool.h>
#include <stdint.h>

struct ev_loop;
struct net_loop;

int net_loop_create(struct net_loop **out, struct mf_error *error);
void net_loop_destroy(struct net_loop *loop); /* NULL is fine */
struct ev_loop *net_loop_ev(struct net_loop *loop); /* for folders that may see libev */

/* Milliseconds of CLOCK_BOOTTIME: goes on during suspend, never goes back. */
int64_t net_now_ms(void);

/* Called before the loop would block, after all callbacks of an iteration: the place for the pump. */
void net_loop_on_turn(struct net_loop *loop, void (*turn)(void *context), void *context);
/* The one deadline (boot-time ms, MF_NEVER for none); when it passes, the turn runs. */
void net_loop_deadline(struct net_loop *loop, int64_t at_ms);
/* Makes the loop run another turn without blocking; from the loop's own thread. */
void net_loop_again(struct net_loop *loop);
/* From any thread: `woken` runs on the loop soon. Several wakes may become one call. */
void net_loop_on_wake(struct net_loop *loop, void (*woken)(void *context), void *context);
void net_loop_wake(struct net_loop *loop);

/* Signals by signalfd-like delivery on the loop. */
int net_loop_on_signal(struct net_loop *loop, int signal_number, void (*caught)(void *context, int signal_number), void *context, struct mf_error *error);

void net_loop_run(struct net_loop *loop); /* until net_loop_stop */
void net_loop_stop(struct net_loop *loop);

/* A timer of its own for adapters that need one (drain times of capture, idle sweep); boot-time based, one shot. */
struct net_timer;
int net_timer_create(struct net_timer **out, struct net_loop *loop, void (*fired)(void *context), void *context, struct mf_error *error);
void net_timer_set(struct net_timer *timer, int64_t at_ms); /* MF_NEVER stops it */
void net_timer_destroy(struct net_timer *timer);

/* Watches a descriptor (not owned). `events` is a set of NET_READ and NET_WRITE; 0 pauses. */
enum { NET_READ = 1, NET_WRITE = 2 };
struct net_watch;
int net_watch_create(struct net_watch **out, struct net_loop *loop, int fd, int events, void (*ready)(void *context, int events), void *context, struct mf_error *error);
void net_watch_set(struct net_watch *watch, int events);
void net_watch_destroy(struct net_watch *watch);

#endif
