/* http2.c - frames of RFC 9113, as far as one needs them to misbehave */
#include "emulator/http2.h"

#include <string.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define HEAD_BYTES 9u
#define FLOOD_FRAMES 65536u /* of 14 bytes: clients that count give up within the first tenth */

enum frame { FRAME_HEADERS = 1, FRAME_RESET = 3, FRAME_SETTINGS = 4, FRAME_PING = 6, FRAME_GOAWAY = 7 };
enum flag { FLAG_ACK = 1, FLAG_END_STREAM = 1, FLAG_END_HEADERS = 4 };

void emu_http2_init(struct emu_http2 *http2, enum emu_play play, uint32_t error)
{
    *http2 = (struct emu_http2){.play = play, .error = error};
    mf_buf_init(&http2->input, EMU_HTTP2_BYTES_MAX);
}

void emu_http2_free(struct emu_http2 *http2)
{
    mf_buf_free(&http2->input);
}

static void put_u32(struct mf_buf *out, uint32_t number)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        mf_buf_char(out, (char)(number >> shift & 0xff));
}

static void put_frame(struct mf_buf *out, enum frame type, unsigned flags, uint32_t stream, const void *payload, size_t bytes)
{
    put_u32(out, (uint32_t)bytes << 8 | (uint32_t)type);
    mf_buf_char(out, (char)flags);
    put_u32(out, stream);
    mf_buf_append(out, payload, bytes);
}

/* ":status" is entry 8 of the static table (RFC 7541, appendix A); a literal that is not indexed. */
static void put_status(struct mf_buf *out, const char *status, unsigned flags, uint32_t stream)
{
    char field[5] = {0x08, 0x03, status[0], status[1], status[2]};
    put_frame(out, FRAME_HEADERS, flags, stream, field, sizeof(field));
}

static void put_reset(struct mf_buf *out, uint32_t stream, uint32_t error)
{
    char number[4] = {(char)(error >> 24), (char)(error >> 16), (char)(error >> 8), (char)error};
    put_frame(out, FRAME_RESET, 0, stream, number, sizeof(number));
}

static void play(struct emu_http2 *http2, uint32_t stream, struct mf_buf *out)
{
    static const char nothing[8]; /* GOAWAY: last stream 0, NO_ERROR */
    switch (http2->play) {
    case EMU_PLAY_GOAWAY:
        put_frame(out, FRAME_GOAWAY, 0, 0, nothing, sizeof(nothing));
        break;
    case EMU_PLAY_RESET:
        put_reset(out, stream, http2->error);
        break;
    case EMU_PLAY_INFORMATIONAL:
        for (unsigned i = 0; i < FLOOD_FRAMES; i++)
            put_status(out, "103", FLAG_END_HEADERS, stream);
        put_reset(out, stream, EMU_HTTP2_REFUSED_STREAM);
        break;
    case EMU_PLAY_MISDIRECTED:
        put_status(out, "421", FLAG_END_HEADERS | FLAG_END_STREAM, stream);
        break;
    case EMU_PLAY_SILENCE:
        break;
    }
}

static void on_frame(struct emu_http2 *http2, const unsigned char *head, struct mf_span payload, struct mf_buf *out)
{
    uint32_t stream = ((uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]) & 0x7fffffff;
    if (head[3] == FRAME_SETTINGS && (head[4] & FLAG_ACK) == 0)
        put_frame(out, FRAME_SETTINGS, FLAG_ACK, 0, "", 0);
    else if (head[3] == FRAME_PING && (head[4] & FLAG_ACK) == 0)
        put_frame(out, FRAME_PING, FLAG_ACK, 0, payload.data, payload.length);
    else if (head[3] == FRAME_HEADERS)
        play(http2, stream, out);
}

static int greet(struct emu_http2 *http2, struct mf_buf *out)
{
    size_t bytes = strlen(PREFACE), known = http2->input.length < bytes ? http2->input.length : bytes;
    if (memcmp(http2->input.data, PREFACE, known) != 0)
        return -1;
    if (known < bytes)
        return 0;
    mf_buf_consume(&http2->input, bytes);
    http2->greeted = true;
    put_frame(out, FRAME_SETTINGS, 0, 0, "", 0);
    return 0;
}

int emu_http2_take(struct emu_http2 *http2, struct mf_span bytes, struct mf_buf *answer)
{
    struct mf_buf *input = &http2->input;
    if (mf_buf_span(input, bytes) != 0 || (!http2->greeted && input->length > 0 && greet(http2, answer) != 0))
        return -1;
    while (http2->greeted && input->length >= HEAD_BYTES) {
        const unsigned char *head = (const unsigned char *)input->data;
        size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (length > EMU_HTTP2_BYTES_MAX - HEAD_BYTES)
            return -1;
        if (input->length < HEAD_BYTES + length)
            break;
        on_frame(http2, head, (struct mf_span){input->data + HEAD_BYTES, length}, answer);
        mf_buf_consume(input, HEAD_BYTES + length);
    }
    return answer->failed ? -1 : 0;
}
