/*
 * client.c - HTTP requests over curl's multi interface on the loop: exactly one answer for every submit
 *
 * curl says which descriptors to watch and when to be called; it is called from the loop's callbacks only, never from
 * inside one of its own. Work is done at two places of an iteration, both prepare watchers: before the pump's turn,
 * what curl has finished is collected and answered; after it, what the pump submitted is started, so that a request
 * goes out in the iteration that asked for it. An answer is therefore never given from inside net_client_submit.
 *
 * A request is in one of three lists: open (curl has it), finished (to be answered), free (its easy handle waits for
 * the next request). Only collect() and net_request_cancel() take it from curl.
 *
 * What can fail: net_client_submit, for a bad request or for memory. What fails later is told in the answer. A watch
 * for a descriptor of curl's must not fail, because curl gives the whole multi handle up then: they are taken from a
 * pool that every submit fills up beforehand.
 */
#include "net/client_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

#define CONNECTIONS_PER_ORIGIN_DEFAULT 16
#define CONNECTIONS_DEFAULT 256
#define STREAMS_MAX 100L      /* of one HTTP/2 connection */
#define FREE_REQUESTS_MAX 64  /* easy handles kept: about 20 KiB each */
#define WATCHES_PER_REQUEST 4 /* both address families while connecting, the resolver, one to spare */
#define ROUNDS_MAX 4          /* of curl asking to be called at once, before others get their turn */
#define REPAIR_PAUSE_MS 20

/* priorities of the prepare watchers; the loop's turn is at 0 */
enum { PRIORITY_DELIVER = 1, PRIORITY_START = -1 };

struct socket_watch {
    ev_io io;
    struct net_client *client;
    struct socket_watch *next; /* in the pool */
};

/* --- lists --- */

static void open_request(struct net_client *client, struct net_request *request)
{
    request->state = REQUEST_OPEN;
    request->previous = NULL;
    request->next = client->open;
    if (request->next != NULL)
        request->next->previous = request;
    client->open = request;
    client->in_flight++;
}

static void finish_request(struct net_client *client, struct net_request *request, CURLcode result)
{
    mf_assert(request->state == REQUEST_OPEN);
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        client->open = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    request->state = REQUEST_FINISHED;
    request->result = result;
    request->next = NULL;
    *client->finished_end = request;
    client->finished_end = &request->next;
}

static struct net_request *take_finished(struct net_client *client)
{
    struct net_request *request = client->finished;
    if (request == NULL)
        return NULL;
    client->finished = request->next;
    if (client->finished == NULL)
        client->finished_end = &client->finished;
    return request;
}

void client_give_back(struct net_client *client, struct net_request *request)
{
    request->state = REQUEST_FREE;
    if (client->free_count >= FREE_REQUESTS_MAX) {
        transfer_destroy(request);
        return;
    }
    transfer_clear(request);
    request->next = client->free_requests;
    client->free_requests = request;
    client->free_count++;
}

static struct net_request *take_free(struct net_client *client)
{
    struct net_request *request = client->free_requests;
    if (request == NULL)
        return transfer_create(client);
    client->free_requests = request->next;
    client->free_count--;
    return request;
}

/* --- descriptors of curl's --- */

static int fill_watches(struct net_client *client)
{
    uint32_t wanted = (client->in_flight + 1) * WATCHES_PER_REQUEST;
    while (client->watch_count < wanted) {
        struct socket_watch *watch = mf_calloc(1, sizeof *watch);
        if (watch == NULL)
            return -1;
        watch->client = client;
        watch->next = client->free_watches;
        client->free_watches = watch;
        client->watch_count++;
    }
    return 0;
}

/* Without memory curl returns in the middle of its work; repair() makes up for that. */
static void call_curl(struct net_client *client, curl_socket_t fd, int mask)
{
    int running = 0;
    client->inside = true;
    CURLMcode code = curl_multi_socket_action(client->multi, fd, mask, &running);
    client->inside = false;
    mf_assert(code == CURLM_OK || code == CURLM_OUT_OF_MEMORY);
    client->hurt = client->hurt || code != CURLM_OK;
}

static void on_socket_ready(struct ev_loop *ev, ev_io *io, int events)
{
    (void)ev;
    struct socket_watch *watch = io->data;
    int mask = ((events & EV_READ) != 0 ? CURL_CSELECT_IN : 0) | ((events & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    call_curl(watch->client, io->fd, mask);
}

static void drop_watch(struct net_client *client, struct socket_watch *watch)
{
    ev_io_stop(net_loop_ev(client->loop), &watch->io);
    watch->next = client->free_watches;
    client->free_watches = watch;
}

static struct socket_watch *take_watch(struct net_client *client, curl_socket_t fd)
{
    struct socket_watch *watch = client->free_watches;
    if (watch == NULL)
        return NULL;
    client->free_watches = watch->next;
    ev_io_init(&watch->io, on_socket_ready, fd, 0);
    watch->io.data = watch;
    if (curl_multi_assign(client->multi, fd, watch) == CURLM_OK)
        return watch;
    drop_watch(client, watch);
    return NULL;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    (void)easy;
    struct net_client *client = context;
    struct socket_watch *watch = known;
    struct ev_loop *ev = net_loop_ev(client->loop);
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL)
            drop_watch(client, watch);
        return 0;
    }
    if (watch == NULL && (watch = take_watch(client, fd)) == NULL)
        return -1;
    int events = ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) | ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0);
    ev_io_stop(ev, &watch->io);
    ev_io_set(&watch->io, fd, events);
    ev_io_start(ev, &watch->io);
    return 0;
}

