/* What is due, on rows that the fold wrote. */
#include "consumers/messages/streams.h"
#include "consumers/users/streams.h"
#include "tests/consumers/story.h"

enum { PLACE = 7 }; /* the partition of all rooms but one */

static const int32_t owned[] = { PLACE };

static void setup(void)
{
    database_create(&db, (const struct worker_definition *const[]){ &users_definition, &messages_definition, NULL });
    arena_init(&arena, 0);
    position = 0;
    database_run(&db, "SET search_path = messages, public");
    for (int user = 1; user <= 9; user++)
        database_run(&db, arena_printf(&arena,
                                       "INSERT INTO users.accounts (user_id, username_index, email_index, roles, "
                                       "created_at, position) VALUES ('01000000-0000-0000-7500-00000000000%d', "
                                       "'u%d', 'e%d', '{user}', now(), 0)",
                                       user, user, user));
}

/* --- given facts --- */

static void fold_in(struct rooms_fact fact, int32_t partition)
{
    story_fold(&messages_definition, 0, (const struct any_record *)&fact, partition);
}

static void fold(struct rooms_fact fact)
{
    fold_in(fact, PLACE);
}

static struct meta by(int user)
{
    return (struct meta){ .actor = id('u', user), .at = NOON };
}

/* A room of everybody's. */
static void room_of(int owner)
{
    fold((struct rooms_fact){ ROOMS_ROOM_CREATED,
                              .room_created = { .meta = by(owner), .room_id = id('r', 1), .name = text("hall") } });
    for (int user = 1; user <= 9; user++)
        if (user != owner)
            fold((struct rooms_fact){
                ROOMS_MEMBER_JOINED,
                .member_joined = { .meta = by(user), .room_id = id('r', 1), .user_id = id('u', user) } });
}

static void slow_mode(int32_t seconds)
{
    static const enum room_field fields[] = { ROOM_FIELD_SLOW_MODE };
    fold((struct rooms_fact){
        ROOMS_ROOM_CHANGED,
        .room_changed = {
            .meta = by(1), .room_id = id('r', 1), .version = 2, .changed = { fields, 1 }, .slow_mode_s = seconds } });
}

static void scheduled_in(int message, int user, int64_t at, int32_t partition)
{
    fold_in((struct rooms_fact){ ROOMS_MESSAGE_SCHEDULED, .message_scheduled = { .meta = by(user),
                                                                                 .room_id = id('r', 1),
                                                                                 .message_id = id('m', message),
                                                                                 .body = text("later"),
                                                                                 .send_at = at } },
            partition);
}

static void scheduled(int message, int user, int64_t at)
{
    scheduled_in(message, user, at, PLACE);
}

static void posted(int user, int64_t seq, int message, int64_t slow_until)
{
    fold((struct rooms_fact){ ROOMS_MESSAGE_POSTED, .message_posted = { .meta = by(user),
                                                                        .room_id = id('r', 1),
                                                                        .message_id = id('m', message),
                                                                        .seq = seq,
                                                                        .body = text("now"),
                                                                        .scheduled = message > 0,
                                                                        .slow_until = slow_until } });
}

static void suspended(int user, const char *until)
{
    database_run(&db, arena_printf(&arena,
                                   "UPDATE users.accounts SET suspended_at = now(), suspended_until = %s WHERE user_id "
                                   "= '01000000-0000-0000-7500-00000000000%d'",
                                   until, user));
}

static void decided(int message, int rejection)
{
    char text[UUID_TEXT_LEN + 1];
    uuid_format(uuid_v5(id('m', message), STR("send")), text);
    database_run(&db,
                 arena_printf(&arena,
                              "INSERT INTO messages.operations VALUES ('%s', '%s', %d, 'rooms', 7, 1, '', '', now())",
                              text, text, rejection));
}

/* --- what is due --- */

static struct any_record **commands;
static size_t count;

/* What is due at this time: "post 3 withhold 4 cancel 5 expire 6", by the messages' numbers. */
static const char *due_at(int64_t now_ms)
{
    struct buf out = { 0 };
    ck_assert_int_eq(rooms_due(db.pg, &arena, owned, 1, now_ms, &commands, &count), OK);
    for (size_t i = 0; i < count; i++) {
        const struct rooms_command *c = (const struct rooms_command *)commands[i];
        const char *what = c->type == ROOMS_CANCEL_SCHEDULED_MESSAGE ? "cancel"
                           : c->type == ROOMS_DELETE_MESSAGE         ? "expire"
                           : c->post_message.suspended               ? "withhold"
                                                                     : "post";
        const struct uuid message = c->type == ROOMS_CANCEL_SCHEDULED_MESSAGE ? c->cancel_scheduled_message.message_id
                                    : c->type == ROOMS_DELETE_MESSAGE         ? c->delete_message.message_id
                                                                              : c->post_message.message_id;
        buf_printf(&out, "%s%s %d", i ? " " : "", what, message.bytes[14] << 8 | message.bytes[15]);
        ck_assert_int_eq(c->meta.at, now_ms);
        ck_assert(uuid_equal(c->meta.id, c->meta.command_id));
    }
    buf_char(&out, '\0');
    const char *text = arena_printf(&arena, "%s", out.ptr);
    buf_finish(&out);
    return text;
}

