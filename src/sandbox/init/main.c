/*
 * main.c - mayfly-init: pid 1 of a sandbox
 *
 *     mayfly-init PLAN_FD CONTROL_FD
 *
 * Started by bubblewrap when namespaces and mounts stand. It listens on the ports that were asked for and sends the
 * listening sockets out, so that the runner accepts in this network namespace and nothing has to be forwarded; starts the
 * agent in a session of its own with nothing but 0, 1 and 2 open; reaps whatever is orphaned; tells the exact end of the
 * main process; and leaves with it, at which the kernel kills all that is left here.
 *
 * It cannot be looked into from inside (not dumpable), ignores what the agent sends it but SIGTERM, which is the agent's
 * own harm, and leaves when the runner is gone. What can fail: a port, a limit, the execution; each is told with its errno.
 */
#include "sandbox/control.h"
#include "sandbox/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_SETUP 2 /* enum child_step of the runner */
#define STEP_EXECUTE 3
#define EXIT_FAILED 127
#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */
#define WORKING_DIRECTORY SANDBOX_ROOT "/ws"
#define PATH_BYTES_MAX 4096

struct init {
    int control_fd, signal_fd;
    struct sandbox_plan *plan; /* mapped; gone once the agent runs */
    char **argv, **environment;
    pid_t main_pid;
};

struct failure {
    int step, os_errno;
};

/* --- telling --- */

static void tell(const struct init *init, const struct sandbox_event *event, int fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {(void *)(uintptr_t)event, sizeof *event};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    while (sendmsg(init->control_fd, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            _exit(EXIT_FAILED); /* nobody listens: the runner is gone */
}

static _Noreturn void fail(const struct init *init, int step, int os_errno)
{
    tell(init, &(struct sandbox_event){.kind = SANDBOX_FAILED, .value = os_errno, .step = (uint32_t)step}, -1);
    _exit(EXIT_FAILED);
}

/* --- the plan --- */

/* The strings behind the head as argv and environment; -1 when they are not all there. */
static int index_strings(struct init *init)
{
    struct sandbox_plan *plan = init->plan;
    uint64_t count = (uint64_t)plan->argc + plan->environment_count;
    if (count > plan->bytes || plan->argc == 0)
        return -1;
    char **pointers =
        mmap(NULL, (count + 2) * sizeof *pointers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pointers == MAP_FAILED)
        return -1;
    init->argv = pointers;
    char *at = (char *)(plan + 1), *end = (char *)plan + plan->bytes;
    for (uint64_t i = 0; i < count; i++) {
        char *nul = memchr(at, '\0', (size_t)(end - at));
        if (nul == NULL)
            return -1;
        if (i == plan->argc) {
            *pointers++ = NULL;
            init->environment = pointers;
        }
        *pointers++ = at;
        at = nul + 1;
    }
    if (plan->environment_count == 0) {
        *pointers++ = NULL;
        init->environment = pointers;
    }
    *pointers = NULL;
    return 0;
}

static int read_plan(struct init *init, int plan_fd)
{
    struct stat about;
    if (fstat(plan_fd, &about) != 0 || (size_t)about.st_size < sizeof *init->plan)
        return -1;
    size_t bytes = (size_t)about.st_size;
    init->plan = mmap(NULL, bytes, PROT_READ, MAP_SHARED, plan_fd, 0);
    close(plan_fd);
    if (init->plan == MAP_FAILED || init->plan->magic != SANDBOX_PLAN_MAGIC || init->plan->bytes != bytes ||
        init->plan->port_count > SANDBOX_PORTS_MAX)
        return -1;
    return index_strings(init);
}

/* --- ports --- */

static void listen_on(const struct init *init, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0)
        fail(init, STEP_SETUP, errno);
    tell(init, &(struct sandbox_event){.kind = SANDBOX_LISTENING, .value = port}, fd);
    close(fd);
}

/* --- the agent --- */

/* As execvp, with the agent's PATH; an entry that cannot be used is remembered, so that EACCES wins over ENOENT. */
static int execute(char **argv, char **environment)
{
    const char *path = "/usr/bin:/bin";
    char file[PATH_BYTES_MAX];
    size_t name_bytes = strlen(argv[0]) + 1;
    int kept = ENOENT;
    if (strchr(argv[0], '/') != NULL) {
        execve(argv[0], argv, environment);
        return errno;
    }
    for (char **entry = environment; *entry != NULL; entry++)
        if (strncmp(*entry, "PATH=", 5) == 0)
            path = *entry + 5;
    while (*path != '\0') {
        size_t length = strcspn(path, ":");
        if (length > 0 && length + 1 + name_bytes <= sizeof file) { /* an empty entry would mean the workspace: never */
            memcpy(file, path, length);
            file[length] = '/';
            memcpy(file + length + 1, argv[0], name_bytes);
            execve(file, argv, environment);
            if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
                return errno;
            kept = errno == EACCES ? EACCES : kept;
        }
        path += length + (path[length] == ':');
    }
    return kept;
}

static _Noreturn void agent_main(const struct init *init, int report_fd)
{
    struct failure failure = {STEP_SETUP, 0};
    struct rlimit processes = {init->plan->pids, init->plan->pids};
    sigset_t none;
    sigemptyset(&none);
    bool ready = setsid() >= 0 && setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0 &&
                 (init->plan->pids == 0 || setrlimit(RLIMIT_NPROC, &processes) == 0) && chdir(WORKING_DIRECTORY) == 0 &&
                 close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0;
    if (ready) {
        failure.step = STEP_EXECUTE;
        errno = execute(init->argv, init->environment);
    }
    failure.os_errno = errno;
    if (write(report_fd, &failure, sizeof failure) != (ssize_t)sizeof failure)
        _exit(EXIT_FAILED);
    _exit(EXIT_FAILED);
}

static void start_agent(struct init *init)
{
    int report[2];
    struct failure failure;
    if (pipe2(report, O_CLOEXEC) != 0)
        fail(init, STEP_SETUP, errno);
    init->main_pid = fork();
    if (init->main_pid < 0)
        fail(init, STEP_SETUP, errno);
    if (init->main_pid == 0)
        agent_main(init, report[1]);
    close(report[1]);
    ssize_t got = read(report[0], &failure, sizeof failure);
    close(report[0]);
    if (got == (ssize_t)sizeof failure)
        fail(init, failure.step, failure.os_errno);
    munmap(init->plan, init->plan->bytes);
    init->plan = NULL;
    tell(init, &(struct sandbox_event){.kind = SANDBOX_STARTED}, -1);
}

/* The agent's streams are its own: who waits for their end must not wait for us. */
static void leave_streams(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++)
        if (fd >= 0)
            dup2(fd, i);
        else
            close(i);
    if (fd > 2)
        close(fd);
}

