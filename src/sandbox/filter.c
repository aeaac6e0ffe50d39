/* filter.c - the seccomp filter: one table of system calls, compiled by libseccomp, with a ceiling in front */
#include "sandbox/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Calls from this number on were not known when the table was written; programs are used to ENOSYS for new ones. The
 * numbers above 423 are the same on every processor.
 */
#define CEILING 463u
#define STATMOUNT 457
#define LISTMOUNT 458

/* Refused as a whole. */
#define DENIED(X)                                                                                                      \
    /* into other processes */                                                                                         \
    X(ptrace, EPERM)                                                                                                   \
    X(process_vm_readv, EPERM)                                                                                         \
    X(process_vm_writev, EPERM)                                                                                        \
    X(process_madvise, EPERM)                                                                                          \
    X(pidfd_getfd, EPERM)                                                                                              \
    X(kcmp, EPERM)                                                                                                     \
    X(move_pages, EPERM)                                                                                               \
    X(migrate_pages, EPERM)                                                                                            \
    /* into the kernel: large, young or rarely used by anybody else */                                                 \
    X(bpf, EPERM)                                                                                                      \
    X(userfaultfd, EPERM)                                                                                              \
    X(perf_event_open, EPERM)                                                                                          \
    X(fanotify_init, EPERM)                                                                                            \
    X(io_uring_setup, ENOSYS)                                                                                          \
    X(io_uring_enter, ENOSYS)                                                                                          \
    X(io_uring_register, ENOSYS)                                                                                       \
    X(lookup_dcookie, EPERM)                                                                                           \
    X(nfsservctl, EPERM)                                                                                               \
    X(uselib, EPERM)                                                                                                   \
    X(_sysctl, EPERM)                                                                                                  \
    X(modify_ldt, EPERM)                                                                                               \
    X(vm86, EPERM)                                                                                                     \
    X(vm86old, EPERM)                                                                                                  \
    X(syslog, EPERM)                                                                                                   \
    X(quotactl, EPERM)                                                                                                 \
    X(quotactl_fd, EPERM)                                                                                              \
    /* keys outlive the sandbox: the session keyring is the user's */                                                  \
    X(keyctl, EPERM)                                                                                                   \
    X(add_key, EPERM)                                                                                                  \
    X(request_key, EPERM)                                                                                              \
    /* mounts, roots, namespaces, files by handle */                                                                   \
    X(mount, EPERM)                                                                                                    \
    X(umount, EPERM)                                                                                                   \
    X(umount2, EPERM)                                                                                                  \
    X(pivot_root, EPERM)                                                                                               \
    X(chroot, EPERM)                                                                                                   \
    X(open_tree, EPERM)                                                                                                \
    X(move_mount, EPERM)                                                                                               \
    X(fsopen, EPERM)                                                                                                   \
    X(fsconfig, EPERM)                                                                                                 \
    X(fsmount, EPERM)                                                                                                  \
    X(fspick, EPERM)                                                                                                   \
    X(mount_setattr, EPERM)                                                                                            \
    X(unshare, EPERM)                                                                                                  \
    X(setns, EPERM)                                                                                                    \
    X(open_by_handle_at, EPERM)                                                                                        \
    X(clone3, ENOSYS) /* its flags are behind a pointer; the C library falls back to clone */                          \
    /* the machine */                                                                                                  \
    X(kexec_load, EPERM)                                                                                               \
    X(kexec_file_load, EPERM)                                                                                          \
    X(init_module, EPERM)                                                                                              \
    X(finit_module, EPERM)                                                                                             \
    X(delete_module, EPERM)                                                                                            \
    X(create_module, EPERM)                                                                                            \
    X(get_kernel_syms, EPERM)                                                                                          \
    X(query_module, EPERM)                                                                                             \
    X(reboot, EPERM)                                                                                                   \
    X(swapon, EPERM)                                                                                                   \
    X(swapoff, EPERM)                                                                                                  \
    X(acct, EPERM)                                                                                                     \
    X(iopl, EPERM)                                                                                                     \
    X(ioperm, EPERM)                                                                                                   \
    X(vhangup, EPERM)                                                                                                  \
    X(sethostname, EPERM)                                                                                              \
    X(setdomainname, EPERM)                                                                                            \
    X(settimeofday, EPERM)                                                                                             \
    X(clock_settime, EPERM)

