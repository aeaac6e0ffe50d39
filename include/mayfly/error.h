/*
 * mayfly/error.h - one error object, raised in one line, wrapped with context by callers
 *
 * A function that can fail returns 0 or -1 (or a pointer or NULL) and fills the error object that its caller owns. The
 * caller may pass NULL when it does not want the text. Messages are lower case, object first, without a final period,
 * and never contain a secret.
 */
#ifndef MAYFLY_ERROR_H
#define MAYFLY_ERROR_H

#include <stddef.h>

/* code, name in JSON output, what it means */
#define MF_CODES(X)                                                                                                   \
    X(NONE, "none", "no error")                                                                                       \
    X(USAGE, "usage", "the command line is off")                                                                      \
    X(INPUT, "input", "a file that the user gave is not valid")                                                       \
    X(LIMIT, "limit", "a documented limit was exceeded")                                                              \
    X(MEMORY, "memory", "no memory")                                                                                  \
    X(OS, "os", "a system call failed; os_errno says how")                                                            \
    X(STATE, "state", "the state directory or a run database is unusable")                                            \
    X(LOCKED, "locked", "another process holds the lock")                                                             \
    X(NOT_FOUND, "not_found", "the named thing does not exist")                                                       \
    X(PROTOCOL, "protocol", "a peer broke the protocol")                                                              \
    X(NETWORK, "network", "a connection failed or an answer did not arrive")                                          \
    X(PROVIDER, "provider", "the provider refused or answered nonsense")                                              \
    X(CRYPTO, "crypto", "a cryptographic operation failed")                                                           \
    X(SANDBOX, "sandbox", "the sandbox cannot be given as asked")                                                     \
    X(INTERNAL, "internal", "a bug in mayfly")

enum mf_code {
#define X(code, name, text) MF_##code,
    MF_CODES(X)
#undef X
};

/* Longest message kept, terminator included: three paths of a usual length and a sentence. */
#define MF_ERROR_TEXT_MAX 1024

struct mf_error {
    enum mf_code code;
    int os_errno; /* 0 unless code is MF_OS or a caller kept the cause */
    char text[MF_ERROR_TEXT_MAX];
};

/* Fills *error (may be NULL) and returns -1, so that a raiser reads `return mf_fail(...)`. */
int mf_fail(struct mf_error *error, enum mf_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As mf_fail, with code MF_OS, the given errno kept and ": strerror" appended. */
int mf_fail_os(struct mf_error *error, int os_errno, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text that is there and returns -1. Safe on NULL. */
int mf_wrap(struct mf_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The machine-readable name of a code, never NULL. */
const char *mf_code_name(enum mf_code code);

#endif
