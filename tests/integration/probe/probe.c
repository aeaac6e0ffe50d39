/*
 * probe.c - run inside a sandbox: tries what an agent must not be able to do and prints one line for each try
 *
 *     probe calls | places HOST_DIRECTORY | network PORT ABSTRACT_NAME SOCKET_PATH | descriptors | rights
 *
 * A line is "what: ERRNO" or "what: done" or what was found. The test compares the table with a file, so a hole shows as
 * "done" where an errno is wanted. Built without sanitizers: they want calls that the sandbox refuses.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result)
{
    int os_errno = errno;
    const char *name = result >= 0 ? "done" : strerrorname_np(os_errno);
    printf("%s: %s\n", what, name != NULL ? name : "an unknown errno");
}

/* --- calls: case 97 --- */

#if defined(__x86_64__)
/* A call of the i386 table: getpid. */
static long call_i386(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(20L) : "memory", "cc", "r8", "r9", "r10", "r11");
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return result;
}
#endif

static long clone_flags(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return pid;
}

static void try_calls(void)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    struct perf_event_attr perf = {.size = sizeof perf};
    struct io_uring_params ring = {0};
    struct {
        unsigned bytes, type;
        int mount_fd;
        char handle[8];
    } handle = {8, 1, 0, {0}};
    tell("ptrace(TRACEME)", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    tell("ptrace(ATTACH)", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
    tell("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), &here, 1, &there, 1, 0));
    tell("process_vm_writev", syscall(SYS_process_vm_writev, getpid(), &here, 1, &there, 1, 0));
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    tell("pidfd_getfd", syscall(SYS_pidfd_getfd, pidfd, 0, 0));
    tell("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
    tell("io_uring_setup", syscall(SYS_io_uring_setup, 1, &ring));
    tell("bpf", syscall(SYS_bpf, 0, NULL, 0));
    tell("userfaultfd", syscall(SYS_userfaultfd, 1 /* USER_MODE_ONLY */));
    tell("perf_event_open", syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0));
    tell("fanotify_init", syscall(SYS_fanotify_init, 0, 0));
    tell("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    tell("add_key", syscall(SYS_add_key, "user", "name", "x", 1, -3));
    tell("request_key", syscall(SYS_request_key, "user", "name", NULL, -3));
    tell("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    tell("umount", umount2("/tmp", 0));
    tell("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    tell("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 0));
    tell("move_mount", syscall(SYS_move_mount, -1, "", -1, "", 0));
    tell("mount_setattr", syscall(SYS_mount_setattr, -1, "", 0, NULL, 0));
    tell("pivot_root", syscall(SYS_pivot_root, ".", "."));
    tell("chroot", chroot("/tmp"));
    tell("unshare(NEWUSER)", unshare(CLONE_NEWUSER));
    tell("unshare(NEWNS)", unshare(CLONE_NEWNS));
    tell("unshare(FILES)", unshare(CLONE_FILES));
    tell("setns", syscall(SYS_setns, pidfd, CLONE_NEWNET));
    tell("clone(NEWUSER)", clone_flags(CLONE_NEWUSER));
    tell("clone(NEWNET)", clone_flags(CLONE_NEWNET));
    tell("clone", clone_flags(0));
    tell("clone3", syscall(SYS_clone3, NULL, 0));
    tell("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY));
    tell("statmount", syscall(457, NULL, NULL, 0, 0));
    tell("a call of tomorrow", syscall(9999));
    tell("init_module", syscall(SYS_init_module, NULL, 0, ""));
    tell("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    tell("syslog", syscall(SYS_syslog, 3, &byte, 1));
    tell("ioctl(TIOCSTI)", ioctl(0, TIOCSTI, &byte));
    tell("ioctl(TIOCSTI with high bits)", syscall(SYS_ioctl, 0, TIOCSTI | 0xff00000000ul, &byte));
    tell("ioctl(TIOCLINUX)", ioctl(0, TIOCLINUX, &byte));
    tell("socket(UNIX)", socket(AF_UNIX, SOCK_STREAM, 0));
    tell("socket(INET)", socket(AF_INET, SOCK_STREAM, 0));
    tell("socket(INET, RAW)", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    tell("socket(NETLINK)", socket(AF_NETLINK, SOCK_RAW, 0));
    tell("socket(PACKET)", socket(AF_PACKET, SOCK_RAW, 0));
    tell("socket(ALG)", socket(AF_ALG, SOCK_SEQPACKET, 0));
    tell("socket(VSOCK)", socket(AF_VSOCK, SOCK_STREAM, 0));
    tell("socket(KEY)", socket(AF_KEY, SOCK_RAW, 2));
    tell("socket(XDP)", socket(AF_XDP, SOCK_RAW, 0));
    tell("socket(NETLINK with high bits)", syscall(SYS_socket, AF_NETLINK | 0x100000000ul, SOCK_RAW, 0));
#if defined(__x86_64__)
    tell("i386 getpid", call_i386());
    tell("x32 getpid", syscall(0x40000000 | SYS_getpid));
#endif
}

/* --- places: case 96 --- */

/* Whether a place is not there or closed depends on the host. */
static void try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600);
    bool refused = fd < 0 && (errno == ENOENT || errno == EACCES || errno == EPERM || errno == EROFS);
    printf("%s %s: %s\n", (flags & O_ACCMODE) == O_RDONLY ? "read" : "write", path,
           fd >= 0   ? "done"
           : refused ? "refused"
                     : strerrorname_np(errno));
    if (fd >= 0)
        close(fd);
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static void list(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, by_name);
    printf("%s:", path);
    for (int i = 0; i < count; i++)
        if (entries[i]->d_name[0] != '.')
            printf(" %s", entries[i]->d_name);
    printf("%s\n", count < 0 ? " cannot be listed" : "");
}

/* The names of all processes that are seen. */
static void list_processes(void)
{
    printf("processes:");
    for (int pid = 1; pid < 1000; pid++) {
        char path[40], name[40] = "";
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (read(fd, name, sizeof name - 1) > 0)
            printf(" %.*s", (int)strcspn(name, "\n"), name);
        close(fd);
    }
    printf("\n");
}

static void try_places(const char *host_directory)
{
    static const char *const readable[] = {"/root",
                                           "/root/.ssh",
                                           "/home",
                                           "/var",
                                           "/opt",
                                           "/sys",
                                           "/boot",
                                           "/etc/shadow",
                                           "/etc/ssl/private",
                                           "/etc/hosts",
                                           "/etc/ssl/certs",
                                           "/proc/1/environ",
                                           "/proc/1/mem",
                                           "/proc/1/maps",
                                           "/proc/1/fd",
                                           "/proc/1/root",
                                           "/proc/1/cwd",
                                           "/proc/1/exe",
                                           "/proc/kcore",
                                           "/proc/kmsg",
                                           "/dev/mem",
                                           "/dev/kmsg",
                                           "/dev/sda",
                                           "/dev/vda",
                                           "/dev/kvm",
                                           "/dev/fuse",
                                           "/run/docker.sock",
                                           "/var/run/docker.sock",
                                           "/run/containerd",
                                           "/run/user",
                                           "/run/dbus"};
    static const char *const writable[] = {"/new",
                                           "/etc/passwd",
                                           "/usr/new",
                                           "/usr/bin/env",
                                           "/dev/new",
                                           "/proc/sysrq-trigger",
                                           "/proc/sys/kernel/core_pattern",
                                           "/proc/sys/vm/overcommit_memory",
                                           "/proc/sys/user/max_user_namespaces",
                                           "/proc/1/oom_score_adj",
                                           "/mayfly/in/new",
                                           "/mayfly/new",
                                           "/mayfly/ws/new",
                                           "/mayfly/home/new",
                                           "/tmp/new",
                                           "/run/new",
                                           "/dev/shm/new"};
    char path[4200];
    for (size_t i = 0; i < sizeof readable / sizeof readable[0]; i++)
        try_open(readable[i], O_RDONLY);
    for (size_t i = 0; i < sizeof writable / sizeof writable[0]; i++)
        try_open(writable[i], access(writable[i], F_OK) == 0 ? O_WRONLY : O_WRONLY | O_CREAT);
    errno = 0;
    printf("state of the host: %s\n", access(host_directory, F_OK) == 0 ? "is seen" : strerrorname_np(errno));
    snprintf(path, sizeof path, "/proc/self/root/..%s", host_directory);
    errno = 0;
    printf("state above the root: %s\n", access(path, F_OK) == 0 ? "is seen" : strerrorname_np(errno));
    list("/mayfly");
    list("/dev/shm");
    list_processes();
}

/* --- network: case 98 --- */

static void try_inet(const char *what, const char *address, uint16_t port, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    long result = connect(fd, (struct sockaddr *)&to, sizeof to);
    if (result == 0 && type == SOCK_DGRAM)
        result = send(fd, "x", 1, 0);
    tell(what, result);
    close(fd);
}

static void try_unix(const char *what, const char *name, int abstract, int type)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path + abstract, sizeof to.sun_path - 1, "%s", name);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    long result = type == SOCK_DGRAM ? sendto(fd, "x", 1, 0, (struct sockaddr *)&to, bytes)
                                     : connect(fd, (struct sockaddr *)&to, bytes);
    tell(what, result);
    close(fd);
}

static void try_network(const char *port, const char *abstract, const char *socket_path)
{
    struct sockaddr_in6 own6 = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)strtoul(port, NULL, 10)), .sin6_addr = in6addr_loopback};
    try_inet("the host's 127.0.0.1", "127.0.0.1", (uint16_t)strtoul(port, NULL, 10), SOCK_STREAM);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tell("the host's ::1", connect(fd, (struct sockaddr *)&own6, sizeof own6));
    close(fd);
    try_inet("a neighbour", "10.0.0.1", 80, SOCK_STREAM);
    try_inet("the link's metadata", "169.254.169.254", 80, SOCK_STREAM);
    try_inet("a name server", "1.1.1.1", 53, SOCK_DGRAM);
    try_unix("an abstract socket", abstract, 1, SOCK_STREAM);
    try_unix("an abstract datagram", abstract, 1, SOCK_DGRAM);
    try_unix("a socket by its path", socket_path, 0, SOCK_STREAM);
    try_unix("a datagram by its path", socket_path, 0, SOCK_DGRAM);
    FILE *devices = fopen("/proc/net/dev", "re");
    char line[512];
    printf("devices:");
    while (devices != NULL && fgets(line, sizeof line, devices) != NULL)
        if (strchr(line, ':') != NULL)
            printf(" %.*s", (int)strcspn(line + strspn(line, " "), ":"), line + strspn(line, " "));
    printf("\n");
    if (devices != NULL)
        fclose(devices);
}

