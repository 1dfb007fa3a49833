/* sealed: one sealed value. Layout and associated data are in vault.h. */
#include <assert.h>
#include <sodium.h>

#include "schemas/vault.h"

#define FORMAT    0x01
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN   crypto_aead_xchacha20poly1305_ietf_ABYTES

static_assert(SEALED_OVERHEAD == 1 + NONCE_LEN + TAG_LEN, "the sealed format");
static_assert(VAULT_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "the cipher's key");

#define MAX_FIELD 64

struct associated {
    uint8_t bytes[sizeof(struct uuid) + MAX_FIELD];
    size_t len;
};

static struct associated associated_with(struct uuid subject, struct str field)
{
    struct associated a = { .len = sizeof subject + field.len };
    assert(field.len <= MAX_FIELD);
    memcpy(a.bytes, subject.bytes, sizeof subject);
    memcpy(a.bytes + sizeof subject, field.ptr, field.len);
    return a;
}

static err not_fetched(struct str field)
{
    return err_set(RETRY, "the key of field %.*s's subject is not fetched, or no longer kept", (int)field.len,
                   field.ptr);
}

err sealed_seal(struct vault *v, struct uuid subject, struct str field, struct sealed *s, struct arena *arena)
{
    uint8_t key[VAULT_KEY_LEN];
    switch (vault_key(v, subject, key)) {
    case VAULT_UNKNOWN:
        return not_fetched(field);
    case VAULT_ERASED:
        return err_set(REJECT, "the subject of field %.*s is erased; nothing can be sealed for it", (int)field.len,
                       field.ptr);
    case VAULT_FOUND:
        break;
    }
    size_t len = SEALED_OVERHEAD + s->clear.len;
    uint8_t *cipher = arena_alloc_raw(arena, len);
    cipher[0] = FORMAT;
    randombytes_buf(cipher + 1, NONCE_LEN);
    struct associated a = associated_with(subject, field);
    crypto_aead_xchacha20poly1305_ietf_encrypt(cipher + 1 + NONCE_LEN, NULL, (const uint8_t *)s->clear.ptr,
                                               s->clear.len, a.bytes, a.len, NULL, cipher + 1, key);
    sodium_memzero(key, sizeof key);
    s->cipher = (struct str){ (const char *)cipher, len };
    s->state = OPEN;
    return OK;
}

err sealed_open(struct vault *v, struct uuid subject, struct str field, struct sealed *s, struct arena *arena)
{
    uint8_t key[VAULT_KEY_LEN];
    enum vault_lookup found = vault_key(v, subject, key);
    if (found == VAULT_UNKNOWN)
        return not_fetched(field);
    s->clear = (struct str){ 0 };
    s->state = ERASED;
    const uint8_t *cipher = (const uint8_t *)s->cipher.ptr;
    if (found == VAULT_FOUND && s->cipher.len >= SEALED_OVERHEAD && cipher[0] == FORMAT) {
        size_t len = s->cipher.len - SEALED_OVERHEAD;
        uint8_t *clear = arena_alloc_raw(arena, len + 1);
        struct associated a = associated_with(subject, field);
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(clear, NULL, NULL, cipher + 1 + NONCE_LEN, len + TAG_LEN,
                                                       a.bytes, a.len, cipher + 1, key) == 0) {
            clear[len] = '\0';
            s->clear = (struct str){ (const char *)clear, len };
            s->state = OPEN;
        }
    }
    sodium_memzero(key, sizeof key);
    return OK;
}
