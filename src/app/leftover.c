/*
 * leftover.c - what an earlier life of a run left on this machine is ended before the run is taken up again
 *
 * The runner of an orchestrator that died sees the end of its socket, kills its agents and leaves by itself; that may take a moment,
 * and it may be stuck. Until it is gone its agents may still use accounts and write into workspaces. So: wait for it, kill it by the
 * identity that the journal has, kill what carries the run's marks, set the working directories aside. The caller holds the lock.
 */
#include "app/app_private.h"

#include "runner/paths.h"
#include "runner/tree.h"
#include "store/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LEAVE_WAIT_MS 3000
#define LOOK_AGAIN_MS 5
#define OLD_WORK PATHS_WORK "-old"

void app_boot_id(char out[64])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    out[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(out, 64, file) == NULL)
        out[0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    fclose(file);
}

static bool lives(const struct tree_process *process)
{
    struct tree_process now;
    return tree_read(process->pid, &now) == 0 && now.birth == process->birth && now.state != 'Z';
}

static void end_runner(struct app *app)
{
    const struct tree_process runner = {.pid = (pid_t)app->left_runner_pid, .birth = (uint64_t)app->left_runner_birth};
    int64_t until_ms = net_now_ms() + LEAVE_WAIT_MS;
    if (runner.pid <= 1 || runner.birth == 0)
        return;
    for (bool asked = false; lives(&runner); poll(NULL, 0, LOOK_AGAIN_MS)) {
        if (net_now_ms() < until_ms)
            continue;
        if (asked) /* SIGKILL was sent: what is still there is in the kernel and will not come back */
            break;
        tree_signal(&runner, SIGKILL);
        until_ms = net_now_ms() + LEAVE_WAIT_MS;
        asked = true;
    }
}

static bool exists(const struct app *app, const char *name)
{
    struct stat status;
    return fstatat(app->run_dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A thousand workspaces take seconds to remove, and accounts must not wait for that: they are only set aside. */
static int set_work_aside(struct app *app, struct mf_error *error)
{
    if (!exists(app, PATHS_WORK))
        return 0;
    if (exists(app, OLD_WORK) && tree_remove(app->run_dir_fd, OLD_WORK, error) != 0)
        return mf_wrap(error, "run %s: working directories", app->run_id);
    if (renameat(app->run_dir_fd, PATHS_WORK, app->run_dir_fd, OLD_WORK) != 0)
        return mf_fail_os(error, errno, "run %s: working directories", app->run_id);
    return 0;
}

int app_end_leftovers(struct app *app, struct mf_error *error)
{
    char boot[64];
    app_boot_id(boot);
    if (boot[0] != '\0' && strcmp(boot, app->left_boot_id) == 0)
        end_runner(app); /* a pid of another boot says nothing */
    if (runner_sweep(app->run_id, app->run_dir, error) < 0)
        return -1;
    return set_work_aside(app, error);
}

void app_remove_leftovers(struct app *app)
{
    struct mf_error error;
    if (exists(app, OLD_WORK) && tree_remove(app->run_dir_fd, OLD_WORK, &error) != 0)
        app_note(app, "working directories: %s", error.text);
}
