/*
 * git.c - a git workspace: from a mirror that all runs of the host share, without a credential left in it
 *
 * STATE/mirrors/SHA256(URL) is a bare mirror, brought up to date under a lock; who waited for the lock while somebody
 * else fetched does not fetch again. The workspace is a full copy of its objects (no hard links, no alternates): what
 * an agent does to its .git reaches nobody else, and a mirror can be removed at any time.
 *
 * git runs without the system's and the user's configuration, without hooks, prompts and submodules; the file protocol
 * is allowed only when the graph itself names a local path. A credential in the URL goes to git through an inherited
 * memory file that a credential helper reads: never in its arguments or environment.
 *
 * A remote or a ref that cannot be had is the class `setup`, our own trouble is `infrastructure`.
 */
#include "runner/git.h"

#include "runner/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CREDENTIAL_FD 9
#define ARGUMENTS_MAX 40
#define PATH_BYTES_MAX 4200

struct git {
    const struct runner_prepare *prepare;
    struct job_answer *answer;
    char url[2048]; /* without credential */
    char ref[512];
    char mirror[PATH_BYTES_MAX], workspace[PATH_BYTES_MAX], home[PATH_BYTES_MAX];
    int credential_fd; /* owned; -1: the URL has none */
    bool local;
    char out[1024];      /* what the last command printed, without the newline */
    char complaint[600]; /* the last lines of its stderr */
};

/* --- the URL --- */

bool git_url_is_local(const char *url)
{
    return url[0] == '/' || strncmp(url, "./", 2) == 0 || strncmp(url, "../", 3) == 0 ||
           strncmp(url, "file://", 7) == 0;
}

int git_split_url(const char *url, char *stripped, size_t stripped_bytes, char *credential, size_t credential_bytes)
{
    const char *authority = strstr(url, "://");
    const char *at = NULL;
    credential[0] = '\0';
    bool http = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    if (http) { /* elsewhere what stands before the @ is a user name, not a secret */
        authority += 3;
        size_t length = strcspn(authority, "/?#");
        at = memrchr(authority, '@', length);
    }
    if (at == NULL)
        return mf_span_copy(mf_span(url), stripped, stripped_bytes);
    if (mf_span_copy((struct mf_span){authority, (size_t)(at - authority)}, credential, credential_bytes) != 0)
        return -1;
    int length = snprintf(stripped, stripped_bytes, "%.*s%s", (int)(authority - url), url, at + 1);
    return length > 0 && (size_t)length < stripped_bytes ? 0 : -1;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void write_decoded(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool escaped = text[i] == '%' && i + 2 < length && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0;
        int c = escaped ? hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]) : (unsigned char)text[i];
        i += escaped ? 2 : 0;
        if (c != '\n' && c != '\0')
            fputc(c, out);
    }
}

/* What the credential helper prints: one name and value a line. Returns the descriptor, -1 on failure. */
static int credential_file(const char *credential)
{
    int fd = memfd_create("credential", MFD_CLOEXEC);
    FILE *out = fd >= 0 ? fdopen(fcntl(fd, F_DUPFD_CLOEXEC, 3), "w") : NULL;
    if (out == NULL) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    size_t user = strcspn(credential, ":");
    fputs("username=", out);
    write_decoded(out, credential, user);
    fputs("\npassword=", out);
    if (credential[user] == ':')
        write_decoded(out, credential + user + 1, strlen(credential + user + 1));
    fputc('\n', out);
    fclose(out);
    return fd;
}

/* --- one command --- */

static size_t read_memory(int fd, char *out, size_t out_bytes, bool tail)
{
    struct stat about = {.st_size = 0};
    fstat(fd, &about);
    off_t from = tail && about.st_size > (off_t)out_bytes - 1 ? about.st_size - (off_t)out_bytes + 1 : 0;
    ssize_t got = pread(fd, out, out_bytes - 1, from);
    size_t length = got > 0 ? (size_t)got : 0;
    while (length > 0 && (out[length - 1] == '\n' || out[length - 1] == ' '))
        length--;
    out[length] = '\0';
    return length;
}

