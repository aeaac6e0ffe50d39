/* egress_rules.c - where an agent may connect to: its list, what a target is, which addresses are nobody's business */
#include "gateway/egress_rules.h"

#include "base/alloc.h"
#include "http1/path.h"

#include <arpa/inet.h>
#include <string.h>

static const struct {
    const char *name, *text;
} classes[] = {
#define X(class, name, text) {name, text},
    EGRESS_CLASSES(X)
#undef X
};

const char *egress_class_name(enum egress_class class_of)
{
    return classes[class_of].name;
}

const char *egress_class_text(enum egress_class class_of)
{
    return classes[class_of].text;
}

/* --- addresses --- */

struct block {
    uint8_t bytes[16];
    uint8_t bits;
    enum egress_class class_of;
};

/* The IANA registries of special-purpose addresses; what is not here is public. The first that holds counts. */
static const struct block blocks_of_four[] = {
    {{0}, 8, EGRESS_CLASS_NEVER},              /* "this network": Linux connects 0.0.0.0 to itself */
    {{10}, 8, EGRESS_CLASS_PRIVATE},           /* RFC 1918 */
    {{100, 64}, 10, EGRESS_CLASS_PRIVATE},     /* RFC 6598: shared, CGNAT */
    {{127}, 8, EGRESS_CLASS_PRIVATE},          /* loopback */
    {{169, 254}, 16, EGRESS_CLASS_LINK_LOCAL}, /* RFC 3927 */
    {{172, 16}, 12, EGRESS_CLASS_PRIVATE},     /* RFC 1918 */
    {{192, 0, 0}, 24, EGRESS_CLASS_NEVER},     /* RFC 6890: protocol assignments */
    {{192, 0, 2}, 24, EGRESS_CLASS_NEVER},     /* documentation */
    {{192, 88, 99}, 24, EGRESS_CLASS_NEVER},   /* RFC 7526: 6to4 relays */
    {{192, 168}, 16, EGRESS_CLASS_PRIVATE},    /* RFC 1918 */
    {{198, 18}, 15, EGRESS_CLASS_PRIVATE},     /* RFC 2544: benchmarks */
    {{198, 51, 100}, 24, EGRESS_CLASS_NEVER},  /* documentation */
    {{203, 0, 113}, 24, EGRESS_CLASS_NEVER},   /* documentation */
    {{224}, 4, EGRESS_CLASS_NEVER},            /* multicast */
    {{240}, 4, EGRESS_CLASS_NEVER},            /* reserved, broadcast */
};

static const struct block blocks_of_six[] = {
    {{[15] = 1}, 128, EGRESS_CLASS_PRIVATE}, /* loopback */
    {{0xfc}, 7, EGRESS_CLASS_PRIVATE},       /* RFC 4193: unique local */
    {{0xfe, 0x80}, 10, EGRESS_CLASS_LINK_LOCAL},
    {{0x20, 0x01}, 23, EGRESS_CLASS_NEVER},             /* RFC 2928: protocol assignments, Teredo among them */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, EGRESS_CLASS_NEVER}, /* documentation */
    {{0x20, 0x02}, 16, EGRESS_CLASS_NEVER},             /* 6to4: another address inside */
    {{0x3f, 0xff}, 20, EGRESS_CLASS_NEVER},             /* RFC 9637: documentation */
    {{0x20}, 3, EGRESS_CLASS_PUBLIC},                   /* RFC 4291: the only global unicast there is */
    {{0}, 0, EGRESS_CLASS_NEVER},                       /* the rest: unspecified, compatible, discard, multicast, ... */
};

/* Addresses that carry an IPv4 one in their last four bytes: mapped, and translated at the well-known prefix. */
static const struct block blocks_around_four[] = {
    {{[10] = 0xff, [11] = 0xff}, 96, EGRESS_CLASS_PUBLIC},
    {{0x00, 0x64, 0xff, 0x9b}, 96, EGRESS_CLASS_PUBLIC},
};