START_TEST(a_message_is_due_from_its_time_on_and_says_what_was_scheduled)
{
    room_of(1);
    const struct uuid named[] = { id('u', 3), id('u', 4) };
    fold((struct rooms_fact){ ROOMS_MESSAGE_SCHEDULED, .message_scheduled = { .meta = by(2),
                                                                              .room_id = id('r', 1),
                                                                              .message_id = id('m', 1),
                                                                              .body = text("later"),
                                                                              .reply_to = 5,
                                                                              .mentions = { named, 2 },
                                                                              .mentions_room = true,
                                                                              .send_at = NOON + 1000 } });
    scheduled_in(2, 2, NOON, PLACE + 1); /* somebody else's to send */
    ck_assert_str_eq(due_at(NOON + 999), "");
    ck_assert_str_eq(due_at(NOON + 1000), "post 1");
    const struct post_message *c = &((const struct rooms_command *)commands[0])->post_message;
    ck_assert(c->scheduled && !c->suspended && c->mentions_room && c->reply_to == 5);
    ck_assert(uuid_equal(c->room_id, id('r', 1)) && uuid_equal(c->meta.actor, id('u', 2)));
    ck_assert(str_equal(c->body.clear, STR("later")));
    ck_assert(c->mentions.count == 2 && uuid_equal(c->mentions.items[1], id('u', 4)));
    ck_assert(uuid_equal(c->meta.id, uuid_v5(id('m', 1), STR("send"))));
}
END_TEST

START_TEST(people_take_turns)
{
    room_of(1);
    for (int message = 1; message <= 600; message++)
        scheduled(message, 2, NOON + message);
    scheduled(701, 3, NOON + 2000);
    scheduled(702, 3, NOON + 2001);
    scheduled(703, 4, NOON + 2002);
    const char *due = due_at(NOON + 5000);
    ck_assert_uint_eq(count, 500);
    ck_assert_msg(strncmp(due, "post 1 post 701 post 703 post 2 post 702 post 3 post 4 ", 55) == 0, "%.100s", due);
}
END_TEST

START_TEST(in_slow_mode_what_is_late_goes_one_at_a_time)
{
    room_of(1);
    scheduled(1, 2, NOON + 1);
    scheduled(2, 2, NOON + 2);
    scheduled(3, 1, NOON + 1); /* who moderates is not slowed */
    scheduled(4, 1, NOON + 2);
    scheduled(5, 3, NOON + 3);
    ck_assert_str_eq(due_at(NOON + 10), "post 1 post 3 post 5 post 2 post 4");
    slow_mode(60);
    ck_assert_str_eq(due_at(NOON + 10), "post 1 post 3 post 5 post 4");
    posted(2, 1, 1, NOON + 60010);
    ck_assert_str_eq(due_at(NOON + 60009), "post 3 post 5 post 4");
    ck_assert_str_eq(due_at(NOON + 60010), "post 3 post 2 post 5 post 4");
    slow_mode(0);
    ck_assert_str_eq(due_at(NOON + 11), "post 3 post 2 post 5 post 4");
}
END_TEST

START_TEST(that_of_a_suspended_person_is_withheld_once)
{
    room_of(1);
    scheduled(1, 2, NOON);
    scheduled(2, 3, NOON);
    scheduled(3, 4, NOON);
    suspended(2, "NULL");
    suspended(3, "'2026-01-01T12:00:00.123Z'::timestamptz"); /* NOON: it is over */
    suspended(4, "'2026-01-01T12:00:00.124Z'::timestamptz");
    ck_assert_str_eq(due_at(NOON), "withhold 1 post 2 withhold 3");
    fold((struct rooms_fact){
        ROOMS_SCHEDULED_MESSAGE_WITHHELD,
        .scheduled_message_withheld = { .meta = by(2), .room_id = id('r', 1), .message_id = id('m', 1) } });
    decided(1, ACCEPTED);
    database_run(&db, "UPDATE users.accounts SET suspended_at = NULL");
    ck_assert_str_eq(due_at(NOON + 1), "post 2 post 3");
}
END_TEST

START_TEST(of_a_sender_of_whom_nothing_is_known_nothing_is_sent_yet)
{
    room_of(1);
    scheduled(1, 2, NOON);
    scheduled(2, 3, NOON);
    database_run(&db, "DELETE FROM users.accounts WHERE username_index = 'u2'");
    ck_assert_str_eq(due_at(NOON), "post 2");
    fold((struct rooms_fact){ ROOMS_MESSAGE_POSTED, .message_posted = { .meta = by(5),
                                                                        .room_id = id('r', 1),
                                                                        .message_id = id('m', 9),
                                                                        .seq = 1,
                                                                        .body = text("x"),
                                                                        .expires_at = NOON } });
    database_run(&db, "DROP SCHEMA users CASCADE"); /* it is being made anew */
    ck_assert_str_eq(due_at(NOON), "expire 9");
}
END_TEST

