/*
 * reach.c - what a graph may say about the world around an agent: hosts to connect to, paths of the host to show
 *
 * One spelling each: what is checked here is compared byte by byte by those who enforce it, so that nothing has two names.
 */
#include "document/graph.h"

#include <arpa/inet.h>
#include <string.h>

#define HOST_BYTES_MAX 253u
#define LABEL_BYTES_MAX 63u

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_' || c == '.';
}

/* What people write instead of host:port, and tricks that make two programs see two hosts. */
static const char *shape_fault(struct mf_span text)
{
    if (text.length == 0)
        return "is empty";
    if (memmem(text.data, text.length, "://", 3) != NULL)
        return "is a URL: write only host and port, such as \"example.org:443\"";
    if (memchr(text.data, '@', text.length) != NULL)
        return "holds a user name: write only host and port";
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '/' || c == '?' || c == '#')
            return "holds a path: write only host and port";
        if (c >= 'A' && c <= 'Z')
            return "is written with small letters";
        if ((unsigned char)c >= 0x80)
            return "holds a character that no host name has: write an international name in its xn-- form";
        if (!is_host_byte(c) && c != ':' && c != '[' && c != ']' && c != '*')
            return "holds a character that no host name has";
    }
    return NULL;
}

/* Splits "host:port" and "[address]:port"; `host` is without brackets. */
static const char *split_port(struct mf_span text, struct mf_span *host, bool *brackets)
{
    const char *colon = memrchr(text.data, ':', text.length);
    const char *close = memrchr(text.data, ']', text.length);
    uint64_t port;
    *brackets = text.data[0] == '[';
    if (colon == NULL || colon < close)
        return "has no port, such as \":443\"";
    struct mf_span digits = {colon + 1, text.length - (size_t)(colon + 1 - text.data)};
    *host = (struct mf_span){text.data, (size_t)(colon - text.data)};
    if (!*brackets && memchr(host->data, ':', host->length) != NULL)
        return "is an IPv6 address without brackets: write \"[2001:db8::1]:443\"";
    if (mf_parse_u64(digits, &port) != 0 || port < 1 || port > 65535)
        return "has a port that is not 1 to 65535";
    if (!*brackets)
        return memchr(text.data, '[', text.length) != NULL || close != NULL ? "holds a bracket" : NULL;
    if (close != colon - 1)
        return "has no colon behind its bracket";
    *host = (struct mf_span){host->data + 1, host->length - 2};
    return NULL;
}

/* --- addresses --- */

/* Networks that are not the Internet: this host, private, shared, link-local, tests, multicast, reserved. */
static bool is_private_v4(const unsigned char address[4])
{
    static const struct {
        unsigned char network[4];
        unsigned bits;
    } networks[] = {
        {{0}, 8},          {{10}, 8},        {{100, 64}, 10}, {{127}, 8}, {{169, 254}, 16}, {{172, 16}, 12},
        {{192, 0, 0}, 24}, {{192, 168}, 16}, {{198, 18}, 15}, {{224}, 4}, {{240}, 4},
    };
    uint32_t number;
    memcpy(&number, address, sizeof number);
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        uint32_t network;
        memcpy(&network, networks[i].network, sizeof network);
        if ((ntohl(number) ^ ntohl(network)) >> (32 - networks[i].bits) == 0)
            return true;
    }
    return false;
}

static const char *v4_fault(struct mf_span host, bool private_allowed)
{
    char text[INET_ADDRSTRLEN];
    char canonical[INET_ADDRSTRLEN];
    unsigned char address[4];
    if (mf_span_copy(host, text, sizeof text) != 0 || inet_pton(AF_INET, text, address) != 1 ||
        inet_ntop(AF_INET, address, canonical, sizeof canonical) == NULL || strcmp(text, canonical) != 0)
        return "ends with a number and is no IPv4 address of four decimal parts";
    return is_private_v4(address) && !private_allowed
               ? "is a private address: say so, {\"host\": ..., \"private\": true}"
               : NULL;
}

/* Loopback, unique local, link-local, multicast. */
static bool is_private_v6(const unsigned char address[16])
{
    static const unsigned char loopback[16] = {[15] = 1};
    return memcmp(address, loopback, 16) == 0 || (address[0] & 0xfe) == 0xfc ||
           (address[0] == 0xfe && (address[1] & 0xc0) == 0x80) || address[0] == 0xff;
}

/* All zero, mapped, compatible or NAT64: an IPv4 address in other clothes. */
static bool holds_v4(const unsigned char address[16])
{
    static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const unsigned char none[12] = {0};
    static const unsigned char loopback[4] = {0, 0, 0, 1};
    if (memcmp(address, none, 12) == 0)
        return memcmp(address + 12, loopback, 4) != 0;
    return memcmp(address, mapped, 12) == 0 || memcmp(address, nat64, 12) == 0;
}

