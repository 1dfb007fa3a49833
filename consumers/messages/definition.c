#include "consumers/messages/cache.h"
#include "consumers/messages/streams.h"

static const struct stream_worker rooms_worker = {
    .stream = &rooms_stream,
    .state_create = rooms_state_create,
    .state_destroy = rooms_state_destroy,
    .state_clear = rooms_state_clear,
    .state_size = rooms_state_size,
    .load = rooms_load,
    .decide = rooms_decide,
    .evolve = rooms_evolve,
    .fold = rooms_fold,
    .cache = room_cache_write,
};

const struct worker_definition messages_definition = {
    .name = "messages",
    .summary = "decides and folds the stream rooms: rooms, members, messages",
    .streams = (const struct stream_worker *const[]){ &rooms_worker, NULL },
    .signals = &receipts_signals,
    .due = rooms_due,
    .due_of_erased = rooms_due_of_erased,
    .migrations = messages_migrations,
};
