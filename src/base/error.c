/* error.c - one error object, raised in one line, wrapped with context by callers */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0))) static void fill(struct mf_error *error, enum mf_code code, int os_errno, const char *format, va_list arguments)
{
    error->code = code;
    error->os_errno = os_errno;
    vsnprintf(error->text, sizeof error->text, format, arguments);
}

int mf_fail(struct mf_error *error, enum mf_code code, const char *format, ...)
{
    if (error == NULL)
        return -1;
    va_list arguments;
    va_start(arguments, format);
    fill(error, code, 0, format, arguments);
    va_end(arguments);
    return -1;
}

int mf_fail_os(struct mf_error *error, int os_errno, const char *format, ...)
{
    if (error == NULL)
        return -1;
    va_list arguments;
    va_start(arguments, format);
    fill(error, MF_OS, os_errno, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->text);
    snprintf(error->text + used, sizeof error->text - used, ": %s", strerror(os_errno));
    return -1;
}

int mf_wrap(struct mf_error *error, const char *format, ...)
{
    if (error == NULL)
        return -1;
    char inner[MF_ERROR_TEXT_MAX];
    memcpy(inner, error->text, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->text);
    snprintf(error->text + used, sizeof error->text - used, ": %s", inner);
    return -1;
}

const char *mf_code_name(enum mf_code code)
{
    static const char *const names[] = {
#define X(code, name, text) [MF_##code] = name,
        MF_CODES(X)
#undef X
    };
    return (size_t)code < sizeof names / sizeof names[0] ? names[code] : "internal";
}
