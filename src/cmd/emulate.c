/* emulate.c - mayfly emulate: the local Cloudflare as a program of its own */
#include "cmd/commands.h"
#include "cmd/options.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/str.h"
#include "emulator/emulator.h"
#include "net/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_STATE = 5, EXIT_INTERNAL = 7, HOST_BYTES = 64 };

static int bad_value(const char *option, const char *wanted)
{
    fprintf(stderr, "mayfly emulate: --%s: %s\n", option, wanted);
    return -1;
}

/* HOST:PORT, :PORT, or [v6]:PORT. */
static int read_listen(const struct options *given, char host[HOST_BYTES], struct emulator_options *out)
{
    const char *text = option_value(given, "listen"), *colon;
    uint64_t port;
    if (text == NULL)
        return 0;
    colon = strrchr(text, ':');
    if (colon == NULL || mf_parse_u64(mf_span(colon + 1), &port) < 0 || port > UINT16_MAX)
        return bad_value("listen", "must be HOST:PORT");
    struct mf_span name = {text, (size_t)(colon - text)};
    if (name.length > 2 && name.data[0] == '[' && name.data[name.length - 1] == ']')
        name = (struct mf_span){name.data + 1, name.length - 2};
    if (name.length == 0 || mf_span_is(name, "localhost"))
        name = MF_SPAN("127.0.0.1");
    if (mf_span_copy(name, host, HOST_BYTES) < 0)
        return bad_value("listen", "must be HOST:PORT");
    out->host = host;
    out->port = (uint16_t)port;
    return 0;
}

static int read_u32(const struct options *given, const char *name, uint32_t *out)
{
    long number = 0;
    if (!option_set(given, name))
        return 0;
    if (option_number(given, name, 1, 64000000, &number) < 0)
        return -1;
    *out = (uint32_t)number;
    return 0;
}

static int read_time(const struct options *given, const char *name, int64_t *out_ms)
{
    long long duration_ms = *out_ms;
    if (option_duration(given, name, &duration_ms) < 0)
        return -1;
    *out_ms = duration_ms;
    return 0;
}

/* off, cloudflare, or COUNT/DURATION */
static int read_limit(const struct options *given, const char *name, struct emulator_limit *out)
{
    const char *text = option_value(given, name);
    uint64_t count;
    if (text == NULL || strcmp(text, "off") == 0)
        return 0;
    if (strcmp(text, "cloudflare") == 0) {
        *out = (struct emulator_limit){1200, 300000};
        return 0;
    }
    const char *slash = strchr(text, '/');
    if (slash == NULL || mf_parse_u64((struct mf_span){text, (size_t)(slash - text)}, &count) < 0 || count == 0 ||
        count > UINT32_MAX || mf_parse_duration_ms(mf_span(slash + 1), &out->window_ms) < 0)
        return bad_value(name, "must be off, cloudflare or COUNT/DURATION");
    out->count = (uint32_t)count;
    return 0;
}

static int read_seed(const struct options *given, struct emulator_options *out)
{
    const char *text = option_value(given, "seed");
    if (text == NULL)
        return 0;
    out->seeded = true;
    return mf_parse_u64(mf_span(text), &out->seed) < 0 ? bad_value("seed", "must be a whole number") : 0;
}

static int read_files(const struct options *given, struct emulator_options *out)
{
    out->ledger_file = option_value(given, "ledger");
    out->faults_file = option_value(given, "faults");
    out->data_directory = option_value(given, "data");
    out->admin_socket = option_value(given, "admin-socket");
    out->tls_certificate_file = option_value(given, "tls-cert");
    out->tls_key_file = option_value(given, "tls-key");
    out->token_mark = option_value(given, "token-mark");
    out->workerd = option_value(given, "workerd");
    if ((out->tls_certificate_file == NULL) != (out->tls_key_file == NULL))
        return bad_value("tls-cert", "needs --tls-key, and the reverse");
    return 0;
}

static int read_options(const struct options *given, char host[HOST_BYTES], struct emulator_options *out)
{
    if (read_files(given, out) < 0 || read_listen(given, host, out) < 0 || read_seed(given, out) < 0)
        return -1;
    if (read_u32(given, "pow-k", &out->pow_segments) < 0 || read_u32(given, "pow-g", &out->pow_hashes) < 0 ||
        read_u32(given, "pow-s", &out->pow_sample) < 0 || read_u32(given, "accounts-max", &out->accounts_max) < 0 ||
        read_u32(given, "standalone-max", &out->standalone_max) < 0)
        return -1;
    if (read_time(given, "lifetime", &out->lifetime_ms) < 0 || read_time(given, "list-lag", &out->list_lag_ms) < 0)
        return -1;
    return read_limit(given, "rate-limit", &out->rate) < 0 || read_limit(given, "provision-limit", &out->provision) < 0
               ? -1
               : 0;
}

/* Both lines in one go: a reader that waits for the first finds the second too. */
static void announce(struct emulator *emulator)
{
    char *token = emulator_take_token(emulator);
    struct mf_buf lines; /* not stdio, whose buffer would keep the token */
    mf_buf_init_secret(&lines, 1024);
    mf_buf_printf(&lines, "listening %s\n", emulator_url(emulator));
    if (token != NULL) {
        mf_buf_printf(&lines, "token %s\n", token);
        mf_free_secret(token, strlen(token));
    }
    for (size_t done = 0; done < lines.length;) {
        ssize_t written = write(STDOUT_FILENO, lines.data + done, lines.length - done);
        if (written < 0 && errno != EINTR)
            break; /* nobody wants to know */
        done += written > 0 ? (size_t)written : 0;
    }
    mf_buf_free(&lines);
}

static void forget_token(void)
{
    char *token = getenv("MAYFLY_EMULATOR_TOKEN");
    if (token == NULL)
        return;
    mf_wipe(token, strlen(token)); /* else it would stand in /proc/PID/environ until we end */
    unsetenv("MAYFLY_EMULATOR_TOKEN");
}

static void on_signal(void *loop, int signal_number)
{
    (void)signal_number;
    net_loop_stop(loop);
}

static int serve(struct net_loop *loop, const struct emulator_options *options, struct mf_error *error)
{
    struct emulator *emulator;
    if (net_loop_on_signal(loop, SIGTERM, on_signal, loop, error) < 0 ||
        net_loop_on_signal(loop, SIGINT, on_signal, loop, error) < 0 ||
        emulator_create(&emulator, loop, options, error) < 0)
        return -1;
    forget_token();
    announce(emulator);
    net_loop_run(loop);
    emulator_destroy(emulator);
    return 0;
}

static int exit_code(const struct mf_error *error)
{
    if (error->code == MF_USAGE || error->code == MF_INPUT)
        return EXIT_USAGE;
    return error->code == MF_INTERNAL || error->code == MF_MEMORY ? EXIT_INTERNAL : EXIT_STATE;
}

int cmd_emulate(const struct options *given)
{
    struct emulator_options options = {0};
    struct net_loop *loop = NULL;
    struct mf_error error = {0};
    char host[HOST_BYTES];
    if (read_options(given, host, &options) < 0)
        return EXIT_USAGE;
    options.operator_token = getenv("MAYFLY_EMULATOR_TOKEN");
    signal(SIGPIPE, SIG_IGN); /* a reader of our stdout, or a peer, that went away is no reason to die */
    int done = net_loop_create(&loop, &error);
    if (done == 0)
        done = serve(loop, &options, &error);
    net_loop_destroy(loop);
    if (done == 0)
        return 0;
    fprintf(stderr, "mayfly emulate: %s\n", error.text);
    return exit_code(&error);
}
