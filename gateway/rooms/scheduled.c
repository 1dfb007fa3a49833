#include "gateway/rooms/scheduled.h"

#include "consumers/messages/view.h"
#include "gateway/gateway.h"
#include "gateway/http/message_text.h"
#include "gateway/list.h"
#include "gateway/pool.h"
#include "gateway/resources.h"

#define LATEST_MS (365LL * 24 * 3600 * 1000)

static const struct shape_field fields[] = {
    { "id", SHAPE_UUID, "Of the message that it will be." },
    { "roomId", SHAPE_UUID, "Where." },
    { "body", SHAPE_TEXT, "The text; empty when erased.", .example = "\"Good morning\"" },
    { "sendAt", SHAPE_TIME, "When." },
    { "scheduledAt", SHAPE_TIME, "Since when that is so." },
    { "replyTo", SHAPE_INT, "Number of the message that it will answer.", .optional = true },
    { "withheldAt", SHAPE_TIME, "When it was not sent, since its sender was suspended. It will not be; delete it.",
      .optional = true },
    { 0 },
};
const struct shape scheduled_shape = { "ScheduledMessage", fields };

static void scheduled_json(struct json *j, const struct scheduled_view *s)
{
    json_open(j, '{');
    json_field_uuid(j, "id", s->message_id);
    json_field_uuid(j, "roomId", s->room_id);
    json_field_str(j, "body", s->body);
    json_field_time(j, "sendAt", s->send_at);
    json_field_time(j, "scheduledAt", s->scheduled_at);
    if (s->reply_to)
        json_field_int(j, "replyTo", s->reply_to);
    if (s->withheld_at)
        json_field_time(j, "withheldAt", s->withheld_at);
    json_close(j, '}');
}

static enum request_step scheduled(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    const struct message_scheduled *f = &((const struct rooms_fact *)fact)->message_scheduled;
    const struct scheduled_view view = {
        .message_id = f->message_id,
        .room_id = f->room_id,
        .send_at = f->send_at,
        .scheduled_at = f->meta.at,
        .reply_to = f->reply_to,
        .body = text_normalise(&r->arena, body_str(r, "body")),
    };
    struct json j = response_json(r, 201);
    scheduled_json(&j, &view);
    return REQUEST_DONE;
}

struct plan {
    struct mentions mentions;
    int64_t send_at;
};

/* What one will say in other rooms counts, too. Requests at the same time may each count without the others: a person
 * gets past the bound by as many as they have under way, and not past it in one room. */
static enum request_step schedule(struct request *r, struct pool_thread *thread)
{
    const struct plan *plan = r->state;
    int64_t elsewhere;
    const err e = scheduled_elsewhere(thread->pg, &thread->arena, r->claims.user_id, r->ids[0], &elsewhere);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_SCHEDULE_MESSAGE;
    c->schedule_message = (struct schedule_message){
        .room_id = r->ids[0],
        .message_id = uuid_v7(r->received_at),
        .body = { .clear = text_normalise(&r->arena, body_str(r, "body")) },
        .mentions = { plan->mentions.ids, plan->mentions.count },
        .mentions_room = plan->mentions.room,
        .send_at = plan->send_at,
        .elsewhere = (int32_t)elsewhere,
        .most_of_person = (int32_t)config_int(r->gateway->config, "messages.scheduled_per_person"),
        .most_of_room = (int32_t)config_int(r->gateway->config, "messages.scheduled_per_room"),
    };
    body_int(r, "replyTo", &c->schedule_message.reply_to);
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, scheduled);
}

enum request_step scheduled_post(struct request *r, const struct mentions *mentions, int64_t send_at)
{
    if (send_at <= r->received_at || send_at > r->received_at + LATEST_MS) {
        problem(r, 400, "invalid_body", "sendAt", "must be in the future, and within a year.");
        return dispatch_refused(r, NULL, &rooms_stream, r->claims.user_id, scheduled);
    }
    struct plan *plan = ARENA_NEW(&r->arena, struct plan);
    *plan = (struct plan){ *mentions, send_at };
    r->state = plan;
    return pool_run(r->gateway->reads, r, schedule);
}

static err own_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct scheduled_view *items;
    size_t count;
    TRY(scheduled_list(thread->pg, &thread->arena, r->claims.user_id, list_after_id(l), l->limit + 1, &items, &count));
    const size_t shown = count < (size_t)l->limit ? count : (size_t)l->limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++)
        scheduled_json(&j, &items[i]);
    list_close_id(r, &j, l, count > shown, shown > 0 ? items[shown - 1].message_id : uuid_nil);
    return OK;
}

enum request_step scheduled_own(struct request *r)
{
    return list_of(r, "scheduled", r->claims.user_id, own_load);
}

enum request_step scheduled_show(struct request *r, struct pool_thread *thread)
{
    struct scheduled_view view;
    bool found;
    const err e = scheduled_find(thread->pg, &thread->arena, r->claims.user_id, r->ids[0], &view, &found);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!found)
        return message_show(r, thread);
    struct json j = response_json(r, 200);
    scheduled_json(&j, &view);
    return REQUEST_DONE;
}
