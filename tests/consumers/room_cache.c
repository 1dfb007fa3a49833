/* The room cache on a real Redis: what the worker writes, what the gateway reads and refills, and what is left when one
 * of them, or Redis, was away. Database 9 of the server of AETHER_TEST_REDIS_URL is emptied before each test. */
#include <stdlib.h>

#include "consumers/loop/worker.h"
#include "consumers/messages/cache.h"
#include "tests/consumers/emptied_redis.h"
#include "tests/consumers/values.h"

static struct redis *redis;
static struct arena arena;

#define SAY(...) SAY_TO(redis, NULL, NULL, __VA_ARGS__)

static void setup(void)
{
    arena_init(&arena, 0);
    redis = emptied_redis(STR("9"));
}

static void teardown(void)
{
    redis_destroy(redis);
    arena_finish(&arena);
}

static const struct uuid ann = { { 0x01, [8] = 'u', [15] = 1 } }, bob = { { 0x01, [8] = 'u', [15] = 2 } };
static const struct uuid lobby = { { 0x01, [8] = 'r', [15] = 1 } };

/* --- the log of one partition, and the worker over it --- */

static struct placed_fact facts[2048];
static struct rooms_fact bodies[2048];
static size_t appended;

static void append(struct rooms_fact fact, int32_t partition)
{
    bodies[appended] = fact;
    facts[appended] =
        (struct placed_fact){ (const struct any_record *)&bodies[appended], partition, (int64_t)appended };
    appended++;
}

static void created(struct uuid room, struct uuid owner)
{
    append((struct rooms_fact){ ROOMS_ROOM_CREATED, .room_created = { .meta = { .actor = owner },
                                                                      .room_id = room,
                                                                      .kind = ROOM_KIND_PUBLIC } },
           0);
}

static void joined(struct uuid room, struct uuid user)
{
    append((struct rooms_fact){ ROOMS_MEMBER_JOINED,
                                .member_joined = { .meta = { .actor = user }, .room_id = room, .user_id = user } },
           0);
}

static void posted_as(struct uuid room, struct uuid user, int64_t seq, struct sealed body)
{
    append((struct rooms_fact){ ROOMS_MESSAGE_POSTED, .message_posted = { .meta = { .actor = user, .at = 1000 * seq },
                                                                          .room_id = room,
                                                                          .message_id = id('m', (int)seq),
                                                                          .seq = seq,
                                                                          .body = body } },
           0);
}

static void posted(struct uuid room, struct uuid user, int64_t seq)
{
    posted_as(room, user, seq,
              (struct sealed){ .state = OPEN, .clear = str_of(arena_printf(&arena, "text %lld", (long long)seq)) });
}

/* The worker writes the facts from..to-1 as one batch. */
static void written(size_t from, size_t to)
{
    ck_assert_int_eq(room_cache_write(redis, &arena, facts + from, to - from), OK);
}

/* --- the gateway --- */

static struct room_cache_head head_of(struct uuid room, struct uuid viewer)
{
    struct room_cache_head head = { .room = room, .viewer = viewer };
    ck_assert_int_eq(room_cache_heads(redis, &arena, &head, 1), OK);
    return head;
}

static struct room_cache_page page_of(struct uuid room, int64_t from, int64_t to)
{
    struct room_cache_page page = { .room = room, .from = from, .to = to };
    ck_assert_int_eq(room_cache_pages(redis, &arena, &page, 1), OK);
    return page;
}

/* What PostgreSQL would say of the lobby after the facts before `position + 1`, and the refill from it. */
static void refilled(struct room_cache_head head, int64_t position, int64_t last_seq, bool is_member)
{
    const struct room_view room = {
        .id = lobby, .kind = ROOM_KIND_PUBLIC, .last_seq = last_seq, .position = position, .is_member = is_member
    };
    struct message_view *messages = ARENA_ARRAY(&arena, struct message_view, last_seq);
    for (int64_t seq = 1; seq <= last_seq; seq++)
        messages[seq - 1] = (struct message_view){ .id = id('m', (int)seq),
                                                   .room_id = lobby,
                                                   .sender_id = ann,
                                                   .seq = seq,
                                                   .posted_at = 1000 * seq,
                                                   .body = str_of(arena_printf(&arena, "text %lld", (long long)seq)) };
    ck_assert_int_eq(room_cache_refill(redis, &arena, &head, &room, messages, (size_t)last_seq), OK);
}

