/* partition: what a worker knows of one partition it owns. One thread. */
#pragma once

#include "consumers/loop/checkpoint.h"
#include "consumers/loop/worker.h"

/* A fact that is in the log behind the checkpoint: the outcome of its command, decided by a predecessor (or by this
 * process before a failure). */
struct tail_fact {
    int64_t offset, command_offset;
    struct str payload; /* framed */
    bool parked;        /* its key is blocked: it waits for the operator and is not folded */
};

struct partition {
    const struct stream_worker *worker;
    int32_t number;
    bool stale; /* must be recovered before anything is decided */

    struct checkpoint at; /* as committed */
    int64_t expect;       /* the offset the next append to <stream>.events must get */

    struct tail_fact *tail; /* by command_offset, strictly increasing */
    size_t tail_count, tail_capacity, tail_next;
    int64_t poison;    /* offset of a fact that PostgreSQL refuses; -1: none */
    char refusal[256]; /* … and what it says */
};

/* Forgets the tail; marks the partition stale. */
void partition_forget(struct partition *p);
void partition_finish(struct partition *p);
/* PostgreSQL has refused the fact at this offset, with what err_message() says now; the next recovery parks it. */
void partition_refuse(struct partition *p, int64_t offset);
void partition_push_tail(struct partition *p, struct tail_fact fact);

/* The fact of the command at this offset, or NULL. Commands are asked for in increasing order of offset. */
const struct tail_fact *partition_tail_fact(struct partition *p, int64_t command_offset);
/* True when a later command has its fact in the tail, so that one without was rejected. */
bool partition_is_behind_tail(const struct partition *p, int64_t command_offset);
