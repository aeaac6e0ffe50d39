/*
 * cmd/options.h - one table of commands and options: it feeds the parser, --help and the man page
 *
 * The table is cmd/options.def. A command's function gets its parsed options; usage errors are printed here in one line and
 * end with exit 2.
 */
#ifndef MF_CMD_OPTIONS_H
#define MF_CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_VALUES_MAX 256   /* how often a repeatable option may be given in one call */
#define OPTIONS_ARGUMENTS_MAX 4096

struct options {
    const char *command;
    struct {
        const char *name, *value; /* value NULL for a flag */
    } given[OPTIONS_VALUES_MAX];
    size_t given_count;
    const char *arguments[OPTIONS_ARGUMENTS_MAX]; /* positional, in order */
    size_t argument_count;
};

/* argv[0] is the command's name. 0; or -1 after one line on stderr (exit 2); or 1 after --help was printed (exit 0). */
int options_parse(struct options *out, const char *command, int argc, char **argv);
bool option_set(const struct options *options, const char *name);
const char *option_value(const struct options *options, const char *name); /* the last one given; NULL when absent */
const char *option_nth(const struct options *options, const char *name, size_t index); /* repeatable; NULL behind the last */
/* A whole number within a range: -1 after a line on stderr. Absent: *out stays. */
int option_number(const struct options *options, const char *name, long min, long max, long *out);
/* A duration such as 30s: -1 after a line on stderr. Absent: *out_ms stays. */
int option_duration(const struct options *options, const char *name, long long *out_ms);

/* The help text of a command, or of the program (NULL); to stdout. */
void options_print_help(const char *command);
/* The man page, in man(7) macros, to stdout: `mayfly --man` (used by the build). */
void options_print_man(void);

struct options_command {
    const char *name;
    int (*run)(const struct options *options); /* returns the exit code */
    bool internal;
};
/* Calls the command's function; exit code. */
int options_dispatch(int argc, char **argv);

#endif
