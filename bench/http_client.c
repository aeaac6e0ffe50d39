/*
 * http_client.c - net_client against a bare curl-multi and libev loop that makes the same requests to the same server
 *
 *     bench_http_client [REQUESTS] [ROUNDS]
 *     bench_http_client --bare URL REQUESTS     only the bare side, once, with the bearer token of $MAYFLY_EMULATOR_TOKEN
 *
 * The server is net/server in a process of its own. Each round runs both sides, one after the other, each in a fresh
 * process: curl's memory functions are process-wide, and the bare side must not pay for ours. Printed are the medians
 * and the ratios that the budget is about: requests/s at least 0.9, CPU per request at most 1.15.
 */
#include "base/alloc.h"
#include "net/client.h"
#include "net/loop.h"
#include "net/server.h"

#include <curl/curl.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 16
#define IN_FLIGHT 64
#define ROUNDS_MAX 101
#define TOKEN "Bearer 0123456789abcdef0123456789abcdef01234567"

struct figures {
    double requests_per_s, cpu_us;
    bool good;
};

static char url[256];
static char authorization[256] = "authorization: " TOKEN; /* of the bare side */
static uint32_t requests;

static void die(const char *what)
{
    fprintf(stderr, "http_client: %s\n", what);
    exit(1);
}

/* --- the server --- */

static void handle(void *context, struct net_exchange *exchange, const struct net_server_request *request)
{
    (void)context;
    (void)request;
    static const char body[] =
        "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":{\"id\":\"0123456789abcdef0123456789abcdef\"}}";
    struct net_header type = {MF_SPAN("content-type"), MF_SPAN("application/json")};
    server_reply(exchange, 200, &type, 1, (struct mf_span){body, sizeof body - 1});
}

static void serve(int port_pipe)
{
    struct net_loop *loop;
    struct net_server *server;
    struct net_server_options options = {.host = "127.0.0.1", .body_bytes_max = 1 << 20};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (net_loop_create(&loop, NULL) != 0 || net_server_create(&server, loop, &options, handle, NULL, NULL) != 0)
        die("no server");
    uint16_t port = net_server_port(server);
    if (write(port_pipe, &port, sizeof port) != (ssize_t)sizeof port)
        die("no pipe");
    net_loop_run(loop);
}

static pid_t start_server(void)
{
    int ends[2];
    uint16_t port = 0;
    if (pipe(ends) != 0)
        die("no pipe");
    pid_t child = fork();
    if (child == 0) {
        serve(ends[1]);
        _exit(0);
    }
    if (read(ends[0], &port, sizeof port) != (ssize_t)sizeof port)
        die("no port");
    close(ends[0]);
    close(ends[1]);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/client/v4/accounts/1/tokens", port);
    return child;
}

/* --- net_client --- */

struct ours {
    struct net_loop *loop;
    struct net_client *client;
    uint32_t submitted, answered, good;
};

static void ours_submit(struct ours *ours);

static void ours_done(void *context, const struct net_answer *answer)
{
    struct ours *ours = context;
    ours->answered++;
    ours->good += answer->sent == NET_ANSWERED && answer->status == 200 && answer->body.length > 50;
    if (ours->submitted < requests)
        ours_submit(ours);
    if (ours->answered == requests)
        net_loop_stop(ours->loop);
}

static void ours_submit(struct ours *ours)
{
    struct net_header headers[] = {{MF_SPAN("authorization"), MF_SPAN(TOKEN)},
                                   {MF_SPAN("accept"), MF_SPAN("application/json")}};
    struct net_request_spec spec = {.method = "GET",
                                    .url = url,
                                    .headers = headers,
                                    .header_count = 2,
                                    .timeout_ms = 30000,
                                    .connect_timeout_ms = 10000,
                                    .stall_timeout_ms = 10000,
                                    .answer_bytes_max = 1 << 20};
    ours->submitted++;
    if (net_client_submit(ours->client, &spec, ours_done, ours, NULL, NULL) != 0)
        die("submit failed");
}

static bool run_ours(void)
{
    struct ours ours = {0};
    struct net_client_options options = {.connections_per_origin_max = CONNECTIONS};
    if (net_loop_create(&ours.loop, NULL) != 0 || net_client_create(&ours.client, ours.loop, &options, NULL) != 0)
        die("no client");
    for (int i = 0; i < IN_FLIGHT; i++)
        ours_submit(&ours);
    net_loop_run(ours.loop);
    net_client_destroy(ours.client);
    net_loop_destroy(ours.loop);
    return ours.good == requests;
}

/* --- the bare loop: what one writes with curl's manual at hand, without the manual's integer division --- */

struct bare {
    struct ev_loop *ev;
    CURLM *multi;
    ev_timer timer;
    uint32_t submitted, answered, good;
};

struct bare_request {
    CURL *easy;
    struct curl_slist *headers;
    char body[4096];
    size_t body_bytes;
};

static void bare_submit(struct bare *bare, struct bare_request *request);

static void bare_collect(struct bare *bare)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(bare->multi, &left)) != NULL) {
        struct bare_request *request;
        long status = 0;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_multi_remove_handle(bare->multi, easy);
        bare->answered++;
        bare->good += result == CURLE_OK && status == 200 && request->body_bytes > 50;
        if (bare->submitted < requests)
            bare_submit(bare, request);
    }
    if (bare->answered == requests)
        ev_break(bare->ev, EVBREAK_ALL);
}

