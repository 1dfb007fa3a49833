/* Messages as they are read: as of a moment, after they have expired, by their ids; and that none of this takes longer
 * the more there is. */
#include <stdlib.h>

#include "consumers/messages/streams.h"
#include "consumers/messages/view.h"
#include "tests/consumers/story.h"

static void setup(void)
{
    story_begin(&messages_definition);
}

/* --- given facts: user 1 has posted in room 1, by number --- */

#define BY(user, time) .meta = { .actor = id('u', user), .at = NOON + (time) }, .room_id = id('r', 1)

static void fold(struct rooms_fact fact)
{
    story_fold(&messages_definition, 0, (const struct any_record *)&fact, 0);
}

static void created(void)
{
    fold((struct rooms_fact){ ROOMS_ROOM_CREATED, .room_created = { BY(1, 0), .name = text("lobby") } });
}

static void posted(int64_t seq, int64_t time, const char *body)
{
    fold((struct rooms_fact){ ROOMS_MESSAGE_POSTED,
                              .message_posted = { BY(1, time), .message_id = id('m', (int)seq), .seq = seq,
                                                  .body = text(body), .expires_at = NOON + DAY } });
}

static void edited(int64_t seq, int64_t time, int32_t version, const char *body)
{
    fold((struct rooms_fact){ ROOMS_MESSAGE_EDITED,
                              .message_edited = { BY(1, time), .message_id = id('m', (int)seq), .seq = seq,
                                                  .version = version, .body = text(body) } });
}

static void deleted(int64_t seq, int64_t time, bool expired)
{
    fold((struct rooms_fact){ ROOMS_MESSAGE_DELETED, .message_deleted = { BY(1, time), .message_id = id('m', (int)seq),
                                                                          .seq = seq, .expired = expired } });
}

/* Every text that a row of these tables has, as rows are written out. */
static int64_t rows_that_say(const char *what)
{
    const struct str count =
        database_value(&db, &arena,
                       arena_printf(&arena,
                                    "SELECT count(*) FROM (SELECT m::text FROM messages.messages m UNION ALL"
                                    " SELECT v::text FROM messages.message_versions v UNION ALL"
                                    " SELECT s::text FROM messages.scheduled s UNION ALL"
                                    " SELECT e::text FROM messages.expiring e) AS t (text) WHERE text LIKE '%%%s%%'",
                                    what));
    return strtoll(count.ptr, NULL, 10);
}

/* --- as of --- */

/* The page as "number:version:text", with a ! when it is deleted and a ~ when it was edited. */
static const char *page_as_of(int viewer, bool moderates, int64_t at, int64_t time, int64_t before, int limit)
{
    struct buf out = { 0 };
    struct message_view *items;
    size_t count;
    ck_assert_int_eq(message_page_as_of(db.pg, &arena, id('r', 1), id('u', viewer), moderates, at, time, before, limit,
                                        &items, &count),
                     OK);
    for (size_t i = 0; i < count; i++) {
        const struct message_view *m = &items[i];
        ck_assert(uuid_equal(m->id, id('m', (int)m->seq)) && uuid_equal(m->sender_id, id('u', 1)));
        buf_printf(&out, "%lld:%d:%.*s%s%s ", (long long)m->seq, (int)m->version, (int)m->body.len,
                   m->body.ptr ? m->body.ptr : "", m->deleted_at ? "!" : "", m->edited_at ? "~" : "");
    }
    const char *text = rendered(&out);
    buf_finish(&out);
    return text;
}

