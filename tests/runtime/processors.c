/* Which processors a thread and those that it makes may use. */
#include "ops/runtime/processors.h"

#include <pthread.h>

#include "tests/suite.h"

static struct config *configured(const char *option)
{
    static const struct setting *const tables[] = { processors_settings, NULL };
    char *argv[] = { "test", (char *)option, NULL };
    int argc = 2;
    struct config *config;
    ck_assert_int_eq(config_load("test", "", tables, &argc, argv, &config), OK);
    return config;
}

static void *count_own(void *ret)
{
    cpu_set_t set;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    *(int *)ret = CPU_COUNT(&set);
    return NULL;
}

static int of_a_new_thread(void)
{
    int count = 0;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, count_own, &count), 0);
    pthread_join(thread, NULL);
    return count;
}

START_TEST(a_thread_and_those_it_makes_keep_to_the_first_so_many_or_to_the_others)
{
    struct config *config = configured("--set=runtime.processors=1");
    int all;
    count_own(&all);
    cpu_set_t before;
    ck_assert_int_eq(processors_narrow(config, &before), OK);
    ck_assert_int_eq(CPU_COUNT(&before), all);
    ck_assert_int_eq(of_a_new_thread(), 1);
    processors_widen(&before);
    ck_assert_int_eq(of_a_new_thread(), all);
    ck_assert_int_eq(processors_leave(config, NULL), OK);
    ck_assert_int_eq(of_a_new_thread(), all > 1 ? all - 1 : 1);
    config_destroy(config);
}
END_TEST

START_TEST(without_a_number_or_with_more_than_there_are_they_use_all)
{
    int all;
    count_own(&all);
    const char *const options[] = { "--set=runtime.processors=0", "--set=runtime.processors=1024" };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct config *config = configured(options[i]);
        ck_assert_int_eq(processors_narrow(config, NULL), OK);
        ck_assert_int_eq(processors_leave(config, NULL), OK);
        ck_assert_int_eq(of_a_new_thread(), all);
        config_destroy(config);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("processors");
    TCase *t = suite_case("processors");
    tcase_add_test(t, a_thread_and_those_it_makes_keep_to_the_first_so_many_or_to_the_others);
    tcase_add_test(t, without_a_number_or_with_more_than_there_are_they_use_all);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