START_TEST(what_the_worker_writes_the_gateway_reads)
{
    created(lobby, ann);
    joined(lobby, bob);
    posted(lobby, ann, 1);
    posted(lobby, bob, 2);
    written(0, 4);
    struct room_cache_head head = head_of(lobby, bob);
    ck_assert(head.known && head.membership == ROOM_CACHE_MEMBER && head.kind == ROOM_KIND_PUBLIC);
    ck_assert_int_eq(head.last_seq, 2);
    ck_assert_int_eq(head.version, 3);
    ck_assert_int_eq(head_of(lobby, id('u', 9)).membership, ROOM_CACHE_UNKNOWN);
    ck_assert(!head_of(id('r', 9), ann).known);

    struct room_cache_page page = page_of(lobby, 1, 2);
    ck_assert(page.complete);
    ck_assert(str_equal(
        page.items[1],
        STR("{\"id\":\"01000000-0000-0000-6d00-000000000002\",\"roomId\":\"01000000-0000-0000-7200-000000000001\","
            "\"seq\":2,\"senderId\":\"01000000-0000-0000-7500-000000000002\",\"body\":\"text 2\","
            "\"postedAt\":\"1970-01-01T00:00:02.000Z\"}")));
    ck_assert(!page_of(lobby, 1, 3).complete);
}
END_TEST

START_TEST(batches_of_any_size_write_the_same)
{
    created(lobby, ann);
    for (int64_t seq = 1; seq <= 40; seq++)
        posted(lobby, ann, seq);
    for (size_t size = 1; size <= 41; size += 8) {
        SAY(STR("FLUSHDB"));
        for (size_t at = 0; at < appended; at += size)
            written(at, at + size < appended ? at + size : appended);
        struct room_cache_head head = head_of(lobby, ann);
        ck_assert(head.known && head.last_seq == 40 && head.membership == ROOM_CACHE_MEMBER);
        ck_assert(page_of(lobby, 1, 40).complete);
    }
}
END_TEST

START_TEST(the_ring_holds_the_newest_128)
{
    created(lobby, ann);
    for (int64_t seq = 1; seq <= 1000; seq++)
        posted(lobby, ann, seq);
    written(0, 700);
    written(700, appended);
    ck_assert_int_eq(head_of(lobby, ann).last_seq, 1000);
    struct room_cache_page page = page_of(lobby, 873, 1000);
    ck_assert(page.complete);
    for (int i = 0; i < 128; i++)
        ck_assert_ptr_nonnull(strstr(page.items[i].ptr, arena_printf(&arena, "\"body\":\"text %d\"", 873 + i)));
    ck_assert_msg(!page_of(lobby, 872, 872).complete, "a slot that another message took is no answer");
}
END_TEST

/* What was in a slot is not what it was; the test's message is number 2, in the thread of number 1. */
static const struct change_row {
    const char *sentence;
    struct rooms_fact fact;
    int64_t also; /* another message that shows it; 0: none */
} change_rows[] = {
#define ROOM_ID                                                                                                        \
    {                                                                                                                  \
        {                                                                                                              \
            0x01, [8] = 'r', [15] = 1                                                                                  \
        }                                                                                                              \
    }
    { "an edited message",
      { ROOMS_MESSAGE_EDITED, .message_edited = { .room_id = ROOM_ID, .seq = 2, .version = 2 } },
      0 },
    { "a deleted answer, and what it answers",
      { ROOMS_MESSAGE_DELETED, .message_deleted = { .room_id = ROOM_ID, .seq = 2, .thread = 1 } },
      1 },
    { "a message that has expired",
      { ROOMS_MESSAGE_DELETED, .message_deleted = { .room_id = ROOM_ID, .seq = 2, .expired = true } },
      0 },
    { "a pinned message", { ROOMS_MESSAGE_PINNED, .message_pinned = { .room_id = ROOM_ID, .seq = 2 } }, 0 },
    { "an unpinned message", { ROOMS_MESSAGE_UNPINNED, .message_unpinned = { .room_id = ROOM_ID, .seq = 2 } }, 0 },
    { "a message with a reaction", { ROOMS_REACTION_ADDED, .reaction_added = { .room_id = ROOM_ID, .seq = 2 } }, 0 },
    { "a message with a reaction less",
      { ROOMS_REACTION_REMOVED, .reaction_removed = { .room_id = ROOM_ID, .seq = 2 } },
      0 },
    { "a message that is answered",
      { ROOMS_MESSAGE_POSTED, .message_posted = { .room_id = ROOM_ID, .seq = 4, .reply_to = 2, .thread = 2 } },
      0 },
};

