/* Rows in memory and what is written of them, on tables of toys. */
#include <stdlib.h>

#include "consumers/projection/rows.h"
#include "tests/consumers/database.h"
#include "tests/suite.h"

enum color { COLOR_NONE, COLOR_RED, COLOR_BLUE };
static const int16_t color_numbers[] = { 0, 7, 5 };

enum { WEIGH };
static const struct hook ball_hooks[] = {
    [WEIGH] = { { "toys_weigh", "INSERT INTO toys.weighed SELECT b.box_id, b.number, b.weight"
                                "  FROM unnest($1::uuid[], $2::bigint[]) AS c (box_id, number)"
                                "  JOIN toys.balls b ON b.box_id = c.box_id AND b.number = c.number" },
                HOOK_AFTER },
};
static const struct pg_statement loads = {
    "toys_loads",
    "SELECT box_id, sum(weight)::bigint FROM toys.balls WHERE box_id = ANY ($1::uuid[]) GROUP BY 1",
};

#define TABLES "tests/consumers/rows.def"
#include "consumers/projection/tables.h"
#define TABLES_LIST toys
#include "consumers/projection/table_list.h"

static struct database db;
static struct arena arena; /* of the batch */
static struct rows *rows;

static void begin(void)
{
    database_create(&db, (const struct worker_definition *const[]){ NULL });
    database_run(&db, "CREATE SCHEMA toys;"
                      "CREATE TABLE toys.boxes (id uuid PRIMARY KEY, balls bigint NOT NULL DEFAULT 0,"
                      " version int NOT NULL DEFAULT 1, size smallint NOT NULL DEFAULT 0,"
                      " open boolean NOT NULL DEFAULT false, closed_at timestamptz, owner uuid,"
                      " color smallint NOT NULL DEFAULT 0, label text, seal bytea, note text, bytes bytea,"
                      " secret text);"
                      "CREATE TABLE toys.balls (box_id uuid, number bigint, weight bigint NOT NULL, note text,"
                      " PRIMARY KEY (box_id, number));"
                      "CREATE TABLE toys.weighed (box_id uuid, number bigint, weight bigint);"
                      "CREATE TABLE toys.tags (name text PRIMARY KEY)");
    arena_init(&arena, 0);
    rows = rows_create(toys, sizeof toys / sizeof *toys);
    rows_begin(rows, &arena);
}

static void end(void)
{
    rows_destroy(rows);
    arena_finish(&arena);
    database_destroy(&db);
}

static struct uuid id(int n)
{
    return (struct uuid){ { [0] = 'i', [15] = (uint8_t)n } };
}

static struct box_row *box(int n)
{
    return box_get(rows, (struct box_key){ id(n) });
}

static struct box_row *touched(int n)
{
    return box_touch(rows, (struct box_key){ id(n) });
}

static struct box_row *inserted(int n)
{
    return box_insert(rows, (struct box_key){ id(n) });
}

/* --- steps --- */

typedef void step(size_t i);

static void take_step(struct rows *of, void *context, size_t i)
{
    ck_assert_ptr_eq(of, rows);
    ((struct { step *step; } *)context)->step(i);
}

static err run(step *taken, size_t count)
{
    struct {
        step *step;
    } context = { taken };
    return rows_run(rows, db.pg, take_step, &context, count);
}

static void flush(const struct pg_statement *how)
{
    ck_ok(pg_batch_begin(db.pg));
    ck_ok(pg_batch_add(db.pg, &pg_sql_begin, NULL));
    ck_ok(rows_flush(rows, db.pg));
    ck_ok(pg_batch_add(db.pg, how, NULL));
    ck_ok(pg_batch_end(db.pg, NULL, 0));
    arena_reset(&arena);
    rows_begin(rows, &arena);
}

/* A batch of these steps, from its beginning to its commit. */
static void batch(step *taken, size_t count)
{
    ck_ok(run(taken, count));
    flush(&pg_sql_commit);
}

#define RESULT(sql, is) ck_assert_str_eq(database_value(&db, &arena, (sql)).ptr, (is))

static uint64_t statements(void)
{
    return rows_counts(rows).statements;
}

/* --- asking --- */

static void make_boxes(size_t i)
{
    box_set_balls(inserted((int)i), (int64_t)i);
}

static int64_t seen[16];

static void look(size_t i)
{
    const struct box_row *found = box((int)i);
    seen[i] = row_exists(&found->row) ? found->balls : -1;
}

START_TEST(what_a_batch_misses_is_loaded_at_once_and_kept)
{
    batch(make_boxes, 4);
    rows_clear(rows);
    batch(look, 8);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(seen[i], i < 4 ? i : -1);
    ck_assert_uint_eq(rows_counts(rows).loads, 1);
    ck_assert_uint_eq(rows_counts(rows).loaded, 8);
    batch(look, 8); /* what is not there is known, too */
    ck_assert_uint_eq(rows_counts(rows).loads, 1);
}
END_TEST

