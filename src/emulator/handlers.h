/* emulator/handlers.h - one function for each handler that the route table names */
#ifndef MF_EMULATOR_HANDLERS_H
#define MF_EMULATOR_HANDLERS_H

#include "emulator/call.h"
#include "emulator/routes.h"

/* A handler may stand in several rows: repeating a declaration is fine. */
#define X(method, path, access, handler) emu_handler emu_##handler;
EMU_ROUTES(X)
#undef X

#endif
