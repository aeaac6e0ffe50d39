/*
 * emulator/identity.h - where ids, token values and hashes come from
 *
 * With a seed everything is reproducible, token values too: then they are no secrets, which is what a test wants. Without
 * one they come from the system's generator.
 */
#ifndef MF_EMULATOR_IDENTITY_H
#define MF_EMULATOR_IDENTITY_H

#include "base/error.h"
#include "base/rng.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define EMU_HASH_BYTES 32u
#define EMU_HEX_ID_BYTES 33u    /* 32 hex and the terminator */
#define EMU_UUID_BYTES 37u      /* 36 characters and the terminator */
#define EMU_VALUE_BYTES 96u     /* prefix, mark, 40 random characters, checksum */
#define EMU_MARK_BYTES_MAX 24u

struct emu_identity;

/* `mark` (may be NULL) becomes part of every generated credential, so that a test can search for it everywhere. */
int emu_identity_create(struct emu_identity **out, bool seeded, uint64_t seed, const char *mark, struct mf_error *error);
void emu_identity_destroy(struct emu_identity *identity);

void emu_random(struct emu_identity *identity, void *out, size_t bytes);
uint64_t emu_random_u64(void *identity); /* in the form that pow_verify wants */
void emu_hex_id(struct emu_identity *identity, char out[EMU_HEX_ID_BYTES]);
void emu_uuid(struct emu_identity *identity, char out[EMU_UUID_BYTES]); /* version 4 */
/* prefix + mark + random characters, 40 together, + an 8-digit checksum over them. */
void emu_credential(struct emu_identity *identity, const char *prefix, char out[EMU_VALUE_BYTES]);

void emu_sha256(struct emu_identity *identity, struct mf_span data, uint8_t out[EMU_HASH_BYTES]);
/* HMAC-SHA-256 with a 32-byte key. */
void emu_hmac(const uint8_t key[EMU_HASH_BYTES], struct mf_span data, uint8_t out[EMU_HASH_BYTES]);

#endif
