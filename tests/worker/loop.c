/* The worker's loop, against a log that the test writes. Skipped unless AETHER_TEST_KAFKA and AETHER_TEST_POSTGRES_DSN
 * are set. */
#include "ops/runtime/log.h"
#include "tests/suite.h"
#include "tests/worker/script.h"

/* --- who writes --- */

START_TEST(commands_are_decided_in_order_and_each_fact_is_folded_once)
{
    struct worker *w = worker_of(0, NULL);
    const struct uuid first = write_command('a', 1), no = write_command('a', LABEL_REJECTED);
    (void)write_command('b', 2);
    (void)write_command('a', 3);
    turn_past(w, 3);
    ck_assert_str_eq(folded(), "a1:1 b1:2 a2:3");
    ck_assert_str_eq(outcome_of(first), "0@0");
    ck_assert_str_eq(outcome_of(no), "6@-1");
    ck_assert_int_eq(log_end(script.events_topic, 0), 3);
    worker_end(w);
}
END_TEST

static struct uuid contested;

static void another_owner_decides(void)
{
    write_fact('a', 1, 66, 0, contested);
}

START_TEST(a_fact_at_another_offset_than_expected_says_that_another_owner_writes)
{
    struct worker *w = worker_of(0, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    counter.deciding = another_owner_decides;
    contested = write_command('a', 7);
    turn_past(w, 0);
    ck_assert_str_eq(folded(), "a1:66"); /* theirs was first; ours behind it is a duplicate */
    ck_assert_str_eq(outcome_of(contested), "0@0");
    const struct uuid next = write_command('a', 8);
    turn_past(w, 1);
    ck_assert_str_eq(folded(), "a1:66 a2:8");
    ck_assert_str_eq(outcome_of(next), "0@2");
    worker_end(w);
}
END_TEST

static void another_owner_decides_more(void)
{
    write_fact('a', 1, 66, 0, contested);
    write_fact('a', 2, 67, 1, counter_id(99));
}

START_TEST(what_another_owner_decided_of_later_commands_stands_too)
{
    struct worker *w = worker_of(0, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    counter.deciding = another_owner_decides_more;
    contested = write_command('a', 7);
    (void)write_command('a', 8);
    (void)write_command('a', 9);
    turn_past(w, 2);
    ck_assert_str_eq(folded(), "a1:66 a2:67 a3:9");
    worker_end(w);
}
END_TEST

static void another_owner_moves_the_checkpoint(void)
{
    write_fact('a', 1, 66, 0, contested);
    database_run(&script.database,
                 "INSERT INTO counted (key, number, label, partition, \"offset\") VALUES"
                 " ('00000000-0000-4000-8000-000000000061', 1, '00000000-0000-4000-8000-000000000042', 0, 0);"
                 "UPDATE checkpoint SET next_offset = 1, command_offset = 0 WHERE partition = 0");
}

START_TEST(who_finds_the_checkpoint_moved_folds_nothing_of_the_batch)
{
    struct worker *w = worker_of(0, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    counter.deciding = another_owner_moves_the_checkpoint;
    contested = write_command('a', 7);
    (void)write_command('a', 8);
    turn_past(w, 1);
    ck_assert_str_eq(folded(), "a1:66 a2:8");
    worker_end(w);
}
END_TEST

START_TEST(a_fact_in_the_log_is_the_outcome_of_its_command_though_its_fold_failed)
{
    struct worker *w = worker_of(0, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    counter.failing_folds = 1;
    const struct uuid first = write_command('a', 7);
    (void)write_command('b', LABEL_REJECTED);
    (void)write_command('a', 8);
    turn_past(w, 2);
    ck_assert_int_eq(counter.failing_folds, 0);
    ck_assert_str_eq(folded(), "a1:7 a2:8");
    ck_assert_str_eq(outcome_of(first), "0@0");
    ck_assert_int_eq(log_end(script.events_topic, 0), 2);
    worker_end(w);
}
END_TEST

START_TEST(a_command_without_a_fact_before_one_that_has_one_was_rejected_by_whoever_decided_then)
{
    const struct uuid passed = write_command('a', 7), second = write_command('a', 8);
    struct worker *w = worker_of(0, NULL);
    counter.deciding = NULL;
    turn_past(w, 1); /* there is a checkpoint: what follows is no rebuild */
    worker_end(w);
    (void)passed, (void)second;
    const struct uuid lost = write_command('a', 9), kept = write_command('a', 10);
    write_fact('a', 3, 10, 3, kept);
    w = worker_of(0, NULL);
    turn_past(w, 3);
    ck_assert_str_eq(folded(), "a1:7 a2:8 a3:10");
    ck_assert_str_eq(outcome_of(lost), "4@-1");
    ck_assert_str_eq(outcome_of(kept), "0@2");
    worker_end(w);
}
END_TEST

/* --- twice --- */

START_TEST(a_command_that_comes_twice_in_a_batch_and_again_later_gives_one_fact)
{
    struct worker *w = worker_of(0, NULL);
    const struct uuid id = write_command('a', 7);
    write_copy('a', 7, id);
    turn_past(w, 1);
    write_copy('a', 7, id);
    turn_past(w, 2);
    ck_assert_str_eq(folded(), "a1:7");
    ck_assert_int_eq(log_end(script.events_topic, 0), 1);
    worker_end(w);
    write_copy('a', 7, id);
    w = worker_of(0, NULL); /* who never saw it */
    turn_past(w, 3);
    ck_assert_str_eq(folded(), "a1:7");
    ck_assert_str_eq(outcome_of(id), "0@0");
    worker_end(w);
}
END_TEST

/* Commands are kept for some days, facts for ever. */
START_TEST(of_facts_of_one_command_that_stand_side_by_side_a_rebuild_folds_the_first)
{
    write_fact('a', 1, 1, 0, counter_id(1));
    write_fact('a', 1, 2, 0, counter_id(1));
    write_fact('a', 1, 3, 0, counter_id(1));
    write_fact('a', 2, 4, 1, counter_id(2));
    write_fact('a', 1, 5, 0, counter_id(1)); /* later than the next one, too */
    write_fact('b', 1, 6, 5, counter_id(3));
    for (int i = 0; i < 6; i++)
        (void)write_command('a', 7);
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 5);
    ck_assert_str_eq(folded(), "a1:1 a2:4 b1:6");
    ck_assert_str_eq(outcome_of(counter_id(1)), "0@0");
    worker_end(w);
}
END_TEST

START_TEST(of_facts_side_by_side_whose_command_is_still_there_the_first_is_folded)
{
    struct worker *w = worker_of(0, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    worker_end(w);
    const struct uuid first = write_command('a', 1), second = write_command('a', 2);
    write_fact('a', 1, 1, 0, first);
    write_fact('a', 1, 66, 0, first);
    write_fact('a', 2, 2, 1, second);
    write_fact('a', 2, 67, 1, second);
    w = worker_of(0, NULL);
    turn_past(w, 1);
    ck_assert_str_eq(folded(), "a1:1 a2:2");
    ck_assert_str_eq(outcome_of(second), "0@2");
    (void)write_command('a', 3);
    turn_past(w, 2);
    ck_assert_str_eq(folded(), "a1:1 a2:2 a3:3");
    worker_end(w);
}
END_TEST

/* --- what retention took --- */

static void checkpoint_at_one(void)
{
    struct worker *w = worker_of(0, NULL);
    (void)write_command('a', 1);
    turn_past(w, 0);
    worker_end(w);
}

START_TEST(facts_whose_commands_retention_took_are_folded_all_the_same)
{
    checkpoint_at_one();
    for (uint8_t label = 2; label <= 4; label++)
        write_fact('a', label, label, label - 1, write_command('a', label));
    (void)write_command('a', 5);
    take_before(script.commands_topic, 3); /* of three facts two have lost their command */
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 4);
    ck_assert_str_eq(folded(), "a1:1 a2:2 a3:3 a4:4 a5:5");
    ck_assert_int_eq(log_end(script.events_topic, 0), 5);
    worker_end(w);
}
END_TEST

START_TEST(of_facts_side_by_side_whose_command_retention_took_the_first_is_folded)
{
    checkpoint_at_one();
    const struct uuid id = write_command('a', 2);
    write_fact('a', 2, 2, 1, id);
    write_fact('a', 2, 66, 1, id);
    (void)write_command('a', 3);
    take_before(script.commands_topic, 2);
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 2);
    ck_assert_str_eq(folded(), "a1:1 a2:2 a3:3");
    worker_end(w);
}
END_TEST

START_TEST(a_duplicate_of_what_was_folded_is_dropped_though_its_command_is_gone)
{
    checkpoint_at_one();
    write_fact('a', 1, 66, 0, counter_id(1));
    (void)write_command('a', 2);
    take_before(script.commands_topic, 1);
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 1);
    ck_assert_str_eq(folded(), "a1:1 a2:2");
    worker_end(w);
}
END_TEST

START_TEST(commands_that_retention_took_undecided_are_passed_over)
{
    checkpoint_at_one();
    (void)write_command('a', 2);
    (void)write_command('a', 3);
    (void)write_command('a', 4);
    take_before(script.commands_topic, 3);
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 3);
    ck_assert_str_eq(folded(), "a1:1 a2:4");
    worker_end(w);
}
END_TEST

