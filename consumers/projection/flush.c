/* What changed is written: for each table what was appended, then the hooks before, then for each table what goes, what
 * changes and what comes, then the hooks after. What goes is first, since it may have had a value that must be unique. */
#include "consumers/projection/rows_table.h"

#include <assert.h>

static err send(struct rows_table *t, struct pg *pg, const struct pg_statement *statement, const struct pg_args *args)
{
    t->rows->counts.statements++;
    return pg_batch_add(pg, statement, args);
}

static err flush_appended(struct rows_table *t, struct pg *pg)
{
    struct arena *arena = t->rows->arena;
    append_finish(t);
    if (t->appended_count == 0)
        return OK;
    uint64_t mask = 0;
    unsigned i;
    EACH_COLUMN (t->all & ~t->keys, i)
        if (t->arrays[i])
            mask |= (uint64_t)1 << i;
    const struct pg_statement *statement = statement_of(t, STATEMENT_INSERT, &mask);
    struct pg_args args = pg_args(arena);
    EACH_COLUMN (t->keys | mask, i) {
        if (!t->arrays[i]) {
            t->arrays[i] = pg_array(arena, value_pg_type(t->table->columns[i].type), t->appended_count);
            for (size_t k = 0; k < t->appended_count; k++)
                value_put(t->arrays[i], arena, &t->table->columns[i], t->blank);
        }
        pg_arg_array(&args, t->arrays[i]);
    }
    memset(t->arrays, 0, sizeof t->arrays);
    t->appended_count = t->appended_pool.used = 0;
    return send(t, pg, statement, &args);
}

static err flush_hooks(struct rows_table *t, struct pg *pg, enum hook_when when)
{
    for (unsigned h = 0; h < t->table->hook_count; h++) {
        if (t->table->hooks[h].when != when || !(t->hooked >> h & 1))
            continue;
        size_t count = 0;
        for (const struct row *row = t->first; row; row = row->next)
            count += row->hooks >> h & 1;
        struct row **list = ARENA_ARRAY(t->rows->arena, struct row *, count);
        count = 0;
        for (struct row *row = t->first; row; row = row->next)
            if (row->hooks >> h & 1)
                list[count++] = row;
        struct pg_args args = pg_args(t->rows->arena);
        values_put(&args, t, t->keys, list, count);
        TRY(send(t, pg, &t->table->hooks[h].statement, &args));
    }
    return OK;
}

static err flush_deleted(struct rows_table *t, struct pg *pg, struct row *const *list, size_t count)
{
    uint64_t none = 0;
    struct pg_args args = pg_args(t->rows->arena);
    values_put(&args, t, t->keys, list, count);
    return send(t, pg, statement_of(t, STATEMENT_DELETE, &none), &args);
}

static err flush_updated(struct rows_table *t, struct pg *pg, struct row *const *list, size_t count)
{
    uint64_t mask = 0, known = t->all;
    bool sure = true;
    for (size_t i = 0; i < count; i++) {
        mask |= list[i]->changed;
        known &= list[i]->known;
        sure &= list[i]->sure;
    }
    const bool masked = (known & mask) != mask;
    const enum statement_kind kind = masked ? STATEMENT_UPDATE_MASKED
                                     : sure ? STATEMENT_UPDATE
                                            : STATEMENT_UPDATE_BLIND;
    const struct pg_statement *statement = statement_of(t, kind, &mask);
    struct pg_args args = pg_args(t->rows->arena);
    values_put(&args, t, t->keys | mask, list, count);
    if (masked) {
        struct pg_array *changed = pg_array(t->rows->arena, PG_INT8, count);
        for (size_t i = 0; i < count; i++)
            pg_array_int8(changed, (int64_t)list[i]->changed);
        pg_arg_array(&args, changed);
    }
    return send(t, pg, statement, &args);
}

static err flush_inserted(struct rows_table *t, struct pg *pg, struct row *const *list, size_t count)
{
    uint64_t mask = t->all & ~t->keys;
    struct pg_args args = pg_args(t->rows->arena);
    const struct pg_statement *statement = statement_of(t, STATEMENT_INSERT, &mask);
    values_put(&args, t, t->keys | mask, list, count);
    return send(t, pg, statement, &args);
}

static err flush_changed(struct rows_table *t, struct pg *pg)
{
    struct arena *arena = t->rows->arena;
    size_t count = 0, inserts = 0, updates = 0, deletes = 0;
    for (const struct row *row = t->first; row; row = row->next)
        count++;
    if (count == 0 || t->table->question)
        return OK;
    struct row **inserted = ARENA_ARRAY(arena, struct row *, count),
               **updated = ARENA_ARRAY(arena, struct row *, count), **deleted = ARENA_ARRAY(arena, struct row *, count);
    for (struct row *row = t->first; row; row = row->next) {
        if (row->presence != ROW_PRESENT) {
            if (row->stored)
                deleted[deletes++] = row;
        } else if (!row->stored) {
            inserted[inserts++] = row;
        } else if (row->changed) {
            updated[updates++] = row;
        }
    }
    if (deletes > 0)
        TRY(flush_deleted(t, pg, deleted, deletes));
    if (updates > 0)
        TRY(flush_updated(t, pg, updated, updates));
    return inserts > 0 ? flush_inserted(t, pg, inserted, inserts) : OK;
}

/* Memory is what the tables will be. */
static void settle(struct rows_table *t)
{
    for (struct row *row = t->first; row; row = row->next) {
        row->dirty = false;
        row->changed = row->hooks = 0;
        row->stored = row->presence == ROW_PRESENT;
        row->known &= t->keys | t->kept;
    }
    t->hooked = 0;
    t->first = NULL;
    t->last = &t->first;
    if (t->table->short_lived && t->count > SHORT_LIVED_KEPT)
        rows_forget(t);
}

err rows_flush(struct rows *rows, struct pg *pg)
{
    assert(!rows->step.asking);
    for (size_t i = 0; i < rows->table_count; i++)
        TRY(flush_appended(&rows->tables[i], pg));
    for (size_t i = 0; i < rows->table_count; i++)
        TRY(flush_hooks(&rows->tables[i], pg, HOOK_BEFORE));
    for (size_t i = 0; i < rows->table_count; i++)
        TRY(flush_changed(&rows->tables[i], pg));
    for (size_t i = 0; i < rows->table_count; i++)
        TRY(flush_hooks(&rows->tables[i], pg, HOOK_AFTER));
    for (size_t i = 0; i < rows->table_count; i++)
        settle(&rows->tables[i]);
    return OK;
}
