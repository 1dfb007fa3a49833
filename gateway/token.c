#include "gateway/token.h"

#include <errno.h>
#include <jwt.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/route.h"
#include "ops/runtime/clock.h"

#define TOKEN_MAX_LEN  2048 /* ours have about 400 bytes; longer ones are not looked at */
#define SECRET_MIN_LEN 32
#define SECRET_MAX_LEN 256

/* The memory of checked tokens: sets of four under the token's hash, a lock for every eighth set. */
#define CACHE_SETS  1024
#define CACHE_WAYS  4
#define CACHE_LOCKS 128

struct checked {
    uint8_t hash[32];
    struct claims claims; /* expires_at 0: empty */
};

struct tokens {
    uint8_t secrets[2][SECRET_MAX_LEN]; /* current, previous */
    size_t secret_lens[2];
    char kid[17];
    const char *issuer, *audience;
    int64_t access_ttl_s, refresh_ttl_s;
    uint8_t derive_key[crypto_kdf_KEYBYTES];
    struct {
        pthread_mutex_t lock;
        unsigned next; /* the way to overwrite when none has expired */
    } locks[CACHE_LOCKS];
    struct checked sets[CACHE_SETS][CACHE_WAYS];
};

const struct setting token_settings[] = {
    { "auth.jwt_secret", SETTING_SECRET, .def = NULL, .min = 44, .max = 344,
      .doc = "Key of access tokens (HS256): at least 32 random bytes in base64, the same for every gateway." },
    { "auth.jwt_previous_secret", SETTING_SECRET, .def = "", .max = 344,
      .doc = "The key before the current one: tokens signed with it are still accepted. Empty: none." },
    { "auth.issuer", SETTING_TEXT, .def = "aether", .min = 1, .max = 128, .doc = "iss of access tokens." },
    { "auth.audience", SETTING_TEXT, .def = "aether-api", .min = 1, .max = 128, .doc = "aud of access tokens." },
    { "auth.access_ttl_s", SETTING_INT, .def = "900", .min = 5, .max = 86400, .unit = "s",
      .doc = "How long an access token is valid." },
    { "auth.refresh_ttl_s", SETTING_INT, .def = "604800", .min = 60, .max = 31536000, .unit = "s",
      .doc = "How long a refresh token is valid." },
    { 0 },
};

static const struct {
    uint32_t bit;
    const char *name;
} role_names[] = { { ROLE_USER, "user" }, { ROLE_MODERATOR, "moderator" }, { ROLE_ADMIN, "admin" } };

#define ROLE_NAMES (sizeof role_names / sizeof *role_names)

static err secret_read(const struct config *config, const char *name, uint8_t ret[SECRET_MAX_LEN], size_t *ret_len)
{
    const char *text = config_text(config, name);
    *ret_len = 0;
    if (*text == '\0')
        return OK;
    size_t len;
    if (sodium_base642bin(ret, SECRET_MAX_LEN, text, strlen(text), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) !=
        0)
        return err_set(FATAL, "%s is not base64; make one with: openssl rand -base64 32", name);
    if (len < SECRET_MIN_LEN)
        return err_set(FATAL, "%s has %zu bytes; at least %d are needed: openssl rand -base64 32", name, len,
                       SECRET_MIN_LEN);
    *ret_len = len;
    return OK;
}

err tokens_create(const struct config *config, struct tokens **ret)
{
    struct tokens *t = mem_alloc(sizeof *t);
    err e = secret_read(config, "auth.jwt_secret", t->secrets[0], &t->secret_lens[0]);
    if (e == OK)
        e = secret_read(config, "auth.jwt_previous_secret", t->secrets[1], &t->secret_lens[1]);
    if (e == OK && t->secret_lens[0] == 0)
        e = err_set(FATAL, "auth.jwt_secret is empty; make one with: openssl rand -base64 32");
    if (e != OK) {
        sodium_memzero(t, sizeof *t);
        free(t);
        return e;
    }
    t->issuer = config_text(config, "auth.issuer");
    t->audience = config_text(config, "auth.audience");
    t->access_ttl_s = config_int(config, "auth.access_ttl_s");
    t->refresh_ttl_s = config_int(config, "auth.refresh_ttl_s");
    crypto_generichash(t->derive_key, sizeof t->derive_key, t->secrets[0], t->secret_lens[0],
                       (const uint8_t *)"aether.derive", 13);
    uint8_t kid[32];
    token_derive_key(t, "keyident", kid);
    sodium_bin2hex(t->kid, sizeof t->kid, kid, sizeof t->kid / 2);
    for (size_t i = 0; i < CACHE_LOCKS; i++)
        pthread_mutex_init(&t->locks[i].lock, NULL);
    *ret = t;
    return OK;
}

