/* seal.c - sealed values: AES-256-GCM under the state directory's key */
#include "store/seal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_BYTES 32
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define FORMAT 1

/* The key lies alone in locked pages that no core dump and no child gets. */
struct seal_key {
    unsigned char bytes[KEY_BYTES];
};

static int random_bytes(void *out, size_t bytes)
{
    for (size_t filled = 0; filled < bytes;) {
        ssize_t got = getrandom((unsigned char *)out + filled, bytes - filled, 0);
        if (got < 0 && errno != EINTR)
            return -1;
        filled += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static struct seal_key *key_pages(void)
{
    struct seal_key *key = mmap(NULL, sizeof *key, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (key == MAP_FAILED)
        return NULL;
    madvise(key, sizeof *key, MADV_DONTDUMP);
    madvise(key, sizeof *key, MADV_WIPEONFORK);
    mlock(key, sizeof *key); /* a low RLIMIT_MEMLOCK is no reason to fail: doctor speaks of swap */
    return key;
}

void seal_key_close(struct seal_key *key)
{
    if (key == NULL)
        return;
    mf_wipe(key, sizeof *key);
    munmap(key, sizeof *key);
}

static int make_key(int dir_fd, const char *name, struct mf_error *error)
{
    unsigned char bytes[KEY_BYTES];
    if (random_bytes(bytes, sizeof bytes) != 0)
        return mf_fail_os(error, errno, "random numbers");
    struct mf_error cause = {0};
    int status = files_publish(dir_fd, name, (struct mf_span){(const char *)bytes, sizeof bytes}, &cause);
    mf_wipe(bytes, sizeof bytes);
    if (status != 0 && cause.os_errno != EEXIST) /* somebody was faster: take his */
        return mf_fail_os(error, cause.os_errno, "%s: cannot make", name);
    return 0;
}

static int read_key(int dir_fd, const char *name, struct seal_key *key, struct mf_error *error)
{
    struct stat status;
    if (files_check_name(dir_fd, name, name, error) != 0)
        return -1;
    if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && (status.st_mode & 077) != 0)
        return mf_fail(error, MF_STATE, "%s: others may read it: run chmod 600 on it", name);
    struct mf_buf text;
    mf_buf_init_secret(&text, KEY_BYTES + 1);
    int result = files_read(dir_fd, name, &text, error);
    if (result == 0 && text.length != KEY_BYTES)
        result = mf_fail(error, MF_STATE, "%s: is not %d bytes long: sealed credentials cannot be opened without the right key", name,
                         KEY_BYTES);
    if (result == 0)
        memcpy(key->bytes, text.data, KEY_BYTES);
    mf_buf_free(&text);
    return result;
}

static int load(int dir_fd, const char *name, bool create, struct seal_key *key, struct mf_error *error)
{
    struct mf_error cause = {0};
    int status = read_key(dir_fd, name, key, &cause);
    if (status != 0 && cause.code == MF_NOT_FOUND && create) {
        if (make_key(dir_fd, name, error) != 0)
            return -1;
        status = read_key(dir_fd, name, key, &cause);
    }
    return status == 0 ? 0 : mf_fail(error, cause.code == MF_NOT_FOUND ? MF_STATE : cause.code, "%s", cause.text);
}

int seal_key_open(struct seal_key **out, const char *path, bool create, struct mf_error *error)
{
    const char *slash = strrchr(path, '/');
    char directory[PATH_MAX];
    int length = snprintf(directory, sizeof directory, "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1, slash != NULL ? path : ".");
    if (length < 0 || (size_t)length >= sizeof directory)
        return mf_fail(error, MF_STATE, "key: path too long");
    int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return mf_fail_os(error, errno, "%s", directory);
    struct seal_key *key = key_pages();
    int status = key != NULL ? load(dir_fd, slash != NULL ? slash + 1 : path, create, key, error)
                             : mf_fail(error, MF_MEMORY, "key: no memory");
    close(dir_fd);
    if (status != 0) {
        seal_key_close(key);
        return mf_wrap(error, "%s", directory);
    }
    *out = key;
    return 0;
}

static bool encrypt(EVP_CIPHER_CTX *cipher, const struct seal_key *key, struct mf_span context, struct mf_span value, unsigned char *out)
{
    unsigned char *nonce = out + 1, *text = nonce + NONCE_BYTES, *tag = text + value.length;
    int length;
    out[0] = FORMAT;
    return random_bytes(nonce, NONCE_BYTES) == 0 &&
           EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, nonce) == 1 &&
           EVP_EncryptUpdate(cipher, NULL, &length, (const unsigned char *)context.data, (int)context.length) == 1 &&
           EVP_EncryptUpdate(cipher, text, &length, (const unsigned char *)value.data, (int)value.length) == 1 &&
           EVP_EncryptFinal_ex(cipher, tag, &length) == 1 && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1;
}

int seal_value(const struct seal_key *key, struct mf_span context, struct mf_span value, struct mf_buf *out, struct mf_error *error)
{
    if (value.length > SEAL_VALUE_BYTES_MAX)
        return mf_fail(error, MF_LIMIT, "secret: above %u bytes", SEAL_VALUE_BYTES_MAX);
    if (mf_buf_reserve(out, value.length + SEAL_OVERHEAD_BYTES) != 0)
        return mf_fail(error, MF_MEMORY, "secret: no memory");
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    if (cipher == NULL)
        return mf_fail(error, MF_MEMORY, "secret: no memory");
    bool done = encrypt(cipher, key, context, value, (unsigned char *)out->data + out->length);
    EVP_CIPHER_CTX_free(cipher);
    if (!done)
        return mf_fail(error, MF_CRYPTO, "secret: AES-256-GCM failed");
    out->length += value.length + SEAL_OVERHEAD_BYTES;
    return 0;
}

static bool decrypt(EVP_CIPHER_CTX *cipher, const struct seal_key *key, struct mf_span context, const unsigned char *sealed, size_t text_bytes,
                    unsigned char *out)
{
    const unsigned char *nonce = sealed + 1, *text = nonce + NONCE_BYTES;
    unsigned char tag[TAG_BYTES];
    memcpy(tag, text + text_bytes, TAG_BYTES);
    int length;
    return EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, nonce) == 1 &&
           EVP_DecryptUpdate(cipher, NULL, &length, (const unsigned char *)context.data, (int)context.length) == 1 &&
           EVP_DecryptUpdate(cipher, out, &length, text, (int)text_bytes) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(cipher, out + text_bytes, &length) == 1;
}

int seal_open(const struct seal_key *key, struct mf_span context, struct mf_span sealed, struct mf_buf *out, struct mf_error *error)
{
    mf_assert(out->secret);
    if (sealed.length < SEAL_OVERHEAD_BYTES || sealed.length > SEAL_VALUE_BYTES_MAX + SEAL_OVERHEAD_BYTES || sealed.data[0] != FORMAT)
        return mf_fail(error, MF_CRYPTO, "secret: is no sealed value of this version");
    size_t text_bytes = sealed.length - SEAL_OVERHEAD_BYTES;
    if (mf_buf_reserve(out, text_bytes) != 0)
        return mf_fail(error, MF_MEMORY, "secret: no memory");
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    if (cipher == NULL)
        return mf_fail(error, MF_MEMORY, "secret: no memory");
    unsigned char *text = (unsigned char *)out->data + out->length;
    bool done = decrypt(cipher, key, context, (const unsigned char *)sealed.data, text_bytes, text);
    EVP_CIPHER_CTX_free(cipher);
    if (!done) {
        mf_wipe(text, text_bytes); /* unauthenticated plain text */
        return mf_fail(error, MF_CRYPTO, "secret: cannot be opened: it was changed, or sealed with another key");
    }
    out->length += text_bytes;
    out->data[out->length] = '\0';
    return 0;
}
