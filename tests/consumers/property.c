/* evolve and fold are two readings of one fact and must agree.
 *
 * Thousands of short stories of random commands, each with its own few people and rooms. Every story is decided in
 * batches, each batch folded as the loop does, with restarts (the state forgotten) between. After each batch every
 * question that a command can ask is put to the state that evolved and to one loaded afresh: the answers must be equal.
 * In the end the whole log is folded again in batches of other sizes: the rows must be the same, bit for bit.
 *
 * AETHER_TEST_STORIES (400) and AETHER_TEST_SEED (the clock) change the run; the seed is printed. */
#include <stdio.h>
#include <stdlib.h>

#include "consumers/messages/streams.h"
#include "consumers/users/streams.h"
#include "tests/consumers/chance.h"
#include "tests/consumers/database.h"
#include "tests/consumers/property.h"
#include "tests/suite.h"

#define COMMANDS_A_STORY 60
#define BATCH_MAX        12

/* --- chance --- */

struct uuid id_of(uint32_t story, char kind, uint32_t n)
{
    struct uuid id = { { 0 } };
    memcpy(id.bytes, &story, sizeof story);
    id.bytes[8] = (uint8_t)kind;
    memcpy(id.bytes + 10, &n, sizeof n);
    return id;
}

struct str hash_of(struct arena *arena, uint32_t story, char kind, uint32_t n)
{
    char *hash = arena_alloc(arena, HASH_LEN);
    hash[0] = kind;
    memcpy(hash + 1, &story, sizeof story);
    memcpy(hash + 8, &n, sizeof n);
    return (struct str){ hash, HASH_LEN };
}

struct sealed text_of(struct arena *arena)
{
    static const struct str texts[] = {
        { "hello", 5 }, { "", 0 }, { "a\0b", 3 }, { "\xff\xfe", 2 }, { "\xE2\x82\xAC {}\"\\,", 8 }
    };
    if (any(8) == 0)
        return (struct sealed){ .state = ERASED };
    if (any(3) > 0)
        return (struct sealed){ .state = OPEN, .clear = texts[any(5)] };
    return (struct sealed){ .state = OPEN, .clear = str_of(arena_printf(arena, "text %u", any(1000000))) };
}

/* --- the run --- */

struct log {
    struct placed_fact *facts;
    size_t count, capacity;
};

struct play {
    const struct game *game;
    const struct stream_worker *worker;
    struct database *database;
    struct arena arena; /* commands, facts: the whole run */
    struct log log;
    void *state;
    size_t accepted, rejected, questions, restarts;
};

static void log_append(struct play *p, const struct any_record *fact)
{
    struct log *log = &p->log;
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? 2 * log->capacity : 1024;
        log->facts = mem_resize(log->facts, log->capacity * sizeof *log->facts);
    }
    log->facts[log->count] = (struct placed_fact){ fact, 0, (int64_t)log->count };
    log->count++;
}

static void must_load(struct play *p, void *state, const struct any_record *const *records, size_t count, bool facts)
{
    struct arena arena;
    arena_init(&arena, 0);
    ck_assert_msg(p->worker->load(state, p->database->pg, &arena, records, count, facts) == OK, "%s", err_message());
    arena_finish(&arena);
}

static void play_batch(struct play *p, uint32_t story, size_t size)
{
    const struct stream_worker *worker = p->worker;
    const struct any_record *commands[BATCH_MAX];
    for (size_t i = 0; i < size; i++) {
        struct any_record *command = arena_alloc(&p->arena, p->game->command_size);
        p->game->random(&p->arena, story, command);
        commands[i] = command;
    }
    must_load(p, p->state, commands, size, false);
    const size_t from = p->log.count;
    for (size_t i = 0; i < size; i++) {
        struct any_record *fact = arena_alloc(&p->arena, p->game->fact_size);
        if (worker->decide(p->state, commands[i], fact) != ACCEPTED) {
            p->rejected++;
            continue;
        }
        fact->meta = commands[i]->meta;
        if (p->game->keep)
            p->game->keep(&p->arena, fact);
        worker->evolve(p->state, fact);
        log_append(p, fact);
        p->accepted++;
    }
    if (p->log.count > from)
        database_fold_evolved(p->database, worker, p->state, p->log.facts + from, p->log.count - from,
                              any(3) ? 0 : 1 + any(4));
    if (p->game->look)
        p->game->look(p->database->pg, story);
}

