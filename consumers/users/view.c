#include "consumers/users/view.h"

#include "consumers/users/view_private.h"

static const struct pg_statement find_account = {
    "users_find_account",
    "SELECT " ACCOUNT_COLUMNS " FROM users.accounts a WHERE user_id = $1",
};

/* $1 index of what was typed as a username, $2 as an e-mail address. Two index look-ups; the second only at need. */
static const struct pg_statement find_account_by_login = {
    "users_find_account_by_login",
    "SELECT " ACCOUNT_COLUMNS " FROM users.accounts a WHERE username_index = $1"
    " UNION ALL "
    "SELECT " ACCOUNT_COLUMNS " FROM users.accounts a WHERE email_index = $2"
    " LIMIT 1",
};

static const struct pg_statement find_accounts = {
    "users_find_accounts",
    "SELECT " ACCOUNT_COLUMNS ", k.at"
    "  FROM unnest($1::uuid[]) WITH ORDINALITY AS k (user_id, at) JOIN users.accounts a ON a.user_id = k.user_id",
};

static const struct pg_statement find_usernames = {
    "users_find_usernames",
    "SELECT k.at, a.username"
    "  FROM unnest($1::uuid[]) WITH ORDINALITY AS k (user_id, at) JOIN users.accounts a ON a.user_id = k.user_id",
};

/* $1 the prefix, $2 the first text behind all that begin with it, $3 and $4 the key of the last one shown, $5 how many.
 * Who is found by several terms is shown at the first of them. Walks over the index of terms as far as the
 * page goes. */
static const struct pg_statement search_accounts = {
    "users_search_accounts",
    "SELECT " ACCOUNT_COLUMNS ", t.term"
    "  FROM users.search_terms t JOIN users.accounts a ON a.user_id = t.user_id"
    " WHERE t.term >= $1::text AND t.term < $2::text AND (t.term, t.user_id) > ($3::text, $4::uuid)"
    "   AND NOT EXISTS (SELECT FROM users.search_terms o"
    "                    WHERE o.user_id = t.user_id AND o.term >= $1::text AND o.term < $2::text"
    "                      AND (o.term, o.kind) < (t.term, t.kind))"
    " ORDER BY t.term, t.user_id LIMIT $5::int",
};

/* $2: now; $3: those below, $4: how many; $5: those that began later. */
static const struct pg_statement list_sessions = {
    "users_list_sessions",
    "SELECT s.session_id, s.device, s.address, s.created_at, COALESCE(s.refreshed_at, s.created_at), s.expires_at"
    "  FROM users.sessions s JOIN users.accounts a ON a.user_id = s.user_id"
    " WHERE s.user_id = $1 AND s.session_id < $3::uuid AND s.ended_at IS NULL AND s.expires_at > $2::timestamptz"
    "   AND s.created_at > $5::timestamptz"
    "   AND (s.account_epoch = a.session_epoch OR s.session_id = a.kept_session)"
    " ORDER BY s.session_id DESC LIMIT $4::int",
};

static const struct pg_statement find_access = {
    "users_find_access",
    "SELECT k.at, a.position, a.session_epoch, a.kept_session, array_to_string(a.roles, ','),"
    "       a.suspended_at IS NOT NULL, a.suspended_until, s.position, s.account_epoch, s.ended_at IS NOT NULL"
    "  FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS k (user_id, session_id, at)"
    "  JOIN users.accounts a ON a.user_id = k.user_id"
    "  LEFT JOIN users.sessions s ON s.user_id = k.user_id AND s.session_id = k.session_id",
};

/* --- accounts --- */

struct str view_text(struct arena *arena, const PGresult *r, int row, int column)
{
    return pg_null(r, row, column) ? (struct str){ NULL, 0 } : arena_str(arena, pg_str(r, row, column));
}

void view_account(struct arena *arena, const PGresult *r, int row, struct account_view *ret)
{
    *ret = (struct account_view){
        .id = pg_uuid(r, row, USER_ID),
        .username = view_text(arena, r, row, USERNAME),
        .email = view_text(arena, r, row, EMAIL),
        .first_name = view_text(arena, r, row, FIRST_NAME),
        .last_name = view_text(arena, r, row, LAST_NAME),
        .password_hash = view_text(arena, r, row, PASSWORD_HASH),
        .roles = role_bits_of_text(pg_str(r, row, ROLES)),
        .created_at = pg_time(r, row, CREATED_AT),
        .bio = view_text(arena, r, row, BIO),
        .location = view_text(arena, r, row, LOCATION),
        .website = view_text(arena, r, row, WEBSITE),
        .phone = view_text(arena, r, row, PHONE),
        .birthdate = view_text(arena, r, row, BIRTHDATE),
        .locale = view_text(arena, r, row, LOCALE),
        .time_zone = view_text(arena, r, row, TIME_ZONE),
        .version = pg_int(r, row, VERSION),
        .session_epoch = pg_int(r, row, SESSION_EPOCH),
        .kept_session = pg_uuid(r, row, KEPT_SESSION),
        .suspended = !pg_null(r, row, SUSPENDED_AT),
        .suspended_at = pg_null(r, row, SUSPENDED_AT) ? 0 : pg_time(r, row, SUSPENDED_AT),
        .suspended_until = pg_null(r, row, SUSPENDED_UNTIL) ? 0 : pg_time(r, row, SUSPENDED_UNTIL),
        .suspension_reason = view_text(arena, r, row, SUSPENSION_REASON),
        .position = pg_int(r, row, POSITION),
        .erased = pg_null(r, row, USERNAME),
    };
}

