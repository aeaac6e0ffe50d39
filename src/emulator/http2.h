/*
 * emulator/http2.h - what an HTTP/2 server may do to a client, played on one connection
 *
 * The emulator answers over HTTP/1.1. A fault rule with the action `http2` makes it offer HTTP/2 to the connections that it
 * hits and do one thing to every request on them. No request is read, so none has an effect: what a client may conclude from
 * GOAWAY and REFUSED_STREAM is true. PURE.
 */
#ifndef MF_EMULATOR_HTTP2_H
#define MF_EMULATOR_HTTP2_H

#include "base/buf.h"
#include "base/str.h"

#include <stdint.h>

#define EMU_PLAYS(X)                                                                                                   \
    X(GOAWAY, "goaway")               /* GOAWAY that says that no stream was processed (RFC 9113, 6.8) */              \
    X(RESET, "reset")                 /* RST_STREAM with `error` (RFC 9113, 6.4) */                                    \
    X(INFORMATIONAL, "informational") /* 103 after 103, about one megabyte, then RST_STREAM */                         \
    X(MISDIRECTED, "misdirected")     /* 421: another connection may do (RFC 9110, 15.5.20) */                         \
    X(SILENCE, "silence")             /* settings are answered, requests are not */
enum emu_play {
#define X(play, name) EMU_PLAY_##play,
    EMU_PLAYS(X)
#undef X
};

#define EMU_HTTP2_REFUSED_STREAM 7u /* RFC 9113, section 7: not processed, may be sent again */
/* A client's frames: 16,384 bytes are allowed without asking (RFC 9113, 4.2), and its preface. */
#define EMU_HTTP2_BYTES_MAX (64u << 10)
/* What one piece of input may cause: a flood for each of the requests that fit a TLS record, about 100. */
#define EMU_HTTP2_ANSWER_BYTES_MAX (128u << 20)

struct emu_http2 {
    enum emu_play play;
    uint32_t error;      /* RESET */
    bool greeted;        /* the preface was read */
    struct mf_buf input; /* owned: an incomplete frame */
};

void emu_http2_init(struct emu_http2 *http2, enum emu_play play, uint32_t error);
void emu_http2_free(struct emu_http2 *http2);
/* Takes what the client sent, appends what it gets. -1: no HTTP/2, or no memory: the connection ends. */
int emu_http2_take(struct emu_http2 *http2, struct mf_span bytes, struct mf_buf *answer);

#endif
