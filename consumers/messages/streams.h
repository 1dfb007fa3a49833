/* messages/streams: what the loop is given for the stream rooms (see consumers/loop/worker.h for the contract of each). */
#pragma once

#include "consumers/loop/worker.h"
#include "consumers/messages/decide.h"
#include "consumers/messages/row.h"

err rooms_load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records, size_t count,
               bool facts) MUST_CHECK;
err rooms_fold(struct pg *pg, struct arena *arena, const void *state, const struct placed_fact *facts,
               size_t count) MUST_CHECK;

err rooms_due(struct pg *pg, struct arena *arena, const int32_t *partitions, size_t count, int64_t now_ms,
              struct any_record ***ret, size_t *ret_count) MUST_CHECK;
bool rooms_due_of_erased(struct any_record *command);

extern const struct signal_worker receipts_signals;
extern const struct worker_definition messages_definition;
extern const struct migration messages_migrations[]; /* tables.sql */
