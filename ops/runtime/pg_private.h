/* pg_private: what pg.c (the connection) and pg_batch.c (pipelines) share. */
#pragma once

#include "ops/runtime/pg.h"

/* What this connection knows of a statement, found by its text's address (statements are constants). */
struct pg_prepared {
    const char *sql; /* NULL: free */
    enum { PG_UNPREPARED, PG_PREPARING, PG_PREPARED } state;
};

enum pg_queued_kind { PG_QUEUED_PREPARE, PG_QUEUED_STATEMENT, PG_QUEUED_SYNC };

struct pg_queued {
    enum pg_queued_kind kind;
    const struct pg_statement *statement;
};

struct pg {
    char *dsn, *application;
    PGconn *conn;        /* NULL: not connected; always in non-blocking mode */
    bool in_transaction; /* as of the last answer */
    char sqlstate[6];
    int timeout_ms;

    struct pg_prepared *prepared; /* open addressing, prepared_cap is a power of two */
    size_t prepared_cap, prepared_count;

    bool in_batch;
    struct pg_queued *queued; /* what answers are outstanding for, in order */
    size_t queued_count, queued_cap;
};

/* Connected, idle and alive: connects when needed. RETRY too when the connection was lost within a transaction. Forgets
 * the last error. */
err pg_ready(struct pg *pg);

/* Waits until PQgetResult will not block, sending what is still unsent meanwhile. Not OK: the connection is gone. */
err pg_await(struct pg *pg);

/* Drops the connection after an error of the library, whose message it keeps. Returns RETRY. */
err pg_lost(struct pg *pg, const char *what);

/* Keeps SQLSTATE and message of an error result; says what to do next. */
err pg_failed(struct pg *pg, const char *what, const PGresult *result);

/* True: the result is an error (or a COMMIT that rolled back). */
bool pg_is_error(const struct pg_statement *statement, const PGresult *result);

/* After an error or a batch: drops a connection that is broken or must be made anew, remembers the
 * transaction's state. */
void pg_settle(struct pg *pg);

/* Runs SQL text without parameters and drops the results; NULL timeouts do not apply. */
err pg_run(struct pg *pg, const char *what, const char *sql);

struct pg_prepared *pg_prepared_find(struct pg *pg, const struct pg_statement *statement); /* adds it when new */
bool pg_send_statement(struct pg *pg, const struct pg_statement *statement, const struct pg_args *args);
