/* Every column as it is read, each with a value of its own: a column that is read as another one, or written from another
 * one, shows. Times are after noon by a number of their own, people and rooms have numbers of their own. */
#include <stdlib.h>

#include "consumers/messages/streams.h"
#include "consumers/messages/view.h"
#include "tests/consumers/story.h"

enum { LOBBY = 1, ATTIC = 2, TWO = 3, ANN = 11, BOB = 12, CAT = 13, DAN = 14, EVE = 15 };

#define BY(user, time) .meta = { .actor = id('u', user), .at = NOON + (time) }

static void setup(void)
{
    story_begin(&messages_definition);
}

static void fold(struct rooms_fact fact)
{
    story_fold(&messages_definition, 0, (const struct any_record *)&fact, 3);
}

static void created(int room, enum room_kind kind, int owner, int peer, int64_t time, const char *name)
{
    fold((struct rooms_fact){ ROOMS_ROOM_CREATED,
                              .room_created = { BY(owner, time), .room_id = id('r', room), .name = text(name),
                                                .kind = kind, .peer_id = peer ? id('u', peer) : uuid_nil } });
}

static void joined(int room, int user, int64_t time, int64_t after)
{
    fold((struct rooms_fact){ ROOMS_MEMBER_JOINED, .member_joined = { BY(user, time), .room_id = id('r', room),
                                                                      .user_id = id('u', user), .after_seq = after } });
}

static void posted(int room, int user, int64_t seq, int64_t time, const char *body)
{
    fold((struct rooms_fact){ ROOMS_MESSAGE_POSTED, .message_posted = { BY(user, time), .room_id = id('r', room),
                                                                        .message_id = id('m', (int)(100 * room + seq)),
                                                                        .seq = seq, .body = text(body) } });
}

static const char *rendered_message(const struct message_view *message)
{
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    message_json(&j, message);
    const char *text = rendered(&out);
    buf_finish(&out);
    return text;
}

static const char *rendered_room(const struct room_view *room)
{
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    room_json(&j, room);
    const char *text = rendered(&out);
    buf_finish(&out);
    return text;
}

#define USER(n)    "01000000-0000-0000-7500-0000000000" n
#define ROOM(n)    "01000000-0000-0000-7200-0000000000" n
#define MESSAGE(n) "01000000-0000-0000-6d00-000000000" n
#define TIME(ms)   "2026-01-01T12:00:00." ms "Z"

/* Ann's lobby: its first message is edited, pinned, reacted to and answered by what names and comes from elsewhere. */
static void a_lobby(void)
{
    created(LOBBY, ROOM_KIND_PUBLIC, ANN, 0, 1, "lobby");
    joined(LOBBY, BOB, 2, 0);
    joined(LOBBY, CAT, 3, 0);
    posted(LOBBY, BOB, 1, 4, "helo");
    const struct uuid room = id('r', LOBBY), first = id('m', 101);
    static struct uuid people[2];
    people[0] = id('u', CAT);
    people[1] = id('u', ANN);
    fold((struct rooms_fact){ ROOMS_MESSAGE_POSTED,
                              .message_posted = { BY(CAT, 5), .room_id = room, .message_id = id('m', 102), .seq = 2,
                                                  .body = text("an answer"), .reply_to = 1, .thread = 1,
                                                  .mentions = { people, 2 }, .mentions_room = true,
                                                  .forwarded_room = id('r', ATTIC), .forwarded_message = id('m', 201),
                                                  .forwarded_sender = id('u', DAN) } });
    fold((struct rooms_fact){ ROOMS_MESSAGE_EDITED,
                              .message_edited = { BY(BOB, 6), .room_id = room, .message_id = first, .seq = 1,
                                                  .version = 2, .body = text("hello") } });
    fold((struct rooms_fact){ ROOMS_MESSAGE_PINNED,
                              .message_pinned = { BY(ANN, 7), .room_id = room, .message_id = first, .seq = 1 } });
    fold(
        (struct rooms_fact){ ROOMS_REACTION_ADDED, .reaction_added = { BY(CAT, 8), .room_id = room, .message_id = first,
                                                                       .seq = 1, .emoji = STR("+") } });
    posted(LOBBY, ANN, 3, 9, "gone");
    fold((struct rooms_fact){ ROOMS_MESSAGE_DELETED, .message_deleted = { BY(ANN, 10), .room_id = room,
                                                                          .message_id = id('m', 103), .seq = 3 } });
}

