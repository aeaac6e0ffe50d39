/* cmd/option_table.h - options.def as arrays, for the parser and for the help */
#ifndef MF_CMD_OPTION_TABLE_H
#define MF_CMD_OPTION_TABLE_H

#include "cmd/options.h"

struct option_row {
    const char *command, *name;
    const char *argument; /* NULL: a flag */
    bool repeatable;
    const char *help;
};
struct command_row { /* in the order of the file; a group's title stands in a row of its own */
    const char *group, *name;
    int (*run)(const struct options *options); /* NULL: not in this build */
    const char *arguments;
    size_t arguments_min, arguments_max;
    const char *line, *text;
};

/* Rows, ended by one that is all zero. */
const struct command_row *command_rows(void);
const struct option_row *option_rows(void);
/* NULL when there is no such command. */
const struct command_row *command_row(const char *name);

#endif
