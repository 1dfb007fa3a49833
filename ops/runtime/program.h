/* program: how a program that runs until it is told to stop begins. */
#pragma once

#include "ops/runtime/config.h"

#define PROGRAM_USAGE 2 /* exit status: the command line or a setting is wrong */

/* Reads the settings of `tables`, then starts the log and the handling of signals; `program` is "aether-gateway", and
 * "gateway" in the log. Before the first thread. False: what is wrong was said on stderr, and the program ends with
 * PROGRAM_USAGE. `program` is kept, not copied; *ret is the caller's (config_destroy). */
bool program_begin(const char *program, const char *summary, const struct setting *const *tables, int argc, char **argv,
                   struct config **ret);
