/* How fast one process folds messages into the projection, with its indexes, the checkpoint and the outcomes, as the
 * loop does: by turns as the worker does it, and by rows in memory (consumers/messages/evolve_rows.h). Not a test: run it
 * by hand,
 *     AETHER_TEST_POSTGRES_DSN=… build/tests/consumers/bench_fold [facts, default 1000000] [rooms 1000] [batch 2000] …
 * Each further argument is another batch size. AETHER_BENCH_TURNS (1) is how many of each, AETHER_BENCH_SQL is run first,
 * to compare other tables by turns. Prints facts a second, CPU a fact, bytes a row, and a checksum of the tables, which
 * must be the same. */
#include <stdio.h>
#include <stdlib.h>

#include "consumers/loop/checkpoint.h"
#include "consumers/messages/evolve_rows.h"
#include "consumers/messages/streams.h"
#include "consumers/outcome/operation.h"
#include "consumers/projection/rows.h"
#include "ops/runtime/clock.h"
#include "tests/consumers/database.h"

#define BODY_LEN   120
#define FACT_LEN   300
#define PARTITIONS 6
#define MEMBERS    16 /* of each room; they post in it */

struct load {
    size_t facts, rooms;
    int64_t *last_seq;
    struct uuid *room_ids, *user_ids;
    uint64_t chance;
};

static uint64_t any(struct load *l)
{
    l->chance ^= l->chance << 13;
    l->chance ^= l->chance >> 7;
    l->chance ^= l->chance << 17;
    return l->chance >> 11;
}

/* The person of this number among the members of a room. */
static struct uuid member_of(const struct load *l, size_t room, size_t number)
{
    return l->user_ids[(room + number) % l->rooms];
}

static void evolve(struct database *d, const struct stream_worker *worker, void *state, struct arena *arena,
                   const struct placed_fact *placed, size_t count)
{
    const struct any_record **facts = ARENA_ARRAY(arena, const struct any_record *, count);
    for (size_t i = 0; i < count; i++)
        facts[i] = placed[i].fact;
    if (worker->load(state, d->pg, arena, facts, count, true) != OK) {
        fprintf(stderr, "load: %s\n", err_message());
        exit(1);
    }
    for (size_t i = 0; i < count; i++)
        worker->evolve(state, facts[i]);
}

/* What is compared. */
struct side {
    const struct stream_worker *worker;
    void *state;       /* … by the worker's state and its fold */
    struct rows *rows; /* … by rows; NULL: not */
};

static void evolve_side(struct database *d, struct side *side, struct arena *arena, const struct placed_fact *placed,
                        size_t count)
{
    if (!side->rows) {
        evolve(d, side->worker, side->state, arena, placed, count);
        return;
    }
    rows_begin(side->rows, arena);
    if (rows_fold(side->rows, d->pg, rooms_evolve_rows, placed, count) != OK) {
        fprintf(stderr, "fold: %s\n", err_message());
        exit(1);
    }
}

static err fold_side(struct database *d, const struct side *side, struct arena *arena, const struct placed_fact *placed,
                     size_t count)
{
    return side->rows ? rows_flush(side->rows, d->pg) : side->worker->fold(d->pg, arena, side->state, placed, count);
}

/* The transaction of the loop (commit.c). Returns the microseconds until all was queued. */
static int64_t commit(struct database *d, struct side *side, struct arena *arena, const struct placed_fact *placed,
                      size_t count, struct checkpoint *at)
{
    static char fact[FACT_LEN];
    const int64_t began = clock_mono_us();
    evolve_side(d, side, arena, placed, count);
    struct operation *operations = ARENA_ARRAY(arena, struct operation, count);
    const struct operation **rows = ARENA_ARRAY(arena, const struct operation *, count);
    struct checkpoint *to = ARENA_ARRAY(arena, struct checkpoint, PARTITIONS);
    for (size_t i = 0; i < count; i++) {
        operations[i] = (struct operation){ .command_id = uuid_v7(placed[i].fact->meta.at),
                                            .actor = placed[i].fact->meta.actor,
                                            .stream = STR("rooms"),
                                            .fact_offset = placed[i].offset,
                                            .request_hash = { fact, 32 },
                                            .fact = { fact, sizeof fact },
                                            .at = placed[i].fact->meta.at };
        rows[i] = &operations[i];
    }
    for (size_t i = 0; i < PARTITIONS; i++) {
        to[i] = at[i];
        to[i].next_offset++;
    }
    if (pg_batch_begin(d->pg) != OK || pg_batch_add(d->pg, &pg_sql_begin, NULL) != OK ||
        checkpoint_advance(d->pg, arena, at, to, PARTITIONS) != OK || fold_side(d, side, arena, placed, count) != OK ||
        operation_record(d->pg, arena, rows, count, false) != OK || pg_batch_add(d->pg, &pg_sql_commit, NULL) != OK) {
        fprintf(stderr, "fold: %s\n", err_message());
        exit(1);
    }
    const int64_t queued = clock_mono_us();
    if (pg_batch_end(d->pg, NULL, 0) != OK) {
        fprintf(stderr, "fold: %s\n", err_message());
        exit(1);
    }
    memcpy(at, to, PARTITIONS * sizeof *to);
    return queued - began;
}

