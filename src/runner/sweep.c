/*
 * sweep.c - kills what an earlier life of a run left behind
 *
 * Two ways, both taken: the cgroups whose paths the spawners wrote into the run directory, and every process that
 * carries a MAYFLY_SPAWN value of this run, with its descendants. Repeated until a look finds nothing, because what is
 * killed may be forking. Called by the orchestrator before it starts a runner and after one died.
 */
#include "runner/peer.h"

#include "base/alloc.h"
#include "runner/cgroup.h"
#include "runner/paths.h"
#include "runner/tree.h"
#include "sandbox/sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOKS_MAX 200 /* of 10 ms: what then still lives is in the kernel and will not come back */
#define CGROUP_WAIT_MS 2000

/* Ourselves and our ancestors are never killed, whatever their environment says. */
static void spare_ancestors(struct tree_process *list, size_t count)
{
    pid_t pid = getpid();
    for (size_t depth = 0; pid > 1 && depth < count; depth++) {
        pid_t parent = 0;
        for (size_t i = 0; i < count; i++) {
            if (list[i].pid == pid) {
                list[i].member = false;
                parent = list[i].parent;
            }
        }
        pid = parent;
    }
}

/* One look: kills and counts what is alive. `prefix` is the run's id and a dash. */
static int look(const char *prefix)
{
    size_t count;
    int alive = 0;
    struct tree_process *list = tree_list(&count);
    for (size_t i = 0; i < count; i++)
        list[i].member = list[i].state != 'Z' && tree_marked(list[i].pid, prefix);
    spare_ancestors(list, count);
    tree_close_over(list, count);
    for (size_t i = 0; i < count; i++) {
        if (!list[i].member || list[i].state == 'Z' || list[i].pid == getpid())
            continue;
        alive++;
        tree_signal(&list[i], SIGKILL);
    }
    mf_free(list);
    return alive;
}

static int sweep_groups(const char *run_dir, const char *run_id, int *killed)
{
    char path[4096];
    char line[CGROUP_PATH_BYTES_MAX + 2];
    char wanted[96];
    int result = 0;
    snprintf(wanted, sizeof wanted, "/mayfly-%s.", run_id);
    snprintf(path, sizeof path, "%s/" PATHS_WORK "/" PATHS_CGROUP, run_dir);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "/sys/fs/cgroup/", 15) == 0 && strstr(line, wanted) != NULL && strstr(line, "..") == NULL &&
            cgroup_remove(line, CGROUP_WAIT_MS, killed) != 0)
            result = -1;
    }
    if (file != NULL)
        fclose(file);
    return result;
}

int runner_sweep(const char *run_id, const char *run_dir, struct mf_error *error)
{
    char prefix[80];
    int killed = 0;
    if (snprintf(prefix, sizeof prefix, "%s-", run_id) >= (int)sizeof prefix || run_id[0] == '\0')
        return mf_fail(error, MF_INPUT, "sweep: the run id is empty or too long");
    int groups = sweep_groups(run_dir, run_id, &killed);
    int alive = look(prefix);
    killed += alive;
    for (int looks = 1; alive > 0 && looks < LOOKS_MAX; looks++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        alive = look(prefix);
    }
    for (int looks = 0; sandbox_limits_sweep(run_id) > 0 && looks < LOOKS_MAX; looks++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (alive > 0 || groups != 0)
        return mf_fail(error, MF_OS, "sweep: some processes of run %s would not die", run_id);
    return killed;
}
