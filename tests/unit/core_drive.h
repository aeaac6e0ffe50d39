/*
 * unit/core_drive.h - a small graph and a shell that answers every command at once
 *
 * For tests of the core that need no faults; the world with faults is tests/sim.
 */
#ifndef UNIT_CORE_DRIVE_H
#define UNIT_CORE_DRIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

struct drive_graph {
    struct core_task *tasks;
    struct core_edge *edges;
    struct core_slot *slots;
    struct core_profile profiles[2];
    struct core_provider providers[1];
    struct core_graph graph;
    struct core_limits limits;
};

static inline void drive_graph_init(struct drive_graph *setup, uint32_t tasks_max, uint32_t edges_max, uint32_t slots_max)
{
    *setup = (struct drive_graph){.limits = core_limits_default};
    setup->tasks = calloc(tasks_max + 1u, sizeof *setup->tasks);
    setup->edges = calloc(edges_max + 1u, sizeof *setup->edges);
    setup->slots = calloc(slots_max + 1u, sizeof *setup->slots);
    setup->profiles[0] = (struct core_profile){.timeout_ms = 30000, .verify_timeout_ms = 10000, .prepare_timeout_ms = 10000, .grace_ms = 5000, .attempts_max = 1};
    setup->profiles[1] = setup->profiles[0];
    setup->providers[0] = (struct core_provider){.can_find = true, .can_check = true, .can_revoke = true, .can_delete = true};
    setup->graph = (struct core_graph){.tasks = setup->tasks, .edges = setup->edges, .slots = setup->slots, .profiles = setup->profiles,
                                       .profile_count = 2, .providers = setup->providers, .provider_count = 1};
}

static inline void drive_graph_free(struct drive_graph *setup)
{
    free(setup->tasks);
    free(setup->edges);
    free(setup->slots);
}

static inline struct core_task *drive_task(struct drive_graph *setup)
{
    struct core_task *task = &setup->tasks[setup->graph.task_count++];
    *task = (struct core_task){.edge_first = setup->graph.edge_count, .slot_first = setup->graph.slot_count};
    return task;
}

static inline struct core_edge *drive_edge(struct drive_graph *setup, uint32_t from)
{
    struct core_edge *edge = &setup->edges[setup->graph.edge_count++];
    *edge = (struct core_edge){.from = from};
    setup->tasks[setup->graph.task_count - 1].edge_count++;
    return edge;
}

static inline struct core_slot *drive_slot(struct drive_graph *setup, uint32_t lender)
{
    struct core_slot *slot = &setup->slots[setup->graph.slot_count++];
    *slot = (struct core_slot){.lender = lender};
    setup->tasks[setup->graph.task_count - 1].slot_count++;
    return slot;
}

/* --- the shell --- */

#define DRIVE_QUEUE 4096u

struct drive {
    struct core *core;
    int64_t now_ms;
    struct core_input *queue; /* ring */
    uint32_t first, count;
    struct core_record *journal; /* NULL: not kept */
    size_t journal_count, journal_max;
    uint64_t records, commands, steps, spawns;
    uint32_t batch_most;
    int (*code)(void *context, uint32_t node, enum core_stage stage); /* exit status; NULL: 0 */
    uint32_t (*list)(void *context, uint32_t node);                   /* length of a template's list; NULL: 3 */
    void *context;
    bool hold; /* agents do not end */
};

static inline void drive_push(struct drive *drive, struct core_input input)
{
    assert_true(drive->count < DRIVE_QUEUE);
    drive->queue[(drive->first + drive->count++) % DRIVE_QUEUE] = input;
}

static inline void drive_spawned(struct drive *drive, const struct core_command *command)
{
    struct core_input input = {.kind = CORE_INPUT_STARTED, .node = command->node, .stage = command->stage, .pid = 1};
    drive->spawns++;
    drive_push(drive, input);
    if (drive->hold)
        return;
    input.kind = CORE_INPUT_EXITED;
    input.code = drive->code != NULL ? drive->code(drive->context, command->node, command->stage_kind) : 0;
    drive_push(drive, input);
    input.kind = CORE_INPUT_RESULT;
    drive_push(drive, input);
}

