/* sandbox_remedy.c - each situation of a machine gets its own remedy; the first that holds speaks */
#include "sandbox/remedy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A machine on which everything is there; rows change one thing. */
static const struct situation whole = {.bwrap = true,
                                       .bwrap_version = 8,
                                       .init = true,
                                       .namespaces_max = 15000,
                                       .clone_allowed = -1,
                                       .apparmor = -1,
                                       .said = "Creating new namespace failed: Operation not permitted"};

static void expect(const struct situation *situation, const char *words)
{
    char text[400];
    remedy_write(situation, text, sizeof text);
    if (strstr(text, words) == NULL)
        fail_msg("`%s` does not say `%s`", text, words);
    assert_true(strlen(text) < sizeof text - 1); /* not cut off */
}

static void programs_that_are_missing(void **state)
{
    (void)state;
    struct situation none = whole, old = whole, no_init = whole;
    none.bwrap = false;
    expect(&none, "apt-get install bubblewrap");
    old.bwrap_version = 6;
    expect(&old, "install 0.8 or newer");
    no_init.init = false;
    expect(&no_init, "cmake --install");
}

static void switches_of_the_kernel(void **state)
{
    (void)state;
    struct situation max = whole, clone = whole, unknown = whole, chroot = whole;
    max.namespaces_max = 0;
    expect(&max, "sysctl -w user.max_user_namespaces=15000");
    clone.clone_allowed = 0;
    expect(&clone, "sysctl -w kernel.unprivileged_userns_clone=1");
    expect(&unknown, "Creating new namespace failed");
    chroot.chrooted = true;
    expect(&chroot, "start mayfly outside");
}

static void apparmor_of_ubuntu(void **state)
{
    (void)state;
    struct situation restricted = whole, profile = whole, other = whole;
    restricted.apparmor = profile.apparmor = other.apparmor = 1;
    restricted.said = "setting up uid map: Permission denied";
    expect(&restricted, "apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict");
    expect(&restricted, "kernel.apparmor_restrict_unprivileged_userns=0");
    profile.apparmor_profile = true;
    profile.said = "loopback: Failed RTM_NEWADDR: Operation not permitted";
    expect(&profile, "in spite of its profile");
    other.said = "Can't find source path /x: Permission denied";
    expect(&other, "the trial failed: Can't find source path /x");
}

static void containers(void **state)
{
    (void)state;
    struct situation docker = whole, masked = whole, root = whole, bare = whole;
    docker.container = masked.container = root.container = true;
    expect(&docker, "--security-opt seccomp=unconfined");
    masked.said = "Can't mount proc on /newroot/proc: Operation not permitted";
    expect(&masked, "systempaths=unconfined");
    expect(&masked, "unmask=ALL");
    root.root = bare.root = true;
    root.said = bare.said = "Can't find source path /tmp/slot: Permission denied";
    expect(&root, "--cap-add SYS_ADMIN");
    expect(&bare, "CAP_SYS_ADMIN");
    root.may_mount = true;
    expect(&root, "the trial failed");
}

static void there_is_always_a_text(void **state)
{
    (void)state;
    struct situation silent = whole;
    silent.said = NULL;
    expect(&silent, "it said nothing");
    silent.said = "";
    expect(&silent, "it said nothing");
}

static void the_machine_is_read(void **state)
{
    (void)state;
    struct situation here;
    situation_read(&here);
    assert_true(here.namespaces_max >= -1 && here.apparmor >= -1);
    assert_null(here.said);
    assert_false(here.chrooted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_that_are_missing), cmocka_unit_test(switches_of_the_kernel),
        cmocka_unit_test(apparmor_of_ubuntu),        cmocka_unit_test(containers),
        cmocka_unit_test(there_is_always_a_text),    cmocka_unit_test(the_machine_is_read),
    };
    return cmocka_run_group_tests_name("sandbox_remedy", tests, NULL, NULL);
}
