#include "gateway/tokens/keys.h"

#include <assert.h>
#include <dirent.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "gateway/base64url.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "ops/runtime/log.h"

#define COORDINATE 32 /* bytes of x, y, r and s */
#define KEYS_MAX   16
#define DER_MAX    80
#define SUFFIX     ".pem"

struct key {
    struct key *next; /* loaded before it */
    EVP_PKEY *pkey;
    uint8_t x[COORDINATE], y[COORDINATE];
    char id[KEY_ID_LEN + 1];
    atomic_bool good;
};

struct keys {
    const char *folder;
    int64_t reload_s, settle_s;
    _Atomic(struct key *) all; /* ever loaded, newest first */
    _Atomic(struct key *) current;
    bool complained; /* about the folder as it is now */

    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping;
};

const struct setting keys_settings[] = {
    { "auth.keys_folder", SETTING_TEXT, .def = NULL, .min = 1, .max = 1024,
      .doc = "Folder of the keys of access tokens, NAME.pem each (EC, P-256), the same for every gateway. The last by "
             "name signs; all of them are good for checking." },
    { "auth.keys_reload_s", SETTING_INT, .def = "5", .min = 1, .max = 3600, .unit = "s",
      .doc = "How often that folder is looked at." },
    { "auth.key_settle_s", SETTING_INT, .def = "60", .min = 0, .max = 86400, .unit = "s",
      .doc = "How long a new key lies there before it signs; also how long others may keep /.well-known/jwks.json." },
    { 0 },
};

/* --- one key --- */

const char *key_id(const struct key *key)
{
    return key->id;
}

bool key_is_good(const struct key *key)
{
    return atomic_load_explicit(&key->good, memory_order_relaxed);
}

static bool signature_of_der(const uint8_t *der, size_t len, uint8_t ret[KEY_SIGNATURE_LEN])
{
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool good = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), ret, COORDINATE) == COORDINATE &&
                BN_bn2binpad(ECDSA_SIG_get0_s(s), ret + COORDINATE, COORDINATE) == COORDINATE;
    ECDSA_SIG_free(s);
    return good;
}

static size_t der_of_signature(const uint8_t signature[KEY_SIGNATURE_LEN], uint8_t ret[DER_MAX])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, COORDINATE, NULL), *s = BN_bin2bn(signature + COORDINATE, COORDINATE, NULL);
    int len = -1;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* its own now */
        len = i2d_ECDSA_SIG(sig, &ret);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len > 0 ? (size_t)len : 0;
}

err key_sign(const struct key *key, struct str text, uint8_t ret_signature[KEY_SIGNATURE_LEN])
{
    uint8_t der[DER_MAX];
    size_t len = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
                EVP_DigestSign(context, der, &len, (const uint8_t *)text.ptr, text.len) == 1 &&
                signature_of_der(der, len, ret_signature);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good ? OK : err_set(RETRY, "libcrypto could not sign a token");
}