static const struct {
    int call;
    int os_errno;
} denied[] = {
#define X(name, os_errno) {SCMP_SYS(name), os_errno},
    DENIED(X)
#undef X
        {STATMOUNT, EPERM},
    {LISTMOUNT, EPERM},
};

/* A call refused by one of its arguments: (argument & mask) == value, 32 bits where the kernel reads 32. */
static const struct {
    int call;
    unsigned argument;
    uint64_t mask, value;
} denied_with[] = {
#define ALL_BITS 0xffffffffull
    {SCMP_SYS(ioctl), 1, ALL_BITS, TIOCSTI},
    {SCMP_SYS(ioctl), 1, ALL_BITS, TIOCLINUX},
    {SCMP_SYS(clone), 0, CLONE_NEWUSER, CLONE_NEWUSER},
    {SCMP_SYS(clone), 0, CLONE_NEWNS, CLONE_NEWNS},
    {SCMP_SYS(clone), 0, CLONE_NEWPID, CLONE_NEWPID},
    {SCMP_SYS(clone), 0, CLONE_NEWNET, CLONE_NEWNET},
    {SCMP_SYS(clone), 0, CLONE_NEWIPC, CLONE_NEWIPC},
    {SCMP_SYS(clone), 0, CLONE_NEWUTS, CLONE_NEWUTS},
    {SCMP_SYS(clone), 0, CLONE_NEWCGROUP, CLONE_NEWCGROUP},
};

/* What socket() and socketpair() may make; nothing else: not NETLINK, VSOCK, PACKET, ALG, nor what comes next. */
static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6};

static bool family_allowed(unsigned family)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i] == family)
            return true;
    return false;
}

/* Returns 0 or a negative errno, as libseccomp does. */
static int deny_families(scmp_filter_ctx filter, int call)
{
    unsigned highest = 0;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        highest = families[i] > highest ? families[i] : highest;
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 1, SCMP_A0(SCMP_CMP_GT, highest));
    for (unsigned family = 0; family < highest && result == 0; family++)
        if (!family_allowed(family))
            result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 1, SCMP_A0(SCMP_CMP_EQ, family));
    return result;
}

static int add_rules(scmp_filter_ctx filter)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (result == 0)
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE,
                         2); /* a tree instead of a chain; an older library has none */
    for (size_t i = 0; i < sizeof denied / sizeof denied[0] && result == 0; i++)
        if (denied[i].call != __NR_SCMP_ERROR)
            result = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint16_t)denied[i].os_errno), denied[i].call, 0);
    for (size_t i = 0; i < sizeof denied_with / sizeof denied_with[0] && result == 0; i++)
        result = seccomp_rule_add(
            filter, SCMP_ACT_ERRNO(EPERM), denied_with[i].call, 1,
            SCMP_CMP(denied_with[i].argument, SCMP_CMP_MASKED_EQ, denied_with[i].mask, denied_with[i].value));
    if (result == 0)
        result = deny_families(filter, SCMP_SYS(socket));
    return result == 0 ? deny_families(filter, SCMP_SYS(socketpair)) : result;
}

/* Three instructions that stand in front of what libseccomp makes; its own jumps are relative. */
static int write_ceiling(int fd)
{
    static const struct sock_filter ceiling[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0 /* offsetof(struct seccomp_data, nr) */),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CEILING, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS)),
    };
    return write(fd, ceiling, sizeof ceiling) == (ssize_t)sizeof ceiling ? 0 : -errno;
}

int filter_make(struct mf_error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int fd = memfd_create("mayfly-filter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int result = filter == NULL ? -ENOMEM : fd < 0 ? -errno : add_rules(filter);
    if (result == 0)
        result = write_ceiling(fd);
    if (result == 0)
        result = seccomp_export_bpf(filter, fd);
    if (result == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        result = -errno;
    if (filter != NULL)
        seccomp_release(filter);
    if (result == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return mf_fail_os(error, -result, "sandbox: cannot make its system call filter");
}