/* --- descriptors: case 99 --- */

static void show_descriptors(void)
{
    char target[4200];
    printf("descriptors:");
    for (int fd = 0; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf(" %d", fd);
    printf("\n");
    for (int i = 0; i < 2; i++) {
        ssize_t length = readlink(i == 0 ? "/proc/self/cwd" : "/proc/self/root", target, sizeof target);
        printf("%s: %.*s\n", i == 0 ? "cwd" : "root", (int)length, target);
    }
}

/* --- rights: case 102 --- */

static void show_status(void)
{
    static const char *const wanted[] = {"Uid:",    "Gid:",        "CapInh:",  "CapPrm:", "CapEff:", "CapBnd:",
                                         "CapAmb:", "NoNewPrivs:", "Seccomp:", "SigBlk:", "SigIgn:"};
    char line[512];
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
                fputs(line, stdout);
    if (status != NULL)
        fclose(status);
}

static void run(const char *path, char *const argv[])
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execv(path, argv);
        tell(path, -1);
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void copy_self_to(int fd)
{
    char bytes[65536];
    ssize_t got;
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    while ((got = read(self, bytes, sizeof bytes)) > 0)
        if (write(fd, bytes, (size_t)got) != got)
            exit(1);
    close(self);
}

static void try_rights(void)
{
    char path[40];
    show_status();
    int fd = open("setuid", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    copy_self_to(fd);
    tell("chmod(setuid)", fchmod(fd, 06755));
    close(fd);
    printf("a setuid program: ");
    run("./setuid", (char *[]){"setuid", "ids", NULL});
    int memory = memfd_create("program", 0);
    copy_self_to(memory);
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    printf("a program in memory: ");
    run(path, (char *[]){"memory", "ids", NULL});
    tell("rewrite /proc/self/exe", open("/proc/self/exe", O_WRONLY | O_CLOEXEC));
    tell("chown to another", chown("setuid", 0, 0));
    tell("setuid(0)", setuid(0));
    tell("setgroups", syscall(SYS_setgroups, 0, NULL));
    tell("mknod", mknod("device", S_IFCHR | 0600, 0x103));
    tell("kill(1, KILL)", kill(1, SIGKILL));
    tell("nice(-5)", nice(-5));
    tell("core limit", syscall(SYS_prlimit64, 0, 4 /* RLIMIT_CORE */, (uint64_t[]){1, 1}, NULL));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "ids") == 0)
        printf("%d %d %d %d\n", (int)getuid(), (int)geteuid(), (int)getgid(), (int)getegid());
    else if (strcmp(what, "calls") == 0)
        try_calls();
    else if (strcmp(what, "places") == 0 && argc > 2)
        try_places(argv[2]);
    else if (strcmp(what, "network") == 0 && argc > 4)
        try_network(argv[2], argv[3], argv[4]);
    else if (strcmp(what, "descriptors") == 0)
        show_descriptors();
    else if (strcmp(what, "rights") == 0)
        try_rights();
    else
        return 2;
    return 0;
}