/* Positions are offsets (the room's is 0), times are after noon. */
static const struct as_of_row {
    const char *sentence;
    int viewer;
    bool moderates;
    int64_t position, time;
    const char *is;
} as_of_rows[] = {
    { "before the first message there is none", 1, true, 0, 0, "" },
    { "the sender reads what was said then", 1, false, 3, 0, "1:1:one 2:1:two 3:1:three " },
    { "who moderates does", 2, true, 3, 0, "1:1:one 2:1:two 3:1:three " },
    { "others read what is said now", 2, false, 3, 0, "1:3:eins~ 2:1:! 3:1:three " },
    { "by time, too", 1, false, -1, 35, "1:1:one 2:1:two 3:1:three " },
    { "by time others read what is said now", 2, false, -1, 35, "1:3:eins~ 2:1:! 3:1:three " },
    { "to the millisecond", 1, false, -1, 30, "1:1:one 2:1:two 3:1:three " },
    { "to the millisecond before", 1, false, -1, 29, "1:1:one 2:1:two " },
    { "a version is that of then", 1, false, 4, 0, "1:2:uno~ 2:1:two 3:1:three " },
    { "a version is that of then by time", 1, false, -1, 45, "1:2:uno~ 2:1:two 3:1:three " },
    { "the newest version is one, too", 1, false, 5, 0, "1:3:eins~ 2:1:two 3:1:three " },
    { "what had been deleted is", 1, true, 6, 0, "1:3:eins~ 2:1:! 3:1:three " },
    { "what had been deleted is by time", 1, true, -1, 60, "1:3:eins~ 2:1:! 3:1:three " },
    { "what has expired nobody reads: not who said it", 1, false, 7, 0, "1:3:eins~ 2:1:! 3:1:three 4:2:!~ " },
    { "nor who moderates", 2, true, 8, 0, "1:3:eins~ 2:1:! 3:1:three 4:2:!~ " },
    { "nor anybody by time", 2, true, -1, 70, "1:3:eins~ 2:1:! 3:1:three 4:2:!~ " },
    { "now is a moment like others", 1, true, 1000, 0, "1:3:eins~ 2:1:! 3:1:three 4:2:!~ " },
};

static void a_story(void)
{
    created();                       /* 0 */
    posted(1, 10, "one");            /* 1 */
    posted(2, 20, "two");            /* 2 */
    posted(3, 30, "three");          /* 3 */
    edited(1, 40, 2, "uno");         /* 4 */
    edited(1, 50, 3, "eins");        /* 5 */
    deleted(2, 60, false);           /* 6 */
    posted(4, 70, "for a minute");   /* 7 */
    edited(4, 75, 2, "for a while"); /* 8 */
    deleted(4, 80, true);            /* 9 */
}

START_TEST(earlier_texts_are_for_who_may_read_earlier_versions)
{
    const struct as_of_row *row = &as_of_rows[_i];
    a_story();
    const char *is = page_as_of(row->viewer, row->moderates, row->position, NOON + row->time, 0, 10);
    ck_assert_msg(strcmp(is, row->is) == 0, "%s: %s", row->sentence, is);
}
END_TEST

START_TEST(what_had_been_deleted_stays_so_when_its_thread_changes_later)
{
    created();            /* 0 */
    posted(1, 10, "one"); /* 1 */
    fold((struct rooms_fact){ ROOMS_MESSAGE_POSTED,
                              .message_posted = { BY(1, 20), .message_id = id('m', 2), .seq = 2, .body = text("two"),
                                                  .reply_to = 1, .thread = 1 } }); /* 2 */
    deleted(1, 30, false);                                                         /* 3 */
    fold((struct rooms_fact){ ROOMS_MESSAGE_DELETED,
                              .message_deleted = { BY(1, 40), .message_id = id('m', 2), .seq = 2, .thread = 1 } });
    ck_assert_str_eq(page_as_of(1, true, 2, 0, 0, 10), "1:1:one 2:1:two ");
    ck_assert_str_eq(page_as_of(1, true, 3, 0, 0, 10), "1:1:! 2:1:two ");
    ck_assert_str_eq(page_as_of(1, true, 4, 0, 0, 10), "1:1:! 2:1:! ");
}
END_TEST

START_TEST(a_page_as_of_a_moment_ends_before_a_number_and_at_its_size)
{
    a_story();
    ck_assert_str_eq(page_as_of(1, true, 3, 0, 3, 10), "1:1:one 2:1:two ");
    ck_assert_str_eq(page_as_of(1, true, 3, 0, 3, 1), "2:1:two ");
    ck_assert_str_eq(page_as_of(1, true, 3, 0, 1, 10), "");
    ck_assert_str_eq(page_as_of(1, true, 3, 0, 100, 2), "2:1:two 3:1:three ");
}
END_TEST

