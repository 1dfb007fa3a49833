/* rows_table: what the parts of the engine share: rows.c (the map), load.c, flush.c, statement.c, value.c. Private. */
#pragma once

#include "consumers/projection/rows.h"
#include "schemas/vault.h"

#define COLUMNS_MAX      31 /* parameters of a statement, with one to spare for the mask */
#define STATEMENT_KINDS  6
#define VARIANTS_MAX     64 /* statements a table and kind; further masks share the one of all columns */
#define ROWS_BLOCK       256
#define SHORT_LIVED_KEPT 50000 /* of a short-lived table */
#define APPENDED_HINT    256

enum statement_kind {
    STATEMENT_LOAD,
    STATEMENT_INSERT,
    STATEMENT_UPDATE,        /* every row has a value for every column of the mask */
    STATEMENT_UPDATE_BLIND,  /* the same, and it may be the one that the table has */
    STATEMENT_UPDATE_MASKED, /* each row says which columns it changes */
    STATEMENT_DELETE,
};

/* Each step over the columns of a mask, by number. */
#define EACH_COLUMN(mask, i)                                                                                           \
    for (uint64_t left_ = (mask); left_ && ((i) = (unsigned)__builtin_ctzll(left_), true); left_ &= left_ - 1)

struct variant {
    uint64_t mask;
    const struct pg_statement *statement;
};

struct slot {
    uint64_t hash;
    struct row *row;
};

/* Rows of one size, kept over clearing: the steady state takes no new memory. */
struct row_pool {
    char **blocks;
    size_t block_count, block_capacity, used;
};

struct rows_table {
    struct row_table public;
    struct rows *rows;
    const struct table *table;
    size_t key_offset, key_size, key_columns;
    uint64_t keys, kept, all; /* columns */
    uint64_t with_default;    /* may be left out of an INSERT */
    struct row *blank;        /* with the defaults of the columns; present: it answers for what is not known yet */
    struct row_pool pool;
    struct slot *slots;
    size_t slot_mask, count;
    struct row *first, **last; /* those that changed */
    uint32_t hooked;           /* hooks of any of them */
    struct row **wanted;
    size_t wanted_count, wanted_capacity;
    /* appended since the last flush */
    struct row_pool appended_pool;
    struct row **appended;
    uint64_t *appended_hashes;
    size_t appended_count, appended_capacity;
    struct row *appending; /* the last one, not yet in the arrays */
    struct pg_array *arrays[COLUMNS_MAX];
    struct variant variants[STATEMENT_KINDS][VARIANTS_MAX];
    size_t variant_count[STATEMENT_KINDS];
};

struct rows {
    struct rows_table *tables;
    size_t table_count;
    struct arena *arena; /* the batch's */
    uint8_t seed[16];    /* of the hash: clients choose ids */
    struct rows_step_state step;
    const char *conflict; /* the table in which the step under way contradicts the rows; NULL: none */
    struct rows_counts counts;
};

static inline char *row_key(const struct rows_table *t, const struct row *row)
{
    return (char *)(uintptr_t)row + t->key_offset;
}

static inline struct rows_table *table_of(const struct row *row)
{
    return (struct rows_table *)row->of;
}

/* --- rows.c --- */
struct row *rows_known(const struct rows_table *t, const void *key); /* NULL: not in memory */
/* What the row does not know, of the other, which is the table's. */
void row_merge(const struct rows_table *t, struct row *row, const struct row *other);
void rows_forget(struct rows_table *t);   /* everything */
void append_finish(struct rows_table *t); /* the last appended row is complete: into the arrays */

/* --- load.c --- */
MUST_CHECK err rows_load(struct rows *rows, struct pg *pg); /* what is wanted */

/* --- statement.c --- */
/* Made at its first use, and for ever: pg knows statements by the address of their text. *mask (without the key) may grow
 * to all columns. */
const struct pg_statement *statement_of(struct rows_table *t, enum statement_kind kind, uint64_t *mask);

/* --- value.c --- */
enum pg_type value_pg_type(enum column_type type);
const char *value_sql_type(enum column_type type);
size_t value_size(enum column_type type);
void value_put(struct pg_array *array, struct arena *arena, const struct column *column, const struct row *row);
/* false: the table has a number that stands for no value of the enum. */
bool value_read(struct row *row, const struct column *column, const PGresult *r, int i, int k);
/* Arguments: the columns of the mask, an array each. */
void values_put(struct pg_args *args, const struct rows_table *t, uint64_t mask, struct row *const *list, size_t count);
