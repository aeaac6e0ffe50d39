/* app_credential.c - unit tests of app/credential.c: real files, variables and programs */
#include "app/credential.h"
#include "net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/mayfly-unit-XXXXXX";

static const char *file_with(const char *name, const char *text, mode_t mode)
{
    static char source[128];
    snprintf(source, sizeof source, "file:%s/%s", directory, name);
    FILE *file = fopen(source + 5, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(source + 5, mode), 0);
    return source;
}

static void reads(const char *source, const char *wanted)
{
    struct mf_buf value;
    struct mf_error error = {0};
    mf_buf_init_secret(&value, 16384);
    if (credential_read(source, &value, &error) != 0)
        fail_msg("%s: %s", source, error.text);
    assert_string_equal(mf_buf_cstr(&value), wanted);
    mf_buf_free(&value);
}

/* The text names what is wrong and never holds the value. */
static void refused(const char *source, const char *reason)
{
    struct mf_buf value;
    struct mf_error error = {0};
    mf_buf_init_secret(&value, 16384);
    assert_int_equal(credential_read_within(source, 300, &value, &error), -1);
    if (strstr(error.text, reason) == NULL)
        fail_msg("`%s` does not say `%s`", error.text, reason);
    assert_null(strstr(error.text, "hunter2"));
    mf_buf_free(&value);
}

static void test_form(void **state)
{
    (void)state;
    assert_null(credential_fault("env:A"));
    assert_null(credential_fault("file:/x"));
    assert_null(credential_fault("command:[\"x\"]"));
    assert_non_null(credential_fault("env:"));
    assert_non_null(credential_fault("file:"));
    assert_non_null(credential_fault(""));
    assert_non_null(credential_fault("hunter2"));
    refused("hunter2", "env:VARIABLE or file:PATH");
}

static void test_file(void **state)
{
    (void)state;
    char through[160], target[160];
    reads(file_with("plain", "value\n", 0600), "value");
    reads(file_with("dos", "value\r\n\n", 0400), "value");
    reads(file_with("bare", "value", 0600), "value");
    refused(file_with("group", "hunter2", 0640), "chmod 600");
    refused(file_with("world", "hunter2", 0604), "chmod 600");
    refused(file_with("empty", "", 0600), "gives no value");
    refused(file_with("lines", "\n\n", 0600), "gives no value");
    snprintf(target, sizeof target, "%s/plain", directory);
    snprintf(through, sizeof through, "file:%s/link", directory);
    assert_int_equal(symlink(target, through + 5), 0);
    refused(through, "open");
    snprintf(through, sizeof through, "file:%s/pipe", directory);
    assert_int_equal(mkfifo(through + 5, 0600), 0);
    refused(through, "not a regular file");
    snprintf(through, sizeof through, "file:%s", directory);
    refused(through, "not a regular file");
    refused("file:/none/there", "open");
}

static void test_characters(void **state)
{
    (void)state;
    refused(file_with("space", "hunter2 hunter2", 0600), "no header may carry");
    refused(file_with("inner", "hunter2\nhunter2", 0600), "no header may carry");
    refused(file_with("return", "hunter2\rX-Other: 1", 0600), "no header may carry");
    refused(file_with("latin", "hunter2\xe9", 0600), "no header may carry");
    refused(file_with("delete", "hunter2\x7f", 0600), "no header may carry");
    char *big = calloc(1, 20001);
    assert_non_null(big);
    memset(big, 'x', 20000);
    refused(file_with("big", big, 0600), "too long");
    free(big);
}

static void test_variable(void **state)
{
    (void)state;
    assert_int_equal(setenv("MAYFLY_UNIT_TOKEN", "value", 1), 0);
    reads("env:MAYFLY_UNIT_TOKEN", "value");
    assert_null(getenv("MAYFLY_UNIT_TOKEN"));
    refused("env:MAYFLY_UNIT_TOKEN", "`MAYFLY_UNIT_TOKEN` is not set");
    assert_int_equal(setenv("MAYFLY_UNIT_TOKEN", "hunter2 ", 1), 0);
    refused("env:MAYFLY_UNIT_TOKEN", "no header may carry");
    assert_null(getenv("MAYFLY_UNIT_TOKEN"));
}

static void test_command(void **state)
{
    (void)state;
    reads("command:[\"printf\",\"value\\n\"]", "value");
    reads("command:[\"sh\",\"-c\",\"cat; echo value; echo noise >&2\"]", "value"); /* stdin is empty */
    refused("command:[\"printf\",\"hunter2 $(id)\"]", "no header may carry");       /* no shell: the text is as written */
    refused("command:[\"sh\",\"-c\",\"echo hunter2; exit 3\"]", "status 3");
    refused("command:[\"sh\",\"-c\",\"kill -9 $$\"]", "status 137");
    refused("command:[\"/none/there\"]", "start `/none/there`");
    refused("command:[\"true\"]", "gives no value");
    refused("command:[]", "the command is empty");
    refused("command:[\"x\"", "credential command");
}

static void test_command_time(void **state)
{
    (void)state;
    int64_t start_ms = net_now_ms();
    refused("command:[\"sleep\",\"100\"]", "in time");
    refused("command:[\"sh\",\"-c\",\"echo hunter2; exec >&-; exec sleep 100\"]", "did not end in time");
    assert_true(net_now_ms() - start_ms < 20000);
}

static int open_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),     cmocka_unit_test(test_file),    cmocka_unit_test(test_characters),
        cmocka_unit_test(test_variable), cmocka_unit_test(test_command), cmocka_unit_test(test_command_time),
    };
    return cmocka_run_group_tests(tests, open_directory, remove_directory);
}
