/*
 * decide.c - a head and a stage's grants -> a verdict
 *
 * PURE. The order is fixed: what no request may say (screen_headers), whose token it is, which path that grant may use. The
 * path is parsed once; what was matched is what goes upstream.
 *
 * A token is accepted in one place only: the one header that the policy of its grant names. A second credential in the same
 * request, or a token anywhere else (another header, query, path), refuses it. The same 401 goes out whoever's the token was.
 */
#include "gateway/proxy.h"

#include <string.h>

#define TOKEN_MARK "mfy_"
#define TOKEN_TEXT_BYTES (GATEWAY_TOKEN_BYTES - 1)

static void refuse(struct verdict *out, int status, int anomaly)
{
    out->status = status;
    out->anomaly = anomaly;
    out->reason = watch_name((enum watch_kind)anomaly);
}

/* --- host and origin --- */

static bool is_nocase(struct mf_span text, const char *lower_case)
{
    size_t length = strlen(lower_case);
    if (text.length != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text.data[i];
        if ((c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c) != lower_case[i])
            return false;
    }
    return true;
}

/* 127.0.0.1:PORT or localhost:PORT; a page that had its name rebound to this address says another one. */
static bool is_own_host(struct mf_span host, uint16_t port)
{
    static const char *const names[] = {"127.0.0.1", "localhost"};
    char full[32];
    for (size_t i = 0; i < 2; i++) {
        mf_format(full, sizeof full, "%s:%u", names[i], port);
        if (is_nocase(host, full) || (port == 80 && is_nocase(host, names[i])))
            return true;
    }
    return false;
}

enum screen { SCREEN_PASS, SCREEN_HOST, SCREEN_PAGE, SCREEN_FETCH_SITE, SCREEN_TRICK };

