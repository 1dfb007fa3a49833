#include "tests/consumers/story.h"

struct database db;
struct arena arena;
int64_t position;

void story_begin(const struct worker_definition *worker)
{
    database_create(&db, (const struct worker_definition *const[]){ worker, NULL });
    arena_init(&arena, 0);
    position = 0;
}

void story_end(void)
{
    arena_finish(&arena);
    database_destroy(&db);
}

void story_fold(const struct worker_definition *worker, size_t stream, const struct any_record *fact, int32_t partition)
{
    const struct placed_fact placed = { fact, partition, position++ };
    database_fold(&db, worker->streams[stream], &placed, 1, 0);
}
