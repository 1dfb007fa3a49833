/* The table of those that wait: whatever reaches for a request at once, exactly one gets it. */
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>

#include "gateway/commands/waiting.h"
#include "tests/suite.h"

static const uint8_t mine[16] = { 1 }, theirs[16] = { 2 };

static struct waiting_entry entry_of(uint32_t number, int64_t deadline_us)
{
    struct waiting_entry e = { .deadline_us = deadline_us, .added_us = 1000000 };
    /* The table never looks into a request; its number stands for it. */
    e.request = (struct request *)(uintptr_t)(number + 1);
    memcpy(e.command_id.bytes, &number, sizeof number);
    memcpy(e.request_hash, mine, sizeof mine);
    return e;
}

START_TEST(a_request_is_taken_once_by_command_or_by_ticket)
{
    struct waiting *w = waiting_create(64);
    struct waiting_entry in = entry_of(7, 10), out;
    waiting_ticket ticket, other;
    ck_assert_int_eq(waiting_add(w, &in, &ticket), WAITING_ADDED);
    ck_assert_uint_ne(ticket, 0);
    ck_assert_int_eq(waiting_add(w, &in, &other), WAITING_TWICE);
    ck_assert_uint_eq(waiting_count(w), 1);
    ck_assert(waiting_take(w, in.command_id, NULL, &out));
    ck_assert_ptr_eq(out.request, in.request);
    ck_assert(!waiting_take(w, in.command_id, NULL, &out));
    ck_assert(!waiting_take_ticket(w, ticket, false, &out));
    ck_assert_int_eq(waiting_add(w, &in, &other), WAITING_ADDED);
    ck_assert(!waiting_take_ticket(w, ticket, false, &out)); /* the slot is the same, the ticket is not */
    ck_assert(waiting_take_ticket(w, other, false, &out));
    ck_assert(!waiting_take(w, in.command_id, NULL, &out));
    ck_assert(!waiting_take_ticket(w, 0, false, &out));
    ck_assert(!waiting_take_ticket(w, UINT64_MAX, false, &out));
    waiting_destroy(w);
}
END_TEST

START_TEST(a_delivery_takes_only_who_wants_no_outcome)
{
    struct waiting *w = waiting_create(64);
    struct waiting_entry patient = entry_of(1, 10), hasty = entry_of(2, 10), out;
    waiting_ticket a, b;
    hasty.respond_async = true;
    ck_assert_int_eq(waiting_add(w, &patient, &a), WAITING_ADDED);
    ck_assert_int_eq(waiting_add(w, &hasty, &b), WAITING_ADDED);
    ck_assert(!waiting_take_ticket(w, a, true, &out));
    ck_assert(waiting_take_ticket(w, b, true, &out));
    ck_assert(waiting_take(w, patient.command_id, NULL, &out));
    waiting_destroy(w);
}
END_TEST

START_TEST(a_reply_that_is_for_somebody_else_with_the_same_key_leaves_the_first_waiting)
{
    struct waiting *w = waiting_create(64);
    struct waiting_entry in = entry_of(1, 10), out;
    waiting_ticket ticket;
    ck_assert_int_eq(waiting_add(w, &in, &ticket), WAITING_ADDED);
    ck_assert(!waiting_take(w, in.command_id, mine, &out));
    ck_assert(waiting_take(w, in.command_id, theirs, &out));
    waiting_destroy(w);
}
END_TEST

START_TEST(those_whose_deadline_has_passed_are_taken_and_the_others_are_not)
{
    struct waiting *w = waiting_create(2000);
    struct waiting_entry out[100];
    waiting_ticket ticket;
    for (uint32_t i = 0; i < 1000; i++) {
        struct waiting_entry in = entry_of(i, i);
        ck_assert_int_eq(waiting_add(w, &in, &ticket), WAITING_ADDED);
    }
    size_t taken = 0, n;
    while ((n = waiting_take_expired(w, 499, out, 100)) > 0) {
        for (size_t i = 0; i < n; i++)
            ck_assert_int_le(out[i].deadline_us, 499);
        taken += n;
    }
    ck_assert_uint_eq(taken, 500);
    while ((n = waiting_take_expired(w, INT64_MAX, out, 100)) > 0)
        taken += n;
    ck_assert_uint_eq(taken, 1000);
    ck_assert_uint_eq(waiting_count(w), 0);
    waiting_destroy(w);
}
END_TEST

START_TEST(the_table_is_bounded_and_every_place_comes_back)
{
    struct waiting *w = waiting_create(1000);
    struct waiting_entry out;
    waiting_ticket ticket;
    for (int round = 0; round < 3; round++) {
        uint32_t added = 0;
        for (uint32_t i = 0; i < 3000; i++) {
            struct waiting_entry in = entry_of((uint32_t)round * 10000 + i, 10);
            added += waiting_add(w, &in, &ticket) == WAITING_ADDED;
        }
        ck_assert_uint_eq(added, 1000);
        uint32_t taken = 0;
        for (uint32_t i = 0; i < 3000; i++)
            taken += waiting_take(w, entry_of((uint32_t)round * 10000 + i, 10).command_id, NULL, &out);
        ck_assert_uint_eq(taken, 1000);
    }
    waiting_destroy(w);
}
END_TEST

