/* runner_world.c - a real runner in a state directory of its own, and what it reported, for tests with real processes
 */
#include "lib/runner_world.h"

#include "runner/tree.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

bool world_main(int argc, char **argv, int *status)
{
    if (argc < 2 || strcmp(argv[1], "runner") != 0)
        return false;
    *status = runner_main(argc, argv);
    return true;
}

const char *world_run_id(void)
{
    static char id[32];
    if (id[0] == '\0')
        snprintf(id, sizeof id, "world%07d", (int)getpid());
    return id;
}

/* --- what the runner says --- */

static struct world_stage *stage_of(void *context, uint64_t stage)
{
    struct world *world = context;
    assert_true(stage < WORLD_STAGES_MAX);
    net_loop_again(world->loop);
    return &world->stages[stage];
}

static void on_up(void *context, int64_t pid, int64_t birth)
{
    struct world *world = context;
    struct tree_process process;
    assert_int_equal(tree_read((pid_t)pid, &process), 0);
    assert_int_equal(process.birth, birth);
    world->up = true;
    world->runner_pid = pid;
}

static void on_prepared(void *context, uint64_t stage, const char *commit)
{
    struct world_stage *record = stage_of(context, stage);
    record->prepared = true;
    snprintf(record->commit, sizeof record->commit, "%s", commit != NULL ? commit : "");
}

static void on_failed(void *context, uint64_t stage, const char *class_name, const char *reason)
{
    struct world_stage *record = stage_of(context, stage);
    record->failed = true;
    snprintf(record->class_name, sizeof record->class_name, "%s", class_name);
    snprintf(record->reason, sizeof record->reason, "%s", reason);
}

static void on_started(void *context, uint64_t stage, int64_t pid, int64_t birth)
{
    struct world_stage *record = stage_of(context, stage);
    assert_false(record->started);
    record->started = true;
    record->pid = pid;
    record->birth = birth;
    record->started_ms = net_now_ms();
}

static void on_exited(void *context, const struct runner_exit *exited)
{
    struct world_stage *record = stage_of(context, exited->stage);
    assert_true(record->started && !record->exited);
    record->exited = true;
    record->exit = *exited;
    record->head_count = ((struct world *)context)->head_count;
    record->exited_ms = net_now_ms();
}

static void on_result(void *context, const struct runner_result *result)
{
    struct world_stage *record = stage_of(context, result->stage);
    assert_true(record->exited && !record->resulted);
    record->resulted = true;
    record->valid = result->valid;
    snprintf(record->class_name, sizeof record->class_name, "%s", result->class_name != NULL ? result->class_name : "");
    snprintf(record->reason, sizeof record->reason, "%s", result->reason != NULL ? result->reason : "");
    snprintf(record->sha256, sizeof record->sha256, "%s", result->sha256 != NULL ? result->sha256 : "");
    record->result_bytes = result->result_bytes;
    record->output_bytes = result->output_bytes;
    record->output_files = result->output_files;
    record->stdout_bytes = result->stdout_bytes;
    record->stderr_bytes = result->stderr_bytes;
}

static void on_dropped(void *context, uint64_t lease)
{
    struct world *world = context;
    world->dropped++;
    world->last_dropped = lease;
}

static void on_anomaly(void *context, const struct runner_anomaly *anomaly)
{
    struct world *world = context;
    struct world_stage *record = stage_of(context, anomaly->stage);
    world->lost_anomalies += anomaly->stage == 0 ? 1 : 0;
    record->anomalies++;
    record->violations += anomaly->violation ? 1 : 0;
    snprintf(record->last_anomaly, sizeof record->last_anomaly, "%s", anomaly->kind);
    snprintf(record->last_detail, sizeof record->last_detail, "%s", anomaly->detail);
}

static void on_account_dead(void *context, uint64_t lease)
{
    struct world *world = context;
    world->accounts_dead++;
    world->last_dead = lease;
}

static void on_service_refused(void *context, uint64_t service)
{
    struct world *world = context;
    world->services_refused++;
    world->last_refused = service;
}

static void on_budget(void *context, uint64_t stage, const char *which)
{
    assert_true(which[0] != '\0');
    stage_of(context, stage)->budgets++;
}

static void on_usage(void *context, const struct runner_usage *usage)
{
    struct world_stage *record = stage_of(context, usage->stage);
    assert_false(record->exited); /* told before it */
    record->usage = *usage;
    snprintf(record->usage_of, sizeof record->usage_of, "%s", usage->service);
    record->usage.service = record->usage_of;
}

