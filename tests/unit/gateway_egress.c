/* gateway_egress.c - where agents may connect to: targets, lists, classes of addresses, heads of the egress doors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gateway/egress_head.h"
#include "gateway/egress_rules.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* --- addresses --- */

static struct egress_address address_of(const char *text)
{
    struct egress_address address = {.six = strchr(text, ':') != NULL};
    assert_int_equal(inet_pton(address.six ? AF_INET6 : AF_INET, text, address.bytes), 1);
    return address;
}

static const struct {
    const char *address;
    enum egress_class class_of;
} classes[] = {
    {"1.1.1.1", EGRESS_CLASS_PUBLIC},
    {"9.255.255.255", EGRESS_CLASS_PUBLIC},
    {"10.0.0.0", EGRESS_CLASS_PRIVATE},
    {"10.255.255.255", EGRESS_CLASS_PRIVATE},
    {"11.0.0.0", EGRESS_CLASS_PUBLIC},
    {"100.63.255.255", EGRESS_CLASS_PUBLIC},
    {"100.64.0.0", EGRESS_CLASS_PRIVATE},
    {"100.127.255.255", EGRESS_CLASS_PRIVATE},
    {"100.128.0.0", EGRESS_CLASS_PUBLIC},
    {"126.255.255.255", EGRESS_CLASS_PUBLIC},
    {"127.0.0.1", EGRESS_CLASS_PRIVATE},
    {"127.255.255.255", EGRESS_CLASS_PRIVATE},
    {"128.0.0.0", EGRESS_CLASS_PUBLIC},
    {"169.253.255.255", EGRESS_CLASS_PUBLIC},
    {"169.254.169.254", EGRESS_CLASS_LINK_LOCAL},
    {"169.255.0.0", EGRESS_CLASS_PUBLIC},
    {"172.15.255.255", EGRESS_CLASS_PUBLIC},
    {"172.16.0.0", EGRESS_CLASS_PRIVATE},
    {"172.31.255.255", EGRESS_CLASS_PRIVATE},
    {"172.32.0.0", EGRESS_CLASS_PUBLIC},
    {"192.0.0.8", EGRESS_CLASS_NEVER},
    {"192.0.1.1", EGRESS_CLASS_PUBLIC},
    {"192.0.2.1", EGRESS_CLASS_NEVER},
    {"192.88.99.1", EGRESS_CLASS_NEVER},
    {"192.167.255.255", EGRESS_CLASS_PUBLIC},
    {"192.168.1.1", EGRESS_CLASS_PRIVATE},
    {"192.169.0.0", EGRESS_CLASS_PUBLIC},
    {"198.17.255.255", EGRESS_CLASS_PUBLIC},
    {"198.18.0.1", EGRESS_CLASS_PRIVATE},
    {"198.19.255.255", EGRESS_CLASS_PRIVATE},
    {"198.20.0.0", EGRESS_CLASS_PUBLIC},
    {"198.51.100.7", EGRESS_CLASS_NEVER},
    {"203.0.113.7", EGRESS_CLASS_NEVER},
    {"223.255.255.255", EGRESS_CLASS_PUBLIC},
    {"224.0.0.1", EGRESS_CLASS_NEVER},
    {"239.255.255.255", EGRESS_CLASS_NEVER},
    {"240.0.0.1", EGRESS_CLASS_NEVER},
    {"255.255.255.255", EGRESS_CLASS_NEVER},
    {"0.0.0.0", EGRESS_CLASS_NEVER},
    {"0.1.2.3", EGRESS_CLASS_NEVER},
    {"::", EGRESS_CLASS_NEVER},
    {"::1", EGRESS_CLASS_PRIVATE},
    {"::2", EGRESS_CLASS_NEVER},
    {"::127.0.0.1", EGRESS_CLASS_NEVER}, /* compatible: long gone */
    {"::ffff:127.0.0.1", EGRESS_CLASS_PRIVATE},
    {"::ffff:169.254.169.254", EGRESS_CLASS_LINK_LOCAL},
    {"::ffff:10.1.2.3", EGRESS_CLASS_PRIVATE},
    {"::ffff:0.0.0.0", EGRESS_CLASS_NEVER},
    {"::ffff:8.8.8.8", EGRESS_CLASS_PUBLIC},
    {"::ffff:0:127.0.0.1", EGRESS_CLASS_NEVER}, /* translated by RFC 2765 */
    {"64:ff9b::127.0.0.1", EGRESS_CLASS_PRIVATE},
    {"64:ff9b::169.254.169.254", EGRESS_CLASS_LINK_LOCAL},
    {"64:ff9b::8.8.8.8", EGRESS_CLASS_PUBLIC},
    {"64:ff9b:1::8.8.8.8", EGRESS_CLASS_NEVER}, /* translated locally: nobody knows to what */
    {"100::1", EGRESS_CLASS_NEVER},
    {"2001::1", EGRESS_CLASS_NEVER}, /* Teredo */
    {"2001:1ff:ffff::1", EGRESS_CLASS_NEVER},
    {"2001:200::1", EGRESS_CLASS_PUBLIC},
    {"2001:db8::1", EGRESS_CLASS_NEVER},
    {"2001:4860:4860::8888", EGRESS_CLASS_PUBLIC},
    {"2002:7f00:1::", EGRESS_CLASS_NEVER}, /* 6to4 around 127.0.0.1 */
    {"2606:4700::1111", EGRESS_CLASS_PUBLIC},
    {"3fff::1", EGRESS_CLASS_NEVER},
    {"3fff:1000::1", EGRESS_CLASS_PUBLIC},
    {"4000::1", EGRESS_CLASS_NEVER},
    {"5f00::1", EGRESS_CLASS_NEVER},
    {"fbff::1", EGRESS_CLASS_NEVER},
    {"fc00::1", EGRESS_CLASS_PRIVATE},
    {"fdff::1", EGRESS_CLASS_PRIVATE},
    {"fe80::1", EGRESS_CLASS_LINK_LOCAL},
    {"febf::1", EGRESS_CLASS_LINK_LOCAL},
    {"fec0::1", EGRESS_CLASS_NEVER},
    {"ff02::1", EGRESS_CLASS_NEVER},
};

