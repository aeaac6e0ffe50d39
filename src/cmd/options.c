/* options.c - one table of commands and options: parsed, looked up, dispatched */
#include "cmd/options.h"

#include "base/buf.h"
#include "cmd/commands.h"
#include "cmd/option_table.h"
#include "json/write.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EXIT_USAGE 2
#define SHOWN_MAX 80 /* characters of what the user typed, in a message */
#define NAMES_MAX 64 /* options of one command, or commands */

const struct command_row *command_rows(void)
{
    static const struct command_row rows[] = {
#define COMMAND(name, function, arguments, arguments_min, arguments_max, line, text)                                   \
    {NULL, #name, function, arguments, arguments_min, arguments_max, line, text},
#define OPTION(command, name, argument, repeatable, help)
#define GROUP(title) {.group = title},
#include "cmd/options.def"
#undef COMMAND
#undef OPTION
#undef GROUP
        {0}};
    return rows;
}

const struct option_row *option_rows(void)
{
    static const struct option_row rows[] = {
#define COMMAND(name, function, arguments, arguments_min, arguments_max, line, text)
#define OPTION(command, name, argument, repeatable, help) {#command, name, argument, repeatable, help},
#define GROUP(title)
#include "cmd/options.def"
#undef COMMAND
#undef OPTION
#undef GROUP
        {0}};
    return rows;
}

const struct command_row *command_row(const char *name)
{
    for (const struct command_row *row = command_rows(); row->name != NULL || row->group != NULL; row++)
        if (row->name != NULL && strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

/* --- complaints: always one line, what the user typed is escaped --- */

static int complain_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int complain_usage(const char *command, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *space = command != NULL ? " " : "", *name = command != NULL ? command : "";
    fprintf(stderr, "mayfly%s%s: %s (see 'mayfly%s%s --help')\n", space, name, text, space, name);
    return -1;
}

static const char *shown(const char *text, char out[512])
{
    struct mf_buf buf;
    mf_buf_init(&buf, 511);
    json_escape_shown(&buf, mf_span(text), SHOWN_MAX);
    snprintf(out, 512, "%s", mf_buf_cstr(&buf));
    mf_buf_free(&buf);
    return out;
}

static int unknown_option(const char *command, struct mf_span name)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    char typed[128], safe[512];
    names[count++] = "help";
    for (const struct option_row *row = option_rows(); row->command != NULL && count < NAMES_MAX; row++)
        if (strcmp(row->command, command) == 0)
            names[count++] = row->name;
    const char *near = mf_nearest(name, names, count);
    snprintf(typed, sizeof typed, "%.*s", name.length < 100 ? (int)name.length : 100, name.data);
    if (near != NULL)
        return complain_usage(command, "unknown option --%s, did you mean --%s?", shown(typed, safe), near);
    return complain_usage(command, "unknown option --%s", shown(typed, safe));
}

static int unknown_command(const char *name)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    char safe[512];
    for (const struct command_row *row = command_rows(); (row->name != NULL || row->group != NULL) && count < NAMES_MAX;
         row++)
        if (row->name != NULL)
            names[count++] = row->name;
    const char *near = mf_nearest(mf_span(name), names, count);
    if (near != NULL)
        complain_usage(NULL, "unknown command %s, did you mean %s?", shown(name, safe), near);
    else
        complain_usage(NULL, "unknown command %s", shown(name, safe));
    return EXIT_USAGE;
}

/* --- parsing --- */

static const struct option_row *find_option(const char *command, struct mf_span name)
{
    for (const struct option_row *row = option_rows(); row->command != NULL; row++)
        if (strcmp(row->command, command) == 0 && mf_span_is(name, row->name))
            return row;
    return NULL;
}

static int keep_option(struct options *out, const struct option_row *row, const char *value)
{
    if (!row->repeatable && option_set(out, row->name))
        return complain_usage(out->command, "--%s is given twice", row->name);
    if (out->given_count >= OPTIONS_VALUES_MAX)
        return complain_usage(out->command, "more than %d options", OPTIONS_VALUES_MAX);
    out->given[out->given_count].name = row->name;
    out->given[out->given_count++].value = value;
    return 0;
}

/* argv[*index] is "--name" or "--name=value"; takes the next argument as value when it needs one. */
static int parse_option(struct options *out, int argc, char **argv, int *index)
{
    const char *text = argv[*index] + 2, *equals = strchr(text, '=');
    struct mf_span name = {text, equals != NULL ? (size_t)(equals - text) : strlen(text)};
    const struct option_row *row = find_option(out->command, name);
    if (row == NULL)
        return unknown_option(out->command, name);
    if (row->argument == NULL)
        return equals == NULL ? keep_option(out, row, NULL)
                              : complain_usage(out->command, "--%s takes no value", row->name);
    if (equals != NULL)
        return keep_option(out, row, equals + 1);
    if (*index + 1 >= argc)
        return complain_usage(out->command, "--%s needs a value (%s)", row->name, row->argument);
    return keep_option(out, row, argv[++*index]);
}

static int keep_argument(struct options *out, const char *argument)
{
    if (out->argument_count >= OPTIONS_ARGUMENTS_MAX)
        return complain_usage(out->command, "more than %d arguments", OPTIONS_ARGUMENTS_MAX);
    out->arguments[out->argument_count++] = argument;
    return 0;
}

static int check_arguments(const struct options *out, const struct command_row *row)
{
    char safe[512];
    if (out->argument_count < row->arguments_min)
        return complain_usage(out->command, "%s is missing", row->arguments);
    if (out->argument_count > row->arguments_max)
        return complain_usage(out->command, "one argument too many: %s",
                              shown(out->arguments[row->arguments_max], safe));
    return 0;
}

int options_parse(struct options *out, const char *command, int argc, char **argv)
{
    const struct command_row *row = command_row(command);
    char safe[512];
    out->command = command;
    out->given_count = out->argument_count = 0;
    if (row == NULL)
        return complain_usage(NULL, "unknown command %s", shown(command, safe));
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        int status;
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
            continue;
        }
        if (!ended && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            options_print_help(command);
            return 1;
        }
        if (!ended && strncmp(argv[i], "--", 2) == 0)
            status = parse_option(out, argc, argv, &i);
        else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0')
            status = complain_usage(command, "unknown option %s", shown(argv[i], safe));
        else
            status = keep_argument(out, argv[i]);
        if (status != 0)
            return -1;
    }
    return check_arguments(out, row);
}

