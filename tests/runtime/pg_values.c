/* Values to PostgreSQL and back: every type, NULL, arrays. */
#include "ops/runtime/clock.h"
#include "tests/runtime/pg_fixture.h"

START_TEST(values_of_every_type_come_back)
{
    static const struct pg_statement echo = {
        "test_echo",
        "SELECT $1::bool, $2::int2, $3::int4, $4::int8, $5::text, $6::bytea, $7::uuid, $8::timestamptz, $9::text, "
        "$8::timestamptz AT TIME ZONE 'UTC' = '2024-02-29 12:34:56.789'::timestamp"
    };
    const int64_t at = 1709210096789;
    const struct uuid id = uuid_v7(at);
    struct pg_args args = pg_args(&arena);
    pg_arg_bool(&args, true);
    pg_arg_int2(&args, INT16_MIN);
    pg_arg_int4(&args, INT32_MIN);
    pg_arg_int8(&args, INT64_MAX);
    pg_arg_text(&args, STR("h\xc3\xa9llo"));
    pg_arg_bytes(&args, (struct str){ "\0\xff\1", 3 });
    pg_arg_uuid(&args, id);
    pg_arg_time(&args, at);
    pg_arg_null(&args);
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &echo, &args, &r));
    ck_assert(pg_bool(r, 0, 0));
    ck_assert_int_eq(pg_int(r, 0, 1), INT16_MIN);
    ck_assert_int_eq(pg_int(r, 0, 2), INT32_MIN);
    ck_assert_int_eq(pg_int(r, 0, 3), INT64_MAX);
    ck_assert(str_equal(pg_str(r, 0, 4), STR("h\xc3\xa9llo")));
    ck_assert(str_equal(pg_str(r, 0, 5), (struct str){ "\0\xff\1", 3 }));
    ck_assert(uuid_equal(pg_uuid(r, 0, 6), id));
    ck_assert_int_eq(pg_time(r, 0, 7), at);
    ck_assert(pg_null(r, 0, 8));
    ck_assert(!pg_null(r, 0, 0));
    ck_assert(pg_bool(r, 0, 9)); /* the server reads the time as the same */
    PQclear(r);
}
END_TEST

START_TEST(null_reads_as_nothing)
{
    static const struct pg_statement nulls = {
        "test_nulls", "SELECT NULL::bool, NULL::int8, NULL::text, NULL::uuid, NULL::timestamptz"
    };
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &nulls, NULL, &r));
    for (int i = 0; i < 5; i++)
        ck_assert(pg_null(r, 0, i));
    ck_assert(!pg_bool(r, 0, 0));
    ck_assert_int_eq(pg_int(r, 0, 1), 0);
    ck_assert_uint_eq(pg_str(r, 0, 2).len, 0);
    ck_assert(uuid_is_nil(pg_uuid(r, 0, 3)));
    ck_assert_int_eq(pg_time(r, 0, 4), 0);
    PQclear(r);
}
END_TEST

START_TEST(empty_text_is_not_null)
{
    static const struct pg_statement echo = { "test_echo_text", "SELECT $1::text, $2::bytea" };
    struct pg_args args = pg_args(&arena);
    pg_arg_text(&args, (struct str){ 0 });
    pg_arg_bytes(&args, (struct str){ 0 });
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &echo, &args, &r));
    ck_assert(!pg_null(r, 0, 0));
    ck_assert(!pg_null(r, 0, 1));
    PQclear(r);
}
END_TEST

START_TEST(a_time_is_rounded_down_also_before_1970)
{
    static const struct pg_statement fine = {
        "test_fine", "SELECT '1969-12-31 23:59:59.9995Z'::timestamptz, '1970-01-01 00:00:00.0019Z'::timestamptz"
    };
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &fine, NULL, &r));
    ck_assert_int_eq(pg_time(r, 0, 0), -1);
    ck_assert_int_eq(pg_time(r, 0, 1), 1);
    PQclear(r);
}
END_TEST

START_TEST(times_before_1970_and_without_end_come_back)
{
    static const struct pg_statement echo = { "test_echo_time", "SELECT $1::timestamptz, $1::timestamptz::text" };
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        { -1, "1969-12-31 23:59:59.999+00" },
        { -2208988800000, "1900-01-01 00:00:00+00" },
        { INT64_MAX, "infinity" },
        { INT64_MIN, "-infinity" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pg_args args = pg_args(&arena);
        pg_arg_time(&args, rows[i].ms);
        PGresult *r = NULL;
        ck_ok(pg_query(pg, &echo, &args, &r));
        ck_assert_int_eq(pg_time(r, 0, 0), rows[i].ms);
        ck_assert(str_equal(pg_str(r, 0, 1), str_of(rows[i].text)));
        PQclear(r);
    }
}
END_TEST

