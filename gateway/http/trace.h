/* trace: W3C Trace Context, version 00 (https://www.w3.org/TR/trace-context/). Any thread. */
#pragma once

#include "ops/runtime/mem.h"

#define TRACEPARENT_LEN 55 /* 00-<32 hex trace id>-<16 hex span id>-<2 hex flags> */

/* The trace of `traceparent` with a new span id, or a new sampled trace when it is none (absent, of another length, not
 * lower-case hexadecimal, all zero). A later version is read as far as version 00 goes, as the specification asks. */
void trace_continue(struct str traceparent, char ret_text[TRACEPARENT_LEN + 1]);

/* Random bytes for identifiers that are no secrets, from a per-thread store: one system call for many. */
void trace_random(void *ret, size_t size);