static inline void drive_answer(struct drive *drive, const struct core_command *command)
{
    struct core_input input = {.node = command->node, .account = command->account, .stage = command->stage, .lease = command->lease, .count = 1, .generation = 1};
    switch ((int)command->kind) {
    case CORE_COMMAND_RUNNER:
        input.kind = CORE_INPUT_RUNNER_UP;
        break;
    case CORE_COMMAND_EXPAND:
        input.kind = CORE_INPUT_EXPANDED;
        input.count = drive->list != NULL ? drive->list(drive->context, command->node) : 3;
        break;
    case CORE_COMMAND_PREPARE:
        input.kind = CORE_INPUT_PREPARED;
        break;
    case CORE_COMMAND_CREATE:
        input.kind = CORE_INPUT_CREATED;
        break;
    case CORE_COMMAND_FIND:
        input.kind = CORE_INPUT_FOUND;
        break;
    case CORE_COMMAND_REVOKE:
        input.kind = CORE_INPUT_REVOKED;
        break;
    case CORE_COMMAND_DELETE:
        input.kind = CORE_INPUT_DELETED;
        break;
    case CORE_COMMAND_CHECK:
        input.kind = CORE_INPUT_GONE;
        break;
    case CORE_COMMAND_DROP:
        input.kind = CORE_INPUT_DROPPED;
        break;
    case CORE_COMMAND_SPAWN:
        drive_spawned(drive, command);
        return;
    case CORE_COMMAND_SIGNAL:
        input.kind = CORE_INPUT_EXITED;
        input.code = -1;
        input.signal = 15;
        drive_push(drive, input);
        input.kind = CORE_INPUT_RESULT;
        break;
    default:
        return;
    }
    drive_push(drive, input);
}

static inline const struct core_batch *drive_step(struct drive *drive, struct core_input input)
{
    input.now_ms = drive->now_ms;
    assert_int_equal(core_reserve(drive->core, input.kind == CORE_INPUT_EXPANDED ? input.count : 0, NULL), 0);
    const struct core_batch *batch = core_step(drive->core, &input);
    drive->steps++;
    drive->records += batch->record_count;
    drive->commands += batch->command_count;
    if (batch->record_count > drive->batch_most)
        drive->batch_most = batch->record_count;
    if (drive->journal != NULL) {
        assert_true(drive->journal_count + batch->record_count <= drive->journal_max);
        memcpy(drive->journal + drive->journal_count, batch->records, batch->record_count * sizeof *batch->records);
        drive->journal_count += batch->record_count;
    }
    for (uint32_t c = 0; c < batch->command_count; c++)
        drive_answer(drive, &batch->commands[c]);
    return batch;
}

static inline void drive_begin(struct drive *drive, struct drive_graph *setup)
{
    struct mf_error error;
    if (core_create(&drive->core, &setup->graph, &setup->limits, 1, &error) != 0)
        fail_msg("%s", error.text);
    drive->now_ms = drive->now_ms > 0 ? drive->now_ms : 1000;
    drive->queue = calloc(DRIVE_QUEUE, sizeof *drive->queue);
    drive_push(drive, (struct core_input){.kind = CORE_INPUT_OPEN});
}

/* Answers and lets time pass until nothing is left to do. */
static inline void drive_run(struct drive *drive)
{
    for (;;) {
        if (drive->count > 0) {
            struct core_input input = drive->queue[drive->first];
            drive->first = (drive->first + 1) % DRIVE_QUEUE;
            drive->count--;
            drive_step(drive, input);
            continue;
        }
        if (core_settled(drive->core))
            return;
        int64_t deadline_ms = core_deadline(drive->core);
        if (deadline_ms == CORE_NEVER || (drive->hold && deadline_ms > drive->now_ms))
            return;
        drive->now_ms = deadline_ms > drive->now_ms ? deadline_ms : drive->now_ms;
        drive_step(drive, (struct core_input){.kind = CORE_INPUT_TICK});
    }
}

static inline void drive_end(struct drive *drive)
{
    core_destroy(drive->core);
    free(drive->queue);
}

static inline enum core_task_state drive_state(const struct drive *drive, uint32_t node)
{
    struct core_node_view view;
    assert_true(core_node(drive->core, node, &view));
    return view.state;
}

#endif
