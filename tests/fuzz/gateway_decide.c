/*
 * gateway_decide.c - fuzz: a head, cut anywhere, and the gateway's verdict on it
 *
 * The first bytes say where the rest is cut; the byte 0x01 in the rest stands for the agent's token, 0x02 for another agent's.
 * Checked: cut or whole, the verdict is the same; what is allowed has the agent's own token in the one place for it, a path
 * below its account in canonical spelling, and a host that is the door's; what goes upstream holds no token and one credential.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define ACCOUNT "0123456789abcdef"
#define PORT 8787

static struct stage stage = {.id = 1, .task = (char[]){"t"}, .kind = "agent"},
                    other = {.id = 2, .task = (char[]){"u"}, .kind = "agent"};
static struct grant grant, other_grant;
static struct shared_policy policy = {.users = 1};
static struct upstream upstream = {
    .users = 1, .headers = {{{"authorization", 13}, {"Bearer real-credential", 22}}}, .header_count = 1};
static struct http1_binding binding = {{"account_id", 10}, {ACCOUNT, sizeof ACCOUNT - 1}};
static struct tokens *tokens;
static char token[GATEWAY_TOKEN_BYTES], other_token[GATEWAY_TOKEN_BYTES];

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void open_world(void)
{
    static const char json[] = "{\"policy\":1,\"base_path\":\"/v4\",\"permissions\":[\"a\",\"b\"],\"rules\":[[\"GET "
                               "/accounts/{account_id}/x\",0],"
                               "[\"PUT /accounts/{account_id}/x/{key:opaque}\",0],[\"DELETE "
                               "/accounts/{account_id}\",1],[\"POST /accounts/{account_id}/up\",0,\"agent\"]],"
                               "\"benign\":[\"GET /user\"],\"forward\":[\"x-more\"]}";
    check(policy_create(&policy.policy, MF_SPAN(json), NULL) == 0 && tokens_create(&tokens, NULL) == 0);
    grant = (struct grant){.stage = &stage, .lease = 1, .policy = &policy, .upstream = &upstream};
    grant.rights = (struct http1_grant){.permissions = {1}, .bindings = &binding, .binding_count = 1};
    other_grant = grant;
    other_grant.stage = &other;
    stage.grants = &grant;
    check(tokens_issue(tokens, &grant, 1, token, grant.hash, NULL) == 0);
    check(tokens_issue(tokens, &other_grant, 2, other_token, other_grant.hash, NULL) == 0);
    grant_hand_on(&grant, MF_SPAN("handed"));
}

static size_t expand(const uint8_t *data, size_t size, char *out, size_t out_bytes)
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        const char *put = data[i] == 1 ? token : data[i] == 2 ? other_token : NULL;
        size_t bytes = put != NULL ? strlen(put) : 1;
        if (length + bytes > out_bytes)
            break;
        memcpy(out + length, put != NULL ? put : (const char *)&data[i], bytes);
        length += bytes;
    }
    return length;
}

/* Memory of exactly the size: what reads behind it is seen. */
static enum http1_result parse(const char *data, size_t length, size_t step, struct http1_head *head, char **copy)
{
    enum http1_result result = HTTP1_PARTIAL;
    char *memory = NULL;
    http1_head_init(head);
    for (size_t there = 0; result == HTTP1_PARTIAL && there < length;) {
        size_t next = length - there < step ? length : there + step;
        char *grown = malloc(next);
        check(grown != NULL);
        if (there > 0)
            memcpy(grown, memory, there);
        memcpy(grown + there, data + there, next - there);
        free(memory);
        memory = grown;
        there = next;
        result = http1_head_parse(head, memory, there);
    }
    *copy = memory;
    return result;
}

static void view_of(const struct http1_head *head, const char *data, struct net_header *headers,
                    struct request_view *view)
{
    for (uint32_t i = 0; i < head->header_count; i++)
        headers[i] =
            (struct net_header){http1_piece_span(head->names[i], data), http1_piece_span(head->values[i], data)};
    *view = (struct request_view){http1_piece_span(head->method, data),
                                  http1_piece_span(head->path, data),
                                  http1_piece_span(head->query, data),
                                  headers,
                                  head->header_count,
                                  head->chunked || head->content_length > 0};
}

static void check_allowed(const struct request_view *view, const struct verdict *verdict)
{
    struct net_header out[HTTP1_HEADERS_MAX + GRANT_HEADERS_MAX];
    struct http1_path again;
    uint32_t credentials = 0;
    check(verdict->grant == &grant && verdict->match.permission == 0);
    check(http1_path_check(&verdict->path, verdict->match.opaque, NULL) == 0);
    check(http1_path_parse(&again, (struct mf_span){verdict->path.text, verdict->path.text_length}, NULL) == 0 &&
          again.was_canonical);
    check(strncmp(verdict->path.text, "/accounts/" ACCOUNT "/", 11 + sizeof ACCOUNT - 1) == 0);
    struct mf_span own = verdict->agent_credential ? verdict->credential_header : (struct mf_span){0};
    uint32_t count = headers_for_upstream(view, policy.policy, &upstream, own, out);
    for (uint32_t i = 0; i < count; i++) {
        credentials += mf_span_is(out[i].name, "authorization");
        check(!mf_span_is(out[i].name, "host") && !mf_span_is(out[i].name, "connection") &&
              !mf_span_is(out[i].name, "cookie"));
        check(out[i].value.length < GATEWAY_TOKEN_BYTES - 1 ||
              memmem(out[i].value.data, out[i].value.length, token, GATEWAY_TOKEN_BYTES - 1) == NULL);
    }
    check(credentials == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char bytes[16384];
    static struct net_header headers[HTTP1_HEADERS_MAX], cut_headers[HTTP1_HEADERS_MAX];
    static struct verdict whole, cut;
    struct http1_head head, cut_head;
    struct request_view view, cut_view;
    char *memory, *cut_memory;
    if (tokens == NULL)
        open_world();
    if (size < 2)
        return 0;
    size_t length = expand(data + 1, size - 1, bytes, sizeof bytes), step = (size_t)data[0] % 64 + 1;
    if (length == 0)
        return 0;
    enum http1_result result = parse(bytes, length, length, &head, &memory),
                      cut_result = parse(bytes, length, step, &cut_head, &cut_memory);
    check(result == cut_result);
    if (result == HTTP1_DONE) {
        view_of(&head, memory, headers, &view);
        view_of(&cut_head, cut_memory, cut_headers, &cut_view);
        decide(&stage, tokens, PORT, &view, &whole);
        decide(&stage, tokens, PORT, &cut_view, &cut);
        check(whole.status == cut.status && whole.anomaly == cut.anomaly && whole.grant == cut.grant &&
              strcmp(whole.reason, cut.reason) == 0);
        check(whole.status == 0 || (whole.status >= 400 && whole.status < 500));
        if (whole.status == 0)
            check_allowed(&view, &whole);
        if (memmem(memory, head.head_bytes, token, GATEWAY_TOKEN_BYTES - 1) == NULL &&
            memmem(memory, head.head_bytes, "handed", 6) == NULL)
            check(whole.status != 0);
    }
    free(memory);
    free(cut_memory);
    return 0;
}
