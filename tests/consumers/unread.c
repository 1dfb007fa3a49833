/* Unread counts are right to the unit, however posts, deletes, reads, and leaving and coming back follow on each other:
 * compared with a count over every message, while the worker folds in batches of any size with a state that it now and
 * then forgets. */
#include <stdlib.h>

#include "consumers/messages/streams.h"
#include "consumers/messages/view.h"
#include "tests/consumers/chance.h"
#include "tests/consumers/story.h"

enum { PEOPLE = 4, POSTS_MAX = 700, STEPS = 3000, BATCH_MAX = 40 };

/* What the room comes to, told over the messages one by one. */
struct tally {
    int64_t last;
    int sender[POSTS_MAX];
    bool deleted[POSTS_MAX];
    bool member[PEOPLE];
    int64_t joined[PEOPLE], read[PEOPLE];
};

static int64_t unread(const struct tally *t, int person)
{
    int64_t count = 0;
    for (int64_t seq = t->last; seq > t->read[person] && seq > t->joined[person] && t->sender[seq] != person; seq--)
        count += !t->deleted[seq];
    return count;
}

static int64_t seen(const struct tally *t, int person)
{
    int64_t seq = t->last;
    while (seq > t->read[person] && seq > t->joined[person] && t->sender[seq] != person)
        seq--;
    return seq;
}

/* What happens next, as a fact; type 0: nothing that is one. */
static struct rooms_fact next(struct tally *t)
{
    const int person = (int)any(PEOPLE);
    const struct meta meta = { .actor = id('u', person), .at = NOON };
    if (!t->member[person] && any(4) == 0) {
        t->member[person] = true;
        t->joined[person] = t->last;
        return (struct rooms_fact){ ROOMS_MEMBER_JOINED,
                                    .member_joined = { meta, id('r', 1), meta.actor, .after_seq = t->last } };
    }
    if (!t->member[person])
        return (struct rooms_fact){ 0 };
    if (any(150) == 0) {
        t->member[person] = false;
        return (struct rooms_fact){ ROOMS_MEMBER_LEFT, .member_left = { meta, id('r', 1), meta.actor } };
    }
    if (any(5) == 0 && t->last > 0) {
        const int64_t seq = 1 + any((uint32_t)t->last);
        if (t->deleted[seq])
            return (struct rooms_fact){ 0 };
        t->deleted[seq] = true;
        return (struct rooms_fact){ ROOMS_MESSAGE_DELETED,
                                    .message_deleted = { .meta = meta, .room_id = id('r', 1), .seq = seq } };
    }
    /* Some are quiet for long: their newest message is many blocks back. */
    if (t->last == POSTS_MAX - 1 || any(1u << (3 * person)) > 0)
        return (struct rooms_fact){ 0 };
    t->sender[++t->last] = person;
    return (struct rooms_fact){ ROOMS_MESSAGE_POSTED, .message_posted = { .meta = meta,
                                                                          .room_id = id('r', 1),
                                                                          .message_id = id('m', (int)t->last),
                                                                          .seq = t->last,
                                                                          .body = text("x") } };
}

static void fold(void *state, struct rooms_fact *facts, size_t count)
{
    static int64_t offset = 100;
    const struct stream_worker *worker = messages_definition.streams[0];
    const struct any_record *records[BATCH_MAX];
    struct placed_fact placed[BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        records[i] = (const struct any_record *)&facts[i];
        placed[i] = (struct placed_fact){ records[i], 0, offset++ };
    }
    if (any(10) == 0)
        worker->state_clear(state);
    ck_assert_int_eq(worker->load(state, db.pg, &arena, records, count, true), OK);
    for (size_t i = 0; i < count; i++)
        worker->evolve(state, records[i]);
    const bool alone = any(10) == 0; /* as in a repair */
    database_fold_evolved(&db, worker, alone ? NULL : state, placed, count, any(3) ? 0 : 1 + any(5));
}

