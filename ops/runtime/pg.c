/* The connection is in non-blocking mode all the time and every wait is a poll of our own (pg_await), so that a batch
 * larger than both sides' socket buffers cannot lock up (libpq documentation, 34.5.1.1) and a server that has stopped
 * answering can be given up.
 *
 * A statement is never run a second time unless it certainly was not run: an idle connection is looked at before it is
 * used and made anew when the server has closed it; what is lost later is the caller's RETRY. */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "ops/runtime/pg_private.h"

#define CONNECT_TIMEOUT_MS 5000

/* A process that was paused inside a transaction must not hold its row locks until it wakes: the server ends the
 * transaction (it only counts from a sync point, see pg_batch_flush). A process that has died while its statement runs,
 * or waits for a lock, is noticed within a second. */
#define SESSION                                                                                                        \
    "SET client_min_messages = warning;"                                                                               \
    "SET timezone = 'UTC';"                                                                                            \
    "SET idle_in_transaction_session_timeout = '5s';"                                                                  \
    "SET client_connection_check_interval = '1s'"

#define STATE_LOST    "08006"
#define STATE_TIMEOUT "08P02" /* our own, within the class of connection errors */

const struct pg_statement pg_sql_begin = { "begin", "BEGIN" };
const struct pg_statement pg_sql_commit = { "commit", "COMMIT" };
const struct pg_statement pg_sql_rollback = { "rollback", "ROLLBACK" };

struct pg *pg_create(const char *dsn, const char *application)
{
    struct pg *pg = mem_alloc(sizeof *pg);
    pg->dsn = mem_copy_string(dsn);
    pg->application = mem_copy_string(application);
    return pg;
}

void pg_destroy(struct pg *pg)
{
    if (!pg)
        return;
    pg_disconnect(pg);
    free(pg->prepared);
    free(pg->queued);
    free(pg->dsn);
    free(pg->application);
    free(pg);
}

void pg_disconnect(struct pg *pg)
{
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->in_transaction = false;
    pg->in_batch = false;
    pg->queued_count = 0;
    pg->prepared_count = 0;
    if (pg->prepared)
        memset(pg->prepared, 0, pg->prepared_cap * sizeof *pg->prepared);
}

bool pg_is_connected(const struct pg *pg)
{
    return pg->conn && PQstatus(pg->conn) == CONNECTION_OK;
}

const char *pg_sqlstate(const struct pg *pg)
{
    return pg->sqlstate;
}

void pg_set_timeout(struct pg *pg, int timeout_ms)
{
    pg->timeout_ms = timeout_ms;
}

/* --- errors --- */

static const struct {
    const char *prefix; /* of the SQLSTATE; the first row that fits counts */
    err err;
} states[] = {
    { "25P03", RETRY }, /* idle_in_transaction_session_timeout: this process was paused */
    { "25006", RETRY }, /* read_only_sql_transaction: a standby; the next connection finds the new primary */
    { "26", RETRY },    /* the prepared statement is gone (DISCARD ALL, a pooler); the connection is made anew */
    { "0A000", RETRY }, /* a cached plan does not fit the changed table; the connection is made anew */
    { "08", RETRY },    { "40", RETRY },  { "53", RETRY },  { "55", RETRY },  { "57", RETRY },  { "58", RETRY },
    { "22", REJECT },   { "23", REJECT }, { "54", REJECT }, { "P0", REJECT }, { "AE", REJECT },
};

static err err_of_state(const char *state)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strncmp(state, states[i].prefix, strlen(states[i].prefix)) == 0)
            return states[i].err;
    return FATAL;
}

static void keep_state(struct pg *pg, const char *state)
{
    snprintf(pg->sqlstate, sizeof pg->sqlstate, "%s", state);
}

static int first_line(const char *text)
{
    return (int)strcspn(text, "\n");
}

