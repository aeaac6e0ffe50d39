/* runner_channel.c - a connection on the loop: whole frames, descriptors, and each way in which a peer is dead */
#include "runner/channel.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct net_loop *loop;
    struct channel *channel;
    int far; /* the peer's end, blocking */
    int frames;
    uint64_t stages; /* sum */
    int answer;      /* what the handler returns */
    int taken;       /* descriptors that came */
    int closed;
    char reason[160];
    int64_t until_ms;
};

static int on_frame(void *context, const struct frame *frame, const int *descriptors)
{
    struct fixture *fixture = context;
    fixture->frames++;
    fixture->stages += frame->stage;
    for (uint32_t i = 0; i < frame_type_descriptors(frame->type); i++, fixture->taken++) {
        assert_true((fcntl(descriptors[i], F_GETFD) & FD_CLOEXEC) != 0);
        close(descriptors[i]);
    }
    return fixture->answer;
}

static void on_closed(void *context, const char *reason)
{
    struct fixture *fixture = context;
    fixture->closed++;
    snprintf(fixture->reason, sizeof fixture->reason, "%s", reason);
}

static void on_turn(void *context)
{
    struct fixture *fixture = context;
    if (fixture->closed > 0 || net_now_ms() >= fixture->until_ms)
        net_loop_stop(fixture->loop);
}

static void run_for(struct fixture *fixture, int64_t duration_ms)
{
    fixture->until_ms = net_now_ms() + duration_ms;
    net_loop_on_turn(fixture->loop, on_turn, fixture);
    net_loop_deadline(fixture->loop, fixture->until_ms);
    net_loop_run(fixture->loop);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct channel_handlers handlers = {on_frame, on_closed};
    int ends[2];
    if (fixture == NULL || net_loop_create(&fixture->loop, NULL) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    fixture->far = ends[1];
    *state = fixture;
    return channel_create(&fixture->channel, fixture->loop, ends[0], FRAME_FROM_SPAWNER, &handlers, fixture, NULL);
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    channel_destroy(fixture->channel);
    net_loop_destroy(fixture->loop);
    if (fixture->far >= 0)
        close(fixture->far);
    free(fixture);
    return 0;
}

static size_t make_frame(char out[64], enum frame_type type, uint64_t stage)
{
    struct mf_buf buf;
    struct frame_writer writer;
    mf_buf_init(&buf, 64);
    frame_begin(&writer, &buf, type, stage, 0);
    assert_int_equal(frame_end(&writer), 0);
    size_t length = buf.length;
    memcpy(out, buf.data, length);
    mf_buf_free(&buf);
    return length;
}

static void frames_come_whole_whatever_the_writes(void **state)
{
    struct fixture *fixture = *state;
    char bytes[128];
    size_t length = make_frame(bytes, FRAME_RUN_FAILED, 1);
    length += make_frame(bytes + length, FRAME_RUN_ENDED, 10);
    for (size_t i = 0; i < length; i++) {
        assert_int_equal(write(fixture->far, bytes + i, 1), 1);
        run_for(fixture, 1);
    }
    assert_int_equal(fixture->frames, 2);
    assert_int_equal(fixture->stages, 11);
    assert_int_equal(fixture->closed, 0);
}

static void send_with_descriptors(int fd, const char *bytes, size_t length, int count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {0};
    int descriptors[3] = {0, 0, 0};
    struct iovec part = {(char *)(uintptr_t)bytes, length};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, (size_t)count * sizeof(int));
    assert_int_equal(sendmsg(fd, &message, 0), (ssize_t)length);
}

static void descriptors_find_their_frames(void **state)
{
    struct fixture *fixture = *state;
    char bytes[128];
    size_t plain = make_frame(bytes, FRAME_RUN_FAILED, 1);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(write(fixture->far, bytes, plain), (ssize_t)plain);
        char started[64];
        size_t length = make_frame(started, FRAME_RUN_STARTED, 2);
        send_with_descriptors(fixture->far, started, length, 3);
    }
    run_for(fixture, 50);
    assert_int_equal(fixture->frames, 100);
    assert_int_equal(fixture->taken, 150);
}

static void a_frame_without_its_descriptors_is_the_end(void **state)
{
    struct fixture *fixture = *state;
    char bytes[64];
    size_t length = make_frame(bytes, FRAME_RUN_STARTED, 1);
    assert_int_equal(write(fixture->far, bytes, length), (ssize_t)length);
    run_for(fixture, 500);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->frames, 0);
}

