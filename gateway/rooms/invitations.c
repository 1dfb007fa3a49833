/* invitations: into a room; those of a room and one's own. */
#include "consumers/messages/view.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "gateway/resources.h"

static const struct shape_field fields[] = {
    { "roomId", SHAPE_UUID, "Into which room." },
    { "userId", SHAPE_UUID, "Who is invited." },
    { "invitedBy", SHAPE_UUID, "By whom." },
    { "invitedAt", SHAPE_TIME, "When." },
    { 0 },
};
const struct shape invitation_shape = { "Invitation", fields };

static void render(struct request *r, const struct list *l, const struct invitation_view *items, size_t count,
                   bool by_room)
{
    const size_t shown = count < (size_t)l->limit ? count : (size_t)l->limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++) {
        json_open(&j, '{');
        json_field_uuid(&j, "roomId", items[i].room_id);
        json_field_uuid(&j, "userId", items[i].user_id);
        json_field_uuid(&j, "invitedBy", items[i].invited_by);
        json_field_time(&j, "invitedAt", items[i].invited_at);
        json_close(&j, '}');
    }
    const struct uuid last = shown == 0 ? uuid_nil : by_room ? items[shown - 1].room_id : items[shown - 1].user_id;
    list_close_id(r, &j, l, count > shown, last);
}

static err room_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct room_view room;
    struct invitation_view *items;
    size_t count;
    bool member;
    TRY(room_as_member(r, thread, &room, &member));
    if (!member)
        return OK;
    TRY(invitations_of_room(thread->pg, &thread->arena, room.id, list_after_id(l), l->limit + 1, &items, &count));
    render(r, l, items, count, false);
    return OK;
}

enum request_step rooms_invitations(struct request *r)
{
    return list_of(r, "invitations", r->ids[0], room_load);
}

static err own_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct invitation_view *items;
    size_t count;
    TRY(invitations_of_user(thread->pg, &thread->arena, r->claims.user_id, list_after_id(l), l->limit + 1, &items,
                            &count));
    render(r, l, items, count, true);
    return OK;
}

enum request_step invitations_list(struct request *r)
{
    return list_of(r, "invited", r->claims.user_id, own_load);
}