START_TEST(a_projection_that_is_not_there_is_made_of_facts_alone)
{
    enum { FACTS = 50 };
    for (int i = 0; i < FACTS; i++)
        write_fact('a', i + 1, 9, i, write_command('a', 9));
    take_before(script.commands_topic, 20);
    struct worker *w = worker_of(0, (const char *[]){ "worker.rebuild_records=7", NULL });
    turn_past(w, FACTS - 1);
    ck_assert_str_eq(
        value_of(arena_printf(&script.arena,
                              "SELECT string_agg(number::text, ' ' ORDER BY position)"
                              " = (SELECT string_agg(n::text, ' ' ORDER BY n) FROM generate_series(1, %d) n)"
                              " FROM counted",
                              FACTS)),
        "true");
    (void)write_command('a', 10);
    turn_past(w, FACTS);
    ck_assert_str_eq(outcome_of(counter_id(0)), "-");
    ck_assert_int_eq(log_end(script.events_topic, 0), FACTS + 1);
    worker_end(w);
}
END_TEST

/* --- parked --- */

static void mend(void)
{
    database_run(&script.database, "ALTER TABLE counted DROP CONSTRAINT taken");
}

static void wish(const char *action, int64_t offset)
{
    database_run(&script.database,
                 arena_printf(&script.arena, "UPDATE parked SET action = '%s' WHERE \"offset\" = %lld", action,
                              (long long)offset));
}

