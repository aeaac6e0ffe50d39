/*
 * secret_watch.c - looks for a mark where no secret may be: in command lines, environments and memory of a tree of processes
 *
 *     secret_watch tree PID STOP_FILE         samples PID and all that descend from it, about a thousand times a second, until
 *                                             the file is there; prints one line for each find: `cmdline PID NAME` or `environ PID NAME`,
 *                                             at the end `samples N processes M`
 *     secret_watch memory PID...              looks through the memory that each may write; prints a line for each find with what
 *                                             stands around it, at the end `searched BYTES`
 *
 * The mark is read from stdin, so that no command line holds it. A find that is followed by "operator" is the case's own
 * credential, which the orchestrator holds by right, and does not count. In memory only a token counts, not the start of one:
 * the dynamic loader saves vector registers on the stack, with up to 32 bytes of what was copied last. Needs the right to look:
 * root, or dumpable processes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TREE_MAX 4096
#define TEXT_BYTES (256u << 10)
#define REGION_BYTES_MAX ((uint64_t)16 << 30) /* a sanitizer's shadow is larger, and holds no text */
#define CHUNK_BYTES (1u << 20)
#define REST_BYTES 12 /* of a token behind the mark; the emulator's have more than 30 */

static char mark[64];
static size_t mark_bytes;

static void give_up(const char *text)
{
    fprintf(stderr, "secret_watch: %s: %s\n", text, strerror(errno));
    exit(2);
}

static void read_mark(void)
{
    if (fgets(mark, sizeof mark, stdin) == NULL)
        give_up("no mark on stdin");
    mark[strcspn(mark, "\n")] = '\0';
    mark_bytes = strlen(mark);
    if (mark_bytes < 6)
        give_up("the mark is too short");
}

static bool is_token_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The next place of the mark that counts, with so many digits of a token behind it; NULL: none. */
static const char *find_mark(const char *text, size_t bytes, size_t rest_bytes)
{
    static const char own[] = "operator";
    const char *end = text + bytes;
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), mark, mark_bytes)) != NULL; at++) {
        const char *rest = at + mark_bytes;
        size_t digits = 0;
        while (rest + digits < end && digits < rest_bytes && is_token_digit(rest[digits]))
            digits++;
        if (digits == rest_bytes && ((size_t)(end - rest) < sizeof own - 1 || memcmp(rest, own, sizeof own - 1) != 0))
            return at;
    }
    return NULL;
}

static size_t read_whole(const char *path, char *out, size_t out_bytes)
{
    size_t used = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while (used < out_bytes && (got = read(fd, out + used, out_bytes - used)) > 0)
        used += (size_t)got;
    close(fd);
    return used;
}

/* --- the tree --- */

static int pids[TREE_MAX];
static uint32_t pid_count;
static struct find {
    int pid;
    char what;
} finds[TREE_MAX];
static uint32_t find_count;
static uint64_t samples;
static uint32_t processes_most;
static char text[TEXT_BYTES];

static void add_children(int pid)
{
    char path[64], list[8192];
    struct dirent *task;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.12s/children", pid, task->d_name);
        size_t bytes = read_whole(path, list, sizeof list - 1);
        list[bytes] = '\0';
        for (char *at = list, *end; *at != '\0'; at = *end == ' ' ? end + 1 : end) {
            long child = strtol(at, &end, 10);
            if (end == at)
                break;
            if (pid_count < TREE_MAX)
                pids[pid_count++] = (int)child;
        }
    }
    if (tasks != NULL)
        closedir(tasks);
}

static void report(int pid, const char *what)
{
    char path[64], name[64] = "?";
    for (uint32_t i = 0; i < find_count; i++)
        if (finds[i].pid == pid && finds[i].what == what[0])
            return;
    if (find_count < TREE_MAX)
        finds[find_count++] = (struct find){pid, what[0]};
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    size_t bytes = read_whole(path, name, sizeof name - 1);
    name[bytes > 0 ? bytes - 1 : 0] = '\0';
    printf("%s %d %s\n", what, pid, name);
    fflush(stdout);
}

