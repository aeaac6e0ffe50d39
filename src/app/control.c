/*
 * control.c - the control socket of a run: cancel from another terminal
 *
 * Called by the pump's loop for the listening end and by cmd/cancel for the other. A client that is slow, silent or of another
 * user is cut off; nothing it sends is more than a request to cancel.
 */
#include "app/control.h"

#include "app/app_private.h"
#include "base/alloc.h"
#include "json/scan.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_BYTES_MAX 65536u /* 1,000 task names of 64 bytes */
#define CLIENTS_MAX 8

struct control_client {
    struct app_control *control;
    int fd; /* owned; -1: free */
    struct net_watch *watch;
    struct mf_buf request;
};

struct app_control {
    struct app *app;
    int fd; /* owned */
    char path[108];
    struct net_watch *watch;
    struct control_client clients[CLIENTS_MAX];
};

int control_path(const char *run_id, char *out, size_t out_bytes, struct mf_error *error)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char directory[96];
    int length = runtime != NULL && runtime[0] == '/'
                     ? snprintf(directory, sizeof directory, "%s/mayfly", runtime)
                     : snprintf(directory, sizeof directory, "/tmp/mayfly-%u", (unsigned)getuid());
    if (length < 0 || (size_t)length >= sizeof directory)
        return mf_fail(error, MF_LIMIT, "control socket: XDG_RUNTIME_DIR is longer than a socket address may be");
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return mf_fail_os(error, errno, "control socket: make directory `%s`", directory);
    struct stat status;
    if (lstat(directory, &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != getuid() ||
        (status.st_mode & 077) != 0)
        return mf_fail(error, MF_STATE, "control socket: `%s` is not a private directory of this user", directory);
    length = snprintf(out, out_bytes, "%s/%s.sock", directory, run_id);
    return length > 0 && (size_t)length < out_bytes && (size_t)length < sizeof(((struct sockaddr_un *)NULL)->sun_path)
               ? 0
               : mf_fail(error, MF_LIMIT, "control socket: path too long");
}

static int address_of(const char *path, struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path)
        return -1;
    memcpy(address->sun_path, path, strlen(path) + 1);
    return 0;
}

/* --- the listening end --- */

static void drop(struct control_client *client)
{
    net_watch_destroy(client->watch);
    client->watch = NULL;
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    mf_buf_free(&client->request);
}

static uint32_t node_by_path(const struct app *app, struct mf_span path)
{
    for (uint32_t node = 0; node < core_node_count(app->core); node++)
        if (mf_span_is(path, app_node_path(app, node)))
            return node;
    return CORE_NONE;
}

static void cancel_tasks(struct app *app, const struct json_document *document, uint32_t tasks, char *answer,
                         size_t answer_bytes)
{
    int cancelled = 0, unknown = 0;
    uint32_t first = json_kind(document, tasks) == JSON_ARRAY ? json_first(document, tasks) : JSON_NONE;
    for (uint32_t task = first; task != JSON_NONE; task = json_next(document, tasks, task)) {
        struct mf_span path;
        uint32_t node = json_plain(document, task, &path) == 0 ? node_by_path(app, path) : CORE_NONE;
        if (node == CORE_NONE) {
            unknown++;
            continue;
        }
        app_push(app, &(struct core_input){.kind = CORE_INPUT_CANCEL, .node = node}, NULL);
        cancelled++;
    }
    bool all = unknown == 0 && cancelled > 0;
    snprintf(answer, answer_bytes, "{\"ok\":%s,\"cancelled\":%d,\"unknown\":%d}\n", all ? "true" : "false", cancelled, unknown);
}

/* Where the run's database is: `cancel --all` finds runs of other state directories by their sockets. */
static void answer_ping(const struct app *app, struct mf_buf *answer)
{
    struct json_writer writer;
    json_begin(&writer, answer);
    json_open_object(&writer);
    json_member_bool(&writer, "ok", true);
    json_member_string(&writer, "run", app->run_id);
    if (app->state != NULL)
        json_member_string(&writer, "state", state_path(app->state));
    json_close_object(&writer);
    mf_buf_char(answer, '\n');
}

/* The whole run; at once when the request says `"kill":true`. */
static void cancel_run(struct app *app, bool kill)
{
    app_push(app, &(struct core_input){.kind = CORE_INPUT_CANCEL, .node = CORE_NONE}, NULL);
    if (kill)
        app_push(app, &(struct core_input){.kind = CORE_INPUT_SIGNAL, .level = 2}, NULL);
}

