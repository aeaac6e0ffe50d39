/*
 * store/files.h - small files and directories by descriptor, never through a link
 *
 * All of them are ours alone: a foreign owner, a second name (hard link) or a file that others may write is refused, because
 * somebody else could have put it there.
 */
#ifndef MF_STORE_FILES_H
#define MF_STORE_FILES_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* -1 with MF_STATE and advice unless the open directory belongs to us and nobody else may write it. */
int files_check_directory(int fd, const char *shown, struct mf_error *error);
/* The same for an open regular file with one name. */
int files_check_file(int fd, const char *shown, struct mf_error *error);
/* The same by name, without opening: SQLite's locks do not survive a foreign close of its file. MF_NOT_FOUND: no such file. */
int files_check_name(int dir_fd, const char *name, const char *shown, struct mf_error *error);
/* -1 with MF_STATE and advice when the descriptor lies on a network file system: no locks, no durable writes there. */
int files_check_local(int fd, const char *shown, struct mf_error *error);

/* Reads a whole file of at most out->bytes_max bytes. -1 with MF_NOT_FOUND when there is none. */
int files_read(int dir_fd, const char *name, struct mf_buf *out, struct mf_error *error);
/* Writes a file (0600) so that a reader sees the old or the new text, also over a power loss. */
int files_replace(int dir_fd, const char *name, struct mf_span text, struct mf_error *error);
/* Makes a file (0600) that must not exist yet, whole or not at all. -1 with os_errno EEXIST when somebody was faster. */
int files_publish(int dir_fd, const char *name, struct mf_span text, struct mf_error *error);

/* Takes an OFD write lock on a file (made when missing). -1 with MF_LOCKED when somebody holds it; `wait` waits for it. */
int files_lock(int dir_fd, const char *name, bool wait, int *out, struct mf_error *error);
/* Somebody holds that lock. */
bool files_locked(int dir_fd, const char *name);

int files_write_all(int fd, const void *data, size_t bytes); /* -1 with errno */
/* Lower-case letters and digits from the kernel's generator, unbiased; `out` takes count + 1. */
int files_random_name(char *out, size_t count, struct mf_error *error);

#endif