START_TEST(a_message_that_is_changed_is_read_anew)
{
    const struct change_row *row = &change_rows[_i / 2];
    const bool at_once = _i % 2;
    created(lobby, ann);
    for (int64_t seq = 1; seq <= 3; seq++)
        posted(lobby, ann, seq);
    if (!at_once)
        written(0, 4);
    append(row->fact, 0);
    written(at_once ? 0 : 4, 5);
    ck_assert_int_eq(head_of(lobby, ann).version, 4);
    for (int64_t seq = 1; seq <= 3; seq++)
        ck_assert_msg(page_of(lobby, seq, seq).complete == (seq != 2 && seq != row->also), "%s: number %lld",
                      row->sentence, (long long)seq);
    refilled(head_of(lobby, ann), 4, 3, true);
    ck_assert(page_of(lobby, 1, 3).complete);
}
END_TEST

START_TEST(who_is_no_member_any_more_is_a_stranger_at_once)
{
    created(lobby, ann);
    joined(lobby, bob);
    written(0, 2);
    ck_assert_int_eq(head_of(lobby, bob).membership, ROOM_CACHE_MEMBER);
    if (_i == 0)
        append((struct rooms_fact){ ROOMS_MEMBER_LEFT, .member_left = { .room_id = lobby, .user_id = bob } }, 0);
    else if (_i == 1)
        append((struct rooms_fact){ ROOMS_MEMBER_REMOVED, .member_removed = { .room_id = lobby, .user_id = bob } }, 0);
    else
        append((struct rooms_fact){ ROOMS_MEMBER_BANNED, .member_banned = { .room_id = lobby, .user_id = bob } }, 0);
    written(2, 3);
    ck_assert_int_eq(head_of(lobby, bob).membership, ROOM_CACHE_STRANGER);
    ck_assert_int_eq(head_of(lobby, ann).membership, ROOM_CACHE_MEMBER);
}
END_TEST

