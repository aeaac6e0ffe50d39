/* store_state.c - tests of the state directory: found, refused, runs made, locked, listed, removed; owner and terms */
#include "store_help.h"

#include "store/files.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/wait.h>

static int setup(void **state)
{
    (void)state;
    help_make_base();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    help_remove_base();
    return 0;
}

static struct state_dir *open_state(void)
{
    struct mf_error error;
    struct state_dir *state = NULL;
    assert_ok(state_open(&state, help_path("state"), true, &error));
    return state;
}

static void expect_refused(const char *path, enum mf_code code, const char *part)
{
    struct mf_error error;
    struct state_dir *state = NULL;
    assert_int_equal(state_open(&state, path, false, &error), -1);
    if (error.code != code || strstr(error.text, part) == NULL)
        fail_msg("code %d, %s: does not say %s", error.code, error.text, part);
}

static void test_path_comes_from_the_environment(void **unused)
{
    (void)unused;
    struct mf_error error;
    struct state_dir *state;
    char expected[PATH_MAX];
    unsetenv("MAYFLY_STATE");
    setenv("HOME", help_path("home"), 1);
    setenv("XDG_STATE_HOME", "relative/is/ignored", 1);
    assert_ok(state_open(&state, NULL, true, &error));
    snprintf(expected, sizeof expected, "%s/home/.local/state/mayfly", help_base);
    assert_string_equal(state_path(state), expected);
    state_close(state);
    setenv("XDG_STATE_HOME", help_path("xdg"), 1);
    assert_ok(state_open(&state, NULL, true, &error));
    snprintf(expected, sizeof expected, "%s/xdg/mayfly", help_base);
    assert_string_equal(state_path(state), expected);
    state_close(state);
    setenv("MAYFLY_STATE", help_path("direct//"), 1);
    assert_ok(state_open(&state, NULL, true, &error));
    snprintf(expected, sizeof expected, "%s/direct", help_base);
    assert_string_equal(state_path(state), expected);
    state_close(state);
    unsetenv("MAYFLY_STATE");
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    assert_int_equal(state_open(&state, NULL, true, &error), -1);
    assert_non_null(strstr(error.text, "--state"));
}

static void test_unsafe_directories_are_refused(void **unused)
{
    (void)unused;
    expect_refused(help_path("none"), MF_NOT_FOUND, "nothing was run");
    expect_refused("", MF_STATE, "empty");
    state_close(open_state());
    assert_int_equal(chmod(help_path("state"), 0770), 0);
    expect_refused(help_path("state"), MF_STATE, "chmod");
    assert_int_equal(chmod(help_path("state"), 0700), 0);
    assert_int_equal(symlink("state", help_path("link")), 0);
    expect_refused(help_path("link"), MF_STATE, "symbolic link");
    expect_refused(help_path("link/"), MF_STATE, "symbolic link");
    assert_int_equal(chmod(help_path("state/runs"), 0777), 0);
    expect_refused(help_path("state"), MF_STATE, "chmod");
    assert_int_equal(rmdir(help_path("state/runs")), 0);
    assert_int_equal(symlink("/tmp", help_path("state/runs")), 0);
    expect_refused(help_path("state"), MF_STATE, "symbolic link");
    if (geteuid() == 0) {
        assert_int_equal(chown(help_path("state"), 12345, 0), 0);
        expect_refused(help_path("state"), MF_STATE, "belongs to user 12345");
    }
    FILE *file = fopen(help_path("file"), "w");
    assert_non_null(file);
    fclose(file);
    expect_refused(help_path("file"), MF_STATE, "no directory");
}

static void test_a_link_above_is_resolved_once(void **unused)
{
    (void)unused;
    struct mf_error error;
    struct state_dir *state;
    char expected[PATH_MAX];
    assert_int_equal(mkdir(help_path("real"), 0700), 0);
    assert_int_equal(symlink("real", help_path("home")), 0);
    assert_ok(state_open(&state, help_path("home/state"), true, &error));
    snprintf(expected, sizeof expected, "%s/real/state", help_base);
    assert_string_equal(state_path(state), expected);
    state_close(state);
}

/* --- runs --- */

static int collect(void *context, const char *id)
{
    strcat(context, id);
    strcat(context, " ");
    return 0;
}

