/*
 * spawner.c - the agents' parent: starts them, reaps them, kills their trees, forks helpers for everything slow
 *
 * Forked by the runner before it has a loop or a secret. One thread, every signal blocked with the default action, so
 * that a child inherits nothing to undo. It is a child subreaper: whatever an agent leaves becomes its child, and
 * wait() saying that there is no child is the proof that nothing is left. It sleeps in one poll() over the runner's
 * socket and a signalfd; only while a killed tree has not died yet does it look again after some milliseconds.
 *
 * The socket is written blockingly: the runner always reads. When it ends, everything is killed. What can fail: a clone
 * (reported for that stage), memory (the spawner leaves and takes all agents with it), a slot's directories (reported).
 */
#include "runner/spawner_private.h"

#include "base/alloc.h"
#include "runner/paths.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)
#define OUT_BYTES_MAX                                                                                                  \
    ((size_t)8 << 20) /* flushed each time round: 500 answers of some hundred bytes, and one frame                     \
                       */

/* --- the socket --- */

static void send_bytes(struct spawner *spawner, struct msghdr *message)
{
    struct iovec *part = message->msg_iov;
    while (part->iov_len > 0 && !spawner->leaving) {
        ssize_t sent = sendmsg(spawner->socket_fd, message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            spawner->leaving = true;
            return;
        }
        part->iov_base = (char *)part->iov_base + sent;
        part->iov_len -= (size_t)sent;
        message->msg_control = NULL; /* they went with the first byte */
        message->msg_controllen = 0;
    }
}

