/*
 * emulator/multipart.h - multipart/form-data bodies, part by part, without copies (RFC 7578)
 */
#ifndef MF_EMULATOR_MULTIPART_H
#define MF_EMULATOR_MULTIPART_H

#include "base/str.h"

#include <stdbool.h>

struct emu_part {
    struct mf_span name, file_name, content_type; /* empty when absent */
    struct mf_span data;
};

struct emu_multipart {
    struct mf_span rest;
    char delimiter[80]; /* CRLF, two dashes, boundary of at most 70 characters */
};

/* -1 when there is no boundary, in the content type or at least in the first line, or the body does not begin with it. */
int emu_multipart_begin(struct emu_multipart *multipart, struct mf_span content_type, struct mf_span body);
/* 1 and a part, 0 at the end, -1 when the body is not well formed. */
int emu_multipart_next(struct emu_multipart *multipart, struct emu_part *out);
/* The first part of a name, or of a file's name where no part has it; false when there is none. */
bool emu_multipart_find(struct mf_span content_type, struct mf_span body, const char *name, struct emu_part *out);

#endif
