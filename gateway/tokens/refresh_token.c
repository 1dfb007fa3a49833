#include "gateway/tokens/refresh_token.h"

#include <sodium.h>
#include <stdlib.h>

#include "gateway/base64url.h"

#define CHECK_LEN   16
#define TOKEN_BYTES (16 + 16 + 4 + REFRESH_SECRET_LEN)

struct refresh_tokens {
    uint8_t check_key[32], secret_key[32];
};

struct refresh_tokens *refresh_tokens_create(const uint8_t check_key[32], const uint8_t secret_key[32])
{
    struct refresh_tokens *t = mem_alloc(sizeof *t);
    memcpy(t->check_key, check_key, sizeof t->check_key);
    memcpy(t->secret_key, secret_key, sizeof t->secret_key);
    return t;
}

void refresh_tokens_destroy(struct refresh_tokens *t)
{
    if (t)
        sodium_memzero(t, sizeof *t);
    free(t);
}

static void token_bytes(const struct refresh_token *token, uint8_t ret[TOKEN_BYTES])
{
    memcpy(ret, token->session_id.bytes, 16);
    memcpy(ret + 16, token->user_id.bytes, 16);
    for (int i = 0; i < 4; i++)
        ret[32 + i] = (uint8_t)(token->generation >> (24 - 8 * i));
    memcpy(ret + 36, token->secret, REFRESH_SECRET_LEN);
}

static void token_check(const struct refresh_tokens *t, const uint8_t bytes[TOKEN_BYTES], uint8_t ret[CHECK_LEN])
{
    crypto_generichash(ret, CHECK_LEN, bytes, TOKEN_BYTES, t->check_key, sizeof t->check_key);
}

void refresh_token_draw(struct uuid session_id, struct uuid user_id, struct refresh_token *ret)
{
    *ret = (struct refresh_token){ .session_id = session_id, .user_id = user_id };
    randombytes_buf(ret->secret, sizeof ret->secret);
}

void refresh_token_next(const struct refresh_tokens *t, const struct refresh_token *presented, struct uuid command_id,
                        struct refresh_token *ret)
{
    uint8_t input[16 + REFRESH_HASH_LEN];
    memcpy(input, command_id.bytes, 16);
    refresh_token_hash(presented, input + 16);
    *ret = (struct refresh_token){ presented->session_id, presented->user_id, presented->generation + 1, { 0 } };
    crypto_generichash(ret->secret, sizeof ret->secret, input, sizeof input, t->secret_key, sizeof t->secret_key);
}

void refresh_token_format(const struct refresh_tokens *t, const struct refresh_token *token,
                          char ret_text[REFRESH_TOKEN_LEN + 1])
{
    uint8_t bytes[TOKEN_BYTES + CHECK_LEN];
    token_bytes(token, bytes);
    token_check(t, bytes, bytes + TOKEN_BYTES);
    base64url_encode(bytes, sizeof bytes, ret_text);
}

bool refresh_token_parse(const struct refresh_tokens *t, struct str text, struct refresh_token *ret)
{
    uint8_t bytes[TOKEN_BYTES + CHECK_LEN], check[CHECK_LEN];
    if (!base64url_decode(text, bytes, sizeof bytes))
        return false;
    token_check(t, bytes, check);
    if (sodium_memcmp(check, bytes + TOKEN_BYTES, CHECK_LEN) != 0)
        return false;
    memcpy(ret->session_id.bytes, bytes, 16);
    memcpy(ret->user_id.bytes, bytes + 16, 16);
    ret->generation = 0;
    for (int i = 0; i < 4; i++)
        ret->generation = ret->generation << 8 | bytes[32 + i];
    memcpy(ret->secret, bytes + 36, REFRESH_SECRET_LEN);
    return true;
}

void refresh_token_hash(const struct refresh_token *token, uint8_t ret_hash[REFRESH_HASH_LEN])
{
    uint8_t bytes[TOKEN_BYTES];
    token_bytes(token, bytes);
    crypto_generichash(ret_hash, REFRESH_HASH_LEN, bytes, sizeof bytes, NULL, 0);
}
