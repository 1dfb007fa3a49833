/* config_help: a table of settings as text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ops/runtime/config.h"

/* AETHER_GATEWAY_DEADLINE_MS for gateway.deadline_ms; cut when it does not fit. */
void config_variable(const char *name, char *ret, size_t size);

/* What is allowed: "100 to 60000 ms", "true or false", "debug|info", "text of 1 to 128 bytes". */
void config_allowed(const struct setting *s, char *ret, size_t size);

/* Prints to standard output: aligned columns, or a Markdown table. */
void config_help(const char *program, const char *summary, const struct setting *const *tables, bool markdown);
