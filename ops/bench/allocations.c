/* allocations: counts, for LD_PRELOAD, how often a program allocates, and how often its own code does: the caller of malloc lies in the
 * program's executable, not in a library. The counts are two 64-bit numbers (own, all) in the file BENCH_ALLOCATIONS/<pid>, mapped and
 * shared, so that the benchmark reads them while the program runs. Programs that are no aether-… are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct counts {
    _Atomic uint64_t own, all;
};

static struct counts before_start, *counts = &before_start;
static uintptr_t text_start, text_end;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

/* The first object is the executable itself. */
static int find_text(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            text_start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            text_end = text_start + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

__attribute__((constructor)) static void start(void)
{
    const char *folder = getenv("BENCH_ALLOCATIONS");
    if (!folder || strncmp(program_invocation_short_name, "aether-", 7) != 0)
        return;
    char path[4096];
    snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, sizeof *counts) != 0)
        return;
    void *shared = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    dl_iterate_phdr(find_text, NULL);
    if (shared != MAP_FAILED)
        counts = shared;
}

static inline void count(void *caller)
{
    atomic_fetch_add_explicit(&counts->all, 1, memory_order_relaxed);
    if ((uintptr_t)caller - text_start < text_end - text_start)
        atomic_fetch_add_explicit(&counts->own, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    void *p = __libc_memalign(alignment, size);
    if (!p)
        return ENOMEM;
    *ret = p;
    return 0;
}
