/* messages/changes: what a batch of facts comes to, so that each row is written once a batch, whatever its size.
 * Private to the fold. Everything lives in the batch's arena. */
#pragma once

#include "consumers/loop/worker.h"
#include "consumers/messages/state.h"

struct room_change {
    struct uuid id;
    const struct rooms_fact *created; /* NULL: the room was there before the batch */
    int32_t joined;                   /* members more, or fewer */
    int64_t last_seq;                 /* 0: nobody posted */
    int64_t position;
    int64_t version; /* 0: no admin changed it; else the fields below that are not NULL */
    const struct room_changed *name, *description, *topic, *slow_mode, *time_to_live, *archived;
    struct room_change *next; /* in the order of first mention */
    UT_hash_handle hh;
};

struct member_change {
    struct member_key key;
    bool ended;        /* a row that was there before the batch goes */
    bool begun;        /* became a member after that, and still is: a new row, of … */
    int64_t joined_at; /* … then */
    int64_t joined_seq;
    bool has_role; /* given since; else who begins has the role that is remembered of them */
    enum member_role role;
    bool role_given, read_only;   /* in this batch: the role given last */
    int64_t slow_until;           /* 0: unchanged */
    int64_t first_posted, posted; /* the person's own oldest and newest message of the batch; 0: none */
    bool invitation_touched, ban_touched;
    const struct member_invited *invited; /* touched: NULL: no more */
    const struct member_banned *banned;
    struct member_change *next;
    UT_hash_handle hh;
};

struct message_change {
    struct message_key key;
    int64_t position;
    const struct message_edited *edited; /* the newest */
    const struct message_deleted *deleted;
    int64_t deleted_position;
    enum { PIN_KEPT, PIN_SET, PIN_TAKEN } pin;
    int64_t pinned_at;
    int32_t replies; /* more, or fewer */
    bool reacted;    /* its reactions are others */
    struct message_change *next;
    UT_hash_handle hh;
};

struct reaction_change {
    struct reaction_key key;
    bool present;
    int64_t position;
    struct reaction_change *next;
    UT_hash_handle hh;
};

struct changes {
    struct room_change *rooms, *first_room, **end_room;
    struct member_change *members, *first_member, **end_member;
    struct message_change *messages, *first_message, **end_message;
    struct reaction_change *reactions, *first_reaction, **end_reaction;
    size_t room_count, created_count, versioned_count;
    size_t member_count, message_count, reaction_count;
    size_t posted, extended, mentioned, edited, expiring, scheduled, withheld,
        unscheduled; /* facts that need a row elsewhere */
};

void changes_init(struct changes *c);
void changes_add(struct changes *c, struct arena *arena, const struct placed_fact *placed);

/* A message that is more than its text: an answer, a mention, forwarded. */
bool posted_is_extended(const struct message_posted *f);

/* --- fold_messages.c --- */
MUST_CHECK err fold_messages(struct pg *pg, struct arena *arena, const struct changes *c,
                             const struct placed_fact *facts, size_t count);

/* Appends arrays, in the order given, as parameters. */
#define ARGS(args, ...)                                                                                                \
    do {                                                                                                               \
        struct pg_array *arrays_[] = { __VA_ARGS__ };                                                                  \
        for (size_t i_ = 0; i_ < sizeof arrays_ / sizeof *arrays_; i_++)                                               \
            pg_arg_array((args), arrays_[i_]);                                                                         \
    } while (0)