static void bare_ready(struct ev_loop *ev, ev_io *io, int events)
{
    (void)ev;
    struct bare *bare = io->data;
    int running;
    curl_multi_socket_action(
        bare->multi, io->fd,
        ((events & EV_READ) != 0 ? CURL_CSELECT_IN : 0) | ((events & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0), &running);
    bare_collect(bare);
}

static void bare_timeout(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)events;
    struct bare *bare = timer->data;
    int running;
    curl_multi_socket_action(bare->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    bare_collect(bare);
}

static int bare_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    (void)easy;
    struct bare *bare = context;
    ev_io *io = known;
    if (what == CURL_POLL_REMOVE) {
        if (io != NULL)
            ev_io_stop(bare->ev, io);
        free(io);
        return 0;
    }
    if (io == NULL) {
        io = calloc(1, sizeof *io);
        if (io == NULL)
            return -1;
        ev_init(io, bare_ready);
        io->data = bare;
        curl_multi_assign(bare->multi, fd, io);
    }
    ev_io_stop(bare->ev, io);
    ev_io_set(io, fd, ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) | ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
    ev_io_start(bare->ev, io);
    return 0;
}

static int bare_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct bare *bare = context;
    ev_timer_stop(bare->ev, &bare->timer);
    if (timeout_ms >= 0) {
        ev_timer_set(&bare->timer, (double)timeout_ms / 1000.0, 0.);
        ev_timer_start(bare->ev, &bare->timer);
    }
    return 0;
}

static size_t bare_content(char *data, size_t size, size_t count, void *context)
{
    struct bare_request *request = context;
    size_t bytes = size * count;
    if (bytes > sizeof request->body - request->body_bytes)
        return 0;
    memcpy(request->body + request->body_bytes, data, bytes);
    request->body_bytes += bytes;
    return bytes;
}

static void bare_submit(struct bare *bare, struct bare_request *request)
{
    bare->submitted++;
    request->body_bytes = 0;
    curl_slist_free_all(request->headers);
    request->headers = curl_slist_append(NULL, authorization);
    curl_slist_append(request->headers, "accept: application/json");
    curl_easy_setopt(request->easy, CURLOPT_URL, url);
    curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, 30000L);
    curl_multi_add_handle(bare->multi, request->easy);
}

