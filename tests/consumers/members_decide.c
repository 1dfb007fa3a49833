/* The rules of members, by tables: given these facts, when this command comes, then this fact or this rejection. */
#include "tests/consumers/rooms_story.h"

#define CLUB  CREATED(LOBBY, ANN, PRIVATE), JOINED(LOBBY, BOB), JOINED(LOBBY, CAT)
#define STAFF CLUB, BECAME(LOBBY, ANN, BOB, ADMIN)

static const struct rule_row rows[] = {
    { "who joins starts behind the newest message",
      { CREATED(LOBBY, ANN, PUBLIC), POSTED(LOBBY, ANN, 1), POSTED(LOBBY, ANN, 2) },
      JOIN(LOBBY, BOB, BOB),
      ACCEPTED,
      ROOMS_MEMBER_JOINED,
      2 },
    { "who is invited joins a private room",
      { CREATED(LOBBY, ANN, PRIVATE), INVITED(LOBBY, ANN, BOB) },
      JOIN(LOBBY, BOB, BOB),
      ACCEPTED,
      ROOMS_MEMBER_JOINED },
    { "an invitation is used up",
      { CREATED(LOBBY, ANN, PRIVATE), INVITED(LOBBY, ANN, BOB), JOINED(LOBBY, BOB), LEFT(LOBBY, BOB) },
      JOIN(LOBBY, BOB, BOB),
      ROOM_NOT_FOUND },
    { "who is banned does not join",
      { CREATED(LOBBY, ANN, PUBLIC), BANNED_UNTIL(LOBBY, ANN, BOB, 0) },
      JOIN(LOBBY, BOB, BOB),
      BANNED },
    { "a ban ends",
      { CREATED(LOBBY, ANN, PUBLIC), BANNED_UNTIL(LOBBY, ANN, BOB, NOW) },
      JOIN(LOBBY, BOB, BOB),
      ACCEPTED,
      ROOMS_MEMBER_JOINED },
    { "and not before its time",
      { CREATED(LOBBY, ANN, PUBLIC), BANNED_UNTIL(LOBBY, ANN, BOB, NOW + 1) },
      JOIN(LOBBY, BOB, BOB),
      BANNED },

    { "a member leaves", { CLUB }, LEAVE(LOBBY, BOB, BOB), ACCEPTED, ROOMS_MEMBER_LEFT },
    { "nobody leaves for another", { CLUB }, LEAVE(LOBBY, ANN, BOB), FORBIDDEN_ACTOR },
    { "a stranger has nothing to leave", { CLUB }, LEAVE(LOBBY, DAN, DAN), ROOM_NOT_FOUND },
    { "an owner does not leave the others alone", { CLUB }, LEAVE(LOBBY, ANN, ANN), OWNER_MUST_TRANSFER },
    { "the last one may leave",
      { CLUB, LEFT(LOBBY, BOB), LEFT(LOBBY, CAT) },
      LEAVE(LOBBY, ANN, ANN),
      ACCEPTED,
      ROOMS_MEMBER_LEFT },
    { "who has left does not post",
      { CREATED(LOBBY, ANN, PUBLIC), JOINED(LOBBY, BOB), LEFT(LOBBY, BOB) },
      POST(LOBBY, BOB),
      NOT_A_MEMBER },

    { "an owner makes an admin", { CLUB }, ROLE(LOBBY, ANN, BOB, ADMIN), ACCEPTED, ROOMS_ROLE_CHANGED, 2 },
    { "and nobody an owner", { CLUB }, ROLE(LOBBY, ANN, BOB, OWNER), ROOM_ROLE_REQUIRED },
    { "an admin makes somebody read only",
      { STAFF },
      ROLE(LOBBY, BOB, CAT, READ_ONLY),
      ACCEPTED,
      ROOMS_ROLE_CHANGED,
      3 },
    { "and no admin", { STAFF }, ROLE(LOBBY, BOB, CAT, ADMIN), ROOM_ROLE_REQUIRED },
    { "an admin has no say over the owner", { STAFF }, ROLE(LOBBY, BOB, ANN, MEMBER), ROOM_ROLE_REQUIRED },
    { "nor over another admin",
      { STAFF, BECAME(LOBBY, ANN, CAT, ADMIN) },
      ROLE(LOBBY, BOB, CAT, MEMBER),
      ROOM_ROLE_REQUIRED },
    { "nor over oneself", { STAFF }, ROLE(LOBBY, BOB, BOB, MEMBER), ROOM_ROLE_REQUIRED },
    { "a plain member gives no roles", { CLUB }, ROLE(LOBBY, BOB, CAT, READ_ONLY), ROOM_ROLE_REQUIRED },
    { "a stranger has no role", { CLUB }, ROLE(LOBBY, ANN, DAN, MEMBER), MEMBER_NOT_FOUND },
    { "a role meets the version", { STAFF }, ROLE(LOBBY, ANN, CAT, ADMIN, .expected_version = 1), VERSION_CONFLICT },

    { "a member invites", { CLUB }, INVITE(LOBBY, BOB, DAN), ACCEPTED, ROOMS_MEMBER_INVITED },
    { "who only reads does not",
      { CLUB, BECAME(LOBBY, ANN, BOB, READ_ONLY) },
      INVITE(LOBBY, BOB, DAN),
      READ_ONLY_MEMBER },
    { "a member needs no invitation", { CLUB }, INVITE(LOBBY, ANN, BOB), ALREADY_A_MEMBER },
    { "one invitation is enough", { CLUB, INVITED(LOBBY, ANN, DAN) }, INVITE(LOBBY, BOB, DAN), ALREADY_INVITED },
    { "who is banned is not invited", { CLUB, BANNED_UNTIL(LOBBY, ANN, DAN, 0) }, INVITE(LOBBY, BOB, DAN), BANNED },
    { "a stranger does not invite", { CLUB }, INVITE(LOBBY, DAN, DAN), ROOM_NOT_FOUND },
    { "who invited takes it back",
      { CLUB, INVITED(LOBBY, BOB, DAN) },
      WITHDRAW(LOBBY, BOB, DAN),
      ACCEPTED,
      ROOMS_INVITATION_WITHDRAWN },
    { "so does an admin",
      { CLUB, INVITED(LOBBY, BOB, DAN) },
      WITHDRAW(LOBBY, ANN, DAN),
      ACCEPTED,
      ROOMS_INVITATION_WITHDRAWN },
    { "who was invited declines",
      { CLUB, INVITED(LOBBY, BOB, DAN) },
      WITHDRAW(LOBBY, DAN, DAN),
      ACCEPTED,
      ROOMS_INVITATION_WITHDRAWN },
    { "another member does not", { CLUB, INVITED(LOBBY, BOB, DAN) }, WITHDRAW(LOBBY, CAT, DAN), ROOM_ROLE_REQUIRED },
    { "there is nothing to take back", { CLUB }, WITHDRAW(LOBBY, ANN, DAN), INVITATION_NOT_FOUND },
    { "and a stranger learns nothing", { CLUB }, WITHDRAW(LOBBY, DAN, DAN), ROOM_NOT_FOUND },

    { "an admin sends a member away", { STAFF }, REMOVE(LOBBY, BOB, CAT), ACCEPTED, ROOMS_MEMBER_REMOVED },
    { "and not the owner", { STAFF }, REMOVE(LOBBY, BOB, ANN), ROOM_ROLE_REQUIRED },
    { "a plain member sends nobody away", { CLUB }, REMOVE(LOBBY, BOB, CAT), ROOM_ROLE_REQUIRED },
    { "who is not there cannot be sent away", { STAFF }, REMOVE(LOBBY, BOB, DAN), MEMBER_NOT_FOUND },
    { "a ban sends away", { STAFF }, BAN(LOBBY, BOB, CAT, 0), ACCEPTED, ROOMS_MEMBER_BANNED, 1 },
    { "who is not there can be kept out", { STAFF }, BAN(LOBBY, BOB, DAN, NOW + 1), ACCEPTED, ROOMS_MEMBER_BANNED },
    { "a ban ends in the future", { STAFF }, BAN(LOBBY, BOB, CAT, NOW), COMMAND_INVALID },
    { "nobody bans the owner", { STAFF }, BAN(LOBBY, BOB, ANN, 0), ROOM_ROLE_REQUIRED },
    { "nor oneself", { STAFF }, BAN(LOBBY, ANN, ANN, 0), ROOM_ROLE_REQUIRED },
    { "a plain member bans nobody", { CLUB }, BAN(LOBBY, BOB, DAN, 0), ROOM_ROLE_REQUIRED },
    { "a ban is lifted",
      { STAFF, BANNED_UNTIL(LOBBY, ANN, DAN, 0) },
      UNBAN(LOBBY, BOB, DAN),
      ACCEPTED,
      ROOMS_MEMBER_UNBANNED },
    { "only where there is one", { STAFF }, UNBAN(LOBBY, BOB, DAN), NOT_BANNED },
    { "and by admins", { CLUB, BANNED_UNTIL(LOBBY, ANN, DAN, 0) }, UNBAN(LOBBY, BOB, DAN), ROOM_ROLE_REQUIRED },
};

START_TEST(a_command_gives_what_its_row_says)
{
    check_row(&rows[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("members decide");
    TCase *rules = suite_case("rules");
    tcase_add_loop_test(rules, a_command_gives_what_its_row_says, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(suite, rules);
    return suite_run(suite);
}
