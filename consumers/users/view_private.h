/* What the files of the view share. */
#pragma once

#include "consumers/users/view.h"

/* Of users.accounts as `a`. The roles travel as one text with commas between. */
#define ACCOUNT_COLUMNS                                                                                                \
    "a.user_id, a.username, a.email, a.first_name, a.last_name, a.password_hash, array_to_string(a.roles, ','),"       \
    " a.created_at, a.bio, a.location, a.website, a.phone, a.birthdate, a.locale, a.time_zone, a.version,"             \
    " a.session_epoch, a.kept_session, a.suspended_at, a.suspended_until, a.suspension_reason, a.position"
enum {
    USER_ID,
    USERNAME,
    EMAIL,
    FIRST_NAME,
    LAST_NAME,
    PASSWORD_HASH,
    ROLES,
    CREATED_AT,
    BIO,
    LOCATION,
    WEBSITE,
    PHONE,
    BIRTHDATE,
    LOCALE,
    TIME_ZONE,
    VERSION,
    SESSION_EPOCH,
    KEPT_SESSION,
    SUSPENDED_AT,
    SUSPENDED_UNTIL,
    SUSPENSION_REASON,
    POSITION,
    EXTRA, /* what a query adds behind them */
};

struct str view_text(struct arena *arena, const PGresult *r, int row, int column);
void view_account(struct arena *arena, const PGresult *r, int row, struct account_view *ret);
struct account_view *view_accounts(struct arena *arena, const PGresult *r, size_t *ret_count);
/* The first text behind all that begin with the prefix. */
struct str view_prefix_end(struct arena *arena, struct str prefix);
