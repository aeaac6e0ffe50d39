/*
 * loop.c - the one event loop of a process, its clock, its deadline and its wake-ups
 *
 * A thin layer over libev with two additions. First, the *turn*: a prepare watcher of the lowest priority, so that it
 * runs when every callback of an iteration has run and before the loop blocks. Second, time: libev's timers stand still
 * while the machine is suspended, so all timers live in one heap of deadlines behind one timerfd on CLOCK_BOOTTIME. The
 * timerfd is only ever moved to an earlier time; when it fires too early, it is set again. A server that pushes the
 * deadline of a connection into the future with each request then costs no system call.
 *
 * Callbacks run on the thread of net_loop_run. What can fail: descriptors and memory at creation, memory for a new
 * timer. After that nothing fails.
 */
#include "net/loop.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/heap.h"

#include <errno.h>
#include <ev.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_ITEM 0 /* item 0 of the heap is net_loop_deadline; net_timers have the others */

struct net_signal {
    ev_signal watcher;
    void (*caught)(void *context, int signal_number);
    void *context;
    struct net_signal *next;
};

struct net_loop {
    struct ev_loop *ev;
    ev_prepare prepare;
    ev_prepare arm;
    ev_idle again;
    ev_async wake;
    ev_io alarm;
    int alarm_fd;
    int64_t armed_at; /* when the timerfd fires; MF_NEVER: it is off */
    struct mf_heap deadlines;
    struct net_timer **timers; /* item -> timer; NULL: free */
    size_t timer_capacity;
    uint32_t timer_count; /* items ever given out, the deadline's included */
    uint32_t *free_items; /* stack of items that can be given out again */
    size_t free_capacity;
    uint32_t free_count;
    void (*turn)(void *context);
    void *turn_context;
    void (*woken)(void *context);
    void *woken_context;
    struct net_signal *signals;
};

struct net_timer {
    struct net_loop *loop;
    void (*fired)(void *context);
    void *context;
    uint32_t item;
};

struct net_watch {
    ev_io io;
    struct net_loop *loop;
    void (*ready)(void *context, int events);
    void *context;
};

