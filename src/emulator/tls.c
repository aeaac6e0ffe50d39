/*
 * tls.c - TLS between the socket and the parser: OpenSSL over memory, no sockets of its own
 *
 * TLS 1.2 and newer, HTTP/1.1 but for connections on which a fault script plays HTTP/2 (http2.h). The server hands in what came from the wire and takes what must go back, so that the
 * event loop stays the only one who touches descriptors.
 */
#include "base/alloc.h"
#include "emulator/emulator_private.h"
#include "emulator/fault.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { PIECE_BYTES = 16384 };

struct emu_tls {
    SSL_CTX *context;
    struct emu_faults *const *faults;
    struct net_filter filter;
};

/* --- one connection --- */

struct session {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    bool scripted; /* HTTP/2 was chosen, and `http2` plays it */
    struct emu_http2 http2;
};

static void *session_open(void *factory)
{
    struct emu_tls *tls = factory;
    struct session *session = mf_calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->ssl = SSL_new(tls->context);
    session->in = BIO_new(BIO_s_mem());
    session->out = BIO_new(BIO_s_mem());
    if (session->ssl == NULL || session->in == NULL || session->out == NULL) {
        SSL_free(session->ssl);
        BIO_free(session->in);
        BIO_free(session->out);
        mf_free(session);
        return NULL;
    }
    SSL_set_bio(session->ssl, session->in, session->out);
    SSL_set_accept_state(session->ssl);
    SSL_set_app_data(session->ssl, session);
    return session;
}

static int drain(struct session *session, struct mf_buf *wire)
{
    char piece[PIECE_BYTES];
    int got;
    while ((got = BIO_read(session->out, piece, sizeof(piece))) > 0)
        if (mf_buf_append(wire, piece, (size_t)got) < 0)
            return -1;
    return 0;
}

static int session_send(void *state, struct mf_span plain, struct mf_buf *wire);

/* What the script's HTTP/2 answers; nothing reaches the parser. */
static int play_http2(struct session *session, struct mf_span bytes, struct mf_buf *wire)
{
    struct mf_buf answer;
    mf_buf_init(&answer, EMU_HTTP2_ANSWER_BYTES_MAX);
    int done = emu_http2_take(&session->http2, bytes, &answer);
    if (done == 0)
        done = session_send(session, mf_buf_view(&answer), wire);
    mf_buf_free(&answer);
    return done;
}

static int session_receive(void *state, struct mf_span bytes, struct mf_buf *plain, struct mf_buf *wire)
{
    struct session *session = state;
    char piece[PIECE_BYTES];
    int got;
    if (bytes.length > INT32_MAX || BIO_write(session->in, bytes.data, (int)bytes.length) != (int)bytes.length)
        return -1;
    while ((got = SSL_read(session->ssl, piece, sizeof(piece))) > 0)
        if (session->scripted ? play_http2(session, (struct mf_span){piece, (size_t)got}, wire) < 0 : mf_buf_append(plain, piece, (size_t)got) < 0)
            return -1;
    int why = SSL_get_error(session->ssl, got);
    int drained = drain(session, wire); /* an alert goes out even when the handshake failed */
    ERR_clear_error();
    return drained == 0 && (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_ZERO_RETURN) ? 0 : -1;
}

static int session_send(void *state, struct mf_span plain, struct mf_buf *wire)
{
    struct session *session = state;
    while (plain.length > 0) {
        size_t written = 0;
        if (SSL_write_ex(session->ssl, plain.data, plain.length, &written) != 1) {
            ERR_clear_error();
            return -1;
        }
        plain.data += written;
        plain.length -= written;
    }
    return drain(session, wire);
}

static void session_close(void *state, struct mf_buf *wire)
{
    struct session *session = state;
    if (SSL_is_init_finished(session->ssl) && SSL_shutdown(session->ssl) >= 0)
        (void)drain(session, wire);
    ERR_clear_error();
    if (session->scripted)
        emu_http2_free(&session->http2);
    SSL_free(session->ssl);
    mf_free(session);
}

/* --- the listener's part --- */

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in, unsigned in_length, void *context)
{
    static const unsigned char http1[] = "\x08http/1.1", http2[] = "\x02h2";
    const struct emu_tls *tls = context;
    struct session *session = SSL_get_app_data(ssl);
    unsigned char *chosen;
    const struct emu_rule *rule = NULL;
    if (SSL_select_next_proto(&chosen, out_length, http2, sizeof(http2) - 1, in, in_length) == OPENSSL_NPN_NEGOTIATED)
        rule = emu_faults_connection(*tls->faults);
    if (rule != NULL && !session->scripted) {
        session->scripted = true;
        emu_http2_init(&session->http2, rule->play, rule->error);
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
    }
    if (SSL_select_next_proto(&chosen, out_length, http1, sizeof(http1) - 1, in, in_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int fail_tls(const char *file, struct mf_error *error)
{
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return mf_fail(error, MF_CRYPTO, "%s: %s", file, text);
}

static int load_files(SSL_CTX *context, const char *certificate_file, const char *key_file, struct mf_error *error)
{
    if (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1)
        return fail_tls(certificate_file, error);
    if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(context) != 1)
        return fail_tls(key_file, error);
    return 0;
}

int emu_tls_create(struct emu_tls **out, const char *certificate_file, const char *key_file, struct emu_faults *const *faults, struct mf_error *error)
{
    struct emu_tls *tls = mf_calloc(1, sizeof(*tls));
    if (tls == NULL || (tls->context = SSL_CTX_new(TLS_server_method())) == NULL) {
        mf_free(tls);
        return mf_fail(error, MF_MEMORY, "no memory");
    }
    tls->filter = (struct net_filter){session_open, session_receive, session_send, session_close, tls};
    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    tls->faults = faults;
    SSL_CTX_set_alpn_select_cb(tls->context, select_protocol, tls);
    if (key_file == NULL || load_files(tls->context, certificate_file, key_file, error) < 0) {
        emu_tls_destroy(tls);
        return key_file == NULL ? mf_fail(error, MF_USAGE, "%s: a certificate needs its key file", certificate_file) : -1;
    }
    *out = tls;
    return 0;
}

void emu_tls_destroy(struct emu_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    mf_free(tls);
}

const struct net_filter *emu_tls_filter(const struct emu_tls *tls)
{
    return &tls->filter;
}
