#include "sandbox/sandbox.h"
int sandbox_launch_make(struct sandbox_launch *out, struct sandbox_base *base, const struct sandbox_launch_spec *spec,
                        struct mf_error *error)
{
    (void)base, (void)spec;
    *out = (struct sandbox_launch){.control_fd = -1};
    return mf_fail(error, MF_SANDBOX, "sandbox: not in this build yet");
}
void sandbox_launch_free(struct sandbox_launch *launch)
{
    mf_buf_free(&launch->memory);
}
