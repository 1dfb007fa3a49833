/* pg_fixture: what the tests on a real PostgreSQL share. Each test has a schema of its own, dropped with it, so that
 * the same server can serve other tests at the same time. */
#pragma once

#include "ops/runtime/pg_private.h"
#include "tests/suite.h"

extern const char *dsn; /* set by main */
extern struct pg *pg, *other;
extern struct arena arena;

void pg_setup(void);
void pg_teardown(void);

extern const struct pg_statement insert_row, count_rows, backend_pid, is_there;

struct pg_args row_args(int id, const char *body);
struct pg_args int4_args(int64_t i);
int64_t one_int(struct pg *on, const struct pg_statement *statement, const struct pg_args *args);
/* Ends the server's side of the connection, and waits until it has ended. */
void terminate_backend(int64_t pid);
