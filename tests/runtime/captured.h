/* captured: what this process writes to one of its standard streams. */
#pragma once

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "ops/runtime/mem.h"

struct captured {
    int fd, saved;
    FILE *file;
};

static inline struct captured capture_begin(int fd)
{
    struct captured c = { .fd = fd, .file = tmpfile() };
    ck_assert_ptr_nonnull(c.file);
    fflush(NULL);
    c.saved = dup(fd);
    ck_assert_int_ge(dup2(fileno(c.file), fd), 0);
    return c;
}

/* The text, NUL-terminated; the caller frees it. */
static inline char *capture_end(struct captured *c)
{
    fflush(NULL);
    dup2(c->saved, c->fd);
    close(c->saved);
    const long len = lseek(fileno(c->file), 0, SEEK_END);
    char *text = mem_alloc((size_t)len + 1);
    ck_assert_int_eq(pread(fileno(c->file), text, (size_t)len, 0), len);
    fclose(c->file);
    return text;
}