bool key_verify(const struct key *key, struct str text, const uint8_t signature[KEY_SIGNATURE_LEN])
{
    uint8_t der[DER_MAX];
    size_t len = der_of_signature(signature, der);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = len > 0 && context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
                EVP_DigestVerify(context, der, len, (const uint8_t *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

/* A name in its JWK (RFC 7518 section 6.2.1). */
static void coordinate_text(const uint8_t bytes[COORDINATE], char ret[BASE64URL_LEN(COORDINATE) + 1])
{
    base64url_encode(bytes, COORDINATE, ret);
}

/* RFC 7638: SHA-256 of the required members in the order of their names, without white space. */
static bool key_name(struct key *key)
{
    char x[BASE64URL_LEN(COORDINATE) + 1], y[sizeof x], text[160];
    uint8_t hash[32];
    coordinate_text(key->x, x);
    coordinate_text(key->y, y);
    int len = snprintf(text, sizeof text, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
    if (EVP_Digest(text, (size_t)len, hash, NULL, EVP_sha256(), NULL) != 1)
        return false;
    base64url_encode(hash, sizeof hash, key->id);
    return true;
}

static bool coordinate_get(EVP_PKEY *pkey, const char *name, uint8_t ret[COORDINATE])
{
    BIGNUM *n = NULL;
    bool good = EVP_PKEY_get_bn_param(pkey, name, &n) == 1 && BN_bn2binpad(n, ret, COORDINATE) == COORDINATE;
    BN_free(n);
    return good;
}

/* Nobody is there to be asked for a passphrase. */
static int no_passphrase(char *buffer, int size, int writing, void *unused)
{
    (void)buffer, (void)size, (void)writing, (void)unused;
    return -1;
}

/* A private key, or a public one, which can check only. */
static EVP_PKEY *pem_read(FILE *file, bool *ret_signs)
{
    EVP_PKEY *pkey = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
    *ret_signs = pkey != NULL;
    if (!pkey) {
        rewind(file);
        pkey = PEM_read_PUBKEY(file, NULL, no_passphrase, NULL);
    }
    ERR_clear_error();
    return pkey;
}

static err key_read(const char *path, struct key **ret, bool *ret_signs)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(FATAL, "%s cannot be read: %m", path);
    struct key *key = mem_alloc(sizeof *key);
    key->pkey = pem_read(file, ret_signs);
    fclose(file);
    char group[32] = "";
    if (!key->pkey ||
        EVP_PKEY_get_utf8_string_param(key->pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) != 1 ||
        strcmp(group, "prime256v1") != 0 || !coordinate_get(key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, key->x) ||
        !coordinate_get(key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, key->y) || !key_name(key)) {
        EVP_PKEY_free(key->pkey);
        ERR_clear_error();
        free(key);
        return err_set(FATAL,
                       "%s is no key of P-256; make one with: openssl genpkey -algorithm EC -pkeyopt "
                       "ec_paramgen_curve:P-256 -out %s",
                       path, path);
    }
    *ret = key;
    return OK;
}

/* --- the folder --- */

const struct key *keys_current(const struct keys *k)
{
    return atomic_load_explicit(&k->current, memory_order_acquire);
}

static struct key *find(const struct keys *k, struct str kid)
{
    struct key *key = atomic_load_explicit(&k->all, memory_order_acquire);
    while (key && !str_equal(kid, (struct str){ key->id, KEY_ID_LEN }))
        key = key->next;
    return key;
}

const struct key *keys_find(const struct keys *k, struct str kid)
{
    const struct key *key = find(k, kid);
    return key && key_is_good(key) ? key : NULL;
}

/* Takes `fresh` over; the one that is known already, if it is. */
static struct key *learn(struct keys *k, struct key *fresh)
{
    assert(fresh);
    struct key *known = find(k, (struct str){ fresh->id, KEY_ID_LEN });
    if (known) {
        EVP_PKEY_free(fresh->pkey);
        free(fresh);
        return known;
    }
    fresh->next = atomic_load_explicit(&k->all, memory_order_relaxed);
    atomic_store_explicit(&k->all, fresh, memory_order_release);
    return fresh;
}

static int is_pem(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name), suffix = sizeof SUFFIX - 1;
    return entry->d_name[0] != '.' && len > suffix && strcmp(entry->d_name + len - suffix, SUFFIX) == 0;
}

/* What the folder holds now. */
struct found {
    struct key *keys[KEYS_MAX];
    size_t count;
    struct key *signs; /* the last that has settled, else the first: the others know that one for the longest time */
    bool settled;
};

static err take_file(struct keys *k, const char *name, struct found *f)
{
    char path[2048];
    struct stat about;
    struct key *fresh = NULL;
    bool signs = false;
    if (f->count == KEYS_MAX)
        return err_set(FATAL, "%s has more than %d keys; take the oldest out", k->folder, KEYS_MAX);
    snprintf(path, sizeof path, "%s/%s", k->folder, name);
    if (stat(path, &about) != 0)
        return err_set(FATAL, "%s cannot be read: %m", path);
    TRY(key_read(path, &fresh, &signs));
    struct key *key = f->keys[f->count++] = learn(k, fresh);
    /* When it came here: unlike the time of modification, that is not copied with the file. */
    bool settled = clock_wall_ms() / 1000 - about.st_ctim.tv_sec >= k->settle_s;
    if (signs && (!f->signs || settled)) {
        f->signs = key;
        f->settled = settled;
    }
    return OK;
}

static err read_folder(struct keys *k, struct found *f)
{
    struct dirent **entries;
    int count = scandir(k->folder, &entries, is_pem, alphasort);
    if (count < 0)
        return err_set(FATAL, "auth.keys_folder %s cannot be read: %m", k->folder);
    err e = OK;
    for (int i = 0; i < count; i++) {
        if (e == OK)
            e = take_file(k, entries[i]->d_name, f);
        free(entries[i]);
    }
    free(entries);
    if (e == OK && !f->signs)
        e = err_set(FATAL,
                    "auth.keys_folder %s has no private key; make one with: openssl genpkey -algorithm EC -pkeyopt "
                    "ec_paramgen_curve:P-256 -out %s/1.pem",
                    k->folder, k->folder);
    return e;
}

static bool is_among(const struct found *f, const struct key *key)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->keys[i] == key)
            return true;
    return false;
}