/* Microseconds of CPU that the server's process for this connection has used; 0 when it is not on this machine. */
static int64_t server_cpu_us(struct database *d)
{
    struct arena arena;
    arena_init(&arena, 0);
    char *path =
        arena_printf(&arena, "/proc/%s/schedstat", database_value(d, &arena, "SELECT pg_backend_pid()::text").ptr);
    long long nanoseconds = 0;
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%lld", &nanoseconds) != 1)
        nanoseconds = 0;
    if (f)
        fclose(f);
    arena_finish(&arena);
    return nanoseconds / 1000;
}

static void create_rooms(struct load *l, struct database *d, const struct stream_worker *worker)
{
    const size_t count = l->rooms * MEMBERS;
    struct rooms_fact *facts = mem_alloc(count * sizeof *facts);
    struct placed_fact *placed = mem_alloc(count * sizeof *placed);
    for (size_t i = 0; i < count; i++) {
        const size_t room = i / MEMBERS, number = i % MEMBERS;
        const struct uuid user = member_of(l, room, number);
        const struct meta meta = { .actor = user, .at = 1700000000000 };
        facts[i].type = number == 0 ? ROOMS_ROOM_CREATED : ROOMS_MEMBER_JOINED;
        if (number == 0)
            facts[i].room_created = (struct room_created){ .meta = meta,
                                                           .room_id = l->room_ids[room],
                                                           .name = { .clear = STR("room"), .state = OPEN } };
        else
            facts[i].member_joined =
                (struct member_joined){ .meta = meta, .room_id = l->room_ids[room], .user_id = user };
        placed[i] = (struct placed_fact){ (const struct any_record *)&facts[i], 0, (int64_t)i };
    }
    database_fold(d, worker, placed, count, 0);
    free(facts);
    free(placed);
}