/* --- curl's clock --- */

/* curl counts whole milliseconds from now; one more, because ours are cut off, and calling early would be for nothing.
 */
static int on_curl_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct net_client *client = context;
    client->kick = timeout_ms == 0;
    net_timer_set(client->timer, timeout_ms > 0 ? net_now_ms() + timeout_ms + 1 : MF_NEVER);
    return 0;
}

static void run_timeouts(struct net_client *client)
{
    client->kick = false;
    call_curl(client, CURL_SOCKET_TIMEOUT, 0);
}

/*
 * Lets curl go over all its transfers and say again what it waits for. The call is deprecated because it is slow with
 * many transfers; nothing else makes up for a descriptor that curl could not remember.
 */
static void repair(struct net_client *client)
{
    int running = 0;
    client->inside = true;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    client->hurt = curl_multi_socket_all(client->multi, &running) != CURLM_OK;
#pragma GCC diagnostic pop
    client->inside = false;
    if (client->hurt)
        net_timer_set(client->timer, net_now_ms() + REPAIR_PAUSE_MS);
}

static void on_timer(void *context)
{
    run_timeouts(context);
}

/* --- answers --- */

/* Takes from curl what was cancelled while it was running. */
static void take_cancelled(struct net_client *client)
{
    struct net_request *next = client->cancels ? client->open : NULL;
    client->cancels = false;
    while (next != NULL) {
        struct net_request *request = next;
        next = request->next;
        if (request->cancelled) {
            curl_multi_remove_handle(client->multi, request->easy);
            finish_request(client, request, CURLE_ABORTED_BY_CALLBACK);
        }
    }
}

/* Takes from curl what it is done with. */
static void collect(struct net_client *client)
{
    take_cancelled(client);
    int left = 0;
    CURLMsg *message;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct net_request *request = NULL;
        CURLcode result = message->data.result;
        CURL *easy = message->easy_handle; /* the message dies with the removal */
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
        curl_multi_remove_handle(client->multi, easy);
        finish_request(client, request, result);
    }
}

static void answer(struct net_client *client, struct net_request *request)
{
    struct net_answer result;
    answer_judge(request, &result);
    request->state = REQUEST_DELIVERING;
    client->in_flight--;
    if (request->streaming)
        stream_deliver_end(request, &result);
    else
        request->done(request->context, &result);
    client_give_back(client, request);
}

/* Answers what is finished now; what a callback cancels is answered in the next iteration. */
static void deliver(struct net_client *client)
{
    mf_assert(!client->delivering);
    client->delivering = true;
    struct net_request **end = client->finished_end;
    bool last = client->finished == NULL;
    while (!last) {
        struct net_request *request = client->finished;
        last = &request->next == end;
        answer(client, take_finished(client));
    }
    client->delivering = false;
}

static void on_deliver(struct ev_loop *ev, ev_prepare *watcher, int events)
{
    (void)ev;
    (void)events;
    struct net_client *client = watcher->data;
    if (client->in_flight == 0)
        return;
    if (client->kick)
        run_timeouts(client);
    collect(client);
    deliver(client);
}

static void on_start(struct ev_loop *ev, ev_prepare *watcher, int events)
{
    (void)ev;
    (void)events;
    struct net_client *client = watcher->data;
    if (client->hurt)
        repair(client);
    stream_resume_woken(client);
    for (int round = 0; client->kick && round < ROUNDS_MAX; round++)
        run_timeouts(client);
    collect(client);
    if (client->kick || client->finished != NULL || client->woken != NULL)
        net_loop_again(client->loop);
}

/* --- requests --- */

struct net_request *client_take(struct net_client *client, struct mf_error *error)
{
    struct net_request *request = NULL;
    if (client->closing)
        mf_fail(error, MF_NETWORK, "request: the client is closing");
    else if (client_memory_refill() != 0 || fill_watches(client) != 0 || (request = take_free(client)) == NULL)
        mf_fail(error, MF_MEMORY, "request: no memory");
    return request;
}

int client_start(struct net_client *client, struct net_request *request, struct mf_error *error)
{
    mf_assert(!client->inside); /* curl would refuse it */
    CURLMcode code = curl_multi_add_handle(client->multi, request->easy);
    if (code != CURLM_OK)
        return mf_fail(error, MF_MEMORY, "request: %s", curl_multi_strerror(code));
    open_request(client, request);
    return 0;
}

