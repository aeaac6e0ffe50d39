/*
 * child.c - one process from a plan: cloned without copying memory, put in its group, stripped, executed
 *
 * Called by the spawner only, which has one thread and keeps every signal blocked with the default action; so the child
 * has no handler to reset and only empties the mask. The parent is suspended (CLONE_VFORK) until the child executes or
 * exits; with CLONE_VM its memory is used meanwhile, which saves copying page tables for each agent. Under a sanitizer,
 * and on a processor whose entry sequence we do not have, the memory is copied instead: slower, same result.
 *
 * What can fail: the clone (limits), the few calls before exec (reported as SETUP), exec itself.
 */
#include "runner/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/crash.h"
#include "runner/tree.h"

#define STACK_BYTES                                                                                                    \
    ((size_t)64 << 10) /* the child's frames are a few hundred bytes; the C library may want some pages */

/* In memory that both see, whether the rest is shared or copied. */
struct child_failure {
    volatile int step;
    volatile int os_errno;
};

struct child_entry {
    const struct child_plan *plan;
    struct child_failure *failure;
    pid_t parent;
    bool join; /* the clone could not put the child into its cgroup */
};

static _Noreturn void child_fail(struct child_failure *failure, enum child_step step)
{
    failure->os_errno = errno;
    failure->step = (int)step;
    _exit(127);
}

/* execve over the candidates; an unusable one is remembered as execvp does, so that EACCES wins over ENOENT. */
static void child_execute(const struct child_plan *plan)
{
    int kept = ENOENT;
    for (char *const *candidate = plan->candidates; *candidate != NULL; candidate++) {
        execve(*candidate, plan->argv, plan->environment);
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            return;
        if (errno == EACCES)
            kept = EACCES;
    }
    errno = kept;
}

static int join_cgroup(int cgroup_fd)
{
    int fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "0", 1) == 1 ? 0 : -1;
}

/* Raw calls: the C library would tell threads that are not there. What the parent's death means is forgotten with the uid. */
static int change_user(const struct child_entry *entry)
{
    const struct child_plan *plan = entry->plan;
    if (!plan->change_user)
        return 0;
    if (syscall(SYS_setgroups, 0, NULL) != 0 || syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid) != 0 ||
        syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid) != 0)
        return -1;
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == entry->parent ? 0 : -1;
}

/* Everything from 3 on closes, at once or with exec, but for what the plan keeps. */
static int close_others(const struct child_plan *plan)
{
    if (plan->keep_count == 0)
        return close_range(3, ~0U, 0);
    int result = close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    for (uint32_t i = 0; i < plan->keep_count && result == 0; i++)
        result = fcntl(plan->keep_fds[i], F_SETFD, 0);
    return result;
}

static int join_groups(const struct child_entry *entry)
{
    const struct child_plan *plan = entry->plan;
    if (entry->join && plan->cgroup_fd >= 0 && join_cgroup(plan->cgroup_fd) != 0)
        return -1;
    for (uint32_t i = 0; i < plan->join_count; i++)
        if (write(plan->join_fds[i], "0", 1) != 1)
            return -1;
    return 0;
}

/* Between clone and exec: system calls only. */
static int child_main(void *argument)
{
    struct child_entry *entry = argument;
    const struct child_plan *plan = entry->plan;
    sigset_t none;
    sigemptyset(&none);
    if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != entry->parent)
        child_fail(entry->failure, CHILD_STEP_SETUP);
    if (join_groups(entry) != 0)
        child_fail(entry->failure, CHILD_STEP_SETUP);
    if (fchdir(plan->directory_fd) != 0 || dup2(plan->input_fd, 0) < 0 || dup2(plan->output_fd, 1) < 0 ||
        dup2(plan->error_fd, 2) < 0 || setrlimit(RLIMIT_NOFILE, &plan->descriptors) != 0)
        child_fail(entry->failure, CHILD_STEP_SETUP);
    if (close_others(plan) != 0 || change_user(entry) != 0 || sigprocmask(SIG_SETMASK, &none, NULL) != 0)
        child_fail(entry->failure, CHILD_STEP_SETUP);
    child_execute(plan);
    child_fail(entry->failure, CHILD_STEP_EXECUTE);
}

/* --- the clone --- */

