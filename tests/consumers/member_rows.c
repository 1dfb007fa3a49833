/* What the fold keeps of members, invitations and bans, and of people who are away. */
#include "consumers/messages/streams.h"
#include "consumers/messages/view.h"
#include "tests/consumers/story.h"

static void setup(void)
{
    story_begin(&messages_definition);
}

/* --- given facts: one by one, or all of them in one batch --- */

static struct rooms_fact facts[16];
static size_t fact_count;

static struct rooms_fact *given(int type, int by)
{
    struct rooms_fact *f = &facts[fact_count];
    *f = (struct rooms_fact){ .type = type };
    f->meta = (struct meta){ .actor = id('u', by), .at = NOON + (int64_t)fact_count };
    fact_count++;
    return f;
}

static void created(void)
{
    fact_count = 0;
    struct room_created *f = &given(ROOMS_ROOM_CREATED, 1)->room_created;
    f->room_id = id('r', 1);
    f->name = text("hall");
}

static void joined(int user)
{
    struct member_joined *f = &given(ROOMS_MEMBER_JOINED, user)->member_joined;
    f->room_id = id('r', 1);
    f->user_id = id('u', user);
}

static void left(int user)
{
    struct member_left *f = &given(ROOMS_MEMBER_LEFT, user)->member_left;
    f->room_id = id('r', 1);
    f->user_id = id('u', user);
}

static void given_role(int user, enum member_role role)
{
    struct role_changed *f = &given(ROOMS_ROLE_CHANGED, 1)->role_changed;
    f->room_id = id('r', 1);
    f->version = 2;
    f->user_id = id('u', user);
    f->role = role;
}

static void slowed(int user, int64_t seq, int64_t until)
{
    struct message_posted *f = &given(ROOMS_MESSAGE_POSTED, user)->message_posted;
    f->room_id = id('r', 1);
    f->message_id = id('m', (int)seq);
    f->seq = seq;
    f->body = text("x");
    f->slow_until = until;
}

static void invited(int user, int by)
{
    struct member_invited *f = &given(ROOMS_MEMBER_INVITED, by)->member_invited;
    f->room_id = id('r', 1);
    f->user_id = id('u', user);
}

static void banned(int user, int by, int64_t until, bool was_member)
{
    struct member_banned *f = &given(ROOMS_MEMBER_BANNED, by)->member_banned;
    f->room_id = id('r', 1);
    f->user_id = id('u', user);
    f->reason = text("noise");
    f->until = until;
    f->was_member = was_member;
}

/* `size` facts a batch; 0: one batch. */
static void folded(size_t size)
{
    struct placed_fact placed[16];
    for (size_t i = 0; i < fact_count; i++)
        placed[i] = (struct placed_fact){ (const struct any_record *)&facts[i], 0, position++ };
    database_fold(&db, messages_definition.streams[0], placed, fact_count, size);
}

static const char *value(const char *sql)
{
    const struct str v = database_value(&db, &arena, sql);
    return arena_printf(&arena, "%.*s", (int)v.len, v.ptr);
}

/* Of the second person. */
static const char *role(void)
{
    return value("SELECT role::text FROM messages.members WHERE user_id = '01000000-0000-0000-7500-000000000002'");
}

static const char *restrictions(void)
{
    return value("SELECT concat_ws(' ', read_only::text, round(extract(epoch FROM slow_until) * 1000)) FROM "
                 "messages.restrictions WHERE user_id = '01000000-0000-0000-7500-000000000002'");
}

/* The second person, as the rules know them after a restart. */
static struct member loaded(void)
{
    const struct rooms_command post = { ROOMS_POST_MESSAGE,
                                        .post_message = { .meta = { .actor = id('u', 2) }, .room_id = id('r', 1) } };
    const struct any_record *const records[] = { (const struct any_record *)&post };
    struct rooms_state *state = rooms_state_create();
    ck_assert_int_eq(rooms_load(state, db.pg, &arena, records, 1, false), OK);
    const struct member member = *rooms_state_member(state, id('r', 1), id('u', 2));
    rooms_state_destroy(state);
    return member;
}

/* --- in one batch, and fact by fact --- */

static const size_t sizes[] = { 1, 2, 3, 0 };
#define EACH_SIZE (sizeof sizes / sizeof *sizes)

START_TEST(who_could_only_read_comes_back_as_one_who_can_only_read)
{
    created();
    joined(2);
    given_role(2, MEMBER_ROLE_READ_ONLY);
    left(2);
    joined(2);
    folded(sizes[_i]);
    ck_assert_str_eq(role(), "4");
    ck_assert_str_eq(restrictions(), "true");
}
END_TEST

START_TEST(of_who_is_away_it_is_known_how_they_come_back)
{
    created();
    joined(2);
    slowed(2, 1, NOON + 60000);
    given_role(2, MEMBER_ROLE_READ_ONLY);
    left(2);
    folded(sizes[_i]);
    const struct member member = loaded();
    ck_assert_int_eq(member.presence, PRESENCE_ABSENT);
    ck_assert(member.read_only && member.slow_until == NOON + 60000);
}
END_TEST

START_TEST(who_was_given_another_role_since_comes_back_plain)
{
    created();
    joined(2);
    given_role(2, MEMBER_ROLE_READ_ONLY);
    left(2);
    joined(2);
    given_role(2, MEMBER_ROLE_ADMIN);
    left(2);
    joined(2);
    folded(sizes[_i]);
    ck_assert_str_eq(role(), "2");
    ck_assert_str_eq(restrictions(), "false");
}
END_TEST

