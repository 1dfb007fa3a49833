/* row: a row of a table in a worker's memory, for rules and folds. Pure: no store, no log, no clock. One thread.
 *
 * tables.h makes typed functions for each table:
 *   - get: the row with all its kept columns; its presence is ROW_ABSENT when the table has no such row. A row that is
 *     not in memory is noted, and a blank row stands for it: from then on the step only asks and changes nothing. rows_run
 *     loads what was missed and runs the step again. Therefore a step gets every row before it changes the first one
 *     (asserted).
 *   - touch: a row that exists because a fact says so, without loading it. Its other columns may be unknown, so set only
 *     absolute values.
 *   - insert: a new row with the defaults of its columns. If the row exists already, rows_run says REJECT, or PostgreSQL
 *     does.
 *   - put: get, and insert when it is absent.
 *   - append: insert for a row that is rarely read again. It goes into the statement at once and is not kept in memory.
 *     The pointer is good until the next append, get or flush.
 *   - rows_remove: the row is deleted, if it exists.
 *   - set_<column>: changes the column, unless it is known to have that value. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

struct rows; /* rows.h */

enum row_presence { ROW_UNKNOWN, ROW_ABSENT, ROW_PRESENT };

/* The step under way. */
struct rows_step_state {
    bool asking;  /* it has missed a row, and is taken again: until then nothing is changed */
    bool changed; /* it has changed a row */
};

/* What a row knows of its table. */
struct row_table {
    struct rows_step_state *step;
};

/* What every row begins with. */
struct row {
    struct row_table *of;
    uint64_t known, changed; /* columns, by number */
    struct row *next;        /* of those that changed */
    uint32_t hooks;
    uint8_t presence; /* enum row_presence */
    bool stored;      /* the table has it, or will have it once what was sent so far has run */
    bool sure;        /* it was loaded or inserted, not touched */
    bool dirty;       /* in the list of those that changed; appended: always, and in none */
    bool wanted;
};

static inline bool row_exists(const struct row *row)
{
    return row->presence == ROW_PRESENT;
}

/* --- values of columns --- */

#define SYMBOL_MAX 64 /* bytes */

/* A short text that can be a key, filled up with zeros. */
struct symbol {
    char bytes[SYMBOL_MAX];
};

static inline struct str symbol_str(const struct symbol *symbol)
{
    return (struct str){ symbol->bytes, strnlen(symbol->bytes, SYMBOL_MAX) };
}

/* What is longer is cut. */
static inline struct symbol symbol_of(struct str text)
{
    struct symbol symbol = { { 0 } };
    if (text.len > 0)
        memcpy(symbol.bytes, text.ptr, text.len < SYMBOL_MAX ? text.len : SYMBOL_MAX);
    return symbol;
}

struct digest {
    uint8_t bytes[32];
};

/* --- for tables.h and whatever serves every table --- */

struct row *rows_get(struct rows *rows, size_t table, const void *key);
struct row *rows_touch(struct rows *rows, size_t table, const void *key);
struct row *rows_insert(struct rows *rows, size_t table, const void *key);
struct row *rows_append(struct rows *rows, size_t table, const void *key);
void rows_remove(struct row *row);
void rows_hook(struct row *row, unsigned hook); /* by its place in table.hooks */
void row_changes(struct row *row);

static inline bool row_knows(const struct row *row, unsigned column)
{
    return row->known >> column & 1;
}

static inline bool row_is_held(const struct row *row)
{
    return row->of->step->asking;
}

static inline void row_mark(struct row *row, unsigned column)
{
    row->changed |= (uint64_t)1 << column;
    row->known |= (uint64_t)1 << column;
    row->of->step->changed = true;
    if (!row->dirty)
        row_changes(row);
}
