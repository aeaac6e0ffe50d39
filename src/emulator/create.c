/*
 * create.c - putting an emulator together and taking it apart
 *
 * Order: generator of ids, data directory, state, ledger, faults, listeners. With a data directory the instance id, the key
 * of challenges and the port outlive the process, so that a restart serves the same accounts at the same place.
 */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FAULTS_BYTES_MAX = 1 << 20, BODY_BYTES_MAX = 100 << 20, ADMIN_BODY_BYTES_MAX = 1 << 20 };
enum { REQUEST_TIMEOUT_MS = 120000, IDLE_TIMEOUT_MS = 300000 };

static void set_options(struct emulator *emulator, const struct emulator_options *options)
{
    struct emulator_options *own = &emulator->options;
    *own = *options;
    own->pow_segments = own->pow_segments == 0 ? 64 : own->pow_segments;
    own->pow_hashes = own->pow_hashes == 0 ? 100 : own->pow_hashes;
    own->pow_sample = own->pow_sample == 0 ? 16 : own->pow_sample;
    own->lifetime_ms = own->lifetime_ms == 0 ? 3600000 : own->lifetime_ms;
    own->challenge_ms = own->challenge_ms == 0 ? 300000 : own->challenge_ms;
    own->standalone_max = own->standalone_max == 0 ? 5 : own->standalone_max;
    own->accounts_max = own->accounts_max == 0 ? EMU_ACCOUNTS_MAX : own->accounts_max;
    own->host = own->ledger_file = own->faults_file = own->data_directory = own->admin_socket = NULL;
    own->tls_certificate_file = own->tls_key_file = own->operator_token = own->token_mark = own->workerd = NULL;
}

/* --- the parts --- */

/* A restart with the same seed must not give the same ids again, so the number of starts is mixed in. */
static uint64_t next_seed(struct emulator *emulator, uint64_t seed)
{
    char text[24] = "0";
    uint64_t starts = 0;
    if (emulator->persist == NULL)
        return seed;
    (void)emu_persist_get(emulator->persist, "starts", text, sizeof(text));
    (void)mf_parse_u64(mf_span(text), &starts);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)starts + 1);
    emu_persist_set(emulator->persist, "starts", mf_span(text));
    return seed + starts * 0x9e3779b97f4a7c15u;
}

