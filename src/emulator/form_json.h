/*
 * emulator/form_json.h - JSON that a client took apart into form fields: name[key][][key]
 *
 * Cloudflare's own client sends the metadata of an upload that way, and the real service takes it.
 */
#ifndef MF_EMULATOR_FORM_JSON_H
#define MF_EMULATOR_FORM_JSON_H

#include "base/buf.h"

/*
 * Appends the object that the fields `name[...]` of a multipart body make; 0 when there are none, 1, or -1 when they
 * are too many, too deep or contradict each other. `true` and `false` become booleans, everything else a string.
 */
int emu_form_json(struct mf_span content_type, struct mf_span body, const char *name, struct mf_buf *out);

#endif
