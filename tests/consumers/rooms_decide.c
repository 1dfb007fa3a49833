/* The rules of rooms, by tables: given these facts, when this command comes, then this fact or this rejection. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "consumers/messages/decide.h"

#define ANN                                                                                                            \
    {                                                                                                                  \
        {                                                                                                              \
            0xA1                                                                                                       \
        }                                                                                                              \
    }
#define BOB                                                                                                            \
    {                                                                                                                  \
        {                                                                                                              \
            0xB0                                                                                                       \
        }                                                                                                              \
    }
#define LOBBY                                                                                                          \
    {                                                                                                                  \
        {                                                                                                              \
            0x10                                                                                                       \
        }                                                                                                              \
    }
#define ATTIC                                                                                                          \
    {                                                                                                                  \
        {                                                                                                              \
            0x20                                                                                                       \
        }                                                                                                              \
    }
#define MESSAGE                                                                                                        \
    {                                                                                                                  \
        {                                                                                                              \
            0x30                                                                                                       \
        }                                                                                                              \
    }
#define GIVEN 6

static const struct uuid ann = ANN, lobby = LOBBY, message = MESSAGE;

#define CREATED(room, by, how)                                                                                         \
    {                                                                                                                  \
        ROOMS_ROOM_CREATED, .room_created = {.meta = { .actor = by }, .room_id = room, .kind = ROOM_KIND_##how }       \
    }
#define JOINED(room, who)                                                                                              \
    {                                                                                                                  \
        ROOMS_MEMBER_JOINED, .member_joined = {.meta = { .actor = who }, .room_id = room, .user_id = who }             \
    }
#define POSTED(room, by, number)                                                                                       \
    {                                                                                                                  \
        ROOMS_MESSAGE_POSTED, .message_posted = {.meta = { .actor = by }, .room_id = room, .seq = number }             \
    }

#define CREATE(room, by, how)                                                                                          \
    {                                                                                                                  \
        ROOMS_CREATE_ROOM, .create_room = {                                                                            \
            .meta = { .actor = by },                                                                                   \
            .room_id = room,                                                                                           \
            .name = TEXT,                                                                                              \
            .kind = ROOM_KIND_##how                                                                                    \
        }                                                                                                              \
    }
#define JOIN(room, by, who)                                                                                            \
    {                                                                                                                  \
        ROOMS_JOIN_ROOM, .join_room = {.meta = { .actor = by }, .room_id = room, .user_id = who }                      \
    }
#define POST(room, by)                                                                                                 \
    {                                                                                                                  \
        ROOMS_POST_MESSAGE, .post_message = {                                                                          \
            .meta = { .actor = by },                                                                                   \
            .room_id = room,                                                                                           \
            .message_id = MESSAGE,                                                                                     \
            .body = TEXT                                                                                               \
        }                                                                                                              \
    }
#define TEXT                                                                                                           \
    {                                                                                                                  \
        .cipher = { "sealed", 6 }                                                                                      \
    }

static const struct row {
    const char *sentence;
    struct rooms_fact given[GIVEN]; /* ended by type 0 */
    struct rooms_command when;
    int then;    /* rejection, or ACCEPTED and … */
    int type;    /* … this fact, */
    int64_t seq; /* … with this number */
} rows[] = {
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
      { CREATED(LOBBY, ANN, DIRECT) },
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
      { CREATED(LOBBY, ANN, DIRECT) },
      POST(LOBBY, BOB),
      ROOM_NOT_FOUND },
    { "a member of one room is a stranger in another",
      { CREATED(LOBBY, ANN, PUBLIC), CREATED(ATTIC, BOB, PUBLIC) },
      POST(LOBBY, BOB),
      NOT_A_MEMBER },

    { "a command of no known type is refused", { { 0 } }, { 0 }, COMMAND_INVALID },
};

/* What load would do on an empty database. */
static void know(struct rooms_state *s, const struct rooms_command *c)
{
    if (!c->type)
        return;
    struct room *room = rooms_state_claim_room(s, c->create_room.room_id);
    if (room->presence == PRESENCE_UNKNOWN)
        room->presence = PRESENCE_ABSENT;
    struct uuid who = c->type == ROOMS_JOIN_ROOM ? c->join_room.user_id : c->meta.actor;
    struct member *member = rooms_state_claim_member(s, room->id, who);
    if (member->presence == PRESENCE_UNKNOWN)
        member->presence = PRESENCE_ABSENT;
}

START_TEST(a_command_gives_what_its_row_says)
{
    const struct row *row = &rows[_i];
    struct rooms_state *s = rooms_state_create();
    for (size_t i = 0; i < GIVEN && row->given[i].type; i++)
        rooms_evolve(s, (const struct any_record *)&row->given[i]);
    know(s, &row->when);

    struct rooms_fact fact = { 0 };
    const int got = rooms_decide(s, (const struct any_record *)&row->when, (struct any_record *)&fact);
    ck_assert_msg(got == row->then, "%s: got rejection %d, not %d", row->sentence, got, row->then);
    if (got == ACCEPTED) {
        ck_assert_msg(fact.type == row->type, "%s: got fact %d", row->sentence, fact.type);
        if (row->type == ROOMS_MESSAGE_POSTED)
            ck_assert_msg(fact.message_posted.seq == row->seq, "%s: got number %lld", row->sentence,
                          (long long)fact.message_posted.seq);
    } else {
        ck_assert_msg(fact.type == 0, "%s: rejected, yet a fact was written", row->sentence);
    }
    rooms_state_destroy(s);
}
END_TEST

START_TEST(a_fact_says_what_its_command_said_and_keeps_the_ciphertext)
{
    struct rooms_state *s = rooms_state_create();
    const struct rooms_command create = CREATE(LOBBY, ANN, PRIVATE), post = POST(LOBBY, ANN);
    struct rooms_fact fact = { 0 };
    know(s, &create);
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
    TCase *rules = tcase_create("rules");
    tcase_add_loop_test(rules, a_command_gives_what_its_row_says, 0, sizeof rows / sizeof *rows);
    tcase_add_test(rules, a_fact_says_what_its_command_said_and_keeps_the_ciphertext);
    tcase_add_test_raise_signal(rules, to_decide_on_a_room_that_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test_raise_signal(rules, to_decide_on_a_member_who_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test_raise_signal(rules, to_evolve_a_room_that_was_not_loaded_is_an_assertion_failure, SIGABRT);
    tcase_add_test(rules, a_cleared_state_knows_nothing_and_can_be_filled_again);
    suite_add_tcase(suite, rules);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