static void test_runs_are_listed_newest_first_and_found(void **unused)
{
    (void)unused;
    struct mf_error error;
    struct state_dir *state = open_state();
    char ids[3][STATE_RUN_ID_BYTES], found[STATE_RUN_ID_BYTES], all[128] = "", expected[128];
    assert_int_equal(state_run_find(state, "last", found, &error), -1);
    assert_int_equal(error.code, MF_NOT_FOUND);
    for (int i = 0; i < 3; i++) {
        int dir_fd;
        assert_ok(state_run_create(state, ids[i], &dir_fd, &error));
        assert_int_equal(strspn(ids[i], "abcdefghijklmnopqrstuvwxyz0123456789"), 12);
        if (i < 2)
            assert_ok(files_publish(dir_fd, ".name", MF_SPAN("nightly"), &error));
        close(dir_fd);
    }
    snprintf(expected, sizeof expected, "%s %s %s ", ids[2], ids[1], ids[0]);
    assert_ok(state_runs(state, collect, all, &error));
    assert_string_equal(all, expected);
    assert_ok(state_run_find(state, "last", found, &error));
    assert_string_equal(found, ids[2]);
    assert_ok(state_run_find(state, "nightly", found, &error)); /* the newest of that name */
    assert_string_equal(found, ids[1]);
    assert_ok(state_run_find(state, ids[0], found, &error));
    assert_string_equal(found, ids[0]);
    assert_int_equal(state_run_find(state, "../../etc", found, &error), -1);
    assert_int_equal(state_run_find(state, "aaaaaaaaaaaa", found, &error), -1);
    state_close(state);
}

