#include "consumers/loop/loop.h"
#include "ops/runtime/log.h"

#define UNIQUE_VIOLATION "23505" /* SQLSTATE */

void commit_init(struct worker *w, struct commit *c, struct arena *arena, size_t max_facts, size_t max_operations)
{
    memset(c, 0, sizeof *c);
    c->from = ARENA_ARRAY(arena, struct checkpoint, w->partition_count);
    c->to = ARENA_ARRAY(arena, struct checkpoint, w->partition_count);
    for (size_t s = 0; s < w->stream_count; s++)
        c->facts[s] = ARENA_ARRAY(arena, struct placed_fact, max_facts);
    c->operations = ARENA_ARRAY(arena, const struct operation *, max_operations);
}

void commit_add_fact(struct commit *c, size_t stream, const struct any_record *fact, int32_t partition, int64_t offset)
{
    c->facts[stream][c->fact_count[stream]++] =
        (struct placed_fact){ .fact = fact, .partition = partition, .offset = offset };
}

err commit_open_facts(struct worker *w, struct commit *c, struct arena *arena)
{
    size_t total = 0;
    for (size_t s = 0; s < w->stream_count; s++)
        total += c->fact_count[s];
    struct uuid *subjects = ARENA_ARRAY(arena, struct uuid, total * 8 + 8);
    size_t count = 0;
    for (size_t s = 0; s < w->stream_count; s++) {
        const struct record_union *facts = &w->definition->streams[s]->stream->fact;
        for (size_t i = 0; i < c->fact_count[s]; i++)
            count += facts->subjects(c->facts[s][i].fact, subjects + count);
    }
    if (count > 0)
        TRY(vault_fetch(w->vault, w->read_pg, subjects, count));
    for (size_t s = 0; s < w->stream_count; s++) {
        const struct record_union *facts = &w->definition->streams[s]->stream->fact;
        for (size_t i = 0; i < c->fact_count[s]; i++)
            TRY(facts->open((struct any_record *)c->facts[s][i].fact, w->vault, arena));
    }
    return OK;
}

static err send_rows(struct worker *w, struct commit *c, struct arena *arena)
{
    TRY(pg_batch_add(w->pg, &pg_sql_begin, NULL));
    TRY(checkpoint_advance(w->pg, arena, c->from, c->to, c->partition_count));
    for (size_t s = 0; s < w->stream_count; s++)
        if (c->fact_count[s] > 0)
            TRY(w->definition->streams[s]->fold(w->pg, arena, c->evolved ? w->states[s] : NULL, c->facts[s],
                                                c->fact_count[s]));
    w->repeated |= c->repeated; /* then a row that is there is the fact's fault, and not to be tried again */
    TRY(operation_record(w->pg, arena, c->operations, c->operation_count, w->repeated));
    return pg_batch_flush(w->pg);
}

err commit_send(struct worker *w, struct commit *c, struct arena *arena)
{
    w->commit_asked = false;
    TRY(pg_batch_begin(w->pg));
    const err e = send_rows(w, c, arena);
    if (e != OK)
        pg_disconnect(w->pg); /* and with it the open transaction */
    return e;
}

err commit_ask(struct worker *w)
{
    TRY(pg_batch_add(w->pg, &pg_sql_commit, NULL));
    TRY(pg_batch_flush(w->pg));
    w->commit_asked = true;
    return OK;
}

err commit_finish(struct worker *w)
{
    err e = w->commit_asked ? OK : pg_batch_add(w->pg, &pg_sql_commit, NULL);
    w->commit_asked = false;
    if (e == OK)
        e = pg_batch_end(w->pg, NULL, 0);
    if (e == OK) {
        w->repeated = false;
        return OK;
    }
    const bool moved = strcmp(pg_sqlstate(w->pg), CHECKPOINT_MOVED) == 0;
    const bool repeated = strcmp(pg_sqlstate(w->pg), UNIQUE_VIOLATION) == 0 && !w->repeated;
    pg_disconnect(w->pg);
    w->repeated = repeated;
    if (repeated)
        return err_set(RETRY, "a row is there already; trying again with outcomes that may be");
    if (moved)
        return err_set(RETRY, "another owner of the partition has moved its checkpoint; reading on from there");
    return e;
}

static err write_cache(struct worker *w, struct commit *c, struct arena *arena)
{
    const bool was_down = metrics_read(w->metrics, METRIC_CACHE_DOWN) != 0;
    for (size_t s = 0; s < w->stream_count; s++) {
        const struct stream_worker *sw = w->definition->streams[s];
        if (!sw->cache)
            continue;
        if (was_down)
            TRY(sw->cache(w->redis, arena, NULL, 0));
        if (c && c->fact_count[s] > 0)
            TRY(sw->cache(w->redis, arena, c->facts[s], c->fact_count[s]));
    }
    return OK;
}

void commit_cache(struct worker *w, struct commit *c, struct arena *arena)
{
    const bool was_down = metrics_read(w->metrics, METRIC_CACHE_DOWN) != 0;
    if (!c && !was_down)
        return;
    const err e = write_cache(w, c, arena);
    if (e != OK && !was_down)
        LOG(WARN, "cache not written; what it holds is dropped as soon as Redis answers", F_ERR);
    if (e == OK && was_down)
        LOG(INFO, "cache is written again");
    metrics_set(w->metrics, METRIC_CACHE_DOWN, e != OK);
}

void commit_uncache(struct worker *w, struct arena *arena)
{
    err e = OK;
    for (size_t s = 0; s < w->stream_count && e == OK; s++)
        if (w->definition->streams[s]->cache)
            e = w->definition->streams[s]->cache(w->redis, arena, NULL, 0);
    if (e != OK)
        metrics_set(w->metrics, METRIC_CACHE_DOWN, 1); /* dropped as soon as Redis answers */
}