static void sample(int root)
{
    static const char *const files[] = {"cmdline", "environ"};
    pids[0] = root;
    pid_count = 1;
    for (uint32_t i = 0; i < pid_count; i++) {
        for (size_t f = 0; f < 2; f++) {
            char path[64];
            snprintf(path, sizeof path, "/proc/%d/%s", pids[i], files[f]);
            if (find_mark(text, read_whole(path, text, sizeof text), 0) != NULL)
                report(pids[i], files[f]);
        }
        add_children(pids[i]);
    }
    samples++;
    if (pid_count > processes_most)
        processes_most = pid_count;
}

static int watch_tree(int root, const char *stop_file)
{
    struct timespec pause = {.tv_nsec = 1000000};
    while (access(stop_file, F_OK) != 0) {
        sample(root);
        nanosleep(&pause, NULL);
    }
    printf("samples %llu processes %u\n", (unsigned long long)samples, processes_most);
    return find_count > 0;
}

/* --- memory --- */

static uint64_t searched;

static void print_find(int pid, uint64_t address, const char *region, const char *from, size_t bytes)
{
    printf("memory %d %llx %s: ", pid, (unsigned long long)address, region);
    for (size_t i = 0; i < bytes; i++)
        putchar(from[i] >= 0x20 && from[i] < 0x7f ? from[i] : '.');
    putchar('\n');
}

/* How often it was found. Chunks overlap, so that no mark falls between two. */
static uint32_t search_region(int pid, int fd, uint64_t from, uint64_t to, const char *region)
{
    static char chunk[CHUNK_BYTES + 256];
    uint32_t found = 0;
    size_t held = 0;
    for (uint64_t at = from; at < to;) {
        uint64_t left = to - at;
        size_t wanted = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        ssize_t got = pread(fd, chunk + held, wanted, (off_t)at);
        if (got <= 0) { /* a page that is not there: the next one */
            at += 4096;
            held = 0;
            continue;
        }
        searched += (uint64_t)got;
        size_t bytes = held + (size_t)got;
        const char *end = chunk + bytes;
        for (const char *hit = chunk; (hit = find_mark(hit, (size_t)(end - hit), REST_BYTES)) != NULL; hit++) {
            const char *first = hit - chunk > 48 ? hit - 48 : chunk;
            print_find(pid, at - held + (uint64_t)(hit - chunk), region, first,
                       (size_t)(end - first) < 144 ? (size_t)(end - first) : 144);
            found++;
        }
        at += (uint64_t)got;
        held = mark_bytes + REST_BYTES - 1 < bytes ? mark_bytes + REST_BYTES - 1 : bytes;
        memmove(chunk, end - held, held);
    }
    return found;
}

static uint32_t search_process(int pid)
{
    char path[64], line[512], rights[8], name[256];
    uint32_t found = 0;
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    if (fd < 0 || maps == NULL) {
        if (errno != ENOENT && errno != ESRCH)
            give_up("cannot look into the process");
        if (fd >= 0)
            close(fd);
        return 0; /* it ended meanwhile */
    }
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long long from, to;
        name[0] = '\0';
        if (sscanf(line, "%llx-%llx %7s %*s %*s %*s %255[^\n]", &from, &to, rights, name) < 3 || rights[1] != 'w' ||
            to - from > REGION_BYTES_MAX)
            continue;
        found += search_region(pid, fd, from, to, name[0] != '\0' ? name : "anonymous");
    }
    fclose(maps);
    close(fd);
    return found;
}

int main(int argc, char **argv)
{
    read_mark();
    if (argc == 4 && strcmp(argv[1], "tree") == 0)
        return watch_tree(atoi(argv[2]), argv[3]);
    if (argc >= 3 && strcmp(argv[1], "memory") == 0) {
        uint32_t found = 0;
        for (int i = 2; i < argc; i++)
            found += search_process(atoi(argv[i]));
        printf("searched %llu\n", (unsigned long long)searched);
        return found > 0;
    }
    fprintf(stderr, "usage: secret_watch tree PID STOP_FILE | memory PID...\n");
    return 2;
}
