#include "gateway/live/audience.h"

#include <stdlib.h>

#include "gateway/live/listener.h"

struct room_audience *audience_room(struct audience *a, struct uuid id)
{
    struct room_audience *room;
    HASH_FIND(hh, a->rooms, &id, sizeof id, room);
    return room;
}

static struct person_audience *find_person(struct audience *a, struct uuid id)
{
    struct person_audience *person;
    HASH_FIND(hh, a->persons, &id, sizeof id, person);
    return person;
}

struct listener *audience_person(struct audience *a, struct uuid id)
{
    struct person_audience *person = find_person(a, id);
    return person ? person->first : NULL;
}

void audience_add_person(struct audience *a, struct listener *l)
{
    struct person_audience *person = find_person(a, l->claims.user_id);
    if (!person) {
        person = mem_alloc(sizeof *person);
        person->id = l->claims.user_id;
        HASH_ADD(hh, a->persons, id, sizeof person->id, person);
    }
    l->next_of_person = person->first;
    l->this_of_person = &person->first;
    if (person->first)
        person->first->this_of_person = &l->next_of_person;
    person->first = l;
}

static struct subscription *find_subscription(const struct listener *l, struct uuid room)
{
    for (size_t i = 0; i < l->room_count; i++)
        if (uuid_equal(l->rooms[i].room->id, room))
            return &l->rooms[i];
    return NULL;
}

bool audience_is_in(const struct listener *l, struct uuid room)
{
    return find_subscription(l, room);
}

void audience_join(struct audience *a, struct listener *l, struct uuid id)
{
    if (!find_subscription(l, id))
        audience_join_another(a, l, id);
}

void audience_join_another(struct audience *a, struct listener *l, struct uuid id)
{
    struct room_audience *room = audience_room(a, id);
    if (!room) {
        room = mem_alloc(sizeof *room);
        room->id = id;
        HASH_ADD(hh, a->rooms, id, sizeof room->id, room);
    }
    if (room->count == room->room) {
        room->room = room->room ? room->room * 2 : 4;
        room->members = mem_resize(room->members, sizeof *room->members * room->room);
    }
    if (l->room_count == l->room_room) {
        l->room_room = l->room_room ? l->room_room * 2 : 2;
        l->rooms = mem_resize(l->rooms, sizeof *l->rooms * l->room_room);
    }
    l->rooms[l->room_count] = (struct subscription){ room, room->count };
    room->members[room->count++] = (struct room_member){ l, l->room_count++ };
}

/* The last one of each row takes the place that becomes free. */
static void leave(struct audience *a, struct listener *l, size_t at)
{
    struct room_audience *room = l->rooms[at].room;
    size_t place = l->rooms[at].at;
    struct room_member moved = room->members[--room->count];
    room->members[place] = moved;
    moved.listener->rooms[moved.at].at = place;
    struct subscription last = l->rooms[--l->room_count];
    if (at != l->room_count) {
        l->rooms[at] = last;
        last.room->members[last.at].at = at;
    }
    if (room->count > 0)
        return;
    HASH_DEL(a->rooms, room); /* NOLINT(clang-analyzer-core.NullDereference): it is in the table */
    free(room->members);
    free(room);
}

void audience_leave(struct audience *a, struct listener *l, struct uuid room)
{
    struct subscription *s = find_subscription(l, room);
    if (s)
        leave(a, l, (size_t)(s - l->rooms));
}

void audience_remove(struct audience *a, struct listener *l)
{
    while (l->room_count > 0)
        leave(a, l, l->room_count - 1);
    free(l->rooms);
    l->rooms = NULL;
    l->room_room = 0;
    if (!l->this_of_person)
        return;
    *l->this_of_person = l->next_of_person;
    if (l->next_of_person)
        l->next_of_person->this_of_person = l->this_of_person;
    l->this_of_person = NULL;
    struct person_audience *person = find_person(a, l->claims.user_id);
    if (person && !person->first) {
        HASH_DEL(a->persons, person);
        free(person);
    }
}