START_TEST(what_was_refused_is_taken_from_the_list_and_what_was_accepted_or_held_up_is_not)
{
    room_of(1);
    for (int message = 1; message <= 4; message++)
        scheduled(message, 1 + message, NOON + message);
    decided(1, NOT_A_MEMBER);
    decided(2, ACCEPTED); /* its fact is folded in a moment */
    decided(3, AGGREGATE_PARKED);
    ck_assert_str_eq(due_at(NOON + 9), "cancel 1 post 2 post 3 post 4");
    const struct rooms_command *cancel = (const struct rooms_command *)commands[0];
    ck_assert(uuid_equal(cancel->meta.id, uuid_v5(id('m', 1), STR("cancel"))));
    ck_assert(uuid_equal(cancel->meta.actor, id('u', 2)));
    ck_assert(uuid_equal(cancel->cancel_scheduled_message.room_id, id('r', 1)));
}
END_TEST

START_TEST(a_room_with_a_parked_fact_waits)
{
    room_of(1);
    scheduled(1, 2, NOON);
    database_run(&db, "INSERT INTO messages.parked VALUES ('rooms.events', 7, 1, "
                      "'01000000-0000-0000-7200-000000000001', true, '', '')");
    ck_assert_str_eq(due_at(NOON), "");
    database_run(&db, "UPDATE messages.parked SET blocks = false");
    ck_assert_str_eq(due_at(NOON), "post 1");
}
END_TEST

START_TEST(that_of_an_erased_person_is_canceled_since_it_cannot_be_said)
{
    room_of(1);
    scheduled(1, 2, NOON);
    ck_assert_str_eq(due_at(NOON), "post 1");
    ck_assert(rooms_due_of_erased(commands[0]));
    const struct rooms_command *c = (const struct rooms_command *)commands[0];
    ck_assert_int_eq(c->type, ROOMS_CANCEL_SCHEDULED_MESSAGE);
    ck_assert(uuid_equal(c->meta.id, uuid_v5(id('m', 1), STR("cancel"))) && c->meta.at == NOON);
    ck_assert(uuid_equal(c->meta.actor, id('u', 2)));
    ck_assert(uuid_equal(c->cancel_scheduled_message.room_id, id('r', 1)));
    ck_assert(uuid_equal(c->cancel_scheduled_message.message_id, id('m', 1)));
    ck_assert_msg(!rooms_due_of_erased(commands[0]), "which has nothing that is sealed");
}
END_TEST

START_TEST(what_expires_is_due_at_its_time_in_the_name_of_its_sender)
{
    room_of(1);
    for (int64_t seq = 1; seq <= 2; seq++)
        fold((struct rooms_fact){ ROOMS_MESSAGE_POSTED, .message_posted = { .meta = by(2),
                                                                            .room_id = id('r', 1),
                                                                            .message_id = id('m', (int)seq),
                                                                            .seq = seq,
                                                                            .body = text("x"),
                                                                            .expires_at = NOON + 10 * seq } });
    ck_assert_str_eq(due_at(NOON + 9), "");
    ck_assert_str_eq(due_at(NOON + 10), "expire 1");
    ck_assert_str_eq(due_at(NOON + 20), "expire 1 expire 2");
    const struct rooms_command *c = (const struct rooms_command *)commands[1];
    ck_assert(c->delete_message.expired && c->delete_message.seq == 2);
    ck_assert(uuid_equal(c->meta.actor, id('u', 2)) && uuid_equal(c->meta.id, uuid_v5(id('m', 2), STR("expire"))));
    fold((struct rooms_fact){
        ROOMS_MESSAGE_DELETED,
        .message_deleted = { .meta = by(2), .room_id = id('r', 1), .message_id = id('m', 1), .seq = 1 } });
    ck_assert_str_eq(due_at(NOON + 20), "expire 2");
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("due");
    TCase *due = suite_case("due");
    tcase_add_checked_fixture(due, setup, story_end);
    tcase_add_test(due, a_message_is_due_from_its_time_on_and_says_what_was_scheduled);
    tcase_add_test(due, people_take_turns);
    tcase_add_test(due, in_slow_mode_what_is_late_goes_one_at_a_time);
    tcase_add_test(due, that_of_a_suspended_person_is_withheld_once);
    tcase_add_test(due, of_a_sender_of_whom_nothing_is_known_nothing_is_sent_yet);
    tcase_add_test(due, what_was_refused_is_taken_from_the_list_and_what_was_accepted_or_held_up_is_not);
    tcase_add_test(due, a_room_with_a_parked_fact_waits);
    tcase_add_test(due, that_of_an_erased_person_is_canceled_since_it_cannot_be_said);
    tcase_add_test(due, what_expires_is_due_at_its_time_in_the_name_of_its_sender);
    suite_add_tcase(suite, due);
    return suite_run(suite);
}
