/*
 * resolve.c - names to addresses, in threads: the system's resolver may take as long as it likes
 *
 * A look-up is shared by the loop and its thread and freed by the one that lets go of it last. The thread writes the answer
 * into it, then wakes the loop through an eventfd; all that both touch is behind one lock, and the list of look-ups is the
 * loop's alone.
 */
#include "gateway/resolve.h"

#include "base/alloc.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)512 << 10) /* getaddrinfo loads modules that keep buffers of some ten KiB there */

/* What loop and threads share; lives until the last of them let go. */
struct shared {
    pthread_mutex_t lock;
    int event_fd;     /* owned */
    uint32_t uses;    /* the resolver and each running thread */
    uint32_t threads; /* that run: also those whose look-up was cancelled, so that nobody gathers more of them */
};

struct lookup {
    struct lookup *next;
    struct shared *shared;
    resolve_function *resolve;
    resolve_done *done;
    void *context;
    char host[EGRESS_HOST_BYTES_MAX];
    bool running;   /* loop: a thread works on it */
    bool cancelled; /* under the lock, as all that follows */
    bool answered;
    struct egress_address addresses[RESOLVE_ADDRESSES_MAX];
    uint32_t count;
    const char *trouble;
};

struct resolver {
    struct shared *shared;
    struct net_watch *watch;
    resolve_function *resolve;
    struct lookup *lookups; /* owned, in the order in which they were asked */
};

/* --- the system's resolver --- */

static bool take_address(const struct sockaddr *from, struct egress_address *out)
{
    *out = (struct egress_address){.six = from->sa_family == AF_INET6};
    if (from->sa_family == AF_INET)
        memcpy(out->bytes, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    else if (from->sa_family == AF_INET6)
        memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
    else
        return false;
    return true;
}

static uint32_t ask_system(const char *host, struct egress_address addresses[RESOLVE_ADDRESSES_MAX],
                           const char **trouble)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    uint32_t count = 0;
    int result = getaddrinfo(host, NULL, &hints, &list);
    if (result != 0) {
        *trouble = result == EAI_NONAME  ? "no such name"
                   : result == EAI_AGAIN ? "no name server answered"
                                         : "cannot be resolved";
        return 0;
    }
    for (const struct addrinfo *at = list; at != NULL && count < RESOLVE_ADDRESSES_MAX; at = at->ai_next)
        count += take_address(at->ai_addr, &addresses[count]) ? 1 : 0;
    freeaddrinfo(list);
    *trouble = "has no address";
    return count;
}

/* --- sharing --- */

static void shared_let_go(struct shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    bool last = --shared->uses == 0;
    pthread_mutex_unlock(&shared->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&shared->lock);
    close(shared->event_fd);
    mf_free(shared);
}

static struct shared *shared_create(void)
{
    struct shared *shared = mf_calloc(1, sizeof *shared);
    if (shared == NULL)
        return NULL;
    shared->uses = 1;
    shared->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (shared->event_fd >= 0 && pthread_mutex_init(&shared->lock, NULL) == 0)
        return shared;
    if (shared->event_fd >= 0)
        close(shared->event_fd);
    mf_free(shared);
    return NULL;
}

/* A thread is through with it, or there was none to be had. True: nobody waits for it any more. */
static bool hand_back(struct lookup *lookup, const struct egress_address *addresses, uint32_t count,
                      const char *trouble)
{
    uint64_t one = 1;
    struct shared *shared = lookup->shared;
    pthread_mutex_lock(&shared->lock);
    bool cancelled = lookup->cancelled;
    shared->threads--;
    lookup->answered = true;
    lookup->count = count;
    lookup->trouble = trouble;
    memcpy(lookup->addresses, addresses, sizeof lookup->addresses);
    pthread_mutex_unlock(&shared->lock);
    ssize_t written = write(shared->event_fd, &one, sizeof one);
    (void)written; /* full means that the loop wakes anyway */
    return cancelled;
}

static void *thread_main(void *argument)
{
    struct lookup *lookup = argument;
    struct shared *shared = lookup->shared;
    struct egress_address addresses[RESOLVE_ADDRESSES_MAX] = {{.six = false}};
    const char *trouble = "cannot be resolved";
    uint32_t count = lookup->resolve(lookup->host, addresses, &trouble);
    if (hand_back(lookup, addresses, count, trouble))
        mf_free(lookup);
    shared_let_go(shared);
    return NULL;
}

/* Signals stay the loop's. */
static int start_thread(struct lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return -1;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread, &attributes, thread_main, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return result == 0 ? 0 : -1;
}

