/* runner_protocol.c - frames and messages: round trips, every cut, wrong directions, hostile lengths and counts */
#include "runner/message.h"

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void write_small(struct mf_buf *out)
{
    struct frame_writer writer;
    mf_buf_init(out, 4096);
    frame_begin(&writer, out, FRAME_STARTED, 0x1122334455667788, 9);
    frame_put_i64(&writer, -5);
    frame_put_text(&writer, "word");
    frame_put_flag(&writer, true);
    assert_int_equal(frame_end(&writer), 0);
}

static void a_frame_has_the_documented_bytes(void **state)
{
    (void)state;
    struct mf_buf out;
    write_small(&out);
    static const unsigned char head[] = {50,   0,    0,    0, 9, 0, 0x88, 0x77, 0x66, 0x55, 0x44,
                                         0x33, 0x22, 0x11, 9, 0, 0, 0,    0,    0,    0,    0};
    assert_int_equal(out.length, 54);
    assert_memory_equal(out.data, head, sizeof head);
    mf_buf_free(&out);
}

static void a_frame_is_partial_until_its_last_byte(void **state)
{
    (void)state;
    struct mf_buf out;
    struct frame frame;
    size_t consumed;
    write_small(&out);
    for (size_t length = 0; length < out.length; length++)
        assert_int_equal(frame_parse((struct mf_span){out.data, length}, FRAME_FROM_RUNNER, &frame, &consumed),
                         FRAME_PARSE_PARTIAL);
    assert_int_equal(frame_parse(mf_buf_view(&out), FRAME_FROM_RUNNER, &frame, &consumed), FRAME_PARSE_WHOLE);
    assert_int_equal(consumed, out.length);
    assert_int_equal(frame.stage, 0x1122334455667788);
    struct frame_reader reader;
    char word[8];
    frame_read(&reader, frame.payload);
    assert_int_equal(frame_take_i64(&reader), -5);
    frame_take_text(&reader, word, sizeof word);
    assert_string_equal(word, "word");
    assert_true(frame_take_flag(&reader));
    assert_true(frame_read_end(&reader));
    mf_buf_free(&out);
}

static void direction_type_and_size_are_checked(void **state)
{
    (void)state;
    struct mf_buf out;
    struct frame frame;
    size_t consumed;
    write_small(&out);
    assert_int_equal(frame_parse(mf_buf_view(&out), FRAME_FROM_ORCHESTRATOR, &frame, &consumed), FRAME_PARSE_BAD);
    out.data[4] = 60;
    assert_int_equal(frame_parse(mf_buf_view(&out), FRAME_FROM_RUNNER, &frame, &consumed), FRAME_PARSE_BAD);
    out.data[4] = 9;
    memcpy(out.data, "\x01\x00\x10\x00", 4); /* one more than 1 MiB */
    assert_int_equal(frame_parse((struct mf_span){out.data, 4}, FRAME_FROM_RUNNER, &frame, &consumed), FRAME_PARSE_BAD);
    memcpy(out.data, "\x11\x00\x00\x00", 4); /* less than the head */
    assert_int_equal(frame_parse((struct mf_span){out.data, 4}, FRAME_FROM_RUNNER, &frame, &consumed), FRAME_PARSE_BAD);
    mf_buf_free(&out);
}

static void a_frame_that_is_too_long_leaves_no_trace(void **state)
{
    (void)state;
    struct mf_buf out;
    struct frame_writer writer;
    char *large = calloc(1, FRAME_BYTES_MAX);
    mf_buf_init(&out, 4 * FRAME_BYTES_MAX);
    frame_begin(&writer, &out, FRAME_DROP, 0, 1);
    assert_int_equal(frame_end(&writer), 0);
    frame_begin(&writer, &out, FRAME_SPAWN, 1, 0);
    frame_put_span(&writer, (struct mf_span){large, FRAME_BYTES_MAX - 10});
    assert_int_equal(frame_end(&writer), -1);
    assert_int_equal(out.length, FRAME_HEAD_BYTES);
    frame_begin(&writer, &out, FRAME_DROP, 0, 2);
    assert_int_equal(frame_end(&writer), 0);
    mf_buf_free(&out);
    free(large);
}

static void a_reader_stays_bad(void **state)
{
    (void)state;
    struct frame_reader reader;
    frame_read(&reader, (struct mf_span){"\x05\x00\x00\x00"
                                         "ab",
                                         6});
    assert_int_equal(frame_take_span(&reader).length, 0);
    assert_true(reader.bad);
    assert_int_equal(frame_take_u64(&reader), 0);
    assert_false(frame_read_end(&reader));
    frame_read(&reader, (struct mf_span){"\x08\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00", 12});
    assert_false(frame_take_flag(&reader));
    assert_true(reader.bad);
    frame_read(&reader, (struct mf_span){"\x08\x00\x00\x00\xff\xff\xff\x7f\x00\x00\x00\x00", 12});
    assert_int_equal(frame_take_count(&reader), 0); /* two billion items in no bytes */
    assert_true(reader.bad);
}

