/* messages/state: what decide needs to know of the rooms of this process's partitions, in memory.
 *
 * One table a noun: rooms, members by (room, person), and, while somebody asks for them, single messages, reactions and
 * scheduled messages. All also remember what is known not to exist. A message that is posted is not remembered unless
 * somebody has asked for its number: posting costs no memory. Entries come from one arena, so forgetting everything is
 * cheap and a known room or member costs no allocation. One thread. */
#pragma once

#include "consumers/loop/presence.h"
#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"
#include "schemas/rooms.gen.h"

#include <uthash.h>

struct room {
    struct uuid id;
    int64_t last_seq, member_count, version;
    int64_t time_to_live_s; /* 0: for ever */
    int32_t slow_mode_s;    /* 0: none */
    int64_t scheduled;      /* messages that wait for their time */
    bool archived;
    enum room_kind kind;
    enum presence presence;
    UT_hash_handle hh;
};

struct member_key {
    struct uuid room, user;
};

/* How a person stands to a room; presence says whether they are a member. What restrains them outlasts their
 * membership: nobody speaks again by leaving and coming back. */
struct member {
    struct member_key key;
    enum member_role role;  /* of a member */
    bool read_only;         /* the role they were given last, as a member or before they left */
    int64_t slow_until;     /* Unix ms, likewise */
    int64_t posted_block;   /* of a member: see row.h; 0: posted nothing yet */
    int64_t block_since;    /* number of the message that made it so; 0: it was loaded */
    struct uuid invited_by; /* nil: not invited */
    int64_t banned_until;   /* Unix ms; BANNED_FOR_EVER; 0: not banned */
    enum presence presence;
    UT_hash_handle hh;
};

#define BANNED_FOR_EVER INT64_MAX

struct message_key {
    struct uuid room;
    int64_t seq;
};

struct message {
    struct message_key key;
    struct uuid id, sender;
    int64_t thread; /* 0: none */
    int32_t version;
    bool deleted, pinned;
    enum presence presence;
    UT_hash_handle hh;
};

#define EMOJI_MAX 64 /* bytes; the longest of Unicode 15 has 35 */

struct reaction_key {
    struct uuid room;
    int64_t seq;
    struct uuid user;      /* nil: everybody */
    char emoji[EMOJI_MAX]; /* filled up with zeros; empty: any */
};

/* How many: of one person with one emoji, 0 or 1; of one person, or of everybody, with any, how many different emojis;
 * of everybody with one, how many people. */
struct reaction {
    struct reaction_key key;
    int64_t count;
    enum presence presence; /* PRESENT: counted */
    UT_hash_handle hh;
};

/* A message that is to be posted later; presence says whether it is still in its sender's list. */
struct scheduled {
    struct uuid id, room, sender;
    bool withheld; /* it was not posted when its time came, and will not be */
    enum presence presence;
    UT_hash_handle hh;
};

/* What one person will say in a room, and when: for who schedules there. */
struct agenda {
    struct member_key key;
    struct planned {
        struct uuid message;
        int64_t send_at;
    } * planned;
    size_t count, capacity;
    enum presence presence; /* PRESENT: it is known */
    UT_hash_handle hh;
};

struct rooms_state {
    struct arena arena;
    struct room *rooms;
    struct member *members;
    struct message *messages;
    struct reaction *reactions;
    struct scheduled *scheduled;
    struct agenda *agendas;
};

void *rooms_state_create(void);
void rooms_state_destroy(void *state);
void rooms_state_clear(void *state);
size_t rooms_state_size(const void *state);

/* NULL: never heard of. */
struct room *rooms_state_room(const struct rooms_state *s, struct uuid room);
struct member *rooms_state_member(const struct rooms_state *s, struct uuid room, struct uuid user);
struct message *rooms_state_message(const struct rooms_state *s, struct uuid room, int64_t seq);
struct reaction *rooms_state_reaction(const struct rooms_state *s, const struct reaction_key *key);
struct scheduled *rooms_state_scheduled(const struct rooms_state *s, struct uuid message);
struct agenda *rooms_state_agenda(const struct rooms_state *s, struct uuid room, struct uuid user);

/* Makes the entry, with PRESENCE_UNKNOWN, when there is none. The pointer is good until rooms_state_clear. */
struct room *rooms_state_claim_room(struct rooms_state *s, struct uuid room);
struct member *rooms_state_claim_member(struct rooms_state *s, struct uuid room, struct uuid user);
struct message *rooms_state_claim_message(struct rooms_state *s, struct uuid room, int64_t seq);
struct reaction *rooms_state_claim_reaction(struct rooms_state *s, const struct reaction_key *key);
struct scheduled *rooms_state_claim_scheduled(struct rooms_state *s, struct uuid message);
struct agenda *rooms_state_claim_agenda(struct rooms_state *s, struct uuid room, struct uuid user);

void rooms_state_plan(struct rooms_state *s, struct agenda *agenda, struct uuid message, int64_t send_at);
void agenda_strike(struct agenda *agenda, struct uuid message); /* nothing where it is not planned */

/* Has 1 to EMOJI_MAX bytes without NUL. Others have no key: nobody asks for them, and decide refuses them. */
bool emoji_is_sound(struct str emoji);
/* user nil, or emoji empty: the count of many. */
struct reaction_key reaction_key(struct uuid room, int64_t seq, struct uuid user, struct str emoji);
