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
 *               "input_includes_cached": false,      true: cached tokens are counted in `input` too, and are taken off it
 *               "stream": { "input": ["/message/usage/input_tokens"], "output": ["/usage/output_tokens"] },    the last event that has it counts
 *               "request": { "model": "/model", "output_max": ["/max_tokens"], "times": ["/n"] }, "output_default": 8192,
 *               "ask": { "when": {"pointer": "/stream", "equals": true}, "has": "/messages",
 *                        "missing": "/stream_options/include_usage" } }   optional: requests that have what `has` (if given) leads to are refused unless it is true
 *   "prices": { "date": "2026-11-01", "models": { "claude-x": {"input": 3.0, "output": 15.0, "cached": 0.3, "cache_write": 3.75}, "*": {...} } }
 *
 * Every pointer may be one text or an array of them. What `stream` does not name stands in its events where it stands in an
 * answer. Of several output limits in a request the largest counts (none: output_default; that is 0: such a request has no
 * maximum); `times` are factors of the output (several choices). Prices are dollars for a million tokens; "*" is for every
 * other model; a model's name matches by its longest prefix; without `cached` or `cache_write` that of `input` counts.
 *
 * A length in bytes is at least the number of its tokens, so the body's length bounds the input that the body holds, not what
 * it names by reference (a file's id, a picture's URL): there the answer corrects the reservation.
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
 * The most that a request can cost, in millionths of a dollar; -1: cannot be told (no price, a body that is no JSON, no limit,
 * usage not asked for), and *why says it in words for the agent: under a budget such a request is refused with 400. `body` is
 * whole: requests to priced services are read before they go out.
 */
int64_t usage_reserve(const struct usage_rules *rules, struct mf_span body, const char **why);

/*
 * Reads one answer while it passes: JSON, or an event stream by its content type; bytes as they are without content coding. Takes
 * the numbers out on the way: its memory does not depend on the answer. `rules` must outlive it.
 */
struct usage_reader;
int usage_reader_create(struct usage_reader **out, const struct usage_rules *rules, struct mf_span content_type);
void usage_reader_take(struct usage_reader *reader, struct mf_span data);
/*
 * What the answer said. `model` lives in the reader. known: false when it did not say. input_tokens are those that were neither
 * cached nor written to the cache. Of an answer that did not come to its end (or that the agent cut off) this is what was said so
 * far, not what was used: it is charged in full all the same, else an agent could hang up before the last event.
 */
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