/* Whatever a moment is, found by halves: that of each fact in a room of every length up to some. */
START_TEST(every_moment_of_a_room_is_found)
{
    enum { POSTS = 35 };
    created();
    for (int64_t seq = 1; seq <= POSTS; seq++) {
        posted(seq, 10 * seq, "x");
        for (int64_t then = 0; then <= seq; then++) {
            struct message_view *items;
            size_t count;
            ck_assert_int_eq(
                message_page_as_of(db.pg, &arena, id('r', 1), id('u', 1), false, then, 0, 0, 1, &items, &count), OK);
            ck_assert_int_eq(count ? items[0].seq : 0, then);
            ck_assert_int_eq(message_page_as_of(db.pg, &arena, id('r', 1), id('u', 1), false, -1, NOON + 10 * then + 9,
                                                0, 1, &items, &count),
                             OK);
            ck_assert_int_eq(count ? items[0].seq : 0, then);
            arena_reset(&arena);
        }
    }
}
END_TEST

/* --- expired --- */

START_TEST(a_text_that_has_expired_is_nowhere)
{
    a_story();
    ck_assert_int_eq(rows_that_say("two"), 1); /* deleted, its version is kept */
    ck_assert_int_eq(rows_that_say("for a"), 0);
    struct version_view *versions;
    size_t count;
    ck_assert_int_eq(version_list(db.pg, &arena, id('r', 1), 4, 0, 10, &versions, &count), OK);
    ck_assert_uint_eq(count, 0);
    /* also when all of it is in one batch */
    const struct rooms_fact facts[] = {
        { ROOMS_MESSAGE_POSTED,
          .message_posted = { BY(1, 90), .message_id = id('m', 5), .seq = 5, .body = text("for a second") } },
        { ROOMS_MESSAGE_EDITED, .message_edited = { BY(1, 91), .message_id = id('m', 5), .seq = 5, .version = 2,
                                                    .body = text("for a day") } },
        { ROOMS_MESSAGE_DELETED,
          .message_deleted = { BY(1, 92), .message_id = id('m', 5), .seq = 5, .expired = true } },
    };
    struct placed_fact placed[3];
    for (int i = 0; i < 3; i++)
        placed[i] = (struct placed_fact){ (const struct any_record *)&facts[i], 0, position++ };
    database_fold(&db, messages_definition.streams[0], placed, 3, 0);
    ck_assert_int_eq(rows_that_say("for a"), 0);
}
END_TEST

START_TEST(versions_are_listed_in_their_order_page_by_page)
{
    a_story();
    static const char *const texts[] = { "one", "uno", "eins" };
    for (int limit = 1; limit <= 4; limit++)
        for (int after = 0; after <= 3; after++) {
            struct version_view *versions;
            size_t count;
            ck_assert_int_eq(version_list(db.pg, &arena, id('r', 1), 1, after, limit, &versions, &count), OK);
            ck_assert_int_eq((int)count, 3 - after < limit ? 3 - after : limit);
            for (int i = 0; i < (int)count; i++) {
                ck_assert(str_equal(versions[i].body, str_of(texts[after + i])));
                ck_assert_int_eq(versions[i].version, after + i + 1);
                ck_assert_int_eq(versions[i].at, NOON + (after + i == 0 ? 10 : 30 + 10 * (after + i)));
            }
        }
}
END_TEST

/* Numbers 256 and 512 end a block of deleted messages (tables.sql), 257 and 513 begin one. */
START_TEST(a_deleted_message_at_the_edge_of_a_block_is_left_out_once)
{
    enum { POSTS = 520 };
    static const int64_t gone[] = { 1, 255, 256, 257, 512, 513, 520 };
    enum { GONE = sizeof gone / sizeof *gone };
    static struct rooms_fact facts[POSTS + GONE];
    static struct placed_fact placed[POSTS + GONE];
    created();
    fold((struct rooms_fact){ ROOMS_MEMBER_JOINED, .member_joined = { BY(2, 0), .user_id = id('u', 2) } });
    for (int i = 0; i < POSTS + GONE; i++) {
        if (i < POSTS)
            facts[i] = (struct rooms_fact){ ROOMS_MESSAGE_POSTED,
                                            .message_posted = { BY(1, i), .seq = i + 1, .body = text("x") } };
        else
            facts[i] =
                (struct rooms_fact){ ROOMS_MESSAGE_DELETED, .message_deleted = { BY(1, i), .seq = gone[i - POSTS] } };
        placed[i] = (struct placed_fact){ (const struct any_record *)&facts[i], 0, position++ };
    }
    database_fold(&db, messages_definition.streams[0], placed, POSTS + GONE, 0);
    database_run(&db, "INSERT INTO messages.read_marks SELECT user_id, room_id, 0, now() FROM messages.members");
    for (int64_t read = 0; read <= POSTS; read++) {
        struct room_view room;
        bool found;
        int64_t unread = POSTS - read;
        for (int i = 0; i < GONE; i++)
            unread -= gone[i] > read;
        database_run(&db, arena_printf(&arena, "UPDATE messages.read_marks SET seq = %lld", (long long)read));
        ck_assert_int_eq(room_find_unread(db.pg, &arena, id('r', 1), id('u', 2), &room, &found), OK);
        ck_assert_msg(room.unread == unread, "%lld read: %lld unread", (long long)read, (long long)room.unread);
        arena_reset(&arena);
    }
}
END_TEST

