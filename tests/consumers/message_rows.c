/* What the fold keeps of messages, column by column, in one batch and fact by fact. */
#include "consumers/messages/streams.h"
#include "tests/consumers/story.h"

static void setup(void)
{
    story_begin(&messages_definition);
}

/* --- given facts --- */

static struct rooms_fact facts[16];
static size_t fact_count;

static struct rooms_fact *given(int type, int by)
{
    struct rooms_fact *f = &facts[fact_count];
    *f = (struct rooms_fact){ .type = type };
    f->meta = (struct meta){ .actor = id('u', by), .at = NOON + 1000 * (int64_t)fact_count };
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

static struct message_posted *posted(int by, int64_t seq)
{
    struct message_posted *f = &given(ROOMS_MESSAGE_POSTED, by)->message_posted;
    f->room_id = id('r', 1);
    f->message_id = id('m', (int)seq);
    f->seq = seq;
    f->body = text("said");
    return f;
}

/* The first message. */
static void answered(int by, int64_t seq)
{
    struct message_posted *f = posted(by, seq);
    f->reply_to = f->thread = 1;
}

static void edited(int by, int64_t seq, int32_t version, const struct uuid *named)
{
    struct message_edited *f = &given(ROOMS_MESSAGE_EDITED, by)->message_edited;
    f->room_id = id('r', 1);
    f->message_id = id('m', (int)seq);
    f->seq = seq;
    f->version = version;
    f->body = text(arena_printf(&arena, "said anew %d", version));
    f->mentions.items = named;
    f->mentions.count = 1;
    f->mentions_room = true;
}

static void deleted(int by, int64_t seq, int64_t thread)
{
    struct message_deleted *f = &given(ROOMS_MESSAGE_DELETED, by)->message_deleted;
    f->room_id = id('r', 1);
    f->message_id = id('m', (int)seq);
    f->seq = seq;
    f->thread = thread;
}

static void pinned(int by, int64_t seq)
{
    struct message_pinned *f = &given(ROOMS_MESSAGE_PINNED, by)->message_pinned;
    f->room_id = id('r', 1);
    f->message_id = id('m', (int)seq);
    f->seq = seq;
}

static void unpinned(int by, int64_t seq)
{
    struct message_unpinned *f = &given(ROOMS_MESSAGE_UNPINNED, by)->message_unpinned;
    f->room_id = id('r', 1);
    f->message_id = id('m', (int)seq);
    f->seq = seq;
}

/* `size` facts a batch; 0: one batch. The facts stand at the offsets 0, 1, 2, … */
static void folded(size_t size)
{
    struct placed_fact placed[16];
    for (size_t i = 0; i < fact_count; i++)
        placed[i] = (struct placed_fact){ (const struct any_record *)&facts[i], 3, (int64_t)i };
    database_fold(&db, messages_definition.streams[0], placed, fact_count, size);
}

/* The row of a message, its times as seconds behind NOON; "-": NULL. */
static const char *columns(const char *names, int64_t seq)
{
    const struct str v =
        database_value(&db, &arena,
                       arena_printf(&arena, "SELECT concat_ws(' ', %s) FROM messages.messages WHERE seq = %lld", names,
                                    (long long)seq));
    return arena_printf(&arena, "%.*s", (int)v.len, v.ptr);
}

#define SECONDS(column) "coalesce(round(extract(epoch FROM " column ") - 1767268800.123)::text, '-')"
#define OR_NONE(column) "coalesce(" column "::text, '-')"

static const size_t sizes[] = { 1, 2, 3, 0 };
#define EACH_SIZE (sizeof sizes / sizeof *sizes)

START_TEST(each_change_of_a_message_says_when_it_was)
{
    const struct uuid named = id('u', 7);
    created();
    posted(1, 1);            /* at 1 s */
    edited(1, 1, 2, &named); /* 2 */
    edited(1, 1, 3, &named); /* 3 */
    pinned(1, 1);            /* 4 */
    answered(2, 2);          /* 5 */
    answered(2, 3);          /* 6 */
    deleted(2, 3, 1);        /* 7 */
    pinned(1, 2);            /* 8 */
    unpinned(1, 2);          /* 9 */
    folded(sizes[_i]);
    ck_assert_str_eq(
        columns(SECONDS("posted_at") ", " SECONDS("edited_at") ", " SECONDS("pinned_at") ", " SECONDS("deleted_at"), 1),
        "1 3 4 -");
    ck_assert_str_eq(columns("version, reply_count, position, changed_position, mentions_room, body", 1),
                     "3 1 1 7 t said anew 3");
    ck_assert_str_eq(columns("right(encode(mentions, 'hex'), 2)", 1), "07");
    ck_assert_str_eq(columns(SECONDS("posted_at") ", " SECONDS("pinned_at") ", thread, changed_position, version", 2),
                     "5 - 1 9 1");
    ck_assert_str_eq(
        columns(SECONDS("posted_at") ", " SECONDS("deleted_at") ", " OR_NONE("body") ", thread, reply_to", 3),
        "6 7 - 1 1");
    const struct str versions =
        database_value(&db, &arena,
                       "SELECT string_agg(concat_ws(' ', seq, version, " SECONDS(
                           "at") ", position, body), ', ' ORDER BY seq, version) FROM messages.message_versions");
    ck_assert_str_eq(arena_printf(&arena, "%.*s", (int)versions.len, versions.ptr),
                     "1 1 1 1 said, 1 2 2 2 said anew 2, 1 3 3 3 said anew 3, 3 1 6 6 said");
}
END_TEST

START_TEST(what_comes_after_a_deletion_does_not_move_it)
{
    created();
    posted(1, 1);     /* at 1 */
    answered(2, 2);   /* 2 */
    deleted(1, 1, 0); /* 3 */
    answered(2, 3);   /* 4: it had been scheduled */
    deleted(2, 2, 1); /* 5 */
    folded(sizes[_i]);
    ck_assert_str_eq(columns("deleted_position, changed_position", 1), "3 5");
    ck_assert_str_eq(columns("deleted_position, changed_position", 2), "5 5");
    ck_assert_str_eq(columns(OR_NONE("deleted_position"), 3), "-");
}
END_TEST

START_TEST(what_expires_is_listed_with_its_sender_and_until_it_is_deleted)
{
    created();
    posted(1, 1)->expires_at = NOON + 60000;
    posted(2, 2)->expires_at = NOON + 61000;
    posted(2, 3);
    deleted(1, 1, 0);
    folded(sizes[_i]);
    const struct str rows =
        database_value(&db, &arena,
                       "SELECT string_agg(concat_ws(' ', seq, get_byte(uuid_send(message_id), 15), "
                       "get_byte(uuid_send(sender_id), 15), "
                       "partition, " SECONDS("expires_at") "), ', ' ORDER BY seq) FROM messages.expiring");
    ck_assert_str_eq(arena_printf(&arena, "%.*s", (int)rows.len, rows.ptr), "2 2 2 3 61");
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("message rows");
    TCase *rows = suite_case("rows");
    tcase_add_checked_fixture(rows, setup, story_end);
    tcase_add_loop_test(rows, each_change_of_a_message_says_when_it_was, 0, EACH_SIZE);
    tcase_add_loop_test(rows, what_comes_after_a_deletion_does_not_move_it, 0, EACH_SIZE);
    tcase_add_loop_test(rows, what_expires_is_listed_with_its_sender_and_until_it_is_deleted, 0, EACH_SIZE);
    suite_add_tcase(suite, rows);
    return suite_run(suite);
}
