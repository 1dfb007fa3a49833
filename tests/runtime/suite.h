/* suite: what the tests of the runtime share. Each test runs in a process of its own (Check forks), so that a signal,
 * an abort or a changed environment ends with it. */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define EXIT_SKIPPED 77 /* what meson calls a skipped test */

/* Runs it and returns the exit status for main. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A case whose tests have a minute each: Check's 4 s are short on a busy machine with sanitizers. */
static inline TCase *suite_case(const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 60);
    return t;
}

/* The variable's value; ends the program as skipped where it is not set. */
static inline const char *suite_server(const char *variable)
{
    const char *value = getenv(variable);
    if (value && *value)
        return value;
    printf("skipped: %s is not set; ops/test starts the server and sets it\n", variable);
    exit(EXIT_SKIPPED);
}
