/* Where a rule of rooms has a bound: at it a command is accepted, one beyond it is refused. */
#include "tests/consumers/rooms_story.h"

#define OPEN      CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB)
#define TALK      OPEN, POSTED(LOBBY, BOB, 1)
#define DAY_MS    (24LL * 3600 * 1000)
#define YEAR_MS   (366 * DAY_MS)
#define SLOWLY    CHANGED(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 10)
#define EMOJI_64  "0123456789012345678901234567890123456789012345678901234567890123"
#define NO(why)   why, 0
#define YES(what) ACCEPTED, ROOMS_##what

static const struct rule_row rows[] = {
    { "slow mode of no time", { OPEN }, CHANGE(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 0), YES(ROOM_CHANGED) },
    { "… of less", { OPEN }, CHANGE(LOBBY, ANN, SLOW_MODE, .slow_mode_s = -1), NO(COMMAND_INVALID) },
    { "… of six hours", { OPEN }, CHANGE(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 21600), YES(ROOM_CHANGED) },
    { "… of more", { OPEN }, CHANGE(LOBBY, ANN, SLOW_MODE, .slow_mode_s = 21601), NO(COMMAND_INVALID) },
    { "no time to live", { OPEN }, CHANGE(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = 0), YES(ROOM_CHANGED) },
    { "… less than none", { OPEN }, CHANGE(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = -1), NO(COMMAND_INVALID) },
    { "… of a second", { OPEN }, CHANGE(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = 1), NO(COMMAND_INVALID) },
    { "… of less than a minute",
      { OPEN },
      CHANGE(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = 59),
      NO(COMMAND_INVALID) },
    { "… of a minute", { OPEN }, CHANGE(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = 60), YES(ROOM_CHANGED) },
    { "… of a year", { OPEN }, CHANGE(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = YEAR_MS / 1000), YES(ROOM_CHANGED) },
    { "… of more",
      { OPEN },
      CHANGE(LOBBY, ANN, TIME_TO_LIVE, .time_to_live_s = YEAR_MS / 1000 + 1),
      NO(COMMAND_INVALID) },
    { "an archived room is opened with nothing beside it",
      { OPEN, CHANGED(LOBBY, ANN, ARCHIVED, .archived = true) },
      CHANGE(LOBBY, ANN, ARCHIVED, .changed = { &fields[ROOM_FIELD_TIME_TO_LIVE], 2 }),
      NO(ROOM_ARCHIVED) },
    { "an open one may be archived with something beside it",
      { OPEN },
      CHANGE(LOBBY, ANN, ARCHIVED, .changed = { &fields[ROOM_FIELD_TIME_TO_LIVE], 2 }, .archived = true),
      YES(ROOM_CHANGED) },
    { "an archived one is not archived again",
      { OPEN, CHANGED(LOBBY, ANN, ARCHIVED, .archived = true) },
      CHANGE(LOBBY, ANN, ARCHIVED, .archived = true),
      NO(ROOM_ARCHIVED) },

    { "an owner leaves alone", { CREATED(LOBBY, ANN, PUBLIC) }, LEAVE(LOBBY, ANN, ANN), YES(MEMBER_LEFT) },
    { "… not one other", { OPEN }, LEAVE(LOBBY, ANN, ANN), NO(OWNER_MUST_TRANSFER) },
    { "… not two", { OPEN, JOINED(LOBBY, CAT) }, LEAVE(LOBBY, ANN, ANN), NO(OWNER_MUST_TRANSFER) },
    { "a ban ends in a moment", { OPEN }, BAN(LOBBY, ANN, BOB, NOW + 1), YES(MEMBER_BANNED) },
    { "… not now", { OPEN }, BAN(LOBBY, ANN, BOB, NOW), NO(COMMAND_INVALID) },
    { "a ban that ends in a moment keeps out",
      { OPEN, BANNED_UNTIL(LOBBY, ANN, CAT, NOW + 1) },
      JOIN(LOBBY, CAT, CAT),
      NO(BANNED) },
    { "… and who is kept out is not invited",
      { OPEN, BANNED_UNTIL(LOBBY, ANN, CAT, NOW + 1) },
      INVITE(LOBBY, ANN, CAT),
      NO(BANNED) },
    { "one that ends now does not",
      { OPEN, BANNED_UNTIL(LOBBY, ANN, CAT, NOW) },
      JOIN(LOBBY, CAT, CAT),
      YES(MEMBER_JOINED) },
    { "… and they may be invited",
      { OPEN, BANNED_UNTIL(LOBBY, ANN, CAT, NOW) },
      INVITE(LOBBY, ANN, CAT),
      YES(MEMBER_INVITED) },
    { "a ban takes the invitation: after it ends nobody comes in by it",
      { CREATED(LOBBY, ANN, PRIVATE), INVITED(LOBBY, ANN, BOB), BANNED_UNTIL(LOBBY, ANN, BOB, NOW) },
      JOIN(LOBBY, BOB, BOB),
      NO(ROOM_NOT_FOUND) },
    { "an admin's own rank is not given",
      { OPEN, JOINED(LOBBY, CAT), BECAME(LOBBY, ANN, BOB, ADMIN) },
      ROLE(LOBBY, BOB, CAT, ADMIN),
      NO(ROOM_ROLE_REQUIRED) },
    { "the rank below it is",
      { OPEN, JOINED(LOBBY, CAT), BECAME(LOBBY, ANN, BOB, ADMIN) },
      ROLE(LOBBY, BOB, CAT, MEMBER),
      YES(ROLE_CHANGED) },

    { "slow mode ends when it says",
      { TALK, SLOWLY, SLOWED(LOBBY, BOB, 2, NOW) },
      POST(LOBBY, BOB),
      YES(MESSAGE_POSTED) },
    { "… not before", { TALK, SLOWLY, SLOWED(LOBBY, BOB, 2, NOW + 1) }, POST(LOBBY, BOB), NO(SLOW_MODE) },
    { "one that is off holds nobody up",
      { TALK, SLOWED(LOBBY, BOB, 2, NOW + 1) },
      POST(LOBBY, BOB),
      YES(MESSAGE_POSTED) },
    { "an emoji of 64 bytes", { TALK }, REACT(LOBBY, BOB, 1, EMOJI_64), YES(REACTION_ADDED) },
    { "… of 65", { TALK }, REACT(LOBBY, BOB, 1, EMOJI_64 "x"), NO(COMMAND_INVALID) },
    { "… of none", { TALK }, REACT(LOBBY, BOB, 1, ""), NO(COMMAND_INVALID) },
    { "… that is not text", { TALK }, REACT(LOBBY, BOB, 1, "a\0b"), NO(COMMAND_INVALID) },

    { "scheduled for the next moment", { TALK }, SCHEDULE(LOBBY, BOB, NOW + 1), YES(MESSAGE_SCHEDULED) },
    { "… for now", { TALK }, SCHEDULE(LOBBY, BOB, NOW), NO(COMMAND_INVALID) },
    { "… for in a year", { TALK }, SCHEDULE(LOBBY, BOB, NOW + YEAR_MS), YES(MESSAGE_SCHEDULED) },
    { "… for later", { TALK }, SCHEDULE(LOBBY, BOB, NOW + YEAR_MS + 1), NO(COMMAND_INVALID) },
    { "… as an answer to the newest message",
      { TALK },
      SCHEDULE(LOBBY, BOB, NOW + 1, .reply_to = 1),
      YES(MESSAGE_SCHEDULED) },
    { "… to the next one", { TALK }, SCHEDULE(LOBBY, BOB, NOW + 1, .reply_to = 2), NO(MESSAGE_NOT_FOUND) },
    { "… to one before the first", { TALK }, SCHEDULE(LOBBY, BOB, NOW + 1, .reply_to = -1), NO(MESSAGE_NOT_FOUND) },
};

