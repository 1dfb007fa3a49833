/* messages/decide: the rules of rooms. Pure: no clock, no I/O, nothing but the arguments. */
#pragma once

#include "consumers/messages/state.h"
#include "consumers/outcome/rejection.h"
#include "schemas/rooms.gen.h"

/* A struct rooms_state and a struct rooms_command give ACCEPTED and *ret_fact (a struct rooms_fact, all but its meta),
 * or a rejection. What the command needs must have been loaded (asserted). The fact points into the command. */
int rooms_decide(const void *state, const struct any_record *command, struct any_record *ret_fact);

/* Brings a struct rooms_fact into the state. Its room must have been loaded (asserted). */
void rooms_evolve(void *state, const struct any_record *fact);
