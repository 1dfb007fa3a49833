/* The tail of a partition: whose fact is whose. */
#include <stdlib.h>

#include "consumers/loop/partition.h"
#include "tests/suite.h"

static struct partition partition_with_tail(const int64_t *command_offsets, size_t count)
{
    struct partition p = { .poison = -1 };
    for (size_t i = 0; i < count; i++)
        partition_push_tail(&p, (struct tail_fact){ .offset = 100 + (int64_t)i, .command_offset = command_offsets[i] });
    return p;
}

START_TEST(a_command_finds_its_fact_and_no_other)
{
    const int64_t facts[] = { 3, 5, 9 };
    struct partition p = partition_with_tail(facts, 3);
    const int64_t expected[] = { 0, 0, 0, 100, 0, 101, 0, 0, 0, 102, 0 };
    for (int64_t command = 0; command < 11; command++) {
        const struct tail_fact *fact = partition_tail_fact(&p, command);
        ck_assert_int_eq(fact ? fact->offset : 0, expected[command]);
    }
    partition_finish(&p);
}
END_TEST

START_TEST(a_command_before_the_last_fact_without_one_was_rejected)
{
    const int64_t facts[] = { 3, 9 };
    struct partition p = partition_with_tail(facts, 2);
    ck_assert(partition_is_behind_tail(&p, 4));
    ck_assert(partition_is_behind_tail(&p, 8));
    ck_assert(!partition_is_behind_tail(&p, 9));
    ck_assert(!partition_is_behind_tail(&p, 10));
    partition_finish(&p);
}
END_TEST

START_TEST(an_empty_tail_knows_nothing)
{
    struct partition p = { .poison = -1 };
    ck_assert_ptr_null(partition_tail_fact(&p, 7));
    ck_assert(!partition_is_behind_tail(&p, 7));
    partition_finish(&p);
}
END_TEST

START_TEST(a_forgotten_tail_is_empty_and_must_be_read_again)
{
    const int64_t facts[] = { 3 };
    struct partition p = partition_with_tail(facts, 1);
    partition_forget(&p);
    ck_assert(p.stale);
    ck_assert_ptr_null(partition_tail_fact(&p, 3));
    partition_finish(&p);
}
END_TEST

START_TEST(a_tail_of_any_length_is_kept)
{
    struct partition p = { .poison = -1 };
    for (int64_t i = 0; i < 10000; i++)
        partition_push_tail(&p, (struct tail_fact){ .offset = i, .command_offset = 2 * i });
    for (int64_t i = 0; i < 20000; i++) {
        const struct tail_fact *fact = partition_tail_fact(&p, i);
        ck_assert(i % 2 ? fact == NULL : fact && fact->offset == i / 2);
    }
    partition_finish(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partition");
    TCase *tail = suite_case("tail");
    tcase_add_test(tail, a_command_finds_its_fact_and_no_other);
    tcase_add_test(tail, a_command_before_the_last_fact_without_one_was_rejected);
    tcase_add_test(tail, an_empty_tail_knows_nothing);
    tcase_add_test(tail, a_forgotten_tail_is_empty_and_must_be_read_again);
    tcase_add_test(tail, a_tail_of_any_length_is_kept);
    suite_add_tcase(suite, tail);
    return suite_run(suite);
}
