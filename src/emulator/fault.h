/*
 * emulator/fault.h - scripted faults: which requests go wrong, and how
 *
 * A script is JSON: a seed, a list lag, and rules. A rule says which requests it looks at (method, path pattern), which of
 * those it hits (nth, every, after, probability, times), and one action. Every hit rule adds to the plan of a request: delays
 * add up, edits are made in order, the first action that ends or replaces the answer wins. The same script and the same
 * requests in the same order give the same faults. README.md is the manual of the language.
 */
#ifndef MF_EMULATOR_FAULT_H
#define MF_EMULATOR_FAULT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/rng.h"
#include "emulator/http2.h"
#include "json/scan.h"

#include <stdbool.h>
#include <stdint.h>

/* action, name, 1 when it ends or replaces the answer, 1 when it is an edit of the answer */
#define EMU_ACTIONS(X)                       \
    X(LATENCY, "latency", 0, 0)              \
    X(STATUS, "status", 1, 0)                \
    X(REDIRECT, "redirect", 1, 0)            \
    X(LOST_BEFORE, "lost_before", 1, 0)      \
    X(LOST_AFTER, "lost_after", 1, 0)        \
    X(RESET, "reset", 1, 0)                  \
    X(RESET_AFTER, "reset_after", 1, 0)      \
    X(HANG, "hang", 1, 0)                    \
    X(TRUNCATE, "truncate", 1, 0)            \
    X(TRUNCATE_HEAD, "truncate_head", 1, 0)  \
    X(STALL, "stall", 1, 0)                  \
    X(DRIP, "drip", 1, 0)                    \
    X(GARBAGE, "garbage", 1, 0)              \
    X(ENDLESS_BODY, "endless_body", 1, 0)    \
    X(ENDLESS_HEADERS, "endless_headers", 1, 0) \
    X(SECOND_ID, "second_id", 0, 0)          \
    X(PENDING, "pending", 0, 0)              \
    X(HTTP2, "http2", 0, 0)                  \
    X(HEADERS, "headers", 0, 1)              \
    X(HUGE_HEADERS, "huge_headers", 0, 1)    \
    X(EDIT, "edit", 0, 1)                    \
    X(REMOVE, "remove", 0, 1)                \
    X(BODY, "body", 0, 1)                    \
    X(PREFIX, "prefix", 0, 1)                \
    X(SUFFIX, "suffix", 0, 1)                \
    X(CUT, "cut", 0, 1)                      \
    X(UTF16, "utf16", 0, 1)                  \
    X(GZIP_BOMB, "gzip_bomb", 0, 1)

enum emu_action {
#define X(action, name, ends, edits) EMU_ACTION_##action,
    EMU_ACTIONS(X)
#undef X
};

#define EMU_RULES_MAX 256u
#define EMU_PLAN_EDITS_MAX 16u
#define EMU_RULE_HEADERS_MAX 16u
#define EMU_NTH_MAX 16u

struct emu_fault_header {
    char *name, *value; /* owned */
};

enum emu_distribution { EMU_FIXED, EMU_UNIFORM, EMU_EXPONENTIAL };

struct emu_rule {
    char *name;    /* owned, may be empty */
    char *method;  /* owned; NULL: any */
    char *path;    /* owned pattern */
    uint64_t nth[EMU_NTH_MAX];
    uint32_t nth_count;
    uint64_t every, after, times; /* 0: no such condition */
    double probability;           /* 1 unless given */
    uint64_t matched, fired;
    enum emu_action action;
    bool before;  /* latency: the effect waits too */
    bool effect;  /* status, redirect, hang: the request is carried out all the same */
    enum emu_distribution distribution;
    int64_t low_ms, high_ms; /* fixed: low; exponential: mean in low */
    int status, code;
    char *text;    /* owned: message, body, or inserted text */
    char *pointer; /* owned: RFC 6901 */
    char *value;   /* owned: raw JSON */
    char *last;    /* owned: what stood at the pointer in the answer before */
    bool previous; /* edit: put the value of the answer before */
    uint64_t bytes;
    int64_t every_ms;
    enum emu_play play; /* http2 */
    uint32_t error;     /* http2: of a reset */
    struct emu_fault_header headers[EMU_RULE_HEADERS_MAX];
    uint32_t header_count;
};

struct emu_faults {
    struct emu_rule *rules; /* owned */
    uint32_t count;
    struct mf_rng rng;
    int64_t list_lag_ms;
    char *text; /* owned: the script as it came */
};

/* What happens to one request. Rules stay valid until the script is replaced, which is never in the middle of a request. */
struct emu_plan {
    int64_t before_ms, after_ms;          /* wait before the effect; wait before the answer */
    struct emu_rule *end;                 /* NULL: a clean answer */
    struct emu_rule *edits[EMU_PLAN_EDITS_MAX];
    uint32_t edit_count;
    bool second_id;
    int64_t pending_ms;
};

/* Parses a script; NULL or empty text: no faults. */
int emu_faults_parse(struct emu_faults **out, struct mf_span text, struct mf_error *error);
void emu_faults_free(struct emu_faults *faults);
/* Decides; counters and the generator move on. */
void emu_faults_plan(struct emu_faults *faults, struct mf_span method, struct mf_span path, struct emu_plan *plan);
/* The `http2` rule that hits a connection whose client speaks HTTP/2; NULL: it is served over HTTP/1.1. Counters move on. */
const struct emu_rule *emu_faults_connection(struct emu_faults *faults);
/* '*' is any one segment, a last '**' any number of them; segments are compared as they are spelled. */
bool emu_path_fits(const char *pattern, struct mf_span path);
/* Does the rule let the request have its effect? */
bool emu_rule_has_effect(const struct emu_rule *rule);
/* Writes the rules with their counters as a JSON array. */
struct json_writer;
void emu_faults_write(const struct emu_faults *faults, struct json_writer *writer);

#endif
