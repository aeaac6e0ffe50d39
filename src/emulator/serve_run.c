/*
 * serve_run.c - workerd processes, one for each version that is asked for
 *
 * A process is told to listen on a free port and says which on a pipe. Requests that come before wait for that line;
 * then its files are removed, for they hold secrets. When the pipe ends the process is dead, and whoever still waits
 * learns it.
 */
#include "emulator/emulator_private.h"
#include "emulator/serve.h"

#include "base/alloc.h"
#include "net/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    RUNS_MAX = 16,
    WAITING_MAX = 1000,
    CONTROL_FD = 3,
    ANSWER_BYTES_MAX = 100 << 20,
    VISIT_MS = 120000,
    HEADERS_MAX = 128
};

struct run;

/* A request on its way to a script. */
struct visit {
    struct run *run;
    struct net_exchange *exchange; /* NULL: its peer went away */
    const struct net_server_request *request;
    char *path; /* owned */
    struct visit *next;
};

struct run {
    struct emu_runs *runs;
    char version[EMU_UUID_BYTES];
    int64_t stamp_ms; /* of the newest secret */
    size_t secret_count;
    pid_t pid;
    int control;
    struct net_watch *watch;
    char line[256];
    size_t line_bytes;
    uint16_t port; /* 0: not yet */
    uint32_t open; /* requests that are with it */
    struct visit *waiting;
    char directory[512];
    uint64_t used;
    struct run *next;
};

struct emu_runs {
    struct emulator *emulator;
    struct net_client *client;
    char *program; /* owned; NULL: none */
    struct run *first;
    uint32_t count, visits;
    uint64_t uses;
};

static void reply_text(struct net_exchange *exchange, int status, const char *text)
{
    const struct net_header header = {MF_SPAN("content-type"), MF_SPAN("text/plain; charset=utf-8")};
    server_reply(exchange, status, &header, 1, mf_span(text));
}

/* --- the directory --- */

static void remove_directory(struct run *run)
{
    if (run->directory[0] == '\0')
        return;
    DIR *directory = opendir(run->directory);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        closedir(directory);
    (void)rmdir(run->directory);
    run->directory[0] = '\0';
}

static int make_directory(struct run *run, struct mf_error *error)
{
    const char *base = run->runs->emulator->data_directory;
    const char *temporary = getenv("TMPDIR");
    if (base == NULL)
        base = temporary == NULL || temporary[0] != '/' ? "/tmp" : temporary;
    int length = snprintf(run->directory, sizeof(run->directory), "%s/mayfly-worker-XXXXXX", base);
    if (length < (int)sizeof(run->directory) && mkdtemp(run->directory) != NULL)
        return 0;
    run->directory[0] = '\0';
    return mf_fail_os(error, errno, "%s", base);
}

/* --- ending --- */

static void end_visit(struct visit *visit)
{
    visit->run->runs->visits--;
    mf_free(visit->path);
    mf_free(visit);
}

