/* A timer is a policy: commands that are sent when the projection says they are due. Their ids are derived from what
 * they are about, so that whoever sends them, and however often, decides once. They go the way of all commands, through
 * the log, to the owner of the partition, which is the process that sends them. */
#include "consumers/loop.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

static err send_command(struct worker *w, struct any_record *command)
{
    const struct stream *stream = w->definition->streams[0]->stream;
    struct uuid subjects[8];
    const size_t count = stream->command.subjects(command, subjects);
    if (count > 0)
        TRY(vault_fetch(w->vault, w->read_pg, subjects, count));
    err e = stream->command.seal(command, w->vault, &w->arena);
    if (e == REJECT) /* of somebody who was erased: nothing is left to say */
        return OK;
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

err timers_turn(struct worker *w)
{
    if (!w->definition->due || w->partition_count == 0 || recover_needed(w))
        return OK;
    arena_reset(&w->arena);
    int32_t *partitions = ARENA_ARRAY(&w->arena, int32_t, w->partition_count);
    size_t owned = 0, count = 0;
    for (size_t i = 0; i < w->partition_count; i++)
        if (w->partitions[i]->worker == w->definition->streams[0])
            partitions[owned++] = w->partitions[i]->number;
    struct any_record **commands;
    TRY(w->definition->due(w->read_pg, &w->arena, partitions, owned, clock_wall_ms(), &commands, &count));
    err e = OK;
    for (size_t i = 0; i < count && e == OK; i++)
        e = send_command(w, commands[i]);
    if (count > 0) {
        LOG(DEBUG, "commands that were due", F_INT("count", count));
        const err flushed = producer_flush(w->producer, (int)config_int(w->config, "producer.message_timeout_ms"));
        e = e == OK ? flushed : e;
    }
    return e;
}
