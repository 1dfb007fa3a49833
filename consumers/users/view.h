/* users/view: the queries over the users worker's projection. All strings live in the arena. RETRY: PostgreSQL is away.
 */
#pragma once

#include "ops/runtime/json.h"
#include "ops/runtime/pg.h"

struct account_view {
    struct uuid id;
    struct str username, email, first_name, last_name; /* empty when erased */
    struct str password_hash;                          /* argon2id, PHC string format */
    const struct str *roles;
    size_t role_count;
    int64_t created_at; /* Unix ms */
    bool erased;
};

MUST_CHECK err account_find(struct pg *pg, struct arena *arena, struct uuid id, struct account_view *ret,
                            bool *ret_found);

/* By blind index (32 bytes each) of what was typed into the login form: as a username or as an e-mail address. */
MUST_CHECK err account_find_by_login(struct pg *pg, struct arena *arena, struct str username_index,
                                     struct str email_index, struct account_view *ret, bool *ret_found);

/* Usernames for many ids (members of a room), in the order of `ids`; empty where there is none. */
MUST_CHECK err account_usernames(struct pg *pg, struct arena *arena, const struct uuid *ids, size_t count,
                                 struct str *ret_usernames);

/* {id, username, email (when `own`), firstName, lastName, roles, createdAt} */
void account_json(struct json *j, const struct account_view *a, bool own);

/* Case-folded and trimmed, for the blind index. NFKC and full Unicode case folding come with ICU; until then ASCII
 * letters are folded, and usernames are restricted to ASCII by the route's body table. */
struct str username_normalise(struct arena *arena, struct str username);
struct str email_normalise(struct arena *arena, struct str email);