static void test_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        struct egress_address address = address_of(classes[i].address);
        if (egress_classify(&address) != classes[i].class_of)
            fail_msg("%s is %s", classes[i].address, egress_class_name(egress_classify(&address)));
        assert_true(egress_class_text(classes[i].class_of)[0] != '\0');
    }
}

static void test_may_dial(void **state)
{
    static const struct {
        const char *address;
        enum egress_grant grant;
        bool numeric, may;
    } cases[] = {
        {"8.8.8.8", EGRESS_PUBLIC, false, true},
        {"8.8.8.8", EGRESS_NO, false, false},
        {"127.0.0.1", EGRESS_PUBLIC, false, false},
        {"127.0.0.1", EGRESS_PUBLIC, true, false},
        {"127.0.0.1", EGRESS_WITH_PRIVATE, false, true},
        {"10.0.0.1", EGRESS_WITH_PRIVATE, true, true},
        {"169.254.169.254", EGRESS_PUBLIC, true, false},
        {"169.254.169.254", EGRESS_WITH_PRIVATE, false, false},
        {"169.254.169.254", EGRESS_WITH_PRIVATE, true, true},
        {"fe80::1", EGRESS_WITH_PRIVATE, false, false},
        {"0.0.0.0", EGRESS_WITH_PRIVATE, true, false},
        {"224.0.0.1", EGRESS_WITH_PRIVATE, true, false},
        {"::ffff:169.254.169.254", EGRESS_WITH_PRIVATE, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct egress_address address = address_of(cases[i].address);
        struct egress_target target = {.numeric = cases[i].numeric};
        if (egress_may_dial(cases[i].grant, &target, &address) != cases[i].may)
            fail_msg("case %zu: %s", i, cases[i].address);
    }
}

/* --- targets --- */

static const struct {
    const char *text;
    uint16_t default_port;
    const char *host; /* NULL: none */
    uint16_t port;
    bool numeric;
} targets[] = {
    {"example.org:443", 0, "example.org", 443, false},
    {"Example.ORG:443", 0, "example.org", 443, false},
    {"example.org", 80, "example.org", 80, false},
    {"example.org", 0, NULL, 0, false},
    {"example.org:", 80, NULL, 0, false},
    {"example.org:0", 0, NULL, 0, false},
    {"example.org:65536", 0, NULL, 0, false},
    {"example.org:0443", 0, NULL, 0, false},
    {"example.org:+443", 0, NULL, 0, false},
    {"example.org:443:443", 0, NULL, 0, false},
    {"example.org.:443", 0, NULL, 0, false},
    {".example.org:443", 0, NULL, 0, false},
    {"example..org:443", 0, NULL, 0, false},
    {"exa mple.org:443", 0, NULL, 0, false},
    {"user@example.org:443", 0, NULL, 0, false},
    {"example.org%2f:443", 0, NULL, 0, false},
    {"ex\xc3\xa4mple.org:443", 0, NULL, 0, false},
    {"xn--exmple-cua.org:443", 0, "xn--exmple-cua.org", 443, false},
    {"_srv.example.org:443", 0, "_srv.example.org", 443, false},
    {"localhost:80", 0, "localhost", 80, false},
    {"127.0.0.1:80", 0, "127.0.0.1", 80, true},
    {"127.1:80", 0, NULL, 0, false},
    {"2130706433:80", 0, NULL, 0, false},
    {"0x7f000001:80", 0, NULL, 0, false},
    {"0x7f.1:80", 0, NULL, 0, false},
    {"127.0.0.0x1:80", 0, NULL, 0, false},
    {"0177.0.0.1:80", 0, NULL, 0, false},
    {"127.0.0.1.:80", 0, NULL, 0, false},
    {"1.2.3.4.5:80", 0, NULL, 0, false},
    {"1.2.3.256:80", 0, NULL, 0, false},
    {"a.123:80", 0, NULL, 0, false},
    {"123.a:80", 0, "123.a", 80, false},
    {"[::1]:80", 0, "::1", 80, true},
    {"[::FFFF:127.0.0.1]:80", 0, "::ffff:127.0.0.1", 80, true},
    {"[fe80::1%eth0]:80", 0, NULL, 0, false},
    {"[::1", 80, NULL, 0, false},
    {"[::1]", 80, "::1", 80, true},
    {"[::1]x:80", 0, NULL, 0, false},
    {"[127.0.0.1]:80", 0, NULL, 0, false},
    {"[example.org]:80", 0, NULL, 0, false},
    {"::1:80", 0, NULL, 0, false},
    {"", 80, NULL, 0, false},
    {":80", 80, NULL, 0, false},
};

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct egress_target target;
        int result = egress_target_parse(mf_span(targets[i].text), targets[i].default_port, &target);
        if ((result == 0) != (targets[i].host != NULL))
            fail_msg("\"%s\": %d", targets[i].text, result);
        if (targets[i].host == NULL)
            continue;
        assert_string_equal(target.host, targets[i].host);
        assert_int_equal(target.port, targets[i].port);
        assert_int_equal(target.numeric, targets[i].numeric);
    }
    struct egress_target target;
    assert_int_equal(egress_target_parse(MF_SPAN("a\0b:80"), 0, &target), -1);
    char label[80], name[400];
    memset(label, 'a', sizeof label);
    snprintf(name, sizeof name, "%.63s.org:80", label);
    assert_int_equal(egress_target_parse(mf_span(name), 0, &target), 0);
    snprintf(name, sizeof name, "%.64s.org:80", label);
    assert_int_equal(egress_target_parse(mf_span(name), 0, &target), -1);
    snprintf(name, sizeof name, "%.63s.%.63s.%.63s.%.62s.org:80", label, label, label, label);
    assert_int_equal(egress_target_parse(mf_span(name), 0, &target), -1);
}

