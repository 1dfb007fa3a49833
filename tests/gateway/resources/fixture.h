/* fixture: a configuration of the tables a test names, from `NAME=VALUE` pairs. */
#pragma once

#include <check.h>
#include <stdlib.h>

#include "ops/runtime/config.h"

static inline struct config *fixture_config(const struct setting *const *tables, const char *const *values)
{
    char *argv[32] = { (char *)"test" };
    int argc = 1;
    for (; *values; values++) {
        argv[argc++] = (char *)"--set";
        argv[argc++] = (char *)*values;
    }
    struct config *config;
    err e = config_load("test", "A test.", tables, &argc, argv, &config);
    ck_assert_msg(e == OK, "%s", err_message());
    return config;
}

static inline int fixture_run(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tests = tcase_create(name);
    tcase_set_timeout(tests, 60);
    add(tests);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    /* In one process, so that the sanitizers see leaks and races. */
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
