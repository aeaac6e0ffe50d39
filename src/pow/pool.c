/*
 * pool.c - the queue of challenges and the threads that work on it
 *
 * The only threads of the program that are ours. The loop's thread submits, cancels and collects; the threads take
 * challenges in the order in which they came. All memory that a challenge needs is taken when it is submitted, so a
 * thread cannot fail. A work is in exactly one place: the queue, the lanes of one thread, or the list of those that are
 * done.
 *
 * One mutex guards the queue, the list and the counts; it is taken when a challenge begins or ends, never while
 * hashing. The one thing shared without it is the cancel flag of a work, which is atomic.
 */
#include "pow/pow.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "pow/lanes.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#define THREADS_MAX 256u
#define STACK_BYTES ((size_t)256 * 1024)

struct pow_work {
    struct pow_pool *pool;
    struct pow_work *next;
    struct pow_challenge challenge;
    atomic_bool cancelled;
    bool queued;          /* guarded by the lock */
    uint8_t *checkpoints; /* owned; (k + 1) * 32 bytes */
    char *text;           /* owned; their base64, written by the thread */
    size_t text_bytes;
    pow_done *done;
    void *context;
};

struct list {
    struct pow_work *first, **end;
};

struct pow_pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct list queue, done;
    uint32_t queued, running;
    bool stopping;
    pow_wake *wake;
    void *context;
    uint32_t threads_wanted, threads_started;
    pthread_t threads[THREADS_MAX];
    /* every thread's lanes are told to stop through this */
    atomic_bool abandon;
};

static void append(struct list *list, struct pow_work *work)
{
    work->next = NULL;
    *list->end = work;
    list->end = &work->next;
}

static struct pow_work *take_first(struct list *list)
{
    struct pow_work *work = list->first;
    if (work == NULL)
        return NULL;
    list->first = work->next;
    if (list->first == NULL)
        list->end = &list->first;
    return work;
}

static void take_out(struct list *list, const struct pow_work *work)
{
    struct pow_work **at = &list->first;
    while (*at != work) {
        mf_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = work->next;
    if (*at == NULL)
        list->end = at;
}

static void free_work(struct pow_work *work)
{
    mf_free(work->checkpoints);
    mf_free(work->text);
    mf_free(work);
}

static void free_list(struct list *list)
{
    struct pow_work *work;
    while ((work = take_first(list)) != NULL)
        free_work(work);
}

static void lock(struct pow_pool *pool)
{
    int result = pthread_mutex_lock(&pool->lock);
    mf_assert(result == 0);
}

static void unlock(struct pow_pool *pool)
{
    int result = pthread_mutex_unlock(&pool->lock);
    mf_assert(result == 0);
}

/* --- a thread --- */

/*
 * How many lanes this thread should fill: one while there is a thread for every challenge, because a chain alone runs
 * faster than beside others; more when challenges would wait otherwise. With the lock held.
 */
static uint32_t lanes_wanted(const struct pow_pool *pool)
{
    uint32_t total = pool->queued + pool->running;
    uint32_t each = (total + pool->threads_started - 1) / pool->threads_started;
    return each < POW_LANES_MAX ? each : POW_LANES_MAX;
}

/* Takes challenges from the queue, waiting for one when there is nothing to do. False: the pool ends. */
static bool fill_lanes(struct pow_pool *pool, struct pow_lanes *lanes)
{
    struct pow_work *taken[POW_LANES_MAX];
    uint32_t count = 0;
    lock(pool);
    while (pool->queued == 0 && lanes->count == 0 && !pool->stopping)
        pthread_cond_wait(&pool->more, &pool->lock);
    bool stopping = pool->stopping;
    while (!stopping && pool->queued > 0 && lanes->count + count < lanes_wanted(pool)) {
        taken[count] = take_first(&pool->queue);
        taken[count]->queued = false;
        pool->queued--;
        pool->running++;
        count++;
    }
    unlock(pool);
    for (uint32_t i = 0; i < count; i++)
        pow_lanes_add(lanes, &taken[i]->challenge, taken[i]->checkpoints, taken[i]);
    return !stopping;
}

static void finish_lane(struct pow_pool *pool, struct pow_lanes *lanes, uint32_t index)
{
    struct pow_work *work = lanes->lane[index].owner;
    if (pow_lanes_finished(lanes, index))
        mf_base64(work->checkpoints, ((size_t)work->challenge.k + 1) * POW_DIGEST_BYTES, work->text);
    pow_lanes_remove(lanes, index);
    lock(pool);
    pool->running--;
    append(&pool->done, work);
    unlock(pool);
    pool->wake(pool->context);
}

/* Returns whether a lane became free. */
static bool finish_lanes(struct pow_pool *pool, struct pow_lanes *lanes)
{
    bool any = false;
    for (uint32_t i = lanes->count; i-- > 0;) {
        const struct pow_work *work = lanes->lane[i].owner;
        if (!pow_lanes_finished(lanes, i) && !atomic_load_explicit(&work->cancelled, memory_order_relaxed))
            continue;
        finish_lane(pool, lanes, i);
        any = true;
    }
    return any;
}

/* Lanes that were being worked on when the pool ends are done without a solution; nobody collects them. */
static void abandon_lanes(struct pow_pool *pool, struct pow_lanes *lanes)
{
    lock(pool);
    for (; lanes->count > 0; pow_lanes_remove(lanes, 0)) {
        pool->running--;
        append(&pool->done, lanes->lane[0].owner);
    }
    unlock(pool);
}

/* Between two looks at the queue a thread hashes this long, so that a burst of challenges fills the lanes soon. */
#define STEPS_PER_LOOK 64

static void *run_thread(void *context)
{
    struct pow_pool *pool = context;
    struct pow_lanes lanes;
    pow_lanes_init(&lanes);
    while (fill_lanes(pool, &lanes)) {
        bool freed = false;
        for (int i = 0; i < STEPS_PER_LOOK && !freed && lanes.count > 0; i++) {
            if (atomic_load_explicit(&pool->abandon, memory_order_relaxed))
                break;
            pow_lanes_step(&lanes);
            freed = finish_lanes(pool, &lanes);
        }
    }
    abandon_lanes(pool, &lanes);
    return NULL;
}

/* --- the loop's side --- */

static uint32_t usable_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

int pow_pool_create(struct pow_pool **out, uint32_t threads, pow_wake *wake, void *context, struct mf_error *error)
{
    struct pow_pool *pool = mf_calloc(1, sizeof *pool);
    if (pool == NULL)
        return mf_fail(error, MF_MEMORY, "proof of work: no memory");
    pool->threads_wanted = threads > 0 ? threads : usable_cores();
    if (pool->threads_wanted > THREADS_MAX)
        pool->threads_wanted = THREADS_MAX;
    pool->wake = wake;
    pool->context = context;
    pool->queue.end = &pool->queue.first;
    pool->done.end = &pool->done.first;
    atomic_init(&pool->abandon, false);
    int result = pthread_mutex_init(&pool->lock, NULL);
    mf_assert(result == 0); /* cannot fail for a default mutex */
    result = pthread_cond_init(&pool->more, NULL);
    mf_assert(result == 0);
    *out = pool;
    return 0;
}

/* Signals belong to the loop's thread: the mask is inherited. */
static int start_thread(struct pow_pool *pool)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return -1;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&pool->threads[pool->threads_started], &attributes, run_thread, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return result == 0 ? 0 : -1;
}

