#include "gateway/cursor.h"

#include <sodium.h>
#include <stdlib.h>

#include "gateway/base64url.h"

struct cursors {
    uint8_t key[32];
};

struct cursors *cursors_create(const uint8_t key[32])
{
    struct cursors *c = mem_alloc(sizeof *c);
    memcpy(c->key, key, sizeof c->key);
    return c;
}

void cursors_destroy(struct cursors *c)
{
    if (c)
        sodium_memzero(c, sizeof *c);
    free(c);
}

static void cursor_check(const struct cursors *c, struct str list, struct uuid position, uint8_t ret_check[16])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, c->key, sizeof c->key, 16);
    crypto_generichash_update(&state, position.bytes, 16);
    crypto_generichash_update(&state, (const uint8_t *)list.ptr, list.len);
    crypto_generichash_final(&state, ret_check, 16);
}

void cursor_format(const struct cursors *c, struct str list, struct uuid position, char ret_text[CURSOR_LEN + 1])
{
    uint8_t bytes[32];
    memcpy(bytes, position.bytes, 16);
    cursor_check(c, list, position, bytes + 16);
    base64url_encode(bytes, sizeof bytes, ret_text);
}

bool cursor_parse(const struct cursors *c, struct str list, struct str text, struct uuid *ret_position)
{
    uint8_t bytes[32], check[16];
    if (!base64url_decode(text, bytes, sizeof bytes))
        return false;
    struct uuid position;
    memcpy(position.bytes, bytes, 16);
    cursor_check(c, list, position, check);
    if (sodium_memcmp(check, bytes + 16, sizeof check) != 0)
        return false;
    *ret_position = position;
    return true;
}
