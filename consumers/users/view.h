/* users/view: the queries over the users worker's projection. All strings live in the arena. RETRY: PostgreSQL
 * is away. */
#pragma once

#include "consumers/users/names.h"
#include "consumers/users/roles.h"
#include "ops/runtime/json.h"
#include "ops/runtime/pg.h"

/* --- accounts --- */

struct account_view {
    struct uuid id;
    struct str username, email, first_name, last_name;                      /* empty when erased */
    struct str bio, location, website, phone, birthdate, locale, time_zone; /* empty when not given, or erased */
    struct str password_hash;                                               /* PHC or $2b$ */
    uint32_t roles;                                                         /* bits of enum account_role */
    int64_t created_at;                                                     /* Unix ms, as all times here */
    int64_t version;                                                        /* of what OWN shows; the ETag */
    int64_t session_epoch;
    struct uuid kept_session;              /* nil: none */
    bool suspended;                        /* or was, until suspended_until: account_is_suspended */
    int64_t suspended_at, suspended_until; /* until 0: without end */
    struct str suspension_reason;
    int64_t position; /* offset of the newest fact */
    bool erased;
    struct str term; /* account_search: how it was found */
};

/* Times alone end a suspension, so what it is now is asked with a clock. */
static inline bool account_is_suspended(const struct account_view *a, int64_t now_ms)
{
    return a->suspended && (a->suspended_until == 0 || now_ms < a->suspended_until);
}

MUST_CHECK err account_find(struct pg *pg, struct arena *arena, struct uuid id, struct account_view *ret,
                            bool *ret_found);

/* Many in one round trip, in the order of `ids`; ret_found[i] false where there is none. */
MUST_CHECK err account_find_many(struct pg *pg, struct arena *arena, const struct uuid *ids, size_t count,
                                 struct account_view *ret, bool *ret_found);

/* By blind index (32 bytes each) of what was typed into the login form: as a username or as an e-mail address. */
MUST_CHECK err account_find_by_login(struct pg *pg, struct arena *arena, struct str username_index,
                                     struct str email_index, struct account_view *ret, bool *ret_found);

/* Usernames for many ids (members of a room), in the order of `ids`; empty where there is none. */
MUST_CHECK err account_usernames(struct pg *pg, struct arena *arena, const struct uuid *ids, size_t count,
                                 struct str *ret_usernames);

/* Accounts whose username, "first last" or "last first" begins with `folded` (search_fold; not empty), each once, in
 * the order of (term, id); those behind (after_term, after_id), nil and empty: from the start. At most `limit`. */
MUST_CHECK err account_search(struct pg *pg, struct arena *arena, struct str folded, struct str after_term,
                              struct uuid after_id, int limit, struct account_view **ret, size_t *ret_count);

enum account_audience { ACCOUNT_PUBLIC, ACCOUNT_OWN, ACCOUNT_ADMINISTRATION };

/* PUBLIC: {id, username, firstName, lastName, bio, location, website, roles, createdAt}; OWN also email, phone,
 * birthdate, locale, timeZone; ADMINISTRATION also version and suspended: null or {reason, at, until}. What is not
 * given is null, names are "". */
void account_json(struct json *j, const struct account_view *a, enum account_audience audience);

/* --- for administrators --- */

struct account_filter {
    uint32_t role; /* one of enum account_role; 0 or ACCOUNT_USER: any */
    int suspended; /* 1, 0, -1: any. With account_is_suspended's clock: now_ms. */
    int64_t now_ms;
    struct str folded; /* search_fold of how a name begins; empty: any */
    int64_t from, to;  /* created at from <= t < to; 0: open */
};
/* Newest first, by id, those below `before` (nil: from the newest). */
MUST_CHECK err account_list(struct pg *pg, struct arena *arena, const struct account_filter *filter, struct uuid before,
                            int limit, struct account_view **ret, size_t *ret_count);

struct audit_key {
    int64_t at;
    struct str stream;
    int32_t partition;
    int64_t position;
};
struct audit_view {
    struct audit_key key;
    struct uuid actor, subject, command_id;
    struct str action, details /* a JSON object */, address /* empty: not known */, request_id, trace;
};
struct audit_filter {
    struct uuid actor, subject;     /* nil: any */
    struct str action;              /* "PasswordChanged"; empty: any */
    int64_t from, to;               /* from <= at < to; 0: open */
    const struct audit_key *before; /* of the last one shown; NULL: from the newest */
};
/* Newest first. */
MUST_CHECK err audit_list(struct pg *pg, struct arena *arena, const struct audit_filter *filter, int limit,
                          struct audit_view **ret, size_t *ret_count);
/* {at, actor, subject, action, details, address, requestId, commandId, trace, stream, partition, offset} */
void audit_json(struct json *j, const struct audit_view *a);

/* --- sessions --- */

struct session_view {
    struct uuid id;
    struct str device, address; /* of the newest use that said so; empty when erased */
    int64_t created_at, last_used_at, expires_at;
};
/* Those of a person that are live and began after begun_ms, newest first, by id, those below `before` (nil: from the
 * newest). */
MUST_CHECK err session_list(struct pg *pg, struct arena *arena, struct uuid user, int64_t now_ms, int64_t begun_ms,
                            struct uuid before, int limit, struct session_view **ret, size_t *ret_count);
/* {id, device, address, createdAt, lastUsedAt, expiresAt, current} */
void session_json(struct json *j, const struct session_view *s, bool current);

/* --- who may come in --- */

/* A session is live when it has not ended, the account is there, and it was started in the account's session epoch or
 * is the kept one. (That it has expired is for refreshing; an access token ends sooner by itself.) */
struct access {
    struct uuid user, session; /* in */
    bool live;                 /* out, as all below */
    bool suspended;
    uint32_t roles; /* of today, enum account_role */
    int64_t account_position, session_position;
    int64_t account_epoch, session_epoch, suspended_until;
    struct uuid kept_session;
    bool account_found, session_found, session_ended, account_suspended;
};
/* From PostgreSQL, many in one round trip. The gateway calls access_check (cache.h), which asks this at need. */
MUST_CHECK err access_find(struct pg *pg, struct arena *arena, struct access *items, size_t count, int64_t now_ms);
/* live and suspended from the rest. */
void access_settle(struct access *a, int64_t now_ms);
