/* help.c - the table of commands and options as help text and as man page */
#include "cmd/option_table.h"
#include "cmd/options.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMNS 100
#define HELP_INDENT 28    /* where the text of an option starts */
#define COMMAND_INDENT 14 /* where the line of a command starts */

/* code, meaning: design section 9 */
#define EXIT_CODES(X)                                                                                                  \
    X("0", "all tasks succeeded and every account is gone (or expiring)")                                              \
    X("1", "a task did not succeed")                                                                                   \
    X("2", "usage or a bad file; nothing was started")                                                                 \
    X("3", "every unsuccessful task failed in provisioning")                                                           \
    X("4", "something may still exist at a provider: run mayfly teardown")                                             \
    X("5", "the state directory or a run database is unusable or locked")                                              \
    X("6", "the sandbox is not available as asked; nothing was started")                                               \
    X("7", "internal error")                                                                                           \
    X("8", "budget or run timeout")                                                                                    \
    X("9", "a threshold was missed")                                                                                   \
    X("128+n", "ended by signal n, after teardown")

#define ENVIRONMENT(X)                                                                                                 \
    X("MAYFLY_STATE", "state directory, when --state is not given")                                                    \
    X("XDG_STATE_HOME", "base of the state directory (default ~/.local/state)")                                        \
    X("XDG_RUNTIME_DIR", "where control sockets are made")                                                             \
    X("MAYFLY_EMULATOR_URL", "an emulator that runs already, instead of one of the run's own")                         \
    X("MAYFLY_EMULATOR_TOKEN", "its administrator's token")                                                            \
    X("CLOUDFLARE_API_BASE_URL", "another base URL for the Cloudflare providers; see --allow-base-url")                \
    X("NO_COLOR", "when set, output has no colour")

#define FILES(X)                                                                                                       \
    X("key", "seals the credentials in the run databases (mode 0600)")                                                 \
    X("config", "accepted terms")                                                                                      \
    X("providers/NAME.rate", "request budget that all runs on this host share")                                        \
    X("runs/ID/run.db", "the run: journal, sealed credentials, views for people (SQLite)")                             \
    X("runs/ID/TASK/ATTEMPT/", "stdout.log, stderr.log, outputs/ of an attempt")                                       \
    X("runs/ID/results/", "results of tasks, by SHA-256")

struct pair {
    const char *name, *text;
};
#define X(name, text) {name, text},
static const struct pair exit_codes[] = {EXIT_CODES(X)};
static const struct pair environment[] = {ENVIRONMENT(X)};
static const struct pair files[] = {FILES(X)};
#undef X
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- help --- */

/* Breaks at spaces; the caller has printed `column` characters of the first line. */
static void print_wrapped(const char *text, int indent, int column)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column > indent && column + 1 + (int)word > HELP_COLUMNS) {
            putchar('\n');
            column = 0;
        }
        if (column < indent)
            column += printf("%*s", indent - column, "");
        else if (column > indent)
            column += printf(" ");
        column += printf("%.*s", (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const char *name, const char *argument, const char *help)
{
    int column = printf("  --%s%s%s", name, argument != NULL ? " " : "", argument != NULL ? argument : "");
    if (column >= HELP_INDENT - 1) {
        putchar('\n');
        column = 0;
    }
    print_wrapped(help, HELP_INDENT, column);
}

static void print_command_help(const struct command_row *row)
{
    printf("Usage: mayfly %s [OPTIONS]%s%s\n\n", row->name, row->arguments[0] != '\0' ? " " : "", row->arguments);
    print_wrapped(row->line, 0, 0);
    putchar('\n');
    print_wrapped(row->text, 0, 0);
    printf("\nOptions:\n");
    for (const struct option_row *option = option_rows(); option->command != NULL; option++)
        if (strcmp(option->command, row->name) == 0)
            print_option(option->name, option->argument, option->help);
    print_option("help", NULL, "this text");
}

static void print_pairs(const char *title, const struct pair *pairs, size_t count, int indent)
{
    printf("\n%s:\n", title);
    for (size_t i = 0; i < count; i++)
        print_wrapped(pairs[i].text, indent, printf("  %s", pairs[i].name));
}

void options_print_help(const char *command)
{
    const struct command_row *row = command != NULL ? command_row(command) : NULL;
    if (row != NULL) {
        print_command_help(row);
        return;
    }
    printf("mayfly runs a fleet of agents from one task graph and gives each its own disposable account.\n\n"
           "Usage: mayfly COMMAND [OPTIONS] [ARGUMENTS]\n");
    for (row = command_rows(); row->name != NULL || row->group != NULL; row++)
        if (row->group != NULL)
            printf("\n%c%s:\n", row->group[0] - 'a' + 'A', row->group + 1);
        else
            print_wrapped(row->line, COMMAND_INDENT, printf("  %s", row->name));
    printf("\n'mayfly COMMAND --help' explains a command, 'man mayfly' has it all; 'mayfly --version'.\n"
           "RUN is a run's id, its --name, or last.\n");
    print_pairs("Exit codes", exit_codes, COUNT(exit_codes), 10);
}

/* --- man page --- */

/* Text for roff: backslashes, hyphens and a leading dot or quote would be requests. */
static void put_roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
    }
}

