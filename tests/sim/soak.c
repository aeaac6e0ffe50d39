/*
 * soak.c - runs seeds, shrinks what fails, counts the rows of the machines
 *
 *   soak [--from S] [--seeds N] [--seed S] [--mutant NAME] [--rows] [--trace]
 *
 * Exit 0 when every seed is well (with --mutant: when one is not, because then the fault was noticed). A failure is printed with
 * its seed, the smallest shape of the world that still fails, and that trace.
 */
#include "world.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRACE_BYTES_MAX (64u << 20)

static bool fails(uint64_t seed, const struct sim_shape *shape, bool early, size_t *trace_bytes, char failure[400])
{
    struct mf_buf trace;
    mf_buf_init(&trace, TRACE_BYTES_MAX);
    bool well = sim_run_seed(seed, shape, early, &trace, failure);
    *trace_bytes = trace.length;
    mf_buf_free(&trace);
    return !well;
}

/* One thing after the other is taken away as long as the seed still fails, and the shape with the shortest trace wins. */
static struct sim_shape shrink(uint64_t seed, bool early)
{
    struct sim_shape best = sim_shape_full;
    char failure[400];
    size_t best_bytes, bytes;
    fails(seed, &best, early, &best_bytes, failure);
    for (uint32_t variant = 0; variant < 64; variant++)
        for (uint32_t tasks = 1; tasks <= sim_shape_full.tasks_max; tasks++) {
            struct sim_shape shape = {.tasks_max = tasks, .faults = !(variant & 1), .crashes = !(variant & 2), .actions = !(variant & 4), .accounts = !(variant & 8),
                                      .templates = !(variant & 16), .limits = !(variant & 32)};
            if (fails(seed, &shape, early, &bytes, failure) && bytes < best_bytes) {
                best = shape;
                best_bytes = bytes;
            }
        }
    return best;
}

static void explain(uint64_t seed, bool early)
{
    struct sim_shape shape = shrink(seed, early);
    struct mf_buf trace;
    char failure[400];
    mf_buf_init(&trace, TRACE_BYTES_MAX);
    sim_run_seed(seed, &shape, early, &trace, failure);
    printf("%s", mf_buf_cstr(&trace));
    printf("seed %" PRIu64 ": %s\n", seed, failure);
    printf("smallest: tasks <= %u%s%s%s%s%s%s\n", shape.tasks_max, shape.faults ? " faults" : "", shape.crashes ? " crashes" : "", shape.actions ? " actions" : "",
           shape.accounts ? " accounts" : "", shape.templates ? " templates" : "", shape.limits ? " limits" : "");
    mf_buf_free(&trace);
}

static uint32_t print_rows(void)
{
    uint32_t missing = 0;
    uint64_t taken;
    enum core_record_kind record;
    enum core_task_state from, to;
    enum core_account_state account_from, account_to;
    for (uint32_t r = 0; core_task_row(r, &from, &record, &to, &taken); r++)
        if (taken == 0) {
            printf("never taken: task %s --%s--> %s\n", core_task_state_name(from), core_record_name(record), core_task_state_name(to));
            missing++;
        }
    for (uint32_t r = 0; core_account_row(r, &account_from, &record, &account_to, &taken); r++)
        if (taken == 0) {
            printf("never taken: account %s --%s--> %s\n", core_account_state_name(account_from), core_record_name(record), core_account_state_name(account_to));
            missing++;
        }
    return missing;
}

struct options {
    uint64_t from, seeds;
    const char *mutant;
    bool rows, trace, early;
};

static int set_mutant(struct options *options)
{
#ifdef MAYFLY_CRASHPOINTS
    static const char *const names[] = {
#define X(mutant, name) name,
        CORE_MUTANTS(X)
#undef X
    };
    for (size_t m = 0; m < sizeof names / sizeof *names; m++)
        if (strcmp(names[m], options->mutant) == 0) {
            core_mutant = (enum core_mutant)m;
            return 0;
        }
#endif
    options->early = strcmp(options->mutant, "act-before-commit") == 0;
    return options->early ? 0 : -1;
}

static int parse(int count, char **arguments, struct options *options)
{
    *options = (struct options){.seeds = 100};
    for (int a = 1; a < count; a++) {
        const char *value = a + 1 < count ? arguments[a + 1] : NULL;
        if (strcmp(arguments[a], "--rows") == 0)
            options->rows = true;
        else if (strcmp(arguments[a], "--trace") == 0)
            options->trace = true;
        else if (value == NULL)
            return -1;
        else if (strcmp(arguments[a], "--from") == 0)
            options->from = strtoull(arguments[++a], NULL, 10);
        else if (strcmp(arguments[a], "--seeds") == 0)
            options->seeds = strtoull(arguments[++a], NULL, 10);
        else if (strcmp(arguments[a], "--mutant") == 0)
            options->mutant = arguments[++a];
        else
            return -1;
    }
    return options->mutant != NULL ? set_mutant(options) : 0;
}

static int run_seeds(const struct options *options)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t seed = options->from; seed < options->from + options->seeds; seed++) {
        char failure[400];
        if (sim_run_seed(seed, &sim_shape_full, options->early, NULL, failure))
            continue;
        if (options->mutant != NULL) {
            printf("%s: caught by seed %" PRIu64 ": %s\n", options->mutant, seed, failure);
            if (options->trace)
                explain(seed, options->early);
            return 0;
        }
        explain(seed, options->early);
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%" PRIu64 " seeds from %" PRIu64 " in %.1f s: %.0f seeds/s, %.0f events/s\n", options->seeds, options->from, seconds, (double)options->seeds / seconds,
           (double)sim_events / seconds);
    return options->mutant != NULL ? 1 : 0;
}

int main(int count, char **arguments)
{
    struct options options;
    mallopt(M_TRIM_THRESHOLD, 1 << 30); /* a world's arrays are made and freed for each seed: two thirds of the time were page faults */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    if (parse(count, arguments, &options) != 0) {
        fprintf(stderr, "usage: soak [--from S] [--seeds N] [--mutant NAME] [--rows] [--trace]\n");
        return 2;
    }
    int status = run_seeds(&options);
    if (options.rows && print_rows() > 0)
        status = 1;
    return status;
}