void spawner_flush(struct spawner *spawner)
{
    struct iovec part = {spawner->out.data, spawner->out.length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (part.iov_len > 0)
        send_bytes(spawner, &message);
    mf_buf_clear(&spawner->out);
}

void spawner_send_descriptors(struct spawner *spawner, const int *descriptors, size_t count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {0};
    struct iovec part = {spawner->out.data, spawner->out.length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    send_bytes(spawner, &message);
    mf_buf_clear(&spawner->out);
}

static int handle(struct spawner *spawner, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_RUN:
        return spawner_on_run(spawner, frame);
    case FRAME_JOB:
        return spawner_on_job(spawner, frame);
    case FRAME_KILL:
        return spawner_on_kill(spawner, frame);
    case FRAME_RELEASE:
        return spawner_on_release(spawner, frame);
    case FRAME_STOP:
        spawner->tidy = spawner->leaving = true;
        return 0;
    default:
        return -1;
    }
}

static void handle_frames(struct spawner *spawner)
{
    size_t handled = 0;
    while (!spawner->leaving) {
        struct frame frame;
        size_t consumed;
        struct mf_span rest = {spawner->in.data + handled, spawner->in.length - handled};
        enum frame_parse parse = frame_parse(rest, FRAME_TO_SPAWNER, &frame, &consumed);
        if (parse == FRAME_PARSE_BAD || (parse == FRAME_PARSE_WHOLE && handle(spawner, &frame) != 0))
            spawner->leaving = true;
        if (parse != FRAME_PARSE_WHOLE)
            break;
        handled += consumed;
    }
    size_t rest = spawner->in.length - handled;
    memmove(spawner->in.data, spawner->in.data + handled, rest);
    mf_wipe(spawner->in.data + rest, handled); /* an agent's environment may hold its credential */
    spawner->in.length = rest;
}

static void read_socket(struct spawner *spawner)
{
    if (mf_buf_reserve(&spawner->in, READ_BYTES) != 0) {
        spawner->leaving = true;
        return;
    }
    ssize_t got = recv(spawner->socket_fd, spawner->in.data + spawner->in.length, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        spawner->leaving = true;
        return;
    }
    spawner->in.length += (size_t)got;
    handle_frames(spawner);
}

/* --- the loop --- */

static void drain_signals(struct spawner *spawner)
{
    struct signalfd_siginfo caught[16];
    ssize_t got = read(spawner->signal_fd, caught, sizeof caught);
    for (ssize_t i = 0; i < got / (ssize_t)sizeof caught[0]; i++)
        if (caught[i].ssi_signo == SIGTERM)
            spawner->leaving = true;
}

static void loop(struct spawner *spawner)
{
    int dying_delay_ms = 1;
    bool more = false;
    while (!spawner->leaving) {
        spawner_flush(spawner);
        dying_delay_ms = spawner->dying_count == 0 ? 1 : dying_delay_ms < 50 ? dying_delay_ms * 2 : 50;
        int timeout_ms = more ? 0 : spawner->dying_count > 0 ? dying_delay_ms : -1;
        struct pollfd watched[2] = {{spawner->socket_fd, POLLIN, 0}, {spawner->signal_fd, POLLIN, 0}};
        if (poll(watched, 2, timeout_ms) < 0 && errno != EINTR)
            return;
        if (watched[1].revents != 0)
            drain_signals(spawner);
        if (watched[1].revents != 0 || more)
            more = spawner_reap(spawner);
        if (spawner->dying_count > 0)
            spawner_check_dying(spawner);
        if (watched[0].revents != 0)
            read_socket(spawner);
    }
}

/*
 * The runner writes STOP and closes at once: an answer of ours that finds it closed ends the loop before STOP was read.
 * What else is in the socket is of no interest any more.
 */
static void look_for_stop(struct spawner *spawner)
{
    ssize_t got;
    while (!spawner->tidy && mf_buf_reserve(&spawner->in, READ_BYTES) == 0 &&
           (got = recv(spawner->socket_fd, spawner->in.data + spawner->in.length, READ_BYTES, MSG_DONTWAIT)) > 0) {
        struct frame frame;
        size_t consumed;
        spawner->in.length += (size_t)got;
        while (frame_parse(mf_buf_view(&spawner->in), FRAME_TO_SPAWNER, &frame, &consumed) == FRAME_PARSE_WHOLE) {
            spawner->tidy |= frame.type == FRAME_STOP;
            mf_buf_consume(&spawner->in, consumed);
        }
    }
}

/* --- slots --- */

struct slot *spawner_slot(struct spawner *spawner, uint32_t number)
{
    void *slots = spawner->slots;
    if (number >= SPAWNER_SLOTS_MAX ||
        mf_grow(&slots, &spawner->slot_capacity, (size_t)number + 1, sizeof spawner->slots[0], 16) != 0)
        return NULL;
    spawner->slots = slots;
    for (; spawner->slot_count <= number; spawner->slot_count++)
        spawner->slots[spawner->slot_count] =
            (struct slot){.dir_fd = -1, .ws_fd = -1, .home_fd = -1, .group = {-1, -1}};
    return &spawner->slots[number];
}

/* --- life --- */

/* What an earlier runner of this run left goes to the trash: its attempts are over. */
static void trash_old_slots(struct spawner *spawner)
{
    int own = openat(spawner->work_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL)
        return;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '@' || !isdigit((unsigned char)entry->d_name[1]))
            continue;
        char trash[32];
        snprintf(trash, sizeof trash, "%llu", (unsigned long long)spawner->trash_next++);
        renameat(spawner->work_fd, entry->d_name, spawner->trash_fd, trash);
        spawner->trash_waits = true;
    }
    closedir(dir);
}

/* In a namespace of our own the run's directory is opened again: what is mounted below it is to be seen. */
static int enter_namespace(struct spawner *spawner)
{
    struct stat given, opened;
    if (!sandbox_enter_namespace())
        return 0;
    int fd = open(spawner->run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &opened) != 0 || fstat(spawner->run_fd, &given) != 0 || given.st_ino != opened.st_ino ||
        given.st_dev != opened.st_dev)
        return -1;
    close(spawner->run_fd);
    spawner->run_fd = fd;
    return 0;
}

