/* message: one message, by its id: read, reworded, taken back, reacted to, pinned, forwarded; its versions and thread.
 *
 * A command goes to the room's partition and names the message by its number, which only PostgreSQL knows by the id: so
 * each of these looks the message up first. Who may not see the room is told that there is no such message. */
#include "gateway/rooms/message.h"

#include <stdio.h>

#include "gateway/gateway.h"
#include "gateway/http/message_text.h"
#include "gateway/if_match.h"
#include "gateway/list.h"
#include "gateway/resources.h"
#include "gateway/rooms/mentions.h"
#include "schemas/fill.h"

static const struct body_field edit_message_fields[] = {
    { "body", FIELD_TEXT, .required = true, .min = 1, .max = 20000, .pattern = "message", .doc = "The new text." },
    { 0 },
};
const struct body edit_message_body = { "EditMessage", edit_message_fields };

static const struct body_field forward_message_fields[] = {
    { "roomId", FIELD_UUID, .required = true, .doc = "Where to." },
    { 0 },
};
const struct body forward_message_body = { "ForwardMessage", forward_message_fields };

static const struct shape_field version_fields[] = {
    { "version", SHAPE_INT, "1 is the text as it was posted." },
    { "at", SHAPE_TIME, "Since when." },
    { "body", SHAPE_TEXT, "The text; empty when erased or expired.", .example = "\"Is anybody here?\"" },
    { 0 },
};
const struct shape version_shape = { "MessageVersion", version_fields };

/* --- finding --- */

static err not_found(struct request *r, bool *ret_found)
{
    problem(r, 404, "message_not_found", NULL, "There is no such message.");
    *ret_found = false;
    return OK;
}

err message_locate(struct request *r, struct pool_thread *thread, struct message_view *ret, struct room_view *ret_room,
                   bool *ret_found)
{
    const bool in_room = strncmp(r->route->path, "/api/v1/rooms/", 14) == 0; /* else an alias by the message alone */
    TRY(message_find(thread->pg, &r->arena, r->ids[in_room ? 1 : 0], ret, ret_found));
    if (!*ret_found || (in_room && !uuid_equal(ret->room_id, r->ids[0])))
        return not_found(r, ret_found);
    TRY(room_find(thread->pg, &r->arena, ret->room_id, r->claims.user_id, ret_room, ret_found));
    return *ret_found ? OK : not_found(r, ret_found);
}

/* Also a member of its room. */
static err locate_as_member(struct request *r, struct pool_thread *thread, struct message_view *ret,
                            struct room_view *ret_room, bool *ret_found)
{
    TRY(message_locate(r, thread, ret, ret_room, ret_found));
    if (*ret_found && !ret_room->is_member) {
        problem(r, 403, "not_a_member", NULL, "You are not a member of this room.");
        *ret_found = false;
    }
    return OK;
}

bool message_moderates(const struct request *r, const struct room_view *room)
{
    return room->role <= MEMBER_ROLE_ADMIN || (r->claims.roles & (ROLE_MODERATOR | ROLE_ADMIN));
}

static void answer_message(struct request *r, const struct message_view *message)
{
    struct json j = response_json(r, 200);
    message_json(&j, message);
    response_header(r, "ETag", "\"%d\"", (int)message->version);
}

/* --- GET …/messages/{message} --- */

enum request_step message_show(struct request *r, struct pool_thread *thread)
{
    struct message_view message;
    struct room_view room;
    bool found;
    const err e = locate_as_member(r, thread, &message, &room, &found);
    if (e != OK)
        problem_err(r, e);
    else if (found)
        answer_message(r, &message);
    return REQUEST_DONE;
}

enum request_step message_get(struct request *r)
{
    return pool_run(r->gateway->reads, r, message_show);
}

/* --- commands --- */

