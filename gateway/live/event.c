#include "gateway/live/event.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/messages/view.h"

/* --- what a fact says, as JSON: the value of "data" --- */

static void message_posted_data(struct json *j, const struct rooms_fact *f)
{
    struct message_view view;
    message_view_posted(&view, &f->message_posted, f->message_posted.body.clear);
    message_json(j, &view);
}

static void message_edited_data(struct json *j, const struct rooms_fact *f)
{
    const struct message_edited *edited = &f->message_edited;
    json_open(j, '{');
    json_field_uuid(j, "id", edited->message_id);
    json_field_str(j, "body", edited->body.clear);
    json_field_int(j, "version", edited->version);
    json_field_time(j, "editedAt", edited->meta.at);
    json_key(j, "mentions");
    json_open(j, '[');
    for (size_t i = 0; i < edited->mentions.count; i++)
        json_uuid(j, edited->mentions.items[i]);
    json_close(j, ']');
    json_key(j, "mentionsRoom");
    json_bool(j, edited->mentions_room);
    json_close(j, '}');
}

static void message_deleted_data(struct json *j, const struct rooms_fact *f)
{
    json_open(j, '{');
    json_field_uuid(j, "id", f->message_deleted.message_id);
    json_key(j, "expired");
    json_bool(j, f->message_deleted.expired);
    json_close(j, '}');
}

static void message_data(struct json *j, struct uuid id, struct str emoji)
{
    json_open(j, '{');
    json_field_uuid(j, "id", id);
    if (emoji.len > 0)
        json_field_str(j, "emoji", emoji);
    json_close(j, '}');
}

static void reaction_added_data(struct json *j, const struct rooms_fact *f)
{
    message_data(j, f->reaction_added.message_id, f->reaction_added.emoji);
}

static void reaction_removed_data(struct json *j, const struct rooms_fact *f)
{
    message_data(j, f->reaction_removed.message_id, f->reaction_removed.emoji);
}

static void message_pinned_data(struct json *j, const struct rooms_fact *f)
{
    message_data(j, f->message_pinned.message_id, (struct str){ 0 });
}

static void message_unpinned_data(struct json *j, const struct rooms_fact *f)
{
    message_data(j, f->message_unpinned.message_id, (struct str){ 0 });
}

static void room_created_data(struct json *j, const struct rooms_fact *f)
{
    const struct room_created *room = &f->room_created;
    json_open(j, '{');
    json_field_str(j, "name", room->name.clear);
    json_field_str(j, "kind", str_of(room_kind_text(room->kind)));
    if (room->kind == ROOM_KIND_DIRECT)
        json_field_uuid(j, "peerId", room->peer_id);
    json_close(j, '}');
}

static void room_field_data(struct json *j, const struct room_changed *room, enum room_field field)
{
    switch (field) {
    case ROOM_FIELD_NAME:
        json_field_str(j, "name", room->name.clear);
        break;
    case ROOM_FIELD_DESCRIPTION:
        json_field_str(j, "description", room->description.clear);
        break;
    case ROOM_FIELD_TOPIC:
        json_field_str(j, "topic", room->topic.clear);
        break;
    case ROOM_FIELD_SLOW_MODE:
        json_field_int(j, "slowModeSeconds", room->slow_mode_s);
        break;
    case ROOM_FIELD_TIME_TO_LIVE:
        json_field_int(j, "timeToLiveSeconds", room->time_to_live_s);
        break;
    case ROOM_FIELD_ARCHIVED:
        json_key(j, "archived");
        json_bool(j, room->archived);
        break;
    }
}

static void room_changed_data(struct json *j, const struct rooms_fact *f)
{
    json_open(j, '{');
    json_field_int(j, "version", f->room_changed.version);
    for (size_t i = 0; i < f->room_changed.changed.count; i++)
        room_field_data(j, &f->room_changed, f->room_changed.changed.items[i]);
    json_close(j, '}');
}

