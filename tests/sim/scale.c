/*
 * scale.c - what a task costs the core: time per task and memory per node, from a thousand to a million
 *
 *   scale [TASKS...]     (default 1000 10000 100000 1000000)
 *
 * Each size is run three times, as independent tasks and as one chain, with a shell that answers at once; the best run counts.
 * The last line compares the largest size with the smallest: a cost that is flat stays near 1, the caches' part included.
 */
#include "core/core.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INPUTS_MAX 256u
#define RUNS 3

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t bytes_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

struct shell {
    struct core *core;
    struct core_input inputs[INPUTS_MAX]; /* a stack: order among tasks does not matter here */
    uint32_t count;
    uint64_t records;
};

static void push(struct shell *shell, struct core_input input)
{
    if (shell->count == INPUTS_MAX)
        abort();
    shell->inputs[shell->count++] = input;
}

static void answer(struct shell *shell, const struct core_command *command)
{
    struct core_input input = {.now_ms = 1, .node = command->node, .stage = command->stage, .generation = 1};
    if (command->kind == CORE_COMMAND_RUNNER) {
        input.kind = CORE_INPUT_RUNNER_UP;
        push(shell, input);
    } else if (command->kind == CORE_COMMAND_SPAWN) {
        static const enum core_input_kind reversed[] = {CORE_INPUT_RESULT, CORE_INPUT_EXITED, CORE_INPUT_STARTED};
        for (size_t i = 0; i < 3; i++) {
            input.kind = reversed[i];
            push(shell, input);
        }
    }
}

static void run(struct shell *shell)
{
    struct core_input input = {.now_ms = 1, .kind = CORE_INPUT_OPEN};
    for (;;) {
        if (core_reserve(shell->core, 0, NULL) != 0)
            abort();
        const struct core_batch *batch = core_step(shell->core, &input);
        shell->records += batch->record_count;
        for (uint32_t c = 0; c < batch->command_count; c++)
            answer(shell, &batch->commands[c]);
        if (shell->count > 0)
            input = shell->inputs[--shell->count];
        else if (core_settled(shell->core))
            return;
        else
            input = (struct core_input){.now_ms = 1, .kind = CORE_INPUT_TICK};
    }
}

static void build(struct core_task *tasks, struct core_edge *edges, uint32_t count, bool chain)
{
    for (uint32_t t = 0; t < count; t++) {
        tasks[t] = (struct core_task){.edge_first = t > 0 ? t - 1 : 0, .edge_count = chain && t > 0};
        if (chain && t > 0)
            edges[t - 1] = (struct core_edge){.from = t - 1};
    }
}

/* Seconds per task of one run. */
static double measure(uint32_t count, bool chain, double *create_s, double *node_bytes)
{
    struct core_task *tasks = calloc(count, sizeof *tasks);
    struct core_edge *edges = calloc(count, sizeof *edges);
    struct core_profile profile = {.timeout_ms = 1000, .attempts_max = 1};
    struct core_graph graph = {.tasks = tasks, .task_count = count, .edges = edges, .edge_count = chain ? count - 1 : 0, .profiles = &profile, .profile_count = 1};
    struct shell shell = {0};
    if (tasks == NULL || edges == NULL)
        abort();
    build(tasks, edges, count, chain);
    size_t before = bytes_in_use();
    double begin = seconds();
    if (core_create(&shell.core, &graph, &core_limits_default, 1, NULL) != 0)
        abort();
    *create_s = seconds() - begin;
    begin = seconds();
    run(&shell);
    double spent = seconds() - begin;
    *node_bytes = (double)(bytes_in_use() - before) / count;
    core_destroy(shell.core);
    free(tasks);
    free(edges);
    return spent / count;
}

static double best_of(uint32_t count, bool chain)
{
    double best = 1e9, create_s = 0, node_bytes = 0;
    for (int r = 0; r < RUNS; r++) {
        double one = measure(count, chain, &create_s, &node_bytes);
        best = one < best ? one : best;
    }
    printf("%8u %-11s create %6.1f ms   %6.0f ns/task   %6.1f bytes/node\n", count, chain ? "chained" : "independent", create_s * 1e3, best * 1e9, node_bytes);
    return best;
}

int main(int count, char **arguments)
{
    static const uint32_t usual[] = {1000, 10000, 100000, 1000000};
    uint32_t sizes = count > 1 ? (uint32_t)count - 1 : 4;
    for (int chain = 0; chain < 2; chain++) {
        double first = 0, last = 0;
        for (uint32_t s = 0; s < sizes; s++) {
            uint32_t tasks = count > 1 ? (uint32_t)strtoul(arguments[s + 1], NULL, 10) : usual[s];
            last = best_of(tasks > 0 ? tasks : 1, chain != 0);
            first = s == 0 ? last : first;
        }
        printf("largest / smallest: %.2f\n", last / first);
    }
    return 0;
}
