/* cmd_options.c - tests of the option table: parsing, complaints, help and man page */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/option_table.h"
#include "cmd/options.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 18]; /* what was printed */
static struct options options;

/* Runs something with stdout or stderr going into `text`. */
struct redirected {
    int fd, saved;
    FILE *file;
};

static struct redirected redirect(int fd)
{
    struct redirected out = {.fd = fd, .saved = fcntl(fd, F_DUPFD_CLOEXEC, 3), .file = tmpfile()};
    fflush(stdout);
    assert_true(dup2(fileno(out.file), fd) == fd);
    return out;
}

static void restore(struct redirected *redirected)
{
    fflush(stdout);
    dup2(redirected->saved, redirected->fd);
    close(redirected->saved);
    rewind(redirected->file);
    text[fread(text, 1, sizeof text - 1, redirected->file)] = '\0';
    fclose(redirected->file);
}

#define ARGC(argv) ((int)(sizeof(argv) / sizeof(argv)[0]))

static int parse(int argc, const char **argv)
{
    struct redirected redirected = redirect(STDERR_FILENO);
    int status = options_parse(&options, argv[0], argc, (char **)(uintptr_t)argv);
    restore(&redirected);
    return status;
}

static void test_values_flags_and_arguments(void **state)
{
    (void)state;
    const char *argv[] = {"run", "--running", "4", "--set=a=1", "graph.json", "--set", "b=--x", "--json"};
    assert_int_equal(parse(ARGC(argv), argv), 0);
    assert_string_equal(option_value(&options, "running"), "4");
    assert_string_equal(option_nth(&options, "set", 0), "a=1");
    assert_string_equal(option_nth(&options, "set", 1), "b=--x");
    assert_null(option_nth(&options, "set", 2));
    assert_true(option_set(&options, "json"));
    assert_false(option_set(&options, "no-color"));
    assert_int_equal(options.argument_count, 1);
    assert_string_equal(options.arguments[0], "graph.json");
}

static void test_two_dashes_end_the_options(void **state)
{
    (void)state;
    const char *argv[] = {"logs", "--stderr", "--", "--follow", "-"};
    assert_int_equal(parse(ARGC(argv), argv), 0);
    assert_int_equal(options.argument_count, 2);
    assert_string_equal(options.arguments[0], "--follow");
    assert_false(option_set(&options, "follow"));
    const char *dash[] = {"run", "-"};
    assert_int_equal(parse(2, dash), 0);
}

static void expect_complaint(int argc, const char **argv, const char *part)
{
    assert_int_equal(parse(argc, argv), -1);
    size_t length = strlen(text);
    assert_true(length > 0 && strchr(text, '\n') == text + length - 1); /* one line */
    if (strstr(text, part) == NULL || strstr(text, "--help'") == NULL)
        fail_msg("%s does not say %s", text, part);
}

