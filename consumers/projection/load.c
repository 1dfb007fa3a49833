/* Rows that were asked for and are not in memory: one query a table, all in one round trip. */
#include "consumers/projection/rows_table.h"

static err ask(struct rows_table *t, struct pg *pg)
{
    struct pg_args args = pg_args(t->rows->arena);
    uint64_t mask = t->kept;
    values_put(&args, t, t->keys, t->wanted, t->wanted_count);
    return pg_batch_add(pg, t->table->question ? t->table->question : statement_of(t, STATEMENT_LOAD, &mask), &args);
}

static err take(struct rows_table *t, const PGresult *r)
{
    struct row *loaded = arena_alloc(t->rows->arena, t->table->row_size);
    for (int i = 0; i < PQntuples(r); i++) {
        int k = 0;
        unsigned column;
        EACH_COLUMN (t->keys | t->kept, column)
            if (!value_read(loaded, &t->table->columns[column], r, i, k++))
                return err_set(FATAL, "%s.%s has a %s that this program does not know: run the newer program",
                               t->table->schema, t->table->name, t->table->columns[column].name);
        struct row *row = rows_known(t, row_key(t, loaded));
        if (row)
            row_merge(t, row, loaded);
    }
    for (size_t i = 0; i < t->wanted_count; i++) {
        struct row *row = t->wanted[i];
        row->wanted = false;
        if ((row->known & t->kept) != t->kept) { /* no answer, whatever has touched it */
            row->presence = ROW_ABSENT;
            row->stored = false;
        }
    }
    t->rows->counts.loaded += t->wanted_count;
    t->wanted_count = 0;
    return OK;
}

err rows_load(struct rows *rows, struct pg *pg)
{
    PGresult **results = ARENA_ARRAY(rows->arena, PGresult *, rows->table_count);
    size_t asked = 0, answered = 0;
    TRY(pg_batch_begin(pg));
    for (size_t i = 0; i < rows->table_count; i++) {
        if (rows->tables[i].wanted_count == 0)
            continue;
        TRY(ask(&rows->tables[i], pg));
        asked++;
    }
    TRY(pg_batch_end(pg, results, asked));
    rows->counts.loads++;
    err e = OK;
    for (size_t i = 0; i < rows->table_count && e == OK; i++)
        if (rows->tables[i].wanted_count > 0)
            e = take(&rows->tables[i], results[answered++]);
    pg_results_clear(results, asked);
    return e;
}
