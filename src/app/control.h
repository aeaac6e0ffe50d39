/*
 * app/control.h - reaching a running orchestrator: one JSON object in, one JSON object out, over a unix socket
 *
 * The socket lies in $XDG_RUNTIME_DIR/mayfly, else in a directory 0700 of this user below /tmp; its path is in the run row. Only
 * the same uid (or root) is heard. Requests: {"op":"ping"}, answered with run and state directory; {"op":"cancel"}, with "kill":true
 * at once; {"op":"cancel","tasks":["deploy/web"]}.
 */
#ifndef MF_APP_CONTROL_H
#define MF_APP_CONTROL_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

/* Where the socket of a run belongs; makes the directory. */
int control_path(const char *run_id, char *out, size_t out_bytes, struct mf_error *error);
/* Sends one request line and waits for the answer line. -1 with MF_NOT_FOUND: nobody listens; MF_NETWORK: no answer in time. */
int control_request(const char *socket_path, const char *request, int64_t timeout_ms, struct mf_buf *answer, struct mf_error *error);

#endif
