/*
 * gateway_side.c - the parts that bench/gateway.sh puts together, each a process of its own
 *
 *     bench_gateway_side gateway DIR PORT AGENTS                  mayfly's: DIR/N.sock for agent N; prints `ready TOKEN...` into DIR/tokens
 *     bench_gateway_side load DIR AGENTS REQUESTS BYTES up|down   so many agents, each with one request at a time; through DIR/N.sock
 *     bench_gateway_side load PORT AGENTS REQUESTS BYTES up|down  ... or straight to a port
 *     bench_gateway_side bare PORT AGENTS REQUESTS BYTES          the least that curl's multi interface costs for the same requests
 *
 * load prints requests/s, p50 and p99 in microseconds; bare its own processor time for a request in microseconds.
 */
#include "gateway/gateway.h"

#include "http1/match.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ACCOUNT "0123456789abcdef0123456789abcdef"
#define PATH "/client/v4/accounts/" ACCOUNT "/things"

static void die(const char *what)
{
    fprintf(stderr, "gateway_side: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int connect_port(const char *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void fill_unix(struct sockaddr_un *address, const char *dir, int agent)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s/%d.sock", dir, agent);
}

static int connect_unix(const char *dir, int agent)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fill_unix(&address, dir, agent);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die(address.sun_path);
    return fd;
}

static char *filler; /* for bodies */

/* --- the gateway --- */

static void open_agent(struct gateway *gateway, const char *dir, const char *upstream, int agent, FILE *tokens)
{
    struct sockaddr_un address;
    struct mf_error error;
    char token[GATEWAY_TOKEN_BYTES], task[32];
    struct mf_span permission = MF_SPAN("all"), secret = MF_SPAN("the-real-credential-0123456789abcdef");
    struct http1_binding binding = {MF_SPAN("account_id"), MF_SPAN(ACCOUNT)};
    struct gateway_header header = {MF_SPAN("Authorization"), MF_SPAN("Bearer the-real-credential-0123456789abcdef")};
    snprintf(task, sizeof task, "bench/%d", agent);
    struct gateway_stage stage = {
        .stage = (uint64_t)agent + 1, .task = mf_span(task), .attempt = 1, .kind = "agent", .budget_micro_usd = -1};
    struct gateway_lease lease = {.lease = (uint64_t)agent + 100000,
                                  .stage = (uint64_t)agent + 1,
                                  .policy = 1,
                                  .account = 1,
                                  .upstream = mf_span(upstream),
                                  .headers = &header,
                                  .header_count = 1,
                                  .permissions = &permission,
                                  .permission_count = 1,
                                  .bindings = &binding,
                                  .binding_count = 1,
                                  .secrets = &secret,
                                  .secret_count = 1};
    fill_unix(&address, dir, agent);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1024) != 0)
        die("door");
    if (gateway_open_stage(gateway, &stage, &error) != 0 || gateway_open_lease(gateway, &lease, token, &error) != 0 ||
        gateway_open_door(gateway, stage.stage, GATEWAY_DOOR_API, fd, 8787, true, &error) != 0) {
        fprintf(stderr, "gateway_side: %s\n", error.text);
        exit(1);
    }
    fprintf(tokens, "%s\n", token);
}

static void run_gateway(const char *dir, const char *port, int agents)
{
    static const char policy[] =
        "{\"policy\":1,\"name\":\"bench\",\"base_path\":\"/client/v4\",\"permissions\":[\"all\",\"none\"],\"rules\":["
        "[\"GET /accounts/{account_id}/things\",0],[\"PUT /accounts/{account_id}/things\",0],[\"GET "
        "/accounts/{account_id}/workers/scripts\",1],"
        "[\"GET /accounts/{account_id}/workers/scripts/{script}\",1],[\"GET "
        "/accounts/{account_id}/storage/kv/namespaces\",1],"
        "[\"GET /accounts/{account_id}/d1/database\",1],[\"GET /accounts/{account_id}/queues\",1]]}";
    static const struct gateway_handlers none = {0};
    struct net_client_options options = {.connections_per_origin_max = 512, .connections_max = 512};
    struct mf_error error;
    struct net_loop *loop;
    struct net_client *client;
    struct gateway *gateway;
    char upstream[64], path[256];
    snprintf(upstream, sizeof upstream, "http://127.0.0.1:%s", port);
    int run_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run_dir < 0 || net_loop_create(&loop, &error) != 0 || net_client_create(&client, loop, &options, &error) != 0)
        die("gateway");
    struct gateway_options gateway_options = {
        .loop = loop, .client = client, .run_dir_fd = run_dir, .run_id = "benchrun0001"};
    if (gateway_create(&gateway, &gateway_options, &none, NULL, &error) != 0 ||
        gateway_add_policy(gateway, 1, MF_SPAN(policy), &error) != 0) {
        fprintf(stderr, "gateway_side: %s\n", error.text);
        exit(1);
    }
    snprintf(path, sizeof path, "%s/tokens", dir);
    FILE *tokens = fopen(path, "we");
    for (int i = 0; i < agents; i++)
        open_agent(gateway, dir, upstream, i, tokens);
    fclose(tokens);
    printf("ready\n");
    fflush(stdout);
    net_loop_run(loop);
}