static void test_one_writer_at_a_time(void **unused)
{
    (void)unused;
    struct mf_error error;
    struct state_dir *state = open_state(), *other = open_state();
    char id[STATE_RUN_ID_BYTES];
    int dir_fd, lock_fd;
    assert_ok(state_run_create(state, id, &dir_fd, &error));
    close(dir_fd);
    assert_true(state_run_locked(other, id));
    assert_int_equal(state_run_lock(other, id, &lock_fd, &error), -1);
    assert_int_equal(error.code, MF_LOCKED);
    state_close(state); /* the maker's lock ends with it */
    assert_false(state_run_locked(other, id));
    pid_t child = fork();
    if (child == 0) { /* the lock of a process that dies is free */
        int fd;
        _exit(state_run_lock(other, id, &fd, NULL) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(state_run_lock(other, id, &lock_fd, &error));
    assert_true(state_run_locked(other, id));
    state_unlock(lock_fd);
    assert_false(state_run_locked(other, id));
    state_close(other);
}

static void make_deep(int dir_fd, int levels)
{
    int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    for (int i = 0; i < levels; i++) {
        assert_int_equal(mkdirat(at, "deep", 0700), 0);
        int next = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    int file = openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(fchmod(at, 0500), 0);
    close(at);
}

static void test_a_run_is_removed_whatever_agents_left(void **unused)
{
    (void)unused;
    struct mf_error error;
    struct state_dir *state = open_state();
    char id[STATE_RUN_ID_BYTES];
    int dir_fd;
    assert_ok(state_run_create(state, id, &dir_fd, &error));
    assert_int_equal(mkdir(help_path("precious"), 0700), 0);
    assert_int_equal(mkdir(help_path("precious/inside"), 0700), 0);
    make_deep(dir_fd, 500);
    assert_int_equal(symlinkat(help_path("precious"), dir_fd, "link"), 0);
    assert_int_equal(mkfifoat(dir_fd, "fifo", 0600), 0);
    assert_int_equal(mkdirat(dir_fd, "closed", 0000), 0);
    close(dir_fd);
    assert_ok(state_run_remove(state, id, &error));
    assert_int_equal(access(help_path("precious/inside"), F_OK), 0);
    DIR *runs = opendir(help_path("state/runs"));
    int entries = 0;
    while (readdir(runs) != NULL)
        entries++;
    closedir(runs);
    assert_int_equal(entries, 2); /* . and .. */
    assert_int_equal(state_run_remove(state, id, &error), -1);
    assert_int_equal(error.code, MF_NOT_FOUND);
    assert_int_equal(state_run_remove(state, "../precious", &error), -1);
    state_close(state);
}

static void test_a_mount_is_not_entered(void **unused)
{
    (void)unused;
    struct mf_error error;
    struct state_dir *state = open_state();
    char id[STATE_RUN_ID_BYTES];
    int dir_fd;
    assert_ok(state_run_create(state, id, &dir_fd, &error));
    assert_int_equal(mkdirat(dir_fd, "mount", 0700), 0);
    close(dir_fd);
    assert_int_equal(mkdir(help_path("precious"), 0700), 0);
    assert_int_equal(mkdir(help_path("precious/inside"), 0700), 0);
    char *path = state_run_path(state, id, "mount");
    if (mount(help_path("precious"), path, NULL, MS_BIND, NULL) == 0) {
        assert_int_equal(state_run_remove(state, id, &error), -1);
        assert_int_equal(access(help_path("precious/inside"), F_OK), 0);
        char moved[PATH_MAX];
        snprintf(moved, sizeof moved, "%s/state/runs/.removed-%s/mount", help_base, id);
        assert_int_equal(umount2(moved, MNT_DETACH), 0);
    }
    mf_free(path);
    state_close(state);
}

/* --- owner and terms --- */

static void test_owner(void **unused)
{
    (void)unused;
    struct mf_error error;
    struct state_dir *state = open_state();
    char first[25], second[25];
    bool generated;
    assert_ok(state_owner(state, "ci7", first, &generated, &error));
    assert_string_equal(first, "ci7");
    static const char *const bad[] = {"", "With-Dash", "x y", "abcdefghijklmnopqrstuvwxy"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(state_owner(state, bad[i], first, &generated, &error), -1);
    assert_ok(state_owner(state, NULL, first, &generated, &error));
    assert_ok(state_owner(state, NULL, second, &generated, &error));
    assert_string_equal(first, second); /* derived or stored: the same each time */
    int fd = open(help_path("state"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(files_replace(fd, "owner", MF_SPAN("stored1\n"), &error));
    assert_ok(state_owner(state, NULL, first, &generated, &error));
    assert_string_equal(first, "stored1");
    assert_ok(files_replace(fd, "owner", MF_SPAN("No Way\n"), &error));
    assert_int_equal(state_owner(state, NULL, first, &generated, &error), -1);
    assert_int_equal(error.code, MF_STATE);
    close(fd);
    state_close(state);
}

static void test_terms_are_kept_beside_what_is_there(void **unused)
{
    (void)unused;
    struct mf_error error;
    struct mf_buf text;
    struct state_dir *state = open_state();
    mf_buf_init(&text, 4096);
    assert_false(state_terms_accepted(state, "cloudflare-temporary"));
    int fd = open(help_path("state"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(files_replace(fd, "config", MF_SPAN("{\"mayfly\":1,\"defaults\":{\"running\":[2]}}"), &error));
    assert_ok(state_accept_terms(state, "cloudflare-temporary", &error));
    assert_ok(state_accept_terms(state, "other \"one\"", &error));
    assert_ok(state_accept_terms(state, "cloudflare-temporary", &error));
    assert_true(state_terms_accepted(state, "cloudflare-temporary"));
    assert_true(state_terms_accepted(state, "other \"one\""));
    assert_false(state_terms_accepted(state, "third"));
    assert_ok(files_read(fd, "config", &text, &error));
    assert_non_null(strstr(mf_buf_cstr(&text), "\"defaults\":{\"running\":[2]}"));
    assert_ok(files_replace(fd, "config", MF_SPAN("{broken"), &error));
    assert_false(state_terms_accepted(state, "cloudflare-temporary"));
    assert_int_equal(state_accept_terms(state, "x", &error), -1);
    assert_int_equal(error.code, MF_STATE);
    close(fd);
    mf_buf_free(&text);
    state_close(state);
}

static void test_rate_paths_stay_in_their_folder(void **unused)
{
    (void)unused;
    struct state_dir *state = open_state();
    char *path = state_rate_path(state, "../../x/y z");
    assert_non_null(strstr(path, "/state/providers/______x_y_z.rate"));
    mf_free(path);
    state_close(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_path_comes_from_the_environment),
        TEST(test_unsafe_directories_are_refused),
        TEST(test_a_link_above_is_resolved_once),
        TEST(test_runs_are_listed_newest_first_and_found),
        TEST(test_one_writer_at_a_time),
        TEST(test_a_run_is_removed_whatever_agents_left),
        TEST(test_a_mount_is_not_entered),
        TEST(test_owner),
        TEST(test_terms_are_kept_beside_what_is_there),
        TEST(test_rate_paths_stay_in_their_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
