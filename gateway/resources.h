/* resources: the handlers and body tables that routes.c names; one file a resource. */
#pragma once

#include "gateway/route.h"

/* auth.c */
extern const struct body register_body, login_body;
enum request_step auth_register(struct request *r);
enum request_step auth_login(struct request *r);

/* sessions.c */
extern const struct body refresh_body;
enum request_step auth_refresh(struct request *r);
enum request_step auth_logout(struct request *r);

/* users.c */
enum request_step users_me(struct request *r);
enum request_step users_get(struct request *r);

/* rooms.c */
extern const struct body create_room_body;
enum request_step rooms_create(struct request *r);
enum request_step rooms_list(struct request *r);
enum request_step rooms_get(struct request *r);
enum request_step rooms_join(struct request *r);
enum request_step rooms_members(struct request *r);

/* messages.c */
extern const struct body post_message_body;
enum request_step messages_post(struct request *r);
enum request_step messages_list(struct request *r);

/* operations.c */
enum request_step operations_get(struct request *r);
