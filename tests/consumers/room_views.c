/* The queries over the projections, on rows that the folds wrote. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumers/messages/streams.h"
#include "consumers/messages/view.h"
#include "tests/consumers/story.h"

static void setup(void)
{
    story_begin(&messages_definition);
}

/* --- given facts --- */

static void fold_room(struct rooms_fact fact)
{
    story_fold(&messages_definition, 0, (const struct any_record *)&fact, 0);
}

static void created(int room, enum room_kind kind, int owner, const char *name)
{
    fold_room(
        (struct rooms_fact){ ROOMS_ROOM_CREATED, .room_created = { .meta = { .actor = id('u', owner), .at = NOON },
                                                                   .room_id = id('r', room),
                                                                   .name = text(name),
                                                                   .kind = kind } });
}

static void joined(int room, int user)
{
    fold_room(
        (struct rooms_fact){ ROOMS_MEMBER_JOINED, .member_joined = { .meta = { .actor = id('u', user), .at = NOON + 1 },
                                                                     .room_id = id('r', room),
                                                                     .user_id = id('u', user) } });
}

static void posted(int room, int user, int64_t seq, const char *body)
{
    fold_room((struct rooms_fact){ ROOMS_MESSAGE_POSTED,
                                   .message_posted = { .meta = { .actor = id('u', user), .at = NOON + seq },
                                                       .room_id = id('r', room),
                                                       .message_id = id('m', (int)seq),
                                                       .seq = seq,
                                                       .body = text(body) } });
}

/* --- rooms --- */

START_TEST(a_room_is_found_by_who_may_see_it)
{
    created(1, ROOM_KIND_PUBLIC, 1, "lobby");
    created(2, ROOM_KIND_PRIVATE, 1, "attic");
    created(3, ROOM_KIND_DIRECT, 1, NULL);
    joined(1, 2);
    posted(1, 2, 1, "hi");
    struct room_view room;
    bool found;
    ck_assert_int_eq(room_find(db.pg, &arena, id('r', 1), id('u', 2), &room, &found), OK);
    ck_assert(found && room.is_member && room.kind == ROOM_KIND_PUBLIC && str_equal(room.name, STR("lobby")));
    ck_assert_int_eq(room.member_count, 2);
    ck_assert_int_eq(room.last_seq, 1);
    ck_assert_int_eq(room.created_at, NOON);
    ck_assert_int_eq(room.position, position - 1);
    ck_assert_int_eq(room_find(db.pg, &arena, id('r', 1), id('u', 3), &room, &found), OK);
    ck_assert_msg(found && !room.is_member, "a public room shows itself to strangers");
    for (int hidden = 2; hidden <= 3; hidden++) {
        ck_assert_int_eq(room_find(db.pg, &arena, id('r', hidden), id('u', 1), &room, &found), OK);
        ck_assert(found && room.is_member && room.kind == (hidden == 2 ? ROOM_KIND_PRIVATE : ROOM_KIND_DIRECT));
        ck_assert_int_eq(room_find(db.pg, &arena, id('r', hidden), id('u', 2), &room, &found), OK);
        ck_assert_msg(!found, "other rooms do not exist for strangers");
    }
    ck_assert_int_eq(room_find(db.pg, &arena, id('r', 9), id('u', 1), &room, &found), OK);
    ck_assert(!found);
}
END_TEST

/* Walks the list in pages of `limit` and gives the rooms' numbers as text. */
static const char *walk(int viewer, enum room_scope scope, int limit)
{
    struct buf out = { 0 };
    struct uuid before = uuid_nil;
    for (int pages = 0; pages < 50; pages++) {
        struct room_view *rooms;
        size_t count;
        ck_assert_int_eq(room_list(db.pg, &arena, id('u', viewer), scope, before, limit, &rooms, &count), OK);
        ck_assert_uint_le(count, (size_t)limit);
        for (size_t i = 0; i < count; i++)
            buf_printf(&out, "%d%s ", rooms[i].id.bytes[15], rooms[i].is_member ? "m" : "");
        if (count < (size_t)limit)
            break;
        before = rooms[count - 1].id;
    }
    const char *text = rendered(&out);
    buf_finish(&out);
    return text;
}

