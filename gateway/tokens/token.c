#include "gateway/tokens/token.h"

#include <errno.h>
#include <jwt.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "gateway/base64url.h"
#include "gateway/gateway.h"
#include "gateway/resources.h"
#include "gateway/tokens/keys.h"
#include "ops/runtime/clock.h"

#define TOKEN_MAX_LEN  2048 /* ours have about 500 bytes; longer ones are not looked at */
#define SECRET_MIN_LEN 32
#define SECRET_MAX_LEN 256
#define SIGNATURE_TEXT BASE64URL_LEN(KEY_SIGNATURE_LEN)

/* The memory of checked tokens: sets of four under the token's hash, a lock for every eighth set. */
#define CACHE_SETS  1024
#define CACHE_WAYS  4
#define CACHE_LOCKS 128

struct checked {
    uint8_t hash[32];
    struct claims claims; /* expires_at 0: empty */
    const struct key *key;
};

struct tokens {
    struct keys *keys;
    const char *issuer, *audience;
    int64_t access_ttl_s, refresh_ttl_s, session_max_s;
    uint8_t derive_key[crypto_kdf_KEYBYTES];
    struct {
        pthread_mutex_t lock;
        unsigned next; /* the way to overwrite when none has expired */
    } locks[CACHE_LOCKS];
    struct checked sets[CACHE_SETS][CACHE_WAYS];
};

const struct setting token_settings[] = {
    { "auth.secret", SETTING_SECRET, .def = NULL, .min = 44, .max = 344,
      .doc = "Root of the keys of refresh tokens, cursors and request hashes: at least 32 random bytes in base64, the "
             "same for every gateway." },
    { "auth.issuer", SETTING_TEXT, .def = "aether", .min = 1, .max = 128, .doc = "iss of access tokens." },
    { "auth.audience", SETTING_TEXT, .def = "aether-api", .min = 1, .max = 128, .doc = "aud of access tokens." },
    { "auth.access_ttl_s", SETTING_INT, .def = "900", .min = 5, .max = 86400, .unit = "s",
      .doc = "How long an access token is valid." },
    { "auth.refresh_ttl_s", SETTING_INT, .def = "604800", .min = 60, .max = 31536000, .unit = "s",
      .doc = "How long a refresh token is valid." },
    { "auth.session_max_s", SETTING_INT, .def = "7776000", .min = 5, .max = 315360000, .unit = "s",
      .doc = "How long a session lasts, however often it is refreshed; then the person logs in anew." },
    { 0 },
};

static const struct {
    uint32_t bit;
    const char *name;
} role_names[] = { { ROLE_USER, "user" }, { ROLE_MODERATOR, "moderator" }, { ROLE_ADMIN, "admin" } };

#define ROLE_NAMES (sizeof role_names / sizeof *role_names)

