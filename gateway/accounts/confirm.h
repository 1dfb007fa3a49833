/* confirm: somebody who is logged in shows their password once more, before what a stolen access token must not be
 * enough for. */
#pragma once

#include "consumers/users/view.h"
#include "gateway/gateway.h"

/* The password was right. Runs on a hashing thread: it may hash and ask PostgreSQL. r->state is what it was when
 * confirm_password was called; `account` lives as long as the request. */
typedef enum request_step confirmed(struct request *r, struct pool_thread *thread, const struct account_view *account);

/* Called by a handler, or whoever owns the request, as the last step. `field` of the body has the clear password, which
 * is wiped; the bytes of the body are wiped too, its other fields stay. A wrong one is answered 403 and delays the next
 * (throttle.h); `then` runs after the right one. */
enum request_step confirm_password(struct request *r, const char *field, confirmed *then);
