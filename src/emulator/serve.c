/*
 * serve.c - requests for deployed Workers: which worker, its files first, then its script
 *
 * These addresses stand for workers.dev: whoever knows one may ask. Files are answered here; a script needs workerd.
 */
#include "emulator/serve.h"
#include "emulator/emulator_private.h"
#include "emulator/worker.h"

#include <stdio.h>
#include <string.h>

#define WORKERS_PATH "/__workers/"

enum { LABEL_BYTES = 64 };

struct address {
    char subdomain[LABEL_BYTES], name[LABEL_BYTES];
    struct mf_span path; /* with the query */
};

static struct mf_span header(const struct net_server_request *request, const char *name)
{
    for (uint32_t each = 0; each < request->header_count; each++)
        if (mf_span_is(request->headers[each].name, name))
            return request->headers[each].value;
    return (struct mf_span){"", 0};
}

/* NAME.SUBDOMAIN.localhost[:PORT] */
static bool read_host(const struct net_server_request *request, struct address *out)
{
    struct mf_span host = header(request, "host");
    const char *colon = memchr(host.data, ':', host.length);
    if (colon != NULL)
        host.length = (size_t)(colon - host.data);
    if (!mf_span_ends(host, ".localhost"))
        return false;
    host.length -= strlen(".localhost");
    const char *dot = memchr(host.data, '.', host.length);
    if (dot == NULL)
        return false;
    size_t name = (size_t)(dot - host.data);
    out->path = request->target;
    return mf_span_copy((struct mf_span){host.data, name}, out->name, LABEL_BYTES) == 0 &&
           mf_span_copy((struct mf_span){dot + 1, host.length - name - 1}, out->subdomain, LABEL_BYTES) == 0;
}

/* Takes a segment off the front. */
static int take_label(struct mf_span *rest, char out[LABEL_BYTES])
{
    const char *end = memchr(rest->data, '/', rest->length), *query = memchr(rest->data, '?', rest->length);
    if (query != NULL && (end == NULL || query < end))
        end = query;
    size_t length = end == NULL ? rest->length : (size_t)(end - rest->data);
    if (length == 0 || mf_span_copy((struct mf_span){rest->data, length}, out, LABEL_BYTES) < 0)
        return -1;
    *rest = (struct mf_span){rest->data + length, rest->length - length};
    return 0;
}

/* /__workers/SUBDOMAIN/NAME[/PATH][?QUERY] */
static bool read_path(const struct net_server_request *request, struct address *out)
{
    struct mf_span rest = request->target;
    if (!mf_span_starts(rest, WORKERS_PATH))
        return false;
    out->name[0] = '\0';
    rest = (struct mf_span){rest.data + strlen(WORKERS_PATH), rest.length - strlen(WORKERS_PATH)};
    if (take_label(&rest, out->subdomain) == 0 && rest.length > 0 && rest.data[0] == '/') {
        rest = (struct mf_span){rest.data + 1, rest.length - 1};
        (void)take_label(&rest, out->name);
    }
    out->path = rest.length > 0 && rest.data[0] == '/' ? rest : MF_SPAN("/");
    return true;
}

/* A walk over all accounts: such requests are rare beside those of the API, and an index would cost each account. */
static struct emu_object *find_worker(struct emulator *emulator, const struct address *address)
{
    for (size_t each = 0; each < emulator->state->account_count; each++)
        if (strcmp(emulator->state->accounts[each]->subdomain, address->subdomain) == 0)
            return emu_object_of_name(emulator->state->accounts[each], NULL, EMU_WORKER, mf_span(address->name));
    return NULL;
}

static bool is_enabled(const struct emu_object *object)
{
    struct emu_worker worker;
    if (emu_worker_read(&worker, object) < 0)
        return false;
    bool enabled = worker.subdomain;
    emu_worker_free(&worker);
    return enabled;
}

static void reply(struct net_exchange *exchange, int status, const char *type, struct mf_span body)
{
    const struct net_header content_type = {MF_SPAN("content-type"), mf_span(type)};
    server_reply(exchange, status, &content_type, 1, body);
}

static bool has_script(const struct emu_object *version)
{
    struct json_document document;
    if (json_scan(&document, mf_span(version->document), &json_limits_default, NULL) < 0)
        return false;
    uint32_t metadata = json_member(&document, 0, "metadata");
    bool found = json_member(&document, metadata, "main_module") != JSON_NONE ||
                 json_member(&document, metadata, "body_part") != JSON_NONE;
    json_document_free(&document);
    return found;
}

/* True when a file answered; a 404 page only where no script could know better. */
static bool serve_file(struct net_exchange *exchange, const struct emu_object *version, struct mf_span path,
                       bool script)
{
    int status;
    char type[128];
    const struct emu_object *asset = emu_assets_find(version, path, &status);
    if (asset == NULL || (script && status != 200))
        return false;
    emu_assets_type(asset, type);
    reply(exchange, status, type, (struct mf_span){asset->data == NULL ? "" : asset->data, asset->data_bytes});
    return true;
}

static void serve_worker(struct emulator *emulator, struct net_exchange *exchange,
                         const struct net_server_request *request, const struct emu_visit_spec *spec)
{
    bool script = has_script(spec->version);
    if (serve_file(exchange, spec->version, spec->path, script))
        return;
    if (!script)
        reply(exchange, 404, "text/plain", MF_SPAN("Not Found\n"));
    else if (emu_runs_can(emulator->runs))
        emu_runs_visit(emulator->runs, exchange, request, spec);
    else
        reply(exchange, 501, "text/plain",
              MF_SPAN("This script is deployed, but there is no workerd to run it: install the npm package workerd and "
                      "start `mayfly emulate --workerd PATH`.\n"));
}

bool emu_serve(struct emulator *emulator, struct net_exchange *exchange, const struct net_server_request *request)
{
    struct address address;
    if (!read_path(request, &address) && !read_host(request, &address))
        return false;
    emu_expire(emulator, emu_now(emulator->state));
    struct emu_visit_spec spec = {.worker = find_worker(emulator, &address), .path = address.path};
    emulator->call.state = emulator->state;
    if (spec.worker != NULL && is_enabled(spec.worker))
        spec.version = emu_worker_deployed(&emulator->call, spec.worker);
    if (spec.version == NULL)
        reply(exchange, 404, "text/plain", MF_SPAN("There is nothing here yet\n"));
    else
        serve_worker(emulator, exchange, request, &spec);
    return true;
}
