/*
 * emulator/groups.h - Cloudflare's permission groups, and which of them open a route
 *
 * One table of groups (name, id, the scope of resources that the group acts on) and one table of access classes: a class is
 * the list of groups of which any one suffices. Routes name a class. Ids are Cloudflare's own, as published.
 */
#ifndef MF_EMULATOR_GROUPS_H
#define MF_EMULATOR_GROUPS_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define EMU_GROUPS(X) \
    X(ACCOUNT_API_TOKENS_READ, "Account API Tokens Read", "eb56a6953c034b9d97dd838155666f06", ACCOUNT) \
    X(ACCOUNT_API_TOKENS_WRITE, "Account API Tokens Write", "5bc3f8b21c554832afc660159ab75fa4", ACCOUNT) \
    X(ACCOUNT_SETTINGS_READ, "Account Settings Read", "c1fde68c7bcc44588cbb6ddbc16d6480", ACCOUNT) \
    X(ACCOUNT_SETTINGS_WRITE, "Account Settings Write", "1af1fa2adc104452b74a9a3364202f20", ACCOUNT) \
    X(ACCOUNT_ANALYTICS_READ, "Account Analytics Read", "b89a480218d04ceb98b4fe57ca29dc1f", ACCOUNT) \
    X(ACCOUNT_SSL_AND_CERTIFICATES_READ, "Account: SSL and Certificates Read", "a7a233f9604845c787d4c8c39ac09c21", ACCOUNT) \
    X(ACCOUNT_SSL_AND_CERTIFICATES_WRITE, "Account: SSL and Certificates Write", "db37e5f1cb1a4e1aabaef8deaea43575", ACCOUNT) \
    X(AI_GATEWAY_READ, "AI Gateway Read", "4dc8917b4b40457d88d3035d5dadb054", ACCOUNT) \
    X(AI_GATEWAY_WRITE, "AI Gateway Write", "6c8a3737f07f46369c1ea1f22138daaf", ACCOUNT) \
    X(BILLING_READ, "Billing Read", "7cf72faf220841aabcfdfab81c43c4f6", ACCOUNT) \
    X(BROWSER_RENDERING_WRITE, "Browser Rendering Write", "adddda876faa4a0590f1b23a038976e4", ACCOUNT) \
    X(CLOUDFLARE_TUNNEL_WRITE, "Cloudflare Tunnel Write", "c07321b023e944ff818fec44d8203567", ACCOUNT) \
    X(D1_READ, "D1 Read", "192192df92ee43ac90f2aeeffce67e35", ACCOUNT) \
    X(D1_WRITE, "D1 Write", "09b2857d1c31407795e75e3fed8617a1", ACCOUNT) \
    X(HYPERDRIVE_READ, "Hyperdrive Read", "4d62ccf834df44808bc9283d65c4e4e9", ACCOUNT) \
    X(HYPERDRIVE_WRITE, "Hyperdrive Write", "721b2f51fba74871bd361de65aeb7e03", ACCOUNT) \
    X(IMAGES_WRITE, "Images Write", "618ec6c64a3a42f8b08bdcb147ded4e4", ACCOUNT) \
    X(LOGS_READ, "Logs Read", "6a315a56f18441e59ed03352369ae956", ACCOUNT) \
    X(LOGS_WRITE, "Logs Write", "96163bd1b0784f62b3e44ed8c2ab1eb6", ACCOUNT) \
    X(PAGES_READ, "Pages Read", "e247aedd66bd41cc9193af0213416666", ACCOUNT) \
    X(PAGES_WRITE, "Pages Write", "8d28297797f24fb8a0c332fe0866ec89", ACCOUNT) \
    X(PIPELINES_READ, "Pipelines Read", "14b9cf2f410f4c0c9a16bb10a81c0e0b", ACCOUNT) \
    X(PIPELINES_WRITE, "Pipelines Write", "e34111af393449539859485aa5ddd5bd", ACCOUNT) \
    X(QUEUES_READ, "Queues Read", "84a7755d54c646ca87cd50682a34bf7c", ACCOUNT) \
    X(QUEUES_WRITE, "Queues Write", "366f57075ffc42689627bcf8242a1b6d", ACCOUNT) \
    X(SECRETS_STORE_READ, "Secrets Store Read", "5e33b7d77788455c9fdf18cbd38ee5a0", ACCOUNT) \
    X(SECRETS_STORE_WRITE, "Secrets Store Write", "adc8fa2bc6124928a8b3314dc63a1235", ACCOUNT) \
    X(STREAM_WRITE, "Stream Write", "714f9c13a5684c2885a793f5edb36f59", ACCOUNT) \
    X(TURNSTILE_SITES_READ, "Turnstile Sites Read", "5d78fd7895974fd0bdbbbb079482721b", ACCOUNT) \
    X(TURNSTILE_SITES_WRITE, "Turnstile Sites Write", "755c05aa014b4f9ab263aa80b8167bd8", ACCOUNT) \
    X(VECTORIZE_READ, "Vectorize Read", "1799edaae5db489294430e20d9b519e0", ACCOUNT) \
    X(VECTORIZE_WRITE, "Vectorize Write", "64156ba5be47441096c83c7fc17c488b", ACCOUNT) \
    X(WORKERS_AI_READ, "Workers AI Read", "a92d2450e05d4e7bb7d0a64968f83d11", ACCOUNT) \
    X(WORKERS_AI_WRITE, "Workers AI Write", "bacc64e0f6c34fc0883a1223f938a104", ACCOUNT) \
    X(WORKERS_CI_READ, "Workers CI Read", "ad99c5ae555e45c4bef5bdf2678388ba", ACCOUNT) \
    X(WORKERS_CI_WRITE, "Workers CI Write", "2e095cf436e2455fa62c9a9c2e18c478", ACCOUNT) \
    X(WORKERS_CONTAINERS_READ, "Workers Containers Read", "cfd39eebc07c4e3ea849e4b3d2644637", ACCOUNT) \
    X(WORKERS_CONTAINERS_WRITE, "Workers Containers Write", "bdbcd690c763475a985e8641dddc09f7", ACCOUNT) \
    X(WORKERS_KV_STORAGE_READ, "Workers KV Storage Read", "8b47d2786a534c08a1f94ee8f9f599ef", ACCOUNT) \
    X(WORKERS_KV_STORAGE_WRITE, "Workers KV Storage Write", "f7f0eda5697f475c90846e879bab8666", ACCOUNT) \
    X(WORKERS_OBSERVABILITY_READ, "Workers Observability Read", "66c1ed49f4ed46098b75696a6d4ee3c9", ACCOUNT) \
    X(WORKERS_OBSERVABILITY_WRITE, "Workers Observability Write", "82c075da3f4647a2a03becd0fe240f8a", ACCOUNT) \
    X(WORKERS_R2_STORAGE_READ, "Workers R2 Storage Read", "b4992e1108244f5d8bfbd5744320c2e1", ACCOUNT) \
    X(WORKERS_R2_STORAGE_WRITE, "Workers R2 Storage Write", "bf7481a1826f439697cb59a20b22293e", ACCOUNT) \
    X(WORKERS_R2_STORAGE_BUCKET_ITEM_READ, "Workers R2 Storage Bucket Item Read", "6a018a9f2fc74eb6b293b0c548f38b39", R2_BUCKET) \
    X(WORKERS_R2_STORAGE_BUCKET_ITEM_WRITE, "Workers R2 Storage Bucket Item Write", "2efd5506f9c8494dacb1fa10a3e7d5b6", R2_BUCKET) \
    X(WORKERS_SCRIPTS_READ, "Workers Scripts Read", "1a71c399035b4950a1bd1466bbe4f420", ACCOUNT) \
    X(WORKERS_SCRIPTS_WRITE, "Workers Scripts Write", "e086da7e2179491d91ee5f35b3ca210a", ACCOUNT) \
    X(WORKERS_TAIL_READ, "Workers Tail Read", "05880cd1bdc24d8bae0be2136972816b", ACCOUNT) \
    X(WORKERS_ROUTES_READ, "Workers Routes Read", "2072033d694d415a936eaeb94e6405b8", ZONE) \
    X(WORKERS_ROUTES_WRITE, "Workers Routes Write", "28f4b596e7d643029c524985477ae49a", ZONE) \
    X(ZONE_READ, "Zone Read", "c8fed203ed3043cba015a93ad1616f1f", ZONE) \
    X(ZONE_WRITE, "Zone Write", "e6d2666161e84845a636613608cee8d5", ZONE) \
    X(ZONE_SETTINGS_READ, "Zone Settings Read", "517b21aee92c4d89936c976ba6e4be55", ZONE) \
    X(ZONE_SETTINGS_WRITE, "Zone Settings Write", "3030687196b94b638145a3953da2b699", ZONE) \
    X(DNS_READ, "DNS Read", "82e64a83756745bbbb1c9c2701bf816b", ZONE) \
    X(DNS_WRITE, "DNS Write", "4755a26eedb94da69e1066d98aa820be", ZONE) \
    X(CACHE_PURGE, "Cache Purge", "e17beae8b8cb423a99b1730f21238bed", ZONE) \
    X(SSL_AND_CERTIFICATES_READ, "SSL and Certificates Read", "7b7216b327b04b8fbc8f524e1f9b7531", ZONE) \
    X(SSL_AND_CERTIFICATES_WRITE, "SSL and Certificates Write", "c03055bc037c4ea9afb9a9f104b7b721", ZONE) \
    X(ANALYTICS_READ, "Analytics Read", "9c88f9c5bce24ce7af9a958ba9c504db", ZONE) \
    X(PAGE_RULES_READ, "Page Rules Read", "b415b70a4fd1412886f164451f20405c", ZONE) \
    X(PAGE_RULES_WRITE, "Page Rules Write", "ed07f6c337da4195b4e72a1fb2c6bcae", ZONE) \
    X(FIREWALL_SERVICES_READ, "Firewall Services Read", "4ec32dfcb35641c5bb32d5ef1ab963b4", ZONE) \
    X(FIREWALL_SERVICES_WRITE, "Firewall Services Write", "43137f8d07884d3198dc0ee77ca6e79b", ZONE) \
    X(EMAIL_ROUTING_RULES_READ, "Email Routing Rules Read", "1b600d9d8062443e986a973f097e728a", ZONE) \
    X(EMAIL_ROUTING_RULES_WRITE, "Email Routing Rules Write", "79b3ec0d10ce4148a8f8bdc0cc5f97f2", ZONE) \
    X(LOAD_BALANCERS_READ, "Load Balancers Read", "e9a975f628014f1d85b723993116f7d5", ZONE) \
    X(LOAD_BALANCERS_WRITE, "Load Balancers Write", "6d7f2f5f5b1d4a0e9081fdc98d432fd1", ZONE) \
    X(API_TOKENS_READ, "API Tokens Read", "0cc3a61731504c89b99ec1be78b77aa0", USER) \
    X(API_TOKENS_WRITE, "API Tokens Write", "686d18d5ac6c441c867cbf6771e58a0a", USER) \
    X(USER_DETAILS_READ, "User Details Read", "8acbe5bb0d54464ab867149d7f7cf8ac", USER)

