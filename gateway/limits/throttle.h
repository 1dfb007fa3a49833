/* throttle: who guesses passwords waits, longer each time.
 *
 * Failures are counted for each name that is tried (whether anybody has it or not) and for each client address. The
 * first few cost nothing; from then on the next attempt must come login.delay_ms after the last one, then twice as
 * long, … up to login.delay_max_ms; after login.forget_s without a failure all is forgotten. An attempt that comes too
 * early is answered 429 without a look at the password. So a guesser gets a few thousand guesses a day for a name, from
 * however many addresses.
 *
 * A stranger who keeps failing on somebody's name must not keep that person out: an address from which the person has
 * logged in during the last 30 days has a count of its own for this name, which strangers do not touch.
 *
 * An attempt counts from its beginning, so that many at once are as good as one after the other; a success takes it
 * back. All gateways count in Redis, and each one also in its own memory (attempts.h): an attempt must be let through
 * by both. While Redis is away each gateway's own count goes on, so that N gateways let through at most N times as
 * much. Keys are "aether:login:" and a keyed hash: neither names nor addresses stand in Redis. Any thread, with its own
 * connection. */
#pragma once

#include "gateway/limits/attempts.h"
#include "gateway/pool.h"
#include "ops/runtime/config.h"

struct throttle;

extern const struct setting throttle_settings[]; /* login.… */

struct throttle *throttle_create(const struct config *config, const uint8_t key[32]);
void throttle_destroy(struct throttle *t);

/* What is counted, and where. */
struct attempt {
    struct attempt_keys keys;
    bool counted, known;               /* in this process; known: the pair stands for the name */
    bool counted_shared, known_shared; /* likewise in Redis */
};

/* 0: go on. Else milliseconds until the next attempt is looked at. `name` is any text that stands for the account: the
 * same, whichever of its names was typed. */
int64_t throttle_begin(const struct throttle *t, struct pool_thread *thread, struct str name, struct address address,
                       struct attempt *ret);
/* The password was right: this address is known for this name from now on. */
void throttle_succeeded(const struct throttle *t, struct pool_thread *thread, const struct attempt *attempt);
/* Nobody looked at the password in the end. */
void throttle_withdrawn(const struct throttle *t, struct pool_thread *thread, const struct attempt *attempt);

/* Fills the 429. */
void throttle_refuse(struct request *r, int64_t wait_ms);