static void run(struct load *l, size_t batch, bool by_rows)
{
    static char body[BODY_LEN + 1];
    memset(body, 'x', BODY_LEN);
    const struct worker_definition *const definitions[] = { &messages_definition, NULL };
    const struct stream_worker *worker = messages_definition.streams[0];
    struct database d;
    database_create(&d, definitions);
    database_run(&d, "SET synchronous_commit = on; SET search_path = messages, public");
    if (getenv("AETHER_BENCH_SQL"))
        database_run(&d, getenv("AETHER_BENCH_SQL"));
    memset(l->last_seq, 0, l->rooms * sizeof *l->last_seq);
    create_rooms(l, &d, worker);

    struct arena arena;
    arena_init(&arena, 256 * 1024);
    struct rooms_fact *facts = mem_alloc(batch * sizeof *facts);
    struct placed_fact *placed = mem_alloc(batch * sizeof *placed);
    int64_t queueing = 0, waiting = 0;
    struct side side = { .worker = worker,
                         .state = by_rows ? NULL : worker->state_create(),
                         .rows = by_rows ? rows_create(rooms_tables, rooms_table_count) : NULL };
    l->chance = 88172645463325252ull;
    struct checkpoint checkpoints[PARTITIONS];
    const int64_t ends[PARTITIONS] = { 0 };
    for (int i = 0; i < PARTITIONS; i++)
        checkpoints[i] = (struct checkpoint){ .stream = "rooms", .partition = i };
    if (checkpoint_load(d.pg, &arena, checkpoints, ends, PARTITIONS) != OK) {
        fprintf(stderr, "checkpoint: %s\n", err_message());
        exit(1);
    }
    const int64_t cpu_began = server_cpu_us(&d);
    for (size_t at = 0; at < l->facts; at += batch) {
        const size_t count = batch < l->facts - at ? batch : l->facts - at;
        for (size_t i = 0; i < count; i++) {
            const size_t room = any(l) % l->rooms;
            facts[i].type = ROOMS_MESSAGE_POSTED;
            facts[i].message_posted = (struct message_posted){
                .meta = { .actor = member_of(l, room, any(l) % MEMBERS), .at = 1700000000000 + (int64_t)at },
                .room_id = l->room_ids[room],
                .message_id = uuid_v7(1700000000000 + (int64_t)(at + i)),
                .seq = ++l->last_seq[room],
                .body = { .clear = { body, BODY_LEN }, .state = OPEN },
            };
            placed[i] =
                (struct placed_fact){ (const struct any_record *)&facts[i], 0, (int64_t)(l->rooms * MEMBERS + at + i) };
        }
        const int64_t began = clock_mono_us();
        const int64_t queued = commit(&d, &side, &arena, placed, count, checkpoints);
        queueing += queued;
        waiting += clock_mono_us() - began - queued;
        arena_reset(&arena);
    }
    const int64_t cpu = server_cpu_us(&d) - cpu_began;
    arena_reset(&arena);
    database_run(&d, "SELECT pg_stat_force_next_flush()");
    const struct str size =
        database_value(&d, &arena,
                       "SELECT (pg_table_size('messages.messages') / count(*)) || ' + ' ||"
                       "       (pg_indexes_size('messages.messages') / count(*)) FROM messages.messages");
    const struct str hot = database_value(&d, &arena,
                                          "SELECT n_tup_hot_upd * 100 / greatest(n_tup_upd, 1) FROM pg_stat_user_tables"
                                          " WHERE relname = 'rooms'");
    const struct str sum = database_value(
        &d, &arena,
        "SELECT md5(concat((SELECT sum(hashtext(concat(room_id, seq, sender_id, body, position, reactions))::bigint)"
        "                     FROM messages.messages),"
        "                  (SELECT string_agg(m::text, ' ' ORDER BY room_id, user_id) FROM messages.members m),"
        "                  (SELECT string_agg(r::text, ' ' ORDER BY room_id) FROM messages.rooms r)))");
    printf("%-6s batch %6zu: %8.0f facts/s; CPU a fact: %.2f us ours to queue, %.2f us the server's; %s bytes a row "
           "(table "
           "+ index);"
           " %s%% HOT; %.8s\n",
           by_rows ? "rows" : "state", batch, (double)l->facts * 1e6 / (double)(queueing + waiting),
           (double)queueing / (double)l->facts, (double)cpu / (double)l->facts, arena_str(&arena, size).ptr,
           arena_str(&arena, hot).ptr, sum.ptr);
    fflush(stdout);
    arena_finish(&arena);
    free(facts);
    free(placed);
    if (side.state)
        worker->state_destroy(side.state);
    rows_destroy(side.rows);
    database_destroy(&d);
}

int main(int argc, char **argv)
{
    struct load l = { .facts = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000,
                      .rooms = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000,
                      .chance = 88172645463325252ull };
    l.last_seq = mem_alloc(l.rooms * sizeof *l.last_seq);
    l.room_ids = mem_alloc(l.rooms * sizeof *l.room_ids);
    l.user_ids = mem_alloc(l.rooms * sizeof *l.user_ids);
    for (size_t i = 0; i < l.rooms; i++) {
        l.room_ids[i] = uuid_v7(1600000000000 + (int64_t)i);
        l.user_ids[i] = uuid_v7(1500000000000 + (int64_t)i);
    }
    const char *turns = getenv("AETHER_BENCH_TURNS");
    for (int i = argc <= 3 ? 2 : 3; i < (argc <= 3 ? 3 : argc); i++)
        for (unsigned long turn = 0; turn < 2 * (turns ? strtoul(turns, NULL, 10) : 1); turn++)
            run(&l, argc <= 3 ? 2000 : strtoul(argv[i], NULL, 10), turn % 2);
    free(l.last_seq);
    free(l.room_ids);
    free(l.user_ids);
    return 0;
}