/* …/messages/{message}/pin, …/reactions/{emoji}, DELETE …/messages/{message} */
static err fill_place(struct request *r, struct pool_thread *thread, struct any_record *command, bool *ret_found)
{
    const struct record_union *commands = &r->route->command->stream->command;
    struct message_view at;
    struct room_view room;
    TRY(message_locate(r, thread, &at, &room, ret_found));
    if (!*ret_found)
        return OK;
    TRY(record_put(commands, command, "room_id", &(struct value){ VALUE_UUID, .uuid = at.room_id }, &r->arena));
    TRY(record_put(commands, command, "message_id", &(struct value){ VALUE_UUID, .uuid = at.id }, &r->arena));
    return record_put(commands, command, "seq", &(struct value){ VALUE_INTEGER, .integer = at.seq }, &r->arena);
}

const struct plain_lookup message_lookup = { fill_place, .fills = "room_id message_id seq", .reads = "id" };

static bool refuse_emoji(struct request *r)
{
    problem(r, 400, "bad_path", "emoji", "must be one emoji, fully qualified (UTS 51, RGI), percent-encoded.");
    return false;
}

bool reaction_is_emoji(struct request *r, struct any_record *command)
{
    (void)command;
    return text_is_emoji(r->params[2]) || refuse_emoji(r);
}

bool reaction_was_emoji(struct request *r, struct any_record *command)
{
    (void)command;
    return text_was_emoji(r->params[2]) || refuse_emoji(r);
}

/* What a command came to, which is its sender's: they may have left the room by the time they ask again. */
static enum request_step own_show(struct request *r, struct pool_thread *thread)
{
    const struct uuid *id = r->state;
    struct message_view message;
    bool found;
    const err e = message_find(thread->pg, &r->arena, *id, &message, &found);
    if (e != OK) {
        problem_err(r, e);
    } else if (!found) {
        (void)not_found(r, &found);
    } else {
        answer_message(r, &message);
        if (r->route->method == POST)
            r->response.status = 201;
    }
    return REQUEST_DONE;
}

static enum request_step show_own(struct request *r, struct uuid message)
{
    struct uuid *id = ARENA_NEW(&r->arena, struct uuid);
    *id = message;
    r->state = id;
    return pool_run(r->gateway->reads, r, own_show);
}

/* --- PUT …/messages/{message} --- */

static enum request_step edited(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    return show_own(r, ((const struct rooms_fact *)fact)->message_edited.message_id);
}

static enum request_step edit(struct request *r, struct pool_thread *thread)
{
    const struct if_match *match = r->state;
    const struct str body = body_str(r, "body");
    struct message_view at;
    struct room_view room;
    struct mentions mentions;
    bool found;
    err e = message_locate(r, thread, &at, &room, &found);
    if (e == OK && !found)
        return dispatch_refused(r, thread, &rooms_stream, r->claims.user_id, edited);
    if (e == OK)
        e = mentions_resolve(r, thread, at.room_id, body, &mentions);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_EDIT_MESSAGE;
    c->edit_message = (struct edit_message){
        .room_id = at.room_id,
        .message_id = at.id,
        .seq = at.seq,
        .expected_version = if_match_expects_int(match, at.version),
        .body = { .clear = text_normalise(&r->arena, body) },
        .mentions = { mentions.ids, mentions.count },
        .mentions_room = mentions.room,
    };
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, edited);
}

enum request_step message_edit(struct request *r)
{
    struct if_match *match = ARENA_NEW(&r->arena, struct if_match);
    if (!if_match_read(r, match))
        return REQUEST_DONE;
    r->state = match;
    return pool_run(r->gateway->reads, r, edit);
}

/* --- POST …/messages/{message}/forward --- */

/* The text is not the request's own: where it was forwarded by an earlier request, the source may say something else by
 * now, or nothing. */
static enum request_step message_forwarded(struct request *r, const struct outcome *outcome,
                                           const struct any_record *fact)
{
    (void)outcome;
    return show_own(r, ((const struct rooms_fact *)fact)->message_posted.message_id);
}

