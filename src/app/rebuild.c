/*
 * rebuild.c - what services cost in an earlier life of the runner, from the audit log that it left
 *
 * Usage is told at least every second: what came after the last word of a runner that died is in its log only. A request that
 * was allowed and never answered is charged with all that was reserved for it, as the next runner's gateway does for the
 * budgets. Called between two runners, so nobody writes the file. A line that cannot be read is left out: the gateway checks
 * the chain and refuses to start on a damaged file.
 */
#include "app/app_private.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct open_request {
    int64_t request, reserved_micro_usd;
    struct usage_key key;
};

struct rebuild {
    struct app *app;
    uint32_t *nodes; /* owned; open-addressed by path; CORE_NONE: free */
    size_t slots;
    struct usage_book book;
    struct open_request *open; /* owned */
    size_t open_count, open_capacity;
};

/* --- nodes by path --- */

static size_t slot_of(const struct rebuild *rebuild, const char *path)
{
    return (size_t)mf_hash(path, strlen(path), 0) & (rebuild->slots - 1);
}

static int index_nodes(struct rebuild *rebuild)
{
    uint32_t count = core_node_count(rebuild->app->core);
    for (rebuild->slots = 64; rebuild->slots < 2 * (size_t)count; rebuild->slots *= 2)
        ;
    rebuild->nodes = mf_alloc(rebuild->slots * sizeof *rebuild->nodes);
    if (rebuild->nodes == NULL)
        return -1;
    for (size_t i = 0; i < rebuild->slots; i++)
        rebuild->nodes[i] = CORE_NONE;
    for (uint32_t node = 0; node < count; node++) {
        size_t i = slot_of(rebuild, app_node_path(rebuild->app, node));
        while (rebuild->nodes[i] != CORE_NONE)
            i = (i + 1) & (rebuild->slots - 1);
        rebuild->nodes[i] = node;
    }
    return 0;
}

static uint32_t node_named(const struct rebuild *rebuild, const char *path)
{
    for (size_t i = slot_of(rebuild, path); rebuild->nodes[i] != CORE_NONE; i = (i + 1) & (rebuild->slots - 1))
        if (strcmp(app_node_path(rebuild->app, rebuild->nodes[i]), path) == 0)
            return rebuild->nodes[i];
    return CORE_NONE;
}

/* --- lines --- */

static int64_t number(const struct json_document *line, uint32_t object, const char *name)
{
    int64_t value;
    uint32_t node = object != JSON_NONE ? json_member(line, object, name) : JSON_NONE;
    return node != JSON_NONE && json_int(line, node, &value) == 0 && value > 0 ? value : 0;
}

static bool key_of(const struct rebuild *rebuild, const struct json_document *line, struct usage_key *out)
{
    const struct app *app = rebuild->app;
    char task[256];
    uint32_t provider = json_member(line, 0, "provider"), path = json_member(line, 0, "task");
    if (provider == JSON_NONE || path == JSON_NONE || json_copy(line, path, task, sizeof task) != 0)
        return false;
    *out = (struct usage_key){.node = node_named(rebuild, task),
                              .attempt = (uint32_t)number(line, 0, "attempt"),
                              .service = CORE_NONE,
                              .stage_kind = json_is(line, json_member(line, 0, "stage"), "verify") ? CORE_STAGE_VERIFY
                                                                                                   : CORE_STAGE_AGENT};
    for (uint32_t i = 0; i < app->service_count; i++)
        if (json_is(line, provider, graph_service(app->graph, i)->source.name))
            out->service = i;
    return out->node != CORE_NONE && out->service != CORE_NONE;
}

static int add(struct rebuild *rebuild, const struct usage_key *key, const struct json_document *line, int64_t charged)
{
    const struct app_provider *source = &rebuild->app->services[key->service].source;
    bool priced = source->recipe != NULL && recipe_has_prices(source->recipe);
    const struct usage_figures *before = usage_book_get(&rebuild->book, key);
    struct usage_figures figures = before != NULL ? *before : (struct usage_figures){.micro_usd = priced ? 0 : -1};
    uint32_t usage = line != NULL ? json_member(line, 0, "usage") : JSON_NONE;
    figures.requests++;
    if (usage != JSON_NONE) {
        figures.input_tokens += (uint64_t)number(line, usage, "input_tokens");
        figures.output_tokens += (uint64_t)number(line, usage, "output_tokens");
        figures.cached_tokens += (uint64_t)number(line, usage, "cached_tokens");
        figures.cache_write_tokens += (uint64_t)number(line, usage, "cache_write_tokens");
    }
    if (priced && __builtin_add_overflow(figures.micro_usd, charged, &figures.micro_usd))
        figures.micro_usd = before != NULL ? before->micro_usd : 0;
    return usage_book_put(&rebuild->book, key, &figures);
}

