/* settings: a configuration as a program gets it, from "name=value" pairs. */
#pragma once

#include "ops/runtime/config.h"
#include "tests/suite.h"

/* Of these tables, from at most 15 pairs; both are ended by NULL. What config_load says. */
MUST_CHECK static inline err settings_load(const struct setting *const *tables, const char *const *pairs,
                                           struct config **ret)
{
    char *argv[32] = { (char *)"test" };
    int argc = 1;
    for (; *pairs; pairs++) {
        argv[argc++] = (char *)"--set";
        argv[argc++] = (char *)*pairs;
    }
    return config_load("test", "A test.", tables, &argc, argv, ret);
}

/* The same, of pairs that are right. */
static inline struct config *settings_of(const struct setting *const *tables, const char *const *pairs)
{
    struct config *config;
    ck_ok(settings_load(tables, pairs, &config));
    return config;
}
