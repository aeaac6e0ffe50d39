/* emulator/persist_private.h - what persist.c (writing) and persist_load.c (reading) share */
#ifndef MF_EMULATOR_PERSIST_PRIVATE_H
#define MF_EMULATOR_PERSIST_PRIVATE_H

#include <sqlite3.h>

struct emu_persist;

sqlite3 *emu_persist_database(struct emu_persist *persist);

#endif
