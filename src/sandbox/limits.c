/* limits.c - what an agent may use of the machine */
#include "sandbox/sandbox.h"

const struct sandbox_limits sandbox_limits_default = {.pids = 4096, .disk_bytes = 1ull << 30};