int64_t net_now_ms(void)
{
    struct timespec now;
    int result = clock_gettime(CLOCK_BOOTTIME, &now);
    mf_assert(result == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct ev_loop *net_loop_ev(struct net_loop *loop)
{
    return loop->ev;
}

/* --- time --- */

static void set_alarm(struct net_loop *loop, int64_t at_ms)
{
    /* Zero would switch the timer off; a time in the past fires at once. */
    int64_t at = at_ms > 0 ? at_ms : 1;
    struct itimerspec when = {.it_value = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000}};
    int result = timerfd_settime(loop->alarm_fd, TFD_TIMER_ABSTIME, &when, NULL);
    mf_assert(result == 0);
    loop->armed_at = at_ms;
}

/* Runs before the loop blocks: only a deadline that is earlier than the armed one costs a system call. */
static void on_arm(struct ev_loop *ev, ev_prepare *watcher, int events)
{
    (void)ev;
    (void)events;
    struct net_loop *loop = watcher->data;
    uint32_t item;
    int64_t at;
    if (mf_heap_peek(&loop->deadlines, &item, &at) && at < loop->armed_at)
        set_alarm(loop, at);
}

/* Fires what is due. A callback may set, create and destroy timers; one that sets itself to now waits for the next
 * round. */
static void fire_due(struct net_loop *loop, int64_t now_ms)
{
    uint32_t item;
    int64_t at;
    for (uint32_t rounds = loop->deadlines.count; rounds > 0; rounds--) {
        if (!mf_heap_peek(&loop->deadlines, &item, &at) || at > now_ms)
            return;
        mf_heap_remove(&loop->deadlines, item);
        if (item != DEADLINE_ITEM)
            loop->timers[item]->fired(loop->timers[item]->context);
    }
}

static void on_alarm(struct ev_loop *ev, ev_io *watcher, int events)
{
    (void)ev;
    (void)events;
    struct net_loop *loop = watcher->data;
    uint64_t expirations;
    ssize_t got = read(loop->alarm_fd, &expirations, sizeof expirations);
    if (got != (ssize_t)sizeof expirations)
        return; /* moved between the wake-up and the read */
    loop->armed_at = MF_NEVER;
    fire_due(loop, net_now_ms());
}

void net_loop_deadline(struct net_loop *loop, int64_t at_ms)
{
    mf_heap_set(&loop->deadlines, DEADLINE_ITEM, at_ms);
}

static int take_item(struct net_loop *loop, uint32_t *out)
{
    if (loop->free_count > 0) {
        *out = loop->free_items[--loop->free_count];
        return 0;
    }
    size_t needed = (size_t)loop->timer_count + 1;
    if (mf_heap_reserve(&loop->deadlines, loop->timer_count + 1) != 0)
        return -1;
    if (mf_grow((void **)&loop->timers, &loop->timer_capacity, needed, sizeof(struct net_timer *), 16) != 0)
        return -1;
    /* Room for giving it back, so that destroying a timer cannot fail. */
    if (mf_grow((void **)&loop->free_items, &loop->free_capacity, needed, sizeof(uint32_t), 16) != 0)
        return -1;
    *out = loop->timer_count++;
    loop->timers[*out] = NULL;
    return 0;
}

int net_timer_create(struct net_timer **out, struct net_loop *loop, void (*fired)(void *context), void *context,
                     struct mf_error *error)
{
    struct net_timer *timer = mf_calloc(1, sizeof *timer);
    if (timer == NULL || take_item(loop, &timer->item) != 0) {
        mf_free(timer);
        return mf_fail(error, MF_MEMORY, "timer: no memory");
    }
    timer->loop = loop;
    timer->fired = fired;
    timer->context = context;
    loop->timers[timer->item] = timer;
    *out = timer;
    return 0;
}

void net_timer_set(struct net_timer *timer, int64_t at_ms)
{
    mf_heap_set(&timer->loop->deadlines, timer->item, at_ms);
}

void net_timer_destroy(struct net_timer *timer)
{
    if (timer == NULL)
        return;
    struct net_loop *loop = timer->loop;
    mf_heap_remove(&loop->deadlines, timer->item);
    loop->timers[timer->item] = NULL;
    loop->free_items[loop->free_count++] = timer->item;
    mf_free(timer);
}

/* --- turns and wake-ups --- */

static void on_prepare(struct ev_loop *ev, ev_prepare *watcher, int events)
{
    (void)ev;
    (void)events;
    struct net_loop *loop = watcher->data;
    if (loop->turn != NULL)
        loop->turn(loop->turn_context);
}

/* An active idle watcher keeps the loop from blocking; one turn later it has done its work. */
static void on_again(struct ev_loop *ev, ev_idle *watcher, int events)
{
    (void)events;
    ev_idle_stop(ev, watcher);
}

static void on_wake(struct ev_loop *ev, ev_async *watcher, int events)
{
    (void)ev;
    (void)events;
    struct net_loop *loop = watcher->data;
    if (loop->woken != NULL)
        loop->woken(loop->woken_context);
}

void net_loop_on_turn(struct net_loop *loop, void (*turn)(void *context), void *context)
{
    loop->turn = turn;
    loop->turn_context = context;
}

void net_loop_again(struct net_loop *loop)
{
    ev_idle_start(loop->ev, &loop->again);
}

void net_loop_on_wake(struct net_loop *loop, void (*woken)(void *context), void *context)
{
    loop->woken = woken;
    loop->woken_context = context;
}

void net_loop_wake(struct net_loop *loop)
{
    ev_async_send(loop->ev, &loop->wake);
}

/* --- signals --- */

static void on_signal(struct ev_loop *ev, ev_signal *watcher, int events)
{
    (void)ev;
    (void)events;
    struct net_signal *signal = watcher->data;
    signal->caught(signal->context, watcher->signum);
}

int net_loop_on_signal(struct net_loop *loop, int signal_number, void (*caught)(void *context, int signal_number),
                       void *context, struct mf_error *error)
{
    struct net_signal *signal = mf_calloc(1, sizeof *signal);
    if (signal == NULL)
        return mf_fail(error, MF_MEMORY, "signal %d: no memory", signal_number);
    signal->caught = caught;
    signal->context = context;
    signal->next = loop->signals;
    loop->signals = signal;
    ev_signal_init(&signal->watcher, on_signal, signal_number);
    signal->watcher.data = signal;
    ev_signal_start(loop->ev, &signal->watcher);
    return 0;
}

/* --- descriptors --- */

static void on_io(struct ev_loop *ev, ev_io *io, int events)
{
    (void)ev;
    struct net_watch *watch = io->data;
    watch->ready(watch->context, ((events & EV_READ) != 0 ? NET_READ : 0) | ((events & EV_WRITE) != 0 ? NET_WRITE : 0));
}

static int to_ev(int events)
{
    return ((events & NET_READ) != 0 ? EV_READ : 0) | ((events & NET_WRITE) != 0 ? EV_WRITE : 0);
}

int net_watch_create(struct net_watch **out, struct net_loop *loop, int fd, int events,
                     void (*ready)(void *context, int events), void *context, struct mf_error *error)
{
    struct net_watch *watch = mf_calloc(1, sizeof *watch);
    if (watch == NULL)
        return mf_fail(error, MF_MEMORY, "watch: no memory");
    watch->loop = loop;
    watch->ready = ready;
    watch->context = context;
    ev_io_init(&watch->io, on_io, fd, to_ev(events));
    watch->io.data = watch;
    if (events != 0)
        ev_io_start(loop->ev, &watch->io);
    *out = watch;
    return 0;
}

void net_watch_set(struct net_watch *watch, int events)
{
    int wanted = to_ev(events);
    bool active = ev_is_active(&watch->io);
    if (active && (watch->io.events & (EV_READ | EV_WRITE)) == wanted)
        return;
    ev_io_stop(watch->loop->ev, &watch->io);
    if (wanted == 0)
        return;
    ev_io_set(&watch->io, watch->io.fd, wanted);
    ev_io_start(watch->loop->ev, &watch->io);
}

void net_watch_destroy(struct net_watch *watch)
{
    if (watch == NULL)
        return;
    ev_io_stop(watch->loop->ev, &watch->io);
    mf_free(watch);
}

/* --- the loop itself --- */

static void start_watchers(struct net_loop *loop)
{
    ev_prepare_init(&loop->prepare, on_prepare);
    ev_set_priority(&loop->prepare, 0); /* after the prepare watchers of adapters: their answers are in */
    ev_prepare_init(&loop->arm, on_arm);
    ev_set_priority(&loop->arm, EV_MINPRI); /* after the turn, which sets deadlines */
    ev_idle_init(&loop->again, on_again);
    ev_set_priority(&loop->again,
                    EV_MAXPRI); /* libev runs idle watchers only when nothing of their priority or above is pending */
    ev_async_init(&loop->wake, on_wake);
    ev_io_init(&loop->alarm, on_alarm, loop->alarm_fd, EV_READ);
    loop->prepare.data = loop->arm.data = loop->wake.data = loop->alarm.data = loop;
    ev_prepare_start(loop->ev, &loop->prepare);
    ev_prepare_start(loop->ev, &loop->arm);
    ev_async_start(loop->ev, &loop->wake);
    ev_io_start(loop->ev, &loop->alarm);
}

static int open_loop(struct net_loop *loop, struct mf_error *error)
{
    uint32_t item;
    mf_heap_init(&loop->deadlines);
    loop->armed_at = MF_NEVER;
    if (take_item(loop, &item) != 0)
        return mf_fail(error, MF_MEMORY, "event loop: no memory");
    mf_assert(item == DEADLINE_ITEM);
    loop->alarm_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->alarm_fd < 0)
        return mf_fail_os(error, errno, "event loop: timerfd");
    loop->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (loop->ev == NULL)
        return mf_fail_os(error, errno, "event loop: epoll");
    start_watchers(loop);
    return 0;
}

