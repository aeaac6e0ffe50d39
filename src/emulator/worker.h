/*
 * emulator/worker.h - a Worker: its settings in one document, its uploads as versions, what serves as deployments
 *
 * A worker is an object of kind WORKER. Every upload makes a VERSION below it (its data is the multipart body as it came);
 * a DEPLOYMENT names the version that serves. Names of both are numbers, padded, so that they sort by age.
 */
#ifndef MF_EMULATOR_WORKER_H
#define MF_EMULATOR_WORKER_H

#include "emulator/call.h"

#include <stdbool.h>

/* The worker's document, taken apart. Spans are raw JSON texts into the document, or empty. */
struct emu_worker {
    struct json_document document; /* of object->document: free with emu_worker_free */
    struct mf_span metadata;       /* of the latest upload, as it came */
    struct mf_span settings;       /* script-settings */
    struct mf_span schedules;
    bool subdomain, previews;
};

int emu_worker_read(struct emu_worker *worker, const struct emu_object *object);
void emu_worker_free(struct emu_worker *worker);
/* Composes the document again and saves the object; fails the call without memory. */
int emu_worker_write(struct emu_call *call, struct emu_object *object, const struct emu_worker *worker);

/* The worker of the path; NULL with the call failed with `missing`. */
struct emu_object *emu_worker_find(struct emu_call *call, enum emu_error missing);
/* The newest version; NULL when there is none. */
struct emu_object *emu_worker_version(const struct emu_object *worker);
/* The version that serves; NULL when nothing is deployed. */
struct emu_object *emu_worker_deployed(const struct emu_call *call, const struct emu_object *worker);
/* Checks an upload, makes its version; NULL with the call failed. `metadata` is the raw text of that part. */
struct emu_object *emu_version_create(struct emu_call *call, struct emu_object *worker, struct mf_span metadata);
/* Checks the upload of the call; 0 and its metadata, or -1 with the call failed. */
int emu_upload_check(struct emu_call *call, struct mf_span *metadata);
/* Puts a version into service; NULL with the call failed. `document` is the deployment's JSON. */
struct emu_object *emu_deployment_create(struct emu_call *call, struct emu_object *worker, struct mf_span document);
/* Members that scripts, services and versions show: id to handlers, without the braces. */
void emu_worker_members(struct json_writer *writer, const struct emu_object *worker);
/* "bindings": those of the metadata without secret texts, and the worker's secrets. */
void emu_worker_bindings(struct json_writer *writer, const struct emu_object *worker, struct mf_span metadata);
/* A hash-like text that changes with the object's content. */
void emu_etag(const struct emu_object *object, char out[EMU_HEX_ID_BYTES]);

/* Appends `base` with the members of `patch` put over it; both are JSON objects, `base` may be empty. */
int emu_json_merge(struct mf_span base, struct mf_span patch, struct mf_buf *out);

/* --- assets --- */

/* Is it the completion token of an upload session for this worker? Then its session goes. */
bool emu_assets_complete(struct emu_call *call, struct mf_span jwt);
/* The manifest of the session that a completion token is for; empty when it is none. */
struct mf_span emu_assets_manifest(struct emu_call *call, struct mf_span jwt);

#endif
