#include "tests/log/deliveries.h"

#include <stdio.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "tests/settings.h"
#include "topics/topics.h"

static void on_delivered(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset)
{
    struct deliveries *d = context;
    pthread_mutex_lock(&d->mutex);
    struct delivery_seen *seen = &d->seen[d->count++];
    *seen = (struct delivery_seen){ .delivery = delivery, .partition = partition, .offset = offset };
    if (delivery != DELIVERED)
        snprintf(seen->message, sizeof seen->message, "%s", err_message());
    d->of_append[(uintptr_t)opaque] = d->count;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->mutex);
}

#define MAX_SETTINGS 16

struct config *deliveries_settings(const char *const *pairs)
{
    static const struct setting *const tables[] = { runtime_kafka_settings, topics_settings, producer_settings, NULL };
    return settings_of(tables, pairs);
}

struct deliveries *deliveries_start(const char *bootstrap, bool own_thread, const char *const *assignments)
{
    char servers[512];
    snprintf(servers, sizeof servers, "kafka.bootstrap.servers=%s", bootstrap);
    const char *all[MAX_SETTINGS] = { servers };
    for (size_t i = 1; assignments && *assignments && i < MAX_SETTINGS - 1; i++)
        all[i] = *assignments++;

    struct deliveries *d = mem_alloc(sizeof *d);
    d->config = deliveries_settings(all);
    pthread_mutex_init(&d->mutex, NULL);
    d->own_thread = own_thread;
    condition_init(&d->changed);
    if (producer_create(d->config, "test", own_thread, on_delivered, d, &d->producer) != OK) {
        fprintf(stderr, "%s\n", err_message());
        abort();
    }
    return d;
}

void deliveries_finish(struct deliveries *d)
{
    producer_destroy(d->producer);
    config_destroy(d->config);
    pthread_mutex_destroy(&d->mutex);
    pthread_cond_destroy(&d->changed);
    free(d);
}

err deliveries_append(struct deliveries *d, const char *topic, int32_t partition, size_t n)
{
    char payload[32];
    int len = snprintf(payload, sizeof payload, "record %zu", n);
    struct meta meta = { .id = uuid_v7(clock_wall_ms()), .at = clock_wall_ms() };
    struct append append = { .topic = topic,
                             .partition = partition,
                             .key = meta.id,
                             .payload = { payload, (size_t)len },
                             .meta = &meta,
                             .type = "aether.test.Appended",
                             .opaque = (void *)n };
    return producer_append(d->producer, &append);
}

bool deliveries_wait(struct deliveries *d, size_t count, int timeout_ms)
{
    const int64_t until = clock_mono_us() + timeout_ms * 1000LL;
    if (!d->own_thread) { /* callbacks run within the poll; each poll gives up what is overdue */
        while (d->count < count && clock_mono_us() < until)
            producer_poll(d->producer, timeout_ms < 50 ? timeout_ms : 50);
        return d->count >= count;
    }
    pthread_mutex_lock(&d->mutex);
    while (d->count < count && condition_wait_until(&d->changed, &d->mutex, until))
        ;
    const bool enough = d->count >= count;
    pthread_mutex_unlock(&d->mutex);
    return enough;
}

bool deliveries_append_within(struct deliveries *d, const char *topic, int32_t partition, size_t n, int timeout_ms)
{
    int64_t until = clock_mono_us() + timeout_ms * 1000LL;
    err e;
    while ((e = deliveries_append(d, topic, partition, n)) == RETRY && clock_mono_us() < until) {
        pthread_mutex_lock(&d->mutex);
        const size_t seen = d->count;
        pthread_mutex_unlock(&d->mutex);
        deliveries_wait(d, seen + 1, 20); /* a full queue has room then; a broker that comes back is seen by asking */
    }
    return e == OK;
}

struct delivery_seen deliveries_of(struct deliveries *d, size_t n)
{
    pthread_mutex_lock(&d->mutex);
    if (d->of_append[n] == 0) {
        fprintf(stderr, "record %zu has no delivery\n", n);
        abort();
    }
    struct delivery_seen seen = d->seen[d->of_append[n] - 1];
    pthread_mutex_unlock(&d->mutex);
    return seen;
}

size_t deliveries_count(struct deliveries *d, enum delivery delivery)
{
    size_t count = 0;
    pthread_mutex_lock(&d->mutex);
    for (size_t i = 0; i < d->count; i++)
        count += d->seen[i].delivery == delivery;
    pthread_mutex_unlock(&d->mutex);
    return count;
}