/* The same of one's own rooms: by their lines, two lists in one round trip. */
static const char *walk_own(int viewer, int limit)
{
    struct buf out = { 0 };
    struct room_lines lists[] = { { .viewer = id('u', 2), .limit = 3 }, { .viewer = id('u', viewer), .limit = limit } };
    do {
        ck_assert_int_eq(room_lines(db.pg, &arena, lists, 2), OK);
        ck_assert_uint_eq(lists[0].count, 3);
        for (size_t i = 0; i < lists[1].count; i++) {
            lists[1].before = lists[1].lines[i].room;
            buf_printf(&out, "%d ", lists[1].before.bytes[15]);
        }
    } while (lists[1].count == (size_t)limit);
    const char *text = rendered(&out);
    buf_finish(&out);
    return text;
}

START_TEST(rooms_are_listed_newest_first_whatever_the_size_of_a_page)
{
    for (int room = 1; room <= 12; room++)
        created(room, (enum room_kind)(room % 3), room % 2 ? 1 : 2, "room"); /* 3, 6, 9, 12 are public */
    joined(6, 1);
    ck_assert_int_eq(ROOM_KIND_PUBLIC, 0);
    for (int limit = 1; limit <= 13; limit++) {
        ck_assert_str_eq(walk(1, ROOM_SCOPE_VISIBLE, limit), "12 11m 9m 7m 6m 5m 3m 1m ");
        ck_assert_str_eq(walk_own(1, limit), "11 9 7 6 5 3 1 ");
        ck_assert_str_eq(walk(1, ROOM_SCOPE_PUBLIC, limit), "12 9m 6m 3m ");
        ck_assert_str_eq(walk(3, ROOM_SCOPE_VISIBLE, limit), "12 9 6 3 ");
        ck_assert_str_eq(walk_own(3, limit), "");
    }
}
END_TEST