static void put_line(const char *text)
{
    put_roff(text);
    putchar('\n');
}

static void put_tagged(const char *tag, const char *argument, const char *text)
{
    printf(".TP\n\\fB");
    put_roff(tag);
    printf("\\fR");
    if (argument != NULL) {
        printf(" \\fI");
        put_roff(argument);
        printf("\\fR");
    }
    putchar('\n');
    put_line(text);
}

static void put_sentence(const char *text)
{
    size_t length = strlen(text);
    put_roff(text);
    puts(length > 0 && text[length - 1] == '.' ? "" : ".");
}

static void put_command(const struct command_row *row)
{
    printf(".SS \"mayfly %s ", row->name);
    put_roff(row->arguments);
    printf("\"\n%c", row->line[0] - 'a' + 'A');
    put_sentence(row->line + 1);
    put_line(row->text);
    for (const struct option_row *option = option_rows(); option->command != NULL; option++) {
        char tag[64];
        if (strcmp(option->command, row->name) != 0)
            continue;
        snprintf(tag, sizeof tag, "--%s", option->name);
        put_tagged(tag, option->argument, option->help);
    }
}

static void put_pairs(const char *title, const struct pair *pairs, size_t count)
{
    printf(".SH \"%s\"\n", title);
    for (size_t i = 0; i < count; i++)
        put_tagged(pairs[i].name, NULL, pairs[i].text);
}

void options_print_man(void)
{
    printf(".TH MAYFLY 1 \"\" \"mayfly %s\" \"User Commands\"\n", MAYFLY_VERSION);
    puts(".SH NAME\nmayfly \\- run agents from a task graph, each in its own disposable account");
    puts(".SH SYNOPSIS\n.B mayfly\n.I COMMAND\n.RI [ OPTIONS ]\n.RI [ ARGUMENTS ]");
    puts(".SH DESCRIPTION\nmayfly runs a fleet of agents from one task graph file. Every agent gets an account of its "
         "own: "
         "provisioned when its task starts, limited to the permissions that the task declares, revoked and deleted "
         "when it ends, "
         "however it ends. A run ends with a receipt that accounts for every account that was ever created.");
    puts(".PP\nLong options take their value as the next argument or after an equals sign; \\fB\\-\\-\\fR ends the "
         "options. "
         "Results go to standard output, progress and errors to standard error.");
    puts(".SH COMMANDS");
    for (const struct command_row *row = command_rows(); row->name != NULL || row->group != NULL; row++)
        if (row->name != NULL)
            put_command(row);
    put_pairs("EXIT STATUS", exit_codes, COUNT(exit_codes));
    put_pairs("ENVIRONMENT", environment, COUNT(environment));
    puts(".SH FILES\nBelow the state directory:");
    for (size_t i = 0; i < COUNT(files); i++)
        put_tagged(files[i].name, NULL, files[i].text);
    puts(".SH EXAMPLES\nRun a graph, look at it, and make sure that nothing is left:\n.PP\n.nf\n.RS\n"
         "mayfly run graph.json\nmayfly show last\nmayfly accounts last\nmayfly teardown last\n.RE\n.fi");
    puts(".SH \"SEE ALSO\"\n.BR sqlite3 (1)");
}