/* --- the load --- */

struct agent {
    int fd;
    char token[64];
    int64_t sent_ns;
    size_t up_left, down_left;
    char head[4096];
    size_t length;
    bool in_body;
};

static struct agent *agents;
static int64_t *times;
static long asked, answered, wanted;
static size_t body_bytes;
static bool up;

static void agent_push(struct agent *agent)
{
    while (agent->up_left > 0) {
        ssize_t sent = send(agent->fd, filler, agent->up_left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0)
            die("send");
        agent->up_left -= (size_t)sent;
    }
}

static void agent_ask(struct agent *agent)
{
    char text[512], length[64] = "";
    if (up)
        snprintf(length, sizeof length, "content-length: %zu\r\n", body_bytes);
    int bytes = snprintf(text, sizeof text,
                         "%s " PATH "?%zu HTTP/1.1\r\nhost: 127.0.0.1:8787\r\nauthorization: Bearer %s\r\naccept: "
                         "application/json\r\nuser-agent: bench/1\r\n%s\r\n",
                         up ? "PUT" : "GET", up ? (size_t)100 : body_bytes, agent->token, length);
    asked++;
    agent->sent_ns = now_ns();
    agent->length = 0;
    agent->in_body = false;
    agent->up_left = up ? body_bytes : 0;
    if (up && body_bytes <= 4096) {
        char both[8192];
        memcpy(both, text, (size_t)bytes);
        memcpy(both + bytes, filler, body_bytes);
        if (send(agent->fd, both, (size_t)bytes + body_bytes, MSG_NOSIGNAL) != bytes + (ssize_t)body_bytes)
            die("send");
        agent->up_left = 0;
        return;
    }
    if (send(agent->fd, text, (size_t)bytes, MSG_NOSIGNAL) != bytes)
        die("send");
    agent_push(agent);
}

