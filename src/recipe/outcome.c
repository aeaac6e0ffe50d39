/*
 * outcome.c - what a reply means
 *
 * The first outcome of the step that matches decides. Without one, certainty is only what HTTP gives: a step with an effect
 * that was sent and got no complete answer, or a 5xx, is unknown.
 */
#include "recipe/run.h"

#include <stdio.h>
#include <string.h>

const char *recipe_verdict_name(enum recipe_verdict verdict)
{
    static const char *const names[] = {
#define X(verdict, name) name,
        RECIPE_VERDICTS(X)
#undef X
    };
    return (size_t)verdict < sizeof names / sizeof *names ? names[verdict] : "?";
}

const char *recipe_op_name(enum recipe_op op)
{
    static const char *const names[] = {
#define X(op, name) name,
        RECIPE_OPS(X)
#undef X
    };
    return (size_t)op < sizeof names / sizeof *names ? names[op] : "?";
}

/* --- the answer --- */

int recipe_answer_read(struct recipe_answer *answer, const struct recipe_reply *reply)
{
    struct json_failure failure = {0};
    *answer = (struct recipe_answer){.reply = reply};
    if (!reply->answered || reply->body.length == 0)
        return 0;
    answer->parsed = json_scan(&answer->document, reply->body, &json_limits_default, &failure) == 0;
    return !answer->parsed && failure.code == MF_MEMORY ? -1 : 0;
}

void recipe_answer_free(struct recipe_answer *answer)
{
    if (answer->parsed)
        json_document_free(&answer->document);
    answer->parsed = false;
}

struct mf_span recipe_reply_header(const struct recipe_reply *reply, const char *name, uint32_t index)
{
    for (uint32_t i = 0; i < reply->header_count; i++)
        if (mf_span_is(reply->headers[i].name, name) && index-- == 0)
            return reply->headers[i].value;
    return (struct mf_span){NULL, 0};
}

/* --- matching --- */

static bool contains(struct mf_span text, struct mf_span part)
{
    return part.length > 0 && text.length >= part.length && memmem(text.data, text.length, part.data, part.length) != NULL;
}

static bool holds_at(const struct recipe_condition *condition, const struct recipe_answer *answer)
{
    uint32_t node = answer->parsed ? json_pointer(&answer->document, condition->pointer) : JSON_NONE;
    if (node == JSON_NONE)
        return false;
    enum json_kind kind = json_kind(&answer->document, node);
    if (condition->test == RECIPE_TEST_FEWER_THAN)
        return kind == JSON_ARRAY && answer->document.nodes[node].children < condition->number;
    if (condition->test == RECIPE_TEST_EQUALS && condition->kind != JSON_STRING)
        return kind == condition->kind && mf_span_equal(json_raw(&answer->document, node), condition->text);
    if (kind != JSON_STRING)
        return false;
    struct mf_buf text;
    mf_buf_init_secret(&text, RECIPE_BODY_BYTES_MAX);
    bool result = json_text(&answer->document, node, &text) == 0 &&
                  (condition->test == RECIPE_TEST_EQUALS ? mf_span_equal(mf_buf_view(&text), condition->text)
                                                         : contains(mf_buf_view(&text), condition->text));
    mf_buf_free(&text);
    return result;
}

static bool body_holds(const struct recipe_condition *condition, const struct recipe_answer *answer)
{
    if (condition->test == RECIPE_TEST_NONE)
        return true;
    return condition->has_pointer ? holds_at(condition, answer) : contains(answer->reply->body, condition->text);
}

static bool header_holds(const struct recipe_condition *condition, const struct recipe_answer *answer)
{
    if (condition->test == RECIPE_TEST_NONE)
        return true;
    struct mf_span value = recipe_reply_header(answer->reply, condition->header, 0);
    return condition->test == RECIPE_TEST_EQUALS ? value.data != NULL && mf_span_equal(value, condition->text) : contains(value, condition->text);
}