static enum request_step message_repeat(struct request *r, struct pool_thread *thread)
{
    struct message_view at;
    struct room_view room;
    bool found;
    const err e = locate_as_member(r, thread, &at, &room, &found);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (found && at.body.len == 0)
        problem(r, 410, "message_deleted", NULL, "This message has been deleted.");
    if (!found || at.body.len == 0)
        return dispatch_refused(r, thread, &rooms_stream, r->claims.user_id, message_forwarded);
    if (!text_is_visible(at.body)) { /* from before such messages were refused */
        problem(r, 409, "blank_message", NULL, "The message has no visible characters.");
        return REQUEST_DONE;
    }
    /* What was forwarded before keeps its first sender. */
    const bool again = !uuid_is_nil(at.forwarded_message);
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_POST_MESSAGE;
    c->post_message = (struct post_message){
        .message_id = uuid_v7(r->received_at),
        .body = { .clear = at.body },
        .forwarded_room = again ? at.forwarded_room : at.room_id,
        .forwarded_message = again ? at.forwarded_message : at.id,
        .forwarded_sender = again ? at.forwarded_sender : at.sender_id,
    };
    body_uuid(r, "roomId", &c->post_message.room_id);
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, message_forwarded);
}

enum request_step message_forward(struct request *r)
{
    return pool_run(r->gateway->reads, r, message_repeat);
}

/* --- GET …/messages/{message}/versions --- */

static int64_t number_of(struct str position)
{
    int64_t number = 0;
    for (size_t i = 0; i < position.len && i < 18; i++)
        number = 10 * number + (position.ptr[i] - '0');
    return number;
}

static err versions_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct message_view at;
    struct room_view room;
    struct version_view *versions;
    size_t count;
    bool found;
    TRY(locate_as_member(r, thread, &at, &room, &found));
    if (!found)
        return OK;
    if (!message_moderates(r, &room) && !uuid_equal(at.sender_id, r->claims.user_id)) {
        problem(r, 403, "room_role_required", NULL, "Only its sender and who moderates the room may see this.");
        return OK;
    }
    const int64_t after = number_of(l->after);
    TRY(version_list(thread->pg, &thread->arena, at.room_id, at.seq, after, l->limit + 1, &versions, &count));
    struct version_view only = { .version = 1, .at = at.posted_at, .body = at.body };
    if (count == 0 && after == 0) {
        versions = &only;
        count = 1;
    }
    const size_t shown = count < (size_t)l->limit ? count : (size_t)l->limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++) {
        json_open(&j, '{');
        json_field_int(&j, "version", versions[i].version);
        json_field_time(&j, "at", versions[i].at);
        json_field_str(&j, "body", versions[i].body);
        json_close(&j, '}');
    }
    const char *last = shown ? arena_printf(&r->arena, "%d", (int)versions[shown - 1].version) : "";
    list_close(r, &j, l, count > shown, str_of(last));
    return OK;
}

enum request_step message_versions(struct request *r)
{
    return list_of(r, "versions", r->ids[1], versions_load);
}

/* --- GET …/messages/{message}/thread, GET /rooms/{room}/pins --- */

static void answer_list(struct request *r, const struct list *l, const struct message_view *items, size_t count)
{
    const size_t shown = count < (size_t)l->limit ? count : (size_t)l->limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++)
        message_json(&j, &items[i]);
    const char *last = shown ? arena_printf(&r->arena, "%lld", (long long)items[shown - 1].seq) : "";
    list_close(r, &j, l, count > shown, str_of(last));
}

static err thread_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct message_view at, *items;
    struct room_view room;
    size_t count;
    bool found;
    TRY(locate_as_member(r, thread, &at, &room, &found));
    if (!found)
        return OK;
    TRY(thread_list(thread->pg, &thread->arena, at.room_id, at.thread ? at.thread : at.seq, number_of(l->after),
                    l->limit + 1, &items, &count));
    answer_list(r, l, items, count);
    return OK;
}

enum request_step message_thread(struct request *r)
{
    return list_of(r, "thread", r->ids[1], thread_load);
}

static err pins_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct message_view *items;
    struct room_view room;
    size_t count;
    bool member;
    TRY(room_as_member(r, thread, &room, &member));
    if (!member)
        return OK;
    TRY(pin_list(thread->pg, &thread->arena, room.id, number_of(l->after), l->limit + 1, &items, &count));
    answer_list(r, l, items, count);
    return OK;
}

enum request_step room_pins(struct request *r)
{
    return list_of(r, "pins", r->ids[0], pins_load);
}