struct account_view *view_accounts(struct arena *arena, const PGresult *r, size_t *ret_count)
{
    const int rows = PQntuples(r);
    struct account_view *views = ARENA_ARRAY(arena, struct account_view, rows);
    for (int row = 0; row < rows; row++)
        view_account(arena, r, row, &views[row]);
    *ret_count = (size_t)rows;
    return views;
}

static err find_one(struct pg *pg, struct arena *arena, const struct pg_statement *statement,
                    const struct pg_args *args, struct account_view *ret, bool *ret_found)
{
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, statement, args, &r));
    *ret_found = PQntuples(r) > 0;
    if (*ret_found)
        view_account(arena, r, 0, ret);
    return OK;
}

err account_find(struct pg *pg, struct arena *arena, struct uuid id, struct account_view *ret, bool *ret_found)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, id);
    return find_one(pg, arena, &find_account, &args, ret, ret_found);
}

err account_find_by_login(struct pg *pg, struct arena *arena, struct str username_index, struct str email_index,
                          struct account_view *ret, bool *ret_found)
{
    struct pg_args args = pg_args(arena);
    pg_arg_bytes(&args, username_index);
    pg_arg_bytes(&args, email_index);
    return find_one(pg, arena, &find_account_by_login, &args, ret, ret_found);
}

err account_find_many(struct pg *pg, struct arena *arena, const struct uuid *ids, size_t count,
                      struct account_view *ret, bool *ret_found)
{
    struct pg_array *array = pg_array(arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(array, ids[i]);
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, array);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &find_accounts, &args, &r));
    for (size_t i = 0; i < count; i++)
        ret_found[i] = false;
    for (int row = 0; row < PQntuples(r); row++) {
        const int64_t at = pg_int(r, row, EXTRA) - 1;
        view_account(arena, r, row, &ret[at]);
        ret_found[at] = true;
    }
    return OK;
}

err account_usernames(struct pg *pg, struct arena *arena, const struct uuid *ids, size_t count,
                      struct str *ret_usernames)
{
    struct pg_array *array = pg_array(arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(array, ids[i]);
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, array);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &find_usernames, &args, &r));
    for (size_t i = 0; i < count; i++)
        ret_usernames[i] = (struct str){ NULL, 0 };
    for (int row = 0; row < PQntuples(r); row++)
        ret_usernames[pg_int(r, row, 0) - 1] = view_text(arena, r, row, 1);
    return OK;
}

struct str view_prefix_end(struct arena *arena, struct str prefix)
{
    char *end = arena_alloc_raw(arena, prefix.len + 4);
    memcpy(end, prefix.ptr, prefix.len);
    memcpy(end + prefix.len, "\xF4\x8F\xBF\xBF", 4); /* U+10FFFF, which no text has */
    return (struct str){ end, prefix.len + 4 };
}

err account_search(struct pg *pg, struct arena *arena, struct str folded, struct str after_term, struct uuid after_id,
                   int limit, struct account_view **ret, size_t *ret_count)
{
    struct pg_args args = pg_args(arena);
    pg_arg_text(&args, folded);
    pg_arg_text(&args, view_prefix_end(arena, folded));
    pg_arg_text(&args, after_term.ptr ? after_term : STR(""));
    pg_arg_uuid(&args, after_id);
    pg_arg_int4(&args, limit);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &search_accounts, &args, &r));
    *ret = view_accounts(arena, r, ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i].term = view_text(arena, r, (int)i, EXTRA);
    return OK;
}

static void field_or_null(struct json *j, const char *name, struct str text)
{
    json_key(j, name);
    if (text.len)
        json_str(j, text);
    else
        json_none(j);
}

static void suspension_json(struct json *j, const struct account_view *a)
{
    json_key(j, "suspended");
    if (!a->suspended) {
        json_none(j);
        return;
    }
    json_open(j, '{');
    json_field_str(j, "reason", a->suspension_reason);
    json_field_time(j, "at", a->suspended_at);
    json_key(j, "until");
    if (a->suspended_until)
        json_time(j, a->suspended_until);
    else
        json_none(j);
    json_close(j, '}');
}