static enum screen screen_of(struct mf_span name)
{
    static const struct {
        const char *name;
        enum screen screen;
    } table[] = {
        {"host", SCREEN_HOST},
        {"origin", SCREEN_PAGE},
        {"referer", SCREEN_PAGE},
        {"sec-fetch-site", SCREEN_FETCH_SITE},
        {"x-http-method-override", SCREEN_TRICK},
        {"x-http-method", SCREEN_TRICK},
        {"x-method-override", SCREEN_TRICK},
        {"x-original-url", SCREEN_TRICK},
        {"x-original-uri", SCREEN_TRICK},
        {"x-rewrite-url", SCREEN_TRICK},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (mf_span_is(name, table[i].name))
            return table[i].screen;
    return SCREEN_PASS;
}

/* The status of its refusal, or 0. */
static int screen_header(const struct net_header *header, uint16_t port)
{
    switch (screen_of(header->name)) {
    case SCREEN_HOST:
        return is_own_host(header->value, port) ? 0 : 421;
    case SCREEN_PAGE:
        return 403;
    case SCREEN_FETCH_SITE:
        return mf_span_is(header->value, "none") || mf_span_is(header->value, "same-origin") ? 0 : 403;
    case SCREEN_TRICK:
        return 400;
    case SCREEN_PASS:
        break;
    }
    return 0;
}

bool screen_headers(const struct request_view *view, uint16_t port, struct verdict *out)
{
    int worst = 0;
    for (uint32_t i = 0; i < view->header_count; i++) {
        int status = screen_header(&view->headers[i], port);
        if (status == 421 || (status != 0 && worst == 0)) /* a wrong host says most */
            worst = status;
    }
    if (worst == 0)
        return true;
    refuse(out, worst, worst == 400 ? WATCH_TRICK : WATCH_MALFORMED);
    return false;
}

/* --- whose token --- */

bool is_credential_header(struct mf_span name)
{
    static const char *const names[] = {"authorization", "proxy-authorization", "x-api-key",      "api-key",
                                        "x-auth-key",    "x-auth-token",        "x-goog-api-key", "x-auth-email",
                                        "cookie",        "x-amz-security-token"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (mf_span_is(name, names[i]))
            return true;
    return false;
}

static bool is_token_character(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '_';
}

/* Does it hold what looks like a token of ours? */
static bool holds_token(struct mf_span text)
{
    for (size_t at = 0; at + TOKEN_TEXT_BYTES <= text.length; at++) {
        if (memcmp(text.data + at, TOKEN_MARK, sizeof TOKEN_MARK - 1) != 0)
            continue;
        size_t run = sizeof TOKEN_MARK - 1;
        while (run < TOKEN_TEXT_BYTES && is_token_character(text.data[at + run]))
            run++;
        if (run == TOKEN_TEXT_BYTES)
            return true;
    }
    return false;
}

/* The last word of a value: "Bearer abc" presents abc. */
static struct mf_span last_word(struct mf_span value)
{
    size_t start = value.length;
    while (start > 0 && value.data[start - 1] != ' ' && value.data[start - 1] != '=')
        start--;
    return (struct mf_span){value.data + start, value.length - start};
}

/* Where the policies of the stage's grants allow a token to stand. */
static bool in_place(const struct stage *stage, const struct net_header *header, struct mf_span *token)
{
    for (const struct grant *grant = stage->grants; grant != NULL; grant = grant->next)
        if (policy_token(grant->policy->policy, header->name, header->value, token))
            return true;
    return false;
}

struct presented {            /* what the headers present */
    uint32_t count;           /* headers with a credential in a place of some policy */
    struct net_header header; /* the first of them */
    uint8_t hash[TOKEN_HASH_BYTES]; /* of the token in it */
    bool elsewhere, canary;   /* a token outside of them; a planted credential anywhere */
};

static void look_at_header(const struct stage *stage, const struct tokens *tokens, const struct net_header *header,
                           struct presented *out)
{
    struct mf_span value;
    bool place = in_place(stage, header, &value);
    if (!place && (holds_token(header->value) || holds_token(header->name)))
        out->elsewhere = true;
    if (!place && !is_credential_header(header->name))
        return;
    uint8_t hash[TOKEN_HASH_BYTES];
    token_hash(place ? value : last_word(header->value), hash);
    const struct token *token = tokens_find(tokens, hash);
    out->canary = out->canary || (token != NULL && token->kind == TOKEN_CANARY);
    if (place && out->count++ == 0) {
        out->header = *header;
        memcpy(out->hash, hash, sizeof hash);
    }
}

static struct grant *find_handed(const struct stage *stage, const uint8_t hash[TOKEN_HASH_BYTES])
{
    struct grant *found = NULL;
    for (struct grant *grant = stage->grants; grant != NULL; grant = grant->next)
        if (grant_was_handed(grant, hash))
            found = grant;
    return found;
}

/* What a token that is not accepted says about whoever sends it. A lease may end before its agent: that is no replay. */
static int anomaly_of(const struct stage *stage, const struct token *token)
{
    if (token == NULL)
        return WATCH_UNKNOWN_TOKEN;
    if (token->kind == TOKEN_DEAD)
        return token->stage == stage->id ? WATCH_UNKNOWN_TOKEN : WATCH_REPLAY;
    return token->kind == TOKEN_CANARY ? WATCH_CANARY : WATCH_FOREIGN_TOKEN;
}

/* Does the header that presents the token come once? */
static bool comes_once(const struct request_view *view, struct mf_span name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->header_count; i++)
        count += mf_span_equal(view->headers[i].name, name);
    return count == 1;
}

static bool is_at_home(const struct grant *grant, const struct net_header *header)
{
    struct mf_span value;
    return policy_token(grant->policy->policy, header->name, header->value, &value);
}

/* Sets out->grant, or refuses with 401. Every request goes through the same steps, whoever's its token is. */
static bool identify(const struct stage *stage, const struct tokens *tokens, const struct request_view *view,
                     struct verdict *out)
{
    struct presented presented = {.elsewhere = holds_token(view->query) || holds_token(view->path)};
    for (uint32_t i = 0; i < view->header_count; i++)
        look_at_header(stage, tokens, &view->headers[i], &presented);
    const struct token *token = tokens_find(tokens, presented.hash);
    struct grant *handed = find_handed(stage, presented.hash);
    struct grant *own = token != NULL && token->kind == TOKEN_LIVE && token->stage == stage->id ? token->grant : NULL;
    if (presented.canary)
        refuse(out, 401, WATCH_CANARY);
    else if (presented.elsewhere || presented.count > 1)
        refuse(out, 401, WATCH_TOKEN_PLACE);
    else if (presented.count == 0 || (own == NULL && handed == NULL))
        refuse(out, 401, presented.count == 0 ? WATCH_UNKNOWN_TOKEN : anomaly_of(stage, token));
    else if (!comes_once(view, presented.header.name) || !is_at_home(own != NULL ? own : handed, &presented.header))
        refuse(out, 401, WATCH_TOKEN_PLACE);
    if (out->status != 0)
        return false;
    out->grant = own != NULL ? own : handed;
    out->agent_credential = own == NULL;
    out->credential_header = presented.header.name;
    return true;
}

/* --- the path --- */

bool path_strip(struct http1_path *path, struct mf_span base)
{
    size_t length = path->text_length;
    if (base.length == 0)
        return true;
    if (length < base.length || memcmp(path->text, base.data, base.length) != 0 ||
        (length > base.length && path->text[base.length] != '/'))
        return false;
    uint32_t gone = 0;
    while (gone < path->count && path->at[gone] < base.length)
        gone++;
    for (uint32_t i = gone; i < path->count; i++) {
        path->traits[i - gone] = path->traits[i];
        path->at[i - gone] = (uint16_t)(path->at[i] - base.length);
        path->length[i - gone] = path->length[i];
    }
    path->count -= gone;
    memmove(path->text, path->text + base.length, length - base.length + 1);
    path->text_length = (uint16_t)(length - base.length);
    if (path->text_length == 0) {
        memcpy(path->text, "/", 2);
        path->text_length = 1;
    }
    return true;
}

/* Every escape of a query is one, so that nobody behind us reads it in another way. */
static bool is_query(struct mf_span query)
{
    for (size_t i = 0; i < query.length; i++) {
        if (query.data[i] != '%')
            continue;
        for (size_t k = 1; k <= 2; k++) {
            char c = i + k < query.length ? query.data[i + k] : '\0';
            if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')))
                return false;
        }
    }
    return true;
}

static int anomaly_of_verdict(enum http1_verdict verdict)
{
    switch (verdict) {
    case HTTP1_VERDICT_NOT_GRANTED:
    case HTTP1_VERDICT_NARROWED:
    case HTTP1_VERDICT_NO_RULE:
        return WATCH_OUTSIDE;
    case HTTP1_VERDICT_FOREIGN_ACCOUNT:
        return WATCH_FOREIGN_ACCOUNT;
    case HTTP1_VERDICT_BAD_PATH:
        return WATCH_TRICK;
    case HTTP1_VERDICT_ALLOWED:
    case HTTP1_VERDICT_BENIGN:
        break;
    }
    return -1;
}

static void decide_path(const struct request_view *view, struct verdict *out)
{
    const struct grant *grant = out->grant;
    const struct policy *policy = grant->policy->policy;
    if (http1_path_parse(&out->path, view->path, NULL) != 0 || !is_query(view->query)) {
        refuse(out, 400, WATCH_TRICK);
        return;
    }
    out->path_read = true;
    if (!path_strip(&out->path, policy_base_path(policy)))
        out->match =
            (struct http1_match){.verdict = HTTP1_VERDICT_NO_RULE, .rule = UINT32_MAX, .permission = UINT32_MAX};
    else
        http1_table_match(policy_table(policy), view->method, &out->path, &grant->rights, &out->match);
    out->reason = http1_verdict_name(out->match.verdict);
    out->status = http1_verdict_status(out->match.verdict);
    out->anomaly = anomaly_of_verdict(out->match.verdict);
    bool agents = (out->match.flags & HTTP1_RULE_AGENT_CREDENTIAL) != 0;
    if (out->status == 0 && agents != out->agent_credential)
        refuse(out, 401, WATCH_UNKNOWN_TOKEN);
}

void decide(const struct stage *stage, const struct tokens *tokens, uint16_t port, const struct request_view *view,
            struct verdict *out)
{
    /* not the whole of it: the path's room is large, and is written when it is read */
    out->status = 0;
    out->reason = "";
    out->anomaly = -1;
    out->grant = NULL;
    out->match = (struct http1_match){.rule = UINT32_MAX, .permission = UINT32_MAX};
    out->path_read = out->agent_credential = false;
    out->credential_header = (struct mf_span){0};
    if (screen_headers(view, port, out) && identify(stage, tokens, view, out))
        decide_path(view, out);
}