static void on_audit_head(void *context, uint64_t count, const char *head)
{
    struct world *world = context;
    assert_true(count >= world->head_count);
    world->head_count = count;
    snprintf(world->head, sizeof world->head, "%s", head);
}

static void on_died(void *context, const char *reason)
{
    struct world *world = context;
    assert_false(world->died);
    world->died = true;
    snprintf(world->died_reason, sizeof world->died_reason, "%s", reason);
}

/* --- waiting --- */

struct waiting {
    struct world *world;
    bool (*holds)(struct world *world, uint64_t stage);
    uint64_t stage;
    int64_t until_ms;
    bool late;
};

static void check_turn(void *context)
{
    struct waiting *waiting = context;
    waiting->late = net_now_ms() >= waiting->until_ms;
    if (waiting->late || (waiting->holds != NULL && waiting->holds(waiting->world, waiting->stage)))
        net_loop_stop(waiting->world->loop);
}

static bool wait_for(struct world *world, bool (*holds)(struct world *world, uint64_t stage), uint64_t stage,
                     int64_t timeout_ms)
{
    struct waiting waiting = {world, holds, stage, net_now_ms() + timeout_ms, false};
    if (holds != NULL && holds(world, stage))
        return true;
    net_loop_on_turn(world->loop, check_turn, &waiting);
    net_loop_deadline(world->loop, waiting.until_ms);
    net_loop_run(world->loop);
    net_loop_on_turn(world->loop, NULL, NULL);
    return holds == NULL || holds(world, stage);
}

void world_wait(struct world *world, bool (*holds)(struct world *world, uint64_t stage), uint64_t stage,
                int64_t timeout_ms)
{
    if (!wait_for(world, holds, stage, timeout_ms))
        fail_msg("stage %llu: nothing after %lld ms (%s)", (unsigned long long)stage, (long long)timeout_ms,
                 world->died_reason);
}

void world_run_for(struct world *world, int64_t duration_ms)
{
    wait_for(world, NULL, 0, duration_ms);
}

static bool is_up(struct world *world, uint64_t stage)
{
    (void)stage;
    return world->up;
}

bool world_started(struct world *world, uint64_t stage)
{
    return world->stages[stage].started || world->stages[stage].failed;
}

bool world_exited(struct world *world, uint64_t stage)
{
    return world->stages[stage].exited || world->stages[stage].failed;
}

bool world_over(struct world *world, uint64_t stage)
{
    const struct world_stage *record = &world->stages[stage];
    return record->resulted || record->failed || record->prepared;
}

bool world_died(struct world *world, uint64_t stage)
{
    (void)stage;
    return world->died;
}

/* --- life --- */