void account_json(struct json *j, const struct account_view *a, enum account_audience audience)
{
    json_open(j, '{');
    json_field_uuid(j, "id", a->id);
    json_field_str(j, "username", a->username);
    if (audience >= ACCOUNT_OWN)
        json_field_str(j, "email", a->email);
    json_field_str(j, "firstName", a->first_name);
    json_field_str(j, "lastName", a->last_name);
    field_or_null(j, "bio", a->bio);
    field_or_null(j, "location", a->location);
    field_or_null(j, "website", a->website);
    if (audience >= ACCOUNT_OWN) {
        field_or_null(j, "phone", a->phone);
        field_or_null(j, "birthdate", a->birthdate);
        field_or_null(j, "locale", a->locale);
        field_or_null(j, "timeZone", a->time_zone);
    }
    json_key(j, "roles");
    json_open(j, '[');
    size_t count;
    const struct str *roles = role_names(a->roles, &count);
    for (size_t i = 0; i < count; i++)
        json_str(j, roles[i]);
    json_close(j, ']');
    json_field_time(j, "createdAt", a->created_at);
    if (audience == ACCOUNT_ADMINISTRATION) {
        json_field_int(j, "version", a->version);
        suspension_json(j, a);
    }
    json_close(j, '}');
}

/* --- sessions --- */

err session_list(struct pg *pg, struct arena *arena, struct uuid user, int64_t now_ms, int64_t begun_ms,
                 struct uuid before, int limit, struct session_view **ret, size_t *ret_count)
{
    if (uuid_is_nil(before))
        memset(&before, 0xFF, sizeof before);
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, user);
    pg_arg_time(&args, now_ms);
    pg_arg_uuid(&args, before);
    pg_arg_int4(&args, limit);
    pg_arg_time(&args, begun_ms);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &list_sessions, &args, &r));
    const int rows = PQntuples(r);
    struct session_view *views = ARENA_ARRAY(arena, struct session_view, rows);
    for (int row = 0; row < rows; row++)
        views[row] = (struct session_view){
            .id = pg_uuid(r, row, 0),
            .device = view_text(arena, r, row, 1),
            .address = view_text(arena, r, row, 2),
            .created_at = pg_time(r, row, 3),
            .last_used_at = pg_time(r, row, 4),
            .expires_at = pg_time(r, row, 5),
        };
    *ret = views;
    *ret_count = (size_t)rows;
    return OK;
}

void session_json(struct json *j, const struct session_view *s, bool current)
{
    json_open(j, '{');
    json_field_uuid(j, "id", s->id);
    json_field_str(j, "device", s->device);
    json_field_str(j, "address", s->address);
    json_field_time(j, "createdAt", s->created_at);
    json_field_time(j, "lastUsedAt", s->last_used_at);
    json_field_time(j, "expiresAt", s->expires_at);
    json_key(j, "current");
    json_bool(j, current);
    json_close(j, '}');
}

/* --- who may come in --- */

void access_settle(struct access *a, int64_t now_ms)
{
    a->suspended = a->account_found && a->account_suspended && (a->suspended_until == 0 || now_ms < a->suspended_until);
    a->live = a->account_found && a->session_found && !a->session_ended &&
              (a->account_epoch == a->session_epoch || uuid_equal(a->session, a->kept_session));
}

err access_find(struct pg *pg, struct arena *arena, struct access *items, size_t count, int64_t now_ms)
{
    struct pg_array *users = pg_array(arena, PG_UUID, count), *sessions = pg_array(arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++) {
        pg_array_uuid(users, items[i].user);
        pg_array_uuid(sessions, items[i].session);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, users);
    pg_arg_array(&args, sessions);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &find_access, &args, &r));
    for (size_t i = 0; i < count; i++)
        items[i] = (struct access){ .user = items[i].user, .session = items[i].session };
    for (int row = 0; row < PQntuples(r); row++) {
        struct access *a = &items[pg_int(r, row, 0) - 1];
        a->account_found = true;
        a->account_position = pg_int(r, row, 1);
        a->session_epoch = pg_int(r, row, 2);
        a->kept_session = pg_uuid(r, row, 3);
        a->roles = role_bits_of_text(pg_str(r, row, 4));
        a->account_suspended = pg_bool(r, row, 5);
        a->suspended_until = pg_null(r, row, 6) ? 0 : pg_time(r, row, 6);
        a->session_found = !pg_null(r, row, 7);
        a->session_position = pg_int(r, row, 7);
        a->account_epoch = pg_int(r, row, 8);
        a->session_ended = pg_bool(r, row, 9);
    }
    for (size_t i = 0; i < count; i++)
        access_settle(&items[i], now_ms);
    return OK;
}
