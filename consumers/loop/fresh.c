#include "consumers/loop/fresh.h"

#include <stdlib.h>
#include <string.h>

#include "ops/runtime/mem.h"

#define SKEW_MS 10000
#define SPAN_MS 2000
#define BITS    (1u << 20) /* numbered by the upper 20 of a hash */
#define HASHES  3

struct filter {
    uint64_t words[BITS / 64];
};

struct fresh {
    int64_t from_ms;           /* ids drawn earlier are not known here */
    int64_t turn_ms;           /* those drawn from here on are all in filters[0], the others in either */
    struct filter *filters[2]; /* the one that is being filled, and the one before */
};

struct fresh *fresh_create(void)
{
    struct fresh *f = mem_alloc(sizeof *f);
    f->from_ms = INT64_MAX;
    for (int i = 0; i < 2; i++)
        f->filters[i] = mem_alloc(sizeof *f->filters[i]);
    return f;
}

void fresh_destroy(struct fresh *f)
{
    if (!f)
        return;
    for (int i = 0; i < 2; i++)
        free(f->filters[i]);
    free(f);
}

void fresh_begin(struct fresh *f, int64_t now_ms)
{
    f->from_ms = f->turn_ms = now_ms + SKEW_MS;
    for (int i = 0; i < 2; i++)
        memset(f->filters[i], 0, sizeof *f->filters[i]);
}

static void take_turns(struct fresh *f, int64_t drawn_ms)
{
    struct filter *oldest = f->filters[1];
    f->filters[1] = f->filters[0];
    f->filters[0] = oldest;
    memset(oldest, 0, sizeof *oldest);
    f->from_ms = f->turn_ms;
    f->turn_ms = drawn_ms;
}

static bool holds(const struct filter *filter, uint32_t bit)
{
    return filter->words[bit / 64] >> (bit % 64) & 1;
}

bool fresh_take(struct fresh *f, struct uuid command_id)
{
    const int64_t drawn_ms = uuid_v7_time(command_id);
    if (drawn_ms < f->from_ms)
        return false;
    if (drawn_ms >= f->turn_ms + SPAN_MS)
        take_turns(f, drawn_ms);
    uint64_t hash;
    memcpy(&hash, command_id.bytes + 8, sizeof hash); /* the random half */
    hash *= 0x9e3779b97f4a7c15u;
    bool before = true, current = true;
    for (int i = 0; i < HASHES; i++, hash <<= 20) {
        const uint32_t bit = (uint32_t)(hash >> 44);
        before &= holds(f->filters[1], bit);
        current &= holds(f->filters[0], bit);
        f->filters[0]->words[bit / 64] |= (uint64_t)1 << (bit % 64);
    }
    return !before && !current;
}
