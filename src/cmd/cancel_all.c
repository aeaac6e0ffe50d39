/*
 * cancel_all.c - mayfly cancel --all: the emergency stop
 *
 * Every run of this user on this machine is told to kill its agents and to tear down: those of the state directory, and those whose
 * control socket listens in the runtime directory, whatever state directory they have. A run that has no orchestrator, or one that
 * says nothing, is taken over. Then the journals are followed until no process runs and no token works, and the time that this took
 * since the call is printed. Accounts that are still to be deleted then are deleted by the orchestrators.
 */
#include "cmd/cancel.h"
#include "cmd/cancel_private.h"

#include "app/control.h"
#include "base/alloc.h"
#include "cmd/graphs.h"
#include "json/scan.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 5    /* how often a journal is looked at */
#define TELL_MS 5000 /* how often somebody who waits is told */
#define QUICK_MS 400 /* the first try for everybody: a stuck one must not keep the others waiting */
#define ID_BYTES (STATE_RUN_ID_BYTES - 1)

struct stop {
    const struct options *options;
    struct state_dir *state; /* NULL: there is none */
    struct target *targets;
    size_t count, capacity;
    int64_t from_ms;
    int code;
};

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t since(const struct stop *stop)
{
    return clock_ms() - stop->from_ms;
}

/* 4 (something may still exist) wins over all others; else the highest. */
static void take_code(int *code, int one)
{
    *code = one == 4 || *code == 4 ? 4 : one > *code ? one : *code;
}

/* --- counting --- */

static bool has_process(enum core_task_state state)
{
    return state == CORE_TASK_STATE_STARTING || state == CORE_TASK_STATE_RUNNING ||
           state == CORE_TASK_STATE_VERIFYING || state == CORE_TASK_STATE_STOPPING;
}

static struct tally tally_of(const struct view *view)
{
    struct tally tally = {0};
    int64_t now_ms = read_now_ms();
    for (uint32_t node = 0; node < view_task_count(view); node++)
        tally.processes += has_process(view_task(view, node)->state);
    for (uint32_t n = 1; n <= view_account_count(view); n++) {
        const struct view_account *account = view_account(view, n);
        if (account->revoked || account->state == CORE_ACCOUNT_STATE_NEW)
            continue;
        tally.tokens += view_account_openness(account->state) == VIEW_OPEN;
        tally.leaked += account->state == CORE_ACCOUNT_STATE_LEAKED;
        tally.expiring += account->state == CORE_ACCOUNT_STATE_EXPIRING && view_account_may_exist(account, now_ms);
    }
    return tally;
}

/* A token dies with its revocation, or with what ends an account that was not revoked. */
static bool token_ends(const struct view *view, const struct core_record *record)
{
    switch ((int)record->kind) {
    case CORE_ACCOUNT_REVOKED:
        return true;
    case CORE_ACCOUNT_GONE:
    case CORE_ACCOUNT_ABSENT:
    case CORE_ACCOUNT_EXPIRED:
    case CORE_ACCOUNT_EXPIRING:
    case CORE_ACCOUNT_LEAKED:
        return !view_account(view, record->account)->revoked;
    default:
        return false;
    }
}

/* The moment of the decision is a record; what there was then is the fold up to it, and later times count from it. */
static int each_record(void *context, const struct view *view, const struct core_record *record, struct mf_span extra,
                       struct mf_error *error)
{
    (void)extra;
    (void)error;
    struct target *target = context;
    if (target->taken_over)
        return 0;
    if (record->kind == CORE_RUN_RESTARTED)
        target->counted = false;
    if (record->kind == CORE_RUN_DRAINING && !target->counted) {
        target->before = tally_of(view);
        target->counted = true;
        target->decided_at_ms = target->exited_at_ms = target->died_at_ms = record->at_ms;
    }
    if (record->kind == CORE_TASK_EXITED)
        target->exited_at_ms = record->at_ms;
    if (token_ends(view, record))
        target->died_at_ms = record->at_ms;
    return 0;
}

