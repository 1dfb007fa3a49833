/* The rules of rooms, by tables: given these facts, when this command comes, then this fact or this rejection. */
#include <signal.h>

#include "tests/consumers/rooms_story.h"

static const struct uuid ann = ANN, lobby = LOBBY, message = MESSAGE;

static const struct rule_row rows[] = {
    { "a new room is created", { { 0 } }, CREATE(LOBBY, ANN, PUBLIC), ACCEPTED, ROOMS_ROOM_CREATED },
    { "a private room is created", { { 0 } }, CREATE(LOBBY, ANN, PRIVATE), ACCEPTED, ROOMS_ROOM_CREATED },
    { "a room is created once", { CREATED(LOBBY, ANN, PUBLIC) }, CREATE(LOBBY, ANN, PUBLIC), ROOM_EXISTS },
    { "a room's id is taken for others too",
      { CREATED(LOBBY, ANN, PRIVATE) },
      CREATE(LOBBY, BOB, PUBLIC),
      ROOM_EXISTS },
    { "another room's id is free",
      { CREATED(ATTIC, ANN, PUBLIC) },
      CREATE(LOBBY, ANN, PUBLIC),
      ACCEPTED,
      ROOMS_ROOM_CREATED },

    { "a public room may be joined",
      { CREATED(LOBBY, ANN, PUBLIC) },
      JOIN(LOBBY, BOB, BOB),
      ACCEPTED,
      ROOMS_MEMBER_JOINED },
    { "nobody joins a room that is not there", { { 0 } }, JOIN(LOBBY, BOB, BOB), ROOM_NOT_FOUND },
    { "a private room does not exist for strangers",
      { CREATED(LOBBY, ANN, PRIVATE) },
      JOIN(LOBBY, BOB, BOB),
      ROOM_NOT_FOUND },
    { "a direct room does not exist for strangers",
      { DIRECT_CREATED(LOBBY, ANN, CAT) },
      JOIN(LOBBY, BOB, BOB),
      ROOM_NOT_FOUND },
    { "nobody joins for another", { CREATED(LOBBY, ANN, PUBLIC) }, JOIN(LOBBY, ANN, BOB), FORBIDDEN_ACTOR },
    { "who joins for another learns nothing of a room", { { 0 } }, JOIN(LOBBY, ANN, BOB), FORBIDDEN_ACTOR },
    { "a member does not join again",
      { CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB) },
      JOIN(LOBBY, BOB, BOB),
      ALREADY_A_MEMBER },
    { "the creator is a member", { CREATED(LOBBY, ANN, PUBLIC) }, JOIN(LOBBY, ANN, ANN), ALREADY_A_MEMBER },
    { "the creator of a private room is a member",
      { CREATED(LOBBY, ANN, PRIVATE) },
      JOIN(LOBBY, ANN, ANN),
      ALREADY_A_MEMBER },

    { "the first message is number 1",
      { CREATED(LOBBY, ANN, PUBLIC) },
      POST(LOBBY, ANN),
      ACCEPTED,
      ROOMS_MESSAGE_POSTED,
      1 },
    { "numbers have no gap",
      { CREATED(LOBBY, ANN, PRIVATE), POSTED(LOBBY, ANN, 1), POSTED(LOBBY, ANN, 2) },
      POST(LOBBY, ANN),
      ACCEPTED,
      ROOMS_MESSAGE_POSTED,
      3 },
    { "each room counts for itself",
      { CREATED(LOBBY, ANN, PUBLIC), CREATED(ATTIC, ANN, PUBLIC), POSTED(ATTIC, ANN, 1), POSTED(ATTIC, ANN, 2) },
      POST(LOBBY, ANN),
      ACCEPTED,
      ROOMS_MESSAGE_POSTED,
      1 },
    { "joining takes no number",
      { CREATED(LOBBY, ANN, PUBLIC), POSTED(LOBBY, ANN, 1), JOINED(LOBBY, BOB) },
      POST(LOBBY, BOB),
      ACCEPTED,
      ROOMS_MESSAGE_POSTED,
      2 },
    { "nobody posts into a room that is not there", { { 0 } }, POST(LOBBY, ANN), ROOM_NOT_FOUND },
    { "a stranger does not post into a public room", { CREATED(LOBBY, ANN, PUBLIC) }, POST(LOBBY, BOB), NOT_A_MEMBER },
    { "a private room does not exist for who posts from outside",
      { CREATED(LOBBY, ANN, PRIVATE) },
      POST(LOBBY, BOB),
      ROOM_NOT_FOUND },
    { "a direct room does not exist for who posts from outside",
      { DIRECT_CREATED(LOBBY, ANN, CAT) },
      POST(LOBBY, BOB),
      ROOM_NOT_FOUND },
    { "a member of one room is a stranger in another",
      { CREATED(LOBBY, ANN, PUBLIC), CREATED(ATTIC, BOB, PUBLIC) },
      POST(LOBBY, BOB),
      NOT_A_MEMBER },

    { "a direct room has two people", { { 0 } }, OPEN_DIRECT(LOBBY, ANN, BOB), ACCEPTED, ROOMS_ROOM_CREATED },
    { "nobody talks to oneself", { { 0 } }, OPEN_DIRECT(LOBBY, ANN, ANN), COMMAND_INVALID },
    { "a direct room needs the other one", { { 0 } }, CREATE(LOBBY, ANN, DIRECT), COMMAND_INVALID },
    { "both are members", { DIRECT_CREATED(LOBBY, ANN, BOB) }, POST(LOBBY, BOB), ACCEPTED, ROOMS_MESSAGE_POSTED, 1 },
    { "a third one is none", { DIRECT_CREATED(LOBBY, ANN, BOB) }, POST(LOBBY, CAT), ROOM_NOT_FOUND },
    { "nobody leaves a direct room", { DIRECT_CREATED(LOBBY, ANN, BOB) }, LEAVE(LOBBY, BOB, BOB), DIRECT_ROOM },
    { "nobody changes one", { DIRECT_CREATED(LOBBY, ANN, BOB) }, CHANGE(LOBBY, ANN, TOPIC), DIRECT_ROOM },
    { "nobody is invited to one", { DIRECT_CREATED(LOBBY, ANN, BOB) }, INVITE(LOBBY, ANN, CAT), DIRECT_ROOM },

    { "an owner changes a room",
      { CREATED(LOBBY, ANN, PUBLIC) },
      CHANGE(LOBBY, ANN, NAME),
      ACCEPTED,
      ROOMS_ROOM_CHANGED,
      2 },
    { "an admin too",
      { CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB), BECAME(LOBBY, ANN, BOB, ADMIN) },
      CHANGE(LOBBY, BOB, TOPIC),
      ACCEPTED,
      ROOMS_ROOM_CHANGED,
      3 },
    { "a plain member does not",
      { CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB) },
      CHANGE(LOBBY, BOB, NAME),
      ROOM_ROLE_REQUIRED },
    { "the version that was seen is the room's",
      { CREATED(LOBBY, ANN, PUBLIC) },
      CHANGE(LOBBY, ANN, NAME, .expected_version = 1),
      ACCEPTED,
      ROOMS_ROOM_CHANGED,
      2 },
    { "the second of two admins at once is refused",
      { CREATED(LOBBY, ANN, PUBLIC), CHANGED(LOBBY, ANN, TOPIC) },
      CHANGE(LOBBY, ANN, NAME, .expected_version = 1),
      VERSION_CONFLICT },
    { "a change of nothing is none",
      { CREATED(LOBBY, ANN, PUBLIC) },
      CHANGE(LOBBY, ANN, NAME, .changed = { NULL, 0 }),
      COMMAND_INVALID },
    { "slow mode has an upper limit",
      { CREATED(LOBBY, ANN, PUBLIC) },
      CHANGE(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 21601),
      COMMAND_INVALID },
    { "messages live for a minute at least",
      { CREATED(LOBBY, ANN, PUBLIC) },
      CHANGE(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = 59),
      COMMAND_INVALID },
    { "nothing but opening changes an archived room",
      { CREATED(LOBBY, ANN, PUBLIC), CHANGED(LOBBY, ANN, ARCHIVED, .archived = true) },
      CHANGE(LOBBY, ANN, NAME),
      ROOM_ARCHIVED },
    { "an archived room is opened again",
      { CREATED(LOBBY, ANN, PUBLIC), CHANGED(LOBBY, ANN, ARCHIVED, .archived = true) },
      CHANGE(LOBBY, ANN, ARCHIVED),
      ACCEPTED,
      ROOMS_ROOM_CHANGED },
    { "nobody joins an archived room",
      { CREATED(LOBBY, ANN, PUBLIC), CHANGED(LOBBY, ANN, ARCHIVED, .archived = true) },
      JOIN(LOBBY, BOB, BOB),
      ROOM_ARCHIVED },

    { "an owner hands a room on",
      { CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB) },
      TRANSFER(LOBBY, ANN, BOB),
      ACCEPTED,
      ROOMS_ROOM_TRANSFERRED,
      2 },
    { "to members only", { CREATED(LOBBY, ANN, PUBLIC) }, TRANSFER(LOBBY, ANN, BOB), MEMBER_NOT_FOUND },
    { "not to oneself", { CREATED(LOBBY, ANN, PUBLIC) }, TRANSFER(LOBBY, ANN, ANN), MEMBER_NOT_FOUND },
    { "an admin does not own a room",
      { CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB), BECAME(LOBBY, ANN, BOB, ADMIN) },
      TRANSFER(LOBBY, BOB, BOB),
      ROOM_ROLE_REQUIRED },
    { "a transfer meets the version too",
      { CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB) },
      TRANSFER(LOBBY, ANN, BOB, .expected_version = 7),
      VERSION_CONFLICT },

    { "a command of no known type is refused", { { 0 } }, { 0 }, COMMAND_INVALID },
};

