/* pending.c - stands in, weakly, for what the gateway does not have yet: everything fails. Goes when the rest is there. */
#include "gateway/gateway.h"
#include "gateway/policy.h"

#include <unistd.h>

#define WEAK __attribute__((weak))

static int not_built(struct mf_error *error)
{
    return mf_fail(error, MF_INTERNAL, "gateway: not built yet");
}

WEAK int gateway_create(struct gateway **out, const struct gateway_options *options,
                        const struct gateway_handlers *handlers, void *context, struct mf_error *error)
{
    (void)options;
    (void)handlers;
    (void)context;
    *out = NULL;
    return not_built(error);
}

WEAK void gateway_destroy(struct gateway *gateway)
{
    (void)gateway;
}

WEAK int gateway_add_policy(struct gateway *gateway, uint64_t policy, struct mf_span json, struct mf_error *error)
{
    (void)gateway;
    (void)policy;
    (void)json;
    return not_built(error);
}

WEAK int gateway_add_service(struct gateway *gateway, const struct gateway_service *service, struct mf_error *error)
{
    (void)gateway;
    (void)service;
    return not_built(error);
}

WEAK int gateway_open_stage(struct gateway *gateway, const struct gateway_stage *stage, struct mf_error *error)
{
    (void)gateway;
    (void)stage;
    return not_built(error);
}

WEAK int gateway_open_lease(struct gateway *gateway, const struct gateway_lease *lease, char token[GATEWAY_TOKEN_BYTES],
                            struct mf_error *error)
{
    (void)gateway;
    (void)lease;
    token[0] = '\0';
    return not_built(error);
}

WEAK int gateway_open_use(struct gateway *gateway, uint64_t stage, uint64_t service, char token[GATEWAY_TOKEN_BYTES],
                          struct mf_error *error)
{
    (void)gateway;
    (void)stage;
    (void)service;
    token[0] = '\0';
    return not_built(error);
}

WEAK int gateway_open_door(struct gateway *gateway, uint64_t stage, enum gateway_door door, int listening_fd,
                           uint16_t port, bool guarded, struct mf_error *error)
{
    (void)gateway;
    (void)stage;
    (void)door;
    (void)port;
    (void)guarded;
    close(listening_fd);
    return not_built(error);
}

WEAK int gateway_open_loopback(struct gateway *gateway, uint64_t stage, uint16_t *port, struct mf_error *error)
{
    (void)gateway;
    (void)stage;
    *port = 0;
    return not_built(error);
}

WEAK void gateway_drop(struct gateway *gateway, uint64_t lease)
{
    (void)gateway;
    (void)lease;
}

WEAK void gateway_close_stage(struct gateway *gateway, uint64_t stage)
{
    (void)gateway;
    (void)stage;
}

WEAK int policy_create(struct policy **out, struct mf_span json, struct mf_error *error)
{
    (void)json;
    *out = NULL;
    return not_built(error);
}

WEAK void policy_destroy(struct policy *policy)
{
    (void)policy;
}

WEAK struct mf_span policy_base_path(const struct policy *policy)
{
    (void)policy;
    return (struct mf_span){NULL, 0};
}