static void what_may_not_be_sent_is_the_end(void **state)
{
    struct fixture *fixture = *state;
    char bytes[64];
    size_t length = make_frame(bytes, FRAME_SPAWN, 1);
    assert_int_equal(write(fixture->far, bytes, length), (ssize_t)length);
    run_for(fixture, 500);
    assert_int_equal(fixture->closed, 1);
    assert_non_null(strstr(fixture->reason, "unknown type or size"));
    assert_int_equal(channel_queued(fixture->channel), 0);
    struct frame_writer writer;
    channel_begin(fixture->channel, &writer, FRAME_RUN, 1, 0);
    assert_int_equal(channel_end(fixture->channel, &writer, NULL), -1);
}

static void an_oversized_length_is_the_end(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(write(fixture->far, "\xff\xff\xff\x7f", 4), 4);
    run_for(fixture, 500);
    assert_int_equal(fixture->closed, 1);
}

static void a_message_that_the_handler_calls_bad_is_the_end(void **state)
{
    struct fixture *fixture = *state;
    char bytes[128];
    size_t length = make_frame(bytes, FRAME_RUN_ENDED, 1);
    length += make_frame(bytes + length, FRAME_RUN_ENDED, 1);
    fixture->answer = -1;
    assert_int_equal(write(fixture->far, bytes, length), (ssize_t)length);
    run_for(fixture, 500);
    assert_int_equal(fixture->frames, 1);
    assert_int_equal(fixture->closed, 1);
    assert_non_null(strstr(fixture->reason, "RUN_ENDED"));
}

static void end_of_file_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    char bytes[64];
    size_t length = make_frame(bytes, FRAME_RUN_ENDED, 1);
    assert_int_equal(write(fixture->far, bytes, length - 1), (ssize_t)length - 1);
    close(fixture->far);
    fixture->far = -1;
    run_for(fixture, 500);
    assert_int_equal(fixture->closed, 1);
    assert_string_equal(fixture->reason, "end of file inside a message");
    fixture->closed = 0;
    run_for(fixture, 20);
    assert_int_equal(fixture->closed, 0);
}

static void a_full_queue_is_the_end(void **state)
{
    struct fixture *fixture = *state;
    char *large = calloc(1, 1 << 20);
    struct frame_writer writer;
    int sent = 0;
    for (; sent < 40; sent++) {
        channel_begin(fixture->channel, &writer, FRAME_JOB, 1, 0);
        frame_put_span(&writer, (struct mf_span){large, (1 << 20) - 64});
        if (channel_end(fixture->channel, &writer, NULL) != 0)
            break;
    }
    assert_int_equal(sent, 17);
    run_for(fixture, 500);
    assert_int_equal(fixture->closed, 1);
    assert_string_equal(fixture->reason, "the queue is full");
    free(large);
}

static void a_paused_channel_reads_nothing_and_goes_on(void **state)
{
    struct fixture *fixture = *state;
    char bytes[64];
    size_t length = make_frame(bytes, FRAME_RUN_ENDED, 1);
    channel_pause(fixture->channel, true);
    for (int i = 0; i < 10; i++)
        assert_int_equal(write(fixture->far, bytes, length), (ssize_t)length);
    run_for(fixture, 20);
    assert_int_equal(fixture->frames, 0);
    channel_pause(fixture->channel, false);
    run_for(fixture, 20);
    assert_int_equal(fixture->frames, 10);
}

static void what_is_queued_arrives_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct frame_writer writer;
    char got[FRAME_HEAD_BYTES];
    for (uint64_t stage = 1; stage <= 1000; stage++) {
        channel_begin(fixture->channel, &writer, FRAME_RELEASE, stage, 0);
        assert_int_equal(channel_end(fixture->channel, &writer, NULL), 0);
    }
    run_for(fixture, 20);
    assert_int_equal(channel_queued(fixture->channel), 0);
    for (uint64_t stage = 1; stage <= 1000; stage++) {
        struct frame frame;
        size_t consumed;
        assert_int_equal(recv(fixture->far, got, sizeof got, MSG_WAITALL), (ssize_t)sizeof got);
        assert_int_equal(frame_parse((struct mf_span){got, sizeof got}, FRAME_TO_SPAWNER, &frame, &consumed),
                         FRAME_PARSE_WHOLE);
        assert_int_equal(frame.stage, stage);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_come_whole_whatever_the_writes),
        TEST(descriptors_find_their_frames),
        TEST(a_frame_without_its_descriptors_is_the_end),
        TEST(what_may_not_be_sent_is_the_end),
        TEST(an_oversized_length_is_the_end),
        TEST(a_message_that_the_handler_calls_bad_is_the_end),
        TEST(end_of_file_is_told_once),
        TEST(a_full_queue_is_the_end),
        TEST(a_paused_channel_reads_nothing_and_goes_on),
        TEST(what_is_queued_arrives_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
