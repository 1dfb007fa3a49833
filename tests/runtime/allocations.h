/* allocations: counts what the code under test takes from the heap. The linker puts the counting functions in the place
 * of malloc and its kin (-Wl,--wrap) for what is linked statically: our own code, not the libraries. */
#pragma once

#include <stddef.h>

size_t allocations(void); /* calls of malloc, calloc, realloc and aligned_alloc so far by this thread */