static _Noreturn void execute(const struct git *git, char *const *argv, int out_fd, int err_fd)
{
    char home[PATH_BYTES_MAX + 8], allowed[64];
    snprintf(home, sizeof home, "HOME=%s", git->home);
    snprintf(allowed, sizeof allowed, "GIT_ALLOW_PROTOCOL=%s", git->local ? "file" : "https:http:ssh:git");
    char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", lang[] = "LANG=C.UTF-8", prompt[] = "GIT_TERMINAL_PROMPT=0";
    char system[] = "GIT_CONFIG_NOSYSTEM=1", global[] = "GIT_CONFIG_GLOBAL=/dev/null",
         ssh[] = "GIT_SSH_COMMAND=ssh -o BatchMode=yes";
    char *environment[] = {path, lang, home, allowed, prompt, system, global, ssh, NULL};
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup3(null_fd, 0, 0);
    dup3(out_fd, 1, 0);
    dup3(err_fd, 2, 0);
    if (git->credential_fd >= 0)
        dup3(git->credential_fd, CREDENTIAL_FD, 0);
    close_range(3, CREDENTIAL_FD - 1, 0);
    close_range(git->credential_fd >= 0 ? CREDENTIAL_FD + 1 : CREDENTIAL_FD, ~0U, 0);
    signal(SIGPIPE, SIG_DFL);
    static const char *const places[] = {"/usr/bin/git", "/usr/local/bin/git", "/bin/git"};
    for (size_t i = 0; i < 3; i++)
        execve(places[i], argv, environment);
    dprintf(2, "git: %s\n", strerror(errno));
    _exit(127);
}

/* argv from our settings and the caller's words, NULL at the end. */
static void write_arguments(const struct git *git, const char *const *words, const char *argv[ARGUMENTS_MAX])
{
    static const char *const settings[] = {"git",
                                           "-c",
                                           "core.hooksPath=/dev/null",
                                           "-c",
                                           "protocol.ext.allow=never",
                                           "-c",
                                           "core.fsmonitor=false",
                                           "-c",
                                           "submodule.recurse=false",
                                           "-c",
                                           "gc.auto=0",
                                           "-c",
                                           "maintenance.auto=false",
                                           "-c",
                                           "advice.detachedHead=false",
                                           "-c",
                                           "http.lowSpeedLimit=1",
                                           "-c",
                                           "http.lowSpeedTime=60",
                                           "-c",
                                           "credential.helper="};
    size_t count = 0;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        argv[count++] = settings[i];
    if (git->credential_fd >= 0) {
        argv[count++] = "-c";
        argv[count++] = "credential.helper=!cat /proc/self/fd/9 #"; /* git appends the word `get` */
    }
    while (*words != NULL && count < ARGUMENTS_MAX - 1)
        argv[count++] = *words++;
    argv[count] = NULL;
}

/* Runs git to its end. 0 when it ended well; its words are in git->out and git->complaint. */
static int run(struct git *git, const char *const *words)
{
    const char *argv[ARGUMENTS_MAX];
    int out_fd = memfd_create("out", MFD_CLOEXEC), err_fd = memfd_create("err", MFD_CLOEXEC);
    int status = -1;
    write_arguments(git, words, argv);
    pid_t pid = out_fd >= 0 && err_fd >= 0 ? fork() : -1;
    if (pid == 0)
        execute(git, (char *const *)(const void *)argv, out_fd, err_fd);
    if (pid > 0 && waitpid(pid, &status, 0) != pid)
        status = -1;
    git->out[0] = git->complaint[0] = '\0';
    if (pid > 0) {
        read_memory(out_fd, git->out, sizeof git->out, false);
        read_memory(err_fd, git->complaint, sizeof git->complaint, true);
    }
    if (out_fd >= 0)
        close(out_fd);
    if (err_fd >= 0)
        close(err_fd);
    return status == 0 ? 0 : -1;
}

#define RUN(git, ...) run((git), (const char *const[]){__VA_ARGS__, NULL})

static int complain(struct git *git, const char *what)
{
    return job_fail(git->answer, "setup", "git: cannot %s %s: %s", what, git->url, git->complaint);
}

/* --- the mirror --- */

static int path_of(int fd, char *out)
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_BYTES_MAX - 128);
    if (length <= 0 || length >= PATH_BYTES_MAX - 128)
        return -1;
    out[length] = '\0';
    return 0;
}