static void role_changed_data(struct json *j, const struct rooms_fact *f)
{
    json_open(j, '{');
    json_field_uuid(j, "userId", f->role_changed.user_id);
    json_field_str(j, "role", str_of(member_role_text(f->role_changed.role)));
    json_field_int(j, "version", f->role_changed.version);
    json_close(j, '}');
}

static void room_transferred_data(struct json *j, const struct rooms_fact *f)
{
    json_open(j, '{');
    json_field_uuid(j, "ownerId", f->room_transferred.user_id);
    json_field_int(j, "version", f->room_transferred.version);
    json_close(j, '}');
}

static void member_banned_data(struct json *j, const struct rooms_fact *f)
{
    json_open(j, '{');
    json_field_uuid(j, "userId", f->member_banned.user_id);
    if (f->member_banned.until)
        json_field_time(j, "until", f->member_banned.until);
    json_close(j, '}');
}

/* --- the table --- */

#define AT(member)    (offsetof(struct rooms_fact, member))
#define PERSON_OF(of) .person = AT(of.user_id)
#define NUMBER_OF(of) .number = AT(of.seq)

/* A fact that has no row is told nobody. */
static const struct rule {
    struct event_type type;
    void (*data)(struct json *j, const struct rooms_fact *fact); /* NULL: {"userId": the person} */
    size_t number; /* where in the fact the message's number stands; 0: none */
    enum text_effect text;
    size_t person; /* where whom it is about, besides the actor, stands; 0: nobody */
    enum membership_effect effect;
    size_t only_if;    /* where a bool stands without which it has no effect; 0: it has */
    bool tells_person; /* also when the person is no member */
} rules[] = {
    [ROOMS_ROOM_CREATED] = { { "room.created", "The room exists; the actor is its first member." },
                             room_created_data,
                             .effect = MEMBERSHIP_BEGINS },
    [ROOMS_ROOM_CHANGED] = { { "room.changed", "These of its settings are others." }, room_changed_data },
    [ROOMS_ROOM_TRANSFERRED] = { { "room.transferred", "It has another owner." }, room_transferred_data },
    [ROOMS_ROLE_CHANGED] = { { "member.role", "The member has another role." },
                             role_changed_data,
                             PERSON_OF(role_changed) },
    [ROOMS_MEMBER_JOINED] = { { "member.joined", "The person is a member from now on." },
                              PERSON_OF(member_joined),
                              .effect = MEMBERSHIP_BEGINS },
    [ROOMS_MEMBER_LEFT] = { { "member.left", "The person is no member any more." },
                            PERSON_OF(member_left),
                            .effect = MEMBERSHIP_ENDS },
    [ROOMS_MEMBER_REMOVED] = { { "member.removed", "The actor ended the person's membership." },
                               PERSON_OF(member_removed),
                               .effect = MEMBERSHIP_ENDS },
    [ROOMS_MEMBER_BANNED] = { { "member.banned", "The person may not join, and is no member any more." },
                              member_banned_data,
                              PERSON_OF(member_banned),
                              .effect = MEMBERSHIP_ENDS,
                              .only_if = AT(member_banned.was_member),
                              .tells_person = true },
    [ROOMS_MEMBER_UNBANNED] = { { "member.unbanned", "The person may join again." },
                                PERSON_OF(member_unbanned),
                                .tells_person = true },
    [ROOMS_MEMBER_INVITED] = { { "member.invited", "The person may join." },
                               PERSON_OF(member_invited),
                               .tells_person = true },
    [ROOMS_INVITATION_WITHDRAWN] = { { "member.uninvited", "The invitation is withdrawn." },
                                     PERSON_OF(invitation_withdrawn),
                                     .tells_person = true },
    [ROOMS_MESSAGE_POSTED] = { { "message.posted", "A message has its number in the room." },
                               message_posted_data,
                               NUMBER_OF(message_posted),
                               .text = TEXT_IS_TOLD },
    [ROOMS_MESSAGE_EDITED] = { { "message.edited", "It has another text." },
                               message_edited_data,
                               NUMBER_OF(message_edited),
                               .text = TEXT_IS_TOLD },
    [ROOMS_MESSAGE_DELETED] = { { "message.deleted", "Only its number is left." },
                                message_deleted_data,
                                NUMBER_OF(message_deleted),
                                .text = TEXT_IS_TAKEN },
    [ROOMS_MESSAGE_PINNED] = { { "message.pinned", "It is pinned." }, message_pinned_data, NUMBER_OF(message_pinned) },
    [ROOMS_MESSAGE_UNPINNED] = { { "message.unpinned", "It is pinned no longer." },
                                 message_unpinned_data,
                                 NUMBER_OF(message_unpinned) },
    [ROOMS_REACTION_ADDED] = { { "reaction.added", "The actor reacts to it." },
                               reaction_added_data,
                               NUMBER_OF(reaction_added) },
    [ROOMS_REACTION_REMOVED] = { { "reaction.removed", "The actor takes the reaction back." },
                                 reaction_removed_data,
                                 NUMBER_OF(reaction_removed) },
};
#define RULES (sizeof rules / sizeof *rules)

