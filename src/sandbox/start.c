/* start.c - one launch executed by fork: for trials, where the spawner's cheaper way is not at hand */
#include "sandbox/sandbox_private.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

static _Noreturn void child_main(const struct sandbox_launch *launch, int error_fd)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool ready = null_fd >= 0 && dup2(null_fd, 0) == 0 && dup2(error_fd, 1) == 1 && dup2(error_fd, 2) == 2 &&
                 close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0 && fchdir(launch->directory_fd) == 0;
    for (uint32_t i = 0; i < launch->keep_count && ready; i++)
        ready = fcntl(launch->keep_fds[i], F_SETFD, 0) == 0;
    if (ready && launch->uid != geteuid())
        ready = setgroups(0, NULL) == 0 && setgid(launch->gid) == 0 && setuid(launch->uid) == 0;
    if (ready && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        execve(launch->program, launch->argv, launch->environment);
    _exit(126);
}

pid_t start_launch(const struct sandbox_launch *launch, int error_fd)
{
    pid_t pid = fork();
    if (pid == 0)
        child_main(launch, error_fd);
    return pid;
}
