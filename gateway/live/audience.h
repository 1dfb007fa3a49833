/* audience: who hears what. For each room the listeners of its members, for each person their listeners; only of one
 * lane. The rooms of a listener are those its person is a member of at the moment up to which it has been told
 * everything. One thread. */
#pragma once

#include <uthash.h>

#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

struct listener;

/* A listener's place in a room, and the other way round: both find the other at once. */
struct subscription {
    struct room_audience *room;
    size_t at; /* in room->members */
};

struct room_member {
    struct listener *listener;
    size_t at; /* in listener->rooms */
};

struct room_audience {
    struct uuid id;
    struct room_member *members;
    size_t count, room;
    UT_hash_handle hh;
};

struct person_audience {
    struct uuid id;
    struct listener *first; /* by listener->next_of_person */
    UT_hash_handle hh;
};

struct audience {
    struct room_audience *rooms;
    struct person_audience *persons;
};

/* NULL: nobody listens to it here. */
struct room_audience *audience_room(struct audience *a, struct uuid id);
struct listener *audience_person(struct audience *a, struct uuid id);

void audience_add_person(struct audience *a, struct listener *l);
/* Adding twice, and removing what is not there, do nothing. */
void audience_join(struct audience *a, struct listener *l, struct uuid id);
/* One that it is not in yet: who begins with hundreds of rooms need not look for each. */
void audience_join_another(struct audience *a, struct listener *l, struct uuid id);
void audience_leave(struct audience *a, struct listener *l, struct uuid room);
bool audience_is_in(const struct listener *l, struct uuid room);
/* From every room and its person. */
void audience_remove(struct audience *a, struct listener *l);
