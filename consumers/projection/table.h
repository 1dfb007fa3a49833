/* table: what a table of a projection is. Declared once, a row a column, in a .def (tables.h says how); the rest comes
 * from there: the C struct of a row, the load by keys, the changes that are written, the check against PostgreSQL. */
#pragma once

#include "consumers/projection/row.h"
#include "ops/runtime/pg.h"

/* The C type of each is in tables.h. Text, bytes and sealed text are never kept in memory: such a column is no key and
 * is WRITTEN_ONLY. */
enum column_type {
    COLUMN_UUID,
    COLUMN_INT2,
    COLUMN_INT4,
    COLUMN_INT8,
    COLUMN_BOOL,
    COLUMN_TIME, /* Unix ms */
    COLUMN_ENUM, /* an enum of the schemas; a smallint in the table, see struct enum_numbers */
    COLUMN_TEXT,
    COLUMN_BYTES,
    COLUMN_SEALED, /* NULL when it was erased */
    COLUMN_SYMBOL, /* text of at most 64 bytes, which can be a key */
    COLUMN_DIGEST, /* 32 bytes, likewise */
};

/* Flags of a column. */
enum {
    KEY = 1,
    NULLABLE = 2,     /* zero, nil or empty stands for NULL */
    WRITTEN_ONLY = 4, /* not kept in memory after it was written, never read by rules */
    DEFAULT_ZERO = 8, /* the table's default is zero, false or empty, or … */
    DEFAULT_ONE = 16, /* … 1; a row that has it may leave the column out */
};

struct column {
    const char *name, *doc;
    enum column_type type;
    uint16_t offset; /* in the struct of a row */
    uint8_t flags;
    /* COLUMN_ENUM: the numbers that stand in tables for its values, which are their places here. They are independent of
     * the order of the schema's symbols, and never used again for another one. */
    const int16_t *numbers;
    size_t number_count;
};

enum hook_when { HOOK_BEFORE, HOOK_AFTER };

/* Named SQL for what no column says. It runs once a batch for the keys of all rows that asked for it (rows_hook):
 * after the table's appended rows were written and before (HOOK_BEFORE) or after (HOOK_AFTER) all other changes of all
 * tables. Parameters: an array for each key column, in order. What it writes must not be kept in memory. */
struct hook {
    struct pg_statement statement;
    enum hook_when when;
};

struct table {
    const char *schema, *name;
    const struct column *columns; /* the key's first */
    size_t column_count, row_size;
    const struct hook *hooks;
    size_t hook_count;
    /* Not NULL: a question, not a table. Its rows are loaded by this statement (parameters: an array for each key
     * column; answers: the key's columns and then the others, in order; a key without an answer is absent), follow the
     * facts in memory like other rows, and are never written. */
    const struct pg_statement *question;
    bool short_lived;        /* few rows are asked for twice: all are forgotten once there are 50,000 */
    bool ignores_duplicates; /* a set: what is appended and is there already stays as it is */
};