static void move_ball(size_t i)
{
    (void)i;
    struct box_row *from = box(1), *to = box(2);
    box_set_balls(from, from->balls - 1);
    box_set_balls(to, to->balls + 1);
}

START_TEST(a_step_that_misses_its_second_row_changes_the_first_one_once)
{
    batch(make_boxes, 3);
    rows_clear(rows);
    batch(look, 2); /* 0 and 1 are known */
    batch(move_ball, 1);
    RESULT("SELECT string_agg(balls::text, ' ' ORDER BY id) FROM toys.boxes", "0 0 3");
}
END_TEST

static void make_then_fill(size_t i)
{
    if (i == 0) {
        inserted(1);
        return;
    }
    struct box_row *found = box(1);
    const struct box_row *other = box(2); /* unknown until it was asked for */
    ck_assert(row_exists(&found->row));
    box_set_balls(found, found->balls + 1 + (row_exists(&other->row) && other->balls == 100));
}

START_TEST(what_earlier_steps_have_made_is_there_for_later_ones)
{
    batch(make_then_fill, 4);
    RESULT("SELECT string_agg(balls::text, ' ') FROM toys.boxes", "3");
}
END_TEST

/* --- what is written --- */

static void of_every_type(size_t i)
{
    struct box_row *b = inserted((int)i);
    if (i == 0)
        return;
    box_set_balls(b, INT64_MIN);
    box_set_version(b, 3);
    box_set_size(b, -2);
    box_set_open(b, true);
    box_set_closed_at(b, 1767268800123);
    box_set_owner(b, id(9));
    box_set_color(b, COLOR_BLUE);
    box_set_label(b, symbol_of(STR("\xE2\x82\xAC")));
    box_set_seal(b, (struct digest){ { 1, 0, 2 } });
    box_set_note(b, STR("a\0b"));
    box_set_bytes(b, STR("\0\xff"));
    box_set_secret(b, (struct sealed){ .state = OPEN, .clear = STR("") });
}

static void is_as_it_was_written(size_t i)
{
    const struct box_row *b = box((int)i);
    ck_assert(row_exists(&b->row));
    if (i == 0) {
        ck_assert(b->balls == 0 && b->version == 1 && b->size == 0 && !b->open && b->closed_at == 0);
        ck_assert(uuid_is_nil(b->owner) && b->color == COLOR_NONE && symbol_str(&b->label).len == 0);
        return;
    }
    if (uuid_is_nil(b->id)) /* blank: it is not loaded yet */
        return;
    ck_assert(b->balls == INT64_MIN && b->version == 3 && b->size == -2 && b->open);
    ck_assert(b->closed_at == 1767268800123 && uuid_equal(b->owner, id(9)) && b->color == COLOR_BLUE);
    ck_assert(str_equal(symbol_str(&b->label), STR("\xE2\x82\xAC")) && b->seal.bytes[0] == 1 && b->seal.bytes[2] == 2);
}

START_TEST(a_value_of_every_type_is_read_as_it_was_written)
{
    batch(of_every_type, 2);
    RESULT(
        "SELECT concat_ws('|', balls, version, size, open, closed_at, owner, color, label, seal, note, bytes, secret)"
        "  FROM toys.boxes WHERE id = '69000000-0000-0000-0000-000000000000'",
        "0|1|0|f|0");
    RESULT("SELECT concat_ws('|', color, label, encode(seal, 'hex'), note, encode(bytes, 'hex'), secret = '')"
           "  FROM toys.boxes WHERE id = '69000000-0000-0000-0000-000000000001'",
           "5|\xE2\x82\xAC|0100020000000000000000000000000000000000000000000000000000000000|a\xEF\xBF\xBD"
           "b|00ff|t");
    batch(is_as_it_was_written, 2); /* from memory … */
    rows_clear(rows);
    batch(is_as_it_was_written, 2); /* … and from the table */
}
END_TEST

START_TEST(a_number_that_stands_for_nothing_is_refused)
{
    batch(make_boxes, 1);
    database_run(&db, "UPDATE toys.boxes SET color = 9");
    rows_clear(rows);
    ck_assert_int_eq(run(look, 1), FATAL);
    ck_assert_ptr_nonnull(strstr(err_message(), "toys.boxes has a color"));
}
END_TEST

static void fill(size_t i)
{
    box_set_balls(touched((int)i), 10 + (int64_t)i);
}

static void write_once_more(size_t i)
{
    struct box_row *b = box((int)i);
    box_set_balls(b, b->balls);
    box_set_version(b, 1);
}