/* The state that evolved and one that is loaded answer every question alike. */
static void ask_everything(struct play *p, uint32_t story)
{
    const struct stream_worker *worker = p->worker;
    struct arena arena;
    arena_init(&arena, 0);
    const struct any_record *questions[512];
    size_t count = 0;
    for (;;) {
        struct any_record *question = arena_alloc(&arena, p->game->command_size);
        if (!p->game->question(&arena, story, (uint32_t)count, question))
            break;
        questions[count++] = question;
    }
    void *loaded = worker->state_create();
    must_load(p, loaded, questions, count, false);
    must_load(p, p->state, questions, count, false);
    for (size_t i = 0; i < count; i++) {
        struct any_record *evolved_fact = arena_alloc(&arena, p->game->fact_size);
        struct any_record *loaded_fact = arena_alloc(&arena, p->game->fact_size);
        const int by_evolved = worker->decide(p->state, questions[i], evolved_fact);
        const int by_loaded = worker->decide(loaded, questions[i], loaded_fact);
        ck_assert_msg(by_evolved == by_loaded, "story %u, question %zu: evolved says %d, loaded says %d", story, i,
                      by_evolved, by_loaded);
        if (by_loaded == ACCEPTED && p->game->from_state)
            ck_assert_int_eq(p->game->from_state(evolved_fact), p->game->from_state(loaded_fact));
    }
    p->questions += count;
    worker->state_destroy(loaded);
    arena_finish(&arena);
}

static void tell_story(struct play *p, uint32_t story)
{
    for (size_t played = 0; played < COMMANDS_A_STORY;) {
        const size_t size = 1 + any(BATCH_MAX);
        play_batch(p, story, size);
        played += size;
        if (any(3) == 0)
            ask_everything(p, story);
        if (any(4) == 0) {
            p->worker->state_clear(p->state);
            p->restarts++;
        }
    }
    ask_everything(p, story);
}

/* A state that is loaded with nothing and evolves over the whole log, as in a recovery, knows what the
 * database knows. */
static void evolve_whole_log(struct play *p)
{
    const struct any_record **facts = mem_alloc((p->log.count + 1) * sizeof *facts);
    for (size_t i = 0; i < p->log.count; i++)
        facts[i] = p->log.facts[i].fact;
    p->worker->state_clear(p->state);
    must_load(p, p->state, facts, p->log.count, true);
    for (size_t i = 0; i < p->log.count; i++)
        p->worker->evolve(p->state, facts[i]);
    free(facts);
}

static void truncate_all(struct play *p)
{
    for (const struct game_table *t = p->game->tables; t->name; t++)
        database_run(p->database, arena_printf(&p->arena, "TRUNCATE %s", t->name));
}

/* Of every row of every table. */
static struct str checksum(struct play *p)
{
    const char *sums = "";
    for (const struct game_table *t = p->game->tables; t->name; t++) {
        const char *sql = arena_printf(
            &p->arena,
            "SELECT coalesce(md5(string_agg(t::text, E'\\n' ORDER BY %s)), '') || count(*) FROM (%s FROM %s) t", t->key,
            t->as ? t->as : "SELECT *", t->name);
        sums = arena_printf(&p->arena, "%s %s", sums, database_value(p->database, &p->arena, sql).ptr);
    }
    return str_of(sums);
}

static void fold_again(struct play *p, size_t size)
{
    truncate_all(p);
    for (size_t at = 0; at < p->log.count;) {
        size_t batch = size ? size : 1 + any(400);
        if (batch > p->log.count - at)
            batch = p->log.count - at;
        database_fold(p->database, p->worker, p->log.facts + at, batch, 0);
        at += batch;
    }
}

