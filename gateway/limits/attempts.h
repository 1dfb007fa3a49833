/* attempts: log-ins that failed, counted in this process, so that who guesses waits also while Redis is away.
 *
 * The rules are those of throttle.h: the first few failures are free, each further one doubles the delay, after
 * forget_ms without another all is forgotten. Keys are 16 bytes of a keyed hash. They lie in a table of fixed size
 * (16,384 entries, sets of eight); a new key takes the place of one that is forgotten, else of one with the fewest
 * failures. Pure but for its lock: the caller brings the time. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ATTEMPT_KEY_LEN 16

struct attempts;

struct attempt_rules {
    int64_t name_free, address_free; /* failures before the first delay, at least 1 */
    int64_t delay_ms, delay_max_ms, forget_ms, known_ms;
};

/* What is counted: a name, a name and an address together, an address. */
struct attempt_keys {
    uint8_t name[ATTEMPT_KEY_LEN], pair[ATTEMPT_KEY_LEN], address[ATTEMPT_KEY_LEN];
};

struct attempts *attempts_create(const struct attempt_rules *rules);
void attempts_destroy(struct attempts *a); /* NULL is fine */

/* 0: one more attempt is counted, for the name, or for the pair once that is known. Else the milliseconds until one is
 * looked at, and nothing is counted. *known: in, somebody else knows the pair; out, `pair` stands for `name`. */
int64_t attempts_begin(struct attempts *a, const struct attempt_keys *keys, int64_t now_ms, bool *known);

/* The attempt does not count: nobody looked at the password, or it was right, and the pair is known from now on. */
void attempts_take_back(struct attempts *a, const struct attempt_keys *keys, int64_t now_ms, bool known,
                        bool succeeded);