err pg_lost(struct pg *pg, const char *what)
{
    const char *reason = pg->conn ? PQerrorMessage(pg->conn) : "";
    keep_state(pg, STATE_LOST);
    (void)err_set(RETRY, "PostgreSQL: %s: the connection is lost (%.*s)", what, first_line(reason), reason);
    pg_disconnect(pg);
    return RETRY;
}

/* Only the primary message: detail and hint quote the rows, and with them personal data. */
err pg_failed(struct pg *pg, const char *what, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        keep_state(pg, "25P02");
        return err_set(FATAL, "PostgreSQL: COMMIT rolled back, since a statement before it had failed");
    }
    if (!message)
        message = PQresultErrorMessage(result);
    keep_state(pg, state ? state : STATE_LOST);
    return err_set(err_of_state(pg->sqlstate), "PostgreSQL: %s: %.*s (SQLSTATE %s)", what, first_line(message), message,
                   pg->sqlstate);
}

bool pg_is_error(const struct pg_statement *statement, const PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        return false;
    case PGRES_COMMAND_OK:
        return statement == &pg_sql_commit && strcmp(PQcmdStatus((PGresult *)(uintptr_t)result), "ROLLBACK") == 0;
    default:
        return true;
    }
}

static bool needs_new_connection(const char *state)
{
    static const char *const ending[] = { "08", "57P", "25P03", "25006", "26", "0A000" };
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (strncmp(state, ending[i], strlen(ending[i])) == 0)
            return true;
    return false;
}

void pg_settle(struct pg *pg)
{
    if (!pg->conn)
        return;
    if (PQstatus(pg->conn) != CONNECTION_OK || needs_new_connection(pg->sqlstate)) {
        pg_disconnect(pg);
        return;
    }
    pg->in_transaction = PQtransactionStatus(pg->conn) != PQTRANS_IDLE;
}

/* --- waiting --- */

/* False: nothing happened in time. */
static bool wait_for(int fd, short events, int64_t deadline_us)
{
    for (;;) {
        int wait_ms = -1;
        if (deadline_us > 0) {
            const int64_t left = deadline_us - clock_mono_us();
            if (left <= 0)
                return false;
            wait_ms = (int)((left + 999) / 1000);
        }
        struct pollfd p = { .fd = fd, .events = events };
        const int ready = poll(&p, 1, wait_ms);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return true; /* libpq finds out what is wrong */
    }
}

static err gave_up(struct pg *pg)
{
    keep_state(pg, STATE_TIMEOUT);
    pg_disconnect(pg);
    return err_set(RETRY, "PostgreSQL has not answered within %d ms; the connection was dropped", pg->timeout_ms);
}

err pg_await(struct pg *pg)
{
    const int64_t deadline_us = pg->timeout_ms > 0 ? clock_mono_us() + (int64_t)pg->timeout_ms * 1000 : 0;
    for (;;) {
        const int unsent = PQflush(pg->conn);
        if (unsent < 0)
            return pg_lost(pg, "sending");
        if (!PQisBusy(pg->conn))
            return OK;
        const short events = (short)(POLLIN | (unsent ? POLLOUT : 0));
        if (!wait_for(PQsocket(pg->conn), events, deadline_us))
            return gave_up(pg);
        if (!PQconsumeInput(pg->conn))
            return pg_lost(pg, "waiting for an answer");
    }
}

/* Reads all results of one command; keeps the last one, or the first error. */
static err collect(struct pg *pg, const struct pg_statement *statement, const char *what, PGresult **ret)
{
    err e = OK;
    PGresult *last = NULL;
    for (;;) {
        const err waited = pg_await(pg);
        if (waited != OK) {
            PQclear(last);
            return waited;
        }
        PGresult *result = PQgetResult(pg->conn);
        if (!result)
            break;
        if (e == OK && pg_is_error(statement, result))
            e = pg_failed(pg, what, result);
        PQclear(last);
        last = result;
        if (PQstatus(pg->conn) != CONNECTION_OK)
            break;
    }
    pg_settle(pg);
    if (e != OK || !ret) {
        PQclear(last);
        return e;
    }
    *ret = last;
    return OK;
}

