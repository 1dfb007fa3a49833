/* clock: the only place that asks what time it is. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ops/runtime/mem.h"

#define RFC3339_LEN 24 /* 2026-01-31T23:59:59.123Z */

int64_t clock_wall_ms(void); /* Unix milliseconds, UTC */
int64_t clock_mono_us(void); /* microseconds that never go back */
void clock_rfc3339(int64_t unix_ms, char ret_text[RFC3339_LEN + 1]);
bool clock_parse_rfc3339(struct str text, int64_t *ret_unix_ms);