/* The directory is named by the whole URL: a mirror fetched with a credential is not found without it. */
static void mirror_name(const char *url, char name[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_Digest(url, strlen(url), digest, &length, EVP_sha256(), NULL);
    mf_hex(digest, 32, name);
}

static int clone_mirror(struct git *git)
{
    char unfinished[PATH_BYTES_MAX + 16];
    snprintf(unfinished, sizeof unfinished, "%s.new", git->mirror);
    int fd = open(unfinished, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) { /* of a helper that was killed */
        paths_empty(fd);
        close(fd);
        rmdir(unfinished);
    }
    if (RUN(git, "clone", "--quiet", "--mirror", "--no-hardlinks", "--", git->url, unfinished) != 0)
        return complain(git, "clone");
    if (rename(unfinished, git->mirror) != 0)
        return job_fail_os(git->answer, "git: cannot keep the mirror");
    return 0;
}

/* Under the exclusive lock. A fetch by somebody else after `since` will do. */
static int update_mirror(struct git *git, int lock_fd, struct timespec since)
{
    struct stat about;
    bool there = access(git->mirror, F_OK) == 0;
    if (there && fstat(lock_fd, &about) == 0 && about.st_size > 0 &&
        (about.st_mtim.tv_sec > since.tv_sec ||
         (about.st_mtim.tv_sec == since.tv_sec && about.st_mtim.tv_nsec > since.tv_nsec)))
        return 0;
    if (!there && clone_mirror(git) != 0)
        return -1;
    if (there && RUN(git, "-C", git->mirror, "fetch", "--quiet", "--prune", "--no-recurse-submodules", "origin") != 0)
        return complain(git, "fetch");
    if (ftruncate(lock_fd, 0) != 0 || pwrite(lock_fd, "1", 1, 0) != 1) /* its time says when */
        return job_fail_os(git->answer, "git: cannot write the mirror's lock");
    return 0;
}

static bool is_commit(const char *ref)
{
    size_t length = strlen(ref);
    return (length == 40 || length == 64) && strspn(ref, "0123456789abcdef") == length;
}

/* REF as a commit in the mirror into answer->text. */
static int resolve(struct git *git)
{
    char wanted[sizeof git->ref + 16];
    snprintf(wanted, sizeof wanted, "%s^{commit}", git->ref[0] != '\0' ? git->ref : "HEAD");
    if (RUN(git, "-C", git->mirror, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted) != 0)
        return -1;
    if (!is_commit(git->out))
        return -1;
    return mf_span_copy(mf_span(git->out), git->answer->text, sizeof git->answer->text);
}

/* --- the workspace --- */

static int check_out(struct git *git)
{
    const char *commit = git->answer->text;
    char branch[sizeof git->ref + 16] = "";
    if (git->ref[0] != '\0') {
        snprintf(branch, sizeof branch, "refs/heads/%s", git->ref);
        if (RUN(git, "-C", git->mirror, "show-ref", "--verify", "--quiet", "--", branch) != 0)
            branch[0] = '\0';
    } else if (RUN(git, "-C", git->mirror, "symbolic-ref", "--quiet", "HEAD") == 0 &&
               mf_span_copy(mf_span(git->out), branch, sizeof branch) != 0) {
        branch[0] = '\0';
    }
    const char *name = strncmp(branch, "refs/heads/", 11) == 0 ? branch + 11 : NULL;
    int result = name != NULL ? RUN(git, "-C", git->workspace, "checkout", "--quiet", "-B", name, commit)
                              : RUN(git, "-C", git->workspace, "checkout", "--quiet", "--detach", commit);
    return result == 0 ? 0 : complain(git, "check out");
}

static int clone_workspace(struct git *git)
{
    bool local = git->local;
    git->local = true; /* the mirror is one */
    int result = RUN(git, "clone", "--quiet", "--no-checkout", "--no-hardlinks", "--", git->mirror, git->workspace);
    if (result == 0)
        result = RUN(git, "-C", git->workspace, "remote", "set-url", "origin", git->url);
    if (result != 0)
        complain(git, "copy the mirror of");
    else
        result = check_out(git);
    git->local = local;
    return result;
}

static int under_lock(struct git *git, int lock_fd, struct timespec since)
{
    while (flock(lock_fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return job_fail_os(git->answer, "git: cannot lock the mirror");
    if (!(is_commit(git->ref) && access(git->mirror, F_OK) == 0 && resolve(git) == 0)) { /* a commit never changes */
        if (update_mirror(git, lock_fd, since) != 0)
            return -1;
        if (resolve(git) != 0 && is_commit(git->ref))
            RUN(git, "-C", git->mirror, "fetch", "--quiet", "--", "origin", git->ref);
        if (git->answer->text[0] == '\0' && resolve(git) != 0)
            return job_fail(git->answer, "setup", "git: %s has no ref `%s`", git->url, git->ref);
    }
    flock(lock_fd, LOCK_SH); /* others may read it too, nobody may change it */
    return clone_workspace(git);
}

static int open_lock(struct git *git, const struct job_place *place, const char *url)
{
    char name[80];
    int state_fd = openat(place->run_fd, "../..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int mirrors_fd = state_fd >= 0 ? paths_make(state_fd, "mirrors") : -1;
    int lock_fd = -1;
    if (mirrors_fd >= 0 && path_of(mirrors_fd, git->mirror) == 0) {
        mirror_name(url, name);
        size_t used = strlen(git->mirror);
        snprintf(git->mirror + used, sizeof git->mirror - used, "/%s", name);
        snprintf(name + 64, sizeof name - 64, ".lock");
        lock_fd = openat(mirrors_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    if (lock_fd < 0)
        job_fail_os(git->answer, "git: cannot open the mirrors");
    if (mirrors_fd >= 0)
        close(mirrors_fd);
    if (state_fd >= 0)
        close(state_fd);
    return lock_fd;
}

/* The URL as git is to see it: a relative path becomes one below the graph's directory. */
static int take_url(struct git *git, const char *base, char *url, size_t url_bytes)
{
    char given[2048], credential[1024];
    if (mf_span_copy(git->prepare->git_url, given, sizeof given) != 0 ||
        mf_span_copy(git->prepare->git_ref, git->ref, sizeof git->ref) != 0 || given[0] == '-' || git->ref[0] == '-')
        return job_fail(git->answer, "refused", "git: the URL or the ref is no usable text");
    git->local = git_url_is_local(given);
    int length =
        given[0] == '.' ? snprintf(url, url_bytes, "%s/%s", base, given) : snprintf(url, url_bytes, "%s", given);
    if (length < 0 || (size_t)length >= url_bytes ||
        git_split_url(url, git->url, sizeof git->url, credential, sizeof credential) != 0)
        return job_fail(git->answer, "refused", "git: the URL is too long");
    if (credential[0] == '\0')
        return 0;
    git->credential_fd = credential_file(credential);
    explicit_bzero(credential, sizeof credential);
    explicit_bzero(given, sizeof given);
    return git->credential_fd >= 0 ? 0 : job_fail_os(git->answer, "git: cannot hand over the credential");
}

int git_workspace(const struct runner_prepare *prepare, const char *base, int ws_fd, const struct job_place *place,
                  struct copy_budget *budget, struct job_answer *answer)
{
    static struct git git; /* too large for a stack frame; one job a process */
    char url[2048 + PATH_MAX];
    struct timespec since;
    clock_gettime(CLOCK_REALTIME, &since);
    git = (struct git){.prepare = prepare, .answer = answer, .credential_fd = -1};
    if (take_url(&git, base, url, sizeof url) != 0)
        return -1;
    if (path_of(ws_fd, git.workspace) != 0 || path_of(place->slot_fd, git.home) != 0)
        return job_fail_os(answer, "git: cannot name the workspace");
    size_t used = strlen(git.home); /* path_of leaves room */
    snprintf(git.home + used, sizeof git.home - used, "/home");
    int lock_fd = open_lock(&git, place, url);
    explicit_bzero(url, sizeof url);
    int result = lock_fd >= 0 ? under_lock(&git, lock_fd, since) : -1;
    if (lock_fd >= 0)
        close(lock_fd);
    if (git.credential_fd >= 0)
        close(git.credential_fd);
    uint64_t bytes = 0;
    if (result == 0 && (paths_tree_bytes(ws_fd, 0, &bytes) != 0 || bytes > budget->bytes_max))
        return job_fail(answer, "setup", "git: the workspace is larger than %llu bytes (%s)",
                        (unsigned long long)budget->bytes_max, budget->bytes_limit);
    budget->bytes += bytes;
    return result;
}
