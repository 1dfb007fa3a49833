/* The build's table of who decides what agrees with what the workers say of themselves. */
#include <stddef.h>
#include <string.h>

#include "consumers/loop/worker.h"
#include "consumers/outcome/deciders.h"
#include "consumers/outcome/operation.h"
#include "tests/suite.h"

#define WORKER(name) extern const struct worker_definition name##_definition;
#include "consumers/workers.gen.def"
#undef WORKER

static const struct worker_definition *const definitions[] = {
#define WORKER(name) &name##_definition,
#include "consumers/workers.gen.def"
#undef WORKER
};

#define WORKERS (sizeof definitions / sizeof *definitions)

START_TEST(a_worker_is_known_under_the_name_of_its_folder)
{
    ck_assert_str_eq(operation_workers[_i], definitions[_i]->name);
}
END_TEST

START_TEST(a_worker_decides_the_streams_that_its_folder_names_and_no_others)
{
    const struct stream_worker *const *own = definitions[_i]->streams;
    for (const struct decider *d = deciders; d->stream; d++) {
        if (strcmp(d->worker, definitions[_i]->name) != 0)
            continue;
        ck_assert_msg(*own && (*own)->stream == d->stream, "%s does not decide %s", d->worker, d->stream->name);
        ck_assert_str_eq(decider_of(d->stream), d->worker);
        ck_assert_ptr_eq(decider_stream(str_of(d->stream->name)), d->stream);
        own++;
    }
    ck_assert_msg(!*own, "%s decides %s, and its meson.build does not say so", definitions[_i]->name,
                  *own ? (*own)->stream->name : "");
}
END_TEST

START_TEST(nobody_decides_what_is_no_stream)
{
    const struct stream none = { .name = "weather" };
    ck_assert_ptr_null(decider_of(&none));
    ck_assert_ptr_null(decider_stream(STR("weather")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deciders");
    TCase *t = suite_case("deciders");
    tcase_add_loop_test(t, a_worker_is_known_under_the_name_of_its_folder, 0, WORKERS);
    tcase_add_loop_test(t, a_worker_decides_the_streams_that_its_folder_names_and_no_others, 0, WORKERS);
    tcase_add_test(t, nobody_decides_what_is_no_stream);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