/* --- looking up --- */

bool option_set(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->given_count; i++)
        if (strcmp(options->given[i].name, name) == 0)
            return true;
    return false;
}

const char *option_value(const struct options *options, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < options->given_count; i++)
        if (strcmp(options->given[i].name, name) == 0)
            value = options->given[i].value;
    return value;
}

const char *option_nth(const struct options *options, const char *name, size_t index)
{
    for (size_t i = 0; i < options->given_count; i++)
        if (strcmp(options->given[i].name, name) == 0 && index-- == 0)
            return options->given[i].value;
    return NULL;
}

int option_number(const struct options *options, const char *name, long min, long max, long *out)
{
    const char *text = option_value(options, name);
    int64_t number;
    if (text == NULL)
        return 0;
    if (mf_parse_i64(mf_span(text), &number) != 0 || number < min || number > max)
        return complain_usage(options->command, "--%s: must be a whole number from %ld to %ld", name, min, max);
    *out = (long)number;
    return 0;
}

int option_duration(const struct options *options, const char *name, long long *out_ms)
{
    const char *text = option_value(options, name);
    int64_t duration_ms;
    if (text == NULL)
        return 0;
    if (mf_parse_duration_ms(mf_span(text), &duration_ms) != 0)
        return complain_usage(options->command, "--%s: must be a duration such as 30s, 5m or 1h30m", name);
    *out_ms = duration_ms;
    return 0;
}

/* --- dispatch --- */

/* A full disk or a closed pipe behind stdout must not look like success. */
static int flush(int code)
{
    bool failed = fflush(stdout) != 0 || ferror(stdout) != 0;
    if (failed && code == 0) {
        fprintf(stderr, "mayfly: standard output: cannot be written\n");
        return 7;
    }
    return code;
}

static int run_command(const struct command_row *row, int argc, char **argv)
{
    static struct options options; /* 40 KiB: not for the stack; a process runs one command */
    int status = options_parse(&options, row->name, argc, argv);
    if (status != 0)
        return status < 0 ? EXIT_USAGE : flush(0);
    if (row->run == NULL) {
        fprintf(stderr, "mayfly %s: is not in this build\n", row->name);
        return EXIT_USAGE;
    }
    return flush(row->run(&options));
}

static int print_help(int argc, char **argv)
{
    if (argc > 2 && command_row(argv[2]) == NULL)
        return unknown_command(argv[2]);
    options_print_help(argc > 2 ? argv[2] : NULL);
    return flush(0);
}

int options_dispatch(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        options_print_help(NULL);
        return EXIT_USAGE;
    }
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0)
        return print_help(argc, argv);
    if (strcmp(first, "--version") == 0) {
        printf("mayfly %s\n", MAYFLY_VERSION);
        return flush(0);
    }
    if (strcmp(first, "--man") == 0) {
        options_print_man();
        return flush(0);
    }
    const struct command_row *row = command_row(first);
    return row != NULL ? run_command(row, argc - 1, argv + 1) : unknown_command(first);
}
