/* cmd/sweep.h - mayfly teardown --sweep */
#ifndef MF_CMD_SWEEP_H
#define MF_CMD_SWEEP_H

#include "cmd/graphs.h"

/* Sweeps and prints a line for each account and the receipt. Returns the exit code. */
int teardown_sweep(const struct options *options, const struct pairs *credentials, const struct pairs *inputs);

#endif