static int open_data(struct emulator *emulator, const struct emulator_options *options, struct mf_error *error)
{
    if (options->data_directory == NULL)
        return emu_d1_create(&emulator->d1, NULL, error);
    emulator->data_directory = mf_strdup(options->data_directory);
    if (emulator->data_directory == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    if (emu_persist_open(&emulator->persist, options->data_directory, error) < 0)
        return -1;
    return emu_d1_create(&emulator->d1, options->data_directory, error);
}

/* A deleted database takes its file along. */
static void object_forgotten(void *context, const struct emu_object *object)
{
    struct emulator *emulator = context;
    if (object->kind == EMU_D1)
        emu_d1_forget(emulator->d1, object);
    if (object->kind == EMU_VERSION)
        emu_runs_forget(emulator->runs, object);
}

/* The value of a key in the data directory, made now if it was not there. */
static void kept_text(struct emulator *emulator, const char *key, char out[EMU_HEX_ID_BYTES])
{
    if (emu_persist_get(emulator->persist, key, out, EMU_HEX_ID_BYTES))
        return;
    emu_hex_id(emulator->identity, out);
    emu_persist_set(emulator->persist, key, mf_span(out));
}

static int make_state(struct emulator *emulator, const struct emulator_options *options, struct mf_error *error)
{
    char key[EMU_HEX_ID_BYTES];
    uint64_t seed = options->seeded ? next_seed(emulator, options->seed) : 0;
    if (emu_identity_create(&emulator->identity, options->seeded, seed, options->token_mark, error) < 0 ||
        emu_state_create(&emulator->state, emulator->identity, error) < 0)
        return -1;
    kept_text(emulator, "instance", emulator->instance);
    kept_text(emulator, "challenge_key", key);
    emu_sha256(emulator->identity, mf_span(key), emulator->challenge_key);
    emu_table_init(&emulator->used_by_nonce, emu_random_u64(emulator->identity), EMU_CHALLENGES_USED_MAX);
    emu_table_init(&emulator->idempotency, emu_random_u64(emulator->identity), EMU_IDEMPOTENCY_MAX);
    emulator->state->list_lag_ms = options->list_lag_ms;
    if (emulator->persist != NULL && emu_persist_load(emulator->persist, emulator->state, error) < 0)
        return -1;
    emulator->state->persist = emulator->persist;
    emulator->state->forgotten = object_forgotten;
    emulator->state->forgotten_context = emulator;
    return 0;
}

static int make_operator_token(struct emulator *emulator, const char *given, struct mf_error *error)
{
    char value[EMU_VALUE_BYTES];
    if (given == NULL) {
        emu_credential(emulator->identity, "cfut_", value);
        emulator->generated_token = mf_strdup(value);
        mf_wipe(value, sizeof(value));
        if (emulator->generated_token == NULL)
            return mf_fail(error, MF_MEMORY, "no memory");
    } else if (given[0] == '\0') {
        return mf_fail(error, MF_USAGE, "operator token: is empty");
    }
    struct emu_token_spec spec = {.value = mf_span(given == NULL ? emulator->generated_token : given), .name = MF_SPAN("operator"), .expires_ms = MF_NEVER};
    return emu_token_create(emulator->state, NULL, &spec, &emulator->operator_token, error);
}

static int open_ledger(struct emulator *emulator, const struct emulator_options *options, struct mf_error *error)
{
    char path[4096];
    if (options->ledger_file != NULL || emulator->data_directory == NULL)
        return emu_ledger_open(&emulator->ledger, options->ledger_file, error);
    if (snprintf(path, sizeof(path), "%s/ledger.jsonl", emulator->data_directory) >= (int)sizeof(path))
        return mf_fail(error, MF_LIMIT, "%s: path is too long", emulator->data_directory);
    return emu_ledger_open(&emulator->ledger, path, error);
}

static int read_whole(const char *path, struct mf_buf *out, struct mf_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;
    if (fd < 0)
        return mf_fail_os(error, errno, "%s", path);
    while (got > 0 && mf_buf_reserve(out, 4096) == 0) {
        got = read(fd, out->data + out->length, 4096);
        out->length += got > 0 ? (size_t)got : 0;
    }
    int saved = errno;
    close(fd);
    if (got < 0)
        return mf_fail_os(error, saved, "%s", path);
    return out->failed ? mf_fail(error, MF_LIMIT, "%s: longer than %d bytes", path, FAULTS_BYTES_MAX) : 0;
}

static int load_faults(struct emulator *emulator, const char *path, struct mf_error *error)
{
    struct mf_buf text;
    mf_buf_init(&text, FAULTS_BYTES_MAX + 4096);
    int done = path == NULL ? 0 : read_whole(path, &text, error);
    if (done == 0 && (done = emulator_set_faults(emulator, mf_buf_view(&text), error)) < 0 && path != NULL)
        (void)mf_wrap(error, "%s", path);
    mf_buf_free(&text);
    return done;
}

/* --- listening --- */

static int listen_at(struct emulator *emulator, const char *host, uint16_t port, struct mf_error *error)
{
    struct net_server_options options = {
        .host = host, .port = port, .body_bytes_max = BODY_BYTES_MAX, .connections_max = emulator->options.connections_max,
        .idle_timeout_ms = IDLE_TIMEOUT_MS, .request_timeout_ms = REQUEST_TIMEOUT_MS,
        .filter = emulator->tls == NULL ? NULL : emu_tls_filter(emulator->tls)};
    return net_server_create(&emulator->server, emulator->loop, &options, emu_handle, emulator, error);
}

static uint16_t kept_port(struct emulator *emulator)
{
    char text[8];
    uint64_t port;
    if (!emu_persist_get(emulator->persist, "port", text, sizeof(text)) || mf_parse_u64(mf_span(text), &port) < 0 || port > UINT16_MAX)
        return 0;
    return (uint16_t)port;
}

static int listen_api(struct emulator *emulator, const struct emulator_options *options, struct mf_error *error)
{
    const char *host = options->host == NULL ? "127.0.0.1" : options->host;
    uint16_t kept = options->port == 0 ? kept_port(emulator) : options->port;
    char text[8];
    bool six = strchr(host, ':') != NULL;
    if (listen_at(emulator, host, kept, error) < 0 && (options->port != 0 || kept == 0 || listen_at(emulator, host, 0, error) < 0))
        return -1;
    snprintf(text, sizeof(text), "%u", net_server_port(emulator->server));
    emu_persist_set(emulator->persist, "port", mf_span(text));
    snprintf(emulator->origin, sizeof(emulator->origin), "%s://%s%.60s%s:%s", emulator->tls == NULL ? "http" : "https", six ? "[" : "", host, six ? "]" : "", text);
    snprintf(emulator->url, sizeof(emulator->url), "%s%s", emulator->origin, EMULATOR_BASE_PATH);
    return 0;
}

/* A socket file that a killed process left: nobody answers, so it may go. */
static void remove_dead_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    if (lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode) || strlen(path) >= sizeof(address.sun_path))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno == ECONNREFUSED)
        (void)unlink(path);
    close(fd);
}