static int open_directories(struct spawner *spawner)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    spawner->trash_next =
        (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec; /* never a name of an earlier life */
    spawner->work_fd = paths_make(spawner->run_fd, PATHS_WORK);
    if (spawner->work_fd < 0)
        return -1;
    spawner->trash_fd = paths_make(spawner->work_fd, PATHS_TRASH);
    spawner->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (spawner->trash_fd < 0 || spawner->null_fd < 0)
        return -1;
    trash_old_slots(spawner);
    return 0;
}

/* The group's path is kept in a file: the next start kills what lives there, whatever group it is started in itself. */
static void open_group(struct spawner *spawner)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%d", spawner->run_id, (int)getpid());
    spawner->group_fd = cgroup_make_run(name, spawner->group_path);
    if (spawner->group_fd < 0)
        return;
    int fd = openat(spawner->work_fd, PATHS_CGROUP, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dprintf(fd, "%s\n", spawner->group_path);
        close(fd);
    }
}

static int harden(struct spawner *spawner)
{
    sigset_t all, watched;
    sigfillset(&all);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL); /* an ignored signal would stay ignored in agents */
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    spawner->signal_fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    umask(077);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    getrlimit(RLIMIT_NOFILE, &spawner->descriptors);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){spawner->descriptors.rlim_max, spawner->descriptors.rlim_max});
    prctl(PR_SET_NAME, "mayfly-spawner");
    bool set = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    return spawner->signal_fd >= 0 && set ? 0 : -1;
}

static void open_children_list(struct spawner *spawner)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    spawner->children_fd = open(path, O_RDONLY | O_CLOEXEC);
}

static void tidy(struct spawner *spawner)
{
    for (uint32_t i = 0; i < spawner->slot_count; i++)
        spawner_release_walls(spawner, i, &spawner->slots[i]);
    if (spawner->group_fd >= 0)
        cgroup_remove(spawner->group_path, 1000, NULL);
    if (!spawner->tidy)
        return;
    if (paths_empty(spawner->work_fd) == 0)
        unlinkat(spawner->run_fd, PATHS_WORK, AT_REMOVEDIR);
}

static void close_all(struct spawner *spawner)
{
    for (uint32_t i = 0; i < spawner->slot_count; i++)
        slot_close(&spawner->slots[i]);
    sandbox_base_destroy(spawner->base);
    mf_free(spawner->slots);
    for (size_t i = 0; i < SPAWNER_LANES; i++) {
        while (spawner->lanes[i].queue != NULL) {
            struct spawner_queued *next = spawner->lanes[i].queue->next;
            mf_free(spawner->lanes[i].queue);
            spawner->lanes[i].queue = next;
        }
    }
    mf_free(spawner->pointers);
    mf_buf_free(&spawner->in);
    mf_buf_free(&spawner->out);
    mf_buf_free(&spawner->scratch);
}

int spawner_run(const struct spawner_options *options)
{
    struct spawner spawner = {
        .socket_fd = options->socket_fd,
        .run_fd = options->run_fd,
        .run_dir = options->run_dir,
        .run_id = options->run_id,
        .children_fd = -1,
        .group_fd = -1,
        .agent_uid = options->agent_uid,
    };
    for (size_t i = 0; i < SPAWNER_LANES; i++)
        spawner.lanes[i].queue_end = &spawner.lanes[i].queue;
    mf_buf_init_secret(&spawner.in, FRAME_WHOLE_BYTES_MAX + READ_BYTES);
    mf_buf_init(&spawner.out, OUT_BYTES_MAX);
    mf_buf_init(&spawner.scratch, 2 * FRAME_BYTES_MAX);
    if (harden(&spawner) != 0 || enter_namespace(&spawner) != 0 || open_directories(&spawner) != 0)
        return 1;
    open_group(&spawner);
    open_children_list(&spawner);
    spawner_start_remover(&spawner);
    loop(&spawner);
    look_for_stop(&spawner);
    spawner_kill_all(&spawner);
    tidy(&spawner);
    close_all(&spawner);
    return 0;
}