/* The room as it stands in a person's list. The same line as before must come with the same count. */
static size_t listed(int person, struct room_view **ret)
{
    static struct room_view before[PEOPLE];
    const struct uuid room = id('r', 1);
    struct room_lines list = { .viewer = id('u', person), .limit = 10 };
    ck_assert_int_eq(room_lines(db.pg, &arena, &list, 1), OK);
    size_t count;
    ck_assert_int_eq(room_list_own(db.pg, &arena, list.viewer, &room, 1, ret, &count), OK);
    ck_assert_uint_eq(count, list.count);
    if (count == 0)
        return 0;
    ck_assert(list.lines->position == (*ret)->position && list.lines->mark == (*ret)->mark);
    if (before[person].position == (*ret)->position && before[person].mark == (*ret)->mark)
        ck_assert_int_eq(before[person].unread, (*ret)->unread);
    before[person] = **ret;
    return count;
}

static void check(const struct tally *t)
{
    struct read_view *read;
    size_t read_count, at = 0;
    ck_assert_int_eq(read_list(db.pg, &arena, id('r', 1), &read, &read_count), OK);
    for (int person = 0; person < PEOPLE; person++) {
        struct room_view room, *rooms;
        bool found;
        ck_assert_int_eq(room_find_unread(db.pg, &arena, id('r', 1), id('u', person), &room, &found), OK);
        ck_assert_int_eq(room.is_member, t->member[person]);
        ck_assert_uint_eq(listed(person, &rooms), t->member[person]);
        if (!t->member[person])
            continue;
        ck_assert_int_eq(room.last_seq, t->last);
        ck_assert_int_eq(room.unread, unread(t, person));
        ck_assert_int_eq(rooms[0].unread, unread(t, person));
        ck_assert(uuid_equal(read[at].user_id, id('u', person)));
        ck_assert_int_eq(read[at++].seq, seen(t, person));
    }
    ck_assert_uint_eq(at, read_count);
}

static void reads(struct tally *t, int person)
{
    static int64_t offset;
    t->read[person] = any((uint32_t)t->last + 1);
    const struct uuid user = id('u', person), room = id('r', 1);
    char user_text[UUID_TEXT_LEN + 1], room_text[UUID_TEXT_LEN + 1];
    uuid_format(user, user_text);
    uuid_format(room, room_text);
    database_run(&db, arena_printf(&arena,
                                   "INSERT INTO messages.read_marks VALUES ('%s', '%s', %lld, now(), %lld)"
                                   " ON CONFLICT (user_id, room_id) DO UPDATE SET seq = excluded.seq,"
                                   " position = excluded.position",
                                   user_text, room_text, (long long)t->read[person], (long long)offset++));
}

START_TEST(the_count_is_right_after_every_batch)
{
    story_begin(&messages_definition);
    void *state = messages_definition.streams[0]->state_create();
    struct tally t = { .member = { true } };
    struct rooms_fact facts[BATCH_MAX] = { { ROOMS_ROOM_CREATED,
                                             .room_created = { .meta = { .actor = id('u', 0), .at = NOON },
                                                               .room_id = id('r', 1),
                                                               .name = text("lobby") } } };
    size_t count = 1, size = 1, posts = 0;
    for (int step = 0; step < STEPS || count > 0; step++) {
        if (count == size || (step >= STEPS && count > 0)) {
            posts += count;
            fold(state, facts, count);
            check(&t);
            arena_reset(&arena);
            count = 0;
            size = 1 + any(any(2) ? 4 : BATCH_MAX);
        }
        if (count == 0 && any(3) == 0) {
            reads(&t, (int)any(PEOPLE));
            check(&t);
        }
        if (step >= STEPS)
            continue;
        facts[count] = next(&t);
        count += facts[count].type != 0;
    }
    ck_assert_int_gt(t.last, 5 * 64); /* several blocks (row.h) */
    ck_assert_uint_gt(posts, (size_t)t.last);
    messages_definition.streams[0]->state_destroy(state);
    story_end();
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    chance_begin();
    Suite *suite = suite_create("unread counts");
    TCase *counts = suite_case("unread counts");
    tcase_set_timeout(counts, 120);
    tcase_add_test(counts, the_count_is_right_after_every_batch);
    suite_add_tcase(suite, counts);
    return suite_run(suite);
}