static const char *v6_fault(struct mf_span host, bool private_allowed)
{
    char text[INET6_ADDRSTRLEN];
    char canonical[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (mf_span_copy(host, text, sizeof text) != 0 || inet_pton(AF_INET6, text, address) != 1)
        return "is no IPv6 address between its brackets";
    if (holds_v4(address))
        return "is an IPv4 address in IPv6 spelling: write it with four decimal parts";
    if (inet_ntop(AF_INET6, address, canonical, sizeof canonical) == NULL || strcmp(text, canonical) != 0)
        return "is not in the shortest spelling of its address (RFC 5952)";
    return is_private_v6(address) && !private_allowed
               ? "is a private address: say so, {\"host\": ..., \"private\": true}"
               : NULL;
}

/* --- names --- */

static const char *label_fault(struct mf_span label)
{
    if (label.length == 0)
        return "has an empty part: dots stand singly and not at either end";
    if (label.length > LABEL_BYTES_MAX)
        return "has a part longer than 63 bytes";
    if (label.data[0] == '-' || label.data[label.length - 1] == '-')
        return "has a part that starts or ends with a dash";
    return memchr(label.data, '*', label.length) != NULL ? "may have a star only as its whole first part" : NULL;
}

/* Every part; gives the count and the last one. */
static const char *labels_fault(struct mf_span name, uint32_t *count, struct mf_span *last)
{
    const char *fault = NULL;
    for (*count = 0; fault == NULL; (*count)++) {
        const char *dot = name.length > 0 ? memchr(name.data, '.', name.length) : NULL;
        *last = (struct mf_span){name.data, dot != NULL ? (size_t)(dot - name.data) : name.length};
        fault = label_fault(*last);
        if (dot == NULL) {
            (*count)++;
            break;
        }
        name = (struct mf_span){dot + 1, name.length - last->length - 1};
    }
    return fault;
}

/* A last part that some resolver takes for a number: "1", "0x7f". */
static bool is_numeric(struct mf_span label)
{
    if (label.length > 1 && label.data[0] == '0' && label.data[1] == 'x')
        return true;
    for (size_t i = 0; i < label.length; i++) {
        if (!is_digit(label.data[i]))
            return false;
    }
    return label.length > 0;
}

static const char *name_fault(struct mf_span host, bool private_allowed)
{
    bool star = mf_span_starts(host, "*.");
    struct mf_span name = star ? (struct mf_span){host.data + 2, host.length - 2} : host;
    struct mf_span last;
    uint32_t count;
    if (mf_span_is(host, "*"))
        return "is everything: name a domain, such as \"*.example.org:443\"";
    if (host.length > HOST_BYTES_MAX)
        return "is longer than 253 bytes";
    const char *fault = labels_fault(name, &count, &last);
    if (fault != NULL)
        return fault;
    if (is_numeric(last))
        return star ? "has a star before an address" : v4_fault(host, private_allowed);
    if (star && count < 2)
        return "stands for a whole top-level domain: name at least two parts behind the star";
    bool local = mf_span_is(name, "localhost") || mf_span_ends(name, ".localhost");
    return local && !private_allowed ? "is this machine: say so, {\"host\": ..., \"private\": true}" : NULL;
}

const char *graph_egress_fault(struct mf_span text, bool private_allowed)
{
    struct mf_span host;
    bool brackets;
    const char *fault = shape_fault(text);
    if (fault == NULL)
        fault = split_port(text, &host, &brackets);
    if (fault != NULL)
        return fault;
    return brackets ? v6_fault(host, private_allowed) : name_fault(host, private_allowed);
}

/* --- paths of the host --- */

static bool is_below(struct mf_span path, const char *directory)
{
    size_t length = strlen(directory);
    return mf_span_starts(path, directory) && (path.length == length || path.data[length] == '/');
}

static const char *place_fault(struct mf_span path)
{
    static const char *const never[] = {"/proc", "/sys", "/dev", "/mayfly"};
    static const char *const whole[] = {"/run", "/var/run", "/tmp", "/var/tmp"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (is_below(path, never[i]))
            return "is made anew in every sandbox and cannot be the host's";
    }
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        if (mf_span_is(path, whole[i]))
            return "holds other programs' sockets and files: name what is needed below it";
    }
    return NULL;
}

const char *graph_host_path_fault(struct mf_span path)
{
    if (path.length == 0)
        return "is empty";
    if (path.data[0] != '/')
        return "is relative: it is a place on the host, so it starts with a slash";
    if (path.length == 1)
        return "is the whole host";
    if (path.length > 4095)
        return "is longer than 4095 bytes";
    for (size_t i = 0; i < path.length; i++) {
        if ((unsigned char)path.data[i] < 0x20 || path.data[i] == 0x7f)
            return "holds a control character";
    }
    for (struct mf_span rest = path; rest.length > 0;) { /* each part with the slash before it */
        const char *slash = memchr(rest.data + 1, '/', rest.length - 1);
        size_t length = slash != NULL ? (size_t)(slash - rest.data) : rest.length;
        struct mf_span part = {rest.data + 1, length - 1};
        if (part.length == 0 || mf_span_is(part, ".") || mf_span_is(part, ".."))
            return "has an empty part, \".\" or \"..\": write it in its shortest form, without a slash at the end";
        if (part.length > 255)
            return "has a part longer than 255 bytes";
        rest = (struct mf_span){rest.data + length, rest.length - length};
    }
    return place_fault(path);
}
