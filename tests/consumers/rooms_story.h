/* Facts and commands of rooms as short constants, for tables of rules. People and rooms are single bytes. */
#pragma once

#include <stdlib.h>

#include "consumers/messages/decide.h"
#include "tests/suite.h"

/* A row's own values replace those of the constant it uses. */
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

/* clang-format off */
#define ID(byte) { { (byte) } }
/* clang-format on */
#define ANN     ID(0xA1)
#define BOB     ID(0xB0)
#define CAT     ID(0xC4)
#define DAN     ID(0xD4)
#define LOBBY   ID(0x10)
#define ATTIC   ID(0x20)
#define MESSAGE ID(0x30)
#define OTHER   ID(0x31)
#define GIVEN   12

/* clang-format off */
#define TEXT { .cipher = { "sealed", 6 } }
#define BY(who) .meta = { .actor = who, .at = NOW }
#define NOW 1000000

/* A fact or command of a stream's union: its type, the member, the rest. */
#define CREATED(room, by, how) { ROOMS_ROOM_CREATED, .room_created = { BY(by), .room_id = room, .kind = ROOM_KIND_##how } }
#define DIRECT_CREATED(room, by, peer) { ROOMS_ROOM_CREATED, .room_created = { BY(by), .room_id = room, .kind = ROOM_KIND_DIRECT, .peer_id = peer } }
#define JOINED(room, who) { ROOMS_MEMBER_JOINED, .member_joined = { BY(who), .room_id = room, .user_id = who } }
#define LEFT(room, who) { ROOMS_MEMBER_LEFT, .member_left = { BY(who), .room_id = room, .user_id = who } }
#define BECAME(room, by, who, what) { ROOMS_ROLE_CHANGED, .role_changed = { BY(by), .room_id = room, .version = 2, .user_id = who, .role = MEMBER_ROLE_##what } }
#define INVITED(room, by, who) { ROOMS_MEMBER_INVITED, .member_invited = { BY(by), .room_id = room, .user_id = who } }
#define BANNED_UNTIL(room, by, who, end) { ROOMS_MEMBER_BANNED, .member_banned = { BY(by), .room_id = room, .user_id = who, .until = end } }
#define BANNED_AWAY(room, by, who) { ROOMS_MEMBER_BANNED, .member_banned = { BY(by), .room_id = room, .user_id = who, .was_member = true } }
#define UNBANNED(room, by, who) { ROOMS_MEMBER_UNBANNED, .member_unbanned = { BY(by), .room_id = room, .user_id = who } }
#define REMOVED(room, by, who) { ROOMS_MEMBER_REMOVED, .member_removed = { BY(by), .room_id = room, .user_id = who } }
#define TRANSFERRED(room, by, who) { ROOMS_ROOM_TRANSFERRED, .room_transferred = { BY(by), .room_id = room, .version = 2, .user_id = who } }
#define SLOWED(room, by, number, end) { ROOMS_MESSAGE_POSTED, .message_posted = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, .slow_until = end } }
#define POSTED(room, by, number) { ROOMS_MESSAGE_POSTED, .message_posted = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number } }
#define POSTED_IN(room, by, number, of) { ROOMS_MESSAGE_POSTED, .message_posted = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, .thread = of } }
#define DELETED(room, by, number) { ROOMS_MESSAGE_DELETED, .message_deleted = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number } }
#define EDITED(room, by, number, to) { ROOMS_MESSAGE_EDITED, .message_edited = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, .version = to } }
#define PINNED(room, by, number) { ROOMS_MESSAGE_PINNED, .message_pinned = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number } }
#define UNREACTED(room, by, number, what) { ROOMS_REACTION_REMOVED, .reaction_removed = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, .emoji = { what, sizeof what - 1 } } }
#define REACTED(room, by, number, what) { ROOMS_REACTION_ADDED, .reaction_added = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, .emoji = { what, sizeof what - 1 } } }
#define SCHEDULED_FACT(room, by) { ROOMS_MESSAGE_SCHEDULED, .message_scheduled = { BY(by), .room_id = room, .message_id = MESSAGE, .send_at = NOW + 1 } }
#define PLANNED(room, by, message, when) { ROOMS_MESSAGE_SCHEDULED, .message_scheduled = { BY(by), .room_id = room, .message_id = message, .send_at = when } }
#define CANCELED(room, by, message) { ROOMS_SCHEDULED_MESSAGE_CANCELED, .scheduled_message_canceled = { BY(by), .room_id = room, .message_id = message } }
#define WITHHELD(room, by, message) { ROOMS_SCHEDULED_MESSAGE_WITHHELD, .scheduled_message_withheld = { BY(by), .room_id = room, .message_id = message } }
#define CHANGED(room, by, field, ...) { ROOMS_ROOM_CHANGED, .room_changed = { BY(by), .room_id = room, .version = 2, .changed = { &fields[ROOM_FIELD_##field], 1 }, __VA_ARGS__ } }