bool recipe_matches(const struct recipe_match *match, const struct recipe_answer *answer)
{
    bool status = match->status_count == 0;
    for (uint32_t i = 0; i < match->status_count; i++)
        status = status || (answer->reply->status >= match->statuses[i].first && answer->reply->status <= match->statuses[i].last);
    return status && body_holds(&match->body, answer) && header_holds(&match->header, answer);
}

/* --- the verdict --- */

/* 408, 421 and 425 say that the request was not taken up now; for 408 a proxy may have said so after it was passed on. */
static enum recipe_verdict by_status(int status, bool effect)
{
    if (status >= 200 && status <= 299)
        return RECIPE_VERDICT_SUCCESS;
    if (status == 429 || status == 421 || status == 425)
        return RECIPE_VERDICT_RETRY;
    if (status == 408 || status >= 500)
        return effect ? RECIPE_VERDICT_UNKNOWN : RECIPE_VERDICT_RETRY;
    if (status >= 400)
        return RECIPE_VERDICT_REFUSED;
    return effect ? RECIPE_VERDICT_UNKNOWN : RECIPE_VERDICT_REFUSED; /* a redirection is never followed; it may come after the effect */
}

enum recipe_verdict recipe_verdict_of(const struct recipe_exec *exec, const struct recipe_step *step, const struct recipe_answer *answer,
                                      bool *rate_limited)
{
    const struct recipe_reply *reply = answer->reply;
    *rate_limited = false;
    if (reply->kind != RECIPE_REPLY_HTTP || !reply->answered) {
        bool sent = reply->kind == RECIPE_REPLY_HTTP && reply->sent;
        if (!sent && reply->untrusted)
            return RECIPE_VERDICT_REFUSED;
        return step->effect && sent ? RECIPE_VERDICT_UNKNOWN : RECIPE_VERDICT_RETRY;
    }
    for (uint32_t i = 0; i < step->outcome_count; i++) {
        const struct recipe_outcome *outcome = &step->outcomes[i];
        if ((outcome->after_expiry && !exec->vars.expired) || !recipe_matches(&outcome->match, answer))
            continue;
        *rate_limited = outcome->rate_limited || (outcome->verdict == RECIPE_VERDICT_RETRY && reply->status == 429);
        return outcome->verdict;
    }
    *rate_limited = reply->status == 429;
    return by_status(reply->status, step->effect);
}

/* --- Retry-After: whole seconds or a date; nonsense counts as not given, a long time is cut --- */

static int64_t one_retry_after_ms(struct mf_span value, int64_t now_ms)
{
    int64_t seconds, at_ms;
    if (mf_parse_i64(value, &seconds) == 0)
        return seconds <= 0 ? 0 : seconds >= RECIPE_RETRY_AFTER_MS_MAX / 1000 ? RECIPE_RETRY_AFTER_MS_MAX : seconds * 1000;
    if (mf_parse_http_date_ms(value, &at_ms) == 0)
        return at_ms <= now_ms ? 0 : at_ms - now_ms >= RECIPE_RETRY_AFTER_MS_MAX ? RECIPE_RETRY_AFTER_MS_MAX : at_ms - now_ms;
    bool digits = value.length > 0;
    for (size_t i = 0; i < value.length; i++)
        digits = digits && value.data[i] >= '0' && value.data[i] <= '9';
    return digits ? RECIPE_RETRY_AFTER_MS_MAX : 0;
}

int64_t recipe_retry_after_ms(const struct recipe_reply *reply)
{
    int64_t longest_ms = 0, now_ms = reply->received_ms;
    mf_parse_http_date_ms(recipe_reply_header(reply, "date", 0), &now_ms);
    for (uint32_t i = 0; i < 4; i++) {
        struct mf_span value = recipe_reply_header(reply, "retry-after", i);
        int64_t after_ms = value.data == NULL ? 0 : one_retry_after_ms(value, now_ms);
        longest_ms = after_ms > longest_ms ? after_ms : longest_ms;
    }
    return longest_ms;
}
