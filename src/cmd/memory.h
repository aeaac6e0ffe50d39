/* cmd/memory.h - OpenSSL and SQLite get memory that is wiped when it is freed */
#ifndef MF_CMD_MEMORY_H
#define MF_CMD_MEMORY_H

#include <stdbool.h>

void memory_wipe_in_libraries(void); /* before either is used */
bool memory_is_wiped(void);          /* both took it */

#endif
