/* Random commands and all questions of the stream rooms. */
#include "consumers/messages/evolve_rows.h"
#include "consumers/messages/streams.h"
#include "consumers/messages/view.h"
#include "tests/consumers/property.h"
#include "tests/suite.h"

enum { ROOMS = 3 };

static const struct str emojis[] = { { "\xF0\x9F\x91\x8D", 4 }, { "x", 1 }, { "y", 1 } };
static const enum room_field room_fields[] = { ROOM_FIELD_NAME,      ROOM_FIELD_DESCRIPTION,  ROOM_FIELD_TOPIC,
                                               ROOM_FIELD_SLOW_MODE, ROOM_FIELD_TIME_TO_LIVE, ROOM_FIELD_ARCHIVED };

/* All messages of a room have one id here: what is asked of a message, is asked by its number. */
static struct uuid message_of(uint32_t story, uint32_t room)
{
    return id_of(story, 'm', room);
}

enum { SEQS = 4 };

static void random_change(struct arena *arena, struct change_room *c)
{
    const uint32_t first = any(6);
    *c = (struct change_room){
        .expected_version = any(3) ? -1 : (int64_t)any(4),
        .changed = { &room_fields[first], first == 5 ? 1 : 1 + any(5 - first) },
        .name = text_of(arena),
        .description = text_of(arena),
        .topic = text_of(arena),
        .slow_mode_s = any(3) ? 0 : 2,
        .time_to_live_s = any(3) ? 0 : 60,
        .archived = any(16) == 0,
    };
}

static void random_post(struct arena *arena, uint32_t story, uint32_t room, uint32_t scheduled, struct post_message *c)
{
    struct uuid *named = arena_alloc(arena, 2 * sizeof *named);
    named[0] = id_of(story, 'p', any(PEOPLE));
    named[1] = id_of(story, 'p', PEOPLE);
    *c = (struct post_message){
        .message_id = any(6) ? message_of(story, room) : id_of(story, 's', scheduled - any(5)),
        .body = text_of(arena),
        .reply_to = any(4) ? 0 : any(SEQS + 1),
        .mentions = { named, any(4) ? 0 : any(3) },
        .mentions_room = any(8) == 0,
        .forwarded_message = any(8) ? uuid_nil : message_of(story, 0),
    };
    c->scheduled = c->message_id.bytes[8] == 's';
    c->suspended = any(3) == 0;
}

/* A command about somebody, of those that have a room and a person. Who comes and goes does so for themselves, mostly. */
static void random_about(struct arena *arena, struct rooms_command *c, struct uuid room, struct uuid actor,
                         struct uuid other)
{
    const struct sealed reason = text_of(arena);
    const uint32_t what = any(14);
    const struct uuid user = (what == 1 || what >= 10) && any(8) ? actor : other;
    switch (what) {
    case 0:
        c->type = ROOMS_TRANSFER_ROOM;
        c->transfer_room = (struct transfer_room){ .room_id = room, .user_id = user, .expected_version = -1 };
        break;
    case 1:
        c->type = ROOMS_LEAVE_ROOM;
        c->leave_room = (struct leave_room){ .room_id = room, .user_id = user };
        break;
    case 2:
    case 3:
        c->type = ROOMS_CHANGE_ROLE;
        c->change_role = (struct change_role){ .room_id = room,
                                               .user_id = user,
                                               .expected_version = -1,
                                               .role = any(2) ? MEMBER_ROLE_READ_ONLY : (enum member_role)any(4) };
        break;
    case 4:
    case 5:
        c->type = ROOMS_INVITE_MEMBER;
        c->invite_member = (struct invite_member){ .room_id = room, .user_id = user };
        break;
    case 6:
        c->type = ROOMS_WITHDRAW_INVITATION;
        c->withdraw_invitation = (struct withdraw_invitation){ .room_id = room, .user_id = user };
        break;
    case 7:
        c->type = ROOMS_REMOVE_MEMBER;
        c->remove_member = (struct remove_member){ .room_id = room, .user_id = user, .reason = reason };
        break;
    case 8:
        c->type = ROOMS_BAN_MEMBER;
        c->ban_member = (struct ban_member){
            .room_id = room, .user_id = user, .reason = reason, .until = any(2) ? 0 : 1000 * (1 + any(6))
        };
        break;
    case 9:
        c->type = ROOMS_UNBAN_MEMBER;
        c->unban_member = (struct unban_member){ .room_id = room, .user_id = user };
        break;
    default:
        c->type = ROOMS_JOIN_ROOM;
        c->join_room = (struct join_room){ .room_id = room, .user_id = user };
    }
}