/* --- lists --- */

static struct egress_rules *rules_of(const char *const *egress, uint32_t egress_count, const char *const *reach,
                                     uint32_t reach_count)
{
    struct mf_span egress_spans[8], reach_spans[8];
    struct egress_rules *rules;
    struct mf_error error;
    for (uint32_t i = 0; i < egress_count; i++)
        egress_spans[i] = mf_span(egress[i]);
    for (uint32_t i = 0; i < reach_count; i++)
        reach_spans[i] = mf_span(reach[i]);
    if (egress_rules_create(&rules, egress_spans, egress_count, reach_spans, reach_count, &error) != 0)
        fail_msg("%s", error.text);
    return rules;
}

static enum egress_grant grant_of(const struct egress_rules *rules, const char *text)
{
    struct egress_target target;
    assert_int_equal(egress_target_parse(mf_span(text), 0, &target), 0);
    return egress_rules_match(rules, &target);
}

static void test_match(void **state)
{
    static const char *const egress[] = {"registry.example.org:443", "*.cdn.example:443",     "!db.internal:5432",
                                         "!10.0.0.5:6379",           "[2606:4700::1111]:443", "db.internal:5432"};
    static const char *const reach[] = {"https://*.workers.example", "https://preview.example:8443/",
                                        "http://127.0.0.1:8123/__workers/"};
    static const struct {
        const char *target;
        enum egress_grant grant;
    } cases[] = {
        {"registry.example.org:443", EGRESS_PUBLIC},
        {"REGISTRY.example.org:443", EGRESS_PUBLIC},
        {"registry.example.org:80", EGRESS_NO},
        {"evil.registry.example.org:443", EGRESS_NO},
        {"xregistry.example.org:443", EGRESS_NO},
        {"example.org:443", EGRESS_NO},
        {"a.cdn.example:443", EGRESS_PUBLIC},
        {"a.b.cdn.example:443", EGRESS_PUBLIC},
        {"cdn.example:443", EGRESS_NO},
        {"xcdn.example:443", EGRESS_NO},
        {"a.cdn.example:444", EGRESS_NO},
        {"a.cdn.example.evil.org:443", EGRESS_NO},
        {"db.internal:5432", EGRESS_WITH_PRIVATE},
        {"10.0.0.5:6379", EGRESS_WITH_PRIVATE},
        {"10.0.0.5:6380", EGRESS_NO},
        {"10.0.0.6:6379", EGRESS_NO},
        {"[::ffff:10.0.0.5]:6379", EGRESS_NO},
        {"[2606:4700::1111]:443", EGRESS_PUBLIC},
        {"[2606:4700:0:0::1111]:443", EGRESS_PUBLIC},
        {"[2606:4700::1112]:443", EGRESS_NO},
        {"svc.sub.workers.example:443", EGRESS_PUBLIC},
        {"workers.example:443", EGRESS_NO},
        {"svc.workers.example:80", EGRESS_NO},
        {"preview.example:8443", EGRESS_PUBLIC},
        {"preview.example:443", EGRESS_NO},
        {"127.0.0.1:8123", EGRESS_NO},
        {"localhost:8123", EGRESS_NO},
    };
    (void)state;
    struct egress_rules *rules = rules_of(egress, 6, reach, 3);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (grant_of(rules, cases[i].target) != cases[i].grant)
            fail_msg("%s: %d", cases[i].target, (int)grant_of(rules, cases[i].target));
    egress_rules_destroy(rules);
    rules = rules_of(NULL, 0, NULL, 0);
    assert_int_equal(grant_of(rules, "registry.example.org:443"), EGRESS_NO);
    egress_rules_destroy(rules);
    egress_rules_destroy(NULL);
}