static int open_target(struct target *target, struct mf_error *error)
{
    target->reader = (struct reader){0};
    if (reader_open_id(&target->reader, target->state, target->id, error) != 0) {
        reader_close(&target->reader);
        return -1;
    }
    view_free(target->reader.view);
    target->reader.view = NULL;
    target->open = true;
    return view_read(&target->reader.view, target->reader.journal, each_record, target, error);
}

static void close_target(struct target *target)
{
    if (target->open)
        reader_close(&target->reader);
    target->open = false;
}

/* --- whom it concerns --- */

static struct target *add_target(struct stop *stop, const char *id, struct state_dir *state)
{
    if (mf_grow((void **)&stop->targets, &stop->capacity, stop->count + 1, sizeof *stop->targets, 16) != 0)
        return NULL;
    struct target *target = &stop->targets[stop->count++];
    *target = (struct target){.state = state, .ended_ms = -1, .dead_ms = -1};
    snprintf(target->id, sizeof target->id, "%s", id);
    return target;
}

static struct target *find_target(struct stop *stop, const char *id)
{
    for (size_t i = 0; i < stop->count; i++)
        if (strcmp(stop->targets[i].id, id) == 0)
            return &stop->targets[i];
    return NULL;
}

static int add_known(void *context, const char *id)
{
    struct stop *stop = context;
    return add_target(stop, id, stop->state) == NULL;
}

/* An orchestrator of another state directory says which one that is. */
static void add_foreign(struct stop *stop, const char *id, const char *socket_path)
{
    struct mf_buf answer;
    struct json_document document;
    struct state_dir *state = NULL;
    mf_buf_init(&answer, 16384);
    if (control_request(socket_path, "{\"op\":\"ping\"}\n", QUICK_MS, &answer, NULL) == 0 &&
        json_scan(&document, mf_buf_view(&answer), &json_limits_default, NULL) == 0) {
        uint32_t node = json_member(&document, 0, "state");
        char *path = node != JSON_NONE ? json_dup(&document, node) : NULL;
        struct target *target =
            path != NULL && state_open(&state, path, false, NULL) == 0 ? add_target(stop, id, state) : NULL;
        if (target != NULL) {
            target->foreign = true;
            snprintf(target->socket, sizeof target->socket, "%s", socket_path);
        } else {
            state_close(state);
        }
        mf_free(path);
        json_document_free(&document);
    }
    mf_buf_free(&answer);
}

static void add_listening(struct stop *stop)
{
    char path[256];
    if (control_path("x", path, sizeof path, NULL) != 0)
        return;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char id[STATE_RUN_ID_BYTES] = "", socket_path[256];
        if (strlen(entry->d_name) != ID_BYTES + strlen(".sock") || strcmp(entry->d_name + ID_BYTES, ".sock") != 0)
            continue;
        memcpy(id, entry->d_name, ID_BYTES);
        if (find_target(stop, id) == NULL && control_path(id, socket_path, sizeof socket_path, NULL) == 0)
            add_foreign(stop, id, socket_path);
    }
    if (dir != NULL)
        closedir(dir);
}

/* --- telling them --- */

static bool ask(const struct stop *stop, struct target *target, int64_t timeout_ms)
{
    struct mf_buf answer;
    mf_buf_init(&answer, 4096);
    if (target->socket[0] == '\0' && control_path(target->id, target->socket, sizeof target->socket, NULL) != 0)
        return false;
    target->asked =
        control_request(target->socket, "{\"op\":\"cancel\",\"kill\":true}\n", timeout_ms, &answer, NULL) == 0 &&
        strstr(mf_buf_cstr(&answer), "\"ok\":true") != NULL;
    target->asked_ms = since(stop);
    mf_buf_free(&answer);
    return target->asked;
}

struct watch {
    struct stop *stop;
    struct target *target;
};

