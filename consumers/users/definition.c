#include "consumers/users/cache.h"
#include "consumers/users/streams.h"

static const struct stream_worker accounts_worker = {
    .stream = &accounts_stream,
    .state_create = accounts_state_create,
    .state_destroy = accounts_state_destroy,
    .state_clear = accounts_state_clear,
    .state_size = accounts_state_size,
    .load = accounts_load,
    .decide = accounts_decide,
    .evolve = accounts_evolve,
    .fold = accounts_fold,
    .cache = accounts_cache_write,
    .hold = accounts_hold,
};

static const struct stream_worker sessions_worker = {
    .stream = &sessions_stream,
    .state_create = sessions_state_create,
    .state_destroy = sessions_state_destroy,
    .state_clear = sessions_state_clear,
    .state_size = sessions_state_size,
    .load = sessions_load,
    .decide = sessions_decide,
    .evolve = sessions_evolve,
    .fold = sessions_fold,
    .cache = sessions_cache_write,
};

const struct worker_definition users_definition = {
    .name = "users",
    .summary = "decides and folds the streams accounts and sessions",
    .streams = (const struct stream_worker *const[]){ &accounts_worker, &sessions_worker, NULL },
    .migrations = users_migrations,
};
