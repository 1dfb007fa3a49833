#include "consumers/users/view.h"

/* The roles travel as one text with commas between. */
#define ACCOUNT_COLUMNS                                                                                                \
    "user_id, username, email, first_name, last_name, password_hash, array_to_string(roles, ','), created_at"
enum { USER_ID, USERNAME, EMAIL, FIRST_NAME, LAST_NAME, PASSWORD_HASH, ROLES, CREATED_AT };

static const struct pg_statement find_account = {
    "users_find_account",
    "SELECT " ACCOUNT_COLUMNS " FROM users.accounts WHERE user_id = $1",
};

/* $1 index of what was typed as a username, $2 as an e-mail address. Two index look-ups; the second only at need. */
static const struct pg_statement find_account_by_login = {
    "users_find_account_by_login",
    "SELECT " ACCOUNT_COLUMNS " FROM users.accounts WHERE username_index = $1"
    " UNION ALL "
    "SELECT " ACCOUNT_COLUMNS " FROM users.accounts WHERE email_index = $2"
    " LIMIT 1",
};

static const struct pg_statement find_usernames = {
    "users_find_usernames",
    "SELECT k.at, a.username"
    "  FROM unnest($1::uuid[]) WITH ORDINALITY AS k (user_id, at) JOIN users.accounts a ON a.user_id = k.user_id",
};

static struct str text_of(struct arena *arena, const PGresult *r, int row, int column)
{
    return pg_null(r, row, column) ? (struct str){ NULL, 0 } : arena_str(arena, pg_str(r, row, column));
}

static const struct str *roles_split(struct arena *arena, struct str text, size_t *ret_count)
{
    size_t count = text.len ? 1 : 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ',';
    struct str *roles = ARENA_ARRAY(arena, struct str, count);
    const char *at = text.ptr, *end = text.ptr + text.len;
    for (size_t i = 0; i < count; i++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        roles[i] = (struct str){ at, (size_t)((comma ? comma : end) - at) };
        at = comma ? comma + 1 : end;
    }
    *ret_count = count;
    return roles;
}

/* Takes the first row, if there is one, and clears the result. */
static bool account_take(struct arena *arena, PGresult *r, struct account_view *ret)
{
    const bool found = PQntuples(r) > 0;
    if (found) {
        *ret = (struct account_view){
            .id = pg_uuid(r, 0, USER_ID),
            .username = text_of(arena, r, 0, USERNAME),
            .email = text_of(arena, r, 0, EMAIL),
            .first_name = text_of(arena, r, 0, FIRST_NAME),
            .last_name = text_of(arena, r, 0, LAST_NAME),
            .password_hash = text_of(arena, r, 0, PASSWORD_HASH),
            .created_at = pg_time(r, 0, CREATED_AT),
            .erased = pg_null(r, 0, USERNAME),
        };
        ret->roles = roles_split(arena, text_of(arena, r, 0, ROLES), &ret->role_count);
    }
    PQclear(r);
    return found;
}

err account_find(struct pg *pg, struct arena *arena, struct uuid id, struct account_view *ret, bool *ret_found)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, id);
    PGresult *r;
    TRY(pg_query(pg, &find_account, &args, &r));
    *ret_found = account_take(arena, r, ret);
    return OK;
}

err account_find_by_login(struct pg *pg, struct arena *arena, struct str username_index, struct str email_index,
                          struct account_view *ret, bool *ret_found)
{
    struct pg_args args = pg_args(arena);
    pg_arg_bytes(&args, username_index);
    pg_arg_bytes(&args, email_index);
    PGresult *r;
    TRY(pg_query(pg, &find_account_by_login, &args, &r));
    *ret_found = account_take(arena, r, ret);
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
    PGresult *r;
    TRY(pg_query(pg, &find_usernames, &args, &r));
    for (size_t i = 0; i < count; i++)
        ret_usernames[i] = (struct str){ NULL, 0 };
    for (int row = 0; row < PQntuples(r); row++)
        ret_usernames[pg_int(r, row, 0) - 1] = text_of(arena, r, row, 1);
    PQclear(r);
    return OK;
}

void account_json(struct json *j, const struct account_view *a, bool own)
{
    json_open(j, '{');
    json_field_uuid(j, "id", a->id);
    json_field_str(j, "username", a->username);
    if (own)
        json_field_str(j, "email", a->email);
    json_field_str(j, "firstName", a->first_name);
    json_field_str(j, "lastName", a->last_name);
    json_key(j, "roles");
    json_open(j, '[');
    for (size_t i = 0; i < a->role_count; i++)
        json_str(j, a->roles[i]);
    json_close(j, ']');
    json_field_time(j, "createdAt", a->created_at);
    json_close(j, '}');
}

/* White space at the ends is dropped, ASCII letters are folded. */
static struct str normalise(struct arena *arena, struct str text)
{
    while (text.len && (uint8_t)text.ptr[0] <= ' ')
        text = (struct str){ text.ptr + 1, text.len - 1 };
    while (text.len && (uint8_t)text.ptr[text.len - 1] <= ' ')
        text.len--;
    char *folded = arena_alloc_raw(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        folded[i] = text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? (char)(text.ptr[i] + ('a' - 'A')) : text.ptr[i];
    folded[text.len] = '\0';
    return (struct str){ folded, text.len };
}

struct str username_normalise(struct arena *arena, struct str username)
{
    return normalise(arena, username);
}

struct str email_normalise(struct arena *arena, struct str email)
{
    return normalise(arena, email);
}