static void test_reach(void **state)
{
    static const char *const reach[] = {"http://127.0.0.1:8123/__workers/", "http://localhost:9000",
                                        "http://127.0.0.1:8123/other/"};
    (void)state;
    struct egress_rules *rules = rules_of(NULL, 0, reach, 3);
    assert_true(egress_rules_reach(rules, 8123, MF_SPAN("/__workers/sub/name/")));
    assert_true(egress_rules_reach(rules, 8123, MF_SPAN("/other/x")));
    assert_false(egress_rules_reach(rules, 8123, MF_SPAN("/__workers")));
    assert_false(egress_rules_reach(rules, 8123, MF_SPAN("/__workersx/")));
    assert_false(egress_rules_reach(rules, 8123, MF_SPAN("/client/v4/accounts")));
    assert_false(egress_rules_reach(rules, 8124, MF_SPAN("/__workers/sub/name/")));
    assert_true(egress_rules_reach(rules, 9000, MF_SPAN("/anything")));
    egress_rules_destroy(rules);

    struct mf_span spans[] = {mf_span(reach[0]), MF_SPAN("https://*.workers.example"), mf_span(reach[1]),
                              mf_span(reach[2])};
    uint16_t ports[4] = {0};
    assert_int_equal(egress_reach_ports(spans, 4, ports, 4), 2);
    assert_int_equal(ports[0], 8123);
    assert_int_equal(ports[1], 9000);
    assert_int_equal(egress_reach_ports(spans, 4, ports, 1), 2);
    assert_true(egress_needs_proxy(0, spans, 2));
    assert_false(egress_needs_proxy(0, spans, 1));
    assert_true(egress_needs_proxy(1, NULL, 0));
    assert_false(egress_needs_proxy(0, NULL, 0));
}