#define EMU_SCOPES(X)                                \
    X(ACCOUNT, "com.cloudflare.api.account")         \
    X(ZONE, "com.cloudflare.api.account.zone")       \
    X(USER, "com.cloudflare.api.user")               \
    X(R2_BUCKET, "com.cloudflare.edge.r2.bucket")

enum emu_scope {
#define X(scope, name) EMU_SCOPE_##scope,
    EMU_SCOPES(X)
#undef X
};

enum emu_group {
#define X(group, name, id, scope) EMU_GROUP_##group,
    EMU_GROUPS(X)
#undef X
    EMU_GROUP_COUNT
};

/*
 * Access classes: name, then up to five groups; NO stands for none. The special classes have no groups: OPEN needs no
 * credential, ANY_TOKEN any live token, ANY_ACCOUNT any live token of the account in the path, OPERATOR the admin token only,
 * SESSION the JWT of an asset upload session, which the handler checks.
 */
#define EMU_ACCESS(X)                                                                                                      \
    X(OPEN, NO, NO, NO, NO, NO)                                                                                            \
    X(ANY_TOKEN, NO, NO, NO, NO, NO)                                                                                       \
    X(ANY_ACCOUNT, NO, NO, NO, NO, NO)                                                                                     \
    X(OPERATOR, NO, NO, NO, NO, NO)                                                                                        \
    X(SESSION, NO, NO, NO, NO, NO)                                                                                         \
    X(SETTINGS_WRITE, ACCOUNT_SETTINGS_WRITE, NO, NO, NO, NO)                                                              \
    X(TOKENS_READ, ACCOUNT_API_TOKENS_READ, ACCOUNT_API_TOKENS_WRITE, NO, NO, NO)                                          \
    X(TOKENS_WRITE, ACCOUNT_API_TOKENS_WRITE, NO, NO, NO, NO)                                                              \
    X(SCRIPTS_TAIL, WORKERS_TAIL_READ, WORKERS_SCRIPTS_READ, WORKERS_SCRIPTS_WRITE, NO, NO)                                \
    X(SCRIPTS_READ, WORKERS_SCRIPTS_READ, WORKERS_SCRIPTS_WRITE, NO, NO, NO)                                               \
    X(SCRIPTS_WRITE, WORKERS_SCRIPTS_WRITE, NO, NO, NO, NO)                                                                \
    X(TAILS_WRITE, WORKERS_TAIL_READ, WORKERS_SCRIPTS_WRITE, NO, NO, NO)                                                   \
    X(KV_READ, WORKERS_KV_STORAGE_READ, WORKERS_KV_STORAGE_WRITE, NO, NO, NO)                                              \
    X(KV_WRITE, WORKERS_KV_STORAGE_WRITE, NO, NO, NO, NO)                                                                  \
    X(D1_READ, D1_READ, D1_WRITE, NO, NO, NO)                                                                              \
    X(D1_WRITE, D1_WRITE, NO, NO, NO, NO)                                                                                  \
    X(QUEUES_READ, QUEUES_READ, QUEUES_WRITE, WORKERS_SCRIPTS_READ, WORKERS_SCRIPTS_WRITE, NO)                             \
    X(QUEUES_WRITE, QUEUES_WRITE, WORKERS_SCRIPTS_WRITE, NO, NO, NO)                                                       \
    X(R2_READ, WORKERS_R2_STORAGE_READ, WORKERS_R2_STORAGE_WRITE, NO, NO, NO)                                              \
    X(R2_WRITE, WORKERS_R2_STORAGE_WRITE, NO, NO, NO, NO)                                                                  \
    X(R2_ITEM_READ, WORKERS_R2_STORAGE_READ, WORKERS_R2_STORAGE_WRITE, WORKERS_R2_STORAGE_BUCKET_ITEM_READ,                \
      WORKERS_R2_STORAGE_BUCKET_ITEM_WRITE, NO)                                                                            \
    X(R2_ITEM_WRITE, WORKERS_R2_STORAGE_WRITE, WORKERS_R2_STORAGE_BUCKET_ITEM_WRITE, NO, NO, NO)                           \
    X(HYPERDRIVE_READ, HYPERDRIVE_READ, HYPERDRIVE_WRITE, NO, NO, NO)                                                      \
    X(HYPERDRIVE_WRITE, HYPERDRIVE_WRITE, NO, NO, NO, NO)                                                                  \
    X(CERTIFICATES_READ, ACCOUNT_SSL_AND_CERTIFICATES_READ, ACCOUNT_SSL_AND_CERTIFICATES_WRITE, NO, NO, NO)                \
    X(CERTIFICATES_WRITE, ACCOUNT_SSL_AND_CERTIFICATES_WRITE, NO, NO, NO, NO)                                              \
    X(ZONE_READ, ZONE_READ, ZONE_WRITE, ZONE_SETTINGS_READ, DNS_READ, DNS_WRITE)                                           \
    X(ZONE_WRITE, ZONE_WRITE, NO, NO, NO, NO)                                                                              \
    X(DNS_READ, DNS_READ, DNS_WRITE, NO, NO, NO)                                                                           \
    X(DNS_WRITE, DNS_WRITE, NO, NO, NO, NO)                                                                                \
    X(ROUTES_READ, WORKERS_ROUTES_READ, WORKERS_ROUTES_WRITE, NO, NO, NO)                                                  \
    X(ROUTES_WRITE, WORKERS_ROUTES_WRITE, NO, NO, NO, NO)                                                                  \
    X(CACHE_PURGE, CACHE_PURGE, NO, NO, NO, NO)

enum emu_access {
#define X(access, a, b, c, d, e) EMU_ACCESS_##access,
    EMU_ACCESS(X)
#undef X
    EMU_ACCESS_COUNT
};

struct emu_group_set {
    uint64_t words[2];
};
_Static_assert(EMU_GROUP_COUNT <= 128, "a group set holds 128 groups");

const char *emu_group_name(enum emu_group group);
const char *emu_group_id(enum emu_group group);
enum emu_scope emu_group_scope(enum emu_group group);
const char *emu_scope_name(enum emu_scope scope);
/* The group with that id; EMU_GROUP_COUNT when there is none. */
enum emu_group emu_group_find(struct mf_span id);

void emu_set_add(struct emu_group_set *set, enum emu_group group);
bool emu_set_has(const struct emu_group_set *set, enum emu_group group);
/* The groups that open an access class. */
const struct emu_group_set *emu_access_groups(enum emu_access access);
/* What the token of a temporary account may do. */
const struct emu_group_set *emu_temporary_groups(void);

#endif
