/* remedy.c - why this machine gives no sandbox, and what to do: one table from what was seen to what to say */
#include "sandbox/remedy.h"

#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BWRAP_NEEDED 8 /* 0.8 */

/* --- the table: the first row that holds speaks --- */

static bool says(const struct situation *situation, const char *text)
{
    return situation->said != NULL && strstr(situation->said, text) != NULL;
}

static bool namespace_refused(const struct situation *situation)
{
    return says(situation, "namespace") || says(situation, "uid map") || says(situation, "gid map") ||
           says(situation, "RTM_NEWADDR");
}

/* name, when, what to say; %s is what the trial wrote */
#define ROWS(X)                                                                                                        \
    X(NO_BWRAP, !s->bwrap, "bubblewrap: not found: run apt-get install bubblewrap")                                    \
    X(OLD_BWRAP, s->bwrap_version != 0 && s->bwrap_version < BWRAP_NEEDED,                                             \
      "bubblewrap: is older than 0.8, which cannot keep an agent from making namespaces: install 0.8 or newer")        \
    X(NO_INIT, !s->init,                                                                                               \
      "mayfly-init: is neither beside mayfly nor in its libexec directory: install mayfly whole "                      \
      "(cmake --install)")                                                                                             \
    X(NONE_ALLOWED, s->namespaces_max == 0,                                                                            \
      "user namespaces: none may be made: run sysctl -w user.max_user_namespaces=15000 as root")                       \
    X(CLONE_OFF, s->clone_allowed == 0,                                                                                \
      "user namespaces: are off for ordinary users: run sysctl -w kernel.unprivileged_userns_clone=1 as root")         \
    X(CHROOT, s->chrooted,                                                                                             \
      "chroot: the kernel makes no user namespace in one: start mayfly outside, or enter with "                        \
      "pivot_root or a container")                                                                                     \
    X(APPARMOR_PROFILE, s->apparmor > 0 && !s->apparmor_profile && namespace_refused(s),                               \
      "AppArmor: keeps bubblewrap from making user namespaces: run, as root, install -m 0644 "                         \
      "/usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && apparmor_parser -r "               \
      "/etc/apparmor.d/bwrap-userns-restrict, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")            \
    X(APPARMOR, s->apparmor > 0 && namespace_refused(s),                                                               \
      "AppArmor: keeps bubblewrap from making user namespaces in spite of its profile: run sysctl -w "                 \
      "kernel.apparmor_restrict_unprivileged_userns=0 as root")                                                        \
    X(CONTAINER_PROC, s->container &&says(s, "mount proc"),                                                            \
      "container: /proc is masked, so that no other can be mounted: start it with --security-opt "                     \
      "systempaths=unconfined (docker) or --security-opt unmask=ALL (podman)")                                         \
    X(CONTAINER_ROOT, s->container && s->root && !s->may_mount && !namespace_refused(s),                               \
      "container: root without the right to mount cannot show a slot to agents: start it with --cap-add SYS_ADMIN, "   \
      "or run mayfly as an ordinary user")                                                                             \
    X(CONTAINER, s->container && (namespace_refused(s) || says(s, "Operation not permitted")),                         \
      "container: it may not make user namespaces: start it with --security-opt seccomp=unconfined --security-opt "    \
      "apparmor=unconfined --security-opt systempaths=unconfined (docker) or --security-opt seccomp=unconfined "       \
      "--security-opt unmask=ALL (podman)")                                                                            \
    X(ROOT, s->root && !s->may_mount && !namespace_refused(s),                                                         \
      "root without the right to mount cannot show a slot to agents: give it CAP_SYS_ADMIN, or run mayfly as an "      \
      "ordinary user")                                                                                                 \
    X(NAMESPACES, namespace_refused(s),                                                                                \
      "user namespaces: the kernel refuses them (%s): run sysctl kernel.unprivileged_userns_clone "                    \
      "user.max_user_namespaces to see which switch is off; in a chroot they are always refused")                      \
    X(OTHER, true, "the trial failed: %s")

static void write_row(const char *format, const char *said, char *out, size_t out_bytes)
{
    const char *place = strstr(format, "%s");
    if (place == NULL) {
        snprintf(out, out_bytes, "%s", format);
        return;
    }
    snprintf(out, out_bytes, "%.*s%s%s", (int)(place - format), format, said, place + 2);
}

void remedy_write(const struct situation *s, char *out, size_t out_bytes)
{
    const char *said = s->said != NULL && s->said[0] != '\0' ? s->said : "it said nothing";
    const char *format = NULL;
#define X(name, when, text)                                                                                            \
    if (format == NULL && (when))                                                                                      \
        format = text;
    ROWS(X)
#undef X
    write_row(format, said, out, out_bytes);
}

/* --- looking --- */

static int64_t read_switch(const char *path)
{
    char text[32];
    int64_t value;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == ' '))
        got--;
    return got > 0 && mf_parse_i64((struct mf_span){text, (size_t)got}, &value) == 0 ? value : -1;
}

static bool in_container(void)
{
    static const char *const signs[] = {"/.dockerenv", "/run/.containerenv"};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (access(signs[i], F_OK) == 0)
            return true;
    return false;
}

/* In a chroot the mount of "/" is not among the mounts that are seen. */
static bool in_chroot(void)
{
    char line[4096];
    bool found = false, any = false;
    FILE *list = fopen("/proc/self/mountinfo", "re");
    while (list != NULL && !found && fgets(line, sizeof line, list) != NULL) {
        const char *at = line; /* "ID PARENT DEVICE ROOT POINT ..." */
        any = true;
        for (int field = 0; field < 4 && at != NULL; field++)
            at = strchr(at, ' ') != NULL ? strchr(at, ' ') + 1 : NULL;
        found = at != NULL && at[0] == '/' && at[1] == ' ';
    }
    if (list != NULL)
        fclose(list);
    return any && !found;
}

void situation_read(struct situation *out)
{
    *out = (struct situation){
        .root = geteuid() == 0,
        .namespaces_max = read_switch("/proc/sys/user/max_user_namespaces"),
        .clone_allowed = read_switch("/proc/sys/kernel/unprivileged_userns_clone"),
        .apparmor = read_switch("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        .apparmor_profile =
            access("/etc/apparmor.d/bwrap-userns-restrict", F_OK) == 0 || access("/etc/apparmor.d/bwrap", F_OK) == 0,
        .container = in_container(),
        .chrooted = in_chroot(),
    };
}