/* --- the watch --- */

static void terminate_all(void)
{
    kill(-1, SIGTERM);
    kill(-1, SIGCONT); /* a stopped one is to hear it */
}

static int64_t microseconds(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static _Noreturn void leave_with_main(const struct init *init, int status, const struct rusage *usage)
{
    struct sandbox_event event = {
        .kind = SANDBOX_EXITED,
        .value = status,
        .user_us = microseconds(usage->ru_utime),
        .system_us = microseconds(usage->ru_stime),
        .rss_bytes_max = (int64_t)usage->ru_maxrss * 1024,
    };
    tell(init, &event, -1);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void reap(const struct init *init)
{
    struct rusage usage;
    int status;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
        if (pid == init->main_pid)
            leave_with_main(init, status, &usage);
}

static void hear(const struct init *init)
{
    char told[16];
    ssize_t got = recv(init->control_fd, told, sizeof told, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        _exit(EXIT_FAILED); /* the runner is gone */
    if (got > 0 && told[0] == SANDBOX_TELL_TERMINATE)
        terminate_all();
}

static _Noreturn void watch(const struct init *init)
{
    for (;;) {
        struct pollfd watched[2] = {{init->signal_fd, POLLIN, 0}, {init->control_fd, POLLIN, 0}};
        struct signalfd_siginfo caught;
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            _exit(EXIT_FAILED);
        while (read(init->signal_fd, &caught, sizeof caught) == (ssize_t)sizeof caught)
            if (caught.ssi_signo == SIGTERM)
                terminate_all();
        reap(init);
        if (watched[1].revents != 0)
            hear(init);
    }
}

/* --- start --- */

static int take_signals(struct init *init)
{
    sigset_t all, watched;
    sigfillset(&all);
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    init->signal_fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    return init->signal_fd >= 0 ? sigprocmask(SIG_SETMASK, &all, NULL) : -1;
}

static int descriptor_of(const char *text)
{
    int fd = 0;
    for (; *text >= '0' && *text <= '9' && fd < 1000000; text++)
        fd = fd * 10 + (*text - '0');
    return *text == '\0' ? fd : -1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return EXIT_FAILED;
    int plan_fd = descriptor_of(argv[1]);
    struct init init = {.control_fd = descriptor_of(argv[2]), .signal_fd = -1};
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NAME, "mayfly-init");
    if (plan_fd < 3 || init.control_fd < 3 || fcntl(init.control_fd, F_SETFD, FD_CLOEXEC) != 0)
        return EXIT_FAILED;
    if (take_signals(&init) != 0 || read_plan(&init, plan_fd) != 0)
        fail(&init, STEP_SETUP, errno != 0 ? errno : EINVAL);
    for (uint32_t i = 0; i < init.plan->port_count; i++)
        listen_on(&init, init.plan->ports[i]);
    start_agent(&init);
    leave_streams();
    watch(&init);
}
