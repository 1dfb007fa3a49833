/* row: a row of a table in a worker's memory, for rules and folds. Pure: no store, no log, no clock. One thread.
 *
 * Typed functions are made for each table by tables.h. What they do:
 *   - get: the row with all its kept columns, or one whose presence is ROW_ABSENT. What is not in memory is noted, and a
 *     blank row answers that is worth nothing: the step goes on asking and changes nothing, rows_run loads what was missed
 *     and takes it again. So every get of a step comes before its first change (asserted).
 *   - touch: the row is there by the fact's word. It may be partial, and is changed blindly: only set absolute values.
 *   - insert: the row begins, with the defaults of its columns. That it is there already is a conflict: rows_run says
 *     REJECT, or PostgreSQL does.
 *   - put: get, and insert where it is absent.
 *   - append: an insert for a row that few will ask for: it goes into the statement at once, and not into memory. Good
 *     until the next append, get or flush.
 *   - remove: it goes, if it is there.
 *   - set_<column>: marks the column, unless it is known to have that value. */
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