/* True: the answer is whole. */
static bool agent_pull(struct agent *agent)
{
    static char room[262144];
    for (;;) {
        char *into = agent->in_body ? room : agent->head + agent->length;
        size_t most = agent->in_body ? sizeof room : sizeof agent->head - 1 - agent->length;
        ssize_t got = recv(agent->fd, into, most, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return false;
        if (got <= 0)
            die("recv");
        if (!agent->in_body) {
            agent->length += (size_t)got;
            agent->head[agent->length] = '\0';
            char *end = strstr(agent->head, "\r\n\r\n"), *length = strcasestr(agent->head, "content-length:");
            if (end == NULL)
                continue;
            if (strncmp(agent->head, "HTTP/1.1 200", 12) != 0 || length == NULL) {
                fprintf(stderr, "gateway_side: %.300s\n", agent->head);
                exit(1);
            }
            agent->in_body = true;
            agent->down_left = strtoul(length + 15, NULL, 10);
            got = (ssize_t)(agent->length - (size_t)(end + 4 - agent->head));
        }
        agent->down_left -= (size_t)got;
        if (agent->down_left == 0)
            return true;
    }
}

static int by_time(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void open_load(const char *where, int count, int poll)
{
    char path[256];
    bool direct = where[0] != '/';
    snprintf(path, sizeof path, "%s/tokens", where);
    FILE *tokens = direct ? NULL : fopen(path, "re");
    agents = calloc((size_t)count, sizeof *agents);
    for (int i = 0; i < count; i++) {
        agents[i].fd = direct ? connect_port(where) : connect_unix(where, i);
        if (tokens == NULL || fscanf(tokens, "%63s", agents[i].token) != 1)
            snprintf(agents[i].token, sizeof agents[i].token, "none");
        struct epoll_event event = {.events = EPOLLET | EPOLLIN | (up ? (uint32_t)EPOLLOUT : 0),
                                    .data.ptr = &agents[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, agents[i].fd, &event);
    }
    if (tokens != NULL)
        fclose(tokens);
}

static void run_load(const char *where, int count)
{
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];
    filler = calloc(1, 2 << 20);
    times = calloc((size_t)wanted, sizeof *times);
    open_load(where, count, poll);
    int64_t start = now_ns();
    for (int i = 0; i < count && asked < wanted; i++)
        agent_ask(&agents[i]);
    while (answered < wanted) {
        int ready = epoll_wait(poll, events, 256, 30000);
        if (ready <= 0)
            die("nothing comes");
        for (int i = 0; i < ready; i++) {
            struct agent *agent = events[i].data.ptr;
            agent_push(agent);
            if (!agent_pull(agent))
                continue;
            times[answered++] = now_ns() - agent->sent_ns;
            if (asked < wanted)
                agent_ask(agent);
        }
    }
    double wall = (double)(now_ns() - start) / 1e9;
    qsort(times, (size_t)wanted, sizeof *times, by_time);
    printf("%.0f %.1f %.1f\n", (double)wanted / wall, (double)times[wanted / 2] / 1e3,
           (double)times[wanted * 99 / 100] / 1e3);
}

/* --- the bare loop: what one writes with curl's manual at hand --- */

static struct {
    struct ev_loop *ev;
    CURLM *multi;
    ev_timer timer;
    char url[256];
} bare;

static void bare_submit(CURL *easy)
{
    asked++;
    curl_easy_setopt(easy, CURLOPT_URL, bare.url);
    curl_multi_add_handle(bare.multi, easy);
}

static void bare_collect(void)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(bare.multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        if (message->data.result != CURLE_OK)
            die("bare");
        curl_multi_remove_handle(bare.multi, easy);
        answered++;
        if (asked < wanted)
            bare_submit(easy);
    }
    if (answered == wanted)
        ev_break(bare.ev, EVBREAK_ALL);
}

static void bare_act(int fd, int mask)
{
    int running;
    curl_multi_socket_action(bare.multi, fd, mask, &running);
    bare_collect();
}

static void bare_ready(struct ev_loop *ev, ev_io *io, int events)
{
    (void)ev;
    bare_act(io->fd,
             ((events & EV_READ) != 0 ? CURL_CSELECT_IN : 0) | ((events & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void bare_timeout(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)timer;
    (void)events;
    bare_act(CURL_SOCKET_TIMEOUT, 0);
}

static int bare_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    ev_io *io = known;
    (void)easy;
    (void)context;
    if (io != NULL)
        ev_io_stop(bare.ev, io);
    if (what == CURL_POLL_REMOVE) {
        free(io);
        return 0;
    }
    if (io == NULL) {
        io = calloc(1, sizeof *io);
        ev_init(io, bare_ready);
        curl_multi_assign(bare.multi, fd, io);
    }
    ev_io_set(io, fd, ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) | ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
    ev_io_start(bare.ev, io);
    return 0;
}

static int bare_timer(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    (void)context;
    ev_timer_stop(bare.ev, &bare.timer);
    if (timeout_ms >= 0) {
        ev_timer_set(&bare.timer, (double)timeout_ms / 1000.0, 0.);
        ev_timer_start(bare.ev, &bare.timer);
    }
    return 0;
}

static size_t bare_content(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

static void run_bare(const char *port, int count)
{
    struct rusage usage;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    bare.ev = ev_loop_new(EVBACKEND_EPOLL);
    bare.multi = curl_multi_init();
    ev_init(&bare.timer, bare_timeout);
    snprintf(bare.url, sizeof bare.url, "http://127.0.0.1:%s" PATH "?%zu", port, body_bytes);
    curl_multi_setopt(bare.multi, CURLMOPT_SOCKETFUNCTION, bare_socket);
    curl_multi_setopt(bare.multi, CURLMOPT_TIMERFUNCTION, bare_timer);
    curl_multi_setopt(bare.multi, CURLMOPT_MAXCONNECTS, 512L);
    struct curl_slist *headers = curl_slist_append(NULL, "authorization: Bearer the-real-credential-0123456789abcdef");
    headers = curl_slist_append(headers, "accept: application/json");
    for (int i = 0; i < count; i++) {
        CURL *easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, bare_content);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
        bare_submit(easy);
    }
    ev_run(bare.ev, 0);
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    printf("%.2f\n", cpu / (double)wanted);
}

int main(int argc, char **argv)
{
    struct rlimit files = {65536, 65536};
    signal(SIGPIPE, SIG_IGN);
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (argc >= 6) {
        wanted = atol(argv[4]);
        body_bytes = (size_t)atol(argv[5]);
        up = argc >= 7 && strcmp(argv[6], "up") == 0;
    }
    if (argc == 5 && strcmp(argv[1], "gateway") == 0)
        run_gateway(argv[2], argv[3], atoi(argv[4]));
    else if (argc == 7 && strcmp(argv[1], "load") == 0)
        run_load(argv[2], atoi(argv[3]));
    else if (argc == 6 && strcmp(argv[1], "bare") == 0)
        run_bare(argv[2], atoi(argv[3]));
    else
        return 2;
    return 0;
}
