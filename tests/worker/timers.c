/* What is due, sent by the worker's loop. Skipped unless AETHER_TEST_KAFKA and AETHER_TEST_POSTGRES_DSN are set. */
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "tests/suite.h"
#include "tests/worker/script.h"

#define DUE     40
#define AT_ONCE 5

static struct {
    int left, at_once; /* labels 1 to `left` are due until they are counted */
    int erased;        /* the label of somebody who was erased; 0: of nobody */
    int asked;
} timer;

static struct uuid id_of(int label)
{
    return uuid_v5(counter_id((uint8_t)label), STR("due"));
}

/* The projection says what is due: what it has not counted. */
static err due(struct pg *pg, struct arena *arena, const int32_t *partitions, size_t count, int64_t now_ms,
               struct any_record ***ret, size_t *ret_count)
{
    static const struct pg_statement sql = { "timer_due", "SELECT get_byte(uuid_send(label), 15) FROM counted" };
    (void)partitions, (void)count;
    PGresult *r;
    struct pg_args args = pg_args(arena);
    TRY(pg_query(pg, &sql, &args, &r));
    bool *counted = ARENA_ARRAY(arena, bool, 256);
    for (int row = 0; row < PQntuples(r); row++)
        counted[pg_int(r, row, 0)] = true;
    PQclear(r);
    timer.asked++;
    *ret = ARENA_ARRAY(arena, struct any_record *, (size_t)timer.at_once);
    *ret_count = 0;
    for (int label = 1; label <= timer.left && *ret_count < (size_t)timer.at_once; label++) {
        if (counted[label])
            continue;
        struct rooms_command *c = ARENA_NEW(arena, struct rooms_command);
        const struct meta meta = { .id = id_of(label), .command_id = id_of(label), .actor = id_of(1), .at = now_ms };
        if (label == timer.erased) {
            c->type = ROOMS_POST_MESSAGE;
            c->post_message = (struct post_message){ .meta = meta,
                                                     .room_id = counter_id('a'),
                                                     .message_id = counter_id((uint8_t)label),
                                                     .body = { .clear = STR("hello") } };
        } else {
            c->type = ROOMS_PIN_MESSAGE;
            c->pin_message = (struct pin_message){ .meta = meta,
                                                   .room_id = counter_id('a'),
                                                   .message_id = counter_id((uint8_t)label) };
        }
        (*ret)[(*ret_count)++] = (struct any_record *)c;
    }
    return OK;
}

static bool due_of_erased(struct any_record *command)
{
    struct rooms_command *c = (struct rooms_command *)command;
    if (c->type != ROOMS_POST_MESSAGE)
        return false;
    const struct post_message post = c->post_message;
    c->type = ROOMS_PIN_MESSAGE;
    c->pin_message = (struct pin_message){ .meta = post.meta, .room_id = post.room_id, .message_id = post.message_id };
    return true;
}

static struct worker *timed(const char *setting)
{
    script.definition.due = due;
    script.definition.due_of_erased = due_of_erased;
    return worker_of(0, (const char *const[]){ setting, NULL });
}

static int64_t sent(void)
{
    return log_end(script.commands_topic, 0) + log_end(script.commands_topic, 1);
}

START_TEST(what_is_due_is_sent_until_none_is_left)
{
    timer.at_once = AT_ONCE;
    struct worker *w = timed(NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    const int64_t began_us = clock_mono_us();
    timer.left = DUE;
    turn_until(&w, 1, "SELECT count(*) FROM counted", "40");
    /* A turn a second would take seven of them. */
    ck_assert_int_lt(clock_mono_us() - began_us, 5000000);
    ck_assert_int_eq(sent(), DUE);
    worker_end(w);
}
END_TEST

START_TEST(a_command_that_is_in_flight_is_not_sent_again)
{
    timer.at_once = DUE;
    struct worker *w = timed("worker.batch_records=1"); /* so that most are in flight for a while */
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    timer.left = DUE;
    const int before = timer.asked;
    turn_until(&w, 1, "SELECT count(*) FROM counted", "40");
    ck_assert_int_gt(timer.asked, before + 1);
    ck_assert_int_eq(sent(), DUE);
    ck_assert_str_eq(value_of("SELECT count(DISTINCT label) FROM counted"), "40");
    worker_end(w);
}
END_TEST

START_TEST(who_has_nothing_due_is_asked_once_a_second)
{
    struct worker *w = timed(NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    const int before = timer.asked;
    const int64_t began_us = clock_mono_us();
    while (timer.asked < before + 2)
        ck_ok(worker_turn(w));
    ck_assert_int_gt(clock_mono_us() - began_us, 900000);
    worker_end(w);
}
END_TEST

START_TEST(what_an_erased_person_had_due_does_not_stop_what_others_have)
{
    timer.at_once = 1; /* it would be the first for ever */
    timer.erased = 1;
    struct worker *w = timed(NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    timer.left = 2;
    turn_until(&w, 1, "SELECT count(*) FROM counted", "2");
    ck_assert_str_eq(folded(), "a1:1 a2:2");
    worker_end(w);
}
END_TEST

static void begin(void)
{
    memset(&timer, 0, sizeof timer);
    script_open();
}

int main(void)
{
    suite_server("AETHER_TEST_POSTGRES_DSN");
    suite_server("AETHER_TEST_KAFKA");
    Suite *suite = suite_create("timers");
    TCase *timers = suite_case("timers");
    tcase_set_timeout(timers, 60);
    tcase_add_checked_fixture(timers, begin, script_close);
    tcase_add_test(timers, what_is_due_is_sent_until_none_is_left);
    tcase_add_test(timers, a_command_that_is_in_flight_is_not_sent_again);
    tcase_add_test(timers, who_has_nothing_due_is_asked_once_a_second);
    tcase_add_test(timers, what_an_erased_person_had_due_does_not_stop_what_others_have);
    suite_add_tcase(suite, timers);
    return suite_run(suite);
}
