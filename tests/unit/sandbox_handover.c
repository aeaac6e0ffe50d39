/* sandbox_handover.c - trees change owners; links, second names and what was shut are not followed or forgotten */
#include "sandbox/sandbox.h"

#include "sandbox/control.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define OTHER 65534

static int tree; /* the directory of the test */

static uid_t owner(const char *name)
{
    struct stat about;
    assert_int_equal(fstatat(tree, name, &about, AT_SYMLINK_NOFOLLOW), 0);
    return about.st_uid;
}

static void make_file(const char *name, mode_t mode)
{
    int fd = openat(tree, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void a_tree_is_handed_over_and_back(void **state)
{
    (void)state;
    struct stat about;
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdirat(tree, "given", 0700), 0);
    assert_int_equal(mkdirat(tree, "given/deep", 0), 0);
    assert_int_equal(mkdirat(tree, "given/deep/er", 0700), 0);
    make_file("outside", 0600);
    make_file("given/file", 0600);
    make_file("given/deep/er/file", 04755);
    assert_int_equal(symlinkat("../outside", tree, "given/link"), 0);
    assert_int_equal(linkat(tree, "outside", tree, "given/second-name", 0), 0);
    assert_int_equal(mknodat(tree, "given/fifo", S_IFIFO | 0600, 0), 0);
    int fd = openat(tree, "given", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(sandbox_hand_over(fd, OTHER, OTHER), 0);
    static const char *const handed[] = {
        "given", "given/file", "given/deep", "given/deep/er", "given/deep/er/file", "given/link", "given/fifo"};
    for (size_t i = 0; i < sizeof handed / sizeof handed[0]; i++)
        assert_int_equal(owner(handed[i]), OTHER);
    assert_int_equal(owner("outside"), 0);
    assert_int_equal(fstatat(tree, "given/deep/er/file", &about, 0), 0);
    assert_int_equal(about.st_mode & 07777, 0755); /* nobody's rights for everybody else */
    assert_int_equal(sandbox_hand_over(fd, 0, 0), 0);
    for (size_t i = 0; i < sizeof handed / sizeof handed[0]; i++)
        assert_int_equal(owner(handed[i]), 0);
    close(fd);
}

static void too_deep_is_refused(void **state)
{
    (void)state;
    int at = dup(tree);
    for (int i = 0; i < 230; i++) {
        assert_int_equal(mkdirat(at, "d", 0700), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    assert_int_equal(sandbox_hand_over(tree, geteuid(), getegid()), -1);
}

/* --- the control socket --- */

static void send_event(int fd, const struct sandbox_event *event, size_t bytes, int with)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {(void *)(uintptr_t)event, bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (with >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof with);
        memcpy(CMSG_DATA(header), &with, sizeof with);
    }
    assert_int_equal(sendmsg(fd, &message, 0), (ssize_t)bytes);
}

static void events_are_read_whole(void **state)
{
    (void)state;
    int ends[2], fd;
    struct sandbox_event event, started = {.kind = SANDBOX_STARTED},
                                listening = {.kind = SANDBOX_LISTENING, .value = 8787};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(sandbox_control_read(ends[0], &event, &fd), 0);
    send_event(ends[1], &listening, sizeof listening, ends[1]);
    send_event(ends[1], &started, sizeof started, -1);
    assert_int_equal(sandbox_control_read(ends[0], &event, &fd), 1);
    assert_true(event.kind == SANDBOX_LISTENING && event.value == 8787 && fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
    assert_int_equal(sandbox_control_read(ends[0], &event, &fd), 1);
    assert_true(event.kind == SANDBOX_STARTED && fd == -1);
    /* short, without its descriptor, with one too many: the other end is not what it should be */
    send_event(ends[1], &started, 8, -1);
    assert_int_equal(sandbox_control_read(ends[0], &event, &fd), -1);
    send_event(ends[1], &listening, sizeof listening, -1);
    assert_int_equal(sandbox_control_read(ends[0], &event, &fd), -1);
    send_event(ends[1], &started, sizeof started, ends[1]);
    assert_int_equal(sandbox_control_read(ends[0], &event, &fd), -1);
    assert_int_equal(fd, -1);
    char told;
    assert_int_equal(sandbox_control_terminate(ends[0]), 0);
    assert_int_equal(recv(ends[1], &told, 1, 0), 1);
    assert_int_equal(told, SANDBOX_TELL_TERMINATE);
    close(ends[1]);
    assert_int_equal(sandbox_control_read(ends[0], &event, &fd), -1);
    assert_int_equal(sandbox_control_terminate(ends[0]), -1);
    close(ends[0]);
}

static int open_tree_of_test(void **state)
{
    static char path[32];
    snprintf(path, sizeof path, "/tmp/mayfly-hand-XXXXXX");
    *state = path;
    tree = mkdtemp(path) != NULL ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return tree < 0;
}

static int remove_tree(void **state)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", (char *)*state);
    close(tree);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tree_is_handed_over_and_back, open_tree_of_test, remove_tree),
        cmocka_unit_test_setup_teardown(too_deep_is_refused, open_tree_of_test, remove_tree),
        cmocka_unit_test(events_are_read_whole),
    };
    return cmocka_run_group_tests_name("sandbox_handover", tests, NULL, NULL);
}