static void test_bad_entries(void **state)
{
    static const char *const egress[] = {"",
                                         "!",
                                         "*:443",
                                         "*.:443",
                                         "**.example:443",
                                         "a.*.example:443",
                                         "example.org",
                                         "*.10.0.0.5:80",
                                         "https://example.org",
                                         "example.org:443/",
                                         "!!example.org:443",
                                         "127.1:80"};
    static const char *const reach[] = {"",
                                        "https://",
                                        "https://a.example/path",
                                        "http://example.org/",
                                        "http://127.0.0.2:80/",
                                        "http://127.0.0.1/",
                                        "http://127.0.0.1:80/a",
                                        "http://127.0.0.1:80/%61/",
                                        "http://[::1]:80/",
                                        "ftp://127.0.0.1:80/",
                                        "example.org:443"};
    struct egress_rules *rules;
    struct mf_error error;
    (void)state;
    for (size_t i = 0; i < sizeof egress / sizeof egress[0]; i++) {
        struct mf_span span = mf_span(egress[i]);
        if (egress_rules_create(&rules, &span, 1, NULL, 0, &error) == 0)
            fail_msg("egress \"%s\"", egress[i]);
        assert_int_equal(error.code, MF_INPUT);
        assert_null(rules);
    }
    for (size_t i = 0; i < sizeof reach / sizeof reach[0]; i++) {
        struct mf_span span = mf_span(reach[i]);
        if (egress_rules_create(&rules, NULL, 0, &span, 1, &error) == 0)
            fail_msg("reach \"%s\"", reach[i]);
        assert_int_equal(error.code, MF_INPUT);
    }
    assert_int_equal(egress_rules_create(&rules, NULL, EGRESS_ENTRIES_MAX + 1, NULL, 0, &error), -1);
    assert_int_equal(error.code, MF_LIMIT);
}

static void test_no_memory(void **state)
{
    struct mf_span egress = MF_SPAN("example.org:443"), reach = MF_SPAN("http://127.0.0.1:80/");
    struct egress_rules *rules = NULL;
    struct mf_error error;
    (void)state;
    int failures = 0;
    for (int64_t n = 0; n < 20 && rules == NULL; n++) {
        mf_alloc_fail_after(n, 1);
        if (egress_rules_create(&rules, &egress, 1, &reach, 1, &error) != 0) {
            assert_int_equal(error.code, MF_MEMORY);
            failures++;
        }
        mf_alloc_fail_after(-1, 0);
    }
    assert_int_equal(failures, 3);
    egress_rules_destroy(rules);
}

/* --- heads --- */

struct head_case {
    enum gateway_door door;
    const char *head;
    int status;           /* 0: taken */
    const char *target;   /* "host:port" */
    const char *upstream; /* of a request that is forwarded */
};

static void check_head(const struct egress_rules *rules, const struct head_case *want)
{
    struct egress_head head;
    struct mf_buf upstream;
    char target[300];
    mf_buf_init(&upstream, EGRESS_UPSTREAM_HEAD_BYTES_MAX);
    int result = egress_head_read(mf_span(want->head), want->door, 8123, rules, &head, &upstream);
    if ((result == 0 ? 0 : head.status) != want->status)
        fail_msg("%s: %d %s", want->head, head.status, head.reason != NULL ? head.reason : "");
    if (want->target != NULL) {
        snprintf(target, sizeof target, "%s:%u", head.target.host, head.target.port);
        assert_string_equal(target, want->target);
    }
    if (want->status == 0) {
        assert_int_equal(head.forward, want->upstream != NULL);
        assert_string_equal(mf_buf_cstr(&upstream), want->upstream != NULL ? want->upstream : "");
    }
    mf_buf_free(&upstream);
}

#define E GATEWAY_DOOR_EGRESS
#define R GATEWAY_DOOR_REACH

