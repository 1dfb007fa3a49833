/* users/streams: what the loop is given for the streams accounts and sessions (consumers/loop/worker.h has the contract of
 * each). */
#pragma once

#include "consumers/loop/worker.h"
#include "consumers/users/decide.h"

err accounts_load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records,
                  size_t count, bool facts) MUST_CHECK;
err accounts_fold(struct pg *pg, struct arena *arena, const void *state, const struct placed_fact *facts,
                  size_t count) MUST_CHECK;
err accounts_hold(struct pg *pg, struct arena *arena, const struct placed_fact *fact) MUST_CHECK;

err sessions_load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records,
                  size_t count, bool facts) MUST_CHECK;
err sessions_fold(struct pg *pg, struct arena *arena, const void *state, const struct placed_fact *facts,
                  size_t count) MUST_CHECK;

extern const struct worker_definition users_definition;
extern const struct migration users_migrations[]; /* tables.sql */