static void watched(struct watch *watch, const struct core *core)
{
    struct core_totals totals;
    core_totals(core, &totals);
    uint32_t tokens = 0;
    for (uint32_t n = 1; n <= core_account_count(core); n++) {
        struct core_account_view view;
        tokens += core_account(core, n, &view) && !view.revoked && view_account_openness(view.state) == VIEW_OPEN;
    }
    if (watch->target->ended_ms < 0)
        watch->target->ended_ms = since(watch->stop); /* left-over processes were killed before the first record */
    if (tokens == 0 && watch->target->dead_ms < 0)
        watch->target->dead_ms = since(watch->stop);
}

static void watch_turn(void *context, struct app *app)
{
    struct watch *watch = context;
    if (watch->target->dead_ms < 0)
        watched(watch, app_core(app));
}

static void take_over(struct stop *stop, struct target *target)
{
    struct watch watch = {stop, target};
    struct app_observer observer = {.turn = watch_turn, .context = &watch};
    target->taken_over = true;
    if (state_run_locked(target->state, target->id))
        take_code(&target->code, cancel_kill_stuck(target->state, target->id));
    int code = target->code != 0 ? target->code
                                 : cancel_take_over(stop->options, state_path(target->state), target->id, &observer);
    take_code(&target->code,
              code == 1 || code == 3 || code == 8 ? 0 : code); /* what became of tasks is no matter here */
}

/* --- until nothing works any more --- */

static void look(struct stop *stop, struct target *target)
{
    struct mf_error error = {0};
    bool locked = state_run_locked(target->state, target->id); /* before the records: what is read later is not older */
    if ((target->open ? view_update(target->reader.view, target->reader.journal, each_record, target, &error)
                      : open_target(target, &error)) != 0) {
        if (!locked) /* it never began, or is damaged; while somebody holds it, it may still begin */
            target->over = true;
        return;
    }
    const struct view_run *run = view_run(target->reader.view);
    target->after = tally_of(target->reader.view);
    bool decided = run->settled || run->drain != CORE_DRAIN_NONE;
    if (decided && target->ended_ms < 0 && target->after.processes == 0)
        target->ended_ms = target->asked_ms + target->exited_at_ms - target->decided_at_ms;
    if (decided && target->dead_ms < 0 && target->after.tokens == 0)
        target->dead_ms = target->asked_ms + target->died_at_ms - target->decided_at_ms;
    target->over = decided && target->ended_ms >= 0 && target->dead_ms >= 0;
    if (target->over || locked)
        return;
    close_target(target); /* its orchestrator died before it was done */
    target->over = true;
    if (!target->foreign) {
        take_over(stop, target);
        return;
    }
    fprintf(stderr, "mayfly: run %s: its orchestrator is gone; `mayfly teardown %s --state %s` cleans what it left\n",
            target->id, target->id, state_path(target->state));
    take_code(&target->code, 4);
}

static void tell_waiting(const struct stop *stop)
{
    uint32_t processes = 0, tokens = 0;
    for (size_t i = 0; i < stop->count; i++) {
        processes += stop->targets[i].over ? 0 : stop->targets[i].after.processes;
        tokens += stop->targets[i].over ? 0 : stop->targets[i].after.tokens;
    }
    fprintf(stderr, "mayfly: %u processes and %u tokens are left after %lld s\n", processes, tokens,
            (long long)(since(stop) / 1000));
}

static void follow(struct stop *stop)
{
    int64_t tell_ms = TELL_MS;
    for (;;) {
        size_t left = 0;
        for (size_t i = 0; i < stop->count; i++) {
            struct target *target = &stop->targets[i];
            if (target->asked && !target->over)
                look(stop, target);
            left += target->asked && !target->over;
        }
        if (left == 0)
            return;
        if (since(stop) >= tell_ms) {
            tell_waiting(stop);
            tell_ms += TELL_MS;
        }
        poll(NULL, 0, LOOK_MS);
    }
}

