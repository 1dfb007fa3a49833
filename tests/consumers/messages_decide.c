/* The rules of messages, by tables: given these facts, when this command comes, then this fact or this rejection. */
#include "tests/consumers/rooms_story.h"

#define TALK     CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB), POSTED(LOBBY, BOB, 1)
#define ARCHIVE  CHANGED(LOBBY, ANN, ARCHIVED, .archived = true)
#define READER   BECAME(LOBBY, ANN, BOB, READ_ONLY)
#define THUMB    "\xF0\x9F\x91\x8D"
#define TOO_LONG "0123456789012345678901234567890123456789012345678901234567890123456789"

static const struct rule_row rows[] = {
    { "nobody posts into an archived room", { TALK, ARCHIVE }, POST(LOBBY, BOB), ROOM_ARCHIVED },
    { "who only reads does not post", { TALK, READER }, POST(LOBBY, BOB), READ_ONLY_MEMBER },
    { "a reply", { TALK }, POST(LOBBY, ANN, .reply_to = 1), ACCEPTED, ROOMS_MESSAGE_POSTED, 2 },
    { "a reply to nothing", { TALK }, POST(LOBBY, ANN, .reply_to = 2), MESSAGE_NOT_FOUND },
    { "a reply to what is gone", { TALK, DELETED(LOBBY, BOB, 1) }, POST(LOBBY, ANN, .reply_to = 1), MESSAGE_DELETED },
    { "slow mode lets one wait",
      { TALK,
        CHANGED(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 10),
        { ROOMS_MESSAGE_POSTED, .message_posted = { BY(BOB), .room_id = LOBBY, .seq = 2, .slow_until = NOW + 1 } } },
      POST(LOBBY, BOB),
      SLOW_MODE },
    { "and no longer",
      { TALK,
        CHANGED(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 10),
        { ROOMS_MESSAGE_POSTED, .message_posted = { BY(BOB), .room_id = LOBBY, .seq = 2, .slow_until = NOW } } },
      POST(LOBBY, BOB),
      ACCEPTED,
      ROOMS_MESSAGE_POSTED,
      3 },
    { "not the owner",
      { TALK,
        CHANGED(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 10),
        { ROOMS_MESSAGE_POSTED, .message_posted = { BY(ANN), .room_id = LOBBY, .seq = 2, .slow_until = NOW + 1 } } },
      POST(LOBBY, ANN),
      ACCEPTED,
      ROOMS_MESSAGE_POSTED,
      3 },

    { "who said it words it anew", { TALK }, EDIT(LOBBY, BOB, 1), ACCEPTED, ROOMS_MESSAGE_EDITED, 2 },
    { "and once more", { TALK, EDITED(LOBBY, BOB, 1, 2) }, EDIT(LOBBY, BOB, 1), ACCEPTED, ROOMS_MESSAGE_EDITED, 3 },
    { "nobody else does, not even the owner", { TALK }, EDIT(LOBBY, ANN, 1), NOT_THE_SENDER },
    { "an edit meets the version",
      { TALK, EDITED(LOBBY, BOB, 1, 2) },
      EDIT(LOBBY, BOB, 1, .expected_version = 1),
      VERSION_CONFLICT },
    { "what is deleted is not edited", { TALK, DELETED(LOBBY, BOB, 1) }, EDIT(LOBBY, BOB, 1), MESSAGE_DELETED },
    { "there is no such message", { TALK }, EDIT(LOBBY, BOB, 2), MESSAGE_NOT_FOUND },
    { "number and id name one message", { TALK }, EDIT(LOBBY, BOB, 1, .message_id = OTHER), MESSAGE_NOT_FOUND },
    { "who has left does not edit", { TALK, LEFT(LOBBY, BOB) }, EDIT(LOBBY, BOB, 1), NOT_A_MEMBER },

    { "who said it takes it back", { TALK }, DELETE(LOBBY, BOB, 1), ACCEPTED, ROOMS_MESSAGE_DELETED },
    { "a reply that is taken back is one fewer in its thread",
      { TALK, POSTED_IN(LOBBY, BOB, 2, 1) },
      DELETE(LOBBY, BOB, 2),
      ACCEPTED,
      ROOMS_MESSAGE_DELETED,
      1 },
    { "so does who moderates", { TALK }, DELETE(LOBBY, ANN, 1), ACCEPTED, ROOMS_MESSAGE_DELETED },
    { "another member does not", { TALK, JOINED(LOBBY, CAT) }, DELETE(LOBBY, CAT, 1), NOT_THE_SENDER },
    { "once", { TALK, DELETED(LOBBY, BOB, 1) }, DELETE(LOBBY, BOB, 1), MESSAGE_DELETED },
    { "not in an archived room", { TALK, ARCHIVE }, DELETE(LOBBY, BOB, 1), ROOM_ARCHIVED },
    { "but what has expired goes there too",
      { TALK, ARCHIVE, LEFT(LOBBY, BOB) },
      DELETE(LOBBY, BOB, 1, .expired = true),
      ACCEPTED,
      ROOMS_MESSAGE_DELETED },
    { "in the name of its sender", { TALK }, DELETE(LOBBY, ANN, 1, .expired = true), NOT_THE_SENDER },

    { "a member reacts", { TALK }, REACT(LOBBY, ANN, 1, THUMB), ACCEPTED, ROOMS_REACTION_ADDED },
    { "once with each emoji", { TALK, REACTED(LOBBY, ANN, 1, THUMB) }, REACT(LOBBY, ANN, 1, THUMB), ALREADY_REACTED },
    { "with others too",
      { TALK, REACTED(LOBBY, ANN, 1, THUMB) },
      REACT(LOBBY, ANN, 1, "x"),
      ACCEPTED,
      ROOMS_REACTION_ADDED },
    { "as do others",
      { TALK, REACTED(LOBBY, ANN, 1, THUMB) },
      REACT(LOBBY, BOB, 1, THUMB),
      ACCEPTED,
      ROOMS_REACTION_ADDED },
    { "no emoji is no reaction", { TALK }, REACT(LOBBY, ANN, 1, ""), COMMAND_INVALID },
    { "nor is a novel", { TALK }, REACT(LOBBY, ANN, 1, TOO_LONG), COMMAND_INVALID },
    { "nobody reacts to what is gone", { TALK, DELETED(LOBBY, BOB, 1) }, REACT(LOBBY, ANN, 1, THUMB), MESSAGE_DELETED },
    { "a reaction is taken back",
      { TALK, REACTED(LOBBY, ANN, 1, THUMB) },
      UNREACT(LOBBY, ANN, 1, THUMB),
      ACCEPTED,
      ROOMS_REACTION_REMOVED },
    { "one's own", { TALK, REACTED(LOBBY, ANN, 1, THUMB) }, UNREACT(LOBBY, BOB, 1, THUMB), REACTION_NOT_FOUND },

    { "who moderates pins", { TALK }, PIN(LOBBY, ANN, 1), ACCEPTED, ROOMS_MESSAGE_PINNED },
    { "a plain member does not", { TALK }, PIN(LOBBY, BOB, 1), ROOM_ROLE_REQUIRED },
    { "in a direct room both do",
      { DIRECT_CREATED(LOBBY, ANN, BOB), POSTED(LOBBY, ANN, 1) },
      PIN(LOBBY, BOB, 1),
      ACCEPTED,
      ROOMS_MESSAGE_PINNED },
    { "once", { TALK, PINNED(LOBBY, ANN, 1) }, PIN(LOBBY, ANN, 1), ALREADY_PINNED },
    { "a pin is taken off", { TALK, PINNED(LOBBY, ANN, 1) }, UNPIN(LOBBY, ANN, 1), ACCEPTED, ROOMS_MESSAGE_UNPINNED },
    { "where there is one", { TALK }, UNPIN(LOBBY, ANN, 1), NOT_PINNED },

    { "a message for later", { TALK }, SCHEDULE(LOBBY, BOB, NOW + 1), ACCEPTED, ROOMS_MESSAGE_SCHEDULED },
    { "is not for now", { TALK }, SCHEDULE(LOBBY, BOB, NOW), COMMAND_INVALID },
    { "nor for another life", { TALK }, SCHEDULE(LOBBY, BOB, NOW + 400LL * 24 * 3600 * 1000), COMMAND_INVALID },
    { "it is sent when its time has come",
      { TALK, SCHEDULED_FACT(LOBBY, BOB) },
      POST(LOBBY, BOB, .scheduled = true),
      ACCEPTED,
      ROOMS_MESSAGE_POSTED,
      2 },
    { "once",
      { TALK,
        SCHEDULED_FACT(LOBBY, BOB),
        { ROOMS_MESSAGE_POSTED,
          .message_posted = { BY(BOB), .room_id = LOBBY, .message_id = MESSAGE, .seq = 2, .scheduled = true } } },
      POST(LOBBY, BOB, .scheduled = true),
      SCHEDULED_NOT_FOUND },
    { "or not at all",
      { TALK, SCHEDULED_FACT(LOBBY, BOB) },
      CANCEL(LOBBY, BOB),
      ACCEPTED,
      ROOMS_SCHEDULED_MESSAGE_CANCELED },
    { "as who said it likes", { TALK, SCHEDULED_FACT(LOBBY, BOB) }, CANCEL(LOBBY, ANN), SCHEDULED_NOT_FOUND },
};

