#include "consumers/users/decide.h"

#include <assert.h>

/* How long a username that was given up stays its owner's. */
#define RESERVED_MS (30 * INT64_C(86400000))

/* --- what the state says --- */

/* What load did not ask PostgreSQL for has no answer: assert, rather than take it for absent. NULL: no such account. */
static const struct account *known(const struct accounts_state *s, struct uuid id)
{
    const struct account *account = accounts_state_account(s, id);
    assert(account && account->presence >= PRESENCE_ABSENT);
    return account->presence == PRESENCE_PRESENT ? account : NULL;
}

/* By somebody else, at this time. */
static bool is_taken(const struct accounts_state *s, struct claim_key key, struct uuid by, int64_t at)
{
    const struct claim *claim = accounts_state_claim(s, key);
    assert(claim && claim->presence >= PRESENCE_ABSENT);
    return claim->presence == PRESENCE_PRESENT && !uuid_equal(claim->owner, by) && at < claim->until;
}

static bool is_suspended(const struct account *account, int64_t at)
{
    return account->suspended && (account->suspended_until == 0 || at < account->suspended_until);
}

/* Who administrates is looked up here and not in the token: a role that was taken away a moment ago is gone. */
static bool is_administrator(const struct accounts_state *s, const struct meta *meta)
{
    if (uuid_equal(meta->actor, system_actor))
        return true;
    const struct account *actor = known(s, meta->actor);
    return actor && (actor->roles & ACCOUNT_ADMIN) && !is_suspended(actor, meta->at);
}

/* Who may send a command: a person about their own account, an administrator about any. */
enum { OWN = 1, ADMINISTRATOR = 2 };

static const unsigned authority[] = {
    [ACCOUNTS_CHANGE_PROFILE] = OWN,
    [ACCOUNTS_CHANGE_USERNAME] = OWN,
    [ACCOUNTS_CHANGE_EMAIL] = OWN,
    [ACCOUNTS_CHANGE_PASSWORD] = OWN,
    [ACCOUNTS_REHASH_PASSWORD] = OWN,
    [ACCOUNTS_END_ALL_SESSIONS] = OWN | ADMINISTRATOR,
    [ACCOUNTS_SUSPEND_ACCOUNT] = ADMINISTRATOR,
    [ACCOUNTS_REINSTATE_ACCOUNT] = ADMINISTRATOR,
    [ACCOUNTS_SET_ROLES] = ADMINISTRATOR,
};

/* The account that a command is about, for who may send it. */
static int admitted(const struct accounts_state *s, const struct accounts_command *c, const struct account **ret)
{
    const struct uuid user = accounts_stream.command.key((const struct any_record *)c);
    const unsigned may = authority[c->type];
    const bool own = (may & OWN) && uuid_equal(user, c->meta.actor);
    if (!own && !((may & ADMINISTRATOR) && is_administrator(s, &c->meta)))
        return FORBIDDEN_ACTOR;
    const struct account *account = known(s, user);
    if (!account)
        return ACCOUNT_NOT_FOUND;
    if (own && is_suspended(account, c->meta.at))
        return ACCOUNT_SUSPENDED;
    *ret = account;
    return ACCEPTED;
}

/* --- the rules --- */

static int decide_register(const struct accounts_state *s, const struct register_account *command,
                           struct accounts_fact *ret)
{
    if (!uuid_equal(command->user_id, command->meta.actor) && !uuid_equal(command->meta.actor, system_actor))
        return FORBIDDEN_ACTOR;
    if (command->username_index.len != HASH_LEN || command->email_index.len != HASH_LEN)
        return COMMAND_INVALID;
    if (known(s, command->user_id))
        return ACCOUNT_EXISTS;
    if (is_taken(s, claim_key(CLAIM_USERNAME, command->username_index), command->user_id, command->meta.at))
        return USERNAME_TAKEN;
    if (is_taken(s, claim_key(CLAIM_EMAIL, command->email_index), command->user_id, command->meta.at))
        return EMAIL_TAKEN;
    ret->type = ACCOUNTS_ACCOUNT_REGISTERED;
    ret->account_registered = (struct account_registered){
        .user_id = command->user_id,
        .username = command->username,
        .username_index = command->username_index,
        .email = command->email,
        .email_index = command->email_index,
        .first_name = command->first_name,
        .last_name = command->last_name,
        .password_hash = command->password_hash,
        .address = command->address,
        .request_id = command->request_id,
    };
    ret->account_registered.roles.items = role_names(ACCOUNT_USER, &ret->account_registered.roles.count);
    return ACCEPTED;
}