START_TEST(what_is_the_same_is_not_written)
{
    batch(make_boxes, 3);
    const uint64_t before = statements();
    batch(write_once_more, 3);
    ck_assert_uint_eq(statements(), before);
    rows_clear(rows);
    batch(write_once_more, 3);
    ck_assert_uint_eq(statements(), before);
}
END_TEST

static void change_one_column_each(size_t i)
{
    if (i == 0)
        box_set_balls(touched(0), 70);
    else if (i == 1)
        box_set_note(touched(1), STR("mended"));
    else
        box_set_closed_at(touched(2), 1767268800000);
}

START_TEST(rows_of_which_little_is_known_keep_the_rest_in_one_statement)
{
    batch(make_boxes, 3);
    database_run(&db, "UPDATE toys.boxes SET note = 'as it was', closed_at = to_timestamp(7)");
    rows_clear(rows);
    const uint64_t before = statements();
    batch(change_one_column_each, 3);
    ck_assert_uint_eq(statements(), before + 1);
    ck_assert_uint_eq(rows_counts(rows).loads, 0);
    RESULT("SELECT string_agg(concat_ws('|', balls, note, extract(epoch FROM closed_at)::bigint), ' ' ORDER BY id)"
           "  FROM toys.boxes",
           "70|as it was|7 1|mended|7 2|as it was|1767268800");
}
END_TEST

static void change_then_look(size_t i)
{
    if (i == 0)
        box_set_version(touched(1), 9);
    else
        look(1);
}

START_TEST(what_was_changed_blindly_is_not_forgotten_when_the_row_is_loaded)
{
    batch(make_boxes, 2);
    rows_clear(rows);
    batch(change_then_look, 2);
    ck_assert_int_eq(seen[1], 1);
    RESULT("SELECT version::text FROM toys.boxes WHERE balls = 1", "9");
}
END_TEST

START_TEST(a_touched_row_that_is_not_there_is_absent_once_it_is_asked_for)
{
    batch(fill, 2);
    batch(look, 2);
    ck_assert(seen[0] == -1 && seen[1] == -1);
    RESULT("SELECT count(*)::text FROM toys.boxes", "0");
}
END_TEST

static void come_and_go(size_t i)
{
    if (i == 0)
        box_set_note(inserted(1), STR("new"));
    else if (i == 1)
        rows_remove(&box(1)->row);
    else if (i == 2)
        rows_remove(&touched(2)->row);
    else if (i == 3)
        box_set_balls(inserted(2), 5);
    else
        rows_remove(&box(3)->row);
}

START_TEST(what_comes_and_goes_in_a_batch_is_written_as_it_ends)
{
    batch(make_boxes, 4);
    database_run(&db, "DELETE FROM toys.boxes WHERE balls = 1; UPDATE toys.boxes SET note = 'of before'");
    rows_clear(rows);
    batch(come_and_go, 5);
    RESULT("SELECT string_agg(concat_ws('|', balls, version, note), ' ' ORDER BY id) FROM toys.boxes",
           "0|1|of before 5|1");
    batch(look, 4);
    ck_assert(seen[0] == 0 && seen[1] == -1 && seen[2] == 5 && seen[3] == -1);
}
END_TEST

START_TEST(a_row_that_is_there_already_is_a_conflict)
{
    batch(make_boxes, 1);
    ck_assert_int_eq(run(make_boxes, 1), REJECT);
    rows_clear(rows);
    rows_begin(rows, &arena);
    ck_ok(run(make_boxes, 1)); /* nobody knows it here: PostgreSQL does */
    ck_ok(pg_batch_begin(db.pg));
    ck_ok(rows_flush(rows, db.pg));
    ck_assert_int_eq(pg_batch_end(db.pg, NULL, 0), REJECT);
}
END_TEST

START_TEST(after_a_batch_that_failed_memory_says_what_the_table_says)
{
    batch(make_boxes, 3);
    ck_ok(run(fill, 3));
    flush(&pg_sql_rollback);
    rows_clear(rows);
    batch(look, 3);
    ck_assert(seen[0] == 0 && seen[1] == 1 && seen[2] == 2);
    batch(fill, 3);
    RESULT("SELECT string_agg(balls::text, ' ' ORDER BY id) FROM toys.boxes", "10 11 12");
}
END_TEST

/* --- appended --- */

static struct ball_key ball_of(int64_t number)
{
    return (struct ball_key){ id(1), number };
}

static int64_t weight_seen;

static void append_balls(size_t i)
{
    if (i < 3) {
        struct ball_row *ball = ball_append(rows, ball_of((int64_t)i));
        ball_set_weight(ball, 100 + (int64_t)i);
        if (i == 1)
            ball_set_note(ball, STR("red"));
        return;
    }
    struct ball_row *ball = ball_get(rows, ball_of(1));
    weight_seen = ball->weight;
    ball_set_weight(ball, ball->weight + 1);
    rows_hook(&ball->row, WEIGH);
}

