/* event: a fact as the feed tells it. Encoded once, for everybody, and framed when the first listener is to hear it; an
 * event and its bytes are not changed any more.
 *
 * {"type":"message.posted","roomId":…,"number":12,"position":"rooms/3@1234","at":…,"actorId":…,"data":{…},"id":…}
 * `number` is the message's number in its room (left out where no message is meant), `position` the fact's place in the
 * log, `id` where to go on (position.h). What each fact becomes is a row of the table in event.c. */
#pragma once

#include "gateway/live/frame.h"
#include "ops/runtime/json.h"
#include "schemas/accounts.gen.h"
#include "schemas/receipts.gen.h"
#include "schemas/rooms.gen.h"
#include "schemas/sessions.gen.h"
#include "schemas/typing.gen.h"

enum membership_effect { MEMBERSHIP_STAYS, MEMBERSHIP_BEGINS, MEMBERSHIP_ENDS };
enum text_effect { TEXT_STAYS, TEXT_IS_TOLD, TEXT_IS_TAKEN }; /* of the message that is meant */

struct event {
    atomic_uint references;
    int32_t partition; /* of rooms.events; -1: a signal, which no position counts and which is not kept */
    int64_t offset;
    uint64_t serial; /* this gateway's count of events that are kept, from 1 */
    uint64_t before; /* the serial of the one before in its partition; 0: none */
    struct uuid room;
    int64_t number; /* of the message that is meant; 0: none */
    enum text_effect text_effect;
    enum membership_effect effect;
    bool tells_person;      /* the first of them also when no member */
    struct uuid persons[2]; /* whom it is about; the second may be nil */
    bool ends_sessions;     /* told nobody: the first person's listeners end, of this session (nil: of all) */
    struct uuid session;
    _Atomic(struct frame *) frames[FRAMINGS]; /* NULL: nobody heard it so; see event_frame */
    size_t open_json_len, id_len;
    char text[]; /* open_json, for a listener whose position is another; then the id */
};

/* Who did what where. Opens the object. */
struct event_head {
    const char *type;
    struct uuid room, actor;
    int64_t number; /* 0: none */
    int32_t partition;
    int64_t offset, at;
};
void event_begin(struct json *j, const struct event_head *head);

/* The same of signals, which have no place among the facts: no id, no position, not kept. */
struct event *event_of_typing(const struct typing *typing, struct buf *scratch);
/* Sessions that ended; NULL: the fact ends none. An account's fact that ends some of them, or changes the roles of all,
 * ends the listeners of all: who comes back with a session that lives is let in, with the roles of today. */
struct event *event_of_session(const struct sessions_fact *fact);
struct event *event_of_account(const struct accounts_fact *fact);
struct event *event_of_receipt(const struct read_up_to *read, struct buf *scratch);

/* The fact, whose fields are opened, as an event with one reference, the caller's; NULL: nobody is told. `scratch` is
 * emptied and used. */
struct event *event_of_fact(const struct rooms_fact *fact, int32_t partition, int64_t offset, struct str id,
                            struct buf *scratch);

/* What everybody hears whose position is the event's; the event's. Any thread. */
struct frame *event_frame(struct event *e, enum framing framing);
static inline struct str event_json(const struct event *e)
{
    return (struct str){ e->text, e->open_json_len };
}

/* Appends it as it is told when its text has been taken since: "body" is empty. Of one with TEXT_IS_TOLD. */
void event_append_without_text(const struct event *e, struct buf *ret);

static inline struct event *event_share(struct event *e)
{
    atomic_fetch_add_explicit(&e->references, 1, memory_order_relaxed);
    return e;
}
void event_release(struct event *e);

/* What facts of this type of the stream rooms are told as, for AsyncAPI; NULL: they are not. */
struct event_type {
    const char *name, *doc;
};
const struct event_type *event_type_of(size_t fact_type);
extern const struct event_type signal_event_types[]; /* ended by name NULL */
