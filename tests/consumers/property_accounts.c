/* Random commands and all questions of the stream accounts. */
#include "consumers/users/streams.h"
#include "tests/consumers/property.h"

enum { NAMES = 3, DAYS = 4 };

/* Every twenty days: a username that was given up is reserved for thirty. */
static int64_t day_of(uint32_t n)
{
    return 1 + n * INT64_C(20) * 86400000;
}

static const struct str roles_asked[] = { { "user", 4 }, { "admin", 5 }, { "wizard", 6 } };

static void account_random(struct arena *arena, uint32_t story, struct accounts_command *c)
{
    const struct uuid user = id_of(story, 'p', any(PEOPLE));
    const struct str username = hash_of(arena, story, 'u', any(NAMES)), email = hash_of(arena, story, 'e', any(NAMES));
    const struct uuid kept = any(2) ? id_of(story, 's', any(3)) : uuid_nil;
    c->type = (int)(ACCOUNTS_COMMAND_NONE + 1 + any((uint32_t)accounts_stream.command.type_count));
    if (any(4) == 0)
        c->type = ACCOUNTS_REGISTER_ACCOUNT;
    switch ((enum accounts_command_type)c->type) {
    case ACCOUNTS_REGISTER_ACCOUNT:
        c->register_account = (struct register_account){ .user_id = user,
                                                         .username = text_of(arena),
                                                         .username_index = username,
                                                         .email = text_of(arena),
                                                         .email_index = email,
                                                         .first_name = text_of(arena),
                                                         .last_name = text_of(arena),
                                                         .password_hash = text_of(arena),
                                                         .address = text_of(arena),
                                                         .request_id = STR("request") };
        break;
    case ACCOUNTS_CHANGE_PROFILE:
        c->change_profile = (struct change_profile){ .user_id = user,
                                                     .first_name = text_of(arena),
                                                     .last_name = text_of(arena),
                                                     .bio = text_of(arena),
                                                     .location = text_of(arena),
                                                     .website = text_of(arena),
                                                     .phone = text_of(arena),
                                                     .birthdate = text_of(arena),
                                                     .locale = text_of(arena),
                                                     .time_zone = text_of(arena),
                                                     .expected_version = (int64_t)any(5) - 1,
                                                     .address = text_of(arena) };
        break;
    case ACCOUNTS_CHANGE_USERNAME:
        c->change_username = (struct change_username){
            .user_id = user, .username = text_of(arena), .username_index = username, .address = text_of(arena)
        };
        break;
    case ACCOUNTS_CHANGE_EMAIL:
        c->change_email = (struct change_email){
            .user_id = user, .email = text_of(arena), .email_index = email, .address = text_of(arena)
        };
        break;
    case ACCOUNTS_CHANGE_PASSWORD:
        c->change_password = (struct change_password){ .user_id = user,
                                                       .password_hash = text_of(arena),
                                                       .kept_session = kept,
                                                       .account_epoch = (int64_t)any(4) - 1,
                                                       .address = text_of(arena) };
        break;
    case ACCOUNTS_REHASH_PASSWORD:
        c->rehash_password = (struct rehash_password){ .user_id = user,
                                                       .password_hash = text_of(arena),
                                                       .account_epoch = (int64_t)any(4) - 1,
                                                       .address = text_of(arena) };
        break;
    case ACCOUNTS_END_ALL_SESSIONS:
        c->end_all_sessions =
            (struct end_all_sessions){ .user_id = user, .kept_session = kept, .address = text_of(arena) };
        break;
    case ACCOUNTS_SUSPEND_ACCOUNT:
        c->suspend_account = (struct suspend_account){ .user_id = user,
                                                       .reason = text_of(arena),
                                                       .until = any(2) ? day_of(any(DAYS)) : 0,
                                                       .address = text_of(arena) };
        break;
    case ACCOUNTS_REINSTATE_ACCOUNT:
        c->reinstate_account = (struct reinstate_account){ .user_id = user, .address = text_of(arena) };
        break;
    case ACCOUNTS_SET_ROLES:
        c->set_roles = (struct set_roles){ .user_id = user,
                                           .roles = { &roles_asked[any(3)], any(8) ? 1 : 0 },
                                           .address = text_of(arena) };
        break;
    case ACCOUNTS_COMMAND_NONE:
        break;
    }
}

static void accounts_random(struct arena *arena, uint32_t story, struct any_record *ret)
{
    struct accounts_command *c = (struct accounts_command *)ret;
    account_random(arena, story, c);
    /* Mostly the account's own person, or the console. */
    c->meta.actor = any(3) == 0   ? system_actor
                    : any(3) == 0 ? id_of(story, 'p', any(PEOPLE))
                                  : accounts_stream.command.key(ret);
    c->meta.at = day_of(any(DAYS));
    c->meta.command_id = id_of(story, 'c', any(1000));
}

