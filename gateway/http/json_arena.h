/* json_arena: JSON text to jansson values that live in an arena.
 *
 * jansson allocates through two global functions. While json_parse runs, those of the calling thread take from the
 * arena and free nothing; otherwise they are malloc and free. So a value of json_parse costs no allocation once the
 * arena is warm, is gone with arena_reset, and must never be given to json_decref. */
#pragma once

#include <jansson.h>

#include "ops/runtime/mem.h"

/* Before the first thread that uses jansson starts; more calls do nothing. */
void json_arena_init(void);

/* NULL: *ret_error says why. Duplicate names and invalid UTF-8 are errors; NUL characters are not, so look for them. */
json_t *json_parse(struct arena *arena, struct str text, json_error_t *ret_error);