#define CREATE(room, by, how) { ROOMS_CREATE_ROOM, .create_room = { BY(by), .room_id = room, .name = TEXT, .kind = ROOM_KIND_##how } }
#define OPEN_DIRECT(room, by, peer) { ROOMS_CREATE_ROOM, .create_room = { BY(by), .room_id = room, .name = TEXT, .kind = ROOM_KIND_DIRECT, .peer_id = peer } }
#define CHANGE(room, by, field, ...) { ROOMS_CHANGE_ROOM, .change_room = { BY(by), .room_id = room, .expected_version = -1, .changed = { &fields[ROOM_FIELD_##field], 1 }, __VA_ARGS__ } }
#define TRANSFER(room, by, who, ...) { ROOMS_TRANSFER_ROOM, .transfer_room = { BY(by), .room_id = room, .expected_version = -1, .user_id = who, __VA_ARGS__ } }
#define JOIN(room, by, who) { ROOMS_JOIN_ROOM, .join_room = { BY(by), .room_id = room, .user_id = who } }
#define LEAVE(room, by, who) { ROOMS_LEAVE_ROOM, .leave_room = { BY(by), .room_id = room, .user_id = who } }
#define ROLE(room, by, who, what, ...) { ROOMS_CHANGE_ROLE, .change_role = { BY(by), .room_id = room, .expected_version = -1, .user_id = who, .role = MEMBER_ROLE_##what, __VA_ARGS__ } }
#define INVITE(room, by, who) { ROOMS_INVITE_MEMBER, .invite_member = { BY(by), .room_id = room, .user_id = who } }
#define WITHDRAW(room, by, who) { ROOMS_WITHDRAW_INVITATION, .withdraw_invitation = { BY(by), .room_id = room, .user_id = who } }
#define REMOVE(room, by, who) { ROOMS_REMOVE_MEMBER, .remove_member = { BY(by), .room_id = room, .user_id = who, .reason = TEXT } }
#define BAN(room, by, who, end) { ROOMS_BAN_MEMBER, .ban_member = { BY(by), .room_id = room, .user_id = who, .reason = TEXT, .until = end } }
#define UNBAN(room, by, who) { ROOMS_UNBAN_MEMBER, .unban_member = { BY(by), .room_id = room, .user_id = who } }
#define POST(room, by, ...) { ROOMS_POST_MESSAGE, .post_message = { BY(by), .room_id = room, .message_id = MESSAGE, .body = TEXT, __VA_ARGS__ } }
#define EDIT(room, by, number, ...) { ROOMS_EDIT_MESSAGE, .edit_message = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, .expected_version = -1, .body = TEXT, __VA_ARGS__ } }
#define DELETE(room, by, number, ...) { ROOMS_DELETE_MESSAGE, .delete_message = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, __VA_ARGS__ } }
#define REACT(room, by, number, what, ...) { ROOMS_ADD_REACTION, .add_reaction = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, .emoji = { what, sizeof what - 1 }, .most_on_message = 20, .most_by_person = 5, __VA_ARGS__ } }
#define UNREACT(room, by, number, what) { ROOMS_REMOVE_REACTION, .remove_reaction = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number, .emoji = { what, sizeof what - 1 } } }
#define PIN(room, by, number) { ROOMS_PIN_MESSAGE, .pin_message = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number } }
#define UNPIN(room, by, number) { ROOMS_UNPIN_MESSAGE, .unpin_message = { BY(by), .room_id = room, .message_id = MESSAGE, .seq = number } }
#define SCHEDULE(room, by, when, ...) { ROOMS_SCHEDULE_MESSAGE, .schedule_message = { BY(by), .room_id = room, .message_id = MESSAGE, .body = TEXT, .send_at = when, .most_of_person = 100, .most_of_room = 1000, __VA_ARGS__ } }
#define CANCEL(room, by) { ROOMS_CANCEL_SCHEDULED_MESSAGE, .cancel_scheduled_message = { BY(by), .room_id = room, .message_id = MESSAGE } }
/* clang-format on */