static void test_complaints_are_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *argv[6];
        int argc;
        const char *part;
    } cases[] = {
        {{"run", "--runing", "4", "g"}, 4, "did you mean --running?"},
        {{"run", "--zzzzzzzzz", "g"}, 3, "unknown option --zzzzzzzzz"},
        {{"run", "--running"}, 2, "needs a value (N)"},
        {{"run", "--json=1", "g"}, 3, "takes no value"},
        {{"run", "--name", "a", "--name", "b", "g"}, 6, "given twice"},
        {{"run"}, 1, "GRAPH is missing"},
        {{"run", "a", "b"}, 3, "one argument too many: b"},
        {{"run", "-x", "g"}, 3, "unknown option -x"},
        {{"run", "--\033[31mevil\n", "g"}, 3, "unknown option --\\u001b[31mevil\\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_complaint(cases[i].argc, (const char **)(uintptr_t)cases[i].argv, cases[i].part);
}

static void test_numbers_and_durations(void **state)
{
    (void)state;
    long number = 7;
    long long duration_ms = 9;
    const char *argv[] = {"run", "--running", "12", "--run-timeout", "1h30m", "g"};
    assert_int_equal(parse(ARGC(argv), argv), 0);
    assert_int_equal(option_number(&options, "running", 1, 100, &number), 0);
    assert_int_equal(number, 12);
    assert_int_equal(option_duration(&options, "run-timeout", &duration_ms), 0);
    assert_int_equal(duration_ms, 5400000);
    struct redirected redirected = redirect(STDERR_FILENO);
    assert_int_equal(option_number(&options, "running", 1, 11, &number), -1);
    restore(&redirected);
    assert_non_null(strstr(text, "from 1 to 11"));
    const char *bad[] = {"run", "--running", "4x", "--run-timeout", "soon", "g"};
    assert_int_equal(parse(ARGC(bad), bad), 0);
    redirected = redirect(STDERR_FILENO);
    assert_int_equal(option_number(&options, "running", 1, 11, &number), -1);
    assert_int_equal(option_duration(&options, "run-timeout", &duration_ms), -1);
    restore(&redirected);
    const char *none[] = {"run", "g"};
    assert_int_equal(parse(2, none), 0);
    assert_int_equal(option_number(&options, "running", 1, 11, &number), 0);
    assert_int_equal(number, 12); /* stays */
}

static void test_too_many_options_and_arguments(void **state)
{
    (void)state;
    static const char *argv[OPTIONS_ARGUMENTS_MAX + 10];
    argv[0] = "run";
    for (int i = 1; i < OPTIONS_VALUES_MAX + 5; i++)
        argv[i] = "--set=a=b";
    expect_complaint(OPTIONS_VALUES_MAX + 5, argv, "more than 256 options");
    argv[0] = "validate";
    for (int i = 1; i < OPTIONS_ARGUMENTS_MAX + 5; i++)
        argv[i] = "g";
    expect_complaint(OPTIONS_ARGUMENTS_MAX + 5, argv, "more than 4096 arguments");
}

static void test_the_table_is_sound(void **state)
{
    (void)state;
    const char *group = NULL;
    for (const struct command_row *row = command_rows(); row->name != NULL || row->group != NULL; row++) {
        if (row->group != NULL)
            group = row->group;
        else
            assert_true(group != NULL && row->arguments_min <= row->arguments_max && strlen(row->name) < 12);
    }
    for (const struct option_row *row = option_rows(); row->command != NULL; row++) {
        assert_non_null(command_row(row->command));
        for (const struct option_row *other = row + 1; other->command != NULL; other++)
            assert_false(strcmp(row->command, other->command) == 0 && strcmp(row->name, other->name) == 0);
    }
}

static void check_columns(void)
{
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (length > 100)
            fail_msg("%zu columns: %.*s", length, (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static void test_help_fits_and_names_everything(void **state)
{
    (void)state;
    struct redirected redirected = redirect(STDOUT_FILENO);
    options_print_help(NULL);
    restore(&redirected);
    check_columns();
    for (const struct command_row *row = command_rows(); row->name != NULL || row->group != NULL; row++)
        if (row->name != NULL)
            assert_non_null(strstr(text, row->name));
    for (const struct command_row *row = command_rows(); row->name != NULL || row->group != NULL; row++) {
        if (row->name == NULL)
            continue;
        redirected = redirect(STDOUT_FILENO);
        options_print_help(row->name);
        restore(&redirected);
        check_columns();
        for (const struct option_row *option = option_rows(); option->command != NULL; option++)
            assert_true(strcmp(option->command, row->name) != 0 || strstr(text, option->name) != NULL);
    }
}

static void test_man_page(void **state)
{
    (void)state;
    struct redirected redirected = redirect(STDOUT_FILENO);
    options_print_man();
    restore(&redirected);
    assert_non_null(strstr(text, ".TH MAYFLY 1"));
    for (const char *line = text; *line != '\0';) { /* no text line is taken for a request */
        size_t length = strcspn(line, "\n");
        static const char *const known[] = {".TH ", ".SH ", ".SS ", ".TP", ".PP", ".B ", ".I ", ".RI ", ".BR ", ".nf", ".fi", ".RS", ".RE"};
        bool fine = line[0] != '.' && line[0] != '\'';
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            fine = fine || strncmp(line, known[i], strlen(known[i])) == 0;
        if (!fine)
            fail_msg("%.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static int dispatch(int argc, const char **argv, int fd)
{
    struct redirected redirected = redirect(fd);
    int code = options_dispatch(argc, (char **)(uintptr_t)argv);
    restore(&redirected);
    return code;
}

static void test_dispatch(void **state)
{
    (void)state;
    const char *version[] = {"mayfly", "--version"}, *unknown[] = {"mayfly", "shwo"}, *help[] = {"mayfly", "help", "run"};
    const char *ps[] = {"mayfly", "ps", "--help"}, *usage[] = {"mayfly", "ps", "--nope"};
    assert_int_equal(dispatch(2, version, STDOUT_FILENO), 0);
    assert_string_equal(text, "mayfly " MAYFLY_VERSION "\n");
    assert_int_equal(dispatch(2, unknown, STDERR_FILENO), 2);
    assert_non_null(strstr(text, "did you mean show?"));
    assert_int_equal(dispatch(3, help, STDOUT_FILENO), 0);
    assert_non_null(strstr(text, "Usage: mayfly run"));
    assert_int_equal(dispatch(3, ps, STDOUT_FILENO), 0);
    assert_non_null(strstr(text, "Usage: mayfly ps"));
    assert_int_equal(dispatch(3, usage, STDERR_FILENO), 2);
    assert_int_equal(dispatch(1, version, STDOUT_FILENO), 2); /* no command: help, but no success */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_flags_and_arguments),
        cmocka_unit_test(test_two_dashes_end_the_options),
        cmocka_unit_test(test_complaints_are_one_line),
        cmocka_unit_test(test_numbers_and_durations),
        cmocka_unit_test(test_too_many_options_and_arguments),
        cmocka_unit_test(test_the_table_is_sound),
        cmocka_unit_test(test_help_fits_and_names_everything),
        cmocka_unit_test(test_man_page),
        cmocka_unit_test(test_dispatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
