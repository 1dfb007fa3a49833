/* receipts: how far people have read. A signal: appended without a decision, the newest of each person and
 * room counts. */
#include "schemas/receipts.gen.h"

#include "consumers/messages/view.h"
#include "gateway/gateway.h"
#include "gateway/resources.h"

#define SEEN_BY_MAX 50 /* members; who has seen what is nobody's business in a crowd */

static const struct body_field read_fields[] = {
    { "seq", FIELD_INT, .required = true, .max = INT64_MAX,
      .doc = "Number of the newest message that was read; 0: none." },
    { 0 },
};
const struct body read_body = { "ReadUpTo", read_fields };

static const struct shape_field seen_fields[] = {
    { "userId", SHAPE_UUID, "A member." },
    { "seq", SHAPE_INT, "The newest message that they have read, or posted; 0: none." },
    { 0 },
};
const struct shape seen_shape = { "SeenBy", seen_fields };

/* false: a problem has been filled. */
static bool find_room(struct request *r, struct pool_thread *thread, struct room_view *ret)
{
    bool member;
    const err e = room_as_member(r, thread, ret, &member);
    if (e != OK)
        problem_err(r, e);
    return e == OK && member;
}

/* --- PUT /rooms/{room}/read --- */

/* One key a person and room: what the topic is compacted by. */
static struct uuid receipt_key(struct uuid user, struct uuid room)
{
    return uuid_v5(user, (struct str){ (const char *)room.bytes, sizeof room });
}

static enum request_step read_append(struct request *r, struct pool_thread *thread)
{
    struct room_view room;
    if (!find_room(r, thread, &room))
        return REQUEST_DONE;
    int64_t seq = 0;
    body_int(r, "seq", &seq);
    const struct uuid id = uuid_v7(r->received_at);
    char *trace = arena_alloc(&thread->arena, sizeof r->trace);
    memcpy(trace, r->trace, sizeof r->trace);
    const struct read_up_to signal = {
        .meta = { .id = id,
                  .at = r->received_at,
                  .actor = r->claims.user_id,
                  .command_id = id,
                  .command_offset = -1,
                  .trace = str_of(trace) },
        .user_id = r->claims.user_id,
        .room_id = room.id,
        .seq = seq < room.last_seq ? seq : room.last_seq,
    };
    struct buf payload = { 0 };
    enum request_step step = REQUEST_DONE;
    const err e = read_up_to_encode(thread->codec, &signal, &payload);
    if (e == OK)
        step = dispatch_signal(r, &(struct append){
                                      .topic = "receipts.signals",
                                      .partition = -1,
                                      .key = receipt_key(signal.user_id, signal.room_id),
                                      .payload = buf_view(&payload),
                                      .meta = &signal.meta,
                                      .type = "aether.receipts.ReadUpTo",
                                  });
    else
        problem_err(r, e);
    buf_finish(&payload);
    return step;
}

enum request_step rooms_read(struct request *r)
{
    return pool_run(r->gateway->reads, r, read_append);
}

/* --- GET /rooms/{room}/read --- */

static enum request_step seen_answer(struct request *r, struct pool_thread *thread)
{
    struct room_view room;
    struct read_view *people;
    size_t count;
    if (!find_room(r, thread, &room))
        return REQUEST_DONE;
    if (room.member_count > SEEN_BY_MAX) {
        problem(r, 409, "room_too_large", NULL, "Who has read what is told in rooms of at most %d members.",
                SEEN_BY_MAX);
        return REQUEST_DONE;
    }
    const err e = read_list(thread->pg, &thread->arena, room.id, &people, &count);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_key(&j, "items");
    json_open(&j, '[');
    for (size_t i = 0; i < count; i++) {
        json_open(&j, '{');
        json_field_uuid(&j, "userId", people[i].user_id);
        json_field_int(&j, "seq", people[i].seq);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_key(&j, "nextCursor");
    json_none(&j);
    json_close(&j, '}');
    return REQUEST_DONE;
}

enum request_step rooms_seen(struct request *r)
{
    return pool_run(r->gateway->reads, r, seen_answer);
}
