/* suite: what every program of tests in C does. Each test runs in a process of its own (Check forks), so that a signal,
 * an abort or a changed environment ends with it. */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/runtime/err.h"

#define EXIT_SKIPPED 77 /* what meson calls a skipped test */

/* The variable's value; ends the program as skipped where it is not set. */
static inline const char *suite_server(const char *variable)
{
    const char *value = getenv(variable);
    if (value && *value)
        return value;
    printf("skipped: %s is not set; ops/test starts the server and sets it\n", variable);
    exit(EXIT_SKIPPED);
}

/* A case whose tests have a minute each: Check's 4 s are short on a busy machine with sanitizers. */
static inline TCase *suite_case(const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 60);
    return t;
}

static inline int suite_run_as(Suite *suite, enum fork_status fork)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, fork);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Runs it and returns the exit status for main. */
static inline int suite_run(Suite *suite)
{
    return suite_run_as(suite, CK_FORK_GETENV);
}

/* A suite of one case whose tests run in this process, so that the sanitizers see leaks and races at its end. */
static inline int suite_run_together(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tests = suite_case(name);
    add(tests);
    suite_add_tcase(suite, tests);
    return suite_run_as(suite, CK_NOFORK);
}

static inline void ck_ok(err e)
{
    ck_assert_msg(e == OK, "%s: %s", err_name(e), err_message());
}