static void turn_until_nothing_is_parked(struct worker *w)
{
    turn_until(&w, 1, "SELECT count(*) FROM parked", "0");
}

START_TEST(two_facts_of_a_key_wait_behind_a_poisoned_one_and_follow_it_in_order)
{
    (void)write_command('a', LABEL_REFUSED);
    (void)write_command('b', 1);
    const struct uuid second = write_command('a', 2), third = write_command('a', 3);
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 3);
    ck_assert_str_eq(folded(), "b1:1");
    ck_assert_str_eq(parked_events(), "0 2 3");
    ck_assert_str_eq(outcome_of(second), "-"); /* it is known when the key is free again */
    (void)write_command('b', 4);
    turn_past(w, 4);
    ck_assert_str_eq(folded(), "b1:1 b2:4");
    mend();
    wish("retry", 0);
    turn_until_nothing_is_parked(w);
    ck_assert_str_eq(folded(), "b1:1 b2:4 a1:201 a2:2 a3:3");
    ck_assert_str_eq(outcome_of(third), "0@3");
    (void)write_command('a', 5);
    turn_past(w, 5);
    ck_assert_str_eq(folded(), "b1:1 b2:4 a1:201 a2:2 a3:3 a4:5");
    worker_end(w);
}
END_TEST

START_TEST(in_a_rebuild_too_facts_wait_behind_a_poisoned_one_of_their_key)
{
    const uint8_t labels[] = { 1, LABEL_REFUSED, 3, 4 };
    for (int i = 0; i < 4; i++)
        write_fact('a', i + 1, labels[i], 2 * i, write_command('a', labels[i])),
            write_fact('b', i + 1, labels[i] == LABEL_REFUSED ? 9 : labels[i], 2 * i + 1, write_command('b', 9));
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 7);
    ck_assert_str_eq(folded(), "a1:1 b1:1 b2:9 b3:3 b4:4");
    ck_assert_str_eq(parked_events(), "2 4 6");
    mend();
    wish("retry", 2);
    turn_until_nothing_is_parked(w);
    ck_assert_str_eq(folded(), "a1:1 b1:1 b2:9 b3:3 b4:4 a2:201 a3:3 a4:4");
    worker_end(w);
}
END_TEST