static int listen_admin(struct emulator *emulator, const char *path, struct mf_error *error)
{
    struct net_server_options options = {
        .unix_path = path, .body_bytes_max = ADMIN_BODY_BYTES_MAX, .connections_max = 64, .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .request_timeout_ms = REQUEST_TIMEOUT_MS};
    if (path == NULL)
        return 0;
    remove_dead_socket(path);
    return net_server_create(&emulator->admin, emulator->loop, &options, emu_admin_handle, emulator, error);
}

static int open_all(struct emulator *emulator, const struct emulator_options *options, struct mf_error *error)
{
    if (open_data(emulator, options, error) < 0 || make_state(emulator, options, error) < 0 ||
        make_operator_token(emulator, options->operator_token, error) < 0 || open_ledger(emulator, options, error) < 0 ||
        load_faults(emulator, options->faults_file, error) < 0)
        return -1;
    if (emu_router_create(&emulator->router) < 0 || emu_idempotency_restore(emulator) < 0)
        return mf_fail(error, MF_MEMORY, "no memory");
    if (options->tls_certificate_file != NULL && emu_tls_create(&emulator->tls, options->tls_certificate_file, options->tls_key_file, &emulator->faults, error) < 0)
        return -1;
    if (emu_deliveries_create(&emulator->deliveries, emulator->loop, emu_resume_held, emulator, error) < 0 ||
        net_timer_create(&emulator->expiry, emulator->loop, emu_expiry_fired, emulator, error) < 0)
        return -1;
    if (emu_runs_create(&emulator->runs, emulator, options->workerd, error) < 0)
        return -1;
    if (listen_api(emulator, options, error) < 0 || listen_admin(emulator, options->admin_socket, error) < 0)
        return -1;
    emu_expiry_fired(emulator); /* what expired while nobody served it; commits what the start wrote */
    return 0;
}

int emulator_create(struct emulator **out, struct net_loop *loop, const struct emulator_options *options, struct mf_error *error)
{
    struct emulator *emulator = mf_calloc(1, sizeof(*emulator));
    if (emulator == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    emulator->loop = loop;
    set_options(emulator, options);
    mf_buf_init_secret(&emulator->call.out, EMU_ANSWER_BYTES_MAX);
    mf_buf_init(&emulator->call.padding, EMU_ANSWER_BYTES_MAX);
    if (open_all(emulator, options, error) < 0) {
        emulator_destroy(emulator);
        return -1;
    }
    *out = emulator;
    return 0;
}

void emulator_destroy(struct emulator *emulator)
{
    if (emulator == NULL)
        return;
    net_server_destroy(emulator->admin);
    net_server_destroy(emulator->server);
    emu_runs_destroy(emulator->runs);
    emulator->runs = NULL;
    emu_deliveries_destroy(emulator->deliveries);
    net_timer_destroy(emulator->expiry);
    emu_tls_destroy(emulator->tls);
    emu_router_destroy(emulator->router);
    emu_faults_free(emulator->faults);
    emu_ledger_close(emulator->ledger);
    emu_challenges_free(emulator);
    emu_idempotency_free(emulator);
    emu_state_destroy(emulator->state);
    emu_token_free(emulator->operator_token);
    emu_d1_destroy(emulator->d1);
    emu_persist_close(emulator->persist);
    emu_identity_destroy(emulator->identity);
    mf_buf_free(&emulator->call.out);
    mf_buf_free(&emulator->call.padding);
    if (emulator->generated_token != NULL)
        mf_free_secret(emulator->generated_token, strlen(emulator->generated_token));
    mf_free(emulator->data_directory);
    mf_free_secret(emulator, sizeof(*emulator));
}

uint16_t emulator_port(const struct emulator *emulator)
{
    return net_server_port(emulator->server);
}

const char *emulator_url(const struct emulator *emulator)
{
    return emulator->url;
}

const char *emulator_instance(const struct emulator *emulator)
{
    return emulator->instance;
}

char *emulator_take_token(struct emulator *emulator)
{
    char *token = emulator->generated_token;
    emulator->generated_token = NULL;
    return token;
}