err pg_run(struct pg *pg, const char *what, const char *sql)
{
    if (!PQsendQuery(pg->conn, sql))
        return pg_lost(pg, what);
    return collect(pg, NULL, what, NULL);
}

/* --- connecting --- */

static void on_notice(void *context, const PGresult *notice)
{
    const struct pg *pg = context;
    const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    LOG(WARN, "PostgreSQL notice", F_STR("connection", pg->application), F_STR("text", message));
}

static PGconn *start(const struct pg *pg)
{
    /* Before dbname, which holds the DSN: it may say otherwise. Behind it: it may not. */
    const char *const names[] = { "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
                                  "keepalives_count", "connect_timeout", "dbname",
                                  "application_name", "client_encoding", NULL };
    const char *const values[] = { "10000", "10", "5", "3", "5", pg->dsn, pg->application, "UTF8", NULL };
    return PQconnectStartParams(names, values, 1);
}

/* A failed connection has no result to ask for its SQLSTATE; in verbose messages it stands as "FATAL:  28P01: …". With
 * several hosts the last one counts. "": the server did not get as far as to say one. */
static void find_state(const char *message, char ret_state[6])
{
    ret_state[0] = '\0';
    for (const char *at = strstr(message, ":  "); at; at = strstr(at + 3, ":  ")) {
        size_t len = 0;
        while (len < 5 && (isdigit((unsigned char)at[3 + len]) || isupper((unsigned char)at[3 + len])))
            len++;
        if (len == 5 && at[8] == ':')
            snprintf(ret_state, 6, "%.5s", at + 3);
    }
}

static err not_connected(struct pg *pg, const char *reason)
{
    char state[6];
    find_state(reason, state);
    keep_state(pg, state[0] ? state : STATE_LOST);
    const err kind = err_of_state(pg->sqlstate);
    (void)err_set(kind, "PostgreSQL cannot be reached: %.*s", first_line(reason), reason);
    pg_disconnect(pg);
    return kind;
}

static err shake_hands(struct pg *pg)
{
    const int64_t deadline_us = clock_mono_us() + CONNECT_TIMEOUT_MS * 1000;
    short events = POLLOUT;
    for (;;) {
        if (!wait_for(PQsocket(pg->conn), events, deadline_us))
            return not_connected(pg, "no answer within 5 s");
        switch (PQconnectPoll(pg->conn)) {
        case PGRES_POLLING_OK:
            return OK;
        case PGRES_POLLING_READING:
            events = POLLIN;
            break;
        case PGRES_POLLING_WRITING:
            events = POLLOUT;
            break;
        default:
            return not_connected(pg, PQerrorMessage(pg->conn));
        }
    }
}

static err check_dsn(const struct pg *pg)
{
    char *reason = NULL;
    PQconninfoOption *options = PQconninfoParse(pg->dsn, &reason);
    if (options) {
        PQconninfoFree(options);
        return OK;
    }
    /* The reason may quote a part of the DSN, and the DSN may hold a password. */
    PQfreemem(reason);
    return err_set(FATAL, "postgres.dsn is neither a URI (postgresql://user@host/database) nor keyword=value pairs");
}

err pg_connect(struct pg *pg)
{
    if (pg_is_connected(pg))
        return OK;
    pg_disconnect(pg);
    pg->sqlstate[0] = '\0';
    TRY(check_dsn(pg));
    pg->conn = start(pg);
    if (!pg->conn)
        abort(); /* out of memory */
    if (PQstatus(pg->conn) == CONNECTION_BAD)
        return not_connected(pg, PQerrorMessage(pg->conn));
    PQsetErrorVerbosity(pg->conn, PQERRORS_VERBOSE);
    TRY(shake_hands(pg));
    PQsetErrorVerbosity(pg->conn, PQERRORS_DEFAULT);
    PQsetNoticeReceiver(pg->conn, on_notice, pg);
    PQsetnonblocking(pg->conn, 1);
    const err e = pg_run(pg, "preparing the session", SESSION);
    if (e != OK)
        pg_disconnect(pg);
    return e;
}