/* Of each person: what the rules know of the account, and of every name at two times. */
static bool accounts_question(struct arena *arena, uint32_t story, uint32_t n, struct any_record *ret)
{
    enum { STATES = 6, PLAIN = STATES + 2 * NAMES + PEOPLE + NAMES };
    struct accounts_command *c = (struct accounts_command *)ret;
    const struct uuid user = id_of(story, 'p', n / PLAIN);
    const uint32_t what = n % PLAIN;
    struct uuid actor = user;
    c->meta.at = day_of(DAYS);
    if (what == 0) {
        c->type = ACCOUNTS_CHANGE_PROFILE;
        c->change_profile = (struct change_profile){ .user_id = user, .expected_version = -1 };
    } else if (what == 1) {
        c->type = ACCOUNTS_CHANGE_PASSWORD;
        c->change_password = (struct change_password){ .user_id = user, .account_epoch = -1 };
    } else if (what == 2) {
        c->type = ACCOUNTS_SUSPEND_ACCOUNT;
        c->suspend_account = (struct suspend_account){ .user_id = user };
        actor = system_actor;
    } else if (what == 3) {
        c->type = ACCOUNTS_REINSTATE_ACCOUNT;
        c->reinstate_account = (struct reinstate_account){ .user_id = user };
        actor = system_actor;
    } else if (what == 4) {
        c->type = ACCOUNTS_SET_ROLES;
        c->set_roles = (struct set_roles){ .user_id = user, .roles = { roles_asked, 1 } };
        actor = id_of(story, 'p', 0);
    } else if (what == 5) {
        c->type = ACCOUNTS_END_ALL_SESSIONS;
        c->end_all_sessions = (struct end_all_sessions){ .user_id = user };
    } else if (what < STATES + 2 * NAMES) {
        c->type = ACCOUNTS_CHANGE_USERNAME;
        c->change_username =
            (struct change_username){ .user_id = user,
                                      .username_index = hash_of(arena, story, 'u', (what - STATES) % NAMES) };
        c->meta.at = day_of(what < STATES + NAMES ? 0 : DAYS - 1);
    } else if (what < STATES + 2 * NAMES + PEOPLE) {
        c->type = ACCOUNTS_REINSTATE_ACCOUNT;
        c->reinstate_account = (struct reinstate_account){ .user_id = user };
        actor = id_of(story, 'p', what - STATES - 2 * NAMES);
    } else {
        c->type = ACCOUNTS_REGISTER_ACCOUNT;
        c->register_account = (struct register_account){
            .user_id = id_of(story, 'n', n),
            .username_index = hash_of(arena, story, 'u', n / PLAIN),
            .email_index = hash_of(arena, story, 'e', what - STATES - 2 * NAMES - PEOPLE),
        };
        actor = c->register_account.user_id;
    }
    const int64_t at = c->meta.at;
    c->meta = (struct meta){ .actor = actor, .at = at ? at : day_of(DAYS) };
    return n < PEOPLE * PLAIN;
}

static int64_t accounts_from_state(const struct any_record *fact)
{
    const struct accounts_fact *f = (const struct accounts_fact *)fact;
    switch ((enum accounts_fact_type)f->type) {
    case ACCOUNTS_PROFILE_CHANGED:
        return f->profile_changed.version;
    case ACCOUNTS_USERNAME_CHANGED: {
        uint64_t sum = (uint64_t)(f->username_changed.version + f->username_changed.reserved_until);
        for (size_t i = 0; i < f->username_changed.released_index.len; i++)
            sum = sum * 31 + (uint8_t)f->username_changed.released_index.ptr[i];
        return (int64_t)sum;
    }
    case ACCOUNTS_EMAIL_CHANGED:
        return f->email_changed.version;
    case ACCOUNTS_ROLES_SET:
        return f->roles_set.version;
    case ACCOUNTS_PASSWORD_CHANGED:
        return f->password_changed.session_epoch;
    case ACCOUNTS_ALL_SESSIONS_ENDED:
        return f->all_sessions_ended.session_epoch;
    case ACCOUNTS_ACCOUNT_SUSPENDED:
        return f->account_suspended.session_epoch;
    default:
        return 0;
    }
}

static void accounts_keep(struct arena *arena, struct any_record *fact)
{
    struct accounts_fact *f = (struct accounts_fact *)fact;
    if (f->type == ACCOUNTS_USERNAME_CHANGED)
        f->username_changed.released_index = arena_str(arena, f->username_changed.released_index);
}

static const struct game_table tables[] = {
    { "users.accounts", "user_id" },
    { "users.reserved_usernames", "username_index" },
    { "users.search_terms", "user_id, kind" },
    { "users.audit", "stream, partition, position" },
    { 0 },
};

const struct game accounts_game = {
    .command_size = sizeof(struct accounts_command),
    .fact_size = sizeof(struct accounts_fact),
    .random = accounts_random,
    .question = accounts_question,
    .from_state = accounts_from_state,
    .keep = accounts_keep,
    .tables = tables,
};