static const struct head_case heads[] = {
    {E, "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 0, "example.org:443", NULL},
    {E, "CONNECT example.org:443 HTTP/1.0\r\n\r\n", 0, "example.org:443", NULL},
    {E, "CONNECT [::1]:443 HTTP/1.1\r\nHost: other\r\nProxy-Authorization: Basic eDp5\r\n\r\n", 0, "::1:443", NULL},
    {E, "CONNECT example.org HTTP/1.1\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT http://example.org:443/ HTTP/1.1\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT example.org:443/ HTTP/1.1\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT 0x7f.1:443 HTTP/1.1\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT  example.org:443 HTTP/1.1\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT example.org:443\tHTTP/1.1\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT example.org:443 HTTP/1.2\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT example.org:443 HTTP/2.0\r\n\r\n", 400, NULL, NULL},
    {E, "connect example.org:443 HTTP/1.1\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT example.org:443 HTTP/1.1\r\nA: \x01\r\n\r\n", 400, NULL, NULL},
    {E, "CONNECT example.org:443\r\n\r\n", 400, NULL, NULL},
    {E, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 400, NULL, NULL},
    {E, "GET https://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", 400, NULL, NULL},
    {E, "TRACE http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", 405, NULL, NULL},
    {E,
     "GET http://example.org/a?b=c HTTP/1.1\r\nHost: else.example\r\nX-A: 1\r\nProxy-Connection: keep-alive\r\n"
     "Proxy-Authorization: Basic eDp5\r\nConnection: x-a\r\nTE: trailers\r\nKeep-Alive: 3\r\n\r\n",
     0, "example.org:80", "GET /a?b=c HTTP/1.1\r\nhost: example.org\r\nx-a: 1\r\nconnection: close\r\n\r\n"},
    {E, "GET http://example.org HTTP/1.1\r\nHost: example.org\r\n\r\n", 0, "example.org:80",
     "GET / HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n"},
    {E, "GET http://example.org:8080?q HTTP/1.1\r\nHost: example.org\r\n\r\n", 0, "example.org:8080",
     "GET /?q HTTP/1.1\r\nhost: example.org:8080\r\nconnection: close\r\n\r\n"},
    {E, "GET http://[2606:4700::1111]:81/ HTTP/1.1\r\nHost: x\r\n\r\n", 0, "2606:4700::1111:81",
     "GET / HTTP/1.1\r\nhost: [2606:4700::1111]:81\r\nconnection: close\r\n\r\n"},
    {E, "POST http://example.org/ HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
     0, "example.org:80", "POST / HTTP/1.1\r\nhost: example.org\r\ncontent-length: 3\r\nconnection: close\r\n\r\n"},
    {E, "POST http://example.org/ HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
     "example.org:80",
     "POST / HTTP/1.1\r\nhost: example.org\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"},
    {E,
     "POST http://example.org/ HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\nContent-Length: "
     "3\r\n\r\n",
     400, NULL, NULL},
    {E, "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n\r\n", 400, NULL, NULL},
    {E, "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\nUpgrade: h2c\r\n\r\n", 400, NULL, NULL},
    {E, "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\nExpect: x\r\n\r\n", 417, NULL, NULL},
    {E, "GET http://user@example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", 400, NULL, NULL},
    {E, "GET http://example.org/a#b HTTP/1.1\r\nHost: example.org\r\n\r\n", 400, NULL, NULL},
    {E, "GET http://example.org/a b HTTP/1.1\r\nHost: example.org\r\n\r\n", 400, NULL, NULL},
    {E, "GET http://2130706433/ HTTP/1.1\r\nHost: example.org\r\n\r\n", 400, NULL, NULL},
    {E, "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\nA: b\n\r\n\r\n", 400, NULL, NULL},
    {E, "GET http://example.org/ HTTP/1.1\r\n\r\n", 400, NULL, NULL},
    {R, "GET /__workers/sub/name/ HTTP/1.1\r\nHost: 127.0.0.1:8123\r\nAccept: */*\r\n\r\n", 0, "127.0.0.1:8123",
     "GET /__workers/sub/name/ HTTP/1.1\r\nhost: 127.0.0.1:8123\r\naccept: */*\r\nconnection: close\r\n\r\n"},
    {R, "GET /%5f%5fworkers/sub/n%61me?x=%2e HTTP/1.1\r\nHost: localhost:8123\r\n\r\n", 0, "127.0.0.1:8123",
     "GET /__workers/sub/name?x=%2e HTTP/1.1\r\nhost: 127.0.0.1:8123\r\nconnection: close\r\n\r\n"},
    {R, "GET /__workers/a%20b%25c/%C3%A4 HTTP/1.1\r\nHost: localhost:8123\r\n\r\n", 0, "127.0.0.1:8123",
     "GET /__workers/a%20b%25c/%C3%A4 HTTP/1.1\r\nhost: 127.0.0.1:8123\r\nconnection: close\r\n\r\n"},
    {R, "GET /client/v4/accounts HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 403, NULL, NULL},
    {R, "GET /__workers HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 403, NULL, NULL},
    {R, "GET /__workers/../client/v4/accounts HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "GET /__workers/%2e%2e/client/v4/accounts HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "GET /__workers/..%2fclient HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "GET /__workers/a%5c..%5cb HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "GET /__workers/%252e%252e/client HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "GET //__workers/x HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "GET /__workers/%0d%0aX HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "GET /__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:8124\r\n\r\n", 421, NULL, NULL},
    {R, "GET /__workers/sub/name HTTP/1.1\r\nHost: name.sub.localhost:8123\r\n\r\n", 421, NULL, NULL},
    {R, "GET /__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:8123\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "GET http://127.0.0.1:8123/__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 400, NULL, NULL},
    {R, "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 405, NULL, NULL},
    {R, "TRACE /__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n", 405, NULL, NULL},
    {R, "GET /__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:8123\r\nUpgrade: websocket\r\n\r\n", 400, NULL, NULL},
};

static void test_heads(void **state)
{
    static const char *const reach[] = {"http://127.0.0.1:8123/__workers/"};
    (void)state;
    struct egress_rules *rules = rules_of(NULL, 0, reach, 1);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        check_head(rules, &heads[i]);
    egress_rules_destroy(rules);
}

/* With the three that are added it is never more than a strict server takes. */
static void test_many_headers(void **state)
{
    (void)state;
    for (unsigned headers = 90; headers <= 100; headers++) {
        struct egress_head head;
        struct mf_buf text, upstream;
        struct http1_head parsed;
        mf_buf_init(&text, EGRESS_HEAD_BYTES_MAX);
        mf_buf_init(&upstream, EGRESS_UPSTREAM_HEAD_BYTES_MAX);
        mf_buf_text(&text, "POST http://example.org/ HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n");
        for (unsigned i = 2; i < headers; i++)
            mf_buf_text(&text, "A: b\r\n");
        mf_buf_text(&text, "\r\n");
        int result = egress_head_read(mf_buf_view(&text), E, 8123, NULL, &head, &upstream);
        assert_int_equal(result, headers <= 97 ? 0 : -1);
        http1_head_init(&parsed);
        if (result == 0)
            assert_int_equal(http1_head_parse(&parsed, upstream.data, upstream.length), HTTP1_DONE);
        else
            assert_int_equal(head.status, 431);
        mf_buf_free(&text);
        mf_buf_free(&upstream);
    }
}

static void test_head_end(void **state)
{
    (void)state;
    assert_int_equal(egress_head_end(MF_SPAN("")), 0);
    assert_int_equal(egress_head_end((struct mf_span){NULL, 0}), 0);
    assert_int_equal(egress_head_end(MF_SPAN("A\r\n\r")), 0);
    assert_int_equal(egress_head_end(MF_SPAN("A\r\n\r\nmore\r\n\r\n")), 5);
}

static void test_head_no_memory(void **state)
{
    static const char *const reach[] = {"http://127.0.0.1:8123/__workers/"};
    const char *text = "GET /__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:8123\r\n\r\n";
    (void)state;
    struct egress_rules *rules = rules_of(NULL, 0, reach, 1);
    int failures = 0;
    for (int64_t n = 0; n < 50; n++) {
        struct egress_head head;
        struct mf_buf upstream;
        mf_buf_init(&upstream, EGRESS_UPSTREAM_HEAD_BYTES_MAX);
        mf_alloc_fail_after(n, 1);
        int result = egress_head_read(mf_span(text), R, 8123, rules, &head, &upstream);
        mf_alloc_fail_after(-1, 0);
        if (result != 0) {
            assert_int_equal(head.status, 503);
            failures++;
        }
        mf_buf_free(&upstream);
        if (result == 0)
            break;
    }
    assert_true(failures >= 2);
    egress_rules_destroy(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),   cmocka_unit_test(test_may_dial),       cmocka_unit_test(test_targets),
        cmocka_unit_test(test_match),     cmocka_unit_test(test_reach),          cmocka_unit_test(test_bad_entries),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_heads),          cmocka_unit_test(test_many_headers),
        cmocka_unit_test(test_head_end),  cmocka_unit_test(test_head_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
