/* What tables.def declares and what the migrations of tables.sql have made are the same. */
#include "consumers/messages/evolve_rows.h"
#include "consumers/messages/streams.h"
#include "consumers/projection/rows_table.h"
#include "tests/consumers/database.h"
#include "tests/suite.h"

static struct arena arena;

static bool has_null(const struct column *c)
{
    return c->type == COLUMN_SEALED || c->flags & NULLABLE;
}

/* What stands in the declaration or in the database and not in the other; "" when nothing does. */
static const char *difference(struct database *db, const struct table *t)
{
    struct buf sql = { 0 };
    buf_printf(&sql, "WITH declared (name, type, nullable, key, value) AS (VALUES ");
    for (size_t i = 0; i < t->column_count; i++) {
        const struct column *c = &t->columns[i];
        const char *value = c->flags & DEFAULT_ONE       ? "'1'"
                            : !(c->flags & DEFAULT_ZERO) ? "NULL"
                            : c->type == COLUMN_BOOL     ? "'false'"
                                                         : "'0'";
        buf_printf(&sql, "%s('%s', '%s'::regtype, %s, %s, %s)", i ? ", " : "", c->name, value_sql_type(c->type),
                   has_null(c) ? "true" : "false", c->flags & KEY ? "true" : "false", value);
    }
    buf_printf(&sql,
               "), there AS ("
               "  SELECT a.attname::text AS name, a.atttypid::regtype AS type, NOT a.attnotnull AS nullable,"
               "         a.attnum = ANY (k.conkey) AS key, pg_get_expr(d.adbin, d.adrelid) AS value"
               "    FROM pg_attribute a"
               "    JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'p'"
               "    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
               "   WHERE a.attrelid = '%s.%s'::regclass AND a.attnum > 0 AND NOT a.attisdropped)"
               " SELECT string_agg(coalesce(d.name, t.name) || ': declared ' || coalesce(d::text, 'not')"
               "                   || ', there ' || coalesce(t::text, 'not'), '; ')"
               "   FROM declared d FULL JOIN there t ON t.name = d.name"
               "  WHERE (d.type, d.nullable, d.key) IS DISTINCT FROM (t.type, t.nullable, t.key)"
               "     OR d.value IS NOT NULL AND d.value IS DISTINCT FROM t.value",
               t->schema, t->name);
    buf_char(&sql, '\0');
    const char *said = database_value(db, &arena, sql.ptr).ptr;
    buf_finish(&sql);
    return said;
}

START_TEST(every_column_is_declared_as_it_is)
{
    struct database db;
    database_create(&db, (const struct worker_definition *const[]){ &messages_definition, NULL });
    arena_init(&arena, 0);
    for (size_t i = 0; i < rooms_table_count; i++) {
        const char *said = difference(&db, rooms_tables[i]);
        ck_assert_msg(*said == '\0', "%s.%s: %s", rooms_tables[i]->schema, rooms_tables[i]->name, said);
    }
    /* It can see a difference. */
    database_run(
        &db, "ALTER TABLE messages.bans ADD COLUMN appeal text; ALTER TABLE messages.rooms ALTER version DROP DEFAULT");
    size_t different = 0;
    for (size_t i = 0; i < rooms_table_count; i++)
        different += *difference(&db, rooms_tables[i]) != '\0';
    ck_assert_uint_eq(different, 2);
    arena_finish(&arena);
    database_destroy(&db);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("table columns");
    TCase *columns = suite_case("columns");
    tcase_add_test(columns, every_column_is_declared_as_it_is);
    suite_add_tcase(suite, columns);
    return suite_run(suite);
}
