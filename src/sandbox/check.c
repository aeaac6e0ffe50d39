#include "sandbox/sandbox.h"
#include <stdio.h>
int sandbox_check(const struct sandbox_options *options, struct sandbox_report *report, struct mf_error *error)
{
    (void)options, (void)error;
    *report = (struct sandbox_report){.cgroup = "none"};
    snprintf(report->reason, sizeof report->reason, "sandbox: not in this build yet");
    return 0;
}
int sandbox_check_spec(const struct sandbox_report *report, const struct sandbox_spec *spec, struct mf_error *error)
{
    (void)spec;
    return report->available ? 0 : mf_fail(error, MF_SANDBOX, "%s", report->reason);
}
