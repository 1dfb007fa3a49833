#include "ops/runtime/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif
#ifdef POISONING
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define ALIGNMENT          16
#define DEFAULT_BLOCK_SIZE 16384
#define LARGEST_STEP       262144  /* blocks grow with the arena, up to this */
#define KEPT_AT_RESET      1048576 /* bytes, over all blocks */

static void out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes were asked for\n", size);
    abort();
}

static size_t sum(size_t a, size_t b)
{
    size_t total;
    if (__builtin_add_overflow(a, b, &total))
        out_of_memory(a);
    return total;
}

void *mem_alloc(size_t size)
{
    void *pointer = calloc(1, size ? size : 1);
    if (!pointer)
        out_of_memory(size);
    return pointer;
}

void *mem_resize(void *pointer, size_t size)
{
    pointer = realloc(pointer, size ? size : 1);
    if (!pointer)
        out_of_memory(size);
    return pointer;
}

char *mem_copy_string(const char *c_string)
{
    if (!c_string)
        return NULL;
    const size_t size = strlen(c_string) + 1;
    return memcpy(mem_resize(NULL, size), c_string, size);
}

/* --- buf --- */

void buf_reserve(struct buf *b, size_t more)
{
    const size_t wanted = sum(b->len, more);
    if (wanted <= b->cap)
        return;
    size_t cap = b->cap ? b->cap : 128;
    while (cap < wanted)
        cap = sum(cap, cap);
    b->ptr = mem_resize(b->ptr, cap);
    b->cap = cap;
}

void buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    buf_reserve(b, len);
    memcpy(b->ptr + b->len, bytes, len);
    b->len += len;
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const size_t room = b->cap - b->len;
    const int len = vsnprintf(b->ptr ? b->ptr + b->len : NULL, room, format, args);
    assert(len >= 0);
    if ((size_t)len >= room) {
        buf_reserve(b, (size_t)len + 1);
        vsnprintf(b->ptr + b->len, (size_t)len + 1, format, again);
    }
    b->len += (size_t)len;
    va_end(again);
    va_end(args);
}

void buf_finish(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){ 0 };
}

/* --- arena --- */

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(ALIGNMENT) char bytes[];
};

void arena_init(struct arena *a, size_t block_size)
{
    *a = (struct arena){ .block_size = block_size ? block_size : DEFAULT_BLOCK_SIZE };
}

static struct arena_block *block_new(const struct arena *a, size_t size)
{
    size_t held = 0;
    for (const struct arena_block *b = a->first; b; b = b->next)
        held += b->size;
    if (held > LARGEST_STEP)
        held = LARGEST_STEP;
    if (size < held)
        size = held;
    if (size < a->block_size)
        size = a->block_size;
    struct arena_block *block = mem_resize(NULL, sum(sizeof *block, size));
    block->size = size;
    ASAN_POISON_MEMORY_REGION(block->bytes, block->size);
    return block;
}

/* Makes a block that has room for `size` bytes the current one: a kept one, if any after the current one is large
 * enough. */
static void next_block(struct arena *a, size_t size)
{
    struct arena_block **after = a->current ? &a->current->next : &a->first;
    struct arena_block **link = after;
    while (*link && (*link)->size < size)
        link = &(*link)->next;
    struct arena_block *block = *link;
    if (block)
        *link = block->next;
    else
        block = block_new(a, size);
    block->next = *after;
    *after = block;
    a->current = block;
    a->used = 0;
}

void *arena_alloc_raw(struct arena *a, size_t size)
{
    const size_t rounded = sum(size, ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (!a->current || a->current->size - a->used < rounded)
        next_block(a, rounded);
    void *pointer = a->current->bytes + a->used;
    a->used += rounded;
    ASAN_UNPOISON_MEMORY_REGION(pointer, size);
    return pointer;
}

void *arena_alloc(struct arena *a, size_t size)
{
    return memset(arena_alloc_raw(a, size), 0, size);
}

struct str arena_str(struct arena *a, struct str s)
{
    char *copy = arena_alloc_raw(a, sum(s.len, 1));
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return (struct str){ copy, s.len };
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    char small[256]; /* most are short: formatted once, and copied */
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int len = vsnprintf(small, sizeof small, format, args);
    assert(len >= 0);
    char *text = arena_alloc_raw(a, (size_t)len + 1);
    if ((size_t)len < sizeof small)
        memcpy(text, small, (size_t)len + 1);
    else
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void arena_reset(struct arena *a)
{
    size_t kept = 0;
    for (struct arena_block **link = &a->first; *link;) {
        struct arena_block *block = *link;
        if (kept + block->size > KEPT_AT_RESET) {
            *link = block->next;
            free(block);
            continue;
        }
        kept += block->size;
        ASAN_POISON_MEMORY_REGION(block->bytes, block->size);
        link = &block->next;
    }
    a->current = NULL;
    a->used = 0;
}

void arena_wipe(struct arena *a)
{
    for (struct arena_block *block = a->current ? a->first : NULL; block; block = block->next) {
        const size_t used = block == a->current ? a->used : block->size;
        ASAN_UNPOISON_MEMORY_REGION(block->bytes, used);
        explicit_bzero(block->bytes, used);
        if (block == a->current)
            break;
    }
    arena_reset(a);
}

void arena_finish(struct arena *a)
{
    for (struct arena_block *block = a->first, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    const size_t block_size = a->block_size;
    arena_init(a, block_size);
}
