#include "gateway/commands/unsettled.h"

#include <pthread.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define LOOK_EVERY_US 1000000

struct unsettled {
    pthread_mutex_t lock;
    size_t count;
    struct row {
        struct unsettled_subject subject;
        int64_t look_us;
    } rows[UNSETTLED_MAX]; /* oldest first */
};

struct unsettled *unsettled_create(void)
{
    struct unsettled *u = mem_alloc(sizeof *u);
    pthread_mutex_init(&u->lock, NULL);
    return u;
}

void unsettled_destroy(struct unsettled *u)
{
    if (!u)
        return;
    pthread_mutex_destroy(&u->lock);
    free(u);
}

static void take_out(struct unsettled *u, size_t i)
{
    u->count--;
    memmove(u->rows + i, u->rows + i + 1, (u->count - i) * sizeof *u->rows);
}

void unsettled_add(struct unsettled *u, const struct unsettled_subject *subject)
{
    pthread_mutex_lock(&u->lock);
    if (u->count == UNSETTLED_MAX) {
        LOG(WARN, "a key that perhaps belongs to nobody stays in the vault",
            F_UUID("subject", u->rows[0].subject.subject));
        take_out(u, 0);
    }
    u->rows[u->count++] = (struct row){ *subject, clock_mono_us() + LOOK_EVERY_US };
    pthread_mutex_unlock(&u->lock);
}

bool unsettled_take(struct unsettled *u, struct uuid command_id, struct unsettled_subject *ret)
{
    bool found = false;
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < u->count && !found; i++) {
        found = uuid_equal(u->rows[i].subject.command_id, command_id);
        if (found) {
            *ret = u->rows[i].subject;
            take_out(u, i);
        }
    }
    pthread_mutex_unlock(&u->lock);
    return found;
}

size_t unsettled_due(struct unsettled *u, int64_t now_us, struct waiting_silent *ret, size_t max)
{
    size_t count = 0;
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < u->count && count < max; i++) {
        if (u->rows[i].look_us > now_us)
            continue;
        u->rows[i].look_us = now_us + LOOK_EVERY_US;
        ret[count++] = (struct waiting_silent){ u->rows[i].subject.command_id, u->rows[i].subject.stream };
    }
    pthread_mutex_unlock(&u->lock);
    return count;
}