static bool in_block(const struct block *block, const uint8_t *bytes)
{
    size_t whole = block->bits / 8;
    if (memcmp(block->bytes, bytes, whole) != 0)
        return false;
    unsigned rest = block->bits % 8u;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return rest == 0 || ((block->bytes[whole] ^ bytes[whole]) & mask) == 0;
}

static enum egress_class classify_four(const uint8_t *bytes)
{
    for (size_t i = 0; i < sizeof blocks_of_four / sizeof blocks_of_four[0]; i++)
        if (in_block(&blocks_of_four[i], bytes))
            return blocks_of_four[i].class_of;
    return EGRESS_CLASS_PUBLIC;
}

enum egress_class egress_classify(const struct egress_address *address)
{
    if (!address->six)
        return classify_four(address->bytes);
    for (size_t i = 0; i < sizeof blocks_around_four / sizeof blocks_around_four[0]; i++)
        if (in_block(&blocks_around_four[i], address->bytes))
            return classify_four(address->bytes + 12);
    for (size_t i = 0; i < sizeof blocks_of_six / sizeof blocks_of_six[0]; i++)
        if (in_block(&blocks_of_six[i], address->bytes))
            return blocks_of_six[i].class_of;
    return EGRESS_CLASS_NEVER;
}

bool egress_may_dial(enum egress_grant grant, const struct egress_target *target, const struct egress_address *address)
{
    switch (egress_classify(address)) {
    case EGRESS_CLASS_PUBLIC:
        return grant != EGRESS_NO;
    case EGRESS_CLASS_PRIVATE:
        return grant == EGRESS_WITH_PRIVATE;
    case EGRESS_CLASS_LINK_LOCAL:
        return grant == EGRESS_WITH_PRIVATE && target->numeric;
    case EGRESS_CLASS_NEVER:
        return false;
    }
    return false;
}

/* --- targets --- */

static bool label_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

/* Labels of 1 to 63 bytes, the last one not a number in any base: old resolvers read "0x7f.1" as an address. */
static bool is_name(const char *host)
{
    const char *label = host;
    for (;;) {
        const char *end = label;
        bool digits = true;
        for (; label_byte(*end); end++)
            digits = digits && *end >= '0' && *end <= '9';
        if (end == label || end - label > 63 || (*end != '.' && *end != '\0'))
            return false;
        if (*end == '\0')
            return !digits && !(label[0] == '0' && label[1] == 'x');
        label = end + 1;
    }
}

static int parse_port(struct mf_span text, uint16_t *port)
{
    uint64_t number;
    if (mf_parse_u64(text, &number) != 0 || number == 0 || number > UINT16_MAX)
        return -1;
    *port = (uint16_t)number;
    return 0;
}

