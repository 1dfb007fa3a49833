/* invitations: into a room, given, taken back, accepted; those of a room and one's own. */
#include "consumers/messages/view.h"
#include "consumers/outcome/rejection.h"
#include "consumers/users/view.h"
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

static enum request_step done(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    r->response.status = 204;
    return REQUEST_DONE;
}

/* Whoever is invited must have an account; nobody is told of a room that is not theirs. */
static enum request_step invite(struct request *r, struct pool_thread *thread)
{
    struct account_view account;
    bool found;
    const err e = account_find(thread->pg, &thread->arena, r->ids[1], &account, &found);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!found || account.erased) {
        problem(r, 404, "user_not_found", NULL, "There is no such user.");
        return dispatch_refused(r, thread, &rooms_stream, r->claims.user_id, done);
    }
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_INVITE_MEMBER;
    c->invite_member = (struct invite_member){ .room_id = r->ids[0], .user_id = r->ids[1] };
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, done);
}

enum request_step invitations_put(struct request *r)
{
    r->tolerated = ALREADY_INVITED;
    return pool_run(r->gateway->reads, r, invite);
}

enum request_step invitations_delete(struct request *r)
{
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_WITHDRAW_INVITATION;
    c->withdraw_invitation = (struct withdraw_invitation){ .room_id = r->ids[0], .user_id = r->ids[1] };
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, done);
}

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
