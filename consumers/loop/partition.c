#include "consumers/loop/partition.h"

#include <stdio.h>
#include <stdlib.h>

void partition_forget(struct partition *p)
{
    p->tail_count = p->tail_next = 0;
    p->stale = true;
}

void partition_finish(struct partition *p)
{
    free(p->tail);
    p->tail = NULL;
    p->tail_capacity = p->tail_count = 0;
}

void partition_refuse(struct partition *p, int64_t offset)
{
    p->poison = offset;
    snprintf(p->refusal, sizeof p->refusal, "%s", err_message());
}

void partition_push_tail(struct partition *p, struct tail_fact fact)
{
    if (p->tail_count == p->tail_capacity) {
        p->tail_capacity = p->tail_capacity ? p->tail_capacity * 2 : 64;
        p->tail = mem_resize(p->tail, p->tail_capacity * sizeof *p->tail);
    }
    p->tail[p->tail_count++] = fact;
}

const struct tail_fact *partition_tail_fact(struct partition *p, int64_t command_offset)
{
    while (p->tail_next < p->tail_count && p->tail[p->tail_next].command_offset < command_offset)
        p->tail_next++;
    if (p->tail_next == p->tail_count || p->tail[p->tail_next].command_offset != command_offset)
        return NULL;
    return &p->tail[p->tail_next];
}

bool partition_is_behind_tail(const struct partition *p, int64_t command_offset)
{
    return p->tail_count > 0 && command_offset < p->tail[p->tail_count - 1].command_offset;
}