static err secret_read(const struct config *config, uint8_t ret_key[crypto_kdf_KEYBYTES])
{
    const char *text = config_text(config, "auth.secret");
    uint8_t secret[SECRET_MAX_LEN];
    size_t len;
    if (sodium_base642bin(secret, sizeof secret, text, strlen(text), NULL, &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return err_set(FATAL, "auth.secret is not base64; make one with: openssl rand -base64 32");
    if (len < SECRET_MIN_LEN)
        return err_set(FATAL, "auth.secret has %zu bytes; at least %d are needed: openssl rand -base64 32", len,
                       SECRET_MIN_LEN);
    crypto_generichash(ret_key, crypto_kdf_KEYBYTES, secret, len, (const uint8_t *)"aether.derive", 13);
    sodium_memzero(secret, sizeof secret);
    return OK;
}

err tokens_create(const struct config *config, struct tokens **ret)
{
    struct tokens *t = mem_alloc(sizeof *t);
    t->issuer = config_text(config, "auth.issuer");
    t->audience = config_text(config, "auth.audience");
    t->access_ttl_s = config_int(config, "auth.access_ttl_s");
    t->refresh_ttl_s = config_int(config, "auth.refresh_ttl_s");
    t->session_max_s = config_int(config, "auth.session_max_s");
    for (size_t i = 0; i < CACHE_LOCKS; i++)
        pthread_mutex_init(&t->locks[i].lock, NULL);
    err e = secret_read(config, t->derive_key);
    if (e == OK)
        e = keys_create(config, &t->keys);
    if (e != OK) {
        tokens_destroy(t);
        return e;
    }

    *ret = t;
    return OK;
}

void tokens_destroy(struct tokens *t)
{
    if (!t)
        return;
    keys_destroy(t->keys);
    for (size_t i = 0; i < CACHE_LOCKS; i++)
        pthread_mutex_destroy(&t->locks[i].lock);
    sodium_memzero(t, sizeof *t);
    free(t);
}

int64_t token_session_max_s(const struct tokens *t)
{
    return t->session_max_s;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t token_session_end(const struct tokens *t, struct uuid session)
{
    return uuid_v7_time(session) + t->session_max_s * 1000;
}

int64_t token_refresh_end(const struct tokens *t, struct uuid session, int64_t now_ms)
{
    return earlier(now_ms + t->refresh_ttl_s * 1000, token_session_end(t, session));
}

int64_t token_access_end(const struct tokens *t, const struct claims *claims, int64_t now_ms)
{
    const int64_t end_s = token_session_end(t, claims->session_id) / 1000;
    return earlier(now_ms / 1000 + t->access_ttl_s, end_s) * 1000;
}

void token_derive_key(const struct tokens *t, const char purpose[8], uint8_t ret_key[32])
{
    crypto_kdf_derive_from_key(ret_key, 32, 1, purpose, t->derive_key);
}

/* --- access tokens --- */

/* The text of one part of a token, in base64url, behind what is in `out`. */
static void part_append(struct buf *out, const struct buf *json)
{
    buf_reserve(out, BASE64URL_LEN(json->len) + 1);
    base64url_encode((const uint8_t *)json->ptr, json->len, out->ptr + out->len);
    out->len += BASE64URL_LEN(json->len);
}

static void header_write(struct json *j, const struct key *key)
{
    json_open(j, '{');
    json_field_str(j, "alg", STR("ES256"));
    json_field_str(j, "typ", STR("JWT"));
    json_field_str(j, "kid", str_of(key_id(key)));
    json_close(j, '}');
}

static void claims_write(struct json *j, const struct tokens *t, const struct claims *claims, int64_t now_ms)
{
    json_open(j, '{');
    json_field_str(j, "iss", str_of(t->issuer));
    json_field_str(j, "aud", str_of(t->audience));
    json_field_str(j, "typ", STR("access"));
    json_field_uuid(j, "sub", claims->user_id);
    json_field_uuid(j, "sid", claims->session_id);
    json_key(j, "roles");
    json_open(j, '[');
    for (size_t i = 0; i < ROLE_NAMES; i++)
        if (claims->roles & role_names[i].bit)
            json_str(j, str_of(role_names[i].name));
    json_close(j, ']');
    json_field_int(j, "iat", now_ms / 1000);
    json_field_int(j, "exp", token_access_end(t, claims, now_ms) / 1000);
    json_close(j, '}');
}

err token_issue(struct tokens *t, const struct claims *claims, int64_t now_ms, struct arena *arena, struct str *ret)
{
    const struct key *key = keys_current(t->keys);
    struct buf part = { 0 }, text = { 0 };
    struct json j = json_writer(&part);
    header_write(&j, key);
    part_append(&text, &part);
    buf_char(&text, '.');
    buf_clear(&part);
    j = json_writer(&part);
    claims_write(&j, t, claims, now_ms);
    part_append(&text, &part);
    uint8_t signature[KEY_SIGNATURE_LEN];
    err e = key_sign(key, buf_view(&text), signature);
    if (e == OK) {
        char signed_text[SIGNATURE_TEXT + 1];
        base64url_encode(signature, sizeof signature, signed_text);
        buf_char(&text, '.');
        buf_append(&text, signed_text, SIGNATURE_TEXT);
        *ret = arena_str(arena, buf_view(&text));
    }
    buf_finish(&part);
    buf_finish(&text);
    return e;
}

static bool claim_is(jwt_t *jwt, const char *name, const char *wanted)
{
    const char *value = jwt_get_grant(jwt, name);
    return value && strcmp(value, wanted) == 0;
}

static bool claim_uuid(jwt_t *jwt, const char *name, struct uuid *ret)
{
    return uuid_parse(str_of(jwt_get_grant(jwt, name)), ret);
}

/* Absent or no integer: false. libjwt says so by errno only. */
static bool claim_time(jwt_t *jwt, const char *name, int64_t *ret_ms)
{
    errno = 0;
    long seconds = jwt_get_grant_int(jwt, name);
    if (errno != 0 || seconds < 0 || seconds > INT32_MAX * 1000L)
        return false;
    *ret_ms = seconds * 1000;
    return true;
}

static uint32_t claim_roles(jwt_t *jwt)
{
    uint32_t roles = 0;
    char *text = jwt_get_grants_json(jwt, "roles");
    json_t *array = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    size_t i;
    json_t *name;
    json_array_foreach(array, i, name)
    {
        for (size_t k = 0; k < ROLE_NAMES; k++)
            if (json_is_string(name) && strcmp(json_string_value(name), role_names[k].name) == 0)
                roles |= role_names[k].bit;
    }
    json_decref(array);
    free(text);
    return roles;
}

static err check_claims(const struct tokens *t, jwt_t *jwt, int64_t now_ms, struct claims *ret)
{
    if (!claim_is(jwt, "typ", "access"))
        return err_set(REJECT, "This is no access token.");
    if (!claim_is(jwt, "iss", t->issuer))
        return err_set(REJECT, "The token has another issuer.");
    if (!claim_is(jwt, "aud", t->audience))
        return err_set(REJECT, "The token is for another audience.");
    struct claims c = { 0 };
    int64_t from;
    if (!claim_time(jwt, "exp", &c.expires_at) || !claim_uuid(jwt, "sub", &c.user_id) ||
        !claim_uuid(jwt, "sid", &c.session_id))
        return err_set(REJECT, "The token lacks a claim.");
    if (c.expires_at <= now_ms)
        return err_set(REJECT, "The token has expired.");
    if (claim_time(jwt, "nbf", &from) && from > now_ms)
        return err_set(REJECT, "The token is not valid yet.");
    c.roles = claim_roles(jwt);
    *ret = c;
    return OK;
}

/* RFC 8725: the algorithm is ours, not the token's choice (3.1), and each key is for that one only. Whatever the header
 * says besides, like a key of its own or where to fetch one, is not looked at; what it calls critical is refused. */
static err check_header(const struct tokens *t, jwt_t *jwt, const struct key **ret)
{
    const char *algorithm = jwt_get_header(jwt, "alg"), *kid = jwt_get_header(jwt, "kid");
    if (!algorithm || strcmp(algorithm, "ES256") != 0)
        return err_set(REJECT, "The token's algorithm is not ES256.");
    char *critical = jwt_get_headers_json(jwt, "crit");
    free(critical);
    if (critical)
        return err_set(REJECT, "The token's header has critical extensions; none are understood.");
    *ret = keys_find(t->keys, str_of(kid));
    return *ret ? OK : err_set(REJECT, "The token was signed with a key that is not, or no longer, known.");
}

/* The text that is signed is all before the second dot, the signature all behind it. */
static bool check_signature(const struct key *key, struct str token)
{
    uint8_t signature[KEY_SIGNATURE_LEN];
    if (token.len <= SIGNATURE_TEXT)
        return false;
    size_t len = token.len - SIGNATURE_TEXT - 1;
    return token.ptr[len] == '.' &&
           base64url_decode((struct str){ token.ptr + len + 1, SIGNATURE_TEXT }, signature, sizeof signature) &&
           key_verify(key, (struct str){ token.ptr, len }, signature);
}

/* The long way. libjwt only takes the token apart: given no key it checks no signature, and that is done here. */
static err check_fully(const struct tokens *t, struct str token, int64_t now_ms, struct claims *ret,
                       const struct key **ret_key)
{
    char text[TOKEN_MAX_LEN + 1]; /* libjwt wants a C string */
    memcpy(text, token.ptr, token.len);
    text[token.len] = '\0';
    jwt_t *jwt = NULL;
    if (strlen(text) != token.len || jwt_decode(&jwt, text, NULL, 0) != 0)
        return err_set(REJECT, "The token is malformed.");
    err e = check_header(t, jwt, ret_key);
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): check_header has set it */
    if (e == OK && !check_signature(*ret_key, token))
        e = err_set(REJECT, "The token's signature is wrong.");
    if (e == OK)
        e = check_claims(t, jwt, now_ms, ret);
    jwt_free(jwt);
    return e;
}

static void remember(struct tokens *t, size_t set, const uint8_t hash[32], const struct claims *claims,
                     const struct key *key, int64_t now_ms)
{
    struct checked *ways = t->sets[set];
    size_t lock = set % CACHE_LOCKS;
    pthread_mutex_lock(&t->locks[lock].lock);
    size_t way = t->locks[lock].next++ % CACHE_WAYS;
    for (size_t i = 0; i < CACHE_WAYS; i++)
        if (ways[i].claims.expires_at <= now_ms)
            way = i;
    memcpy(ways[way].hash, hash, 32);
    ways[way].claims = *claims;
    ways[way].key = key;
    pthread_mutex_unlock(&t->locks[lock].lock);
}

static bool recall(struct tokens *t, size_t set, const uint8_t hash[32], int64_t now_ms, struct claims *ret)
{
    bool found = false;
    pthread_mutex_lock(&t->locks[set % CACHE_LOCKS].lock);
    for (size_t i = 0; i < CACHE_WAYS && !found; i++) {
        const struct checked *c = &t->sets[set][i];
        if (c->claims.expires_at > now_ms && memcmp(c->hash, hash, 32) == 0 && key_is_good(c->key)) {
            *ret = c->claims;
            found = true;
        }
    }
    pthread_mutex_unlock(&t->locks[set % CACHE_LOCKS].lock);
    return found;
}

err token_check(struct tokens *t, struct str token, int64_t now_ms, struct claims *ret)
{
    if (token.len == 0 || token.len > TOKEN_MAX_LEN)
        return err_set(REJECT, "The token is malformed.");
    uint8_t hash[32];
    crypto_generichash(hash, sizeof hash, (const uint8_t *)token.ptr, token.len, NULL, 0);
    size_t set = (hash[0] | (size_t)hash[1] << 8) % CACHE_SETS;
    if (recall(t, set, hash, now_ms, ret))
        return OK;
    const struct key *key = NULL;
    TRY(check_fully(t, token, now_ms, ret, &key));
    remember(t, set, hash, ret, key, now_ms);
    return OK;
}

bool token_authenticate(struct request *r)
{
    const char *header = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (!header) {
        problem(r, 401, "unauthorized", NULL, "Send the access token as Authorization: Bearer <token>.");
        response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\"");
        return false;
    }
    struct str token = { 0 };
    if (strncasecmp(header, "Bearer ", 7) == 0)
        token = str_of(header + 7 + strspn(header + 7, " "));
    err e = token.len > 0 ? token_check(r->gateway->tokens, token, r->received_at, &r->claims)
                          : err_set(REJECT, "The Authorization header is not: Bearer <token>.");
    if (e == OK)
        return true;
    problem(r, 401, "invalid_token", NULL, "%s", err_message());
    response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\", error=\"invalid_token\", error_description=\"%s\"",
                    err_message());
    return false;
}

