/* resources: the handlers and body tables that routes.c names; one file a resource. */
#pragma once

#include "gateway/commands/plain.h"

/* auth.c */
extern const struct body register_body, login_body;
extern const struct shape login_shape; /* user and tokens */
enum request_step auth_register(struct request *r);
enum request_step auth_login(struct request *r);

/* sessions.c */
extern const struct body refresh_body;
extern const struct shape session_shape;
enum request_step auth_refresh(struct request *r);
bool sessions_reason(struct request *r, struct any_record *command); /* why the session {session} ends */
dispatch_then sessions_ended, sessions_all_ended;
enum request_step sessions_list(struct request *r);

/* password_change.c */
extern const struct body change_password_body;
enum request_step password_change(struct request *r);

/* token.c */
#define JWKS_JSON "application/jwk-set+json"
extern const struct shape keys_shape;
enum request_step keys_show(struct request *r);

/* account.c */
extern const struct shape account_shape, own_account_shape, administration_shape;

/* profile.c */
extern const struct body profile_body, profile_patch_body, username_body, email_body;
enum request_step users_me(struct request *r);
enum request_step own_account(struct request *r, struct pool_thread *thread); /* for the others: GET /users/me */
enum request_step users_me_write(struct request *r);                          /* PUT and PATCH */
enum request_step users_me_username(struct request *r);
enum request_step users_me_email(struct request *r);

/* users.c */
extern const struct body_field search_query[];
enum request_step users_get(struct request *r);
enum request_step users_search(struct request *r);

/* admin.c */
extern const struct body_field admin_users_query[];
extern const struct body suspend_body, roles_body;
enum request_step admin_users(struct request *r);
enum request_step admin_user(struct request *r);
enum request_step account_show(struct request *r, struct pool_thread *thread); /* for the others: of r->ids[0] */
dispatch_then account_changed;                                                 /* shows it */
extern const struct plain_lookup account_lookup; /* that the command's user_id has an account; 404 user_not_found */

/* audit.c */
extern const struct body_field audit_query[];
extern const struct shape audit_shape;
enum request_step admin_audit(struct request *r);

/* rooms.c */
extern const struct body create_room_body;
extern const struct shape room_shape, member_shape;
enum request_step rooms_create(struct request *r);
enum request_step rooms_get(struct request *r);
enum request_step rooms_members(struct request *r);
/* For the others: answers r->ids[0] as the person sees it (a pool_job); 403 or, where nobody may know of the
 * room, 404. */
enum request_step room_show(struct request *r, struct pool_thread *thread);
/* Answers r->ids[0] as the person sees it after the command; 204 where they do not see it (any more), since they were
 * removed from it meanwhile. */
dispatch_then room_changed;
void room_refuse(struct request *r, bool exists);
/* On a pool thread: the room r->ids[0]; where the person is no member, *ret_member is false and they have
 * been refused. */
struct room_view;
MUST_CHECK err room_as_member(struct request *r, struct pool_thread *thread, struct room_view *ret, bool *ret_member);

/* room_list.c */
extern const struct body_field rooms_query[];
enum request_step rooms_list(struct request *r);

/* room_settings.c */
extern const struct body room_patch_body, direct_room_body;
enum request_step rooms_patch(struct request *r);
enum request_step rooms_direct(struct request *r);

/* members.c */
extern const struct body member_role_body, transfer_room_body, kick_member_body, ban_member_body;
extern const struct shape ban_shape;
enum request_step rooms_bans(struct request *r);

/* invitations.c */
extern const struct shape invitation_shape;
enum request_step invitations_list(struct request *r);
enum request_step rooms_invitations(struct request *r);

/* scheduled.c */
extern const struct shape scheduled_shape;
enum request_step scheduled_own(struct request *r);
/* For the others: answers r->ids[0] as it is in that list, or as the message that it has become. */
enum request_step scheduled_show(struct request *r, struct pool_thread *thread);

/* receipts.c */
extern const struct body read_body;
extern const struct shape seen_shape;
enum request_step rooms_read(struct request *r);
enum request_step rooms_seen(struct request *r);

/* messages.c */
extern const struct body post_message_body, send_message_body;
extern const struct shape message_shape;
extern const struct body_field messages_query[];
enum request_step messages_post(struct request *r);
enum request_step messages_send(struct request *r);
enum request_step messages_list(struct request *r);

/* message.c */
extern const struct body edit_message_body, forward_message_body;
extern const struct shape version_shape;
enum request_step message_get(struct request *r);
/* For the others: answers the message of the last id in the path as a member sees it. */
enum request_step message_show(struct request *r, struct pool_thread *thread);
enum request_step message_edit(struct request *r);
extern const struct plain_lookup message_lookup; /* where the message of the last id in the path is; 404 */
bool reaction_is_emoji(struct request *r, struct any_record *command);
bool reaction_was_emoji(struct request *r, struct any_record *command); /* what counted as one once is, too */
enum request_step message_forward(struct request *r);
enum request_step message_versions(struct request *r);
enum request_step message_thread(struct request *r);
enum request_step room_pins(struct request *r);

/* operations.c */
extern const struct shape operation_shape;
enum request_step operations_get(struct request *r);

/* registry.c */
extern const struct shape schema_text_shape, schema_version_shape;
enum request_step schemas_get(struct request *r);
enum request_step subjects_list(struct request *r);
enum request_step subjects_versions(struct request *r);
enum request_step subjects_version(struct request *r);

/* live/ */
extern const struct body_field live_query[];
extern const struct shape live_ticket_shape;
enum request_step live_open(struct request *r);
enum request_step live_ticket(struct request *r);

/* docs.c */
enum request_step openapi_show(struct request *r);
enum request_step docs_page(struct request *r);
enum request_step docs_file(struct request *r);
enum request_step live_typing(struct request *r);

/* live/asyncapi.c */
enum request_step asyncapi_show(struct request *r);