static bool run_bare(void)
{
    static struct bare_request slots[IN_FLIGHT];
    struct bare bare = {0};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    bare.ev = ev_loop_new(EVBACKEND_EPOLL);
    bare.multi = curl_multi_init();
    ev_init(&bare.timer, bare_timeout);
    bare.timer.data = &bare;
    curl_multi_setopt(bare.multi, CURLMOPT_SOCKETFUNCTION, bare_socket);
    curl_multi_setopt(bare.multi, CURLMOPT_SOCKETDATA, &bare);
    curl_multi_setopt(bare.multi, CURLMOPT_TIMERFUNCTION, bare_timer);
    curl_multi_setopt(bare.multi, CURLMOPT_TIMERDATA, &bare);
    curl_multi_setopt(bare.multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS);
    for (int i = 0; i < IN_FLIGHT; i++) {
        slots[i].easy = curl_easy_init();
        curl_easy_setopt(slots[i].easy, CURLOPT_PRIVATE, &slots[i]);
        curl_easy_setopt(slots[i].easy, CURLOPT_WRITEFUNCTION, bare_content);
        curl_easy_setopt(slots[i].easy, CURLOPT_WRITEDATA, &slots[i]);
        curl_easy_setopt(slots[i].easy, CURLOPT_NOSIGNAL, 1L);
        bare_submit(&bare, &slots[i]);
    }
    ev_run(bare.ev, 0);
    return bare.good == requests;
}

/* --- measuring --- */

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct figures measure(bool (*run)(void))
{
    int ends[2];
    struct figures figures = {0};
    if (pipe(ends) != 0)
        die("no pipe");
    pid_t child = fork();
    if (child == 0) {
        double cpu = cpu_seconds(), start = now_seconds();
        figures.good = run();
        figures.requests_per_s = requests / (now_seconds() - start);
        figures.cpu_us = (cpu_seconds() - cpu) * 1e6 / requests;
        _exit(write(ends[1], &figures, sizeof figures) != (ssize_t)sizeof figures);
    }
    close(ends[1]);
    if (read(ends[0], &figures, sizeof figures) != (ssize_t)sizeof figures || !figures.good)
        die("a side did not get all its answers");
    close(ends[0]);
    waitpid(child, NULL, 0);
    return figures;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

/* The least that so many requests to a server which runs already can cost. */
static int only_bare(const char *given_url, const char *count)
{
    const char *token = getenv("MAYFLY_EMULATOR_TOKEN");
    requests = (uint32_t)strtoul(count, NULL, 10);
    if (token == NULL || requests < IN_FLIGHT)
        die("usage: MAYFLY_EMULATOR_TOKEN=... bench_http_client --bare URL REQUESTS (at least 64)");
    snprintf(url, sizeof url, "%s", given_url);
    snprintf(authorization, sizeof authorization, "authorization: Bearer %s", token);
    if (!run_bare())
        die("the bare side did not get all its answers");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--bare") == 0)
        return only_bare(argv[2], argv[3]);
    static double our_rate[ROUNDS_MAX], our_cpu[ROUNDS_MAX], bare_rate[ROUNDS_MAX], bare_cpu[ROUNDS_MAX];
    requests = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 40000;
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 7;
    if (requests < IN_FLIGHT || rounds < 1 || rounds > ROUNDS_MAX)
        die("usage: bench_http_client [REQUESTS] [ROUNDS]");
    pid_t server = start_server();
    for (int i = 0; i < rounds; i++) {
        struct figures ours = measure(run_ours), bare = measure(run_bare);
        our_rate[i] = ours.requests_per_s;
        our_cpu[i] = ours.cpu_us;
        bare_rate[i] = bare.requests_per_s;
        bare_cpu[i] = bare.cpu_us;
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    double rate = median(our_rate, rounds), rate0 = median(bare_rate, rounds);
    double cpu = median(our_cpu, rounds), cpu0 = median(bare_cpu, rounds);
    printf("net_client_rate %.0f requests/s\nbare_curl_rate %.0f requests/s\nrate_ratio %.3f of-bare\n", rate, rate0,
           rate / rate0);
    printf("net_client_cpu %.2f us/request\nbare_curl_cpu %.2f us/request\ncpu_ratio %.3f of-bare\n", cpu, cpu0,
           cpu / cpu0);
    return 0;
}