const struct event_type *event_type_of(size_t fact_type)
{
    return fact_type < RULES && rules[fact_type].type.name ? &rules[fact_type].type : NULL;
}

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

/* Who becomes or ceases to be a member, or is told though no member. */
static void event_affects(struct event *e, const struct rule *rule, const struct rooms_fact *fact)
{
    const char *bytes = (const char *)fact;
    bool has_effect = !rule->only_if || *(const bool *)(bytes + rule->only_if);
    e->effect = has_effect ? rule->effect : MEMBERSHIP_STAYS;
    e->tells_person = rule->tells_person;
    e->persons[0] = fact->meta.actor;
    if (rule->person)
        memcpy(&e->persons[0], bytes + rule->person, sizeof e->persons[0]);
    if (fact->type == ROOMS_ROOM_CREATED && fact->room_created.kind == ROOM_KIND_DIRECT)
        e->persons[1] = fact->room_created.peer_id;
}

static struct event *event_create(struct str open_json, struct str id)
{
    struct event *e = mem_resize(NULL, sizeof *e + open_json.len + id.len);
    *e = (struct event){ .partition = -1, .open_json_len = open_json.len, .id_len = id.len };
    atomic_init(&e->references, 1);
    memcpy(e->text, open_json.ptr, open_json.len);
    if (id.len > 0)
        memcpy(e->text + open_json.len, id.ptr, id.len);
    return e;
}

