/* pg: a PostgreSQL connection. One connection belongs to one thread. Values travel in binary format.
 *
 * Statements are named constants, prepared at their first use on a connection and again after a reconnect. Errors:
 * RETRY when the server is away, shutting down or in conflict (SQLSTATE classes 08, 40, 53, 55, 57, 58, and 25P03,
 * 25006, 26, 0A000); REJECT for the input's fault (classes 22, 23, 54, P0 and "AE…"); FATAL for the rest (a missing
 * table, a wrong password). After RETRY the connection may be gone; the next pg_query, pg_script or pg_batch_begin
 * reconnects. A connection that the server closed while it was idle is made anew without an error, except within a
 * transaction (RETRY). A transaction that waits for its client for more than 5 s is ended by the server: a paused
 * process holds no locks. */
#pragma once

#include <libpq-fe.h>

#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

struct pg;

struct pg_statement {
    const char *name; /* unique in the program; the prepared statement's name */
    const char *sql;  /* one statement, parameters $1… with casts where the type is not plain */
};

/* --- parameters --- */

#define PG_MAX_ARGS 32

struct pg_args {
    int count;
    const char *values[PG_MAX_ARGS];
    int lengths[PG_MAX_ARGS];
    int formats[PG_MAX_ARGS];
    struct arena *arena; /* holds the encoded values until they are sent */
};

static inline struct pg_args pg_args(struct arena *arena)
{
    return (struct pg_args){ .arena = arena };
}

void pg_arg_null(struct pg_args *a);
void pg_arg_bool(struct pg_args *a, bool b);
void pg_arg_int2(struct pg_args *a, int16_t i);
void pg_arg_int4(struct pg_args *a, int32_t i);
void pg_arg_int8(struct pg_args *a, int64_t i);
void pg_arg_text(struct pg_args *a, struct str s);  /* not copied; must live until sent */
void pg_arg_bytes(struct pg_args *a, struct str s); /* bytea; not copied */
void pg_arg_uuid(struct pg_args *a, struct uuid id);
void pg_arg_time(struct pg_args *a, int64_t unix_ms); /* timestamptz */

/* A one-dimensional array parameter for unnest($n::uuid[]) or = ANY($n). Append `count` elements at most. */
enum pg_type {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_TIMESTAMPTZ = 1184,
    PG_UUID = 2950,
};
struct pg_array;
struct pg_array *pg_array(struct arena *arena, enum pg_type element, size_t count_hint);
void pg_array_null(struct pg_array *a);
void pg_array_bool(struct pg_array *a, bool b);
void pg_array_int2(struct pg_array *a, int16_t i);
void pg_array_int4(struct pg_array *a, int32_t i);
void pg_array_int8(struct pg_array *a, int64_t i);
void pg_array_str(struct pg_array *a, struct str s); /* TEXT or BYTEA; copied */
void pg_array_uuid(struct pg_array *a, struct uuid id);
void pg_array_time(struct pg_array *a, int64_t unix_ms);
size_t pg_array_count(const struct pg_array *a);
void pg_arg_array(struct pg_args *args, struct pg_array *a);

/* --- connection --- */

/* Connects lazily: the first use connects. `application` shows in pg_stat_activity. Destroying NULL is fine. */
struct pg *pg_create(const char *dsn, const char *application);
void pg_destroy(struct pg *pg);
MUST_CHECK err pg_connect(struct pg *pg); /* now; RETRY when the server does not answer */
bool pg_is_connected(const struct pg *pg);
void pg_set_timeout(struct pg *pg,
                    int timeout_ms);          /* longest wait for an answer, then RETRY; 0 (as created): for ever */
void pg_disconnect(struct pg *pg);            /* drops the connection (and with it an open transaction) */
const char *pg_sqlstate(const struct pg *pg); /* of the last error, "" when there was none */

/* Runs SQL text with several statements and no parameters (migrations). */
MUST_CHECK err pg_script(struct pg *pg, const char *sql);

/* A result that goes with its scope: _cleanup_result_ PGresult *r = NULL; */
static inline void pg_result_cleanup(PGresult **r)
{
    PQclear(*r);
}
#define _cleanup_result_ __attribute__((cleanup(pg_result_cleanup)))

/* One statement, one round trip. *ret is the caller's (_cleanup_result_), untouched on failure; ret may be NULL. */
MUST_CHECK err pg_query(struct pg *pg, const struct pg_statement *statement, const struct pg_args *args,
                        PGresult **ret);

/* A batch in pipeline mode: queue any number of statements, flush, collect. All statements of one batch between two
 * syncs stand or fall together. pg_batch_add never blocks on results (libpq's buffer grows) and copies the arguments
 * there. Where it or pg_batch_flush fails, the connection and the batch are gone already. On an error pg_batch_end
 * returns it after the pipeline is drained, and the connection is outside of any transaction; ret_results (count
 * entries, one for each statement in the order added, all to be PQcleared by pg_results_clear) are NULL unless OK;
 * ret_results NULL: results are dropped. A batch that is not ended is dropped, with its connection, by the next
 * pg_query or pg_batch_begin. */
MUST_CHECK err pg_batch_begin(struct pg *pg);
MUST_CHECK err pg_batch_add(struct pg *pg, const struct pg_statement *statement, const struct pg_args *args);
/* Sends what is queued without waiting, and a sync point with it: within BEGIN … COMMIT that changes nothing but that
 * the server ends the transaction should this process stop here; without BEGIN it commits what came before. */
MUST_CHECK err pg_batch_flush(struct pg *pg);
MUST_CHECK err pg_batch_end(struct pg *pg, PGresult **ret_results, size_t count);
void pg_results_clear(PGresult **results, size_t count);

/* BEGIN, COMMIT and ROLLBACK as statements for a batch. */
extern const struct pg_statement pg_sql_begin, pg_sql_commit, pg_sql_rollback;

/* --- results, binary; text and bytes point into the result; NULL reads as false, 0, empty or nil --- */
bool pg_null(const PGresult *r, int row, int column);
bool pg_bool(const PGresult *r, int row, int column);
int64_t pg_int(const PGresult *r, int row, int column); /* int2, int4, int8 */
struct str pg_str(const PGresult *r, int row, int column);
struct uuid pg_uuid(const PGresult *r, int row, int column);
int64_t pg_time(const PGresult *r, int row, int column); /* timestamptz as Unix milliseconds */