/* A command about a message. */
static void random_on(struct arena *arena, struct rooms_command *c, struct uuid room, struct uuid message)
{
    const int64_t seq = 1 + any(SEQS);
    const struct str emoji = emojis[any(3)];
    switch (any(6)) {
    case 0:
        c->type = ROOMS_DELETE_MESSAGE;
        c->delete_message =
            (struct delete_message){ .room_id = room, .message_id = message, .seq = seq, .expired = any(4) == 0 };
        break;
    case 1:
        c->type = ROOMS_ADD_REACTION;
        c->add_reaction = (struct add_reaction){ .room_id = room,
                                                 .message_id = message,
                                                 .seq = seq,
                                                 .emoji = emoji,
                                                 .most_on_message = 1 + (int32_t)any(3),
                                                 .most_by_person = 1 + (int32_t)any(3) };
        break;
    case 2:
        c->type = ROOMS_REMOVE_REACTION;
        c->remove_reaction =
            (struct remove_reaction){ .room_id = room, .message_id = message, .seq = seq, .emoji = emoji };
        break;
    case 3:
        c->type = ROOMS_PIN_MESSAGE;
        c->pin_message = (struct pin_message){ .room_id = room, .message_id = message, .seq = seq };
        break;
    case 4:
        c->type = ROOMS_UNPIN_MESSAGE;
        c->unpin_message = (struct unpin_message){ .room_id = room, .message_id = message, .seq = seq };
        break;
    default:
        c->type = ROOMS_EDIT_MESSAGE;
        c->edit_message = (struct edit_message){ .room_id = room,
                                                 .message_id = message,
                                                 .seq = seq,
                                                 .expected_version = any(3) ? -1 : 1 + (int32_t)any(3),
                                                 .body = text_of(arena) };
    }
}

static uint32_t scheduled = 5; /* number of the newest */

static void rooms_random(struct arena *arena, uint32_t story, struct any_record *ret)
{
    struct rooms_command *c = (struct rooms_command *)ret;
    const uint32_t nth = any(ROOMS);
    /* The first person opens most rooms, and so can do most there. */
    const uint32_t who = any(2) ? 0 : any(PEOPLE);
    const struct uuid room = id_of(story, 'r', nth), actor = id_of(story, 'p', who);
    const struct uuid user = id_of(story, 'p', any(8) ? (who + 1 + any(PEOPLE - 1)) % PEOPLE : who);
    switch (any(8) ? 2 + any(18) : 0) {
    case 0:
    case 1:
        c->type = ROOMS_CREATE_ROOM;
        c->create_room =
            (struct create_room){ .name = text_of(arena), .kind = any(2) ? ROOM_KIND_PUBLIC : (enum room_kind)any(3) };
        if (c->create_room.kind == ROOM_KIND_DIRECT)
            c->create_room.peer_id = user;
        c->create_room.room_id = room;
        break;
    case 2:
        c->type = ROOMS_CHANGE_ROOM;
        random_change(arena, &c->change_room);
        c->change_room.room_id = room;
        break;
    case 3:
        c->type = ROOMS_SCHEDULE_MESSAGE;
        c->schedule_message = (struct schedule_message){
            .room_id = room,
            .message_id = id_of(story, 's', ++scheduled),
            .body = text_of(arena),
            .send_at = 100000 + 1000 * any(4),
            .elsewhere = (int32_t)any(2),
            .most_of_person = 1 + (int32_t)any(4),
            .most_of_room = 1 + (int32_t)any(8),
        };
        break;
    case 4:
        c->type = ROOMS_CANCEL_SCHEDULED_MESSAGE;
        c->cancel_scheduled_message =
            (struct cancel_scheduled_message){ .room_id = room, .message_id = id_of(story, 's', scheduled - any(5)) };
        break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        random_about(arena, c, room, actor, user);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        random_on(arena, c, room, message_of(story, nth));
        break;
    default:
        c->type = ROOMS_POST_MESSAGE;
        random_post(arena, story, nth, scheduled, &c->post_message);
        c->post_message.room_id = room;
    }
    c->meta.actor = actor;
    c->meta.at = 1000 * (1 + any(4));
}

/* What is asked about a room, an actor and the next person; then about each of the first messages. */
enum { ASKED_OF_ROOM = 20, ASKED_OF_MESSAGE = 7, ASKED_OF_PAIR = ASKED_OF_ROOM + SEQS * ASKED_OF_MESSAGE };

