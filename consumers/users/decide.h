/* users/decide: the rules of accounts and of sessions. Pure: no clock, no I/O, nothing but the arguments.
 *
 * Each decide: the state and a command give ACCEPTED and *ret_fact, all but its meta, or a rejection. What the command
 * needs must have been loaded (asserted). The fact points into the command; sealed fields keep the command's
 * ciphertext. */
#pragma once

#include "consumers/outcome/rejection.h"
#include "consumers/users/state.h"
#include "schemas/accounts.gen.h"
#include "schemas/sessions.gen.h"

/* struct accounts_state, struct accounts_command, struct accounts_fact */
int accounts_decide(const void *state, const struct any_record *command, struct any_record *ret_fact);
void accounts_evolve(void *state, const struct any_record *fact);

/* struct sessions_state, struct sessions_command, struct sessions_fact. The session of a fact that is no start must
 * have been loaded (asserted). */
int sessions_decide(const void *state, const struct any_record *command, struct any_record *ret_fact);
void sessions_evolve(void *state, const struct any_record *fact);

/* The session that a fact is about; false: none. */
bool session_of_fact(const struct sessions_fact *f, struct session_key *ret);
