/*
 * runner/result.h - what an agent left at $MAYFLY_RESULT: opened warily, validated, kept under its SHA-256
 */
#ifndef MF_RUNNER_RESULT_H
#define MF_RUNNER_RESULT_H

#include "runner/job.h"

#define RESULT_BYTES_MAX ((size_t)1 << 20)

/*
 * Without a file nothing happens. Else answer->text is the SHA-256 and results/SHA256.json is on disk when this returns
 * 0; -1 with class `agent` when the file is not acceptable.
 */
int result_take(const struct job_place *place, struct job_answer *answer);

#endif
