/* users/roles: what an account may do, as bits, and who acts for the system. Pure. */
#pragma once

#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

enum account_role { ACCOUNT_USER = 1, ACCOUNT_MODERATOR = 2, ACCOUNT_ADMIN = 4 };
#define ACCOUNT_ROLES_ALL (ACCOUNT_USER | ACCOUNT_MODERATOR | ACCOUNT_ADMIN)

/* The actor of commands that no account sends: aether-admin, policies. It may do what an administrator may, and it may
 * import accounts. No request can name it: a request's actor is the account of its token. */
static const struct uuid system_actor = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1 } };

/* The names in a fixed order, "user" among them whatever the bits say; constant. */
const struct str *role_names(uint32_t bits, size_t *ret_count);
/* False when a name is none of ours. */
bool role_bits(const struct str *names, size_t count, uint32_t *ret_bits);
/* "user,admin": as a role array travels to and from SQL. Names that are none of ours are passed over. */
struct str role_text(uint32_t bits);
uint32_t role_bits_of_text(struct str text);