/* --- however much there is --- */

/* 100,000 messages in room 1, of which every one was changed twice, in no order; number 7 has been worded 5,000 times;
 * all between number 1,000 and 99,000 are deleted. Then what a statement of the views reads, in blocks. */
enum { MANY = 100000 };

static void much(void)
{
    created();
    database_run(
        &db, "SET synchronous_commit = off;"
             "INSERT INTO messages.messages (room_id, seq, message_id, sender_id, posted_at, position, body)"
             " SELECT room_id, n, ('01900000-' || to_char(n / 10000, 'FM0000') || '-7000-8000-' ||"
             "        to_char(n, 'FM000000000000'))::uuid, created_by, to_timestamp(n), n, 'x'"
             "   FROM messages.rooms, generate_series(1, 100000) n;"
             "UPDATE messages.rooms SET last_seq = 100000;"
             "INSERT INTO messages.read_marks SELECT created_by, room_id, 300, now() FROM messages.rooms;"
             "CREATE TEMP TABLE shuffled AS SELECT seq FROM messages.messages ORDER BY md5(seq::text);"
             "UPDATE messages.messages m SET edited_at = now() FROM shuffled s"
             " WHERE m.seq = s.seq AND s.seq % 2 = 0;"
             "UPDATE messages.messages m SET edited_at = now() FROM shuffled s WHERE m.seq = s.seq;"
             "INSERT INTO messages.message_versions SELECT room_id, 7, n, to_timestamp(100 + n), 100000 + n, 'v' || n"
             "   FROM messages.rooms, generate_series(1, 5000) n;"
             "UPDATE messages.messages SET version = 5000 WHERE seq = 7");
    database_run(&db, "VACUUM ANALYZE");
    database_run(&db,
                 "CREATE FUNCTION blocks(statement text) RETURNS bigint LANGUAGE plpgsql AS 'DECLARE plan json; BEGIN"
                 "  EXECUTE ''EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE '' || statement INTO plan;"
                 "  RETURN (plan->0->''Plan''->>''Shared Hit Blocks'')::bigint +"
                 "         (plan->0->''Plan''->>''Shared Read Blocks'')::bigint; END'");
}

static int64_t blocks(const char *statement)
{
    const char *sql = arena_printf(&arena, "SELECT blocks($q$%s$q$)", statement);
    (void)database_value(&db, &arena, sql); /* sets hint bits */
    return strtoll(database_value(&db, &arena, sql).ptr, NULL, 10);
}

#define ROOM "'01000000-0000-0000-7200-000000000001'"
#define USER "'01000000-0000-0000-7500-000000000001'"

static void a_message_is_found_by_its_id_in_few_blocks(void)
{
    database_run(&db, "DO 'BEGIN PERFORM brin_summarize_new_values(indexrelid::regclass) FROM pg_index i"
                      "  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam AND amname = ''brin''"
                      " WHERE indrelid = ''messages.messages''::regclass; END'");
    struct message_view message;
    bool found;
    for (int n = 1; n <= MANY; n += 9999) {
        char text[UUID_TEXT_LEN + 1];
        snprintf(text, sizeof text, "01900000-%04d-7000-8000-%012d", n / 10000, n);
        struct uuid wanted;
        ck_assert(uuid_parse(str_of(text), &wanted));
        ck_assert_int_eq(message_find(db.pg, &arena, wanted, &message, &found), OK);
        ck_assert(found && message.seq == n && uuid_equal(message.room_id, id('r', 1)));
        const int64_t read = blocks(arena_printf(&arena, "messages_find_message('%s')", text));
        ck_assert_msg(read <= 10, "number %d: %lld blocks", n, (long long)read);
    }
    ck_assert_int_eq(message_find(db.pg, &arena, id('m', 1), &message, &found), OK);
    ck_assert(!found);
    ck_assert_int_le(blocks("messages_find_message(" ROOM ")"), 10);
}

