#include <assert.h>
#include <stdio.h>

#include "consumers/projection/rows_table.h"

static void names(struct buf *b, const struct rows_table *t, uint64_t mask, const char *prefix)
{
    const char *between = "";
    unsigned i;
    EACH_COLUMN (mask, i) {
        buf_printf(b, "%s%s\"%s\"", between, prefix, t->table->columns[i].name);
        between = ", ";
    }
}

/* The arrays of the mask's columns as parameters, from $1 on. */
static void parameters(struct buf *b, const struct rows_table *t, uint64_t mask, const char *open, const char *close)
{
    const char *between = "";
    unsigned i, number = 1;
    EACH_COLUMN (mask, i) {
        buf_printf(b, "%s%s$%u::%s[]%s", between, open, number++, value_sql_type(t->table->columns[i].type), close);
        between = ", ";
    }
}

static void same_key(struct buf *b, const struct rows_table *t)
{
    for (size_t i = 0; i < t->key_columns; i++)
        buf_printf(b, "%st.\"%s\" = c.\"%s\"", i ? " AND " : "", t->table->columns[i].name, t->table->columns[i].name);
}

static void write_load(struct buf *b, const struct rows_table *t, uint64_t mask)
{
    buf_printf(b, "SELECT ");
    names(b, t, t->keys | mask, "t.");
    buf_printf(b, " FROM unnest(");
    parameters(b, t, t->keys, "", "");
    buf_printf(b, ") AS c (");
    names(b, t, t->keys, "");
    buf_printf(b, ") JOIN %s.%s t ON ", t->table->schema, t->table->name);
    same_key(b, t);
}

static void write_insert(struct buf *b, const struct rows_table *t, uint64_t mask)
{
    buf_printf(b, "INSERT INTO %s.%s (", t->table->schema, t->table->name);
    names(b, t, t->keys | mask, "");
    buf_printf(b, ") SELECT ");
    parameters(b, t, t->keys | mask, "unnest(", ")");
    if (t->table->ignores_duplicates)
        buf_printf(b, " ON CONFLICT DO NOTHING");
}

static void write_update(struct buf *b, const struct rows_table *t, enum statement_kind kind, uint64_t mask)
{
    const bool masked = kind == STATEMENT_UPDATE_MASKED;
    const char *between = "";
    unsigned i;
    buf_printf(b, "UPDATE %s.%s t SET ", t->table->schema, t->table->name);
    EACH_COLUMN (mask, i) {
        const char *name = t->table->columns[i].name;
        if (masked)
            buf_printf(b, "%s\"%s\" = CASE WHEN c.changed_ & %llu <> 0 THEN c.\"%s\" ELSE t.\"%s\" END", between, name,
                       1ull << i, name, name);
        else
            buf_printf(b, "%s\"%s\" = c.\"%s\"", between, name, name);
        between = ", ";
    }
    buf_printf(b, " FROM unnest(");
    parameters(b, t, t->keys | mask, "", "");
    if (masked)
        buf_printf(b, ", $%d::bigint[]", __builtin_popcountll(t->keys | mask) + 1);
    buf_printf(b, ") AS c (");
    names(b, t, t->keys | mask, "");
    buf_printf(b, "%s) WHERE ", masked ? ", changed_" : "");
    same_key(b, t);
    if (kind == STATEMENT_UPDATE_BLIND && !(mask & ~t->kept)) { /* long texts are not compared */
        buf_printf(b, " AND (");
        names(b, t, mask, "t.");
        buf_printf(b, ") IS DISTINCT FROM (");
        names(b, t, mask, "c.");
        buf_printf(b, ")");
    }
}

static void write_delete(struct buf *b, const struct rows_table *t)
{
    buf_printf(b, "DELETE FROM %s.%s t USING unnest(", t->table->schema, t->table->name);
    parameters(b, t, t->keys, "", "");
    buf_printf(b, ") AS c (");
    names(b, t, t->keys, "");
    buf_printf(b, ") WHERE ");
    same_key(b, t);
}

static void write_sql(struct buf *b, const struct rows_table *t, enum statement_kind kind, uint64_t mask)
{
    switch (kind) {
    case STATEMENT_LOAD:
        write_load(b, t, mask);
        break;
    case STATEMENT_INSERT:
        write_insert(b, t, mask);
        break;
    case STATEMENT_UPDATE:
    case STATEMENT_UPDATE_BLIND:
    case STATEMENT_UPDATE_MASKED:
        write_update(b, t, kind, mask);
        break;
    case STATEMENT_DELETE:
        write_delete(b, t);
        break;
    }
    buf_char(b, '\0');
}

/* Every statement that this thread has made. A connection that has prepared one outlives the rows, and knows it by the
 * address of its text. */
static _Thread_local struct made {
    struct pg_statement statement;
    struct made *next;
} * made;

static const struct pg_statement *made_before(const char *name)
{
    for (const struct made *m = made; m; m = m->next)
        if (strcmp(m->statement.name, name) == 0)
            return &m->statement;
    return NULL;
}

static const struct pg_statement *make(const struct rows_table *t, enum statement_kind kind, uint64_t mask,
                                       const char *name)
{
    struct buf sql = { 0 };
    write_sql(&sql, t, kind, mask);
    struct made *m = mem_alloc(sizeof *m);
    *m = (struct made){ { name, sql.ptr }, made };
    made = m;
    return &m->statement;
}

const struct pg_statement *statement_of(struct rows_table *t, enum statement_kind kind, uint64_t *mask)
{
    static const char *const kinds[STATEMENT_KINDS] = { "load", "insert", "update", "overwrite", "change", "delete" };
    struct variant *variants = t->variants[kind];
    for (;;) {
        for (size_t i = 0; i < t->variant_count[kind]; i++)
            if (variants[i].mask == *mask)
                return variants[i].statement;
        if (t->variant_count[kind] < VARIANTS_MAX - 1 || *mask == (t->all & ~t->keys))
            break;
        *mask = t->all & ~t->keys;
    }
    assert(t->variant_count[kind] < VARIANTS_MAX);
    struct buf name = { 0 };
    buf_printf(&name, "%s_%s_%s_%llx", t->table->schema, t->table->name, kinds[kind], (unsigned long long)*mask);
    buf_char(&name, '\0');
    const struct pg_statement *statement = made_before(name.ptr);
    if (statement)
        buf_finish(&name);
    else
        statement = make(t, kind, *mask, name.ptr);
    variants[t->variant_count[kind]++] = (struct variant){ *mask, statement };
    return statement;
}
