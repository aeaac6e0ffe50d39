/* workspace.c - to come */
#include "runner/job.h"
int job_workspace(const struct message_job *job, const struct job_place *place, struct job_answer *answer)
{
    (void)job; (void)place;
    return job_fail(answer, "infrastructure", "workspace: not there yet");
}