START_TEST(a_command_gives_what_its_row_says)
{
    check_row(&rows[_i]);
}
END_TEST

START_TEST(a_reply_to_a_reply_belongs_to_the_thread_that_it_answers)
{
    const struct rule_row row = { "a reply to a reply",
                                  { TALK, POSTED_IN(LOBBY, ANN, 2, 1) },
                                  POST(LOBBY, BOB, .reply_to = 2),
                                  ACCEPTED,
                                  ROOMS_MESSAGE_POSTED,
                                  3 };
    const struct rooms_fact fact = check_row(&row);
    ck_assert_int_eq(fact.message_posted.reply_to, 2);
    ck_assert_int_eq(fact.message_posted.thread, 1);
}
END_TEST

START_TEST(a_message_knows_when_it_ends_and_when_its_sender_may_go_on)
{
    const struct rule_row row = { "both at once",
                                  { TALK, CHANGED(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 10),
                                    CHANGED(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = 60) },
                                  POST(LOBBY, BOB),
                                  ACCEPTED,
                                  ROOMS_MESSAGE_POSTED,
                                  2 };
    const struct rooms_fact fact = check_row(&row);
    ck_assert_int_eq(fact.message_posted.expires_at, NOW + 60000);
    ck_assert_int_eq(fact.message_posted.slow_until, NOW + 10000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("messages decide");
    TCase *rules = suite_case("rules");
    tcase_add_loop_test(rules, a_command_gives_what_its_row_says, 0, sizeof rows / sizeof *rows);
    tcase_add_test(rules, a_reply_to_a_reply_belongs_to_the_thread_that_it_answers);
    tcase_add_test(rules, a_message_knows_when_it_ends_and_when_its_sender_may_go_on);
    suite_add_tcase(suite, rules);
    return suite_run(suite);
}