int net_client_submit(struct net_client *client, const struct net_request_spec *spec, net_done *done, void *context,
                      struct net_request **out, struct mf_error *error)
{
    struct net_request *request = client_take(client, error);
    if (request == NULL)
        return -1;
    request->done = done;
    request->context = context;
    if (transfer_prepare(request, spec, error) != 0 || client_start(client, request, error) != 0) {
        client_give_back(client, request);
        return -1;
    }
    if (out != NULL)
        *out = request;
    return 0;
}

void net_request_cancel(struct net_request *request)
{
    if (request->state == REQUEST_FINISHED)
        request->cancelled = true;
    if (request->state != REQUEST_OPEN)
        return;
    request->cancelled = true;
    request->client->cancels = true;
    if (!request->client->inside)
        take_cancelled(request->client);
    net_loop_again(request->client->loop);
}

uint32_t net_client_in_flight(const struct net_client *client)
{
    return client->in_flight;
}

/* --- the client --- */

static CURLMcode set_multi(struct net_client *client, const struct net_client_options *options)
{
    uint32_t per_origin =
        options->connections_per_origin_max > 0 ? options->connections_per_origin_max : CONNECTIONS_PER_ORIGIN_DEFAULT;
    uint32_t total = options->connections_max > 0 ? options->connections_max : CONNECTIONS_DEFAULT;
    CURLM *multi = client->multi;
    CURLMcode result = CURLM_OK;
#define SET(option, value) (result = result == CURLM_OK ? curl_multi_setopt(multi, option, value) : result)
    SET(CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    SET(CURLMOPT_MAX_CONCURRENT_STREAMS, STREAMS_MAX);
    SET(CURLMOPT_MAX_HOST_CONNECTIONS, (long)per_origin);
    SET(CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)total);
    SET(CURLMOPT_MAXCONNECTS, (long)total);
    SET(CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    SET(CURLMOPT_SOCKETDATA, client);
    SET(CURLMOPT_TIMERFUNCTION, on_curl_timer);
    SET(CURLMOPT_TIMERDATA, client);
#undef SET
    return result;
}

static void start_prepare(struct net_client *client, ev_prepare *watcher,
                          void (*callback)(struct ev_loop *, ev_prepare *, int), int priority)
{
    ev_prepare_init(watcher, callback);
    ev_set_priority(watcher, priority);
    watcher->data = client;
    ev_prepare_start(net_loop_ev(client->loop), watcher);
}

static int open_client(struct net_client *client, const struct net_client_options *options, struct mf_error *error)
{
    client->user_agent = mf_strdup(options->user_agent != NULL ? options->user_agent : "mayfly/" MAYFLY_VERSION);
    client->ca_file = options->ca_file != NULL ? mf_strdup(options->ca_file) : NULL;
    client->multi = curl_multi_init();
    if (client->user_agent == NULL || (options->ca_file != NULL && client->ca_file == NULL) || client->multi == NULL)
        return mf_fail(error, MF_MEMORY, "http client: no memory");
    if (set_multi(client, options) != CURLM_OK)
        return mf_fail(error, MF_INTERNAL, "http client: curl refuses an option");
    return net_timer_create(&client->timer, client->loop, on_timer, client, error);
}

int net_client_create(struct net_client **out, struct net_loop *loop, const struct net_client_options *options,
                      struct mf_error *error)
{
    static const struct net_client_options defaults = {0};
    if (client_memory_begin(error) != 0)
        return -1;
    struct net_client *client = mf_calloc(1, sizeof *client);
    if (client == NULL) {
        client_memory_end();
        return mf_fail(error, MF_MEMORY, "http client: no memory");
    }
    client->loop = loop;
    client->finished_end = &client->finished;
    start_prepare(client, &client->deliver, on_deliver, PRIORITY_DELIVER);
    start_prepare(client, &client->start, on_start, PRIORITY_START);
    if (open_client(client, options != NULL ? options : &defaults, error) != 0) {
        net_client_destroy(client);
        return -1;
    }
    *out = client;
    return 0;
}

static void free_pools(struct net_client *client)
{
    while (client->free_requests != NULL)
        transfer_destroy(take_free(client));
    while (client->free_watches != NULL) {
        struct socket_watch *watch = client->free_watches;
        client->free_watches = watch->next;
        mf_free(watch);
    }
}

void net_client_destroy(struct net_client *client)
{
    if (client == NULL)
        return;
    mf_assert(!client->delivering);
    client->closing = true;
    while (client->open != NULL)
        net_request_cancel(client->open);
    deliver(client);
    ev_prepare_stop(net_loop_ev(client->loop), &client->deliver);
    ev_prepare_stop(net_loop_ev(client->loop), &client->start);
    while (client->free_requests != NULL)
        transfer_destroy(take_free(client));
    curl_multi_cleanup(client->multi); /* closes its connections and gives their watches back */
    free_pools(client);
    net_timer_destroy(client->timer);
    net_timer_destroy(client->stalls);
    mf_free(client->headers);
    mf_free(client->ca_file);
    mf_free(client->user_agent);
    mf_free(client);
    client_memory_end();
}