void tokens_destroy(struct tokens *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < CACHE_LOCKS; i++)
        pthread_mutex_destroy(&t->locks[i].lock);
    sodium_memzero(t, sizeof *t);
    free(t);
}

int64_t token_access_ttl_s(const struct tokens *t)
{
    return t->access_ttl_s;
}

int64_t token_refresh_ttl_s(const struct tokens *t)
{
    return t->refresh_ttl_s;
}

void token_derive_key(const struct tokens *t, const char purpose[8], uint8_t ret_key[32])
{
    crypto_kdf_derive_from_key(ret_key, 32, 1, purpose, t->derive_key);
}

/* --- access tokens --- */

static int issue_claims(jwt_t *jwt, const struct tokens *t, const struct claims *claims, int64_t now_ms)
{
    char user[UUID_TEXT_LEN + 1], session[UUID_TEXT_LEN + 1], roles[64] = "{\"roles\":[";
    uuid_format(claims->user_id, user);
    uuid_format(claims->session_id, session);
    bool comma = false;
    for (size_t i = 0; i < ROLE_NAMES; i++) {
        if (!(claims->roles & role_names[i].bit))
            continue;
        strcat(strcat(strcat(strcat(roles, comma ? "," : ""), "\""), role_names[i].name), "\"");
        comma = true;
    }
    strcat(roles, "]}");
    int64_t now_s = now_ms / 1000;
    /* Each gives 0 or an errno; or-ing them only asks whether one failed. */
    return jwt_add_header(jwt, "kid", t->kid) | jwt_add_grant(jwt, "iss", t->issuer) |
           jwt_add_grant(jwt, "aud", t->audience) | jwt_add_grant(jwt, "typ", "access") |
           jwt_add_grant(jwt, "sub", user) | jwt_add_grant(jwt, "sid", session) | jwt_add_grants_json(jwt, roles) |
           jwt_add_grant_int(jwt, "iat", (long)now_s) | jwt_add_grant_int(jwt, "exp", (long)(now_s + t->access_ttl_s)) |
           jwt_set_alg(jwt, JWT_ALG_HS256, t->secrets[0], (int)t->secret_lens[0]);
}

err token_issue(struct tokens *t, const struct claims *claims, int64_t now_ms, struct arena *arena, struct str *ret)
{
    jwt_t *jwt;
    if (jwt_new(&jwt) != 0)
        return err_set(RETRY, "no memory for a token");
    char *text = issue_claims(jwt, t, claims, now_ms) == 0 ? jwt_encode_str(jwt) : NULL;
    if (text)
        *ret = arena_str(arena, str_of(text));
    free(text);
    jwt_free(jwt);
    return text ? OK : err_set(RETRY, "a token could not be made");
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
    /* HS384 or HS512 with our key would pass the signature, so the algorithm is compared after it. */
    if (jwt_get_alg(jwt) != JWT_ALG_HS256)
        return err_set(REJECT, "The token's algorithm is not HS256.");
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

/* The long way: through libjwt. */
static err check_fully(const struct tokens *t, struct str token, int64_t now_ms, struct claims *ret)
{
    char text[TOKEN_MAX_LEN + 1]; /* libjwt wants a C string */
    memcpy(text, token.ptr, token.len);
    text[token.len] = '\0';
    if (strlen(text) != token.len)
        return err_set(REJECT, "The token is malformed.");
    for (size_t i = 0; i < 2 && t->secret_lens[i] > 0; i++) {
        jwt_t *jwt = NULL;
        if (jwt_decode(&jwt, text, t->secrets[i], (int)t->secret_lens[i]) != 0)
            continue;
        err e = check_claims(t, jwt, now_ms, ret);
        jwt_free(jwt);
        return e;
    }
    return err_set(REJECT, "The token's signature is wrong, or it is malformed.");
}

static void remember(struct tokens *t, size_t set, const uint8_t hash[32], const struct claims *claims, int64_t now_ms)
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
    pthread_mutex_unlock(&t->locks[lock].lock);
}

static bool recall(struct tokens *t, size_t set, const uint8_t hash[32], int64_t now_ms, struct claims *ret)
{
    bool found = false;
    pthread_mutex_lock(&t->locks[set % CACHE_LOCKS].lock);
    for (size_t i = 0; i < CACHE_WAYS && !found; i++) {
        const struct checked *c = &t->sets[set][i];
        if (c->claims.expires_at > now_ms && memcmp(c->hash, hash, 32) == 0) {
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
    TRY(check_fully(t, token, now_ms, ret));
    remember(t, set, hash, ret, now_ms);
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