START_TEST(a_command_gives_what_its_row_says)
{
    check_row(&rows[_i]);
}
END_TEST

START_TEST(a_fact_says_what_its_command_said_and_keeps_the_ciphertext)
{
    struct rooms_state *s = rooms_state_create();
    const struct rooms_command create = CREATE(LOBBY, ANN, PRIVATE), post = POST(LOBBY, ANN);
    struct rooms_fact fact = { 0 };
    know_nothing(s, &create);
    ck_assert_int_eq(rooms_decide(s, (const struct any_record *)&create, (struct any_record *)&fact), ACCEPTED);
    ck_assert(uuid_equal(fact.room_created.room_id, lobby));
    ck_assert_int_eq(fact.room_created.kind, ROOM_KIND_PRIVATE);
    ck_assert_ptr_eq(fact.room_created.name.cipher.ptr, create.create_room.name.cipher.ptr);

    fact.meta.actor = ann;
    rooms_evolve(s, (const struct any_record *)&fact);
    fact = (struct rooms_fact){ 0 };
    ck_assert_int_eq(rooms_decide(s, (const struct any_record *)&post, (struct any_record *)&fact), ACCEPTED);
    ck_assert(uuid_equal(fact.message_posted.message_id, message));
    ck_assert(uuid_equal(fact.message_posted.room_id, lobby));
    ck_assert_ptr_eq(fact.message_posted.body.cipher.ptr, post.post_message.body.cipher.ptr);
    rooms_state_destroy(s);
}
END_TEST