/* One more thread as long as there is work for it. Fewer threads than wanted are enough; none is not. */
static int start_threads(struct pow_pool *pool, struct mf_error *error)
{
    lock(pool);
    bool wanted =
        pool->threads_started < pool->threads_wanted && pool->threads_started < pool->queued + pool->running + 1;
    int result = 0;
    if (wanted && (result = start_thread(pool)) == 0)
        pool->threads_started++;
    bool none = pool->threads_started == 0;
    unlock(pool);
    return result != 0 && none ? mf_fail(error, MF_OS, "proof of work: no thread could be started") : 0;
}

static struct pow_work *create_work(const struct pow_challenge *challenge)
{
    size_t bytes = ((size_t)challenge->k + 1) * POW_DIGEST_BYTES;
    struct pow_work *work = mf_calloc(1, sizeof *work);
    if (work == NULL)
        return NULL;
    atomic_init(&work->cancelled, false);
    work->challenge = *challenge;
    work->text_bytes = mf_base64_length(bytes);
    work->checkpoints = mf_alloc(bytes);
    work->text = mf_alloc(work->text_bytes + 1);
    if (work->checkpoints != NULL && work->text != NULL)
        return work;
    free_work(work);
    return NULL;
}

int pow_pool_submit(struct pow_pool *pool, const struct pow_challenge *challenge, pow_done *done, void *context,
                    struct pow_work **out, struct mf_error *error)
{
    if (pow_check(challenge->k, challenge->g, error) != 0)
        return -1;
    struct pow_work *work = create_work(challenge);
    if (work == NULL)
        return mf_fail(error, MF_MEMORY, "proof of work: no memory");
    if (start_threads(pool, error) != 0) {
        free_work(work);
        return -1;
    }
    work->pool = pool;
    work->done = done;
    work->context = context;
    work->queued = true;
    lock(pool);
    append(&pool->queue, work);
    pool->queued++;
    pthread_cond_signal(&pool->more);
    unlock(pool);
    if (out != NULL)
        *out = work;
    return 0;
}

void pow_work_cancel(struct pow_work *work)
{
    struct pow_pool *pool = work->pool;
    atomic_store_explicit(&work->cancelled, true, memory_order_relaxed);
    lock(pool);
    bool was_queued = work->queued;
    if (was_queued) {
        take_out(&pool->queue, work);
        work->queued = false;
        pool->queued--;
        append(&pool->done, work);
    }
    unlock(pool);
    if (was_queued)
        pool->wake(pool->context);
}

void pow_pool_collect(struct pow_pool *pool)
{
    for (;;) {
        lock(pool);
        struct pow_work *work = take_first(&pool->done);
        unlock(pool);
        if (work == NULL)
            return;
        bool cancelled = atomic_load_explicit(&work->cancelled, memory_order_relaxed);
        work->done(work->context, cancelled ? (struct mf_span){0} : (struct mf_span){work->text, work->text_bytes},
                   cancelled);
        free_work(work);
    }
}

uint32_t pow_pool_waiting(const struct pow_pool *pool)
{
    /* The lock is not part of what a reader sees as the pool's state. */
    struct pow_pool *shared = (struct pow_pool *)(uintptr_t)pool;
    lock(shared);
    uint32_t waiting = shared->queued + shared->running;
    unlock(shared);
    return waiting;
}

uint32_t pow_pool_threads(const struct pow_pool *pool)
{
    return pool->threads_wanted;
}

void pow_pool_destroy(struct pow_pool *pool)
{
    if (pool == NULL)
        return;
    lock(pool);
    pool->stopping = true;
    atomic_store_explicit(&pool->abandon, true, memory_order_relaxed);
    pthread_cond_broadcast(&pool->more);
    uint32_t started = pool->threads_started;
    unlock(pool);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(pool->threads[i], NULL);
    free_list(&pool->queue);
    free_list(&pool->done);
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    mf_free(pool);
}
