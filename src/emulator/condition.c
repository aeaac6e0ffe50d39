/* condition.c - a token's request_ip condition: lists of networks, IPv4 kept as mapped IPv6 */
#include "base/alloc.h"
#include "emulator/policy.h"

#include <arpa/inet.h>
#include <string.h>

static int parse_address(const char *text, uint8_t out[16], unsigned *bits_base)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (inet_pton(AF_INET, text, out + 12) == 1) {
        memcpy(out, mapped, sizeof(mapped));
        *bits_base = 96;
        return 0;
    }
    *bits_base = 0;
    return inet_pton(AF_INET6, text, out) == 1 ? 0 : -1;
}

static int parse_network(struct mf_span text, struct emu_network *out)
{
    char address[64];
    unsigned base;
    uint64_t bits;
    const char *slash = memchr(text.data, '/', text.length);
    size_t length = slash == NULL ? text.length : (size_t)(slash - text.data);
    if (mf_span_copy((struct mf_span){text.data, length}, address, sizeof(address)) < 0 || parse_address(address, out->address, &base) < 0)
        return -1;
    bits = 128 - base;
    if (slash != NULL && mf_parse_u64((struct mf_span){slash + 1, text.length - length - 1}, &bits) < 0)
        return -1;
    if (bits > 128 - base)
        return -1;
    out->prefix_bits = (uint8_t)(bits + base);
    return 0;
}

static int add_networks(struct emu_policy *policy, const struct json_document *document, uint32_t list, bool deny, struct mf_error *error)
{
    for (uint32_t each = list == JSON_NONE ? JSON_NONE : json_first(document, list); each != JSON_NONE; each = json_next(document, list, each)) {
        struct mf_span text;
        struct emu_network network = {.deny = deny};
        if (json_plain(document, each, &text) < 0 || parse_network(text, &network) < 0)
            return mf_fail(error, MF_INPUT, "condition: request_ip holds something that is no address or network");
        if (policy->network_count >= EMU_NETWORKS_MAX)
            return mf_fail(error, MF_LIMIT, "condition: more than %u networks", EMU_NETWORKS_MAX);
        struct emu_network *networks = mf_realloc(policy->networks, policy->network_count + 1, sizeof(network));
        if (networks == NULL)
            return mf_fail(error, MF_MEMORY, "no memory");
        policy->networks = networks;
        networks[policy->network_count++] = network;
    }
    return 0;
}

static int compile_networks(struct emu_policy *policy, const struct json_document *document, struct mf_error *error)
{
    uint32_t request_ip = json_member(document, 0, "request_ip");
    if (request_ip == JSON_NONE)
        request_ip = json_member(document, 0, "request.ip"); /* the spelling of an older documentation page */
    if (add_networks(policy, document, json_member(document, request_ip, "in"), false, error) < 0)
        return -1;
    return add_networks(policy, document, json_member(document, request_ip, "not_in"), true, error);
}

int emu_policy_compile_condition(struct emu_policy *policy, struct mf_span condition, struct mf_error *error)
{
    struct json_document document;
    if (condition.length == 0)
        return 0;
    if (json_scan_error(&document, condition, &json_limits_default, error) < 0) {
        emu_policy_free(policy);
        return -1;
    }
    int done = compile_networks(policy, &document, error);
    json_document_free(&document);
    if (done < 0)
        emu_policy_free(policy);
    return done;
}

static bool inside(const struct emu_network *network, const uint8_t address[16])
{
    unsigned whole = network->prefix_bits / 8, rest = network->prefix_bits % 8;
    if (memcmp(network->address, address, whole) != 0)
        return false;
    return rest == 0 || (network->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool emu_policy_admits(const struct emu_policy *policy, const char *address)
{
    uint8_t bytes[16];
    unsigned base;
    bool wanted = false, admitted = false;
    if (policy->network_count == 0)
        return true;
    if (parse_address(address, bytes, &base) < 0)
        return false;
    for (uint32_t each = 0; each < policy->network_count; each++) {
        const struct emu_network *network = &policy->networks[each];
        bool matches = inside(network, bytes);
        if (network->deny && matches)
            return false;
        wanted = wanted || !network->deny;
        admitted = admitted || (!network->deny && matches);
    }
    return !wanted || admitted;
}
