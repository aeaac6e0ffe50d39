/*
 * gateway/audit.h - the record of every request: JSON lines, each with the hash of the line before it
 *
 * Written by the runner alone, to audit.log in the run directory. A line is in the kernel's hands before what it allows
 * happens; when it cannot be written, nothing is allowed (MF_OS). "n" counts lines from 1, so the last one's is the count. "chain"
 * of a line is the SHA-256 of the whole line before it (without its newline), of the first line 64 zeros; the head is the SHA-256
 * of the last line. The orchestrator journals count and head, so that the runner cannot rewrite what was journaled. Text that an
 * agent chose is cut to AUDIT_TEXT_BYTES_MAX and has every byte outside printable ASCII and valid, visible UTF-8 escaped; a gateway
 * token in it is taken out. Where what is shown is not the whole text (cut, redacted, NUL or no UTF-8), its whole length and hash
 * follow: "path":"…","path_bytes":65536,"path_sha256":"…".
 *
 *   {"n":1,"at_ms":…,"event":"opened","version":1,"run":"…","life":1,"chain":"000…"}     one for each life of the runner
 *   {"n":12,"at_ms":…,"event":"allowed","request":7,"task":"deploy/web","attempt":1,"stage":"agent","provider":"emulator",
 *    "account":3,"method":"PUT","path":"/accounts/…","rule":"PUT /accounts/{account_id}/…","permission":"workers_scripts:write",
 *    "reserved_micro_usd":…,"chain":"…"}
 *   {"n":13,…,"event":"answered","request":7,<subject>,"status":200,"outcome":"complete","sent_bytes":…,"received_bytes":…,
 *    "duration_ms":…,"usage":{"model":"…","input_tokens":…,"output_tokens":…,"cached_tokens":…,"cache_write_tokens":…,
 *    "micro_usd":…},"charged_micro_usd":…,"chain":"…"}
 *   {…,"event":"refused","request":8,<subject>,"method":…,"path":…,"rule":…,"permission":…,"status":403,"reason":"not_granted",…}
 *   {…,"event":"anomaly",<subject>,"kind":"outside_permissions","detail":"…",…}
 *   {…,"event":"connected","request":9,<subject>,"host":"…","port":443,"address":"…",…}      egress
 *   {…,"event":"closed","request":9,<subject>,"sent_bytes":…,"received_bytes":…,"duration_ms":…,…}
 *   {…,"event":"unanchored","anchored":N,"found":M,"torn_bytes":B,"torn_file":"audit.torn-1",…}   lines N+1 to M were never journaled
 *
 * Members that say nothing are left out: account 0, request 0, an empty rule or permission, money of 0, an unknown price.
 */
#ifndef MF_GATEWAY_AUDIT_H
#define MF_GATEWAY_AUDIT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define AUDIT_FILE "audit.log"
#define AUDIT_LINE_BYTES_MAX 16384u
#define AUDIT_TEXT_BYTES_MAX 1024u
#define AUDIT_HASH_HEX 65

struct audit;

struct audit_subject { /* whose request it is; all borrowed */
    struct mf_span task;   /* "deploy/web" */
    uint32_t attempt;
    const char *stage;     /* "agent" | "verify" | "setup" */
    struct mf_span provider; /* or service */
    uint32_t account;      /* n of the account; 0: a service, or not known */
};

struct audit_usage { /* of one request, as far as known */
    bool known;
    uint64_t input_tokens, output_tokens, cached_tokens, cache_write_tokens;
    int64_t micro_usd;     /* millionths of a dollar; -1: no price */
    struct mf_span model;
};

struct audit_request {
    struct audit_subject subject;
    uint64_t request;      /* number in this run; 0: none (refused before it was one) */
    struct mf_span method, path; /* as canonicalised; of a refused one as it came */
    struct mf_span rule, permission; /* empty: none */
    int64_t reserved_micro_usd; /* ALLOWED, services */
};

struct audit_answer {
    struct audit_subject subject;
    uint64_t request;
    int status;            /* 0: no answer */
    const char *outcome;   /* "complete" | "aborted" | "lost" | "filtered" */
    uint64_t sent_bytes, received_bytes;
    int64_t duration_ms;
    struct audit_usage usage;
    int64_t charged_micro_usd;
};

struct audit_options {
    int run_dir_fd;        /* not kept */
    const char *run_id;
    int64_t at_ms;         /* epoch time of the opening */
    /* The last head that was journaled: must be in the chain that is found, else audit_open fails with MF_STATE. count 0: none. */
    uint64_t anchored_count;
    char anchored_head[AUDIT_HASH_HEX];
    /* For each complete line found from an earlier life, oldest first (to rebuild usage); also when opening fails later. NULL: none. */
    void (*found)(void *context, struct mf_span line);
    void *context;
};

/*
 * Opens or makes the file. From an earlier life: verifies the chain, sets a torn last line aside (audit.torn-N), writes an
 * `unanchored` line for what follows the anchor. MF_STATE: it is not the file that was journaled, or not ours; MF_LOCKED: an
 * earlier runner still holds it.
 */
int audit_open(struct audit **out, const struct audit_options *options, struct mf_error *error);
void audit_close(struct audit *audit); /* NULL is fine */

/*
 * -1: not written, and nothing may happen. Nothing of the line is in the file then, or no line will ever be written again.
 * `at_ms` is epoch time.
 */
int audit_allowed(struct audit *audit, int64_t at_ms, const struct audit_request *request, struct mf_error *error);
int audit_answered(struct audit *audit, int64_t at_ms, const struct audit_answer *answer, struct mf_error *error);
/* `reason` is one of the names of http1/match.h or of gateway/watch.h; status as sent to the agent. */
int audit_refused(struct audit *audit, int64_t at_ms, const struct audit_request *request, int status, const char *reason, struct mf_error *error);
int audit_anomaly(struct audit *audit, int64_t at_ms, const struct audit_subject *subject, const char *kind, struct mf_span detail, struct mf_error *error);
/* Egress: where to, which address was dialled, bytes both ways at the end. */
int audit_connected(struct audit *audit, int64_t at_ms, const struct audit_subject *subject, uint64_t request, struct mf_span host, uint16_t port, const char *address, struct mf_error *error);
int audit_closed(struct audit *audit, int64_t at_ms, const struct audit_subject *subject, uint64_t request, uint64_t sent_bytes, uint64_t received_bytes, int64_t duration_ms, struct mf_error *error);

/* Text that an agent chose, for people: a gateway token in it taken out, escaped, at most so many characters of it. */
int audit_show_text(struct mf_buf *out, struct mf_span text, size_t shown_max);

uint64_t audit_next_request(struct audit *audit); /* 1, 2, ...; goes on over lives of the runner */
uint64_t audit_count(const struct audit *audit);
const char *audit_head(const struct audit *audit); /* hex */

/* --- reading, for `mayfly audit` too: pure --- */

struct audit_chain { /* zero-initialised before the first line */
    uint64_t count;
    char head[AUDIT_HASH_HEX];
};
/* Takes the next line (without newline) into the chain; -1 when it is not the next one (MF_STATE); the chain is as before then. */
int audit_chain_take(struct audit_chain *chain, struct mf_span line, struct mf_error *error);

#endif
