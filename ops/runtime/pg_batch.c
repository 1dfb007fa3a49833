/* A batch is a libpq pipeline: prepare (where a statement is new on the connection), statement, prepare, …, sync. The
 * queue says what each answer belongs to. After an error the server skips everything up to the next sync point and says
 * so for each command, so the answers always add up and the connection stays usable. */
#include <assert.h>
#include <stdlib.h>

#include "ops/runtime/pg_private.h"

static void queue(struct pg *pg, enum pg_queued_kind kind, const struct pg_statement *statement)
{
    if (pg->queued_count == pg->queued_cap) {
        pg->queued_cap = pg->queued_cap ? pg->queued_cap * 2 : 64;
        pg->queued = mem_resize(pg->queued, pg->queued_cap * sizeof *pg->queued);
    }
    pg->queued[pg->queued_count++] = (struct pg_queued){ .kind = kind, .statement = statement };
}

err pg_batch_begin(struct pg *pg)
{
    TRY(pg_ready(pg));
    if (!PQenterPipelineMode(pg->conn))
        return pg_lost(pg, "entering pipeline mode");
    pg->in_batch = true;
    pg->queued_count = 0;
    return OK;
}

static err no_batch(void)
{
    return err_set(RETRY, "PostgreSQL: no batch is open; an error before has closed it");
}

err pg_batch_add(struct pg *pg, const struct pg_statement *statement, const struct pg_args *args)
{
    if (!pg->in_batch)
        return no_batch();
    struct pg_prepared *prepared = pg_prepared_find(pg, statement);
    if (prepared->state == PG_UNPREPARED) {
        if (!PQsendPrepare(pg->conn, statement->name, statement->sql, 0, NULL))
            return pg_lost(pg, statement->name);
        prepared->state = PG_PREPARING;
        queue(pg, PG_QUEUED_PREPARE, statement);
    }
    if (!pg_send_statement(pg, statement, args))
        return pg_lost(pg, statement->name);
    queue(pg, PG_QUEUED_STATEMENT, statement);
    return OK;
}

static err sync_point(struct pg *pg)
{
    if (!PQpipelineSync(pg->conn))
        return pg_lost(pg, "sending");
    queue(pg, PG_QUEUED_SYNC, NULL);
    return OK;
}

err pg_batch_flush(struct pg *pg)
{
    if (!pg->in_batch)
        return no_batch();
    TRY(sync_point(pg));
    return PQflush(pg->conn) < 0 ? pg_lost(pg, "sending") : OK;
}

/* --- collecting --- */

struct drained {
    err err;            /* the first one */
    char message[512];  /* of it */
    char sqlstate[6];   /* of it */
    PGresult **results; /* the caller's, or NULL */
    size_t count, capacity;
};

static void keep_error(struct pg *pg, struct drained *d, const struct pg_statement *statement, const PGresult *result)
{
    if (d->err != OK)
        return;
    d->err = pg_failed(pg, statement->name, result);
    memcpy(d->sqlstate, pg->sqlstate, sizeof d->sqlstate);
    const size_t len = strnlen(err_message(), sizeof d->message - 1);
    memcpy(d->message, err_message(), len);
    d->message[len] = '\0';
}

/* One command's results, up to the NULL behind them. */
static err drain_command(struct pg *pg, struct drained *d, const struct pg_queued *q)
{
    PGresult *kept = NULL;
    bool failed = false;
    for (;;) {
        const err waited = pg_await(pg);
        if (waited != OK) {
            PQclear(kept);
            return waited;
        }
        PGresult *result = PQgetResult(pg->conn);
        if (!result)
            break;
        const bool aborted = PQresultStatus(result) == PGRES_PIPELINE_ABORTED;
        if (!aborted && pg_is_error(q->statement, result))
            keep_error(pg, d, q->statement, result);
        failed |= aborted || pg_is_error(q->statement, result);
        PQclear(kept);
        kept = result;
        if (PQstatus(pg->conn) != CONNECTION_OK)
            break;
    }
    if (q->kind == PG_QUEUED_PREPARE)
        pg_prepared_find(pg, q->statement)->state = failed ? PG_UNPREPARED : PG_PREPARED;
    if (q->kind == PG_QUEUED_STATEMENT && d->results && d->count < d->capacity) {
        d->results[d->count] = kept;
        kept = NULL;
    }
    d->count += q->kind == PG_QUEUED_STATEMENT;
    PQclear(kept);
    return PQstatus(pg->conn) == CONNECTION_OK ? OK : pg_lost(pg, "collecting a batch");
}

static err drain_sync(struct pg *pg)
{
    for (int ends = 0; ends < 2;) {
        TRY(pg_await(pg));
        PGresult *result = PQgetResult(pg->conn);
        const bool reached = result && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        ends += !result;
        PQclear(result);
        if (reached)
            return OK;
        if (PQstatus(pg->conn) != CONNECTION_OK)
            break;
    }
    return pg_lost(pg, "waiting for the end of a batch");
}

static err drain(struct pg *pg, struct drained *d)
{
    for (size_t i = 0; i < pg->queued_count; i++) {
        const struct pg_queued q = pg->queued[i];
        TRY(q.kind == PG_QUEUED_SYNC ? drain_sync(pg) : drain_command(pg, d, &q));
    }
    if (!PQexitPipelineMode(pg->conn))
        return pg_lost(pg, "leaving pipeline mode");
    return OK;
}

/* Leaves the connection outside of any transaction, or without a connection. */
static void roll_back(struct pg *pg)
{
    pg_settle(pg);
    if (pg->conn && pg->in_transaction && pg_run(pg, "rollback", "ROLLBACK") != OK)
        pg_disconnect(pg);
}

err pg_batch_end(struct pg *pg, PGresult **ret_results, size_t count)
{
    if (!pg->in_batch)
        return no_batch();
    struct drained d = { .results = ret_results, .capacity = count };
    for (size_t i = 0; ret_results && i < count; i++)
        ret_results[i] = NULL;
    err e = OK;
    if (pg->queued_count == 0 || pg->queued[pg->queued_count - 1].kind != PG_QUEUED_SYNC)
        e = sync_point(pg);
    if (e == OK)
        e = drain(pg, &d);
    pg->in_batch = false;
    pg->queued_count = 0;
    if (d.err != OK) { /* the server's reason says more than the connection's end that may have followed */
        memcpy(pg->sqlstate, d.sqlstate, sizeof pg->sqlstate);
        roll_back(pg);
        memcpy(pg->sqlstate, d.sqlstate, sizeof pg->sqlstate);
        e = err_set(d.err, "%s", d.message);
    } else if (e == OK) {
        pg_settle(pg);
        assert(!ret_results || count == d.count);
        return OK;
    }
    if (ret_results)
        pg_results_clear(ret_results, count);
    return e;
}

void pg_results_clear(PGresult **results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PQclear(results[i]);
        results[i] = NULL;
    }
}
