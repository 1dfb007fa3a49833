/* mem: strings, growable buffers, arenas. An allocation that fails ends the process (abort): the log is the truth and a
 * restart recovers, so no caller checks for NULL. Nothing here is locked: one owner, one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of bytes, not NUL-terminated, not owned. {NULL, 0} is empty. */
struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })

static inline struct str str_of(const char *c_string)
{
    return (struct str){ c_string, c_string ? strlen(c_string) : 0 };
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

void *mem_alloc(size_t size);                 /* zeroed */
void *mem_resize(void *pointer, size_t size); /* realloc that cannot fail */
char *mem_copy_string(const char *c_string);  /* strdup that cannot fail; NULL gives NULL */

/* A growable byte buffer. Zero-initialise it, buf_finish frees it; buf_clear keeps the memory for the next use. */
struct buf {
    char *ptr;
    size_t len, cap;
};

void buf_reserve(struct buf *b, size_t more); /* room for `more` bytes at ptr + len */
void buf_append(struct buf *b, const void *bytes, size_t len);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_finish(struct buf *b);

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}

static inline void buf_str(struct buf *b, struct str s)
{
    buf_append(b, s.ptr, s.len);
}

static inline void buf_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

static inline struct str buf_view(const struct buf *b)
{
    return (struct str){ b->ptr, b->len };
}

/* A bump allocator for one batch or one request: everything is freed at once. Blocks are kept across arena_reset (up to
 * the most that was needed so far, at most 1 MiB; more is given back), so the steady state allocates nothing. */
struct arena_block;
struct arena {
    struct arena_block *first, *current;
    size_t used, block_size;
};

void arena_init(struct arena *a, size_t block_size); /* bytes; 0 means 16 KiB. Allocates at first use. */
void *arena_alloc(struct arena *a, size_t size);     /* zeroed, aligned to 16 bytes, valid until arena_reset */
void *arena_alloc_raw(struct arena *a, size_t size); /* not zeroed */
struct str arena_str(struct arena *a, struct str s); /* a copy, with a NUL behind it */
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_reset(struct arena *a);
void arena_wipe(
    struct arena *a); /* arena_reset, after zeros were written over all that was allocated: it held secrets */
void arena_finish(struct arena *a);

#define ARENA_NEW(arena, type)          ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc((arena), sizeof(type) * (size_t)(count)))