START_TEST(to_decide_on_a_room_that_was_not_loaded_is_an_assertion_failure)
{
    const struct rooms_command post = POST(LOBBY, ANN);
    struct rooms_fact fact;
    struct rooms_state *s = rooms_state_create();
    (void)!rooms_decide(s, (const struct any_record *)&post, (struct any_record *)&fact);
}
END_TEST

START_TEST(to_decide_on_a_member_who_was_not_loaded_is_an_assertion_failure)
{
    const struct rooms_fact created = CREATED(LOBBY, ANN, PUBLIC);
    const struct rooms_command post = POST(LOBBY, BOB);
    struct rooms_fact fact;
    struct rooms_state *s = rooms_state_create();
    rooms_evolve(s, (const struct any_record *)&created);
    (void)!rooms_decide(s, (const struct any_record *)&post, (struct any_record *)&fact);
}
END_TEST

START_TEST(to_evolve_a_room_that_was_not_loaded_is_an_assertion_failure)
{
    const struct rooms_fact posted = POSTED(LOBBY, ANN, 7);
    rooms_evolve(rooms_state_create(), (const struct any_record *)&posted);
}
END_TEST

START_TEST(a_cleared_state_knows_nothing_and_can_be_filled_again)
{
    struct rooms_state *s = rooms_state_create();
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 5000; i++) {
            struct uuid room = { { 0 } };
            memcpy(&room, &i, sizeof i);
            rooms_state_claim_room(s, room)->last_seq = i;
            rooms_state_claim_member(s, room, ann);
        }
        ck_assert_uint_eq(rooms_state_size(s), 10000);
        for (uint32_t i = 0; i < 5000; i++) {
            struct uuid room = { { 0 } };
            memcpy(&room, &i, sizeof i);
            ck_assert_int_eq(rooms_state_room(s, room)->last_seq, i);
            ck_assert_int_eq(rooms_state_room(s, room)->presence, PRESENCE_UNKNOWN);
        }
        rooms_state_clear(s);
        ck_assert_uint_eq(rooms_state_size(s), 0);
        ck_assert_ptr_null(rooms_state_room(s, uuid_nil));
        ck_assert_ptr_null(rooms_state_member(s, uuid_nil, ann));
    }
    rooms_state_destroy(s);
    rooms_state_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rooms decide");
    TCase *rules = suite_case("rules");
    tcase_add_loop_test(rules, a_command_gives_what_its_row_says, 0, sizeof rows / sizeof *rows);
    tcase_add_test(rules, a_fact_says_what_its_command_said_and_keeps_the_ciphertext);
    tcase_add_test_raise_signal(rules, to_decide_on_a_room_that_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test_raise_signal(rules, to_decide_on_a_member_who_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test_raise_signal(rules, to_evolve_a_room_that_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test(rules, a_cleared_state_knows_nothing_and_can_be_filled_again);
    suite_add_tcase(suite, rules);
    return suite_run(suite);
}