static const enum room_field fields[] = { ROOM_FIELD_NAME,      ROOM_FIELD_DESCRIPTION,  ROOM_FIELD_TOPIC,
                                          ROOM_FIELD_SLOW_MODE, ROOM_FIELD_TIME_TO_LIVE, ROOM_FIELD_ARCHIVED };

struct rule_row {
    const char *sentence;
    struct rooms_fact given[GIVEN]; /* ended by type 0 */
    struct rooms_command when;
    int then;   /* rejection, or ACCEPTED and … */
    int type;   /* … this fact, */
    int64_t is; /* … with this number: seq, version, thread or until, as the test says; 0: any */
};

#define ABSENT_IF_UNKNOWN(entry)                                                                                       \
    do {                                                                                                               \
        if ((entry)->presence == PRESENCE_UNKNOWN)                                                                     \
            (entry)->presence = PRESENCE_ABSENT;                                                                       \
    } while (0)

/* What load would do on an empty database, for every command: rooms, everybody, the first messages. */
static void know_nothing(struct rooms_state *s, const struct rooms_command *c)
{
    static const struct uuid people[] = { ANN, BOB, CAT, DAN }, rooms[] = { LOBBY, ATTIC };
    for (size_t r = 0; r < 2; r++) {
        ABSENT_IF_UNKNOWN(rooms_state_claim_room(s, rooms[r]));
        for (size_t p = 0; p < 4; p++) {
            ABSENT_IF_UNKNOWN(rooms_state_claim_member(s, rooms[r], people[p]));
            ABSENT_IF_UNKNOWN(rooms_state_claim_agenda(s, rooms[r], people[p]));
        }
        for (int64_t seq = 0; seq < 10; seq++)
            ABSENT_IF_UNKNOWN(rooms_state_claim_message(s, rooms[r], seq));
    }
    static const struct uuid message = MESSAGE;
    ABSENT_IF_UNKNOWN(rooms_state_claim_scheduled(s, message));
    struct str emoji = c->type == ROOMS_ADD_REACTION      ? c->add_reaction.emoji
                       : c->type == ROOMS_REMOVE_REACTION ? c->remove_reaction.emoji
                                                          : (struct str){ 0 };
    if (!emoji_is_sound(emoji))
        return;
    for (int i = 0; i < 4; i++) {
        const struct reaction_key key =
            reaction_key(c->add_reaction.room_id, c->add_reaction.seq, i & 1 ? c->meta.actor : uuid_nil,
                         i & 2 ? emoji : (struct str){ 0 });
        ABSENT_IF_UNKNOWN(rooms_state_claim_reaction(s, &key));
    }
}

/* Decides the row's command and compares; returns the fact. The numbers in a fact that come from the state: */
static int64_t number_of(const struct rooms_fact *fact)
{
    switch ((enum rooms_fact_type)fact->type) {
    case ROOMS_MESSAGE_POSTED:
        return fact->message_posted.seq;
    case ROOMS_MESSAGE_EDITED:
        return fact->message_edited.version;
    case ROOMS_MESSAGE_DELETED:
        return fact->message_deleted.thread;
    case ROOMS_ROOM_CHANGED:
        return fact->room_changed.version;
    case ROOMS_ROOM_TRANSFERRED:
        return fact->room_transferred.version;
    case ROOMS_ROLE_CHANGED:
        return fact->role_changed.version;
    case ROOMS_MEMBER_JOINED:
        return fact->member_joined.after_seq;
    case ROOMS_MEMBER_BANNED:
        return fact->member_banned.was_member;
    default:
        return 0;
    }
}

static struct rooms_fact check_row(const struct rule_row *row)
{
    struct rooms_state *s = rooms_state_create();
    know_nothing(s, &row->when);
    for (size_t i = 0; i < GIVEN && row->given[i].type; i++)
        rooms_evolve(s, (const struct any_record *)&row->given[i]);
    struct rooms_fact fact = { 0 };
    const int got = rooms_decide(s, (const struct any_record *)&row->when, (struct any_record *)&fact);
    ck_assert_msg(got == row->then, "%s: got rejection %d, not %d", row->sentence, got, row->then);
    if (got == ACCEPTED) {
        ck_assert_msg(fact.type == row->type, "%s: got fact %d", row->sentence, fact.type);
        if (row->is)
            ck_assert_msg(number_of(&fact) == row->is, "%s: got number %lld", row->sentence,
                          (long long)number_of(&fact));
    } else {
        ck_assert_msg(fact.type == 0, "%s: rejected, yet a fact was written", row->sentence);
    }
    rooms_state_destroy(s);
    return fact;
}