START_TEST(members_are_listed_in_order_of_their_ids)
{
    created(1, ROOM_KIND_PUBLIC, 5, "lobby");
    for (int user = 9; user > 5; user--)
        joined(1, user);
    struct member_view *members;
    size_t count;
    ck_assert_int_eq(member_list(db.pg, &arena, id('r', 1), uuid_nil, 3, &members, &count), OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(members[0].role, "owner");
    ck_assert_int_eq(members[0].joined_at, NOON);
    ck_assert_str_eq(members[1].role, "member");
    ck_assert(uuid_equal(members[2].user_id, id('u', 7)));
    ck_assert_int_eq(member_list(db.pg, &arena, id('r', 1), id('u', 7), 3, &members, &count), OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(uuid_equal(members[0].user_id, id('u', 8)) && uuid_equal(members[1].user_id, id('u', 9)));
    ck_assert_int_eq(members[1].joined_at, NOON + 1);
}
END_TEST

/* --- messages --- */

static struct page_row {
    const char *sentence;
    int64_t before, after;
    int limit;
    int64_t first, last; /* first > last: none */
} page_rows[] = {
    { "the newest come when nothing is said", 0, -1, 3, 8, 10 },
    { "all come when there are fewer than asked for", 0, -1, 50, 1, 10 },
    { "before a number: the newest of those", 5, -1, 3, 2, 4 },
    { "before the first there is nothing", 1, -1, 3, 1, 0 },
    { "before what lies ahead: the newest", 1000, -1, 3, 8, 10 },
    { "after a number: the oldest of those", 0, 5, 3, 6, 8 },
    { "after 0: from the first", 0, 0, 3, 1, 3 },
    { "after the last there is nothing", 0, 10, 3, 1, 0 },
    { "near the end a page is short", 0, 8, 5, 9, 10 },
};

START_TEST(a_page_of_messages_is_what_its_row_says)
{
    const struct page_row *row = &page_rows[_i];
    created(1, ROOM_KIND_PUBLIC, 1, "lobby");
    for (int64_t seq = 1; seq <= 10; seq++)
        posted(1, 1, seq, seq == 4 ? NULL : "hello");
    struct room_view room;
    struct message_view *messages;
    size_t count;
    bool found;
    ck_assert_int_eq(message_page(db.pg, &arena, id('r', 1), id('u', 1), row->before, row->after, row->limit, &room,
                                  &found, &messages, &count),
                     OK);
    ck_assert(found && room.is_member && room.last_seq == 10);
    ck_assert_msg((int64_t)count == (row->first <= row->last ? row->last - row->first + 1 : 0), "%s: got %zu",
                  row->sentence, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(messages[i].seq == row->first + (int64_t)i, "%s: number %lld", row->sentence,
                      (long long)messages[i].seq);
        ck_assert(uuid_equal(messages[i].id, id('m', (int)messages[i].seq)));
        ck_assert(uuid_equal(messages[i].room_id, id('r', 1)) && uuid_equal(messages[i].sender_id, id('u', 1)));
        ck_assert_int_eq(messages[i].posted_at, NOON + messages[i].seq);
        ck_assert(messages[i].edited_at == 0 && messages[i].deleted_at == 0);
        ck_assert(str_equal(messages[i].body, messages[i].seq == 4 ? STR("") : STR("hello")));
    }
}
END_TEST

START_TEST(many_pages_come_in_one_round_trip_and_none_for_strangers)
{
    created(1, ROOM_KIND_PUBLIC, 1, "lobby");
    created(2, ROOM_KIND_PRIVATE, 1, "attic");
    posted(1, 1, 1, "one");
    posted(2, 1, 1, "secret");
    posted(2, 1, 2, "secret too");
    struct message_page pages[] = {
        { .room = id('r', 2), .viewer = id('u', 1), .after = -1, .limit = 10 },
        { .room = id('r', 2), .viewer = id('u', 2), .after = -1, .limit = 10 },
        { .room = id('r', 9), .viewer = id('u', 1), .after = -1, .limit = 10 },
        { .room = id('r', 1), .viewer = id('u', 2), .after = 0, .limit = 10 },
    };
    ck_assert_int_eq(message_pages(db.pg, &arena, pages, 4), OK);
    ck_assert(pages[0].found && pages[0].view.is_member && pages[0].count == 2);
    ck_assert(str_equal(pages[0].items[1].body, STR("secret too")));
    ck_assert(!pages[1].found && pages[1].count == 0);
    ck_assert(!pages[2].found && pages[2].count == 0);
    ck_assert(pages[3].found && !pages[3].view.is_member && pages[3].count == 1);
    ck_assert_int_eq(message_pages(db.pg, &arena, pages, 0), OK);
}
END_TEST

START_TEST(rooms_and_messages_are_shown_in_camel_case)
{
    created(1, ROOM_KIND_PRIVATE, 1, "\"attic\"");
    posted(1, 1, 1, "line\nbreak \xE2\x82\xAC");
    struct room_view room;
    struct message_view *messages;
    size_t count;
    bool found;
    ck_assert_int_eq(message_page(db.pg, &arena, id('r', 1), id('u', 1), 0, -1, 1, &room, &found, &messages, &count),
                     OK);
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    room_json(&j, &room);
    ck_assert_str_eq(rendered(&out),
                     "{\"id\":\"01000000-0000-0000-7200-000000000001\",\"name\":\"\\\"attic\\\"\",\"kind\":\"private\","
                     "\"memberCount\":1,\"lastSeq\":1,\"createdAt\":\"2026-01-01T12:00:00.123Z\"}");
    buf_clear(&out);
    j = json_writer(&out);
    message_json(&j, &messages[0]);
    ck_assert_str_eq(
        rendered(&out),
        "{\"id\":\"01000000-0000-0000-6d00-000000000001\",\"roomId\":\"01000000-0000-0000-7200-000000000001\","
        "\"seq\":1,\"senderId\":\"01000000-0000-0000-7500-000000000001\",\"body\":\"line\\nbreak \xE2\x82\xAC\","
        "\"postedAt\":\"2026-01-01T12:00:00.124Z\"}");
    buf_clear(&out);
    messages[0].edited_at = NOON;
    messages[0].deleted_at = NOON + 1;
    j = json_writer(&out);
    message_json(&j, &messages[0]);
    ck_assert_ptr_nonnull(strstr(
        rendered(&out), ",\"editedAt\":\"2026-01-01T12:00:00.123Z\",\"deletedAt\":\"2026-01-01T12:00:00.124Z\"}"));
    buf_finish(&out);
}
END_TEST

START_TEST(text_that_no_table_takes_does_not_stop_the_fold_of_those_around_it)
{
    created(1, ROOM_KIND_PUBLIC, 1, "lobby");
    struct rooms_fact facts[3];
    struct placed_fact placed[3];
    static const struct str bodies[] = { { "before", 6 }, { "a\0b\xff", 4 }, { "after", 5 } };
    for (int i = 0; i < 3; i++) {
        facts[i] = (struct rooms_fact){ ROOMS_MESSAGE_POSTED,
                                        .message_posted = { .meta = { .actor = id('u', 1) },
                                                            .room_id = id('r', 1),
                                                            .message_id = id('m', i),
                                                            .seq = i + 1,
                                                            .body = { .state = OPEN, .clear = bodies[i] } } };
        placed[i] = (struct placed_fact){ (const struct any_record *)&facts[i], 0, position++ };
    }
    database_fold(&db, messages_definition.streams[0], placed, 3, 0);
    struct message_page page = { .room = id('r', 1), .viewer = id('u', 1), .after = -1, .limit = 10 };
    ck_assert_int_eq(message_pages(db.pg, &arena, &page, 1), OK);
    ck_assert_uint_eq(page.count, 3);
    ck_assert(str_equal(page.items[1].body, STR("a\xEF\xBF\xBD"
                                                "b\xEF\xBF\xBD")));
    ck_assert(str_equal(page.items[2].body, STR("after")));
}
END_TEST

START_TEST(a_fact_that_is_folded_twice_is_an_error)
{
    created(1, ROOM_KIND_PUBLIC, 1, "lobby");
    posted(1, 1, 1, "once");
    const struct rooms_fact again = { ROOMS_MESSAGE_POSTED,
                                      .message_posted = { .room_id = id('r', 1), .seq = 1, .body = text("twice") } };
    const struct placed_fact placed = { (const struct any_record *)&again, 0, position };
    ck_assert_int_eq(pg_batch_begin(db.pg), OK);
    ck_assert_int_eq(messages_definition.streams[0]->fold(db.pg, &arena, NULL, &placed, 1), OK);
    ck_assert_int_eq(pg_batch_end(db.pg, NULL, 0), REJECT);
    ck_assert_str_eq(pg_sqlstate(db.pg), "23505");
}
END_TEST

START_TEST(a_load_that_fails_leaves_nothing_behind_that_looks_like_an_answer)
{
    created(1, ROOM_KIND_PUBLIC, 1, "lobby");
    const struct stream_worker *worker = messages_definition.streams[0];
    const struct rooms_command post = { ROOMS_POST_MESSAGE,
                                        .post_message = { .meta = { .actor = id('u', 1) }, .room_id = id('r', 1) } };
    const struct any_record *const records[] = { (const struct any_record *)&post };
    void *state = worker->state_create();
    struct pg *nowhere = pg_create("host=127.0.0.1 port=1", "aether-test");
    ck_assert_int_eq(worker->load(state, nowhere, &arena, records, 1, false), RETRY);
    pg_destroy(nowhere);
    ck_assert_int_eq(rooms_state_room(state, id('r', 1))->presence, PRESENCE_UNKNOWN);
    ck_assert_int_eq(worker->load(state, db.pg, &arena, records, 1, false), OK);
    struct rooms_fact fact = { 0 };
    ck_assert_int_eq(worker->decide(state, records[0], (struct any_record *)&fact), ACCEPTED);
    worker->state_destroy(state);
}
END_TEST

/* So that the workers' statements are prepared on this connection. */
static void load_and_fold_everything(void)
{
    const struct rooms_command posts = { ROOMS_POST_MESSAGE };
    const struct {
        const struct stream_worker *worker;
        const struct any_record *command;
    } loads[] = {
        { messages_definition.streams[0], (const struct any_record *)&posts },
    };
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        void *state = loads[i].worker->state_create();
        ck_assert_int_eq(loads[i].worker->load(state, db.pg, &arena, &loads[i].command, 1, false), OK);
        loads[i].worker->state_destroy(state);
    }
    created(1, ROOM_KIND_PUBLIC, 1, "lobby");
    joined(1, 2);
}

/* The plans of the views' own statements, over tables of some size and with plans that do not know the parameters. */
START_TEST(every_statement_walks_over_indexes)
{
    database_run(&db, "INSERT INTO messages.rooms SELECT gen_random_uuid(), 'room', 1 + n % 3, 1, 0, now(), "
                      "gen_random_uuid(), n FROM generate_series(1, 5000) n;"
                      "INSERT INTO messages.members SELECT room_id, created_by, 1, now() FROM messages.rooms;"
                      "INSERT INTO messages.members SELECT room_id, gen_random_uuid(), 2, now() FROM messages.rooms, "
                      "generate_series(1, 3);"
                      "INSERT INTO messages.messages SELECT room_id, n, (lpad(to_hex(row_number() OVER ()), 8, '0') || "
                      "'-0000-7000-8000-000000000000')::uuid, created_by, now() FROM "
                      "messages.rooms, generate_series(1, 10) n;"
                      "INSERT INTO messages.read_marks SELECT user_id, room_id, 1, now() FROM messages.members;"
                      "INSERT INTO messages.invitations SELECT room_id, user_id, user_id, now() FROM messages.members;"
                      "INSERT INTO messages.bans SELECT room_id, user_id, user_id, now() FROM messages.members;"
                      "INSERT INTO messages.deleted_counts SELECT room_id, 1, n, 1 FROM messages.rooms, "
                      "generate_series(1, 5) n;"
                      "INSERT INTO messages.scheduled SELECT gen_random_uuid(), room_id, user_id, 0, now(), now(), 0, "
                      "false, '' FROM messages.members;"
                      "INSERT INTO messages.restrictions SELECT room_id, user_id, true FROM messages.members;"
                      "ANALYZE; SET plan_cache_mode = force_generic_plan;"
                      "CREATE FUNCTION plan(statement text) RETURNS text LANGUAGE plpgsql AS 'DECLARE line text; whole "
                      "text := ''''; BEGIN"
                      "  FOR line IN EXECUTE ''EXPLAIN EXECUTE '' || statement LOOP whole := whole || line || chr(10); "
                      "END LOOP; RETURN whole; END'");
    struct room_view room, *rooms;
    struct member_view *members;
    struct message_page pages[] = { { .after = -1, .limit = 50 }, { .after = 0, .limit = 50 } };
    bool found;
    size_t count;
    const struct uuid nobody = id('u', 1);
    for (enum room_scope scope = ROOM_SCOPE_VISIBLE; scope <= ROOM_SCOPE_PUBLIC; scope++)
        ck_assert_int_eq(room_list(db.pg, &arena, nobody, scope, uuid_nil, 50, &rooms, &count), OK);
    struct room_lines list = { .viewer = nobody, .limit = 50 };
    ck_assert_int_eq(room_lines(db.pg, &arena, &list, 1), OK);
    ck_assert_int_eq(room_list_own(db.pg, &arena, nobody, &nobody, 1, &rooms, &count), OK);
    ck_assert_int_eq(room_find(db.pg, &arena, nobody, nobody, &room, &found), OK);
    ck_assert_int_eq(member_list(db.pg, &arena, nobody, uuid_nil, 50, &members, &count), OK);
    ck_assert_int_eq(message_pages(db.pg, &arena, pages, 2), OK);
    struct message_view message, *messages;
    ck_assert_int_eq(room_find_unread(db.pg, &arena, nobody, nobody, &room, &found), OK);
    ck_assert_int_eq(message_find(db.pg, &arena, nobody, &message, &found), OK);
    ck_assert_int_eq(thread_list(db.pg, &arena, nobody, 1, 0, 50, &messages, &count), OK);
    ck_assert_int_eq(pin_list(db.pg, &arena, nobody, 0, 50, &messages, &count), OK);
    load_and_fold_everything();

#define ID "'01000000-0000-0000-7500-000000000001'"
    static const char *const statements[] = {
        "messages_list_rooms_visible(" ID "," ID ",50)",
        "messages_list_room_lines(" ID "," ID ",50)",
        "messages_list_own_rooms(" ID ",ARRAY[" ID "]::uuid[])",
        "messages_list_rooms_public(" ID "," ID ",50)",
        "messages_find_room(" ID "," ID ")",
        "messages_list_members(" ID "," ID ",50)",
        "messages_find_room_unread(" ID "," ID ")",
        "messages_find_message(" ID ")",
        "messages_page_thread(" ID ",7,0,50)",
        "messages_page_pinned(" ID ",7,50)",
        "messages_page_before(" ID ",7,50)",
        "messages_page_after(" ID ",7,50)",
        "messages_load_rooms(ARRAY[" ID "]::uuid[])",
        "messages_load_members(ARRAY[" ID "]::uuid[],ARRAY[" ID "]::uuid[])",
        "messages_update_rooms(ARRAY[" ID "]::uuid[],'{1}','{1}','{1}')",
    };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        const struct str plan =
            database_value(&db, &arena, arena_printf(&arena, "SELECT plan($q$%s$q$)", statements[i]));
        ck_assert_msg(strstr(plan.ptr, "Index") && !strstr(plan.ptr, "Seq Scan"), "%s\n%s", statements[i], plan.ptr);
        ck_assert_msg(!strstr(plan.ptr, "Sort") || strstr(statements[i], "list_rooms") ||
                          strstr(statements[i], "list_own_rooms"),
                      "%s sorts\n%s", statements[i], plan.ptr);
    }
}
END_TEST

