#include "ops/runtime/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ops/runtime/clock.h"

static const int64_t bounds_us[] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};
#define BOUNDS (sizeof bounds_us / sizeof *bounds_us)

struct histogram {
    _Atomic int64_t buckets[BOUNDS + 1]; /* each observation in one; the last: above all bounds */
    _Atomic int64_t sum_us;
};

/* A cache line each: two threads that count different things do not take turns. */
struct slot {
    _Alignas(64) _Atomic int64_t value;
    struct histogram *histogram;
};

struct metrics {
    const struct metric *table;
    size_t count;
    struct slot *slots;
};

struct metrics *metrics_create(const struct metric *table, size_t count)
{
    struct metrics *m = mem_alloc(sizeof *m);
    m->table = table;
    m->count = count;
    m->slots = aligned_alloc(_Alignof(struct slot), (count ? count : 1) * sizeof *m->slots);
    if (!m->slots)
        abort();
    for (size_t i = 0; i < count; i++) {
        atomic_init(&m->slots[i].value, 0);
        m->slots[i].histogram = table[i].type == METRIC_HISTOGRAM ? mem_alloc(sizeof *m->slots[i].histogram) : NULL;
    }
    return m;
}

void metrics_destroy(struct metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        free(m->slots[i].histogram);
    free(m->slots);
    free(m);
}

void metrics_add(struct metrics *m, size_t id, int64_t n)
{
    atomic_fetch_add_explicit(&m->slots[id].value, n, memory_order_relaxed);
}

void metrics_set(struct metrics *m, size_t id, int64_t value)
{
    atomic_store_explicit(&m->slots[id].value, value, memory_order_relaxed);
}

void metrics_observe_us(struct metrics *m, size_t id, int64_t microseconds)
{
    struct histogram *h = m->slots[id].histogram;
    size_t at = 0;
    while (at < BOUNDS && microseconds > bounds_us[at])
        at++;
    atomic_fetch_add_explicit(&h->buckets[at], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, microseconds, memory_order_relaxed);
}

static int64_t read_relaxed(const _Atomic int64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

int64_t metrics_read(const struct metrics *m, size_t id)
{
    const struct histogram *h = m->slots[id].histogram;
    if (!h)
        return read_relaxed(&m->slots[id].value);
    int64_t count = 0;
    for (size_t i = 0; i <= BOUNDS; i++)
        count += read_relaxed(&h->buckets[i]);
    return count;
}

/* --- Prometheus text format 0.0.4 --- */

static void render_labels(const struct metric *row, const char *suffix, const char *more, struct buf *out)
{
    const bool some = row->labels && *row->labels;
    buf_printf(out, "%s%s", row->name, suffix);
    if (some || more)
        buf_printf(out, "{%s%s%s}", some ? row->labels : "", some && more ? "," : "", more ? more : "");
    buf_char(out, ' ');
}

static void render_histogram(const struct metric *row, const struct histogram *h, struct buf *out)
{
    int64_t count = 0;
    char le[32];
    for (size_t i = 0; i <= BOUNDS; i++) {
        count += read_relaxed(&h->buckets[i]);
        if (i < BOUNDS)
            snprintf(le, sizeof le, "le=\"%g\"", (double)bounds_us[i] / 1e6);
        else
            snprintf(le, sizeof le, "le=\"+Inf\"");
        render_labels(row, "_bucket", le, out);
        buf_printf(out, "%" PRId64 "\n", count);
    }
    render_labels(row, "_sum", NULL, out);
    buf_printf(out, "%.6f\n", (double)read_relaxed(&h->sum_us) / 1e6);
    render_labels(row, "_count", NULL, out);
    buf_printf(out, "%" PRId64 "\n", count);
}

static void render_head(const char *name, const char *type, const char *help, struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static long read_resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel has written it */
    if (fscanf(file, "%ld %ld", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident;
}

/* CPU time and start, in clock ticks; the start since boot (proc(5), /proc/[pid]/stat). */
static void read_stat(unsigned long long *ret_cpu, unsigned long long *ret_start)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    const size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[len] = '\0';
    const char *after_name = strrchr(text, ')'); /* the name may hold anything */
    unsigned long long user = 0, system = 0, start = 0;
    if (after_name &&
        /* NOLINTNEXTLINE(cert-err34-c): the kernel has written it */
        sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
               &user, &system, &start) != 3)
        user = system = start = 0;
    *ret_cpu = user + system;
    *ret_start = start;
}

static int64_t boot_time_s(void)
{
    struct timespec now, since_boot;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    return (int64_t)(now.tv_sec - since_boot.tv_sec);
}

static int count_open_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1; /* without the folder's own */
}

static void render_process(struct buf *out)
{
    unsigned long long cpu, start;
    read_stat(&cpu, &start);
    const double ticks = (double)sysconf(_SC_CLK_TCK);
    render_head("process_resident_memory_bytes", "gauge", "Resident memory.", out);
    buf_printf(out, "process_resident_memory_bytes %ld\n", read_resident_pages() * sysconf(_SC_PAGESIZE));
    render_head("process_cpu_seconds_total", "counter", "CPU time, user and system.", out);
    buf_printf(out, "process_cpu_seconds_total %.2f\n", (double)cpu / ticks);
    render_head("process_open_fds", "gauge", "Open file descriptors.", out);
    buf_printf(out, "process_open_fds %d\n", count_open_fds());
    render_head("process_start_time_seconds", "gauge", "Start of the process, Unix time.", out);
    buf_printf(out, "process_start_time_seconds %.2f\n", (double)boot_time_s() + (double)start / ticks);
    render_head("aether_build_info", "gauge", "Always 1; the labels say which build this is.", out);
    buf_printf(out, "aether_build_info{version=\"%s\",compiler=\"%s\"} 1\n", AETHER_VERSION, AETHER_COMPILER);
}

void metrics_render(const struct metrics *m, struct buf *out)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    for (size_t i = 0; i < m->count; i++) {
        const struct metric *row = &m->table[i];
        if (i == 0 || strcmp(row->name, row[-1].name) != 0)
            render_head(row->name, types[row->type], row->help, out);
        if (m->slots[i].histogram) {
            render_histogram(row, m->slots[i].histogram, out);
            continue;
        }
        render_labels(row, "", NULL, out);
        buf_printf(out, "%" PRId64 "\n", read_relaxed(&m->slots[i].value));
    }
    render_process(out);
}
