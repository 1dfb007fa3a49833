#include "gateway/admin/sender.h"

#include <poll.h>
#include <stdio.h>

#include "consumers/users/roles.h"
#include "ops/runtime/clock.h"

#define ASK_AGAIN_MS 10

static void delivered(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset)
{
    (void)opaque;
    (void)partition;
    (void)offset;
    ((struct sender *)context)->delivery = delivery;
}

err sender_init(struct sender *s, const struct config *config)
{
    *s = (struct sender){ .config = config };
    arena_init(&s->arena, 0);
    s->pg = pg_create(config_text(config, "postgres.dsn"), "aether-admin");
    pg_set_timeout(s->pg, (int)config_int(config, "admin.timeout_ms"));
    TRY(vault_create(config, &s->vault));
    TRY(codec_create(config, &s->codec));
    return producer_create(config, "aether-admin", false, delivered, s, &s->producer);
}

void sender_finish(struct sender *s)
{
    producer_destroy(s->producer);
    codec_destroy(s->codec);
    vault_destroy(s->vault);
    pg_destroy(s->pg);
    arena_finish(&s->arena);
}

/* The system actor has a key as everybody has: what it leaves sealed in the log opens later. */
static err seal(struct sender *s, struct any_record *command)
{
    struct uuid subjects[8];
    TRY(vault_ensure(s->vault, s->pg, &system_actor, 1));
    size_t count = accounts_stream.command.subjects(command, subjects);
    TRY(vault_fetch(s->vault, s->pg, subjects, count));
    return accounts_stream.command.seal(command, s->vault, &s->arena);
}

static err append(struct sender *s, const struct any_record *command, bool *ret_unknown)
{
    struct buf payload = { 0 };
    err e = accounts_stream.command.encode(s->codec, command, &payload);
    const struct append append = {
        .topic = accounts_stream.commands_topic,
        .partition = -1,
        .key = accounts_stream.command.key(command),
        .payload = buf_view(&payload),
        .meta = &command->meta,
        .type = accounts_stream.command.name(command->type),
    };
    s->delivery = UNKNOWN;
    if (e == OK)
        e = producer_append(s->producer, &append);
    buf_finish(&payload);
    if (e != OK)
        return e;
    e = producer_flush(s->producer, (int)config_int(s->config, "producer.message_timeout_ms") * 2);
    *ret_unknown = s->delivery == UNKNOWN;
    if (e == OK && s->delivery == NOT_APPENDED)
        e = err_set(RETRY, "the log cannot be reached; nothing was written");
    return s->delivery == DELIVERED ? OK : e;
}

static err wait_for_outcome(struct sender *s, struct uuid command_id, int timeout_ms, struct outcome *ret)
{
    int64_t until_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        struct outcome *found;
        size_t count;
        err e = operation_find(s->pg, &s->arena, "users", &command_id, 1, &found, &count);
        if (e == OK && count == 1) {
            *ret = *found;
            return OK;
        }
        if (e != OK && e != RETRY)
            return e;
        if (clock_mono_us() > until_us)
            return err_set(RETRY, "no outcome within %d ms; does the users worker run?", timeout_ms);
        (void)poll(NULL, 0, ASK_AGAIN_MS);
    }
}

err sender_send(struct sender *s, struct accounts_command *command, struct uuid command_id, int timeout_ms,
                struct outcome *ret, bool *ret_unknown)
{
    struct any_record *any = (struct any_record *)command;
    *ret_unknown = false;
    any->meta = (struct meta){
        .id = command_id,
        .at = clock_wall_ms(),
        .actor = system_actor,
        .command_id = command_id,
        .command_offset = -1,
    };
    TRY(seal(s, any));
    TRY(append(s, any, ret_unknown));
    *ret_unknown = true;
    TRY(wait_for_outcome(s, command_id, timeout_ms, ret));
    *ret_unknown = false;
    return OK;
}
