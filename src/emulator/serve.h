/*
 * emulator/serve.h - deployed Workers answer: their files at once, their scripts through workerd
 *
 * A worker is asked for as NAME.SUBDOMAIN.localhost or below /__workers/SUBDOMAIN/NAME/. Each version that is asked
 * for gets a workerd process of its own, started at the first request and stopped when it is deleted or others need
 * the place. The process reaches the emulator back through signed bindings.
 */
#ifndef MF_EMULATOR_SERVE_H
#define MF_EMULATOR_SERVE_H

#include "emulator/call.h"

struct emu_runs;

/* `program` NULL or not there: scripts are answered with 501, files are served. */
int emu_runs_create(struct emu_runs **out, struct emulator *emulator, const char *program, struct mf_error *error);
void emu_runs_destroy(struct emu_runs *runs);
/* A deleted version takes its process along. */
void emu_runs_forget(struct emu_runs *runs, const struct emu_object *version);

/* Takes the exchange over when the request is for a worker; false when it is for the API. */
bool emu_serve(struct emulator *emulator, struct net_exchange *exchange, const struct net_server_request *request);

/* --- serve_run.c: one process for each version --- */

struct emu_visit_spec {
    struct emu_object *worker, *version;
    struct mf_span path; /* below the worker: begins with a slash, with the query */
};
void emu_runs_visit(struct emu_runs *runs, struct net_exchange *exchange, const struct net_server_request *request,
                    const struct emu_visit_spec *spec);
bool emu_runs_can(const struct emu_runs *runs);

/* --- serve_config.c: what workerd reads --- */

/* Writes config and modules of a version into an empty directory. MF_INPUT says what cannot be run here. */
int emu_serve_configure(struct emulator *emulator, const struct emu_visit_spec *spec, const char *directory,
                        struct mf_error *error);

/* --- serve_binding.c: what a running script asks of us --- */

#define EMU_BINDING_HEADER "x-mayfly-binding"
/* Value of the header for a binding to an object of the account. */
void emu_binding_sign(struct emulator *emulator, const struct emu_object *target, char out[256]);
/* Answers a call that carries the header; false when it carries none. */
bool emu_binding(struct emu_call *call);

/* --- serve_assets.c --- */

/* The manifest {path: {hash}} of a version; JSON_NONE when it has no files. Free the document. */
bool emu_assets_open(const struct emu_object *version, struct json_document *document, uint32_t *manifest);
/* The file for a path as Cloudflare would choose it; NULL when there is none. *status is 200 or 404. */
const struct emu_object *emu_assets_find(const struct emu_object *version, struct mf_span path, int *status);
void emu_assets_type(const struct emu_object *asset, char out[128]);

#endif