START_TEST(a_new_owner_knows_which_keys_are_blocked)
{
    (void)write_command('a', LABEL_REFUSED);
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 0);
    ck_assert_str_eq(parked_events(), "0");
    worker_end(w);
    w = worker_of(0, NULL);
    const struct uuid held = write_command('a', 2);
    (void)write_command('b', 3);
    turn_past(w, 2);
    ck_assert_str_eq(folded(), "b1:3");
    ck_assert_str_eq(outcome_of(held), "3@-1");
    mend();
    wish("retry", 0);
    turn_until_nothing_is_parked(w);
    write_copy('a', 2, held); /* what was held up may be sent again under its id */
    turn_past(w, 3);
    ck_assert_str_eq(folded(), "b1:3 a1:201 a2:2");
    ck_assert_str_eq(outcome_of(held), "0@2");
    worker_end(w);
}
END_TEST

START_TEST(what_was_discarded_stays_out_also_of_a_rebuild_and_what_waited_behind_it_comes)
{
    (void)write_command('a', LABEL_REFUSED);
    (void)write_command('a', 2);
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 1);
    ck_assert_str_eq(parked_events(), "0 1");
    wish("discard", 0);
    turn_until_nothing_is_parked(w);
    ck_assert_str_eq(folded(), "a2:2");
    worker_end(w);
    database_run(&script.database, arena_printf(&script.arena, "DROP SCHEMA %s CASCADE", script.name));
    w = worker_of(0, NULL);
    turn_past(w, 1);
    ck_assert_str_eq(folded(), "a2:2");
    ck_assert_str_eq(parked_events(), "");
    worker_end(w);
}
END_TEST

START_TEST(what_still_does_not_fold_stays_parked_with_its_cause)
{
    (void)write_command('a', LABEL_REFUSED);
    (void)write_command('a', 2);
    struct worker *w = worker_of(0, NULL);
    turn_past(w, 1);
    wish("retry", 0);
    turn_until(&w, 1, "SELECT count(*) FROM parked WHERE action IS NULL", "2");
    ck_assert_str_eq(folded(), "");
    ck_assert_str_eq(parked_events(), "0 1");
    (void)write_command('b', 3);
    turn_past(w, 2);
    ck_assert_str_eq(folded(), "b1:3");
    worker_end(w);
}
END_TEST