static int take_answered(struct rebuild *rebuild, const struct json_document *line, int64_t request)
{
    for (size_t i = rebuild->open_count; i-- > 0;)
        if (rebuild->open[i].request == request) { /* most are found near the end */
            struct usage_key key = rebuild->open[i].key;
            rebuild->open[i] = rebuild->open[--rebuild->open_count];
            return add(rebuild, &key, line, number(line, 0, "charged_micro_usd"));
        }
    return 0;
}

static int take_allowed(struct rebuild *rebuild, const struct json_document *line, int64_t request)
{
    struct usage_key key;
    if (!key_of(rebuild, line, &key))
        return 0;
    if (mf_grow((void **)&rebuild->open, &rebuild->open_capacity, rebuild->open_count + 1, sizeof *rebuild->open, 64) !=
        0)
        return -1;
    rebuild->open[rebuild->open_count++] = (struct open_request){request, number(line, 0, "reserved_micro_usd"), key};
    return 0;
}

static int take_line(struct rebuild *rebuild, struct mf_span text)
{
    struct json_document line;
    struct mf_error error;
    if (json_scan_error(&line, text, &json_limits_default, &error) != 0)
        return error.code == MF_MEMORY ? -1 : 0;
    uint32_t event = json_member(&line, 0, "event");
    int64_t request = number(&line, 0, "request");
    int result = 0;
    if (event != JSON_NONE && request > 0 && json_is(&line, event, "allowed"))
        result = take_allowed(rebuild, &line, request);
    else if (event != JSON_NONE && request > 0 && json_is(&line, event, "answered"))
        result = take_answered(rebuild, &line, request);
    json_document_free(&line);
    return result;
}

static int read_lines(struct rebuild *rebuild, int fd, struct mf_error *error)
{
    struct mf_buf rest;
    char bytes[65536];
    ssize_t got;
    int result = 0;
    mf_buf_init(&rest, sizeof bytes + AUDIT_LINE_BYTES_MAX);
    while (result == 0 && (got = read(fd, bytes, sizeof bytes)) > 0) {
        if (mf_buf_append(&rest, bytes, (size_t)got) != 0) { /* a line that is too long: not one of ours */
            result = mf_fail(error, MF_LIMIT, "audit log: a line is too long");
            break;
        }
        size_t done = 0;
        for (const char *end; result == 0 && (end = memchr(rest.data + done, '\n', rest.length - done)) != NULL;) {
            result = take_line(rebuild, (struct mf_span){rest.data + done, (size_t)(end - rest.data) - done});
            done = (size_t)(end - rest.data) + 1;
        }
        mf_buf_consume(&rest, done);
        if (result != 0)
            result = mf_fail(error, MF_MEMORY, "audit log: no memory");
    }
    mf_buf_free(&rest);
    return result;
}

/* --- what is different from what was told --- */

static bool same(const struct usage_figures *left, const struct usage_figures *right)
{
#define X(name, member)                                                                                                \
    if (left->member != right->member)                                                                                 \
        return false;
    USAGE_COUNTS(X)
#undef X
    return left->micro_usd == right->micro_usd;
}

static void correct(struct rebuild *rebuild)
{
    struct app *app = rebuild->app;
    for (size_t i = 0; i < rebuild->book.capacity; i++) {
        const struct usage_entry *entry = &rebuild->book.entries[i];
        if (!entry->used)
            continue;
        const struct usage_figures *told = usage_book_get(&app->usage, &entry->key);
        if (told == NULL || !same(told, &entry->figures))
            app_usage_told(app, &entry->key, &entry->figures);
    }
}

void app_usage_rebuild(struct app *app)
{
    struct rebuild rebuild = {.app = app};
    struct mf_error error = {0};
    bool used = false;
    for (uint32_t i = 0; i < app->service_count; i++)
        used |= app->services[i].used;
    int fd = used ? openat(app->run_dir_fd, AUDIT_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    if (fd < 0) /* no service, or no request yet */
        return;
    int result = index_nodes(&rebuild) == 0 && usage_book_open(&rebuild.book, app->service_count) == 0
                     ? read_lines(&rebuild, fd, &error)
                     : mf_fail(&error, MF_MEMORY, "audit log: no memory");
    close(fd);
    for (size_t i = 0; result == 0 && i < rebuild.open_count; i++)
        if (add(&rebuild, &rebuild.open[i].key, NULL, rebuild.open[i].reserved_micro_usd) != 0)
            result = mf_fail(&error, MF_MEMORY, "audit log: no memory");
    if (result == 0)
        correct(&rebuild);
    else
        app_note(app, "usage of services: %s; the figures are those that were told last", error.text);
    usage_book_close(&rebuild.book);
    mf_free(rebuild.open);
    mf_free(rebuild.nodes);
}
