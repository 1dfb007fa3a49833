/* A timer is a policy: commands that are sent when the projection says they are due. Their ids are derived from what
 * they are about, so that whoever sends them, and however often, decides once. They go the way of all commands, through
 * the log, to the owner of the partition, which is the process that sends them.
 *
 * What is due is asked for every second, and while there is some every few milliseconds, until none is left: each turn
 * sends what has not been sent yet. A command is in flight until its fact is folded, and what it is about is due till
 * then; so the ids of the last seconds are remembered, and their commands not sent again before RESEND_AFTER_US. */
#include "consumers/loop/loop.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#include <uthash.h>

#define TURN_EVERY_US   1000000
#define DRAIN_EVERY_US  10000
#define WAIT_EVERY_US   50000    /* while all that is due is in flight */
#define RESEND_AFTER_US 10000000 /* a command that was lost, or met a parked key, goes again */
#define SENT_MAX        32768    /* remembered at once; beyond it the next ones wait */

struct sent {
    struct uuid id;
    int64_t at_us;
    struct sent *next; /* in the order they were sent */
    UT_hash_handle hh;
};

struct timers {
    struct sent *sent, *first, **end;
    int64_t next_us;
};

struct timers *timers_create(void)
{
    struct timers *t = mem_alloc(sizeof *t);
    t->end = &t->first;
    return t;
}

static void forget_first(struct timers *t)
{
    struct sent *first = t->first;
    t->first = first->next;
    if (!t->first)
        t->end = &t->first;
    HASH_DEL(t->sent, first); /* NOLINT(clang-analyzer-core.NullDereference): it is in the table */
    free(first);
}

void timers_destroy(struct timers *t)
{
    if (!t)
        return;
    while (t->first)
        forget_first(t);
    free(t);
}

/* False: it was sent a moment ago, or too many were. */
static bool remember(struct timers *t, struct uuid id, int64_t now_us)
{
    struct sent *sent;
    HASH_FIND(hh, t->sent, &id, sizeof id, sent);
    if (sent || HASH_COUNT(t->sent) >= SENT_MAX)
        return false;
    sent = mem_alloc(sizeof *sent);
    sent->id = id;
    sent->at_us = now_us;
    HASH_ADD(hh, t->sent, id, sizeof sent->id, sent);
    *t->end = sent;
    t->end = &sent->next;
    return true;
}

static err send_command(struct worker *w, struct any_record *command)
{
    const struct stream *stream = w->definition->streams[0]->stream;
    struct uuid subjects[8];
    const size_t count = stream->command.subjects(command, subjects);
    if (count > 0)
        TRY(vault_fetch(w->vault, w->read_pg, subjects, count));
    err e = stream->command.seal(command, w->vault, &w->arena);
    if (e == REJECT && !w->definition->due_of_erased(command))
        return OK;
    if (e == REJECT)
        e = stream->command.seal(command, w->vault, &w->arena);
    TRY(e);
    buf_clear(&w->scratch);
    TRY(stream->command.encode(w->codec, command, &w->scratch));
    return producer_append(w->producer, &(struct append){
                                            .topic = stream->commands_topic,
                                            .partition = -1,
                                            .key = stream->command.key(command),
                                            .payload = buf_view(&w->scratch),
                                            .meta = &command->meta,
                                            .type = stream->command.name(command->type),
                                        });
}

static err find_due(struct worker *w, struct any_record ***ret, size_t *ret_count)
{
    arena_reset(&w->arena);
    int32_t *partitions = ARENA_ARRAY(&w->arena, int32_t, w->partition_count);
    size_t owned = 0;
    for (size_t i = 0; i < w->partition_count; i++)
        if (w->partitions[i]->worker == w->definition->streams[0])
            partitions[owned++] = w->partitions[i]->number;
    return w->definition->due(w->read_pg, &w->arena, partitions, owned, clock_wall_ms(), ret, ret_count);
}

err timers_turn(struct worker *w)
{
    struct timers *t = w->timers;
    const int64_t now_us = clock_mono_us();
    if (!w->definition->due || w->partition_count == 0 || recover_needed(w) || now_us < t->next_us)
        return OK;
    t->next_us = now_us + TURN_EVERY_US;
    while (t->first && t->first->at_us + RESEND_AFTER_US <= now_us)
        forget_first(t);
    struct any_record **commands;
    size_t count, sent = 0;
    TRY(find_due(w, &commands, &count));
    err e = OK;
    for (size_t i = 0; i < count && e == OK; i++)
        if (remember(t, commands[i]->meta.command_id, now_us)) {
            e = send_command(w, commands[i]);
            sent++;
        }
    if (sent > 0) {
        LOG(DEBUG, "commands that were due", F_INT("count", sent));
        const err flushed = producer_flush(w->producer, (int)config_int(w->config, "producer.message_timeout_ms"));
        e = e == OK ? flushed : e;
    }
    if (e == OK && count > 0)
        t->next_us = clock_mono_us() + (sent > 0 ? DRAIN_EVERY_US : WAIT_EVERY_US);
    return e;
}
