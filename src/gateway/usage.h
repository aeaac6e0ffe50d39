/*
 * gateway/usage.h - tokens and money: what a service's answer says it used, what that costs, what is still allowed
 *
 * PURE. `usage` of a recipe says where the numbers stand in an answer (and in the events of a stream), `prices` what a million
 * tokens of a model cost; a recipe's table has a date. A request's maximum cost is reserved before it goes out, from the
 * request's own limit of output tokens and the length of its body, and replaced by what the answer says; an answer that says
 * nothing is charged in full.
 *
 *   "usage":  { "model": "/model", "input": "/usage/input_tokens", "output": "/usage/output_tokens",
 *               "cached": "/usage/cache_read_input_tokens", "cache_write": "/usage/cache_creation_input_tokens",
 *               "stream": { "input": ["/message/usage/input_tokens"], "output": ["/usage/output_tokens"] },    the last event that has it counts
 *               "request": { "model": "/model", "output_max": ["/max_tokens"] }, "output_default": 8192,
 *               "cached_in_input": true,                                             input counts the cached tokens too: they are taken off it
 *               "ask": { "when": {"pointer": "/stream", "equals": true}, "has": "/messages",                 optional: 400 when missing, in requests
 *                        "missing": "/stream_options/include_usage" } }                                      that have what `has` (optional) points to
 *   "prices": { "date": "2026-11-01", "models": { "claude-x": {"input": 3.0, "output": 15.0, "cached": 0.3, "cache_write": 3.75}, "*": {...} } }
 *
 * Where a pointer stands, a list of pointers may stand: the first that leads to a value counts. `stream` may have model, input,
 * output, cached and cache_write. Unknown members are ignored: the recipe's loader has checked them.
 *
 * Prices are dollars for a million tokens; "*" is for every other model; a model name matches by its longest prefix.
 */
#ifndef MF_GATEWAY_USAGE_H
#define MF_GATEWAY_USAGE_H

#include "base/error.h"
#include "base/str.h"
#include "gateway/audit.h"

#include <stdbool.h>
#include <stdint.h>

struct usage_rules;
int usage_rules_create(struct usage_rules **out, struct mf_span usage_json, struct mf_span prices_json, struct mf_error *error);
void usage_rules_destroy(struct usage_rules *rules); /* NULL is fine */
bool usage_rules_priced(const struct usage_rules *rules);

/*
 * The most that a request can cost, in millionths of a dollar; -1: cannot be told (no price, or a body that is no JSON):
 * under a budget such a request is refused. `body` is whole: requests to priced services are read before they go out.
 */
int64_t usage_reserve(const struct usage_rules *rules, struct mf_span body, const char **why);

/* Reads one answer while it passes: JSON, or an event stream by its content type. Keeps at most USAGE_ANSWER_BYTES_MAX of JSON, one event of a stream. */
#define USAGE_ANSWER_BYTES_MAX (8u << 20)
#define USAGE_EVENT_BYTES_MAX (1u << 20)
struct usage_reader;
int usage_reader_create(struct usage_reader **out, const struct usage_rules *rules, struct mf_span content_type);
void usage_reader_take(struct usage_reader *reader, struct mf_span data);
/* What the answer said. `model` lives in the reader. known: false when it did not say. */
void usage_reader_end(struct usage_reader *reader, struct audit_usage *out);
void usage_reader_destroy(struct usage_reader *reader);

/* --- budgets: one account for each thing that has a limit --- */

struct budget {
    int64_t limit_micro_usd; /* -1: none */
    int64_t spent_micro_usd, reserved_micro_usd;
    uint64_t limit_tokens;   /* 0: none */
    uint64_t tokens;
    uint64_t requests;
};
bool budget_allows(const struct budget *budget, int64_t reserve_micro_usd);
void budget_reserve(struct budget *budget, int64_t reserve_micro_usd);
void budget_settle(struct budget *budget, int64_t reserved_micro_usd, int64_t charged_micro_usd, uint64_t tokens);

#endif