static void question_of_room(uint32_t what, struct uuid room, struct uuid actor, struct uuid next, struct uuid newest,
                             struct rooms_command *c)
{
    static const int types[] = { ROOMS_TRANSFER_ROOM,       ROOMS_CHANGE_ROLE,   ROOMS_INVITE_MEMBER,
                                 ROOMS_WITHDRAW_INVITATION, ROOMS_REMOVE_MEMBER, ROOMS_UNBAN_MEMBER,
                                 ROOMS_BAN_MEMBER };
    switch (what) {
    case 14:
    case 15:
    case 16:
        c->type = ROOMS_SCHEDULE_MESSAGE;
        c->schedule_message = (struct schedule_message){ .room_id = room,
                                                         .message_id = id_of(0, 'q', 0),
                                                         .send_at = 101000,
                                                         .most_of_person = what == 14 ? 1 : 100,
                                                         .most_of_room = what == 15 ? 2 : 100 };
        return;
    case 17:
    case 18:
        c->type = ROOMS_POST_MESSAGE;
        c->post_message =
            (struct post_message){ .room_id = room, .message_id = newest, .scheduled = true, .suspended = what == 18 };
        return;
    case 19:
        c->type = ROOMS_CANCEL_SCHEDULED_MESSAGE;
        c->cancel_scheduled_message = (struct cancel_scheduled_message){ .room_id = room, .message_id = newest };
        return;
    case 0:
        c->type = ROOMS_CREATE_ROOM;
        c->create_room = (struct create_room){ .room_id = room };
        return;
    case 1:
    case 2:
        c->type = ROOMS_CHANGE_ROOM;
        c->change_room = (struct change_room){ .room_id = room,
                                               .expected_version = -1,
                                               .changed = { &room_fields[what == 1 ? 0 : 5], 1 } };
        return;
    case 3:
        c->type = ROOMS_JOIN_ROOM;
        c->join_room = (struct join_room){ .room_id = room, .user_id = actor };
        return;
    case 4:
        c->type = ROOMS_LEAVE_ROOM;
        c->leave_room = (struct leave_room){ .room_id = room, .user_id = actor };
        return;
    case 5:
    case 6:
        c->type = ROOMS_POST_MESSAGE;
        c->post_message = (struct post_message){ .room_id = room, .reply_to = what == 5 ? 0 : 2 };
        return;
    default:
        break;
    }
    c->type = types[what - 7];
    if (c->type == ROOMS_TRANSFER_ROOM)
        c->transfer_room = (struct transfer_room){ .room_id = room, .user_id = next, .expected_version = -1 };
    else if (c->type == ROOMS_CHANGE_ROLE)
        c->change_role = (struct change_role){
            .room_id = room, .user_id = next, .expected_version = -1, .role = MEMBER_ROLE_MEMBER
        };
    else if (c->type == ROOMS_INVITE_MEMBER)
        c->invite_member = (struct invite_member){ .room_id = room, .user_id = next };
    else if (c->type == ROOMS_WITHDRAW_INVITATION)
        c->withdraw_invitation = (struct withdraw_invitation){ .room_id = room, .user_id = next };
    else if (c->type == ROOMS_REMOVE_MEMBER)
        c->remove_member = (struct remove_member){ .room_id = room, .user_id = next };
    else if (c->type == ROOMS_UNBAN_MEMBER)
        c->unban_member = (struct unban_member){ .room_id = room, .user_id = next };
    else
        c->ban_member = (struct ban_member){ .room_id = room, .user_id = next };
}

static void question_of_message(uint32_t what, struct uuid room, struct uuid id, int64_t seq, struct rooms_command *c)
{
    switch (what) {
    case 0:
        c->type = ROOMS_EDIT_MESSAGE;
        c->edit_message =
            (struct edit_message){ .room_id = room, .message_id = id, .seq = seq, .expected_version = -1 };
        break;
    case 1:
        c->type = ROOMS_DELETE_MESSAGE;
        c->delete_message = (struct delete_message){ .room_id = room, .message_id = id, .seq = seq };
        break;
    case 2:
    case 3:
        c->type = ROOMS_ADD_REACTION;
        c->add_reaction = (struct add_reaction){ .room_id = room,
                                                 .message_id = id,
                                                 .seq = seq,
                                                 .emoji = emojis[what - 2],
                                                 .most_on_message = 2,
                                                 .most_by_person = 2 };
        break;
    case 4:
        c->type = ROOMS_REMOVE_REACTION;
        c->remove_reaction =
            (struct remove_reaction){ .room_id = room, .message_id = id, .seq = seq, .emoji = emojis[0] };
        break;
    case 5:
        c->type = ROOMS_PIN_MESSAGE;
        c->pin_message = (struct pin_message){ .room_id = room, .message_id = id, .seq = seq };
        break;
    default:
        c->type = ROOMS_UNPIN_MESSAGE;
        c->unpin_message = (struct unpin_message){ .room_id = room, .message_id = id, .seq = seq };
    }
}

