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

#define CHECK_LEN 16

static void cursor_check(const struct cursors *c, struct str list, const uint8_t *position, size_t len,
                         uint8_t ret_check[CHECK_LEN])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, c->key, sizeof c->key, CHECK_LEN);
    crypto_generichash_update(&state, position, len);
    crypto_generichash_update(&state, (const uint8_t *)list.ptr, list.len);
    crypto_generichash_final(&state, ret_check, CHECK_LEN);
}

/* The check stands behind the position. */
static bool cursor_is_good(const struct cursors *c, struct str list, const uint8_t *bytes, size_t len)
{
    uint8_t check[CHECK_LEN];
    cursor_check(c, list, bytes, len, check);
    return sodium_memcmp(check, bytes + len, sizeof check) == 0;
}

void cursor_format(const struct cursors *c, struct str list, struct uuid position, char ret_text[CURSOR_LEN + 1])
{
    uint8_t bytes[16 + CHECK_LEN];
    memcpy(bytes, position.bytes, 16);
    cursor_check(c, list, bytes, 16, bytes + 16);
    base64url_encode(bytes, sizeof bytes, ret_text);
}

bool cursor_parse(const struct cursors *c, struct str list, struct str text, struct uuid *ret_position)
{
    uint8_t bytes[16 + CHECK_LEN];
    if (!base64url_decode(text, bytes, sizeof bytes) || !cursor_is_good(c, list, bytes, 16))
        return false;
    memcpy(ret_position->bytes, bytes, 16);
    return true;
}

/* Its length is checked, too, so that no byte moves between position and list. */
static struct str list_of_text(struct arena *arena, struct str list, size_t len)
{
    return str_of(arena_printf(arena, "%zu:%.*s", len, (int)list.len, list.ptr));
}

struct str cursor_format_text(const struct cursors *c, struct arena *arena, struct str list, struct str position)
{
    uint8_t *bytes = arena_alloc_raw(arena, position.len + CHECK_LEN);
    char *text = arena_alloc_raw(arena, BASE64URL_LEN(position.len + CHECK_LEN) + 1);
    memcpy(bytes, position.ptr, position.len);
    cursor_check(c, list_of_text(arena, list, position.len), bytes, position.len, bytes + position.len);
    base64url_encode(bytes, position.len + CHECK_LEN, text);
    return str_of(text);
}

bool cursor_parse_text(const struct cursors *c, struct arena *arena, struct str list, struct str text,
                       struct str *ret_position)
{
    size_t all = text.len * 3 / 4; /* without padding every length of bytes has a length of its own */
    if (all < CHECK_LEN || all > CURSOR_TEXT_MAX + CHECK_LEN)
        return false;
    size_t len = all - CHECK_LEN;
    uint8_t *bytes = arena_alloc_raw(arena, all);
    if (!base64url_decode(text, bytes, all) || !cursor_is_good(c, list_of_text(arena, list, len), bytes, len))
        return false;
    *ret_position = (struct str){ (const char *)bytes, len };
    return true;
}