static void stop(struct run *run)
{
    struct run **at = &run->runs->first;
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
    run->runs->count--;
    net_watch_destroy(run->watch);
    if (run->control >= 0)
        close(run->control);
    if (run->pid > 0) {
        kill(run->pid, SIGKILL);
        while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    remove_directory(run);
    for (struct visit *visit = run->waiting, *next; visit != NULL; visit = next) {
        next = visit->next;
        if (visit->exchange != NULL)
            reply_text(visit->exchange, 500,
                       "The script did not start; what workerd said stands in the emulator's standard error.\n");
        end_visit(visit);
    }
    if (run->open == 0)
        mf_free(run);
    else
        run->pid = 0; /* the last answer frees it */
}

/* --- forwarding --- */

static bool is_forwarded(struct mf_span name)
{
    static const char *const left_out[] = {
        "host",    "connection", "keep-alive", "content-length",   "transfer-encoding", "te",
        "trailer", "upgrade",    "expect",     "proxy-connection", "accept-encoding",   EMU_BINDING_HEADER};
    for (size_t each = 0; each < sizeof(left_out) / sizeof(left_out[0]); each++)
        if (mf_span_is(name, left_out[each]))
            return false;
    return true;
}

static uint32_t copy_headers(const struct net_header *from, uint32_t count, struct net_header to[HEADERS_MAX])
{
    uint32_t kept = 0;
    for (uint32_t each = 0; each < count && kept < HEADERS_MAX; each++)
        if (is_forwarded(from[each].name))
            to[kept++] = from[each];
    return kept;
}

static void answered(void *context, const struct net_answer *answer)
{
    struct visit *visit = context;
    struct run *run = visit->run;
    struct net_header headers[HEADERS_MAX];
    if (visit->exchange != NULL && answer->sent == NET_ANSWERED)
        server_reply(visit->exchange, answer->status, headers,
                     copy_headers(answer->headers, answer->header_count, headers), answer->body);
    else if (visit->exchange != NULL)
        reply_text(visit->exchange, 502, "The script gave no whole answer.\n");
    run->open--;
    end_visit(visit);
    if (run->pid == 0 && run->open == 0)
        mf_free(run);
}

static void forward(struct visit *visit)
{
    char url[9000], method[32];
    struct mf_error error;
    struct net_header headers[HEADERS_MAX];
    const struct net_server_request *request = visit->request;
    struct net_request *handle;
    if (snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", visit->run->port, visit->path) >= (int)sizeof(url) ||
        mf_span_copy(request->method, method, sizeof(method)) < 0) {
        reply_text(visit->exchange, 414, "too long\n");
        end_visit(visit);
        return;
    }
    struct net_request_spec spec = {.method = method,
                                    .url = url,
                                    .headers = headers,
                                    .body = request->body,
                                    .timeout_ms = VISIT_MS,
                                    .answer_bytes_max = ANSWER_BYTES_MAX};
    spec.header_count = copy_headers(request->headers, request->header_count, headers);
    visit->run->open++;
    if (net_client_submit(visit->run->runs->client, &spec, answered, visit, &handle, &error) == 0)
        return;
    visit->run->open--;
    reply_text(visit->exchange, 502, "The request cannot be passed on.\n");
    end_visit(visit);
}

static void dropped(void *context)
{
    struct visit *visit = context;
    visit->exchange = NULL; /* whoever holds the visit ends it */
}

/* --- starting --- */

static void serve_waiting(struct run *run)
{
    struct visit *visit = run->waiting;
    run->waiting = NULL;
    for (struct visit *next; visit != NULL; visit = next) {
        next = visit->next;
        if (visit->exchange != NULL)
            forward(visit);
        else
            end_visit(visit);
    }
}

/* {"event":"listen","socket":"http","port":N} */
static void read_line(struct run *run)
{
    struct json_document document;
    int64_t port = 0;
    if (json_scan(&document, (struct mf_span){run->line, run->line_bytes}, &json_limits_default, NULL) < 0)
        return;
    if (json_is(&document, json_member(&document, 0, "event"), "listen"))
        (void)json_int(&document, json_member(&document, 0, "port"), &port);
    json_document_free(&document);
    if (port <= 0 || port > UINT16_MAX)
        return;
    run->port = (uint16_t)port;
    remove_directory(run);
    serve_waiting(run);
}

static void control_ready(void *context, int events)
{
    struct run *run = context;
    (void)events;
    ssize_t got = read(run->control, run->line + run->line_bytes, sizeof(run->line) - run->line_bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        stop(run);
        return;
    }
    run->line_bytes += (size_t)got;
    for (const char *end; (end = memchr(run->line, '\n', run->line_bytes)) != NULL;) {
        size_t all = run->line_bytes, taken = (size_t)(end - run->line) + 1;
        run->line_bytes = taken - 1;
        read_line(run);
        memmove(run->line, run->line + taken, all - taken);
        run->line_bytes = all - taken;
    }
    if (run->line_bytes == sizeof(run->line))
        run->line_bytes = 0; /* a line of that length is none of ours */
}

/* Only what is safe between fork and exec. The script's output goes to our standard error. */
static void become_workerd(const char *program, const char *config, int control, int nothing)
{
    static char serve[] = "serve", experimental[] = "--experimental", control_option[] = "--control-fd=3";
    char *const arguments[] = {
        (char *)(uintptr_t)program, serve, (char *)(uintptr_t)config, control_option, experimental, NULL};
    char *const environment[] = {NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup3(nothing, 0, 0) < 0 || dup3(2, 1, 0) < 0 || (control != CONTROL_FD && dup3(control, CONTROL_FD, 0) < 0) ||
        fcntl(CONTROL_FD, F_SETFD, 0) < 0)
        _exit(126);
    execve(program, arguments, environment);
    _exit(127);
}

static int spawn(struct run *run, struct mf_error *error)
{
    int ends[2], nothing;
    char config[600];
    snprintf(config, sizeof(config), "%s/config.capnp", run->directory);
    if ((nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
        return mf_fail_os(error, errno, "/dev/null");
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        close(nothing);
        return mf_fail_os(error, errno, "pipe");
    }
    run->pid = fork();
    if (run->pid == 0)
        become_workerd(run->runs->program, config, ends[1], nothing);
    int saved = errno;
    close(nothing);
    close(ends[1]);
    run->control = ends[0];
    if (run->pid < 0)
        return mf_fail_os(error, saved, "fork");
    return net_watch_create(&run->watch, run->runs->emulator->loop, run->control, NET_READ, control_ready, run, error);
}

static void make_place(struct emu_runs *runs)
{
    struct run *oldest = NULL;
    if (runs->count < RUNS_MAX)
        return;
    for (struct run *run = runs->first; run != NULL; run = run->next)
        if (oldest == NULL || run->used < oldest->used)
            oldest = run;
    stop(oldest);
}

static struct run *start(struct emu_runs *runs, const struct emu_visit_spec *spec, struct mf_error *error)
{
    make_place(runs);
    struct run *run = mf_calloc(1, sizeof(*run));
    if (run == NULL) {
        mf_fail(error, MF_MEMORY, "no memory");
        return NULL;
    }
    run->runs = runs;
    run->control = -1;
    memcpy(run->version, spec->version->id, sizeof(run->version));
    run->next = runs->first;
    runs->first = run;
    runs->count++;
    if (make_directory(run, error) == 0 && emu_serve_configure(runs->emulator, spec, run->directory, error) == 0 &&
        spawn(run, error) == 0)
        return run;
    stop(run);
    return NULL;
}

/* --- public --- */

static void secret_state(const struct emu_object *worker, int64_t *stamp_ms, size_t *count)
{
    const struct emu_collection *secrets = emu_collection(worker->account, worker, EMU_SECRET);
    *stamp_ms = 0;
    *count = secrets == NULL ? 0 : secrets->count;
    for (size_t each = 0; each < *count; each++)
        if (secrets->objects[each]->modified_ms > *stamp_ms)
            *stamp_ms = secrets->objects[each]->modified_ms;
}

/* The process of a version; one whose secrets have changed since is stopped and not found. */
static struct run *find(struct emu_runs *runs, const struct emu_visit_spec *spec)
{
    int64_t stamp_ms;
    size_t count;
    secret_state(spec->worker, &stamp_ms, &count);
    for (struct run *run = runs->first; run != NULL; run = run->next) {
        if (strcmp(run->version, spec->version->id) != 0)
            continue;
        if (run->stamp_ms == stamp_ms && run->secret_count == count)
            return run;
        stop(run);
        return NULL;
    }
    return NULL;
}

static struct run *obtain(struct emu_runs *runs, const struct emu_visit_spec *spec, struct mf_error *error)
{
    struct run *run = find(runs, spec);
    if (run == NULL && (run = start(runs, spec, error)) != NULL)
        secret_state(spec->worker, &run->stamp_ms, &run->secret_count);
    if (run != NULL)
        run->used = ++runs->uses;
    return run;
}

bool emu_runs_can(const struct emu_runs *runs)
{
    return runs->program != NULL;
}

void emu_runs_visit(struct emu_runs *runs, struct net_exchange *exchange, const struct net_server_request *request,
                    const struct emu_visit_spec *spec)
{
    struct mf_error error = {0};
    struct run *run = runs->visits < WAITING_MAX ? obtain(runs, spec, &error) : NULL;
    struct visit *visit = run == NULL ? NULL : mf_calloc(1, sizeof(*visit));
    if (visit == NULL || (visit->path = mf_strndup(spec->path.data, spec->path.length)) == NULL) {
        mf_free(visit);
        fprintf(stderr, "mayfly emulate: %s: %s\n", spec->worker->name, run == NULL ? error.text : "no memory");
        reply_text(exchange, run == NULL && error.code == MF_INPUT ? 500 : 503, "The script could not be started.\n");
        return;
    }
    visit->run = run;
    visit->exchange = exchange;
    visit->request = request;
    runs->visits++;
    server_exchange_on_drop(exchange, dropped, visit);
    if (run->port != 0) {
        forward(visit);
        return;
    }
    visit->next = run->waiting;
    run->waiting = visit;
}

void emu_runs_forget(struct emu_runs *runs, const struct emu_object *version)
{
    for (struct run *run = runs == NULL ? NULL : runs->first; run != NULL; run = run->next)
        if (strcmp(run->version, version->id) == 0) {
            stop(run);
            return;
        }
}

/* NAME with a slash is a path; else it is looked for in PATH. */
static char *find_program(const char *name)
{
    char path[4096];
    if (strchr(name, '/') != NULL)
        return access(name, X_OK) == 0 ? mf_strdup(name) : NULL;
    for (const char *at = getenv("PATH"), *end; at != NULL && *at != '\0'; at = *end == '\0' ? NULL : end + 1) {
        end = strchrnul(at, ':');
        if (snprintf(path, sizeof(path), "%.*s/%s", (int)(end - at), at, name) < (int)sizeof(path) &&
            access(path, X_OK) == 0)
            return mf_strdup(path);
    }
    return NULL;
}

int emu_runs_create(struct emu_runs **out, struct emulator *emulator, const char *program, struct mf_error *error)
{
    struct emu_runs *runs = mf_calloc(1, sizeof(*runs));
    if (runs == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    runs->emulator = emulator;
    runs->program = find_program(program == NULL ? "workerd" : program);
    *out = runs;
    if (program != NULL && runs->program == NULL)
        return mf_fail(error, MF_USAGE, "--workerd %s: is no program", program);
    struct net_client_options options = {.connections_max = 64};
    return runs->program == NULL ? 0 : net_client_create(&runs->client, emulator->loop, &options, error);
}

/* After the server: no exchange is open any more. */
void emu_runs_destroy(struct emu_runs *runs)
{
    if (runs == NULL)
        return;
    net_client_destroy(runs->client); /* answers every visit */
    while (runs->first != NULL)
        stop(runs->first);
    mf_free(runs->program);
    mf_free(runs);
}