/* The server closes idle connections by a message or an end of file, both of which can be read. */
static bool was_closed(struct pg *pg)
{
    struct pollfd p = { .fd = PQsocket(pg->conn), .events = POLLIN | POLLRDHUP };
    if (poll(&p, 1, 0) <= 0)
        return false;
    if (p.revents & (POLLRDHUP | POLLHUP | POLLERR))
        return true;
    return !PQconsumeInput(pg->conn) || PQstatus(pg->conn) != CONNECTION_OK;
}

err pg_ready(struct pg *pg)
{
    pg->sqlstate[0] = '\0';
    const bool in_transaction = pg->in_transaction && !pg->in_batch;
    if (pg->in_batch) /* it was abandoned; what it has sent must not take effect */
        pg_disconnect(pg);
    if (pg_is_connected(pg) && !was_closed(pg))
        return OK;
    if (in_transaction && pg->conn) {
        (void)pg_lost(pg, "idle in a transaction");
        return err_set(RETRY, "PostgreSQL closed the connection within a transaction, which is rolled back");
    }
    pg_disconnect(pg);
    return pg_connect(pg);
}

/* --- statements --- */

struct pg_prepared *pg_prepared_find(struct pg *pg, const struct pg_statement *statement)
{
    if ((pg->prepared_count + 1) * 4 > pg->prepared_cap * 3) {
        const struct pg_prepared *old = pg->prepared;
        const size_t old_cap = pg->prepared_cap;
        pg->prepared_cap = old_cap ? old_cap * 2 : 64;
        pg->prepared = mem_alloc(pg->prepared_cap * sizeof *pg->prepared);
        pg->prepared_count = 0;
        for (size_t i = 0; i < old_cap; i++)
            if (old[i].sql)
                pg_prepared_find(pg, &(struct pg_statement){ .sql = old[i].sql })->state = old[i].state;
        free((void *)(uintptr_t)old);
    }
    size_t at = ((uintptr_t)statement->sql * 0x9e3779b97f4a7c15u) >> 32;
    for (;; at++) {
        struct pg_prepared *p = &pg->prepared[at & (pg->prepared_cap - 1)];
        if (!p->sql) {
            p->sql = statement->sql;
            pg->prepared_count++;
        }
        if (p->sql == statement->sql)
            return p;
    }
}

static err prepare(struct pg *pg, const struct pg_statement *statement)
{
    if (pg_prepared_find(pg, statement)->state == PG_PREPARED)
        return OK;
    if (!PQsendPrepare(pg->conn, statement->name, statement->sql, 0, NULL))
        return pg_lost(pg, statement->name);
    TRY(collect(pg, NULL, statement->name, NULL));
    if (pg->conn)
        pg_prepared_find(pg, statement)->state = PG_PREPARED;
    return OK;
}

bool pg_send_statement(struct pg *pg, const struct pg_statement *statement, const struct pg_args *args)
{
    static const struct pg_args none;
    if (!args)
        args = &none;
    return PQsendQueryPrepared(pg->conn, statement->name, args->count, args->values, args->lengths, args->formats, 1) !=
           0;
}

err pg_query(struct pg *pg, const struct pg_statement *statement, const struct pg_args *args, PGresult **ret)
{
    TRY(pg_ready(pg));
    const bool in_transaction = pg->in_transaction;
    err e = prepare(pg, statement);
    if (e == RETRY && !pg->conn && !in_transaction) { /* lost before the statement itself was sent */
        TRY(pg_ready(pg));
        e = prepare(pg, statement);
    }
    if (e != OK)
        return e;
    if (!pg_send_statement(pg, statement, args))
        return pg_lost(pg, statement->name);
    return collect(pg, statement, statement->name, ret);
}

err pg_script(struct pg *pg, const char *sql)
{
    TRY(pg_ready(pg));
    return pg_run(pg, "script", sql);
}
