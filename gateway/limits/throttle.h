/* throttle: who guesses passwords waits, longer each time.
 *
 * Failures are counted in Redis for each name that is tried (whether anybody has it or not) and for each client
 * address. The first few cost nothing; from then on the next attempt must come login.delay_ms after the last one, then
 * twice as long, … up to login.delay_max_ms; after login.forget_s without a failure all is forgotten. An attempt that
 * comes too early is answered 429 without a look at the password. So a guesser gets a few thousand guesses a day for a
 * name, from however many addresses.
 *
 * A stranger who keeps failing on somebody's name must not keep that person out: an address from which the person has
 * logged in during the last 30 days has a count of its own for this name, which strangers do not touch.
 *
 * An attempt counts from its beginning, so that many at once are as good as one after the other; a success takes it
 * back. Redis away: nothing is delayed here; the rate limits of addresses hold without it. Keys are "aether:login:" and
 * a keyed hash: neither names nor addresses stand in Redis. Any thread, with its own connection. */
#pragma once

#include "gateway/pool.h"
#include "ops/runtime/config.h"

struct throttle;

extern const struct setting throttle_settings[]; /* login.… */

struct throttle *throttle_create(const struct config *config, const uint8_t key[32]);
void throttle_destroy(struct throttle *t);

/* What is counted. */
struct attempt {
    uint8_t name[16], pair[16], address[16];
    bool counted, known; /* known: `pair` stands for `name` */
};

/* 0: go on. Else milliseconds until the next attempt is looked at. `name` is any text that stands for the account as it
 * was typed. */
int64_t throttle_begin(const struct throttle *t, struct pool_thread *thread, struct str name, struct address address,
                       struct attempt *ret);
/* The password was right: this address is known for this name from now on. */
void throttle_succeeded(struct pool_thread *thread, const struct attempt *attempt);
/* Nobody looked at the password in the end. */
void throttle_withdrawn(struct pool_thread *thread, const struct attempt *attempt);

/* Fills the 429. */
void throttle_refuse(struct request *r, int64_t wait_ms);