START_TEST(who_waits_in_slow_mode_waits_after_coming_back)
{
    created();
    joined(2);
    slowed(2, 1, NOON + 60000);
    slowed(2, 2, NOON + 90000);
    left(2);
    joined(2);
    folded(sizes[_i]);
    ck_assert_str_eq(role(), "2");
    ck_assert_str_eq(restrictions(), arena_printf(&arena, "%lld", (long long)NOON + 90000));
    const struct member member = loaded();
    ck_assert_int_eq(member.presence, PRESENCE_PRESENT);
    ck_assert_int_eq(member.slow_until, NOON + 90000);
    ck_assert(member.role == MEMBER_ROLE_MEMBER && !member.read_only);
}
END_TEST

START_TEST(a_ban_says_by_whom_since_when_until_when_and_takes_the_invitation)
{
    created();
    joined(2);
    joined(4);
    invited(3, 2);
    banned(3, 1, NOON + DAY, false);
    banned(2, 4, 0, true);
    folded(sizes[_i]);
    struct ban_view *bans;
    size_t count;
    ck_assert_int_eq(ban_list(db.pg, &arena, id('r', 1), uuid_nil, 10, &bans, &count), OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(uuid_equal(bans[0].user_id, id('u', 2)) && uuid_equal(bans[0].banned_by, id('u', 4)));
    ck_assert_int_eq(bans[0].banned_at, NOON + 5);
    ck_assert_int_eq(bans[0].until, 0);
    ck_assert(uuid_equal(bans[1].user_id, id('u', 3)) && uuid_equal(bans[1].banned_by, id('u', 1)));
    ck_assert_int_eq(bans[1].banned_at, NOON + 4);
    ck_assert_int_eq(bans[1].until, NOON + DAY);
    ck_assert(str_equal(bans[1].reason, STR("noise")));
    struct invitation_view *invitations;
    ck_assert_int_eq(invitations_of_room(db.pg, &arena, id('r', 1), uuid_nil, 10, &invitations, &count), OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(role(), "");
    ck_assert_str_eq(value("SELECT member_count::text FROM messages.rooms"), "2");
}
END_TEST

START_TEST(an_invitation_says_by_whom_and_since_when)
{
    created();
    joined(2);
    invited(3, 2);
    folded(sizes[_i]);
    struct invitation_view *invitations;
    size_t count;
    ck_assert_int_eq(invitations_of_user(db.pg, &arena, id('u', 3), uuid_nil, 10, &invitations, &count), OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(uuid_equal(invitations[0].room_id, id('r', 1)) && uuid_equal(invitations[0].user_id, id('u', 3)));
    ck_assert(uuid_equal(invitations[0].invited_by, id('u', 2)));
    ck_assert_int_eq(invitations[0].invited_at, NOON + 2);
}
END_TEST

START_TEST(what_was_withheld_is_in_the_list_and_says_since_when)
{
    created();
    joined(2);
    for (int i = 1; i <= 2; i++) {
        struct message_scheduled *f = &given(ROOMS_MESSAGE_SCHEDULED, 2)->message_scheduled;
        f->room_id = id('r', 1);
        f->message_id = id('m', i);
        f->body = text("later");
        f->send_at = NOON + 100;
        f->reply_to = 3;
    }
    struct scheduled_message_withheld *f = &given(ROOMS_SCHEDULED_MESSAGE_WITHHELD, 2)->scheduled_message_withheld;
    f->room_id = id('r', 1);
    f->message_id = id('m', 1);
    folded(sizes[_i]);
    struct scheduled_view *items;
    size_t count;
    ck_assert_int_eq(scheduled_list(db.pg, &arena, id('u', 2), uuid_nil, 10, &items, &count), OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(uuid_equal(items[0].message_id, id('m', 1)) && uuid_equal(items[0].room_id, id('r', 1)));
    ck_assert_int_eq(items[0].send_at, NOON + 100);
    ck_assert_int_eq(items[0].scheduled_at, NOON + 2);
    ck_assert_int_eq(items[0].reply_to, 3);
    ck_assert_int_eq(items[0].withheld_at, NOON + 4);
    ck_assert_int_eq(items[1].withheld_at, 0);
    int64_t elsewhere;
    ck_assert_int_eq(scheduled_elsewhere(db.pg, &arena, id('u', 2), id('r', 2), &elsewhere), OK);
    ck_assert_msg(elsewhere == 1, "what was withheld does not count");
    ck_assert_int_eq(scheduled_elsewhere(db.pg, &arena, id('u', 2), id('r', 1), &elsewhere), OK);
    ck_assert_int_eq(elsewhere, 0);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("member rows");
    TCase *rows = suite_case("rows");
    tcase_add_checked_fixture(rows, setup, story_end);
    tcase_add_loop_test(rows, who_could_only_read_comes_back_as_one_who_can_only_read, 0, EACH_SIZE);
    tcase_add_loop_test(rows, of_who_is_away_it_is_known_how_they_come_back, 0, EACH_SIZE);
    tcase_add_loop_test(rows, who_was_given_another_role_since_comes_back_plain, 0, EACH_SIZE);
    tcase_add_loop_test(rows, who_waits_in_slow_mode_waits_after_coming_back, 0, EACH_SIZE);
    tcase_add_loop_test(rows, a_ban_says_by_whom_since_when_until_when_and_takes_the_invitation, 0, EACH_SIZE);
    tcase_add_loop_test(rows, an_invitation_says_by_whom_and_since_when, 0, EACH_SIZE);
    tcase_add_loop_test(rows, what_was_withheld_is_in_the_list_and_says_since_when, 0, EACH_SIZE);
    suite_add_tcase(suite, rows);
    return suite_run(suite);
}
