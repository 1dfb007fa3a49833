/* Who hears what, against a table of yes and no, while people come, join, leave and go at random. */
#include <stdlib.h>

#include "gateway/live/audience.h"
#include "gateway/live/listener.h"
#include "tests/suite.h"

#define LISTENERS 7
#define PERSONS   3 /* so some have several listeners */
#define ROOMS     5
#define STEPS     20000

static struct audience audience;
static struct listener listeners[LISTENERS];
static bool here[LISTENERS], in[LISTENERS][ROOMS];

static struct uuid id_of(int kind, int n)
{
    return (struct uuid){ { [0] = (uint8_t)kind, [15] = (uint8_t)n } };
}

static void step(void)
{
    int i = rand() % LISTENERS, room = rand() % ROOMS;
    struct listener *l = &listeners[i];
    switch (rand() % 6) {
    case 0:
        if (!here[i])
            audience_add_person(&audience, l);
        here[i] = true;
        break;
    case 1:
        audience_remove(&audience, l);
        here[i] = false;
        memset(in[i], 0, sizeof in[i]);
        break;
    case 2:
    case 3:
        if (here[i])
            audience_join(&audience, l, id_of(1, room));
        in[i][room] = here[i];
        break;
    default:
        audience_leave(&audience, l, id_of(1, room));
        in[i][room] = false;
    }
}

static void check_rooms(void)
{
    for (int room = 0; room < ROOMS; room++) {
        struct room_audience *heard = audience_room(&audience, id_of(1, room));
        size_t count = 0;
        for (int i = 0; i < LISTENERS; i++) {
            count += in[i][room];
            if (audience_is_in(&listeners[i], id_of(1, room)) != in[i][room])
                ck_abort_msg("listener %d, room %d", i, room);
        }
        if ((heard ? heard->count : 0) != count)
            ck_abort_msg("room %d has %zu listeners, not %zu", room, heard ? heard->count : 0, count);
        for (size_t k = 0; k < count; k++)
            if (!in[heard->members[k].listener - listeners][room])
                ck_abort_msg("room %d is heard by a stranger", room);
    }
}

static void check_persons(void)
{
    for (int person = 0; person < PERSONS; person++) {
        size_t expected = 0, found = 0;
        for (int i = person; i < LISTENERS; i += PERSONS)
            expected += here[i];
        for (struct listener *l = audience_person(&audience, id_of(2, person)); l; l = l->next_of_person)
            found++;
        if (found != expected)
            ck_abort_msg("person %d has %zu listeners, not %zu", person, found, expected);
    }
}

START_TEST(everybody_is_heard_where_they_are_and_nowhere_else)
{
    srand(1);
    for (int i = 0; i < LISTENERS; i++)
        listeners[i].claims.user_id = id_of(2, i % PERSONS);
    for (int i = 0; i < STEPS; i++) {
        step();
        check_rooms();
        check_persons();
    }
    for (int i = 0; i < LISTENERS; i++)
        audience_remove(&audience, &listeners[i]);
    ck_assert_ptr_null(audience.rooms);
    ck_assert_ptr_null(audience.persons);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, everybody_is_heard_where_they_are_and_nowhere_else);
}

int main(void)
{
    return suite_run_together("live audience", add);
}
