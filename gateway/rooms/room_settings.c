/* room_settings: what admins change of a room, and direct conversations. */
#include "consumers/messages/view.h"
#include "consumers/outcome/rejection.h"
#include "consumers/users/view.h"
#include "gateway/gateway.h"
#include "gateway/if_match.h"
#include "gateway/resources.h"
#include "gateway/rooms/direct.h"

static const struct body_field patch_fields[] = {
    { "name", FIELD_TEXT, .min = 1, .max = 100, .pattern = "name", .doc = "What people call the room." },
    { "description", FIELD_TEXT, .max = 1000, .pattern = "prose", .nullable = true, .doc = "What it is for." },
    { "topic", FIELD_TEXT, .max = 250, .pattern = "prose", .nullable = true, .doc = "What is talked about now." },
    { "slowModeSeconds", FIELD_INT, .max = 21600, .doc = "Between two posts of a plain member; 0: none." },
    { "timeToLiveSeconds", FIELD_INT, .max = 31622400,
      .doc = "After which messages posted from now on are deleted: 0, never, or at least 60." },
    { "archived", FIELD_BOOL, .doc = "Nobody posts, joins or changes anything." },
    { 0 },
};
const struct body room_patch_body = { "RoomPatch", patch_fields, .is_patch = true };

static const struct body_field direct_fields[] = {
    { "userId", FIELD_UUID, .required = true, .doc = "The other person." },
    { 0 },
};
const struct body direct_room_body = { "DirectRoom", direct_fields };

/* --- PATCH /rooms/{room} --- */

enum request_step rooms_patch(struct request *r)
{
    static const char *const names[] = {
        [ROOM_FIELD_NAME] = "name",
        [ROOM_FIELD_DESCRIPTION] = "description",
        [ROOM_FIELD_TOPIC] = "topic",
        [ROOM_FIELD_SLOW_MODE] = "slowModeSeconds",
        [ROOM_FIELD_TIME_TO_LIVE] = "timeToLiveSeconds",
        [ROOM_FIELD_ARCHIVED] = "archived",
    };
    enum { FIELDS = sizeof names / sizeof *names };
    enum room_field *fields = ARENA_ARRAY(&r->arena, enum room_field, FIELDS);
    struct if_match match = { 0 };
    int64_t slow_mode = 0, time_to_live = 0;
    bool archived = false;
    size_t count = 0;
    for (int i = 0; i < FIELDS; i++)
        if (json_object_get(r->body, names[i]))
            fields[count++] = (enum room_field)i;
    if (count == 0) {
        problem(r, 400, "invalid_body", NULL, "Name at least one field to change.");
        return REQUEST_DONE;
    }
    body_int(r, "slowModeSeconds", &slow_mode);
    body_bool(r, "archived", &archived);
    if (body_int(r, "timeToLiveSeconds", &time_to_live) && time_to_live > 0 && time_to_live < 60) {
        problem(r, 400, "invalid_body", "timeToLiveSeconds", "must be 0, or at least 60.");
        return REQUEST_DONE;
    }
    if (!if_match_read(r, &match))
        return REQUEST_DONE;
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_CHANGE_ROOM;
    c->change_room = (struct change_room){
        .room_id = r->ids[0],
        .expected_version = if_match_named(&match),
        .changed = { fields, count },
        .name = { .clear = body_str(r, "name") },
        .description = { .clear = body_str(r, "description") },
        .topic = { .clear = body_str(r, "topic") },
        .slow_mode_s = (int32_t)slow_mode,
        .time_to_live_s = time_to_live,
        .archived = archived,
    };
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, room_changed);
}

/* --- direct conversations --- */

/* Of no time and of no partition in particular: it is the same whoever opens it, and whenever. */
struct uuid direct_room_id(struct uuid a, struct uuid b)
{
    static const struct uuid namespace_id = { { 0x6d, 0x1b, 0x0c, 0x5e, 0x5a, 0x1f, 0x4c, 0x0e, 0x9d, 0x6f, 0x2a, 0x8c,
                                                0x51, 0x77, 0xe3, 0x42 } };
    struct uuid pair[2] = { a, b };
    if (memcmp(&a, &b, sizeof a) > 0) {
        pair[0] = b;
        pair[1] = a;
    }
    return uuid_v5(namespace_id, (struct str){ (const char *)pair, sizeof pair });
}

err direct_room_find(struct request *r, struct pool_thread *thread, struct uuid peer, bool *ret_there, bool *ret_good)
{
    struct account_view account;
    struct room_view room;
    bool found;
    *ret_good = false;
    if (uuid_equal(peer, r->claims.user_id)) {
        problem(r, 400, "invalid_body", NULL, "A direct conversation needs another person.");
        return OK;
    }
    TRY(account_find(thread->pg, &thread->arena, peer, &account, &found));
    if (!found || account.erased) {
        problem(r, 404, "user_not_found", NULL, "There is no such user.");
        return OK;
    }
    r->ids[0] = direct_room_id(peer, r->claims.user_id);
    TRY(room_find(thread->pg, &thread->arena, r->ids[0], r->claims.user_id, &room, ret_there));
    if (!*ret_there)
        TRY(vault_ensure(r->gateway->vault, thread->pg, &r->ids[0], 1));
    *ret_good = true;
    return OK;
}

enum request_step direct_room_open(struct request *r, struct uuid peer, dispatch_then *then)
{
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_CREATE_ROOM;
    c->create_room = (struct create_room){ .room_id = r->ids[0], .kind = ROOM_KIND_DIRECT, .peer_id = peer };
    r->tolerated = ROOM_EXISTS; /* the other one was faster */
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, then);
}

static enum request_step direct_open(struct request *r, struct pool_thread *thread)
{
    struct uuid peer = uuid_nil;
    bool there, good;
    body_uuid(r, "userId", &peer);
    const err e = direct_room_find(r, thread, peer, &there, &good);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!good)
        return dispatch_refused(r, thread, &rooms_stream, r->claims.user_id, room_changed);
    return there ? room_show(r, thread) : direct_room_open(r, peer, room_changed);
}

enum request_step rooms_direct(struct request *r)
{
    return pool_run(r->gateway->reads, r, direct_open);
}