/* libev would abort, which says nothing of accounts: no descriptor left for what it opens late, or no memory in the kernel. */
static void on_system_error(const char *text)
{
    mf_assert_failed(text, __FILE__, __LINE__, "libev");
}

int net_loop_create(struct net_loop **out, struct mf_error *error)
{
    ev_set_syserr_cb(on_system_error);
    struct net_loop *loop = mf_calloc(1, sizeof *loop);
    if (loop == NULL)
        return mf_fail(error, MF_MEMORY, "event loop: no memory");
    loop->alarm_fd = -1;
    if (open_loop(loop, error) != 0) {
        net_loop_destroy(loop);
        return -1;
    }
    *out = loop;
    return 0;
}

static void free_signals(struct net_loop *loop)
{
    while (loop->signals != NULL) {
        struct net_signal *signal = loop->signals;
        loop->signals = signal->next;
        ev_signal_stop(loop->ev, &signal->watcher);
        mf_free(signal);
    }
}

void net_loop_destroy(struct net_loop *loop)
{
    if (loop == NULL)
        return;
    for (uint32_t item = DEADLINE_ITEM + 1; item < loop->timer_count; item++)
        mf_assert(loop->timers[item] == NULL); /* timers go before the loop */
    if (loop->ev != NULL) {
        free_signals(loop);
        ev_loop_destroy(loop->ev);
    }
    if (loop->alarm_fd >= 0)
        close(loop->alarm_fd);
    mf_heap_free(&loop->deadlines);
    mf_free(loop->timers);
    mf_free(loop->free_items);
    mf_free(loop);
}

void net_loop_run(struct net_loop *loop)
{
    ev_run(loop->ev, 0);
}

void net_loop_stop(struct net_loop *loop)
{
    ev_break(loop->ev, EVBREAK_ALL);
}