START_TEST(a_command_gives_what_its_row_says)
{
    check_row(&rows[_i]);
}
END_TEST

/* At the bound that is on its way in the command. */
#define MANY 20

START_TEST(a_message_takes_twenty_emojis_and_five_of_a_person)
{
    static const struct uuid lobby = LOBBY, message = MESSAGE;
    static const struct rooms_fact given[] = { OPEN, POSTED(LOBBY, BOB, 1) };
    struct rooms_state *s = rooms_state_create();
    struct rooms_command react = REACT(LOBBY, BOB, 1, "x");
    know_nothing(s, &react);
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        rooms_evolve(s, (const struct any_record *)&given[i]);
    for (int i = 0; i <= MANY; i++) {
        char emoji[2] = { (char)('a' + i) };
        const struct uuid person = ID((uint8_t)(1 + i / 5));
        react.meta.actor = person;
        react.add_reaction.emoji = str_of(emoji);
        rooms_state_claim_member(s, lobby, person)->presence = PRESENCE_PRESENT;
        know_nothing(s, &react);
        struct rooms_fact fact = { 0 };
        const int got = rooms_decide(s, (const struct any_record *)&react, (struct any_record *)&fact);
        ck_assert_msg(got == (i < MANY ? ACCEPTED : TOO_MANY_EMOJIS), "the emoji %d: %d", i, got);
        if (got != ACCEPTED)
            break;
        fact.meta = react.meta;
        rooms_evolve(s, (const struct any_record *)&fact);
        if (i % 5 == 4) {
            react.add_reaction.emoji = STR("?");
            know_nothing(s, &react);
            ck_assert_int_eq(rooms_decide(s, (const struct any_record *)&react, (struct any_record *)&fact),
                             TOO_MANY_REACTIONS);
        }
    }
    ck_assert(uuid_equal(message, react.add_reaction.message_id));
    rooms_state_destroy(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("boundaries of rooms");
    TCase *rules = suite_case("rules");
    tcase_add_loop_test(rules, a_command_gives_what_its_row_says, 0, sizeof rows / sizeof *rows);
    tcase_add_test(rules, a_message_takes_twenty_emojis_and_five_of_a_person);
    suite_add_tcase(suite, rules);
    return suite_run(suite);
}
