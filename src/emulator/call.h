/*
 * emulator/call.h - one request being answered: what was asked, by whom, and the answer so far
 *
 * There is one call at a time: a handler runs to its end and leaves a whole answer here, which is then sent at once, late,
 * broken or not at all, as the fault script says. Handlers answer with exactly one of emu_ok*, emu_fail* or emu_raw.
 */
#ifndef MF_EMULATOR_CALL_H
#define MF_EMULATOR_CALL_H

#include "base/buf.h"
#include "emulator/errors.h"
#include "emulator/ledger.h"
#include "emulator/route.h"
#include "emulator/state.h"
#include "json/scan.h"
#include "json/write.h"
#include "net/server.h"

#include <stdbool.h>
#include <stdint.h>

struct emulator;

#define EMU_ANSWER_BYTES_MAX (128u << 20) /* above the largest value of a store, 25 MiB, in a JSON answer */
#define EMU_ANSWER_HEADERS_MAX 32u
#define EMU_TEXT_BYTES 32768u /* decoded parameters and query values of one request: the target has at most 8 KiB */

struct emu_call {
    struct emulator *emulator;
    struct emu_state *state;
    const struct net_server_request *request;
    const struct emu_route *route;
    struct mf_span parameters[EMU_PARAMETERS_MAX]; /* decoded, in order of the template */
    int64_t now_ms;
    struct emu_account *account; /* named in the path */
    struct emu_object *zone;     /* named in the path */
    struct emu_token *token;     /* NULL for open routes; a handler may delete it */
    char token_id[EMU_HEX_ID_BYTES], token_account[EMU_HEX_ID_BYTES]; /* for the ledger: they outlive the token */
    bool operator;               /* the token is the operator's */
    bool second_id;              /* fault: forget the idempotency key */
    int64_t pending_ms;          /* fault: a deletion happens only after so long */
    struct json_document body;   /* after emu_body */
    /* the answer */
    int status;
    const char *content_type;
    struct mf_buf out;
    struct mf_buf padding; /* fault: bytes of huge headers */
    struct json_writer writer;
    struct net_header headers[EMU_ANSWER_HEADERS_MAX];
    uint32_t header_count;
    char text[EMU_TEXT_BYTES];
    size_t text_used;
};

/* --- reading the request --- */

/* The decoded value of a query parameter; false when it is absent. Longer than the call's room counts as absent. */
bool emu_query(struct emu_call *call, const char *name, struct mf_span *out);
bool emu_query_is(struct emu_call *call, const char *name, const char *value);
uint64_t emu_query_u64(struct emu_call *call, const char *name, uint64_t otherwise);
/* The first header of that lower-case name, or the empty span. */
struct mf_span emu_header(const struct emu_call *call, const char *name);
/* Parses the body as a JSON object (or array, when `array`); -1 and a failed call when it is none. */
int emu_body(struct emu_call *call);
/* A string member of the body's object; -1 and a failed call when it is missing, empty or longer than `length_max`. */
int emu_body_text(struct emu_call *call, const char *name, size_t length_max, struct mf_span *out);
/* A decoded string node, kept in the call's room; -1 when it is none or too long. */
int emu_text(struct emu_call *call, const struct json_document *document, uint32_t node, struct mf_span *out);
/* Room in the call for `bytes` bytes and a terminator; NULL when there is none left. */
char *emu_room(struct emu_call *call, size_t bytes);

/* --- answering --- */

/* {"success": true, ..., "result": -- write one value to call->writer, then call emu_ok_end. */
void emu_ok_begin(struct emu_call *call, int status);
void emu_ok_end(struct emu_call *call);
/* Opens "result_info" behind a result: write its members, json_close_object, emu_ok_end. */
void emu_ok_info(struct emu_call *call);
void emu_ok_null(struct emu_call *call);
void emu_ok_empty(struct emu_call *call); /* result: {} */
void emu_ok_id(struct emu_call *call, const char *id); /* result: {"id": ...} */
void emu_fail(struct emu_call *call, enum emu_error error);
void emu_fail_text(struct emu_call *call, enum emu_error error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* From an error object of the state: limits, taken names, memory. `taken` is what a taken name means here. */
void emu_fail_state(struct emu_call *call, const struct mf_error *error, enum emu_error taken);
/* A body that is no envelope; the bytes are copied. */
void emu_raw(struct emu_call *call, int status, const char *content_type, struct mf_span body);
/* Adds a header to the answer; `value` is copied, `name` is a literal. */
void emu_answer_header(struct emu_call *call, const char *name, const char *value);
/* "key": time as RFC 3339; null for MF_NEVER. */
void emu_member_time(struct json_writer *writer, const char *key, int64_t at_ms);

/* --- pages --- */

struct emu_page {
    uint64_t number, size, from, until; /* indices [from, until) of `total` */
    uint64_t total;
};
struct emu_page emu_page(struct emu_call *call, uint64_t size_default, uint64_t size_max, uint64_t total);
void emu_ok_page(struct emu_call *call, const struct emu_page *page); /* result_info of page style, and the end */
typedef void emu_object_writer(struct json_writer *writer, const struct emu_object *object);
/* A whole list answer over the siblings of a kind, in page style. */
void emu_list(struct emu_call *call, const struct emu_object *parent, enum emu_kind kind, uint64_t size_default, uint64_t size_max, emu_object_writer *write);

/* --- the ledger --- */

void emu_record(struct emu_call *call, enum emu_ledger_op op, const char *kind, const char *id, const char *account);
void emu_record_object(struct emu_call *call, enum emu_ledger_op op, const struct emu_object *object);
/* Deletes the object with a ledger line. */
void emu_remove(struct emu_call *call, struct emu_object *object);

#endif