static void a_page_of_long_ago_is_found_in_few_blocks(void)
{
    struct message_view *items;
    size_t count;
    ck_assert_int_eq(message_page_as_of(db.pg, &arena, id('r', 1), id('u', 1), false, 100002, 0, 8, 2, &items, &count),
                     OK);
    ck_assert(count == 2 && items[1].seq == 7 && items[1].version == 2 && str_equal(items[1].body, STR("v2")));
    ck_assert_int_eq(message_page_as_of(db.pg, &arena, id('r', 1), id('u', 1), false, -1, 1000 * INT64_C(2103), 8, 2,
                                        &items, &count),
                     OK);
    ck_assert(count == 2 && items[1].version == 2003 && str_equal(items[1].body, STR("v2003")));
    static const char *const asked[] = {
        "messages_page_as_of(" ROOM ",10,now(),100000000,50," USER ",true)",
        "messages_page_as_of(" ROOM ",10,now(),100000000,50," USER ",false)",
        "messages_page_as_of(" ROOM ",NULL,to_timestamp(10),100000000,50," USER ",true)",
        "messages_page_as_of(" ROOM ",0,now(),100000000,50," USER ",true)",
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        const int64_t read = blocks(asked[i]);
        ck_assert_msg(read <= 400, "%s: %lld blocks", asked[i], (long long)read);
    }
}

static void what_is_unread_is_counted_in_few_blocks(void)
{
    database_run(&db,
                 "UPDATE messages.messages SET deleted_at = now() WHERE seq BETWEEN 1000 AND 99000;"
                 "INSERT INTO messages.deleted_counts SELECT room_id, l, (seq - 1) >> (8 * l), count(*)"
                 "  FROM messages.messages, generate_series(1, 3) AS l WHERE deleted_at IS NOT NULL GROUP BY 1, 2, 3");
    database_run(&db, "VACUUM ANALYZE");
    struct room_view room;
    bool found;
    static const struct {
        int64_t read, unread;
    } rows[] = { { 0, 1999 },    { 1, 1998 },     { 300, 1699 },   { 998, 1001 },   { 999, 1000 },
                 { 1000, 1000 }, { 65535, 1000 }, { 65536, 1000 }, { 98999, 1000 }, { 99000, 1000 },
                 { 99001, 999 }, { 99999, 1 },    { 100000, 0 },   { 100001, 0 },   { INT32_MAX, 0 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        database_run(&db, arena_printf(&arena, "UPDATE messages.read_marks SET seq = %lld", (long long)rows[i].read));
        ck_assert_int_eq(room_find_unread(db.pg, &arena, id('r', 1), id('u', 1), &room, &found), OK);
        ck_assert_msg(room.unread == rows[i].unread, "%lld read: %lld unread", (long long)rows[i].read,
                      (long long)room.unread);
        const int64_t read = blocks("messages_find_room_unread(" ROOM "," USER ")");
        ck_assert_msg(read <= 600, "%lld read: %lld blocks", (long long)rows[i].read, (long long)read);
    }
}

START_TEST(reading_takes_no_longer_the_more_was_said_changed_and_deleted)
{
    much();
    a_message_is_found_by_its_id_in_few_blocks();
    a_page_of_long_ago_is_found_in_few_blocks();
    what_is_unread_is_counted_in_few_blocks();
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("message views");
    TCase *views = suite_case("message views");
    tcase_add_checked_fixture(views, setup, story_end);
    tcase_set_timeout(views, 60);
    tcase_add_loop_test(views, earlier_texts_are_for_who_may_read_earlier_versions, 0,
                        sizeof as_of_rows / sizeof *as_of_rows);
    tcase_add_test(views, what_had_been_deleted_stays_so_when_its_thread_changes_later);
    tcase_add_test(views, a_page_as_of_a_moment_ends_before_a_number_and_at_its_size);
    tcase_add_test(views, every_moment_of_a_room_is_found);
    tcase_add_test(views, a_text_that_has_expired_is_nowhere);
    tcase_add_test(views, versions_are_listed_in_their_order_page_by_page);
    tcase_add_test(views, a_deleted_message_at_the_edge_of_a_block_is_left_out_once);
    tcase_add_test(views, reading_takes_no_longer_the_more_was_said_changed_and_deleted);
    suite_add_tcase(suite, views);
    return suite_run(suite);
}