static void answer_request(struct control_client *client)
{
    struct app *app = client->control->app;
    struct json_document document;
    struct mf_buf ping;
    bool kill = false;
    char refusal[160] = "{\"ok\":false}\n";
    const char *answer = refusal;
    mf_buf_init(&ping, 16384);
    if (json_scan(&document, mf_buf_view(&client->request), &json_limits_default, NULL) == 0) {
        uint32_t op = json_member(&document, 0, "op");
        uint32_t tasks = json_member(&document, 0, "tasks");
        if (op != JSON_NONE && json_is(&document, op, "ping")) {
            answer_ping(app, &ping);
            answer = ping.failed ? refusal : mf_buf_cstr(&ping);
        } else if (op != JSON_NONE && json_is(&document, op, "cancel") && tasks != JSON_NONE) {
            cancel_tasks(app, &document, tasks, refusal, sizeof refusal);
        } else if (op != JSON_NONE && json_is(&document, op, "cancel")) {
            cancel_run(app, json_bool(&document, json_member(&document, 0, "kill"), &kill) == 0 && kill);
            answer = "{\"ok\":true}\n";
        }
        json_document_free(&document);
    }
    ssize_t sent = send(client->fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT); /* fits any socket buffer */
    (void)sent;
    mf_buf_free(&ping);
    drop(client);
}

static void client_ready(void *context, int events)
{
    (void)events;
    struct control_client *client = context;
    char bytes[4096];
    ssize_t got = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || mf_buf_append(&client->request, bytes, (size_t)got) != 0)
        drop(client);
    else if (memchr(bytes, '\n', (size_t)got) != NULL)
        answer_request(client);
}

static bool same_user(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == getuid() || peer.uid == 0);
}

static void listener_ready(void *context, int events)
{
    (void)events;
    struct app_control *control = context;
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct control_client *client = &control->clients[i];
        if (client->fd >= 0)
            continue;
        client->fd = fd;
        mf_buf_init(&client->request, REQUEST_BYTES_MAX);
        if (!same_user(fd) ||
            net_watch_create(&client->watch, control->app->loop, fd, NET_READ, client_ready, client, NULL) != 0)
            drop(client);
        return;
    }
    close(fd); /* eight clients that say nothing: the ninth may try again */
}

int app_control_open(struct app *app, struct mf_error *error)
{
    struct app_control *control = mf_calloc(1, sizeof *control);
    if (control == NULL)
        return mf_fail(error, MF_MEMORY, "control socket: no memory");
    control->app = app;
    control->fd = -1;
    for (int i = 0; i < CLIENTS_MAX; i++)
        control->clients[i] = (struct control_client){.control = control, .fd = -1};
    app->control = control;
    struct sockaddr_un address;
    if (control_path(app->run_id, control->path, sizeof control->path, error) != 0 ||
        address_of(control->path, &address) != 0)
        return -1;
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(control->path);
    if (control->fd < 0 || bind(control->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(control->fd, CLIENTS_MAX) != 0)
        return mf_fail_os(error, errno, "control socket `%s`", control->path);
    if (net_watch_create(&control->watch, app->loop, control->fd, NET_READ, listener_ready, control, error) != 0)
        return -1;
    return journal_set_run(app->journal, "socket_path", mf_span(control->path), error);
}

void app_control_close(struct app *app)
{
    struct app_control *control = app->control;
    if (control == NULL)
        return;
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (control->clients[i].fd >= 0)
            drop(&control->clients[i]);
    net_watch_destroy(control->watch);
    if (control->fd >= 0) {
        close(control->fd);
        unlink(control->path);
    }
    mf_free(control);
    app->control = NULL;
}

/* --- the other end --- */

int control_request(const char *socket_path, const char *request, int64_t timeout_ms, struct mf_buf *answer,
                    struct mf_error *error)
{
    struct sockaddr_un address;
    if (address_of(socket_path, &address) != 0)
        return mf_fail(error, MF_NOT_FOUND, "control socket: path too long");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return mf_fail_os(error, errno, "control socket");
    struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    int result = 0;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        result = mf_fail(error, MF_NOT_FOUND, "control socket `%s`: nobody listens", socket_path);
    else if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        result = mf_fail(error, MF_NETWORK, "control socket `%s`: no answer", socket_path);
    while (result == 0 && memchr(mf_buf_cstr(answer), '\n', answer->length) == NULL) {
        char bytes[1024];
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0 || mf_buf_append(answer, bytes, (size_t)got) != 0)
            result = mf_fail(error, MF_NETWORK, "control socket `%s`: no answer within %lld ms", socket_path,
                             (long long)timeout_ms);
    }
    close(fd);
    return result;
}
