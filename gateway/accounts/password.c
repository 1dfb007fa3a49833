#include "gateway/accounts/password.h"

#include <argon2.h>
#include <crypt.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SALT_LEN        16
#define HASH_LEN        32
#define LANES           1
#define BCRYPT_COST_MIN 4
#define BCRYPT_TEXT     53      /* salt and hash, at its end */
#define MAX_MEMORY      1048576 /* KiB; what a stored hash may ask for */

#define BCRYPT_LEN 60
#define CLEAR_MAX  513 /* bytes, with a NUL; 128 code points */

struct password {
    uint32_t memory_kib, iterations;
    char nobody[PASSWORD_HASH_MAX]; /* what an unknown name is verified against */
};

const struct setting password_settings[] = {
    { "hashing.memory_kib", SETTING_INT, .def = "19456", .min = 8192, .max = MAX_MEMORY, .unit = "KiB",
      .doc = "Memory of one argon2id hash (OWASP: 19456)." },
    { "hashing.iterations", SETTING_INT, .def = "2", .min = 1, .max = 20,
      .doc = "Passes of one argon2id hash (OWASP: 2)." },
    { 0 },
};

/* --- work memory: libargon2 would map and unmap 19 MiB a hash; the thread keeps it instead. Its callbacks have no
 * context argument, hence the thread-local. --- */

struct work {
    void *memory;
    size_t size;
};

static pthread_once_t work_once = PTHREAD_ONCE_INIT;
static pthread_key_t work_key; /* gives the memory back when a thread ends */
static _Thread_local struct work work;

static void work_release(void *unused)
{
    (void)unused;
    if (work.memory)
        munmap(work.memory, work.size);
    work = (struct work){ 0 };
}

static void work_key_create(void)
{
    pthread_key_create(&work_key, work_release);
}

static int work_take(uint8_t **ret, size_t size)
{
    if (work.size < size) {
        work_release(NULL);
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return ARGON2_MEMORY_ALLOCATION_ERROR;
        work = (struct work){ memory, size };
        pthread_setspecific(work_key, &work_key);
    }
    *ret = work.memory;
    return ARGON2_OK;
}

static void work_leave(uint8_t *memory, size_t size)
{
    sodium_memzero(memory, size);
}

void password_rest(void)
{
    work_release(NULL);
}

/* --- hashing --- */

struct phc {
    uint32_t memory_kib, iterations, lanes;
    uint8_t salt[64], hash[64];
    size_t salt_len, hash_len;
};