/* --- the loop's side --- */

static void unlink_lookup(struct resolver *resolver, struct lookup *lookup)
{
    struct lookup **at = &resolver->lookups;
    while (*at != lookup)
        at = &(*at)->next;
    *at = lookup->next;
}

/* Counts a thread that is about to be started, and its hold on what is shared. */
static bool take_thread(struct shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    bool free_place = shared->threads < RESOLVE_RUNNING_MAX;
    shared->threads += free_place ? 1 : 0;
    shared->uses += free_place ? 1 : 0;
    pthread_mutex_unlock(&shared->lock);
    return free_place;
}

static struct lookup *next_waiting(struct resolver *resolver)
{
    struct lookup *lookup = resolver->lookups;
    while (lookup != NULL && lookup->running)
        lookup = lookup->next;
    return lookup;
}

/* Marks what cannot be started as answered with nothing, so that it is told from the loop. */
static void start_waiting(struct resolver *resolver)
{
    struct lookup *lookup;
    while ((lookup = next_waiting(resolver)) != NULL && take_thread(resolver->shared)) {
        lookup->running = true;
        if (start_thread(lookup) == 0)
            continue;
        struct egress_address none[RESOLVE_ADDRESSES_MAX] = {{.six = false}};
        hand_back(lookup, none, 0, "there is no thread left to resolve it");
        shared_let_go(resolver->shared);
    }
}

static struct lookup *next_answered(struct resolver *resolver)
{
    struct lookup *lookup = resolver->lookups;
    pthread_mutex_lock(&resolver->shared->lock);
    while (lookup != NULL && !lookup->answered)
        lookup = lookup->next;
    pthread_mutex_unlock(&resolver->shared->lock);
    return lookup;
}

static void on_event(void *context, int events)
{
    struct resolver *resolver = context;
    uint64_t count;
    struct lookup *lookup;
    (void)events;
    ssize_t got = read(resolver->shared->event_fd, &count, sizeof count);
    (void)got; /* nothing in it: somebody was quicker */
    while ((lookup = next_answered(resolver)) != NULL) {
        unlink_lookup(resolver, lookup);
        lookup->done(lookup->context, lookup->addresses, lookup->count, lookup->trouble);
        mf_free(lookup);
    }
    start_waiting(resolver);
}

int resolver_create(struct resolver **out, struct net_loop *loop, resolve_function *resolve, struct mf_error *error)
{
    *out = NULL;
    struct resolver *resolver = mf_calloc(1, sizeof *resolver);
    if (resolver == NULL)
        return mf_fail(error, MF_MEMORY, "resolver: no memory");
    resolver->resolve = resolve != NULL ? resolve : ask_system;
    resolver->shared = shared_create();
    if (resolver->shared == NULL) {
        mf_free(resolver);
        return mf_fail(error, MF_MEMORY, "resolver: no memory or no descriptor");
    }
    if (net_watch_create(&resolver->watch, loop, resolver->shared->event_fd, NET_READ, on_event, resolver, error) !=
        0) {
        resolver_destroy(resolver);
        return -1;
    }
    *out = resolver;
    return 0;
}

void resolver_destroy(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    while (resolver->lookups != NULL)
        lookup_cancel(resolver, resolver->lookups);
    net_watch_destroy(resolver->watch);
    shared_let_go(resolver->shared);
    mf_free(resolver);
}

int resolver_ask(struct resolver *resolver, const char *host, resolve_done *done, void *context, struct lookup **out,
                 struct mf_error *error)
{
    struct lookup *lookup = mf_calloc(1, sizeof *lookup);
    if (lookup == NULL || mf_span_copy(mf_span(host), lookup->host, sizeof lookup->host) != 0) {
        mf_free(lookup);
        return mf_fail(error, MF_MEMORY, "resolver: no memory, or the name is too long");
    }
    lookup->shared = resolver->shared;
    lookup->resolve = resolver->resolve;
    lookup->done = done;
    lookup->context = context;
    struct lookup **end = &resolver->lookups;
    while (*end != NULL)
        end = &(*end)->next;
    *end = lookup;
    *out = lookup;
    start_waiting(resolver);
    return 0;
}

void lookup_cancel(struct resolver *resolver, struct lookup *lookup)
{
    unlink_lookup(resolver, lookup);
    pthread_mutex_lock(&resolver->shared->lock);
    lookup->cancelled = true;
    bool ours = !lookup->running || lookup->answered;
    pthread_mutex_unlock(&resolver->shared->lock);
    if (ours)
        mf_free(lookup);
}