static int decide_profile(const struct account *account, const struct change_profile *command,
                          struct accounts_fact *ret)
{
    if (command->expected_version != -1 && command->expected_version != account->version)
        return VERSION_CONFLICT;
    ret->type = ACCOUNTS_PROFILE_CHANGED;
    ret->profile_changed = (struct profile_changed){
        .user_id = command->user_id,
        .first_name = command->first_name,
        .last_name = command->last_name,
        .bio = command->bio,
        .location = command->location,
        .website = command->website,
        .phone = command->phone,
        .birthdate = command->birthdate,
        .locale = command->locale,
        .time_zone = command->time_zone,
        .version = account->version + 1,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

static int decide_username(const struct accounts_state *s, const struct account *account,
                           const struct change_username *command, struct accounts_fact *ret)
{
    if (command->username_index.len != HASH_LEN)
        return COMMAND_INVALID;
    if (is_taken(s, claim_key(CLAIM_USERNAME, command->username_index), command->user_id, command->meta.at))
        return USERNAME_TAKEN;
    const bool respelt = memcmp(command->username_index.ptr, account->username_index, HASH_LEN) == 0;
    /* As the claim has it: the account's own copy changes when the fact evolves, before the fact is encoded. */
    const struct str index = { (const char *)account->username_index, HASH_LEN };
    const struct claim *held = accounts_state_claim(s, claim_key(CLAIM_USERNAME, index));
    assert(held);
    ret->type = ACCOUNTS_USERNAME_CHANGED;
    ret->username_changed = (struct username_changed){
        .user_id = command->user_id,
        .username = command->username,
        .username_index = command->username_index,
        .released_index = respelt ? (struct str){ 0 } : (struct str){ (const char *)held->key.value, HASH_LEN },
        .reserved_until = respelt ? 0 : command->meta.at + RESERVED_MS,
        .version = account->version + 1,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

static int decide_email(const struct accounts_state *s, const struct account *account,
                        const struct change_email *command, struct accounts_fact *ret)
{
    if (command->email_index.len != HASH_LEN)
        return COMMAND_INVALID;
    if (is_taken(s, claim_key(CLAIM_EMAIL, command->email_index), command->user_id, command->meta.at))
        return EMAIL_TAKEN;
    ret->type = ACCOUNTS_EMAIL_CHANGED;
    ret->email_changed = (struct email_changed){
        .user_id = command->user_id,
        .email = command->email,
        .email_index = command->email_index,
        .version = account->version + 1,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

/* Between the look at the old password and this decision another change may have come. */
static bool is_stale(const struct account *account, int64_t verified_in)
{
    return verified_in != -1 && verified_in != account->session_epoch;
}

static int decide_password(const struct account *account, const struct change_password *command,
                           struct accounts_fact *ret)
{
    if (is_stale(account, command->account_epoch))
        return STALE_CREDENTIALS;
    ret->type = ACCOUNTS_PASSWORD_CHANGED;
    ret->password_changed = (struct password_changed){
        .user_id = command->user_id,
        .password_hash = command->password_hash,
        .kept_session = command->kept_session,
        .session_epoch = account->session_epoch + 1,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

static int decide_rehash(const struct account *account, const struct rehash_password *command,
                         struct accounts_fact *ret)
{
    if (is_stale(account, command->account_epoch))
        return STALE_CREDENTIALS;
    ret->type = ACCOUNTS_PASSWORD_REHASHED;
    ret->password_rehashed = (struct password_rehashed){
        .user_id = command->user_id,
        .password_hash = command->password_hash,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

static int decide_end_all(const struct account *account, const struct end_all_sessions *command,
                          struct accounts_fact *ret)
{
    ret->type = ACCOUNTS_ALL_SESSIONS_ENDED;
    ret->all_sessions_ended = (struct all_sessions_ended){
        .user_id = command->user_id,
        .kept_session = command->kept_session,
        .session_epoch = account->session_epoch + 1,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

static int decide_suspend(const struct account *account, const struct suspend_account *command,
                          struct accounts_fact *ret)
{
    if (uuid_equal(command->user_id, command->meta.actor))
        return OWN_ACCOUNT;
    if (command->until != 0 && command->until <= command->meta.at)
        return COMMAND_INVALID;
    ret->type = ACCOUNTS_ACCOUNT_SUSPENDED;
    ret->account_suspended = (struct account_suspended){
        .user_id = command->user_id,
        .reason = command->reason,
        .until = command->until,
        .session_epoch = account->session_epoch + 1,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

static int decide_reinstate(const struct account *account, const struct reinstate_account *command,
                            struct accounts_fact *ret)
{
    if (!account->suspended)
        return NOT_SUSPENDED;
    ret->type = ACCOUNTS_ACCOUNT_REINSTATED;
    ret->account_reinstated = (struct account_reinstated){
        .user_id = command->user_id,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

/* Somebody else who can administrate now. Rarely asked: roles change a few times a year. */
static bool has_other_administrator(const struct accounts_state *s, const struct account *account, int64_t at)
{
    assert(s->admins_loaded);
    for (const struct account *other = s->accounts; other; other = other->hh.next)
        if (other != account && other->presence == PRESENCE_PRESENT && (other->roles & ACCOUNT_ADMIN) &&
            !is_suspended(other, at))
            return true;
    return false;
}

static int decide_roles(const struct accounts_state *s, const struct account *account, const struct set_roles *command,
                        struct accounts_fact *ret)
{
    uint32_t roles;
    if (command->roles.count == 0 || !role_bits(command->roles.items, command->roles.count, &roles))
        return COMMAND_INVALID;
    /* The operator at the console may: who can name the first administrator can name the next one. */
    if ((account->roles & ACCOUNT_ADMIN) && !(roles & ACCOUNT_ADMIN) &&
        !uuid_equal(command->meta.actor, system_actor) && !has_other_administrator(s, account, command->meta.at))
        return LAST_ADMIN;
    ret->type = ACCOUNTS_ROLES_SET;
    ret->roles_set = (struct roles_set){
        .user_id = command->user_id,
        .version = account->version + 1,
        .address = command->address,
        .request_id = command->request_id,
    };
    ret->roles_set.roles.items = role_names(roles, &ret->roles_set.roles.count);
    return ACCEPTED;
}

int accounts_decide(const void *state, const struct any_record *command, struct any_record *ret_fact)
{
    const struct accounts_command *c = (const struct accounts_command *)command;
    struct accounts_fact *ret = (struct accounts_fact *)ret_fact;
    if (c->type == ACCOUNTS_COMMAND_NONE)
        return COMMAND_INVALID;
    if (c->type == ACCOUNTS_REGISTER_ACCOUNT)
        return decide_register(state, &c->register_account, ret);
    const struct account *account;
    const int refused = admitted(state, c, &account);
    if (refused)
        return refused;
    switch ((enum accounts_command_type)c->type) {
    case ACCOUNTS_CHANGE_PROFILE:
        return decide_profile(account, &c->change_profile, ret);
    case ACCOUNTS_CHANGE_USERNAME:
        return decide_username(state, account, &c->change_username, ret);
    case ACCOUNTS_CHANGE_EMAIL:
        return decide_email(state, account, &c->change_email, ret);
    case ACCOUNTS_CHANGE_PASSWORD:
        return decide_password(account, &c->change_password, ret);
    case ACCOUNTS_REHASH_PASSWORD:
        return decide_rehash(account, &c->rehash_password, ret);
    case ACCOUNTS_END_ALL_SESSIONS:
        return decide_end_all(account, &c->end_all_sessions, ret);
    case ACCOUNTS_SUSPEND_ACCOUNT:
        return decide_suspend(account, &c->suspend_account, ret);
    case ACCOUNTS_REINSTATE_ACCOUNT:
        return decide_reinstate(account, &c->reinstate_account, ret);
    case ACCOUNTS_SET_ROLES:
        return decide_roles(state, account, &c->set_roles, ret);
    case ACCOUNTS_REGISTER_ACCOUNT:
    case ACCOUNTS_COMMAND_NONE:
        break;
    }
    return COMMAND_INVALID;
}

/* --- what a fact changes --- */

/* The account that a later fact is about. */
static struct account *evolving(struct accounts_state *s, struct uuid id)
{
    struct account *account = accounts_state_account_add(s, id);
    assert(account->presence == PRESENCE_PRESENT);
    return account;
}

static void evolve_registered(struct accounts_state *s, const struct account_registered *f)
{
    struct account *account = accounts_state_account_add(s, f->user_id);
    account->presence = PRESENCE_PRESENT;
    account->version = 1;
    account->roles = ACCOUNT_USER;
    (void)role_bits(f->roles.items, f->roles.count, &account->roles);
    hash_set(account->username_index, f->username_index);
    hash_set(account->email_index, f->email_index);
    claim_set(accounts_state_claim_add(s, claim_key(CLAIM_USERNAME, f->username_index)), f->user_id, CLAIM_FOREVER);
    claim_set(accounts_state_claim_add(s, claim_key(CLAIM_EMAIL, f->email_index)), f->user_id, CLAIM_FOREVER);
}

static void evolve_username(struct accounts_state *s, const struct username_changed *f)
{
    struct account *account = evolving(s, f->user_id);
    if (f->released_index.len)
        claim_set(accounts_state_claim_add(s, claim_key(CLAIM_USERNAME, f->released_index)), f->user_id,
                  f->reserved_until);
    claim_set(accounts_state_claim_add(s, claim_key(CLAIM_USERNAME, f->username_index)), f->user_id, CLAIM_FOREVER);
    hash_set(account->username_index, f->username_index);
    account->version = f->version;
}

static void evolve_email(struct accounts_state *s, const struct email_changed *f)
{
    struct account *account = evolving(s, f->user_id);
    const struct str before = { (const char *)account->email_index, HASH_LEN };
    accounts_state_claim_add(s, claim_key(CLAIM_EMAIL, before))->presence = PRESENCE_ABSENT;
    claim_set(accounts_state_claim_add(s, claim_key(CLAIM_EMAIL, f->email_index)), f->user_id, CLAIM_FOREVER);
    hash_set(account->email_index, f->email_index);
    account->version = f->version;
}

static void evolve_suspended(struct accounts_state *s, const struct account_suspended *f)
{
    struct account *account = evolving(s, f->user_id);
    account->suspended = true;
    account->suspended_until = f->until;
    account->session_epoch = f->session_epoch;
}

static void evolve_roles(struct accounts_state *s, const struct roles_set *f)
{
    struct account *account = evolving(s, f->user_id);
    account->roles = ACCOUNT_USER;
    (void)role_bits(f->roles.items, f->roles.count, &account->roles);
    account->version = f->version;
}

void accounts_evolve(void *state, const struct any_record *fact)
{
    struct accounts_state *s = state;
    const struct accounts_fact *f = (const struct accounts_fact *)fact;
    switch ((enum accounts_fact_type)f->type) {
    case ACCOUNTS_ACCOUNT_REGISTERED:
        evolve_registered(s, &f->account_registered);
        break;
    case ACCOUNTS_PROFILE_CHANGED:
        evolving(s, f->profile_changed.user_id)->version = f->profile_changed.version;
        break;
    case ACCOUNTS_USERNAME_CHANGED:
        evolve_username(s, &f->username_changed);
        break;
    case ACCOUNTS_EMAIL_CHANGED:
        evolve_email(s, &f->email_changed);
        break;
    case ACCOUNTS_PASSWORD_CHANGED:
        evolving(s, f->password_changed.user_id)->session_epoch = f->password_changed.session_epoch;
        break;
    case ACCOUNTS_PASSWORD_REHASHED:
        break;
    case ACCOUNTS_ALL_SESSIONS_ENDED:
        evolving(s, f->all_sessions_ended.user_id)->session_epoch = f->all_sessions_ended.session_epoch;
        break;
    case ACCOUNTS_ACCOUNT_SUSPENDED:
        evolve_suspended(s, &f->account_suspended);
        break;
    case ACCOUNTS_ACCOUNT_REINSTATED:
        evolving(s, f->account_reinstated.user_id)->suspended = false;
        break;
    case ACCOUNTS_ROLES_SET:
        evolve_roles(s, &f->roles_set);
        break;
    case ACCOUNTS_FACT_NONE:
        break;
    }
}
