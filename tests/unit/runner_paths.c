/* runner_paths.c - directories by descriptor: deep trees, shut directories, links, and what stays beneath */
#include "runner/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char path[64];
    int fd;
};

static int open_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    strcpy(place->path, "/tmp/mayfly-paths-XXXXXX");
    if (place == NULL || mkdtemp(place->path) == NULL)
        return -1;
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return place->fd < 0;
}

static int close_place(void **state)
{
    struct place *place = *state;
    paths_empty(place->fd);
    close(place->fd);
    int result = rmdir(place->path);
    free(place);
    return result;
}

static void a_very_deep_tree_goes(void **state)
{
    struct place *place = *state;
    int at = dup(place->fd);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(at, "d", 0700), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
        close(openat(next, "f", O_CREAT | O_WRONLY, 0600));
        close(at);
        at = next;
    }
    close(at);
    assert_int_equal(paths_empty(place->fd), 0);
    assert_int_equal(openat(place->fd, "d", O_RDONLY), -1);
}

static void links_are_removed_not_followed(void **state)
{
    struct place *place = *state;
    char outside[] = "/tmp/mayfly-outside-XXXXXX", file[64];
    assert_non_null(mkdtemp(outside));
    snprintf(file, sizeof file, "%s/kept", outside);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(symlinkat(outside, place->fd, "link"), 0);
    assert_int_equal(mkdirat(place->fd, "shut", 0700), 0);
    assert_int_equal(mkdirat(place->fd, "shut/inner", 0000), 0);
    assert_int_equal(fchmodat(place->fd, "shut", 0000, 0), 0);
    assert_int_equal(mkfifoat(place->fd, "fifo", 0000), 0);
    assert_int_equal(paths_empty(place->fd), 0);
    assert_int_equal(access(file, F_OK), 0);
    unlink(file);
    rmdir(outside);
}

static void nothing_leaves_what_it_is_beneath(void **state)
{
    struct place *place = *state;
    close(paths_make(place->fd, "a/b"));
    assert_int_equal(symlinkat("/etc", place->fd, "a/out"), 0);
    assert_int_equal(symlinkat("b", place->fd, "a/in"), 0);
    static const char *const refused[] = {"../etc", "/etc", "a/../../etc", "a/out", "a/out/passwd", "a/in"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_int_equal(paths_open_beneath(place->fd, refused[i], O_RDONLY, false), -1);
    int fd = paths_open_beneath(place->fd, "a/b", O_RDONLY, true);
    assert_true(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
}

static void making_follows_no_link(void **state)
{
    struct place *place = *state;
    assert_int_equal(symlinkat("/tmp", place->fd, "task"), 0);
    assert_int_equal(paths_make_attempt(place->fd, "task", 1), -1);
    int fd = paths_make_attempt(place->fd, "other/key", 12);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(faccessat(place->fd, "other/key/12", F_OK, 0), 0);
    assert_int_equal(paths_write_file(place->fd, "file", "abc", 3), 0);
    assert_int_equal(paths_write_file(place->fd, "file", "abc", 3), -1);
    assert_int_equal(errno, EEXIST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_place, close_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_very_deep_tree_goes),
        TEST(links_are_removed_not_followed),
        TEST(nothing_leaves_what_it_is_beneath),
        TEST(making_follows_no_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