static int copy_lower(struct mf_span text, char out[EGRESS_HOST_BYTES_MAX])
{
    if (text.length == 0 || mf_span_copy(text, out, EGRESS_HOST_BYTES_MAX) != 0)
        return -1;
    for (char *at = out; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    return 0;
}

/* Cuts "host:port" or "[address]:port"; an empty port is none. */
static int cut_port(struct mf_span authority, uint16_t default_port, struct mf_span *host, uint16_t *port,
                    bool *brackets)
{
    const char *end = NULL;
    *brackets = authority.length > 0 && authority.data[0] == '[';
    if (authority.length == 0)
        return -1;
    if (*brackets) {
        end = memchr(authority.data, ']', authority.length);
        if (end == NULL)
            return -1;
        *host = (struct mf_span){authority.data + 1, (size_t)(end - authority.data) - 1};
        end++;
    } else {
        end = memchr(authority.data, ':', authority.length);
        if (end == NULL)
            end = authority.data + authority.length;
        *host = (struct mf_span){authority.data, (size_t)(end - authority.data)};
    }
    struct mf_span rest = {end, authority.length - (size_t)(end - authority.data)};
    *port = default_port;
    if (rest.length == 0)
        return default_port != 0 ? 0 : -1;
    return rest.data[0] == ':' ? parse_port((struct mf_span){rest.data + 1, rest.length - 1}, port) : -1;
}

int egress_target_parse(struct mf_span authority, uint16_t default_port, struct egress_target *out)
{
    struct mf_span host;
    bool brackets;
    *out = (struct egress_target){.port = 0};
    if (cut_port(authority, default_port, &host, &out->port, &brackets) != 0 || copy_lower(host, out->host) != 0)
        return -1;
    out->address.six = brackets;
    out->numeric = inet_pton(brackets ? AF_INET6 : AF_INET, out->host, out->address.bytes) == 1;
    return out->numeric || (!brackets && is_name(out->host)) ? 0 : -1;
}

/* --- the list --- */

struct entry {
    bool star, with_private;
    struct egress_target target; /* of a star: the suffix with its dot */
};

struct origin {
    uint16_t port;
    char prefix[EGRESS_REACH_PATH_BYTES_MAX]; /* canonical, ends with a slash */
};

struct egress_rules {
    struct entry *entries;  /* owned */
    struct origin *origins; /* owned */
    uint32_t entry_count, origin_count;
};

static int parse_pattern(struct mf_span text, uint16_t default_port, struct entry *out)
{
    *out = (struct entry){.star = mf_span_starts(text, "*.")};
    size_t skip = out->star ? 2 : 0;
    if (egress_target_parse((struct mf_span){text.data + skip, text.length - skip}, default_port, &out->target) != 0)
        return -1;
    return out->star && out->target.numeric ? -1 : 0;
}

#define HTTPS "https://"
#define HTTP "http://"

/* An https origin, with or without a slash at its end. */
static int parse_https(struct mf_span origin, struct entry *out)
{
    struct mf_span rest = {origin.data + strlen(HTTPS), origin.length - strlen(HTTPS)};
    if (mf_span_ends(rest, "/"))
        rest.length--;
    return parse_pattern(rest, 443, out);
}

/* "http://127.0.0.1:8123/__workers/": only the loopback address that agents can name, and a prefix of whole segments. */
static int parse_http(struct mf_span origin, struct origin *out)
{
    struct mf_span rest = {origin.data + strlen(HTTP), origin.length - strlen(HTTP)};
    const char *slash = rest.length > 0 ? memchr(rest.data, '/', rest.length) : NULL;
    struct mf_span authority = {rest.data, slash != NULL ? (size_t)(slash - rest.data) : rest.length};
    struct mf_span prefix = slash != NULL ? (struct mf_span){slash, rest.length - authority.length} : MF_SPAN("/");
    struct egress_target target;
    struct http1_path path;
    if (egress_target_parse(authority, 0, &target) != 0 ||
        (strcmp(target.host, "127.0.0.1") != 0 && strcmp(target.host, "localhost") != 0))
        return -1;
    out->port = target.port;
    if (!mf_span_ends(prefix, "/") || http1_path_parse(&path, prefix, NULL) != 0 || !path.was_canonical)
        return -1;
    return mf_span_copy(prefix, out->prefix, sizeof out->prefix);
}

static int add_egress(struct egress_rules *rules, struct mf_span text)
{
    struct entry *entry = &rules->entries[rules->entry_count];
    bool with_private = mf_span_starts(text, "!");
    struct mf_span pattern = {text.data + with_private, text.length - with_private};
    if (parse_pattern(pattern, 0, entry) != 0)
        return -1;
    entry->with_private = with_private;
    rules->entry_count++;
    return 0;
}

static int add_reach(struct egress_rules *rules, struct mf_span text)
{
    if (mf_span_starts(text, HTTPS)) {
        if (parse_https(text, &rules->entries[rules->entry_count]) != 0)
            return -1;
        rules->entry_count++;
        return 0;
    }
    if (!mf_span_starts(text, HTTP) || parse_http(text, &rules->origins[rules->origin_count]) != 0)
        return -1;
    rules->origin_count++;
    return 0;
}

static int fill(struct egress_rules *rules, const struct mf_span *egress, uint32_t egress_count,
                const struct mf_span *reach, uint32_t reach_count, struct mf_error *error)
{
    for (uint32_t i = 0; i < egress_count; i++)
        if (add_egress(rules, egress[i]) != 0)
            return mf_fail(error, MF_INPUT, "egress: entry %u is no \"host:port\" or \"*.suffix:port\"", i);
    for (uint32_t i = 0; i < reach_count; i++)
        if (add_reach(rules, reach[i]) != 0)
            return mf_fail(error, MF_INPUT, "reach: entry %u is neither an https origin nor one on loopback", i);
    return 0;
}

int egress_rules_create(struct egress_rules **out, const struct mf_span *egress, uint32_t egress_count,
                        const struct mf_span *reach, uint32_t reach_count, struct mf_error *error)
{
    *out = NULL;
    if (egress_count > EGRESS_ENTRIES_MAX || reach_count > EGRESS_ENTRIES_MAX)
        return mf_fail(error, MF_LIMIT, "egress: more than %u entries", EGRESS_ENTRIES_MAX);
    struct egress_rules *rules = mf_calloc(1, sizeof *rules);
    if (rules != NULL) {
        rules->entries = mf_calloc((size_t)egress_count + reach_count + 1, sizeof *rules->entries);
        rules->origins = mf_calloc((size_t)reach_count + 1, sizeof *rules->origins);
    }
    if (rules == NULL || rules->entries == NULL || rules->origins == NULL) {
        egress_rules_destroy(rules);
        return mf_fail(error, MF_MEMORY, "egress: no memory");
    }
    if (fill(rules, egress, egress_count, reach, reach_count, error) != 0) {
        egress_rules_destroy(rules);
        return -1;
    }
    *out = rules;
    return 0;
}

void egress_rules_destroy(struct egress_rules *rules)
{
    if (rules == NULL)
        return;
    mf_free(rules->entries);
    mf_free(rules->origins);
    mf_free(rules);
}

/* One or more labels before the suffix. */
static bool below(const char *host, const char *suffix)
{
    size_t host_bytes = strlen(host), suffix_bytes = strlen(suffix);
    return host_bytes > suffix_bytes + 1 && host[host_bytes - suffix_bytes - 1] == '.' &&
           strcmp(host + host_bytes - suffix_bytes, suffix) == 0;
}

static bool same(const struct egress_target *left, const struct egress_target *right)
{
    if (left->numeric != right->numeric)
        return false;
    if (!left->numeric)
        return strcmp(left->host, right->host) == 0;
    return left->address.six == right->address.six &&
           memcmp(left->address.bytes, right->address.bytes, sizeof left->address.bytes) == 0;
}

static bool entry_matches(const struct entry *entry, const struct egress_target *target)
{
    if (entry->target.port != target->port)
        return false;
    return entry->star ? !target->numeric && below(target->host, entry->target.host) : same(&entry->target, target);
}

enum egress_grant egress_rules_match(const struct egress_rules *rules, const struct egress_target *target)
{
    enum egress_grant grant = EGRESS_NO;
    for (uint32_t i = 0; i < rules->entry_count; i++) {
        if (!entry_matches(&rules->entries[i], target))
            continue;
        if (rules->entries[i].with_private)
            return EGRESS_WITH_PRIVATE;
        grant = EGRESS_PUBLIC;
    }
    return grant;
}

bool egress_rules_reach(const struct egress_rules *rules, uint16_t port, struct mf_span canonical_path)
{
    for (uint32_t i = 0; i < rules->origin_count; i++)
        if (rules->origins[i].port == port && mf_span_starts(canonical_path, rules->origins[i].prefix))
            return true;
    return false;
}

uint32_t egress_reach_ports(const struct mf_span *reach, uint32_t reach_count, uint16_t *ports, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < reach_count; i++) {
        struct origin origin;
        if (!mf_span_starts(reach[i], HTTP) || parse_http(reach[i], &origin) != 0)
            continue;
        bool known = false;
        for (uint32_t k = 0; k < count && k < max; k++)
            known = known || ports[k] == origin.port;
        if (known)
            continue;
        if (count < max)
            ports[count] = origin.port;
        count++;
    }
    return count;
}

bool egress_needs_proxy(uint32_t egress_count, const struct mf_span *reach, uint32_t reach_count)
{
    bool needed = egress_count > 0;
    for (uint32_t i = 0; i < reach_count; i++)
        needed = needed || mf_span_starts(reach[i], HTTPS);
    return needed;
}