struct world *world_open(void)
{
    static const struct runner_handlers handlers = {.up = on_up,
                                                    .prepared = on_prepared,
                                                    .prepare_failed = on_failed,
                                                    .started = on_started,
                                                    .spawn_failed = on_failed,
                                                    .exited = on_exited,
                                                    .result = on_result,
                                                    .dropped = on_dropped,
                                                    .anomaly = on_anomaly,
                                                    .account_dead = on_account_dead,
                                                    .service_refused = on_service_refused,
                                                    .budget = on_budget,
                                                    .usage = on_usage,
                                                    .audit_head = on_audit_head,
                                                    .died = on_died};
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    snprintf(world->state, sizeof world->state, "/tmp/mayfly-test-XXXXXX");
    assert_non_null(mkdtemp(world->state));
    snprintf(world->base, sizeof world->base, "%s/graph", world->state);
    assert_int_equal(mkdir(world->base, 0700), 0);
    snprintf(world->run_dir, sizeof world->run_dir, "%s/runs", world->state);
    assert_int_equal(mkdir(world->run_dir, 0700), 0);
    size_t used = strlen(world->run_dir);
    snprintf(world->run_dir + used, sizeof world->run_dir - used, "/%s", world_run_id());
    assert_int_equal(mkdir(world->run_dir, 0700), 0);
    world->run_fd = open(world->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(net_loop_create(&world->loop, NULL), 0);
    struct runner_options options = {.program = "/proc/self/exe",
                                     .run_dir_fd = world->run_fd,
                                     .run_dir = world->run_dir,
                                     .run_id = world_run_id(),
                                     .path = "/usr/local/bin:/usr/bin:/bin",
                                     .running_max = 512,
                                     .agent_uid = -1};
    struct mf_error error;
    if (runner_start(&world->peer, world->loop, &options, &handlers, world, &error) != 0)
        fail_msg("%s", error.text);
    world_wait(world, is_up, 0, 10000);
    return world;
}

static void check_cgroups(void)
{
    char command[256];
    snprintf(command, sizeof command,
             "ls -d /sys/fs/cgroup/mayfly-%s.* /sys/fs/cgroup/unified/mayfly-%s.* 2>/dev/null | grep -q .",
             world_run_id(), world_run_id());
    int left = system(command);
    assert_int_not_equal(left, 0);
}

void world_close(struct world *world)
{
    bool died = world->died;
    runner_stop(world->peer, 60000);
    assert_int_equal(world_processes(), 0);
    if (!died) {
        check_cgroups();
        assert_false(world_exists(world, ".work"));
    }
    net_loop_destroy(world->loop);
    close(world->run_fd);
    char command[160];
    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", world->state, world->state);
    assert_int_equal(system(command), 0);
    free(world);
}

/* --- asking --- */

void world_shell(struct runner_spawn *spawn, uint64_t stage, const char *script)
{
    static struct mf_span argv[3];
    static char paths[WORLD_STAGES_MAX][16];
    snprintf(paths[stage], sizeof paths[stage], "t%llu", (unsigned long long)stage);
    argv[0] = MF_SPAN("/bin/sh");
    argv[1] = MF_SPAN("-c");
    argv[2] = mf_span(script);
    *spawn =
        (struct runner_spawn){.stage = stage, .path = mf_span(paths[stage]), .attempt = 1, .argv = argv, .argc = 3};
}

void world_send(struct world *world, const struct runner_spawn *spawn)
{
    struct mf_error error;
    if (runner_send_spawn(world->peer, spawn, &error) != 0)
        fail_msg("%s", error.text);
}

struct world_stage *world_run(struct world *world, const struct runner_spawn *spawn)
{
    struct runner_spawn with_base = *spawn;
    with_base.base = mf_span(world->base);
    world_send(world, &with_base);
    world_wait(world, world_over, spawn->stage, 60000);
    return &world->stages[spawn->stage];
}

struct world_stage *world_run_shell(struct world *world, uint64_t stage, const char *script)
{
    struct runner_spawn spawn;
    world_shell(&spawn, stage, script);
    return world_run(world, &spawn);
}

struct world_stage *world_prepare(struct world *world, const struct runner_prepare *prepare)
{
    struct runner_prepare with_base = *prepare;
    struct mf_error error;
    with_base.base = mf_span(world->base);
    if (runner_send_prepare(world->peer, &with_base, &error) != 0)
        fail_msg("%s", error.text);
    world_wait(world, world_over, prepare->stage, 60000);
    return &world->stages[prepare->stage];
}

void world_finish(struct world *world, uint64_t stage, uint32_t attempt, enum runner_retain retain, bool again)
{
    char path[16];
    snprintf(path, sizeof path, "t%llu", (unsigned long long)stage);
    assert_int_equal(runner_send_finish(world->peer, mf_span(path), attempt, retain, again, NULL), 0);
}

/* --- looking --- */

char *world_read(const struct world *world, const char *path, size_t *bytes)
{
    int fd = openat(world->run_fd, path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0)
        return NULL;
    assert_int_equal(fstat(fd, &about), 0);
    char *text = calloc(1, (size_t)about.st_size + 1);
    assert_non_null(text);
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, text + length, (size_t)about.st_size - length)) > 0)
        length += (size_t)got;
    close(fd);
    if (bytes != NULL)
        *bytes = length;
    return text;
}

bool world_exists(const struct world *world, const char *path)
{
    return faccessat(world->run_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void world_write(const struct world *world, const char *path, const char *text, unsigned mode)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", world->base, path);
    for (char *slash = strchr(full + strlen(world->base) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(full, mode), 0);
}

int world_processes(void)
{
    size_t count;
    int alive = 0;
    struct tree_process *list = tree_list(&count);
    for (size_t i = 0; i < count; i++)
        alive += list[i].state != 'Z' && tree_marked(list[i].pid, world_run_id()) ? 1 : 0;
    mf_free(list);
    return alive;
}

void world_command(const struct world *world, const char *command)
{
    char line[2048];
    snprintf(line, sizeof line, "cd %s && RUN=runs/%s && { %s; }", world->state, world_run_id(), command);
    assert_int_equal(system(line), 0);
}