static bool rooms_question(struct arena *arena, uint32_t story, uint32_t n, struct any_record *ret)
{
    struct rooms_command *c = (struct rooms_command *)ret;
    (void)arena;
    const uint32_t pair = n / ASKED_OF_PAIR, what = n % ASKED_OF_PAIR;
    if (pair >= ROOMS * PEOPLE)
        return false;
    const struct uuid room = id_of(story, 'r', pair / PEOPLE), actor = id_of(story, 'p', pair % PEOPLE);
    if (what < ASKED_OF_ROOM)
        question_of_room(what, room, actor, id_of(story, 'p', (pair + 1) % PEOPLE),
                         id_of(story, 's', scheduled - n % 5), c);
    else
        question_of_message((what - ASKED_OF_ROOM) % ASKED_OF_MESSAGE, room, message_of(story, pair / PEOPLE),
                            1 + (what - ASKED_OF_ROOM) / ASKED_OF_MESSAGE, c);
    c->meta.actor = actor;
    c->meta.at = 3000;
    return true;
}

static int64_t rooms_from_state(const struct any_record *fact)
{
    const struct rooms_fact *f = (const struct rooms_fact *)fact;
    switch (f->type) {
    case ROOMS_MESSAGE_POSTED:
        return f->message_posted.seq + 1000 * f->message_posted.thread + f->message_posted.expires_at * 100000 +
               f->message_posted.slow_until * 1000000;
    case ROOMS_MESSAGE_EDITED:
        return f->message_edited.version;
    case ROOMS_MESSAGE_DELETED:
        return f->message_deleted.thread;
    case ROOMS_ROOM_CHANGED:
        return f->room_changed.version;
    case ROOMS_ROLE_CHANGED:
        return f->role_changed.version;
    case ROOMS_MEMBER_BANNED:
        return f->member_banned.was_member;
    case ROOMS_MEMBER_JOINED:
        return f->member_joined.after_seq;
    default:
        return 0;
    }
}

/* What a person was shown of a room last, and by which line. */
struct look {
    uint32_t story;
    struct room_line line;
    struct buf text;
};

/* A room in one's list looks another way only when its line is another one. */
static void rooms_look(struct pg *pg, uint32_t story)
{
    static struct look looks[ROOMS][PEOPLE];
    struct arena arena;
    arena_init(&arena, 0);
    const uint32_t person = any(PEOPLE);
    struct room_lines list = { .viewer = id_of(story, 'p', person), .limit = ROOMS + 1 };
    ck_assert_int_eq(room_lines(pg, &arena, &list, 1), OK);
    for (size_t i = 0; i < list.count; i++) {
        const struct room_line *line = &list.lines[i];
        struct room_view *rooms;
        size_t count;
        ck_assert_int_eq(room_list_own(pg, &arena, list.viewer, &line->room, 1, &rooms, &count), OK);
        ck_assert(count == 1 && rooms->position == line->position && rooms->mark == line->mark);
        uint32_t nth = 0;
        while (!uuid_equal(id_of(story, 'r', nth), line->room))
            nth++;
        struct look *look = &looks[nth][person];
        struct buf text = { 0 };
        struct json j = json_writer(&text);
        room_json(&j, rooms);
        if (look->text.len && look->story == story && look->line.position == line->position)
            ck_assert_msg(str_equal(buf_view(&look->text), buf_view(&text)), "by the same line\n%.*s\n%.*s",
                          (int)look->text.len, look->text.ptr, (int)text.len, text.ptr);
        buf_finish(&look->text);
        *look = (struct look){ story, *line, text };
    }
    arena_finish(&arena);
}

static const struct game_table tables[] = {
    { "messages.rooms", "room_id" },
    { "messages.members", "room_id, user_id" },
    { "messages.messages", "room_id, seq" },
    { "messages.invitations", "room_id, user_id" },
    { "messages.bans", "room_id, user_id" },
    { "messages.message_versions", "room_id, seq, version" },
    { "messages.reactions", "room_id, seq, user_id, emoji" },
    { "messages.mentions", "user_id, room_id, seq" },
    { "messages.scheduled", "message_id" },
    { "messages.expiring", "room_id, seq" },
    { "messages.restrictions", "room_id, user_id", "SELECT room_id, user_id, read_only IS TRUE, slow_until" },
    { "messages.deleted_counts", "room_id, level, block" },
    { 0 },
};

const struct game rooms_game = {
    .command_size = sizeof(struct rooms_command),
    .fact_size = sizeof(struct rooms_fact),
    .random = rooms_random,
    .question = rooms_question,
    .from_state = rooms_from_state,
    .look = rooms_look,
    .tables = tables,
    .rows = rooms_tables,
    .row_count = &rooms_table_count,
    .evolve = rooms_evolve_rows,
};