static void say(const char *what, const struct key *key)
{
    LOG(INFO, what, F_STR("kid", key->id));
}

/* All or nothing. */
static err reload(struct keys *k)
{
    struct found f = { .count = 0 };
    TRY(read_folder(k, &f));
    for (size_t i = 0; i < f.count; i++)
        if (!atomic_exchange(&f.keys[i]->good, true))
            say("a key of access tokens was put in", f.keys[i]);
    if (atomic_exchange(&k->current, f.signs) != f.signs)
        say("access tokens are signed with this key", f.signs);
    for (struct key *key = atomic_load(&k->all); key; key = key->next)
        if (!is_among(&f, key) && atomic_exchange(&key->good, false))
            say("a key of access tokens was taken out", key);
    return OK;
}

static bool wait_for_next(struct keys *k)
{
    const int64_t until_us = clock_mono_us() + 1000000 * (int64_t)k->reload_s;
    pthread_mutex_lock(&k->lock);
    while (!k->stopping && condition_wait_until(&k->stop, &k->lock, until_us))
        ;
    bool go_on = !k->stopping;
    pthread_mutex_unlock(&k->lock);
    return go_on;
}

static void *watch(void *argument)
{
    struct keys *k = argument;
    while (wait_for_next(k)) {
        bool failed = reload(k) != OK;
        if (failed && !k->complained)
            LOG(WARN, "the keys of access tokens stay as they were", F_ERR);
        k->complained = failed;
    }
    return NULL;
}

static err start(struct keys *k)
{
    if (pthread_create(&k->thread, NULL, watch, k) != 0)
        return err_set(FATAL, "the thread that watches keys could not be started; raise the limit of threads");
    k->started = true;
    pthread_setname_np(k->thread, "keys");
    return OK;
}

err keys_create(const struct config *config, struct keys **ret)
{
    struct keys *k = mem_alloc(sizeof *k);
    k->folder = config_text(config, "auth.keys_folder");
    k->reload_s = config_int(config, "auth.keys_reload_s");
    k->settle_s = config_int(config, "auth.key_settle_s");
    pthread_mutex_init(&k->lock, NULL);
    condition_init(&k->stop);
    err e = reload(k);
    if (e == OK)
        e = start(k);
    if (e != OK) {
        keys_destroy(k);
        return e;
    }
    *ret = k;
    return OK;
}

void keys_destroy(struct keys *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    pthread_cond_signal(&k->stop);
    pthread_mutex_unlock(&k->lock);
    if (k->started)
        pthread_join(k->thread, NULL);
    for (struct key *key = atomic_load(&k->all), *next; key; key = next) {
        next = key->next;
        EVP_PKEY_free(key->pkey);
        free(key);
    }
    pthread_cond_destroy(&k->stop);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

/* --- for others --- */

void keys_write_jwks(const struct keys *k, struct json *j)
{
    json_open(j, '{');
    json_key(j, "keys");
    json_open(j, '[');
    for (const struct key *key = atomic_load_explicit(&k->all, memory_order_acquire); key; key = key->next) {
        char x[BASE64URL_LEN(COORDINATE) + 1], y[sizeof x];
        if (!key_is_good(key))
            continue;
        coordinate_text(key->x, x);
        coordinate_text(key->y, y);
        json_open(j, '{');
        json_field_str(j, "kty", STR("EC"));
        json_field_str(j, "crv", STR("P-256"));
        json_field_str(j, "x", str_of(x));
        json_field_str(j, "y", str_of(y));
        json_field_str(j, "use", STR("sig"));
        json_field_str(j, "alg", STR("ES256"));
        json_field_str(j, "kid", str_of(key->id));
        json_close(j, '}');
    }
    json_close(j, ']');
    json_close(j, '}');
}

int64_t keys_max_age_s(const struct keys *k)
{
    return k->settle_s;
}