/* Two elements and a NULL between them, of each type. */
static void fill(struct pg_array *array, enum pg_type type, struct uuid id)
{
    for (int i = 0; i < 3; i++) {
        if (i == 1) {
            pg_array_null(array);
            continue;
        }
        switch (type) {
        case PG_BOOL:
            pg_array_bool(array, i == 2);
            break;
        case PG_INT2:
            pg_array_int2(array, (int16_t)(i - 7));
            break;
        case PG_INT4:
            pg_array_int4(array, i - 7);
            break;
        case PG_INT8:
            pg_array_int8(array, i - 7);
            break;
        case PG_TIMESTAMPTZ:
            pg_array_time(array, i - 7);
            break;
        case PG_TEXT:
        case PG_BYTEA:
            pg_array_str(array, i ? STR("two, \"2\"") : (struct str){ 0 });
            break;
        case PG_UUID:
            pg_array_uuid(array, i ? id : uuid_nil);
            break;
        }
    }
}

static void ck_element(const PGresult *r, int row, enum pg_type type, struct uuid id)
{
    if (row == 1) {
        ck_assert(pg_null(r, row, 0));
        return;
    }
    ck_assert(!pg_null(r, row, 0));
    switch (type) {
    case PG_BOOL:
        ck_assert_int_eq(pg_bool(r, row, 0), row == 2);
        break;
    case PG_INT2:
    case PG_INT4:
    case PG_INT8:
        ck_assert_int_eq(pg_int(r, row, 0), row - 7);
        break;
    case PG_TIMESTAMPTZ:
        ck_assert_int_eq(pg_time(r, row, 0), row - 7);
        break;
    case PG_TEXT:
    case PG_BYTEA:
        ck_assert(str_equal(pg_str(r, row, 0), row ? STR("two, \"2\"") : (struct str){ 0 }));
        break;
    case PG_UUID:
        ck_assert(uuid_equal(pg_uuid(r, row, 0), row ? id : uuid_nil));
        break;
    }
}

static const struct {
    enum pg_type type;
    struct pg_statement unnest;
} array_types[] = {
    { PG_BOOL, { "test_a_bool", "SELECT unnest($1::bool[])" } },
    { PG_INT2, { "test_a_int2", "SELECT unnest($1::int2[])" } },
    { PG_INT4, { "test_a_int4", "SELECT unnest($1::int4[])" } },
    { PG_INT8, { "test_a_int8", "SELECT unnest($1::int8[])" } },
    { PG_TEXT, { "test_a_text", "SELECT unnest($1::text[])" } },
    { PG_BYTEA, { "test_a_bytea", "SELECT unnest($1::bytea[])" } },
    { PG_UUID, { "test_a_uuid", "SELECT unnest($1::uuid[])" } },
    { PG_TIMESTAMPTZ, { "test_a_time", "SELECT unnest($1::timestamptz[])" } },
};

START_TEST(an_array_of_every_type_comes_back_with_its_nulls)
{
    const struct uuid id = uuid_v7(clock_wall_ms());
    const enum pg_type type = array_types[_i].type;
    struct pg_array *array = pg_array(&arena, type, 0); /* the hint may be too small */
    fill(array, type, id);
    ck_assert_uint_eq(pg_array_count(array), 3);
    struct pg_args args = pg_args(&arena);
    pg_arg_array(&args, array);
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &array_types[_i].unnest, &args, &r));
    ck_assert_int_eq(PQntuples(r), 3);
    for (int row = 0; row < 3; row++)
        ck_element(r, row, type, id);
    PQclear(r);
}
END_TEST

START_TEST(an_empty_array_of_every_type_is_empty)
{
    struct pg_args args = pg_args(&arena);
    pg_arg_array(&args, pg_array(&arena, array_types[_i].type, 8));
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &array_types[_i].unnest, &args, &r));
    ck_assert_int_eq(PQntuples(r), 0);
    PQclear(r);
}
END_TEST

START_TEST(an_array_finds_its_rows)
{
    static const struct pg_statement any = { "test_any",
                                             "SELECT id FROM runtime_test.t WHERE id = ANY($1) ORDER BY id" };
    ck_ok(pg_script(pg, "INSERT INTO runtime_test.t SELECT generate_series(1, 100)"));
    struct pg_array *ids = pg_array(&arena, PG_INT4, 3);
    pg_array_int4(ids, 50);
    pg_array_int4(ids, 7);
    pg_array_int4(ids, 500);
    struct pg_args args = pg_args(&arena);
    pg_arg_array(&args, ids);
    PGresult *r = NULL;
    ck_ok(pg_query(pg, &any, &args, &r));
    ck_assert_int_eq(PQntuples(r), 2);
    ck_assert_int_eq(pg_int(r, 0, 0), 7);
    ck_assert_int_eq(pg_int(r, 1, 0), 50);
    PQclear(r);
}
END_TEST

int main(void)
{
    dsn = suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("pg values");
    TCase *t = suite_case("values");
    tcase_add_checked_fixture(t, pg_setup, pg_teardown);
    tcase_add_test(t, values_of_every_type_come_back);
    tcase_add_test(t, null_reads_as_nothing);
    tcase_add_test(t, empty_text_is_not_null);
    tcase_add_test(t, a_time_is_rounded_down_also_before_1970);
    tcase_add_test(t, times_before_1970_and_without_end_come_back);
    const int types = sizeof array_types / sizeof *array_types;
    tcase_add_loop_test(t, an_array_of_every_type_comes_back_with_its_nulls, 0, types);
    tcase_add_loop_test(t, an_empty_array_of_every_type_is_empty, 0, types);
    tcase_add_test(t, an_array_finds_its_rows);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