/* --- GET /.well-known/jwks.json --- */

static const struct shape_field key_fields[] = {
    { "kty", SHAPE_TEXT, "EC.", .example = "\"EC\"" },
    { "crv", SHAPE_TEXT, "P-256.", .example = "\"P-256\"" },
    { "x", SHAPE_TEXT, "Of the point, in base64url." },
    { "y", SHAPE_TEXT, "Of the point, in base64url." },
    { "use", SHAPE_TEXT, "sig.", .example = "\"sig\"" },
    { "alg", SHAPE_TEXT, "ES256.", .example = "\"ES256\"" },
    { "kid", SHAPE_TEXT, "What tokens of this key say in their header." },
    { 0 },
};
static const struct shape key_shape = { "Key", key_fields };
static const struct shape_field keys_fields[] = {
    { "keys", SHAPE_OBJECT, "Those that are good now.", .of = &key_shape, .list = true },
    { 0 },
};
const struct shape keys_shape = { "Keys", keys_fields };

enum request_step keys_show(struct request *r)
{
    const struct keys *keys = r->gateway->tokens->keys;
    struct json j = response_json(r, 200);
    r->response.content_type = JWKS_JSON;
    response_header(r, "Cache-Control", "public, max-age=%lld", (long long)keys_max_age_s(keys));
    keys_write_jwks(keys, &j);
    return REQUEST_DONE;
}