static const char *const first_message =
    "{\"id\":\"" MESSAGE("065") "\",\"roomId\":\"" ROOM("01") "\",\"seq\":1,\"senderId\":\"" USER(
        "0c") "\","
              "\"body\":\"hello\",\"postedAt\":\"" TIME("127") "\",\"editedAt\":\"" TIME(
                  "129") "\",\"version\":2,"
                         "\"pinnedAt\":\"" TIME(
                             "130") "\",\"replyCount\":1,"
                                    "\"reactions\":[{\"emoji\":\"+\",\"count\":1,\"userIds\":[\"" USER("0d") "\"]}]}";
static const char *const second_message =
    "{\"id\":\"" MESSAGE("066") "\",\"roomId\":\"" ROOM("01") "\",\"seq\":2,\"senderId\":\"" USER(
        "0d") "\","
              "\"body\":\"an answer\",\"postedAt\":\"" TIME(
                  "128") "\",\"replyTo\":1,\"thread\":1,"
                         "\"mentions\":[\"" USER("0d") "\",\"" USER(
                             "0b") "\"],\"mentionsRoom\":true,"
                                   "\"forwarded\":{\"roomId\":\"" ROOM("02") "\",\"messageId\":\"" MESSAGE(
                                       "0c9") "\",\"senderId\":\"" USER("0e") "\"}}";
static const char *const third_message =
    "{\"id\":\"" MESSAGE("067") "\",\"roomId\":\"" ROOM("01") "\",\"seq\":3,\"senderId\":\"" USER(
        "0b") "\","
              "\"body\":\"\",\"postedAt\":\"" TIME("132") "\",\"deletedAt\":\"" TIME("133") "\"}";

