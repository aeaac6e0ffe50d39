/*
 * emulator_load.c - a plain HTTP/1.1 client on a few connections, as lean as can be: it shall measure the server, not itself
 *
 *     bench_emulator_load PORT COUNT get PATH       so many GETs of one path
 *     bench_emulator_load PORT COUNT create         so many accounts made
 *     bench_emulator_load PORT COUNT cycle          so many accounts made and deleted again
 *
 * The bearer token comes from $MAYFLY_EMULATOR_TOKEN. Prints requests, milliseconds, own processor time in milliseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 16
#define ID_BYTES 32

enum mode { GET, CREATE, CYCLE };

struct connection {
    int fd;
    bool busy, deleting; /* deleting: the id of the last answer is the next request */
    char id[ID_BYTES + 1];
    char answer[16384];
    size_t length;
};

static struct connection connections[CONNECTIONS];
static enum mode mode;
static const char *path = "/", *token;
static long started, done, wanted, requests;

static void die(const char *what)
{
    fprintf(stderr, "emulator_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        die("connect");
    return fd;
}

static void send_request(struct connection *connection)
{
    char text[2048], body[128] = "";
    const char *method = mode == GET ? "GET" : connection->deleting ? "DELETE" : "POST";
    if (mode != GET && !connection->deleting)
        snprintf(body, sizeof(body), "{\"name\":\"bench-%ld\",\"type\":\"standard\"}", started);
    int length =
        snprintf(text, sizeof(text),
                 "%s %s%s%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n%s",
                 method, mode == GET ? path : "/client/v4/accounts", connection->deleting ? "/" : "",
                 connection->deleting ? connection->id : "", token, strlen(body), body);
    if (write(connection->fd, text, (size_t)length) != length)
        die("write");
    connection->busy = true;
    connection->length = 0;
    requests++;
}

/* True when the answer is whole. */
static bool receive(struct connection *connection)
{
    ssize_t got = read(connection->fd, connection->answer + connection->length,
                       sizeof(connection->answer) - 1 - connection->length);
    if (got <= 0)
        die("read");
    connection->length += (size_t)got;
    connection->answer[connection->length] = '\0';
    const char *end = strstr(connection->answer, "\r\n\r\n"),
               *length = strcasestr(connection->answer, "content-length:");
    return end != NULL && length != NULL &&
           connection->length >= (size_t)(end - connection->answer) + 4 + strtoul(length + 15, NULL, 10);
}

static void take_answer(struct connection *connection)
{
    const char *id = strstr(connection->answer, "\"id\":\"");
    connection->busy = false;
    if (strncmp(connection->answer, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "emulator_load: %.200s\n", connection->answer);
        exit(1);
    }
    if (mode == CYCLE && !connection->deleting && id != NULL) {
        memcpy(connection->id, id + 6, ID_BYTES);
        connection->deleting = true;
        send_request(connection);
        return;
    }
    connection->deleting = false;
    done++;
    if (started < wanted) {
        started++;
        send_request(connection);
    }
}

static void run(void)
{
    struct pollfd polls[CONNECTIONS];
    for (int each = 0; each < CONNECTIONS && started < wanted; each++) {
        started++;
        send_request(&connections[each]);
    }
    while (done < wanted) {
        for (int each = 0; each < CONNECTIONS; each++)
            polls[each] = (struct pollfd){.fd = connections[each].busy ? connections[each].fd : -1, .events = POLLIN};
        if (poll(polls, CONNECTIONS, 30000) <= 0)
            die("poll");
        for (int each = 0; each < CONNECTIONS; each++)
            if (polls[each].revents != 0 && receive(&connections[each]))
                take_answer(&connections[each]);
    }
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    if (argc < 4 || (strcmp(argv[3], "get") == 0 && argc < 5)) {
        fprintf(stderr, "usage: bench_emulator_load PORT COUNT get PATH | create | cycle\n");
        return 2;
    }
    token = getenv("MAYFLY_EMULATOR_TOKEN");
    token = token == NULL ? "" : token;
    wanted = strtol(argv[2], NULL, 10);
    mode = strcmp(argv[3], "get") == 0 ? GET : strcmp(argv[3], "create") == 0 ? CREATE : CYCLE;
    if (mode == GET)
        path = argv[4];
    for (int each = 0; each < CONNECTIONS; each++)
        connections[each].fd = connect_to((uint16_t)strtoul(argv[1], NULL, 10));
    double begin = now_ms();
    run();
    double wall = now_ms() - begin;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld %.1f %.1f\n", requests, wall,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3);
    return 0;
}
