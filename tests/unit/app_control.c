/* app_control.c - unit tests of app/control.c: both ends over a real socket, hostile clients included */
#include "app/control.h"
#include "app_help.h"
#include "store_help.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

static const char *const names[] = {"first", "second"};

struct world {
    struct help_app help;
    struct help_run run;
    struct app *app;
    char path[108];
    const char *request; /* what the client sends */
    size_t bytes;        /* > 0: so many bytes of it, by a client that is none of ours */
    struct mf_buf answer;
    struct mf_error error;
    int result;
};

static void open_world(struct world *world)
{
    struct mf_error error = {0};
    memset(world, 0, sizeof *world);
    help_app_open(&world->help, "{\"mayfly\": 1, \"tasks\": {\"first\": {\"command\": [\"true\"]}, \"second\": {\"command\": [\"true\"]}}}",
                  names, 2);
    help_open(&world->run);
    world->app = &world->help.app;
    world->app->journal = world->run.journal;
    mf_buf_init(&world->answer, 4096);
    assert_ok(net_loop_create(&world->app->loop, &error));
    assert_ok(control_path(world->app->run_id, world->path, sizeof world->path, &error));
    assert_ok(app_control_open(world->app, &error));
}

static void close_world(struct world *world)
{
    app_control_close(world->app);
    assert_int_equal(access(world->path, F_OK), -1);
    mf_free(world->app->inputs);
    net_loop_destroy(world->app->loop);
    mf_buf_free(&world->answer);
    help_close(&world->run);
    help_app_close(&world->help);
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Sends the bytes as they are and takes what comes until the other end hangs up. */
static int raw_request(struct world *world)
{
    char bytes[256];
    ssize_t got;
    int fd = dial(world->path);
    for (size_t sent = 0; fd >= 0 && sent < world->bytes;) {
        ssize_t part = send(fd, world->request + sent, world->bytes - sent, MSG_NOSIGNAL);
        if (part < 0)
            break; /* cut off: that is an answer too */
        sent += (size_t)part;
    }
    while (fd >= 0 && (got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        mf_buf_append(&world->answer, bytes, (size_t)got);
    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 0 : -1;
}

static void *client(void *context)
{
    struct world *world = context;
    world->result = world->bytes > 0 ? raw_request(world) : control_request(world->path, world->request, 5000, &world->answer, &world->error);
    net_loop_wake(world->app->loop);
    return NULL;
}

static void woken(void *context)
{
    struct world *world = context;
    net_loop_stop(world->app->loop);
}

/* One client in a thread of its own; the loop runs until it is served. `bytes` 0: the real client. */
static const char *ask(struct world *world, const char *request, size_t bytes)
{
    pthread_t thread;
    world->request = request;
    world->bytes = bytes;
    mf_buf_clear(&world->answer);
    net_loop_on_wake(world->app->loop, woken, world);
    assert_int_equal(pthread_create(&thread, NULL, client, world), 0);
    net_loop_run(world->app->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return mf_buf_cstr(&world->answer);
}

static void test_requests(void **state)
{
    (void)state;
    struct world world;
    open_world(&world);
    assert_string_equal(ask(&world, "{\"op\":\"ping\"}\n", 0), "{\"ok\":true,\"run\":\"abcdefgh2345\"}\n");
    assert_int_equal(world.app->input_count, 0);
    assert_string_equal(ask(&world, "{\"op\":\"cancel\",\"tasks\":[\"second\",\"third\"]}\n", 0), "{\"ok\":false,\"cancelled\":1,\"unknown\":1}\n");
    assert_int_equal(world.app->input_count, 1);
    assert_int_equal(world.app->inputs[0].core.kind, CORE_INPUT_CANCEL);
    assert_int_equal(world.app->inputs[0].core.node, 1);
    assert_string_equal(ask(&world, "{\"op\":\"cancel\"}\n", 0), "{\"ok\":true}\n");
    assert_int_equal(world.app->input_count, 2);
    assert_string_equal(ask(&world, "{\"op\":\"cancel\",\"kill\":true}\n", 0), "{\"ok\":true}\n");
    assert_int_equal(world.app->input_count, 4);
    assert_int_equal(world.app->inputs[2].core.kind, CORE_INPUT_CANCEL);
    assert_int_equal(world.app->inputs[3].core.kind, CORE_INPUT_SIGNAL);
    assert_int_equal(world.app->inputs[3].core.level, 2);
    assert_int_equal(world.app->inputs[1].core.node, CORE_NONE);
    close_world(&world);
}

/* None of these does anything, and the next client is served. */
static void test_foreign_bytes(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "\n", "GET / HTTP/1.1\r\n\r\n", "{\"op\":\"shutdown\"}\n", "{\"op\":[\"cancel\"]}\n", "[]\n", "{\"op\":\"cancel\",\"op\":\"cancel\"}\n",
        "{\"op\":\"cancel\",\"tasks\":\"first\"}\n", "{\"op\":\"cancel\",\"tasks\":{\"first\":1}}\n", "{\"op\":\"cancel\",\"tasks\":[1,null,[\"first\"]]}\n",
    };
    struct world world;
    open_world(&world);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        const char *answer = ask(&world, requests[i], strlen(requests[i]));
        if (strncmp(answer, "{\"ok\":false", 11) != 0 || world.app->input_count != 0)
            fail_msg("%s was answered %s", requests[i], answer);
    }
    ask(&world, "\0\xff{}\n", 5);
    assert_int_equal(world.app->input_count, 0);
    assert_string_equal(ask(&world, "{\"op\":\"ping\"}\n", 0), "{\"ok\":true,\"run\":\"abcdefgh2345\"}\n");
    close_world(&world);
}

static void test_too_much(void **state)
{
    (void)state;
    struct world world;
    size_t bytes = 1u << 20;
    char *request = malloc(bytes);
    assert_non_null(request);
    memset(request, ' ', bytes);
    open_world(&world);
    assert_string_equal(ask(&world, request, bytes), "");
    assert_string_equal(ask(&world, "{\"op\":\"ping\"}\n", 0), "{\"ok\":true,\"run\":\"abcdefgh2345\"}\n");
    close_world(&world);
    free(request);
}

/* Clients that say nothing hold their places; one more is cut off; when they leave, all goes on. */
static void test_silent_clients(void **state)
{
    (void)state;
    struct world world;
    int silent[8];
    open_world(&world);
    for (int i = 0; i < 8; i++)
        assert_true((silent[i] = dial(world.path)) >= 0);
    assert_string_equal(ask(&world, "{\"op\":\"ping\"}\n", 14), "");
    for (int i = 0; i < 8; i++)
        close(silent[i]);
    ask(&world, "{\"op\":\"ping\"}\n", 14); /* the loop sees them leave */
    assert_string_equal(ask(&world, "{\"op\":\"ping\"}\n", 0), "{\"ok\":true,\"run\":\"abcdefgh2345\"}\n");
    close_world(&world);
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct mf_buf answer;
    struct mf_error error = {0};
    mf_buf_init(&answer, 256);
    assert_int_equal(control_request(help_path("none.sock"), "{}\n", 100, &answer, &error), -1);
    assert_int_equal(error.code, MF_NOT_FOUND);
    struct sockaddr_un address = {.sun_family = AF_UNIX}; /* one that takes the connection and never answers */
    snprintf(address.sun_path, sizeof address.sun_path, "%s", help_path("deaf.sock"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(control_request(address.sun_path, "{\"op\":\"ping\"}\n", 100, &answer, &error), -1);
    assert_int_equal(error.code, MF_NETWORK);
    close(fd);
    mf_buf_free(&answer);
}

static void test_path(void **state)
{
    (void)state;
    char path[108], long_name[120];
    struct mf_error error = {0};
    assert_ok(control_path("abc", path, sizeof path, &error));
    assert_string_equal(path, help_path("mayfly/abc.sock"));
    assert_int_equal(chmod(help_path("mayfly"), 0755), 0); /* others could put a socket of theirs there */
    assert_int_equal(control_path("abc", path, sizeof path, &error), -1);
    assert_int_equal(error.code, MF_STATE);
    assert_int_equal(chmod(help_path("mayfly"), 0700), 0);
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(control_path(long_name, path, sizeof path, &error), -1);
    assert_int_equal(error.code, MF_LIMIT);
}

static int open_base(void **state)
{
    (void)state;
    return setenv("XDG_RUNTIME_DIR", help_make_base(), 1);
}

static int remove_base(void **state)
{
    (void)state;
    help_remove_base();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests, open_base, remove_base),
        cmocka_unit_test_setup_teardown(test_foreign_bytes, open_base, remove_base),
        cmocka_unit_test_setup_teardown(test_too_much, open_base, remove_base),
        cmocka_unit_test_setup_teardown(test_silent_clients, open_base, remove_base),
        cmocka_unit_test_setup_teardown(test_nobody_there, open_base, remove_base),
        cmocka_unit_test_setup_teardown(test_path, open_base, remove_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