START_TEST(every_column_of_a_message)
{
    a_lobby();
    const char *const expected[] = { first_message, second_message, third_message };
    struct message_page page = { .room = id('r', LOBBY), .viewer = id('u', BOB), .after = 0, .limit = 10 };
    ck_assert_int_eq(message_pages(db.pg, &arena, &page, 1), OK);
    ck_assert_uint_eq(page.count, 3);
    for (int i = 0; i < 3; i++) {
        struct message_view one;
        bool found;
        ck_assert_str_eq(rendered_message(&page.items[i]), expected[i]);
        ck_assert_int_eq(message_find(db.pg, &arena, id('m', 101 + i), &one, &found), OK);
        ck_assert(found);
        ck_assert_str_eq(rendered_message(&one), expected[i]);
    }
    struct message_view *items;
    size_t count;
    ck_assert_int_eq(pin_list(db.pg, &arena, id('r', LOBBY), 0, 10, &items, &count), OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(rendered_message(&items[0]), first_message);
    ck_assert_int_eq(thread_list(db.pg, &arena, id('r', LOBBY), 1, 0, 10, &items, &count), OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(rendered_message(&items[0]), second_message);
    /* what was not kept of then is left out */
    ck_assert_int_eq(
        message_page_as_of(db.pg, &arena, id('r', LOBBY), id('u', ANN), true, 1000, 0, 0, 10, &items, &count), OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(
        rendered_message(&items[0]),
        "{\"id\":\"" MESSAGE("065") "\",\"roomId\":\"" ROOM("01") "\",\"seq\":1,\"senderId\":\"" USER(
            "0c") "\",\"body\":\"hello\",\"postedAt\":\"" TIME("127") "\",\"editedAt\":\"" TIME("129") "\",\"version\":"
                                                                                                       "2}");
    ck_assert_str_eq(
        rendered_message(&items[1]),
        "{\"id\":\"" MESSAGE("066") "\",\"roomId\":\"" ROOM("01") "\",\"seq\":2,\"senderId\":\"" USER(
            "0d") "\",\"body\":\"an answer\",\"postedAt\":\"" TIME("128") "\",\"replyTo\":1,\"thread\":1,\"forwarded\":"
                                                                          "{\"roomId\":\"" ROOM(
                                                                              "02") "\","
                                                                                    "\"messageId\":"
                                                                                    "\"" MESSAGE(
                                                                                        "0c"
                                                                                        "9") "\",\"senderId\":"
                                                                                             "\"" USER("0e") "\"}}");
    ck_assert_str_eq(rendered_message(&items[2]), third_message);
}
END_TEST

/* The same from the fact, before any row is read: what a post is answered, and what the cache is given. */
START_TEST(a_message_looks_alike_from_its_fact_and_from_its_row)
{
    static struct uuid people[2];
    people[0] = id('u', CAT);
    people[1] = id('u', ANN);
    const struct message_posted posted_fact = { BY(CAT, 5),
                                                .room_id = id('r', LOBBY),
                                                .message_id = id('m', 102),
                                                .seq = 2,
                                                .body = text("an answer"),
                                                .reply_to = 1,
                                                .thread = 1,
                                                .mentions = { people, 2 },
                                                .mentions_room = true,
                                                .forwarded_room = id('r', ATTIC),
                                                .forwarded_message = id('m', 201),
                                                .forwarded_sender = id('u', DAN) };
    struct message_view message;
    message_view_posted(&message, &posted_fact, STR("an answer"));
    ck_assert_str_eq(rendered_message(&message), second_message);
}
END_TEST

START_TEST(every_column_of_a_room)
{
    a_lobby();
    static const enum room_field fields[] = { ROOM_FIELD_NAME,      ROOM_FIELD_DESCRIPTION,  ROOM_FIELD_TOPIC,
                                              ROOM_FIELD_SLOW_MODE, ROOM_FIELD_TIME_TO_LIVE, ROOM_FIELD_ARCHIVED };
    fold((struct rooms_fact){ ROOMS_ROOM_CHANGED,
                              .room_changed = { BY(ANN, 20), .room_id = id('r', LOBBY), .version = 7,
                                                .changed = { fields, 6 }, .name = text("the lobby"),
                                                .description = text("for all"), .topic = text("tea"), .slow_mode_s = 31,
                                                .time_to_live_s = 3600, .archived = true } });
    struct room_view room, *rooms;
    size_t count;
    bool found;
    const char *const shown = "{\"id\":\"" ROOM(
        "01") "\",\"name\":\"the lobby\",\"kind\":\"public\",\"memberCount\":3,\"lastSeq\":3,"
              "\"createdAt\":\"" TIME("124") "\",\"description\":\"for all\",\"topic\":\"tea\",\"slowModeSeconds\":31,"
                                             "\"timeToLiveSeconds\":3600,\"archivedAt\":\"" TIME("143") "\"";
    ck_assert_int_eq(room_find(db.pg, &arena, id('r', LOBBY), id('u', BOB), &room, &found), OK);
    ck_assert(found && room.is_member && room.role == MEMBER_ROLE_MEMBER);
    ck_assert_int_eq(room.version, 7);
    ck_assert_int_eq(room.position, position - 1);
    ck_assert_str_eq(rendered_room(&room), arena_printf(&arena, "%s}", shown));
    /* Bob has posted 1, two came since, of which one is deleted. */
    const char *const own =
        arena_printf(&arena, "%s,\"role\":\"member\",\"unreadCount\":1,\"lastMessage\":%s}", shown, third_message);
    ck_assert_int_eq(room_find_unread(db.pg, &arena, id('r', LOBBY), id('u', BOB), &room, &found), OK);
    ck_assert_str_eq(rendered_room(&room), own);
    const struct uuid lobby = id('r', LOBBY);
    database_run(&db, "INSERT INTO messages.read_marks SELECT user_id, room_id, 1, now(), 77 FROM messages.members");
    ck_assert_int_eq(room_list_own(db.pg, &arena, id('u', BOB), &lobby, 1, &rooms, &count), OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(rendered_room(&rooms[0]), own);
    ck_assert(rooms[0].mark == 77 && rooms[0].position == position - 1);
    ck_assert_int_eq(room_list(db.pg, &arena, id('u', BOB), ROOM_SCOPE_VISIBLE, uuid_nil, 10, &rooms, &count), OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(rendered_room(&rooms[0]), arena_printf(&arena, "%s}", shown));
    struct room_lines lines = { .viewer = id('u', BOB), .limit = 5 };
    ck_assert_int_eq(room_lines(db.pg, &arena, &lines, 1), OK);
    ck_assert(lines.count == 1 && uuid_equal(lines.lines[0].room, lobby) && lines.lines[0].mark == 77 &&
              lines.lines[0].position == position - 1);
}
END_TEST

START_TEST(a_direct_room_names_the_other_one)
{
    created(TWO, ROOM_KIND_DIRECT, ANN, BOB, 1, NULL);
    struct room_view room;
    bool found;
    ck_assert_int_eq(room_find(db.pg, &arena, id('r', TWO), id('u', ANN), &room, &found), OK);
    ck_assert(found && room.is_member && room.role == MEMBER_ROLE_MEMBER);
    ck_assert_str_eq(
        rendered_room(&room),
        "{\"id\":\"" ROOM("03") "\",\"name\":\"\",\"kind\":\"direct\",\"memberCount\":2,"
                                "\"lastSeq\":0,\"createdAt\":\"" TIME("124") "\",\"peerId\":\"" USER("0c") "\"}");
    ck_assert_int_eq(room_find(db.pg, &arena, id('r', TWO), id('u', BOB), &room, &found), OK);
    ck_assert(found && uuid_equal(room.peer_id, id('u', ANN)));
}
END_TEST

START_TEST(every_column_of_members_invitations_and_bans)
{
    const struct uuid attic = id('r', ATTIC);
    created(ATTIC, ROOM_KIND_PRIVATE, ANN, 0, 1, "attic");
    joined(ATTIC, BOB, 2, 0);
    fold((struct rooms_fact){ ROOMS_ROLE_CHANGED,
                              .role_changed = { BY(ANN, 3), .room_id = attic, .version = 2, .user_id = id('u', BOB),
                                                .role = MEMBER_ROLE_READ_ONLY } });
    fold((struct rooms_fact){ ROOMS_MEMBER_INVITED,
                              .member_invited = { BY(BOB, 4), .room_id = attic, .user_id = id('u', CAT) } });
    fold((struct rooms_fact){ ROOMS_MEMBER_BANNED,
                              .member_banned = { BY(ANN, 5), .room_id = attic, .user_id = id('u', DAN),
                                                 .reason = text("advertising"), .until = NOON + 6 } });
    fold((struct rooms_fact){ ROOMS_MEMBER_BANNED, .member_banned = { BY(BOB, 7), .room_id = attic,
                                                                      .user_id = id('u', EVE), .reason = text("") } });
    struct member_view *members;
    struct invitation_view *invitations;
    struct ban_view *bans;
    size_t count;
    ck_assert_int_eq(member_list(db.pg, &arena, attic, uuid_nil, 10, &members, &count), OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(uuid_equal(members[0].user_id, id('u', ANN)) && members[0].joined_at == NOON + 1);
    ck_assert_str_eq(members[0].role, "owner");
    ck_assert(uuid_equal(members[1].user_id, id('u', BOB)) && members[1].joined_at == NOON + 2);
    ck_assert_str_eq(members[1].role, "readOnly");
    for (int by_room = 0; by_room < 2; by_room++) {
        ck_assert_int_eq(by_room ? invitations_of_room(db.pg, &arena, attic, uuid_nil, 10, &invitations, &count)
                                 : invitations_of_user(db.pg, &arena, id('u', CAT), uuid_nil, 10, &invitations, &count),
                         OK);
        ck_assert_uint_eq(count, 1);
        ck_assert(uuid_equal(invitations[0].room_id, attic) && uuid_equal(invitations[0].user_id, id('u', CAT)));
        ck_assert(uuid_equal(invitations[0].invited_by, id('u', BOB)) && invitations[0].invited_at == NOON + 4);
    }
    ck_assert_int_eq(ban_list(db.pg, &arena, attic, uuid_nil, 10, &bans, &count), OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(uuid_equal(bans[0].user_id, id('u', DAN)) && uuid_equal(bans[0].banned_by, id('u', ANN)));
    ck_assert(bans[0].banned_at == NOON + 5 && bans[0].until == NOON + 6);
    ck_assert(str_equal(bans[0].reason, STR("advertising")));
    ck_assert(uuid_equal(bans[1].user_id, id('u', EVE)) && uuid_equal(bans[1].banned_by, id('u', BOB)));
    ck_assert(bans[1].banned_at == NOON + 7 && bans[1].until == 0 && bans[1].reason.len == 0);
}
END_TEST

START_TEST(every_column_of_a_scheduled_message)
{
    created(LOBBY, ROOM_KIND_PUBLIC, ANN, 0, 1, "lobby");
    posted(LOBBY, ANN, 1, 2, "one");
    static struct uuid people[1];
    people[0] = id('u', BOB);
    for (int i = 0; i < 2; i++)
        fold((struct rooms_fact){
            ROOMS_MESSAGE_SCHEDULED,
            .message_scheduled = { BY(ANN, 3 + i), .room_id = id('r', LOBBY), .message_id = id('s', 1 + i),
                                   .body = i ? text("later") : text("soon"), .reply_to = i, .mentions = { people, 1 },
                                   .mentions_room = i, .send_at = NOON + 5 + i } });
    struct scheduled_view *items, one;
    size_t count;
    bool found;
    ck_assert_int_eq(scheduled_list(db.pg, &arena, id('u', ANN), uuid_nil, 10, &items, &count), OK);
    ck_assert_uint_eq(count, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(scheduled_find(db.pg, &arena, id('u', ANN), id('s', 1 + i), &one, &found), OK);
        ck_assert(found);
        for (int k = 0; k < 2; k++) {
            const struct scheduled_view *s = k ? &one : &items[i];
            ck_assert(uuid_equal(s->message_id, id('s', 1 + i)) && uuid_equal(s->room_id, id('r', LOBBY)));
            ck_assert(s->scheduled_at == NOON + 3 + i && s->send_at == NOON + 5 + i && s->reply_to == i);
            ck_assert(str_equal(s->body, i ? STR("later") : STR("soon")) && s->withheld_at == 0);
        }
    }
    ck_assert_int_eq(scheduled_find(db.pg, &arena, id('u', BOB), id('s', 1), &one, &found), OK);
    ck_assert_msg(!found, "it is its sender's");
    /* as the timer posts it */
    ck_assert_str_eq(
        database_value(&db, &arena,
                       "SELECT string_agg(concat_ws(' ', partition, mentions_room, encode(mentions, 'hex')),"
                       " ' ' ORDER BY send_at) FROM messages.scheduled")
            .ptr,
        "3 f 0100000000000000750000000000000c 3 t 0100000000000000750000000000000c");
}
END_TEST

START_TEST(every_column_of_who_has_read_what)
{
    a_lobby();
    char sql[400], room[UUID_TEXT_LEN + 1], cat[UUID_TEXT_LEN + 1];
    uuid_format(id('r', LOBBY), room);
    uuid_format(id('u', CAT), cat);
    snprintf(sql, sizeof sql, "INSERT INTO messages.read_marks VALUES ('%s', '%s', 3, now(), 5)", cat, room);
    database_run(&db, sql);
    struct read_view *people;
    size_t count;
    ck_assert_int_eq(read_list(db.pg, &arena, id('r', LOBBY), &people, &count), OK);
    ck_assert_uint_eq(count, 3);
    ck_assert(uuid_equal(people[0].user_id, id('u', ANN)) && people[0].seq == 3); /* has posted it */
    ck_assert(uuid_equal(people[1].user_id, id('u', BOB)) && people[1].seq == 1);
    ck_assert(uuid_equal(people[2].user_id, id('u', CAT)) && people[2].seq == 3); /* has read it */
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("view columns");
    TCase *columns = suite_case("view columns");
    tcase_add_checked_fixture(columns, setup, story_end);
    tcase_add_test(columns, every_column_of_a_message);
    tcase_add_test(columns, a_message_looks_alike_from_its_fact_and_from_its_row);
    tcase_add_test(columns, every_column_of_a_room);
    tcase_add_test(columns, a_direct_room_names_the_other_one);
    tcase_add_test(columns, every_column_of_members_invitations_and_bans);
    tcase_add_test(columns, every_column_of_a_scheduled_message);
    tcase_add_test(columns, every_column_of_who_has_read_what);
    suite_add_tcase(suite, columns);
    return suite_run(suite);
}
