/*
 * report/report.h - what a run leaves for other programs: JUnit XML, GitHub's step summary and annotations
 *
 * A report is an observer: it reads the core's views when the run is closed. Agent output never goes in raw.
 */
#ifndef MF_REPORT_REPORT_H
#define MF_REPORT_REPORT_H

#include "app/app.h"

#include <stdio.h>

struct report;

/* Written when the run is closed, through a temporary file and a rename. NULL without memory. */
struct report *report_junit_create(const char *path);
/* Annotations (workflow commands) to `out`, a summary to $GITHUB_STEP_SUMMARY. */
struct report *report_github_create(FILE *out);
void report_destroy(struct report *report); /* NULL is fine */
struct app_observer report_observer(struct report *report);

#endif
