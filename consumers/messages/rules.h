/* messages/rules: what the rules of rooms, members and messages share. Private to this folder's decide_*.c. Pure.
 *
 * Each rule gives ACCEPTED and *ret, or why not. That a room exists which is not public is nobody's business but its
 * members': to everybody else every rule answers ROOM_NOT_FOUND. */
#pragma once

#include "consumers/messages/decide.h"

/* Who acts, and where. */
struct scene {
    const struct room *room;
    const struct member *actor;
};

/* A question to the state: NULL when there is none. What load did not ask for has no answer (asserted). */
const struct room *room_known(const struct rooms_state *s, struct uuid id);
const struct member *member_known(const struct rooms_state *s, struct uuid room, struct uuid user); /* never NULL */

/* The actor is a member of the room; with `open`, the room is not archived either. */
int scene_enter(const struct rooms_state *s, struct uuid room, struct uuid actor, bool open, struct scene *ret);

static inline bool is_member(const struct member *m)
{
    return m->presence == PRESENCE_PRESENT;
}

static inline bool is_banned(const struct member *m, int64_t at)
{
    return m->banned_until > at;
}

/* Owners and admins; the enum counts down from the owner. */
static inline bool moderates(const struct member *m)
{
    return m->role <= MEMBER_ROLE_ADMIN;
}

static inline bool outranks(const struct member *a, const struct member *b)
{
    return a->role < b->role;
}

/* --- decide_room.c --- */
int decide_create_room(const struct rooms_state *s, const struct create_room *c, struct rooms_fact *ret);
int decide_change_room(const struct rooms_state *s, const struct change_room *c, struct rooms_fact *ret);
int decide_transfer_room(const struct rooms_state *s, const struct transfer_room *c, struct rooms_fact *ret);

/* --- decide_member.c --- */
int decide_join_room(const struct rooms_state *s, const struct join_room *c, struct rooms_fact *ret);
int decide_leave_room(const struct rooms_state *s, const struct leave_room *c, struct rooms_fact *ret);
int decide_change_role(const struct rooms_state *s, const struct change_role *c, struct rooms_fact *ret);
int decide_invite_member(const struct rooms_state *s, const struct invite_member *c, struct rooms_fact *ret);
int decide_withdraw_invitation(const struct rooms_state *s, const struct withdraw_invitation *c,
                               struct rooms_fact *ret);
int decide_remove_member(const struct rooms_state *s, const struct remove_member *c, struct rooms_fact *ret);
int decide_ban_member(const struct rooms_state *s, const struct ban_member *c, struct rooms_fact *ret);
int decide_unban_member(const struct rooms_state *s, const struct unban_member *c, struct rooms_fact *ret);

/* --- decide_message.c --- */
int decide_post_message(const struct rooms_state *s, const struct post_message *c, struct rooms_fact *ret);
int decide_edit_message(const struct rooms_state *s, const struct edit_message *c, struct rooms_fact *ret);
int decide_delete_message(const struct rooms_state *s, const struct delete_message *c, struct rooms_fact *ret);
int decide_add_reaction(const struct rooms_state *s, const struct add_reaction *c, struct rooms_fact *ret);
int decide_remove_reaction(const struct rooms_state *s, const struct remove_reaction *c, struct rooms_fact *ret);
int decide_pin_message(const struct rooms_state *s, const struct pin_message *c, struct rooms_fact *ret);
int decide_unpin_message(const struct rooms_state *s, const struct unpin_message *c, struct rooms_fact *ret);
int decide_schedule_message(const struct rooms_state *s, const struct schedule_message *c, struct rooms_fact *ret);
int decide_cancel_scheduled_message(const struct rooms_state *s, const struct cancel_scheduled_message *c,
                                    struct rooms_fact *ret);