static void flush(struct play *p, struct rows *rows, const struct pg_statement *end)
{
    ck_ok(pg_batch_begin(p->database->pg));
    ck_ok(pg_batch_add(p->database->pg, &pg_sql_begin, NULL));
    ck_ok(rows_flush(rows, p->database->pg));
    ck_ok(pg_batch_add(p->database->pg, end, NULL));
    ck_ok(pg_batch_end(p->database->pg, NULL, 0));
}

/* By rows in memory: some batches fail and are taken again, and some find nothing in memory. */
static void fold_rows(struct play *p, size_t size)
{
    struct rows *rows = rows_create(p->game->rows, *p->game->row_count);
    struct arena arena;
    arena_init(&arena, 0);
    truncate_all(p);
    for (size_t at = 0; at < p->log.count;) {
        size_t batch = size ? size : 1 + any(400);
        if (batch > p->log.count - at)
            batch = p->log.count - at;
        const bool fails = any(3) == 0;
        rows_begin(rows, &arena);
        ck_ok(rows_fold(rows, p->database->pg, p->game->evolve, p->log.facts + at, batch));
        flush(p, rows, fails ? &pg_sql_rollback : &pg_sql_commit);
        if (!fails)
            at += batch;
        if (fails || any(16) == 0)
            rows_clear(rows);
        arena_reset(&arena);
    }
    rows_destroy(rows);
    arena_finish(&arena);
}

static uint32_t stories(void)
{
    const char *text = getenv("AETHER_TEST_STORIES");
    return text ? (uint32_t)strtoul(text, NULL, 10) : 400;
}

static void play(const struct worker_definition *definition, const struct stream_worker *worker,
                 const struct game *game)
{
    const struct worker_definition *const definitions[] = { definition, NULL };
    struct database database;
    database_create(&database, definitions);
    struct play p = { .game = game, .worker = worker, .database = &database, .state = worker->state_create() };
    arena_init(&p.arena, 1024 * 1024);

    const uint32_t count = stories();
    for (uint32_t story = 0; story < count; story++)
        tell_story(&p, story);
    printf("%s: %u stories, %zu facts, %zu rejections, %zu questions, %zu restarts\n", worker->stream->name, count,
           p.accepted, p.rejected, p.questions, p.restarts);
    ck_assert_uint_gt(p.accepted, count);
    ck_assert_uint_gt(p.rejected, count);

    const struct str sum = checksum(&p);
    const size_t sizes[] = { 1, 7, 100, 0, p.log.count };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fold_again(&p, sizes[i]);
        const struct str again = checksum(&p);
        ck_assert_msg(str_equal(sum, again), "folded in batches of %zu the rows are others", sizes[i]);
    }
    for (size_t i = 0; game->rows && i < sizeof sizes / sizeof *sizes; i++) {
        fold_rows(&p, sizes[i]);
        const struct str again = checksum(&p);
        ck_assert_msg(str_equal(sum, again), "by rows in memory, in batches of %zu, they are others:\n%s\n%s", sizes[i],
                      sum.ptr, again.ptr);
    }

    truncate_all(&p);
    evolve_whole_log(&p);
    fold_again(&p, p.log.count);
    for (uint32_t story = 0; story < count; story++)
        ask_everything(&p, story);

    worker->state_destroy(p.state);
    free(p.log.facts);
    arena_finish(&p.arena);
    database_destroy(&database);
}

START_TEST(accounts_evolved_and_folded_agree)
{
    play(&users_definition, users_definition.streams[0], &accounts_game);
}
END_TEST

START_TEST(sessions_evolved_and_folded_agree)
{
    play(&users_definition, users_definition.streams[1], &sessions_game);
}
END_TEST

START_TEST(rooms_evolved_and_folded_agree)
{
    play(&messages_definition, messages_definition.streams[0], &rooms_game);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    chance_begin();

    Suite *suite = suite_create("evolve and fold");
    TCase *agree = suite_case("agree");
    tcase_set_timeout(agree, 600);
    tcase_add_test(agree, accounts_evolved_and_folded_agree);
    tcase_add_test(agree, sessions_evolved_and_folded_agree);
    tcase_add_test(agree, rooms_evolved_and_folded_agree);
    suite_add_tcase(suite, agree);
    return suite_run(suite);
}