static err argon2id(struct str clear, struct phc *phc, uint8_t *ret_hash)
{
    argon2_context context = {
        .out = ret_hash,
        .outlen = (uint32_t)phc->hash_len,
        .pwd = (uint8_t *)clear.ptr, /* not written: no flag asks for it to be cleared */
        .pwdlen = (uint32_t)clear.len,
        .salt = phc->salt,
        .saltlen = (uint32_t)phc->salt_len,
        .t_cost = phc->iterations,
        .m_cost = phc->memory_kib,
        .lanes = phc->lanes,
        .threads = 1,
        .version = ARGON2_VERSION_13,
        .allocate_cbk = work_take,
        .free_cbk = work_leave,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    int code = argon2_ctx(&context, Argon2_id);
    if (code == ARGON2_OK)
        return OK;
    if (code == ARGON2_MEMORY_ALLOCATION_ERROR)
        return err_set(RETRY, "no memory for a password hash (%u KiB)", phc->memory_kib);
    return err_set(REJECT, "argon2id: %s", argon2_error_message(code));
}

/* $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>, base64 without padding */
static bool phc_parse(struct str text, struct phc *ret)
{
    char copy[PASSWORD_HASH_MAX];
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    int salt_at = 0;
    /* NOLINTNEXTLINE(cert-err34-c): the widths keep the numbers in range */
    if (sscanf(copy, "$argon2id$v=19$m=%7u,t=%4u,p=%3u$%n", &ret->memory_kib, &ret->iterations, &ret->lanes,
               &salt_at) != 3 ||
        salt_at == 0 || ret->memory_kib > MAX_MEMORY)
        return false;
    const char *end;
    if (sodium_base642bin(ret->salt, sizeof ret->salt, copy + salt_at, text.len - (size_t)salt_at, NULL, &ret->salt_len,
                          &end, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 ||
        *end != '$')
        return false;
    end++;
    return sodium_base642bin(ret->hash, sizeof ret->hash, end, strlen(end), NULL, &ret->hash_len, NULL,
                             sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
           ret->hash_len >= 16;
}

static void phc_format(const struct phc *phc, char ret_text[PASSWORD_HASH_MAX])
{
    char salt[sodium_base64_ENCODED_LEN(SALT_LEN, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];
    char hash[sodium_base64_ENCODED_LEN(HASH_LEN, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];
    sodium_bin2base64(salt, sizeof salt, phc->salt, SALT_LEN, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    sodium_bin2base64(hash, sizeof hash, phc->hash, HASH_LEN, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    snprintf(ret_text, PASSWORD_HASH_MAX, "$argon2id$v=19$m=%u,t=%u,p=%u$%s$%s", phc->memory_kib, phc->iterations,
             phc->lanes, salt, hash);
}

/* --- bcrypt: only ever read, of people who came from elsewhere --- */

static int bcrypt_cost(struct str hash)
{
    if (hash.len != BCRYPT_LEN || memcmp(hash.ptr, "$2", 2) != 0 || !memchr("aby", hash.ptr[2], 3) ||
        hash.ptr[3] != '$' || hash.ptr[6] != '$')
        return -1;
    int tens = hash.ptr[4] - '0', ones = hash.ptr[5] - '0';
    return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1 : tens * 10 + ones;
}

static err bcrypt_verify(struct str clear, struct str hash)
{
    if (bcrypt_cost(hash) > PASSWORD_BCRYPT_COST_MAX)
        return err_set(REJECT, "the stored bcrypt hash has a cost of more than %d", PASSWORD_BCRYPT_COST_MAX);
    char text[CLEAR_MAX], setting[BCRYPT_LEN + 1];
    if (clear.len >= sizeof text)
        return err_set(REJECT, "the password does not match");
    memcpy(text, clear.ptr, clear.len);
    text[clear.len] = '\0';
    memcpy(setting, hash.ptr, BCRYPT_LEN);
    setting[BCRYPT_LEN] = '\0';
    struct crypt_data work_area = { 0 };
    const char *computed = crypt_rn(text, setting, &work_area, sizeof work_area);
    bool same = computed && strlen(computed) == BCRYPT_LEN && sodium_memcmp(computed, setting, BCRYPT_LEN) == 0;
    sodium_memzero(text, sizeof text);
    sodium_memzero(&work_area, sizeof work_area);
    return same ? OK : err_set(REJECT, "the password does not match");
}

err password_create(const struct config *config, struct password **ret)
{
    if (sodium_init() < 0)
        return err_set(FATAL, "libsodium could not start");
    pthread_once(&work_once, work_key_create);
    struct password *p = mem_alloc(sizeof *p);
    p->memory_kib = (uint32_t)config_int(config, "hashing.memory_kib");
    p->iterations = (uint32_t)config_int(config, "hashing.iterations");
    /* A hash that no password has: of random bytes that are not kept, with a random result. */
    struct phc phc = { .memory_kib = p->memory_kib, .iterations = p->iterations, .lanes = LANES };
    randombytes_buf(phc.salt, SALT_LEN);
    randombytes_buf(phc.hash, HASH_LEN);
    phc_format(&phc, p->nobody);
    *ret = p;
    return OK;
}

void password_destroy(struct password *p)
{
    free(p);
}

err password_hash(const struct password *p, struct str clear, char ret_hash[PASSWORD_HASH_MAX])
{
    struct phc phc = { .memory_kib = p->memory_kib,
                       .iterations = p->iterations,
                       .lanes = LANES,
                       .salt_len = SALT_LEN,
                       .hash_len = HASH_LEN };
    randombytes_buf(phc.salt, SALT_LEN);
    TRY(argon2id(clear, &phc, phc.hash));
    phc_format(&phc, ret_hash);
    return OK;
}

err password_verify(const struct password *p, struct str clear, struct str hash)
{
    if (bcrypt_cost(hash) >= 0)
        return bcrypt_verify(clear, hash);
    struct phc phc;
    if (!phc_parse(hash.len > 0 ? hash : str_of(p->nobody), &phc))
        return err_set(REJECT, "the stored hash is neither argon2id nor bcrypt");
    uint8_t computed[sizeof phc.hash];
    TRY(argon2id(clear, &phc, computed));
    if (sodium_memcmp(computed, phc.hash, phc.hash_len) != 0)
        return err_set(REJECT, "the password does not match");
    return OK;
}

bool password_is_hash(struct str text)
{
    static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    struct phc phc;
    if (phc_parse(text, &phc))
        return true;
    const int cost = bcrypt_cost(text);
    if (cost < BCRYPT_COST_MIN || cost > PASSWORD_BCRYPT_COST_MAX || text.ptr[2] != 'b')
        return false;
    for (size_t i = BCRYPT_LEN - BCRYPT_TEXT; i < BCRYPT_LEN; i++)
        if (!memchr(alphabet, text.ptr[i], sizeof alphabet - 1))
            return false;
    return true;
}

bool password_is_dated(const struct password *p, struct str hash)
{
    struct phc phc;
    return !phc_parse(hash, &phc) || phc.memory_kib != p->memory_kib || phc.iterations != p->iterations ||
           phc.lanes != LANES;
}
