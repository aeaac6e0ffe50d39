#include "sandbox/sandbox.h"
int sandbox_base_create(struct sandbox_base **out, const struct sandbox_options *options, struct mf_error *error)
{
    (void)options;
    *out = NULL;
    return mf_fail(error, MF_SANDBOX, "sandbox: not in this build yet");
}
void sandbox_base_destroy(struct sandbox_base *base)
{
    (void)base;
}
uid_t sandbox_base_uid(const struct sandbox_base *base)
{
    (void)base;
    return SANDBOX_HOST_UID;
}