START_TEST(what_was_appended_can_be_read_and_changed_in_the_same_batch)
{
    batch(append_balls, 4);
    ck_assert_int_eq(weight_seen, 101);
    RESULT("SELECT string_agg(concat_ws('|', number, weight, note), ' ' ORDER BY number) FROM toys.balls",
           "0|100 1|102|red 2|102");
    RESULT("SELECT string_agg(number || ':' || weight, ' ') FROM toys.weighed", "1:102");
    ck_assert_uint_eq(rows_counts(rows).loads, 0);
}
END_TEST

static void ask_then_append(size_t i)
{
    if (i == 1) {
        ball_set_weight(ball_append(rows, ball_of(1)), 7);
        return;
    }
    const struct ball_row *ball = ball_get(rows, ball_of(1));
    weight_seen = row_exists(&ball->row) ? ball->weight : -1;
}

START_TEST(what_was_asked_for_and_not_there_is_there_once_it_is_appended)
{
    batch(ask_then_append, 1);
    ck_assert_int_eq(weight_seen, -1);
    batch(ask_then_append, 3);
    ck_assert_int_eq(weight_seen, 7);
}
END_TEST

static void append_tags(size_t i)
{
    tag_append(rows, (struct tag_key){ symbol_of(i % 2 ? STR("odd") : STR("even")) });
}

START_TEST(a_set_takes_what_it_has_already)
{
    batch(append_tags, 3);
    batch(append_tags, 4);
    RESULT("SELECT string_agg(name, ' ' ORDER BY name) FROM toys.tags", "even odd");
}
END_TEST

/* --- questions --- */

static void add_to_load(size_t i)
{
    (void)i;
    struct load_row *load = load_get(rows, (struct load_key){ id(1) });
    weight_seen = row_exists(&load->row) ? load->weight : -1;
    if (row_exists(&load->row))
        load_set_weight(load, load->weight + 1);
}

START_TEST(a_question_is_answered_by_its_sql_follows_in_memory_and_is_not_written)
{
    batch(append_balls, 3);
    batch(add_to_load, 1);
    ck_assert_int_eq(weight_seen, 303);
    batch(add_to_load, 2);
    ck_assert_int_eq(weight_seen, 305);
    rows_clear(rows);
    batch(add_to_load, 1);
    ck_assert_int_eq(weight_seen, 303);
}
END_TEST

START_TEST(memory_that_is_cleared_is_empty)
{
    batch(make_boxes, 5);
    ck_assert_uint_eq(rows_size(rows), 5);
    rows_clear(rows);
    ck_assert_uint_eq(rows_size(rows), 0);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");

    Suite *suite = suite_create("rows");
    TCase *asking = suite_case("asking"), *written = suite_case("written"), *appended = suite_case("appended");
    tcase_add_checked_fixture(asking, begin, end);
    tcase_add_test(asking, what_a_batch_misses_is_loaded_at_once_and_kept);
    tcase_add_test(asking, a_step_that_misses_its_second_row_changes_the_first_one_once);
    tcase_add_test(asking, what_earlier_steps_have_made_is_there_for_later_ones);
    tcase_add_test(asking, a_question_is_answered_by_its_sql_follows_in_memory_and_is_not_written);
    tcase_add_test(asking, memory_that_is_cleared_is_empty);
    tcase_add_checked_fixture(written, begin, end);
    tcase_add_test(written, a_value_of_every_type_is_read_as_it_was_written);
    tcase_add_test(written, a_number_that_stands_for_nothing_is_refused);
    tcase_add_test(written, what_is_the_same_is_not_written);
    tcase_add_test(written, rows_of_which_little_is_known_keep_the_rest_in_one_statement);
    tcase_add_test(written, what_was_changed_blindly_is_not_forgotten_when_the_row_is_loaded);
    tcase_add_test(written, a_touched_row_that_is_not_there_is_absent_once_it_is_asked_for);
    tcase_add_test(written, what_comes_and_goes_in_a_batch_is_written_as_it_ends);
    tcase_add_test(written, a_row_that_is_there_already_is_a_conflict);
    tcase_add_test(written, after_a_batch_that_failed_memory_says_what_the_table_says);
    tcase_add_checked_fixture(appended, begin, end);
    tcase_add_test(appended, what_was_appended_can_be_read_and_changed_in_the_same_batch);
    tcase_add_test(appended, what_was_asked_for_and_not_there_is_there_once_it_is_appended);
    tcase_add_test(appended, a_set_takes_what_it_has_already);
    suite_add_tcase(suite, asking);
    suite_add_tcase(suite, written);
    suite_add_tcase(suite, appended);
    return suite_run(suite);
}
