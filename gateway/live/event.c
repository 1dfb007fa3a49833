#include "gateway/live/event.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/messages/view.h"

/* --- what a fact says, as JSON; each is called between '{' and '}' --- */

static void message_posted_data(struct json *j, const struct rooms_fact *f)
{
    const struct message_posted *posted = &f->message_posted;
    message_json(j, &(struct message_view){
                        .id = posted->message_id,
                        .room_id = posted->room_id,
                        .sender_id = posted->meta.actor,
                        .seq = posted->seq,
                        .posted_at = posted->meta.at,
                        .body = posted->body.clear,
                    });
}

static void room_created_data(struct json *j, const struct rooms_fact *f)
{
    json_open(j, '{');
    json_field_str(j, "name", f->room_created.name.clear);
    json_field_str(j, "kind", str_of(room_kind_text(f->room_created.kind)));
    json_close(j, '}');
}

static void member_joined_data(struct json *j, const struct rooms_fact *f)
{
    json_open(j, '{');
    json_field_uuid(j, "userId", f->member_joined.user_id);
    json_close(j, '}');
}

/* --- the table --- */

#define NUMBER(member) .number = (offsetof(struct rooms_fact, member.seq))
#define PERSON(member) .person = (offsetof(struct rooms_fact, member.user_id))

static const struct rule {
    const char *type; /* NULL: nobody is told */
    const char *doc;
    void (*data)(struct json *j, const struct rooms_fact *fact);
    size_t number; /* where in the fact the message's number stands; 0: none */
    enum membership_effect effect;
    size_t person; /* where in the fact stands whose membership it is; 0: the actor's */
} rules[] = {
    [ROOMS_ROOM_CREATED] = { "room.created", "The room exists; the actor is its first member.", room_created_data,
                             .effect = MEMBERSHIP_BEGINS },
    [ROOMS_MEMBER_JOINED] = { "member.joined", "The person is a member from now on.", member_joined_data,
                              .effect = MEMBERSHIP_BEGINS, PERSON(member_joined) },
    [ROOMS_MESSAGE_POSTED] = { "message.posted", "A message has its number in the room.", message_posted_data,
                               NUMBER(message_posted) },
};
#define RULES (sizeof rules / sizeof *rules)

void event_begin(struct json *j, const struct event_head *head)
{
    char position[64];
    int len = snprintf(position, sizeof position, "rooms/%d@%lld", head->partition, (long long)head->offset);
    json_open(j, '{');
    json_field_str(j, "type", str_of(head->type));
    json_field_uuid(j, "roomId", head->room);
    if (head->number > 0)
        json_field_int(j, "number", head->number);
    json_field_str(j, "position", (struct str){ position, (size_t)len });
    json_field_time(j, "at", head->at);
    json_field_uuid(j, "actorId", head->actor);
    json_key(j, "data");
}

struct event *event_of_fact(const struct rooms_fact *fact, int32_t partition, int64_t offset, struct str id,
                            struct buf *scratch)
{
    const struct rule *rule = &rules[(size_t)fact->type < RULES ? fact->type : 0];
    if (!rule->type)
        return NULL;
    const char *bytes = (const char *)fact;
    struct event_head head = {
        .type = rule->type,
        .room = rooms_stream.fact.key((const struct any_record *)fact),
        .actor = fact->meta.actor,
        .partition = partition,
        .offset = offset,
        .at = fact->meta.at,
    };
    if (rule->number)
        memcpy(&head.number, bytes + rule->number, sizeof head.number);
    buf_clear(scratch);
    struct json j = json_writer(scratch);
    event_begin(&j, &head);
    rule->data(&j, fact);

    struct event *e = mem_resize(NULL, sizeof *e + scratch->len);
    *e = (struct event){
        .partition = partition,
        .offset = offset,
        .room = head.room,
        .effect = rule->effect,
        .persons = { fact->meta.actor },
        .open_json_len = scratch->len,
    };
    atomic_init(&e->references, 1);
    if (rule->person)
        memcpy(&e->persons[0], bytes + rule->person, sizeof e->persons[0]);
    memcpy(e->open_json, scratch->ptr, scratch->len);
    for (enum framing f = 0; f < FRAMINGS; f++)
        e->frames[f] = frame_event(f, buf_view(scratch), id);
    return e;
}

void event_release(struct event *e)
{
    if (!e || atomic_fetch_sub_explicit(&e->references, 1, memory_order_acq_rel) != 1)
        return;
    for (enum framing f = 0; f < FRAMINGS; f++)
        frame_release(e->frames[f]);
    free(e);
}
