/*
 * runner_protocol.c - any bytes as frames of the runner's protocol, and their payloads as each of the messages
 *
 * Held: parsing consumes only what was there, a message that is taken can be written and taken again with the same
 * bytes.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "runner/job.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define X(name, type)                                                                                                  \
    static void try_##name(struct mf_span payload)                                                                     \
    {                                                                                                                  \
        type message;                                                                                                  \
        struct message_memory memory;                                                                                  \
        if (message_take_##name(payload, &message, &memory) != 0)                                                      \
            return;                                                                                                    \
        struct mf_buf out;                                                                                             \
        mf_buf_init(&out, 4 * FRAME_BYTES_MAX);                                                                        \
        struct frame_writer writer = {&out, 0};                                                                        \
        message_put_##name(&writer, &message);                                                                         \
        mf_assert(!out.failed && out.length == payload.length);                                                        \
        mf_assert(out.length == 0 || memcmp(out.data, payload.data, out.length) == 0);                                 \
        mf_buf_free(&out);                                                                                             \
        message_memory_free(&memory);                                                                                  \
    }
#define MESSAGES(X)                                                                                                    \
    MESSAGE_CODECS(X)                                                                                                  \
    X(job, struct message_job)
MESSAGES(X)
#undef X

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mf_span bytes = {(const char *)data, size};
    struct frame frame;
    size_t consumed;
    while (frame_parse(bytes, ~0U, &frame, &consumed) == FRAME_PARSE_WHOLE) {
        mf_assert(consumed <= bytes.length);
        mf_assert(frame.payload.data + frame.payload.length == bytes.data + consumed);
#define X(name, type) try_##name(frame.payload);
        MESSAGES(X)
#undef X
        bytes.data += consumed;
        bytes.length -= consumed;
    }
#define X(name, type) try_##name((struct mf_span){(const char *)data, size});
    MESSAGES(X)
#undef X
    return 0;
}
