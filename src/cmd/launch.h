/* cmd/launch.h - what run, rerun and teardown share: common options, progress, receipt, exit code */
#ifndef MF_CMD_LAUNCH_H
#define MF_CMD_LAUNCH_H

#include "app/app.h"
#include "cmd/options.h"

/* Fills in the options that all three take (state, terms, base url, json, colour), runs, prints the receipt. Exit code. */
int launch(struct app_options *app_options, const struct options *options);

#endif
