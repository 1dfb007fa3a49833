/* deliveries: a producer under test, and what became of each of its appends. */
#pragma once

#include <pthread.h>

#include "producers/producer.h"

#define DELIVERIES_MAX 4096

struct delivery_seen {
    enum delivery delivery;
    int32_t partition;
    int64_t offset;
    char message[512];
};

struct deliveries {
    struct config *config;
    struct producer *producer;
    bool own_thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t count;
    struct delivery_seen seen[DELIVERIES_MAX]; /* in the order of the callbacks */
    size_t of_append[DELIVERIES_MAX];          /* 1 + index in seen, by the append's number; 0: none yet */
};

/* A configuration of "name=value" pairs, ended by NULL. */
struct config *deliveries_settings(const char *const *pairs);

/* A producer on `bootstrap` with more "name=value" settings (ended by NULL, or NULL). */
struct deliveries *deliveries_start(const char *bootstrap, bool own_thread, const char *const *assignments);
void deliveries_finish(struct deliveries *d);

/* Appends record number `n` (below DELIVERIES_MAX) to the partition. */
MUST_CHECK err deliveries_append(struct deliveries *d, const char *topic, int32_t partition, size_t n);
/* As deliveries_append, again and again while it says RETRY; false when it still does after timeout_ms. */
bool deliveries_append_within(struct deliveries *d, const char *topic, int32_t partition, size_t n, int timeout_ms);

/* Waits until there are `count` of them (without an own thread: polls). False after timeout_ms. */
bool deliveries_wait(struct deliveries *d, size_t count, int timeout_ms);
/* The one of append `n`, which must be there. */
struct delivery_seen deliveries_of(struct deliveries *d, size_t n);
/* How many had this outcome. */
size_t deliveries_count(struct deliveries *d, enum delivery delivery);