START_TEST(who_has_had_no_reply_is_named_with_growing_pauses)
{
    struct waiting *w = waiting_create(64);
    struct waiting_entry in = entry_of(5, INT64_MAX), out;
    struct waiting_silent silent[4];
    waiting_ticket ticket;
    ck_assert_int_eq(waiting_add(w, &in, &ticket), WAITING_ADDED);
    ck_assert_uint_eq(waiting_silent(w, 1149999, 150000, silent, 4), 0);
    ck_assert_uint_eq(waiting_silent(w, 1150000, 150000, silent, 4), 1);
    ck_assert(uuid_equal(silent[0].command_id, in.command_id));
    int64_t last = 1150000, pause = 0;
    for (int64_t now = last; now < 60000000; now += 10000) {
        if (waiting_silent(w, now, 150000, silent, 4) == 0)
            continue;
        ck_assert_int_ge(now - last, pause);
        pause = now - last;
        last = now;
    }
    ck_assert_int_ge(pause, 900000);
    ck_assert_int_le(pause, 1010000);
    ck_assert(waiting_take(w, in.command_id, NULL, &out));
    ck_assert_uint_eq(waiting_silent(w, INT64_MAX, 150000, silent, 4), 0);
    waiting_destroy(w);
}
END_TEST

/* --- races: one thread adds, others reach for the same requests the way replies, deliveries and deadlines do --- */

#define RACERS   3
#define REQUESTS 30000

struct race {
    struct waiting *table;
    atomic_uint taken[REQUESTS]; /* how often each request was got */
    _Atomic waiting_ticket tickets[REQUESTS];
    atomic_uint added;
    atomic_bool done;
};

static void got(struct race *race, const struct waiting_entry *e)
{
    atomic_fetch_add(&race->taken[(uintptr_t)e->request - 1], 1);
}

static void *race_replies(void *argument)
{
    struct race *race = argument;
    struct waiting_entry out;
    while (!atomic_load(&race->done)) {
        uint32_t added = atomic_load(&race->added),
                 number = added > 0 ? added - 1 - randombytes_uniform(added < 200 ? added : 200) : 0;
        if (waiting_take(race->table, entry_of(number, 0).command_id, randombytes_uniform(8) == 0 ? mine : NULL, &out))
            got(race, &out);
    }
    return NULL;
}

static void *race_deliveries(void *argument)
{
    struct race *race = argument;
    struct waiting_entry out;
    while (!atomic_load(&race->done)) {
        uint32_t added = atomic_load(&race->added),
                 number = added > 0 ? added - 1 - randombytes_uniform(added < 200 ? added : 200) : 0;
        waiting_ticket ticket = atomic_load(&race->tickets[number]);
        if (ticket != 0 && waiting_take_ticket(race->table, ticket, number % 2 == 0, &out)) {
            ck_assert_uint_eq((uintptr_t)out.request - 1, number); /* never somebody who got the slot later */
            got(race, &out);
        }
    }
    return NULL;
}

static void *race_deadlines(void *argument)
{
    struct race *race = argument;
    struct waiting_entry out[16];
    struct waiting_silent silent[16];
    while (!atomic_load(&race->done)) {
        size_t n = waiting_take_expired(race->table, (int64_t)randombytes_uniform(100), out, 16);
        for (size_t i = 0; i < n; i++)
            got(race, &out[i]);
        (void)waiting_silent(race->table, 2000000, 1, silent, 16);
    }
    return NULL;
}

START_TEST(however_many_reach_for_a_request_one_gets_it)
{
    struct race *race = calloc(1, sizeof *race);
    ck_assert_ptr_nonnull(race);
    race->table = waiting_create(256);
    void *(*const racers[RACERS])(void *) = { race_replies, race_deliveries, race_deadlines };
    pthread_t threads[RACERS];
    for (int i = 0; i < RACERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, racers[i], race), 0);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct waiting_entry in = entry_of(i, 50 + i % 100);
        in.respond_async = i % 4 == 0;
        waiting_ticket ticket;
        enum waiting_added added;
        while ((added = waiting_add(race->table, &in, &ticket)) == WAITING_FULL) {
            struct waiting_entry out;
            if (waiting_take_expired(race->table, INT64_MAX, &out, 1) == 1)
                got(race, &out);
        }
        ck_assert_int_eq(added, WAITING_ADDED);
        atomic_store(&race->tickets[i], ticket);
        atomic_store(&race->added, i + 1);
    }
    atomic_store(&race->done, true);
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    struct waiting_entry out;
    while (waiting_take_expired(race->table, INT64_MAX, &out, 1) == 1)
        got(race, &out);
    for (uint32_t i = 0; i < REQUESTS; i++)
        ck_assert_msg(atomic_load(&race->taken[i]) == 1, "request %u was got %u times", i,
                      atomic_load(&race->taken[i]));
    waiting_destroy(race->table);
    free(race);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, a_request_is_taken_once_by_command_or_by_ticket);
    tcase_add_test(tests, a_delivery_takes_only_who_wants_no_outcome);
    tcase_add_test(tests, a_reply_that_is_for_somebody_else_with_the_same_key_leaves_the_first_waiting);
    tcase_add_test(tests, those_whose_deadline_has_passed_are_taken_and_the_others_are_not);
    tcase_add_test(tests, the_table_is_bounded_and_every_place_comes_back);
    tcase_add_test(tests, who_has_had_no_reply_is_named_with_growing_pauses);
    tcase_add_test(tests, however_many_reach_for_a_request_one_gets_it);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : suite_run_together("waiting", add);
}
