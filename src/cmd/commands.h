/* cmd/commands.h - the functions of the commands, declared from the one table */
#ifndef MF_CMD_COMMANDS_H
#define MF_CMD_COMMANDS_H

#include "cmd/options.h"

#define COMMAND(name, function, arguments, arguments_min, arguments_max, line, text) int function(const struct options *options);
#define OPTION(command, name, argument, repeatable, help)
#define GROUP(title)
#include "cmd/options.def"
#undef COMMAND
#undef OPTION
#undef GROUP

#endif