/* Two lanes may make it at once: one of the two is everybody's. */
struct frame *event_frame(struct event *e, enum framing framing)
{
    struct frame *known = atomic_load_explicit(&e->frames[framing], memory_order_acquire);
    if (known)
        return known;
    struct frame *made = frame_event(framing, event_json(e), (struct str){ e->text + e->open_json_len, e->id_len });
    if (atomic_compare_exchange_strong_explicit(&e->frames[framing], &known, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    frame_release(made);
    return known;
}

struct event *event_of_fact(const struct rooms_fact *fact, int32_t partition, int64_t offset, struct str id,
                            struct buf *scratch)
{
    const struct event_type *type = event_type_of((size_t)fact->type);
    if (!type)
        return NULL;
    const struct rule *rule = &rules[fact->type];
    struct event_head head = {
        .type = type->name,
        .room = rooms_stream.fact.key((const struct any_record *)fact),
        .actor = fact->meta.actor,
        .partition = partition,
        .offset = offset,
        .at = fact->meta.at,
    };
    if (rule->number)
        memcpy(&head.number, (const char *)fact + rule->number, sizeof head.number);
    struct event about = { 0 };
    event_affects(&about, rule, fact);
    buf_clear(scratch);
    struct json j = json_writer(scratch);
    event_begin(&j, &head);
    if (rule->data) {
        rule->data(&j, fact);
    } else {
        json_open(&j, '{');
        json_field_uuid(&j, "userId", about.persons[0]);
        json_close(&j, '}');
    }
    struct event *e = event_create(buf_view(scratch), id);
    e->partition = partition;
    e->offset = offset;
    e->room = head.room;
    e->number = head.number;
    e->text_effect = rule->text;
    e->effect = about.effect;
    e->tells_person = about.tells_person;
    memcpy(e->persons, about.persons, sizeof e->persons);
    return e;
}

/* What comes before the key in the object is ours (type, ids, times), and within a string a quote is escaped: the first
 * one that is found is the key. */
void event_append_without_text(const struct event *e, struct buf *ret)
{
    static const char key[] = "\"body\":\"";
    const struct str json = event_json(e);
    const char *end = json.ptr + json.len, *at = memmem(json.ptr, json.len, key, sizeof key - 1);
    if (!at)
        return;
    at += sizeof key - 1;
    buf_str(ret, (struct str){ json.ptr, (size_t)(at - json.ptr) });
    while (at < end && *at != '"')
        at += *at == '\\' ? 2 : 1;
    buf_str(ret, (struct str){ at, (size_t)(end - at) });
}

/* --- signals --- */

enum { SIGNAL_TYPING, SIGNAL_RECEIPT, SIGNALS };

const struct event_type signal_event_types[] = {
    [SIGNAL_TYPING] = { "typing", "The actor is writing; holds for a few seconds." },
    [SIGNAL_RECEIPT] = { "message.read", "The actor has read the room up to this number." },
    [SIGNALS] = { 0 },
};

static struct event *event_of_signal(int signal, struct uuid room, struct uuid actor, int64_t at, int64_t number,
                                     struct buf *scratch)
{
    buf_clear(scratch);
    struct json j = json_writer(scratch);
    json_open(&j, '{');
    json_field_str(&j, "type", str_of(signal_event_types[signal].name));
    json_field_uuid(&j, "roomId", room);
    if (signal == SIGNAL_RECEIPT)
        json_field_int(&j, "number", number);
    json_field_time(&j, "at", at);
    json_field_uuid(&j, "actorId", actor);
    struct event *e = event_create(buf_view(scratch), (struct str){ 0 });
    e->room = room;
    return e;
}

struct event *event_of_typing(const struct typing *t, struct buf *scratch)
{
    return event_of_signal(SIGNAL_TYPING, t->room_id, t->user_id, t->meta.at, 0, scratch);
}

struct event *event_of_receipt(const struct read_up_to *read, struct buf *scratch)
{
    return event_of_signal(SIGNAL_RECEIPT, read->room_id, read->user_id, read->meta.at, read->seq, scratch);
}

/* --- sessions --- */

static struct event *event_of_end(struct uuid person, struct uuid session)
{
    struct event *e = event_create(STR("{"), (struct str){ 0 });
    e->ends_sessions = true;
    e->persons[0] = person;
    e->session = session;
    return e;
}

struct event *event_of_session(const struct sessions_fact *fact)
{
    if (fact->type == SESSIONS_SESSION_ENDED)
        return event_of_end(fact->session_ended.user_id, fact->session_ended.session_id);
    if (fact->type == SESSIONS_REFRESH_TOKEN_REPLAYED)
        return event_of_end(fact->refresh_token_replayed.user_id, fact->refresh_token_replayed.session_id);
    return NULL;
}

struct event *event_of_account(const struct accounts_fact *fact)
{
    bool ends = fact->type == ACCOUNTS_ACCOUNT_SUSPENDED || fact->type == ACCOUNTS_ALL_SESSIONS_ENDED ||
                fact->type == ACCOUNTS_PASSWORD_CHANGED || fact->type == ACCOUNTS_ROLES_SET;
    return ends ? event_of_end(accounts_stream.fact.key((const struct any_record *)fact), uuid_nil) : NULL;
}

void event_release(struct event *e)
{
    if (!e || atomic_fetch_sub_explicit(&e->references, 1, memory_order_acq_rel) != 1)
        return;
    for (enum framing f = 0; f < FRAMINGS; f++)
        frame_release(e->frames[f]);
    free(e);
}