static size_t write_spawn(struct mf_buf *out)
{
    struct mf_span argv[] = {MF_SPAN("sh"), MF_SPAN("-c"), MF_SPAN("")};
    struct runner_variable environment[] = {{MF_SPAN("A"), MF_SPAN("1")}, {MF_SPAN("B"), MF_SPAN("")}};
    struct runner_input inputs[] = {{MF_SPAN("plan"), MF_SPAN("aa"), MF_SPAN("plan/1/outputs")}};
    uint64_t leases[] = {7, 8};
    struct message_spawn message = {.spawn = {.verify = true,
                                              .path = MF_SPAN("deploy/web"),
                                              .attempt = 3,
                                              .base = MF_SPAN("/base"),
                                              .argv = argv,
                                              .argc = 3,
                                              .environment = environment,
                                              .environment_count = 2,
                                              .prompt = MF_SPAN(""),
                                              .inputs = inputs,
                                              .input_count = 1,
                                              .leases = leases,
                                              .lease_count = 2,
                                              .outputs_bytes_max = UINT64_MAX}};
    struct frame_writer writer;
    mf_buf_init(out, 65536);
    frame_begin(&writer, out, FRAME_SPAWN, 5, 0);
    message_put_spawn(&writer, &message);
    assert_int_equal(frame_end(&writer), 0);
    return out->length;
}

static void a_spawn_comes_back_as_it_was(void **state)
{
    (void)state;
    struct mf_buf out;
    struct message_spawn message;
    struct message_memory memory;
    write_spawn(&out);
    struct mf_span payload = {out.data + FRAME_HEAD_BYTES, out.length - FRAME_HEAD_BYTES};
    assert_int_equal(message_take_spawn(payload, &message, &memory), 0);
    const struct runner_spawn *spawn = &message.spawn;
    assert_true(spawn->verify && spawn->attempt == 3 && spawn->argc == 3 && spawn->environment_count == 2);
    assert_true(mf_span_is(spawn->path, "deploy/web") && mf_span_is(spawn->argv[0], "sh") &&
                mf_span_is(spawn->argv[2], ""));
    assert_true(mf_span_is(spawn->environment[0].value, "1") && mf_span_is(spawn->inputs[0].outputs, "plan/1/outputs"));
    assert_true(spawn->lease_count == 2 && spawn->leases[1] == 8 && spawn->outputs_bytes_max == UINT64_MAX);
    assert_non_null(spawn->prompt.data); /* empty is not none */
    message_memory_free(&memory);
    mf_buf_free(&out);
}

static void every_cut_and_every_changed_byte_is_survived(void **state)
{
    (void)state;
    struct mf_buf out;
    struct message_spawn message;
    struct message_memory memory;
    write_spawn(&out);
    size_t length = out.length - FRAME_HEAD_BYTES;
    char *copy = malloc(length); /* exactly as long, so that a sanitizer sees a read behind it */
    for (size_t cut = 0; cut < length; cut++) {
        char *part = malloc(cut + (cut == 0));
        memcpy(part, out.data + FRAME_HEAD_BYTES, cut);
        assert_int_equal(message_take_spawn((struct mf_span){part, cut}, &message, &memory), -1);
        free(part);
    }
    for (size_t at = 0; at < length; at++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, out.data + FRAME_HEAD_BYTES, length);
            copy[at] = (char)(copy[at] ^ (1 << bit));
            if (message_take_spawn((struct mf_span){copy, length}, &message, &memory) == 0)
                message_memory_free(&memory);
        }
    }
    free(copy);
    mf_buf_free(&out);
}

static void no_memory_is_a_bad_message_not_a_crash(void **state)
{
    (void)state;
    struct mf_buf out;
    struct message_spawn message;
    struct message_memory memory;
    write_spawn(&out);
    struct mf_span payload = {out.data + FRAME_HEAD_BYTES, out.length - FRAME_HEAD_BYTES};
    for (int64_t n = 0; n < 4; n++) {
        mf_alloc_fail_after(n, 1);
        assert_int_equal(message_take_spawn(payload, &message, &memory), -1);
    }
    mf_alloc_fail_after(-1, 0);
    mf_buf_free(&out);
}

static void types_have_names_and_numbers_of_their_own(void **state)
{
    (void)state;
    static const uint16_t numbers[] = {
#define X(name, number, senders, descriptors) number,
        FRAME_TYPES(X)
#undef X
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(numbers[i], numbers[k]);
    assert_string_equal(frame_type_name(FRAME_SPAWN), "SPAWN");
    assert_string_equal(frame_type_name(9999), "?");
    assert_int_equal(frame_type_descriptors(FRAME_RUN_STARTED), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_has_the_documented_bytes),
        cmocka_unit_test(a_frame_is_partial_until_its_last_byte),
        cmocka_unit_test(direction_type_and_size_are_checked),
        cmocka_unit_test(a_frame_that_is_too_long_leaves_no_trace),
        cmocka_unit_test(a_reader_stays_bad),
        cmocka_unit_test(a_spawn_comes_back_as_it_was),
        cmocka_unit_test(every_cut_and_every_changed_byte_is_survived),
        cmocka_unit_test(no_memory_is_a_bad_message_not_a_crash),
        cmocka_unit_test(types_have_names_and_numbers_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
