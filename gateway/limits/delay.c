#include "gateway/limits/delay.h"

#include <pthread.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"

#define DELAYED_MAX 4096

const struct setting delay_settings[] = {
    { "login.refusal_ms", SETTING_INT, .def = "500", .min = 1, .max = 10000, .unit = "ms",
      .doc =
          "How long the answer to a wrong password takes at least, and in what steps it takes longer: more than the "
          "slowest hash of an imported account, or the time tells that account (aether-admin import-user says so)." },
    { 0 },
};

struct delays {
    int64_t span_us;
    pthread_mutex_t lock;
    pthread_cond_t came;
    pthread_t thread;
    bool started, stopping;
    struct {
        struct request *request;
        int64_t at_us;
    } delayed[DELAYED_MAX];
    size_t count;
};

/* Takes out one whose time has come; NULL: none, and *ret_next_us is the next one's (INT64_MAX: nobody waits). */
static struct request *take_due(struct delays *d, int64_t now_us, int64_t *ret_next_us)
{
    *ret_next_us = INT64_MAX;
    for (size_t i = 0; i < d->count; i++) {
        struct request *r = d->delayed[i].request;
        if (d->stopping || d->delayed[i].at_us <= now_us) {
            d->delayed[i] = d->delayed[--d->count];
            return r;
        }
        if (d->delayed[i].at_us < *ret_next_us)
            *ret_next_us = d->delayed[i].at_us;
    }
    return NULL;
}

static void *delays_loop(void *argument)
{
    struct delays *d = argument;
    pthread_mutex_lock(&d->lock);
    while (!d->stopping || d->count > 0) {
        int64_t next_us;
        struct request *r = take_due(d, clock_mono_us(), &next_us);
        if (r) {
            pthread_mutex_unlock(&d->lock);
            request_resume(r);
            pthread_mutex_lock(&d->lock);
        } else if (next_us == INT64_MAX) {
            pthread_cond_wait(&d->came, &d->lock);
        } else {
            (void)condition_wait_until(&d->came, &d->lock, next_us);
        }
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

enum request_step delay_answer(struct delays *d, struct request *r, int64_t begun_us)
{
    const int64_t took_us = clock_mono_us() - begun_us;
    const int64_t at_us = begun_us + (took_us / d->span_us + 1) * d->span_us;
    pthread_mutex_lock(&d->lock);
    const bool taken = d->count < DELAYED_MAX && !d->stopping;
    if (taken) {
        d->delayed[d->count].request = r;
        d->delayed[d->count++].at_us = at_us;
        pthread_cond_signal(&d->came);
    }
    pthread_mutex_unlock(&d->lock);
    return taken ? REQUEST_SUSPENDED : REQUEST_DONE;
}

/* --- life --- */

err delays_create(const struct config *config, struct delays **ret)
{
    struct delays *d = mem_alloc(sizeof *d);
    d->span_us = config_int(config, "login.refusal_ms") * 1000;
    pthread_mutex_init(&d->lock, NULL);
    condition_init(&d->came);
    if (pthread_create(&d->thread, NULL, delays_loop, d) != 0) {
        delays_destroy(d);
        return err_set(FATAL, "the thread of delayed answers could not be started; raise the limit of threads");
    }
    pthread_setname_np(d->thread, "delays");
    d->started = true;
    *ret = d;
    return OK;
}

void delays_stop(struct delays *d)
{
    if (!d || !d->started)
        return;
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_signal(&d->came);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    d->started = false;
}

void delays_destroy(struct delays *d)
{
    if (!d)
        return;
    delays_stop(d);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->came);
    free(d);
}