#if defined(__x86_64__) && !defined(MAYFLY_SANITIZED)
#define CHILD_SHARES_MEMORY 1
/*
 * The child gets registers as they are and the new stack: it must not return into a frame that is the parent's. Between the
 * clone and the call no register may be touched: the compiler chose where function and argument are.
 */
static long clone_onto(struct clone_args *arguments, int (*function)(void *), void *argument)
{
    long result;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "movq %[argument], %%rdi\n\t"
                     "callq *%[function]\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "0"((long)SYS_clone3), "D"(arguments),
                       "S"(sizeof *arguments), [function] "r"(function), [argument] "r"(argument)
                     : "rcx", "r11", "memory", "cc");
    return result;
}
#elif defined(__aarch64__) && !defined(MAYFLY_SANITIZED)
#define CHILD_SHARES_MEMORY 1
static long clone_onto(struct clone_args *arguments, int (*function)(void *), void *argument)
{
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)arguments;
    register long x1 __asm__("x1") = (long)sizeof *arguments;
    register long x9 __asm__("x9") = (long)function;
    register long x10 __asm__("x10") = (long)argument;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x0, x10\n\t"
                     "blr x9\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x9), "r"(x10)
                     : "memory", "cc");
    return x0;
}
#endif

/* The pid, or -1 with errno. */
static pid_t clone_child(struct clone_args *arguments, struct child_entry *entry)
{
#ifdef CHILD_SHARES_MEMORY
    static void *stack; /* made once; used by one child at a time, because the parent waits */
    if (stack == NULL) {
        stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED) {
            stack = NULL;
            return -1;
        }
    }
    arguments->flags |= CLONE_VM;
    arguments->stack = (uint64_t)(uintptr_t)stack;
    arguments->stack_size = STACK_BYTES;
    long pid = clone_onto(arguments, child_main, entry);
    if (pid < 0) {
        errno = (int)-pid;
        return -1;
    }
    return (pid_t)pid;
#else
    long pid = syscall(SYS_clone3, arguments, sizeof *arguments);
    if (pid == 0)
        child_main(entry);
    return (pid_t)pid;
#endif
}

/* For a kernel or a filter without clone3: copies memory, joins the cgroup before it executes. */
static pid_t clone_old(int *pidfd, struct child_entry *entry)
{
    entry->join = true;
    long pid = syscall(SYS_clone, CLONE_PIDFD | CLONE_VFORK | SIGCHLD, NULL, pidfd, NULL, NULL);
    if (pid == 0)
        child_main(entry);
    return (pid_t)pid;
}

static struct child_failure *shared_failure(void)
{
    static struct child_failure *page;
    if (page == NULL) {
        void *made = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        page = made == MAP_FAILED ? NULL : made;
    }
    return page;
}

/* --- birth: read from the clock on both sides of the clone, because reading /proc for it costs more than the clone's
 * own calls --- */

static int64_t boot_ticks(void)
{
    static int64_t per_second;
    if (per_second == 0)
        per_second = sysconf(_SC_CLK_TCK);
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * per_second + now.tv_nsec / (1000000000 / per_second);
}

static int64_t birth_of(pid_t pid, int64_t before, int64_t after)
{
    struct tree_process process;
    if (before != after && tree_read(pid, &process) == 0)
        return (int64_t)process.birth;
    return before;
}

int child_start(const struct child_plan *plan, struct child_started *out, enum child_step *step)
{
    struct child_failure *failure = shared_failure();
    *step = CHILD_STEP_CLONE;
    if (failure == NULL)
        return -1;
    failure->step = 0;
    struct child_entry entry = {.plan = plan, .failure = failure, .parent = getpid()};
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_PIDFD | CLONE_VFORK | CLONE_CLEAR_SIGHAND | (plan->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0ULL),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (unsigned long long)(plan->cgroup_fd >= 0 ? plan->cgroup_fd : 0),
    };
    int64_t before = boot_ticks();
    pid_t pid = clone_child(&arguments, &entry);
    if (pid < 0 && errno == ENOSYS)
        pid = clone_old(&pidfd, &entry);
    if (pid < 0)
        return -1;
    CRASH_POINT(9);
    int64_t after = boot_ticks();
    if (failure->step != 0) {
        waitpid(pid, NULL, 0);
        close(pidfd);
        *step = (enum child_step)failure->step;
        errno = failure->os_errno;
        return -1;
    }
    *out = (struct child_started){.pid = pid, .pidfd = pidfd, .birth = birth_of(pid, before, after)};
    return 0;
}
