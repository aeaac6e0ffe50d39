/* document/template_private.h - the grammar of templates (private to document/) */
#ifndef MF_DOCUMENT_TEMPLATE_PRIVATE_H
#define MF_DOCUMENT_TEMPLATE_PRIVATE_H

#include "document/template.h"

#define TEMPLATE_PATH_BYTES_MAX 512

struct template_piece {
    bool is_path;
    struct mf_span text; /* literal text, or the path without braces and spaces around it */
};

struct template_path {
    enum template_root root;
    struct mf_span name;  /* PARAMS: the parameter, RESULT: the task; else empty */
    struct mf_span steps; /* what follows, without the first dot; may be empty */
};

/* Takes the next piece off a text. 1: a piece, 0: the end, -1: *fault says what is wrong with the text at *rest. */
int template_next(struct mf_span *rest, struct template_piece *piece, const char **fault);
/* Splits a path. -1: *fault says what is wrong. */
int template_parse_path(struct mf_span path, struct template_path *out, const char **fault);
/* The path when the text is one template as a whole. */
bool template_is_whole(struct mf_span text, struct mf_span *path);
/* The node that steps lead to from the root of a document, or JSON_NONE. */
uint32_t template_walk(const struct json_document *document, struct mf_span steps);

#endif
