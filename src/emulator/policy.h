/*
 * emulator/policy.h - what a token may do: policies compiled to sets, and the address condition
 *
 * Evaluation is Cloudflare's: an explicit deny wins, then an explicit allow, else nothing. A group acts only on resources
 * of its own scope: an account group on a zone resource grants nothing.
 */
#ifndef MF_EMULATOR_POLICY_H
#define MF_EMULATOR_POLICY_H

#include "base/buf.h"
#include "base/error.h"
#include "emulator/groups.h"
#include "emulator/identity.h"
#include "json/scan.h"

#include <stdbool.h>
#include <stdint.h>

#define EMU_GRANTS_MAX 256u    /* policies x resources of one token */
#define EMU_NETWORKS_MAX 64u   /* request_ip.in and not_in together */
#define EMU_RESOURCE_BYTES 128u

struct emu_grant {
    enum emu_scope scope;
    bool deny, any;                    /* any: every resource of the scope inside the account */
    char resource[EMU_RESOURCE_BYTES]; /* zone id, or account_jurisdiction_bucket */
    struct emu_group_set groups;
};

struct emu_network {
    uint8_t address[16]; /* IPv4 as mapped IPv6 */
    uint8_t prefix_bits; /* of the 128 */
    bool deny;
};

struct emu_policy {
    struct emu_group_set account; /* allowed on the account and not denied */
    struct emu_grant *grants;     /* owned; zone and bucket scope only */
    uint32_t grant_count;
    struct emu_network *networks; /* owned */
    uint32_t network_count;
};

/*
 * Checks a create request's `policies` and writes them as the API returns them: every policy with an id, every group with
 * id and name. MF_INPUT names what is wrong.
 */
int emu_policy_normalise(const struct json_document *document, uint32_t policies, const char *account_id, struct emu_identity *identity, struct mf_buf *out, struct mf_error *error);
/* Compiles normalised policies and a condition (either may be empty) for one account. Free with emu_policy_free. */
int emu_policy_compile(struct emu_policy *policy, struct mf_span policies, struct mf_span condition, const char *account_id, struct mf_error *error);
/* Adds the networks of a condition (JSON text, may be empty) to a compiled policy; frees the policy on failure. */
int emu_policy_compile_condition(struct emu_policy *policy, struct mf_span condition, struct mf_error *error);
void emu_policy_free(struct emu_policy *policy);

/* May the token do that to the account; or to the zone or bucket (either may be NULL) inside it? */
bool emu_policy_allows(const struct emu_policy *policy, const struct emu_group_set *groups, const char *zone, const char *bucket);
/* Does the condition admit a request from that address? An unreadable address is admitted only without a condition. */
bool emu_policy_admits(const struct emu_policy *policy, const char *address);

#endif