/* A page's last message is the one the room says is its last, while somebody posts as fast as they can. */
START_TEST(a_page_and_its_room_are_of_one_moment)
{
    enum { POSTS = 1500 };
    created(1, ROOM_KIND_PUBLIC, 1, "lobby");
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct database mine = { .pg = database_connect(&db) };
        for (int64_t seq = 1; seq <= POSTS; seq++) {
            const struct rooms_fact fact = {
                ROOMS_MESSAGE_POSTED, .message_posted = { .room_id = id('r', 1), .seq = seq, .body = text("x") }
            };
            const struct placed_fact placed = { (const struct any_record *)&fact, 0, seq };
            database_fold(&mine, messages_definition.streams[0], &placed, 1, 0);
        }
        _exit(0);
    }
    for (int64_t seen = 0; seen < POSTS;) {
        struct message_page page = { .room = id('r', 1), .viewer = id('u', 1), .after = -1, .limit = 2 };
        ck_assert_int_eq(message_pages(db.pg, &arena, &page, 1), OK);
        seen = page.view.last_seq;
        ck_assert_int_eq(page.count ? page.items[page.count - 1].seq : 0, seen);
        arena_reset(&arena);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    Suite *suite = suite_create("room views");
    TCase *views = suite_case("room views");
    tcase_add_checked_fixture(views, setup, story_end);
    tcase_add_test(views, a_room_is_found_by_who_may_see_it);
    tcase_add_test(views, rooms_are_listed_newest_first_whatever_the_size_of_a_page);
    tcase_add_test(views, members_are_listed_in_order_of_their_ids);
    tcase_add_loop_test(views, a_page_of_messages_is_what_its_row_says, 0, sizeof page_rows / sizeof *page_rows);
    tcase_add_test(views, many_pages_come_in_one_round_trip_and_none_for_strangers);
    tcase_add_test(views, rooms_and_messages_are_shown_in_camel_case);
    tcase_add_test(views, text_that_no_table_takes_does_not_stop_the_fold_of_those_around_it);
    tcase_add_test(views, a_fact_that_is_folded_twice_is_an_error);
    tcase_add_test(views, a_load_that_fails_leaves_nothing_behind_that_looks_like_an_answer);
    tcase_add_test(views, every_statement_walks_over_indexes);
    tcase_add_test(views, a_page_and_its_room_are_of_one_moment);
    suite_add_tcase(suite, views);
    return suite_run(suite);
}
