#include "tests/runtime/allocations.h"

#include <stdlib.h>

static _Thread_local size_t count;

size_t allocations(void)
{
    return count;
}

extern void *__real_malloc(size_t size);
extern void *__real_calloc(size_t number, size_t size);
extern void *__real_realloc(void *pointer, size_t size);
extern void *__real_aligned_alloc(size_t alignment, size_t size);
extern void *__wrap_malloc(size_t size);
extern void *__wrap_calloc(size_t number, size_t size);
extern void *__wrap_realloc(void *pointer, size_t size);
extern void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    count++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t number, size_t size)
{
    count++;
    return __real_calloc(number, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    count++;
    return __real_realloc(pointer, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    count++;
    return __real_aligned_alloc(alignment, size);
}