START_TEST(a_record_that_cannot_be_read_holds_up_the_facts_of_its_key_but_no_commands)
{
    struct worker *w = worker_of(0, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    worker_end(w);
    write_garbage(script.commands_topic, 'a');
    (void)write_command('a', 1);
    w = worker_of(0, NULL);
    turn_past(w, 1);
    ck_assert_str_eq(folded(), "a1:1");
    worker_end(w);
    write_garbage(script.events_topic, 'a'); /* at 1 */
    const struct uuid second = write_command('a', 2);
    write_fact('a', 2, 2, 2, second);
    write_fact('b', 1, 3, 3, write_command('b', 3));
    w = worker_of(0, NULL);
    turn_past(w, 3);
    ck_assert_str_eq(folded(), "a1:1 b1:3");
    ck_assert_str_eq(parked_events(), "1 2");
    wish("discard", 1);
    turn_until(&w, 1,
               arena_printf(&script.arena, "SELECT count(*) FROM parked WHERE topic = '%s'", script.events_topic), "0");
    ck_assert_str_eq(folded(), "a1:1 b1:3 a2:2");
    worker_end(w);
}
END_TEST

/* --- signals --- */

static const char *signalled(void)
{
    return "SELECT string_agg(partition || '@' || \"offset\", ' ' ORDER BY partition, \"offset\") FROM signalled";
}

START_TEST(signals_whose_fold_failed_are_read_again)
{
    struct worker *w = worker_of(0, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    write_signal(0);
    turn_until(&w, 1, signalled(), "0@0");
    counter.failing_signals = 1;
    write_signal(0);
    write_signal(1);
    turn_until(&w, 1, signalled(), "0@0 0@1 1@0");
    ck_assert_int_eq(counter.failing_signals, 0);
    worker_end(w);
}
END_TEST

START_TEST(who_takes_over_a_partition_goes_on_with_its_signals)
{
    struct worker *both[] = { worker_of(0, NULL), worker_of(1, NULL) };
    turn_owning(both, 2, both[0], 1);
    turn_owning(both, 2, both[1], 1);
    write_signal(0);
    write_signal(1);
    turn_until(both, 2, signalled(), "0@0 1@0");
    worker_end(both[0]);
    write_signal(0);
    write_signal(1);
    turn_owning(&both[1], 1, both[1], SCRIPT_PARTITIONS); /* when Kafka has missed the other one */
    turn_until(&both[1], 1, signalled(), "0@0 0@1 1@0 1@1");
    worker_end(both[1]);
}
END_TEST

START_TEST(who_is_started_again_reads_signals_from_where_their_fold_stands)
{
    struct worker *w = worker_of(0, NULL);
    write_signal(0);
    turn_until(&w, 1, signalled(), "0@0");
    worker_end(w);
    write_signal(0);
    database_run(&script.database, "DELETE FROM signalled"); /* so that it shows what is folded twice */
    w = worker_of(0, NULL);
    turn_until(&w, 1, signalled(), "0@1");
    worker_end(w);
}
END_TEST

/* --- the cache --- */

START_TEST(a_cache_that_was_away_is_emptied_before_it_is_told_anything)
{
    struct worker *w = worker_of(0, NULL);
    (void)write_command('a', 1);
    turn_past(w, 0);
    ck_assert_int_eq(counter.cached, 1);
    counter.cache_is_away = true;
    (void)write_command('a', 2);
    turn_past(w, 1);
    ck_assert_int_eq(counter.emptied, 0);
    counter.cache_is_away = false;
    (void)write_command('a', 3);
    turn_past(w, 2);
    ck_assert_int_ge(counter.emptied, 1);
    ck_assert(!counter.cached_before_emptied);
    ck_assert_str_eq(folded(), "a1:1 a2:2 a3:3");
    worker_end(w);
}
END_TEST

START_TEST(what_the_cache_was_told_of_a_fact_that_does_not_fold_is_taken_back)
{
    struct worker *w = worker_of(0, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    (void)write_command('a', LABEL_REFUSED);
    turn_past(w, 0);
    ck_assert_int_ge(counter.cached, 1);
    ck_assert_int_ge(counter.emptied, 1);
    worker_end(w);
}
END_TEST

/* --- who decides --- */

static const char *owned(void)
{
    return value_of("SELECT string_agg(partition || '/' || partitions || ' of ' || instance, ', ' ORDER BY partition)"
                    " FROM owners WHERE until > now()");
}

START_TEST(gateways_are_told_at_once_who_decides_a_partition_and_that_it_has_left)
{
    struct worker *w = worker_of(3, NULL);
    w->chores_at_us = INT64_MAX; /* not because it is time for chores */
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    ck_assert_str_eq(owned(), "0/2 of 3, 1/2 of 3"); /* with the turn that has recovered them */
    worker_end(w);
    ck_assert_str_eq(owned(), "");
}
END_TEST

START_TEST(who_is_started_again_takes_back_what_was_said_before_it_was_killed)
{
    struct worker *w = worker_of(3, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    worker_end(w);
    database_run(&script.database, "INSERT INTO owners VALUES ('s', 0, 2, 3, now() + interval '1 hour'),"
                                   " ('s', 1, 2, 4, now() + interval '1 hour')");
    w = worker_of(3, NULL);
    ck_assert_str_eq(owned(), "1/2 of 4");
    worker_end(w);
}
END_TEST

START_TEST(who_cannot_decide_does_not_say_so)
{
    struct worker *w = worker_of(3, NULL);
    turn_owning(&w, 1, w, SCRIPT_PARTITIONS);
    database_run(&script.database, "DELETE FROM owners");
    counter.failing_folds = 1000000;
    (void)write_command('a', 1);
    while (counter.failing_folds >
           1000000 - 7) /* its pauses have grown to more than the second after which it says so */
        ck_ok(worker_turn(w));
    ck_assert_str_eq(owned(), "");
    counter.failing_folds = 0;
    turn_past(w, 0);
    turn_until(&w, 1, "SELECT count(*) FROM owners WHERE until > now()", "2");
    worker_end(w);
}
END_TEST

int main(void)
{
    suite_server("AETHER_TEST_KAFKA");
    suite_server("AETHER_TEST_POSTGRES_DSN");
    log_init("loop", LOG_LEVEL_ERROR + 1);
    const TTest *const tests[] = {
        commands_are_decided_in_order_and_each_fact_is_folded_once,
        a_fact_at_another_offset_than_expected_says_that_another_owner_writes,
        what_another_owner_decided_of_later_commands_stands_too,
        who_finds_the_checkpoint_moved_folds_nothing_of_the_batch,
        a_fact_in_the_log_is_the_outcome_of_its_command_though_its_fold_failed,
        a_command_without_a_fact_before_one_that_has_one_was_rejected_by_whoever_decided_then,
        a_command_that_comes_twice_in_a_batch_and_again_later_gives_one_fact,
        of_facts_of_one_command_that_stand_side_by_side_a_rebuild_folds_the_first,
        of_facts_side_by_side_whose_command_is_still_there_the_first_is_folded,
        facts_whose_commands_retention_took_are_folded_all_the_same,
        of_facts_side_by_side_whose_command_retention_took_the_first_is_folded,
        a_duplicate_of_what_was_folded_is_dropped_though_its_command_is_gone,
        commands_that_retention_took_undecided_are_passed_over,
        a_projection_that_is_not_there_is_made_of_facts_alone,
        two_facts_of_a_key_wait_behind_a_poisoned_one_and_follow_it_in_order,
        in_a_rebuild_too_facts_wait_behind_a_poisoned_one_of_their_key,
        a_new_owner_knows_which_keys_are_blocked,
        what_was_discarded_stays_out_also_of_a_rebuild_and_what_waited_behind_it_comes,
        what_still_does_not_fold_stays_parked_with_its_cause,
        a_record_that_cannot_be_read_holds_up_the_facts_of_its_key_but_no_commands,
        signals_whose_fold_failed_are_read_again,
        who_takes_over_a_partition_goes_on_with_its_signals,
        who_is_started_again_reads_signals_from_where_their_fold_stands,
        a_cache_that_was_away_is_emptied_before_it_is_told_anything,
        what_the_cache_was_told_of_a_fact_that_does_not_fold_is_taken_back,
        gateways_are_told_at_once_who_decides_a_partition_and_that_it_has_left,
        who_is_started_again_takes_back_what_was_said_before_it_was_killed,
        who_cannot_decide_does_not_say_so,
    };
    Suite *suite = suite_create("loop");
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) { /* a case of its own: one test can be asked for */
        TCase *alone = suite_case(tests[i]->name);
        tcase_add_checked_fixture(alone, script_open, script_close);
        tcase_add_test(alone, tests[i]);
        suite_add_tcase(suite, alone);
    }
    return suite_run(suite);
}