START_TEST(many_joins_are_more_than_one_call)
{
    created(lobby, ann);
    for (int n = 0; n < 1500; n++)
        joined(lobby, (struct uuid){ { 0x02, [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n } });
    written(0, appended);
    ck_assert_int_eq(head_of(lobby, (struct uuid){ { 0x02 } }).membership, ROOM_CACHE_MEMBER);
    ck_assert_int_eq(head_of(lobby, (struct uuid){ { 0x02, [14] = 1499 >> 8, [15] = 1499 & 255 } }).membership,
                     ROOM_CACHE_MEMBER);
    ck_assert(head_of(lobby, ann).known);
}
END_TEST

START_TEST(text_of_an_erased_person_is_not_written)
{
    created(lobby, ann);
    posted(lobby, ann, 1);
    posted_as(lobby, bob, 2, (struct sealed){ .state = ERASED });
    written(0, appended);
    ck_assert_int_eq(head_of(lobby, ann).last_seq, 2);
    ck_assert(page_of(lobby, 1, 1).complete);
    ck_assert(!page_of(lobby, 1, 2).complete);
}
END_TEST

START_TEST(text_that_no_json_takes_is_made_good)
{
    created(lobby, ann);
    posted_as(lobby, ann, 1, (struct sealed){ .state = OPEN, .clear = { "a\xff\"", 3 } });
    written(0, appended);
    struct room_cache_page page = page_of(lobby, 1, 1);
    ck_assert(page.complete);
    ck_assert_ptr_nonnull(strstr(page.items[0].ptr, "\"body\":\"a\xEF\xBF\xBD\\\"\""));
}
END_TEST

START_TEST(an_emptied_redis_refills_from_reads_and_writes)
{
    created(lobby, ann);
    posted(lobby, ann, 1);
    posted(lobby, ann, 2);
    written(0, 3);
    SAY(STR("FLUSHDB"));
    struct room_cache_head head = head_of(lobby, bob);
    ck_assert(!head.known && head.membership == ROOM_CACHE_UNKNOWN);
    refilled(head, 2, 2, false);
    head = head_of(lobby, bob);
    ck_assert(head.known && head.last_seq == 2 && head.version == 2 && head.membership == ROOM_CACHE_STRANGER);
    ck_assert(page_of(lobby, 1, 2).complete);

    SAY(STR("FLUSHDB"));
    posted(lobby, ann, 3);
    written(3, 4);
    ck_assert_msg(!head_of(lobby, ann).known, "a batch alone does not know the room's kind");
    ck_assert_msg(page_of(lobby, 3, 3).complete, "but it knows its messages");
    refilled(head_of(lobby, ann), 3, 3, true);
    ck_assert(head_of(lobby, ann).known && page_of(lobby, 1, 3).complete);
}
END_TEST

START_TEST(an_old_read_never_replaces_a_newer_write)
{
    created(lobby, ann);
    posted(lobby, ann, 1);
    written(0, 2);
    struct room_cache_head before = head_of(lobby, ann);
    posted(lobby, ann, 2);
    written(2, 3);
    refilled(before, 1, 1, true); /* what PostgreSQL said before the commit */
    ck_assert_int_eq(head_of(lobby, ann).last_seq, 2);

    /* Nor does it complete a hash whose newest write it has not seen. */
    SAY(STR("FLUSHDB"));
    before = head_of(lobby, ann);
    joined(lobby, bob);
    written(3, 4);
    refilled(before, 2, 2, true);
    ck_assert(!head_of(lobby, ann).known);
    refilled(head_of(lobby, ann), 2, 2, true);
    ck_assert_msg(!head_of(lobby, ann).known, "position 2 is behind the join at 3");
    refilled(head_of(lobby, ann), 3, 2, true);
    ck_assert(head_of(lobby, ann).known);
}
END_TEST

START_TEST(a_write_that_redis_missed_makes_everything_before_it_unknown)
{
    created(lobby, ann);
    created(id('r', 2), ann);
    posted(lobby, ann, 1);
    written(0, 3);
    posted(lobby, ann, 2); /* missed */
    struct room_cache_head stale = head_of(lobby, ann);
    ck_assert_int_eq(stale.last_seq, 1);
    posted(id('r', 2), ann, 1);
    written(4, 5);
    ck_assert_msg(!head_of(lobby, ann).known, "the next batch of the partition does not join on");
    refilled(stale, 2, 1, true);
    ck_assert_msg(!head_of(lobby, ann).known, "what was read in the old epoch does not count");
    refilled(head_of(lobby, ann), 3, 2, true);
    ck_assert_int_eq(head_of(lobby, ann).last_seq, 2);
}
END_TEST

START_TEST(the_worker_can_start_a_new_epoch_without_facts)
{
    created(lobby, ann);
    written(0, 1);
    ck_assert(head_of(lobby, ann).known);
    ck_assert_int_eq(room_cache_write(redis, &arena, NULL, 0), OK);
    ck_assert(!head_of(lobby, ann).known);
    posted(lobby, ann, 1);
    written(1, 2);
    ck_assert(!head_of(lobby, ann).known);
    refilled(head_of(lobby, ann), 1, 1, true);
    ck_assert(head_of(lobby, ann).known);
}
END_TEST

START_TEST(a_fenced_worker_changes_nothing)
{
    created(lobby, ann);
    posted(lobby, ann, 1);
    posted(lobby, ann, 2);
    posted(lobby, ann, 3);
    written(0, 2);
    written(2, 4);
    written(1, 3); /* the old owner, woken up */
    struct room_cache_head head = head_of(lobby, ann);
    ck_assert(head.known && head.last_seq == 3 && head.version == 3);
    ck_assert(page_of(lobby, 1, 3).complete);
}
END_TEST

START_TEST(a_fenced_worker_does_not_bring_old_values_into_an_empty_hash)
{
    created(lobby, ann);
    posted(lobby, ann, 1);
    posted(lobby, ann, 2);
    written(0, 2);
    written(2, 3);
    ck_assert_int_eq(room_cache_write(redis, &arena, NULL, 0), OK); /* all hashes empty, the tail at 2 */
    written(0, 2);
    ck_assert_msg(!head_of(lobby, ann).known, "created and posted, but older than the tail");
    ck_assert(!page_of(lobby, 1, 1).complete);
    refilled(head_of(lobby, ann), 2, 2, true);
    ck_assert_int_eq(head_of(lobby, ann).last_seq, 2);
}
END_TEST

START_TEST(a_recovery_writes_again_what_a_dead_worker_had_written_before_its_commit)
{
    created(lobby, ann);
    posted(lobby, ann, 1);
    written(0, 2);
    posted(lobby, ann, 2);
    posted(lobby, ann, 3);
    written(2, 4);                                                  /* … and died before COMMIT */
    ck_assert_int_eq(room_cache_write(redis, &arena, NULL, 0), OK); /* somebody else missed a write */
    refilled(head_of(lobby, ann), 1, 1, true);                      /* PostgreSQL still says 1 */
    ck_assert_int_eq(head_of(lobby, ann).last_seq, 1);
    written(2, 3); /* the next owner folds in smaller batches: offset 2 is committed after this */
    ck_assert_msg(!head_of(lobby, ann).known, "number 2 is about to be acknowledged, so 1 must not be the last");
    refilled(head_of(lobby, ann), 1, 1, true);
    ck_assert(!head_of(lobby, ann).known);
    written(3, 4);
    refilled(head_of(lobby, ann), 3, 3, true);
    ck_assert_int_eq(head_of(lobby, ann).last_seq, 3);
}
END_TEST

START_TEST(partitions_have_tails_of_their_own)
{
    created(lobby, ann);
    append(
        (struct rooms_fact){ ROOMS_ROOM_CREATED, .room_created = { .meta = { .actor = bob }, .room_id = id('r', 2) } },
        1);
    facts[1].offset = 70;
    written(0, 2);
    ck_assert(head_of(lobby, ann).known && head_of(id('r', 2), bob).known);
    posted(lobby, ann, 1);
    facts[2].offset = 1;
    append((struct rooms_fact){ ROOMS_MESSAGE_POSTED, .message_posted = { .meta = { .actor = bob },
                                                                          .room_id = id('r', 2),
                                                                          .seq = 1,
                                                                          .body = { .state = OPEN } } },
           1);
    facts[3].offset = 71;
    written(2, 4);
    ck_assert_int_eq(head_of(lobby, ann).last_seq, 1);
    ck_assert_int_eq(head_of(id('r', 2), bob).last_seq, 1);
    ck_assert_int_eq(head_of(id('r', 2), bob).version, 71);
}
END_TEST

START_TEST(many_heads_and_pages_come_in_one_round_trip)
{
    for (int room = 0; room < 20; room++) {
        created(id('r', room), ann);
        posted(id('r', room), ann, 1);
    }
    written(0, appended);
    struct room_cache_head heads[21];
    struct room_cache_page pages[21];
    for (int room = 0; room <= 20; room++) {
        heads[room] = (struct room_cache_head){ .room = id('r', room), .viewer = room % 2 ? ann : bob };
        pages[room] = (struct room_cache_page){ .room = id('r', room), .from = 1, .to = 1 };
    }
    ck_assert_int_eq(room_cache_heads(redis, &arena, heads, 21), OK);
    ck_assert_int_eq(room_cache_pages(redis, &arena, pages, 21), OK);
    for (int room = 0; room < 20; room++) {
        ck_assert(heads[room].known && heads[room].membership == (room % 2 ? ROOM_CACHE_MEMBER : ROOM_CACHE_UNKNOWN));
        ck_assert(pages[room].complete);
    }
    ck_assert(!heads[20].known && !pages[20].complete);
    ck_assert_int_eq(room_cache_heads(redis, &arena, heads, 0), OK);
    ck_assert_int_eq(room_cache_pages(redis, &arena, pages, 0), OK);
}
END_TEST

static void is_integer(void *context, size_t index, const redisReply *reply)
{
    (void)index;
    *(long long *)context = reply->integer;
}

START_TEST(what_is_not_written_for_a_day_is_dropped)
{
    created(lobby, ann);
    written(0, 1);
    long long seconds = 0;
    SAY_TO(redis, is_integer, &seconds, STR("TTL"), STR("aether:room:01000000-0000-0000-7200-000000000001"));
    ck_assert(seconds > 86000 && seconds <= 86400);
}
END_TEST

START_TEST(a_redis_that_is_away_is_a_retry)
{
    struct redis *nowhere = redis_create("redis://127.0.0.1:1", 100);
    created(lobby, ann);
    struct room_cache_head head = { .room = lobby, .viewer = ann };
    struct room_cache_page page = { .room = lobby, .from = 1, .to = 1 };
    const struct room_view room = { .id = lobby };
    ck_assert_int_eq(room_cache_write(nowhere, &arena, facts, 1), RETRY);
    ck_assert_int_eq(room_cache_write(nowhere, &arena, NULL, 0), RETRY);
    ck_assert_int_eq(room_cache_heads(nowhere, &arena, &head, 1), RETRY);
    ck_assert_int_eq(room_cache_pages(nowhere, &arena, &page, 1), RETRY);
    ck_assert_int_eq(room_cache_refill(nowhere, &arena, &head, &room, NULL, 0), RETRY);
    ck_assert(!head.known && !page.complete);
    redis_destroy(nowhere);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_REDIS_URL");
    Suite *suite = suite_create("room cache");
    TCase *cache = suite_case("cache");
    tcase_add_checked_fixture(cache, setup, teardown);
    tcase_add_test(cache, what_the_worker_writes_the_gateway_reads);
    tcase_add_test(cache, batches_of_any_size_write_the_same);
    tcase_add_test(cache, the_ring_holds_the_newest_128);
    tcase_add_loop_test(cache, a_message_that_is_changed_is_read_anew, 0, 2 * sizeof change_rows / sizeof *change_rows);
    tcase_add_loop_test(cache, who_is_no_member_any_more_is_a_stranger_at_once, 0, 3);
    tcase_add_test(cache, many_joins_are_more_than_one_call);
    tcase_add_test(cache, text_of_an_erased_person_is_not_written);
    tcase_add_test(cache, text_that_no_json_takes_is_made_good);
    tcase_add_test(cache, an_emptied_redis_refills_from_reads_and_writes);
    tcase_add_test(cache, an_old_read_never_replaces_a_newer_write);
    tcase_add_test(cache, a_write_that_redis_missed_makes_everything_before_it_unknown);
    tcase_add_test(cache, the_worker_can_start_a_new_epoch_without_facts);
    tcase_add_test(cache, a_fenced_worker_changes_nothing);
    tcase_add_test(cache, a_fenced_worker_does_not_bring_old_values_into_an_empty_hash);
    tcase_add_test(cache, a_recovery_writes_again_what_a_dead_worker_had_written_before_its_commit);
    tcase_add_test(cache, partitions_have_tails_of_their_own);
    tcase_add_test(cache, many_heads_and_pages_come_in_one_round_trip);
    tcase_add_test(cache, what_is_not_written_for_a_day_is_dropped);
    tcase_add_test(cache, a_redis_that_is_away_is_a_retry);
    suite_add_tcase(suite, cache);
    return suite_run(suite);
}
