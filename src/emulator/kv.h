/* emulator/kv.h - what api_kv.c (single keys) and api_kv_bulk.c share */
#ifndef MF_EMULATOR_KV_H
#define MF_EMULATOR_KV_H

#include "emulator/call.h"

struct emu_kv_entry {
    struct mf_span name, value, metadata; /* metadata: JSON text or empty */
    int64_t expires_ms;
};

/* The namespace of the path; NULL with the call failed. */
struct emu_object *emu_kv_find(struct emu_call *call);
/* A key that has not expired; NULL when there is none. */
struct emu_object *emu_kv_key(struct emu_call *call, struct emu_object *namespace, struct mf_span name);
/* Writes one key; -1 with the call failed. */
int emu_kv_store(struct emu_call *call, struct emu_object *namespace, const struct emu_kv_entry *entry);
/* From seconds since the epoch and a time to live (0: not given); -1 with the call failed. */
int emu_kv_expiration(struct emu_call *call, int64_t at_seconds, int64_t ttl_seconds, int64_t *out);

#endif
