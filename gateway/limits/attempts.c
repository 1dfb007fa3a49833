#include "gateway/limits/attempts.h"

#include <pthread.h>
#include <stdlib.h>

#include "ops/runtime/mem.h"

#define SETS 2048
#define WAYS 8

struct failures {
    uint8_t key[ATTEMPT_KEY_LEN];
    int64_t count, last_ms; /* failures and attempts under way; when the last one began */
    int64_t known_until_ms; /* of a pair; 0: not known */
    bool used;
};

struct attempts {
    struct attempt_rules rules;
    pthread_mutex_t lock; /* a log-in hashes a password: one lock for all is never waited for */
    struct failures sets[SETS][WAYS];
};

struct attempts *attempts_create(const struct attempt_rules *rules)
{
    struct attempts *a = mem_alloc(sizeof *a);
    a->rules = *rules;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void attempts_destroy(struct attempts *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* --- the table --- */

/* The keys are hashes under a secret: nobody chooses who shares a set with whom. */
static struct failures *set_of(struct attempts *a, const uint8_t key[ATTEMPT_KEY_LEN])
{
    return a->sets[(key[0] | (size_t)key[1] << 8) % SETS];
}

static struct failures *find(struct attempts *a, const uint8_t key[ATTEMPT_KEY_LEN])
{
    struct failures *set = set_of(a, key);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].used && memcmp(set[i].key, key, ATTEMPT_KEY_LEN) == 0)
            return &set[i];
    return NULL;
}

static bool is_known(const struct failures *f, int64_t now_ms)
{
    return f && now_ms < f->known_until_ms;
}

static int64_t count_of(const struct attempts *a, const struct failures *f, int64_t now_ms)
{
    return f && now_ms - f->last_ms < a->rules.forget_ms ? f->count : 0;
}

/* How little is lost with it: nothing, that an address is known, failures. */
static int64_t weight(const struct attempts *a, const struct failures *f, int64_t now_ms)
{
    return f->used ? 2 * count_of(a, f, now_ms) + is_known(f, now_ms) : -1;
}

static struct failures *claim(struct attempts *a, const uint8_t key[ATTEMPT_KEY_LEN], int64_t now_ms)
{
    struct failures *f = find(a, key);
    if (f)
        return f;
    f = set_of(a, key);
    for (struct failures *other = f + 1, *end = f + WAYS; other < end; other++)
        if (weight(a, other, now_ms) < weight(a, f, now_ms))
            f = other;
    *f = (struct failures){ .used = true };
    memcpy(f->key, key, ATTEMPT_KEY_LEN);
    return f;
}

/* --- counting --- */

static int64_t wait_of(const struct attempts *a, const struct failures *f, int64_t now_ms, int64_t free_failures)
{
    int64_t count = count_of(a, f, now_ms);
    if (count < free_failures)
        return 0;
    int64_t delay = a->rules.delay_ms;
    for (int64_t i = free_failures; i < count && delay < a->rules.delay_max_ms; i++)
        delay *= 2;
    return f->last_ms + (delay < a->rules.delay_max_ms ? delay : a->rules.delay_max_ms) - now_ms;
}

static void count_one(struct attempts *a, const uint8_t key[ATTEMPT_KEY_LEN], int64_t now_ms)
{
    struct failures *f = claim(a, key, now_ms);
    f->count = count_of(a, f, now_ms) + 1;
    f->last_ms = now_ms;
}

int64_t attempts_begin(struct attempts *a, const struct attempt_keys *keys, int64_t now_ms, bool *known)
{
    pthread_mutex_lock(&a->lock);
    *known = *known || is_known(find(a, keys->pair), now_ms);
    const uint8_t *counted = *known ? keys->pair : keys->name;
    int64_t of_name = wait_of(a, find(a, counted), now_ms, a->rules.name_free);
    int64_t of_address = wait_of(a, find(a, keys->address), now_ms, a->rules.address_free);
    int64_t wait = of_name > of_address ? of_name : of_address;
    if (wait <= 0) {
        count_one(a, counted, now_ms);
        count_one(a, keys->address, now_ms);
    }
    pthread_mutex_unlock(&a->lock);
    return wait > 0 ? wait : 0;
}

static void count_less(struct failures *f)
{
    if (f && f->count > 0)
        f->count--;
}

void attempts_take_back(struct attempts *a, const struct attempt_keys *keys, int64_t now_ms, bool known, bool succeeded)
{
    pthread_mutex_lock(&a->lock);
    count_less(find(a, known ? keys->pair : keys->name));
    count_less(find(a, keys->address));
    if (succeeded) {
        struct failures *pair = claim(a, keys->pair, now_ms);
        pair->count = 0;
        pair->known_until_ms = now_ms + a->rules.known_ms;
    }
    pthread_mutex_unlock(&a->lock);
}
