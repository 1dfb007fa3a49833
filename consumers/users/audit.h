/* users/audit: a row of users.audit for each fact. Who, when, what, to whom, from where, by which request and command;
 * of the fact's own fields no secrets, and of personal data only the reason of a suspension. */
#pragma once

#include "consumers/loop/worker.h"

err accounts_audit(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count) MUST_CHECK;
err sessions_audit(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count) MUST_CHECK;