/* A run without orchestrator concerns us when its journal does not say that all is over. */
static bool left_open(struct stop *stop, struct target *target, bool locked)
{
    struct mf_error error = {0};
    struct view_totals totals;
    if (open_target(target, &error) != 0) {
        if (error.code != MF_NOT_FOUND) /* without a database nothing was started */
            take_code(&stop->code, complain(&error));
        return false;
    }
    view_totals(target->reader.view, &totals);
    bool open = !view_run(target->reader.view)->settled || totals.open > 0 || tally_of(target->reader.view).leaked > 0;
    target->before = tally_of(target->reader.view);
    target->before.tokens += target->before.leaked; /* a clean-up tries those again */
    if (!locked)
        target->before.processes = 0; /* its agents died with it */
    target->counted = true;
    close_target(target);
    return open;
}

static void stop_all(struct stop *stop)
{
    for (size_t i = 0; i < stop->count; i++)
        if (stop->targets[i].foreign || state_run_locked(stop->targets[i].state, stop->targets[i].id))
            ask(stop, &stop->targets[i], QUICK_MS);
    for (size_t i = 0; i < stop->count; i++) {
        struct target *target = &stop->targets[i];
        if (target->asked)
            continue;
        bool locked = state_run_locked(target->state, target->id);
        if (locked && ask(stop, target, CANCEL_SILENT_MS))
            continue;
        if (left_open(stop, target, locked)) {
            take_over(stop, target);
            target->over = true;
        }
    }
    follow(stop);
}

/* --- what is said --- */

static void last_look(struct stop *stop, struct target *target)
{
    struct mf_error error = {0};
    if (target->open || open_target(target, &error) == 0)
        target->after = tally_of(target->reader.view);
    close_target(target);
    if (target->after.tokens + target->after.leaked > 0)
        take_code(&target->code, 4);
    take_code(&stop->code, target->code);
}

static void add_up(struct target *sum, const struct target *one)
{
    sum->before.processes += one->before.processes;
    sum->before.tokens += one->before.tokens;
    sum->after.tokens += one->after.tokens;
    sum->after.leaked += one->after.leaked;
    sum->after.expiring += one->after.expiring;
    if (one->before.processes > 0 && one->ended_ms > sum->ended_ms)
        sum->ended_ms = one->ended_ms;
    if (one->before.tokens > 0 && one->dead_ms > sum->dead_ms)
        sum->dead_ms = one->dead_ms;
}

static int print(struct stop *stop)
{
    struct target sum = {.ended_ms = -1, .dead_ms = -1};
    char what[64];
    size_t runs = 0;
    bool json = option_set(stop->options, "json");
    for (size_t i = 0; i < stop->count; i++) {
        struct target *target = &stop->targets[i];
        if (!cancel_concerned(target))
            continue;
        runs++;
        last_look(stop, target);
        add_up(&sum, target);
        snprintf(what, sizeof what, "run %s", target->id);
        if (!json)
            cancel_print_text(what, target);
    }
    if (json)
        return cancel_print_json(stop->targets, stop->count, &sum, runs);
    snprintf(what, sizeof what, "cancelled %zu run%s", runs, runs == 1 ? "" : "s");
    cancel_print_text(what, &sum);
    return 0;
}

int cancel_all(const struct options *options)
{
    struct stop stop = {.options = options, .from_ms = clock_ms()};
    struct mf_error error = {0};
    if (state_open(&stop.state, option_value(options, "state"), false, &error) == 0) {
        if (state_runs(stop.state, add_known, &stop, &error) != 0)
            take_code(&stop.code, complain(&error));
    } else if (error.code != MF_NOT_FOUND) {
        take_code(&stop.code, complain(&error)); /* what listens is stopped all the same */
    }
    add_listening(&stop);
    stop_all(&stop);
    take_code(&stop.code, print(&stop));
    for (size_t i = 0; i < stop.count; i++) {
        close_target(&stop.targets[i]);
        if (stop.targets[i].foreign)
            state_close(stop.targets[i].state);
    }
    mf_free(stop.targets);
    state_close(stop.state);
    return stop.code;
}
