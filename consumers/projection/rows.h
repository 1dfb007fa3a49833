/* rows: the memory of a worker, which is the rows of its tables (an identity map), and what a batch changes in them (a
 * unit of work), written by one statement a table and kind of change. Knows no table by name; see table.h.
 *
 * Rules and folds see row.h and the functions that tables.h makes for each table; the loop sees this.
 *
 * After any failure, and when others may have written the tables, rows_clear: memory must say what the tables say. One
 * thread. The steady state allocates nothing but statements' arguments, in the batch's arena. */
#pragma once

#include "consumers/projection/fact.h"
#include "consumers/projection/table.h"

struct rows;
struct rows *rows_create(const struct table *const *tables, size_t count);
void rows_destroy(struct rows *rows); /* NULL is fine */
void rows_clear(struct rows *rows);   /* forgets everything */
size_t rows_size(const struct rows *rows);

/* --- a batch: begin, run, flush --- */

/* `arena` lives until the flushed statements were sent. */
void rows_begin(struct rows *rows, struct arena *arena);
/* Takes the steps 0 … count - 1 in order. A step that misses a row has changed nothing: what it and the steps behind it
 * miss is loaded, one query a table, and it is taken again; a step is thus run several times, and must do nothing but
 * read and change rows and its own place in `context`. RETRY when PostgreSQL is away, REJECT when rows contradict a
 * step, FATAL when a table has what this program does not know; rows_clear then. */
typedef void rows_step(struct rows *rows, void *context, size_t i);
MUST_CHECK err rows_run(struct rows *rows, struct pg *pg, rows_step *step, void *context, size_t count);
/* How a fact changes rows. */
typedef void rows_evolve(struct rows *rows, const struct placed_fact *fact);
MUST_CHECK err rows_fold(struct rows *rows, struct pg *pg, rows_evolve *evolve, const struct placed_fact *facts,
                         size_t count);
/* Adds the statements to the pg_batch under way. Rows then are what the tables will be. */
MUST_CHECK err rows_flush(struct rows *rows, struct pg *pg);

struct rows_counts {
    uint64_t loads;      /* round trips */
    uint64_t loaded;     /* keys asked for */
    uint64_t repeated;   /* steps that were run once more */
    uint64_t statements; /* flushed */
};
struct rows_counts rows_counts(const struct rows *rows); /* since rows_create */
