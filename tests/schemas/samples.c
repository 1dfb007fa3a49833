#include "tests/schemas/samples.h"

#define ID(last)                                                                                                       \
    {                                                                                                                  \
        {                                                                                                              \
            0x01, 0x93, 0x0f, 0x5a, 0x11, 0x22, 0x7a, 0x33, 0x84, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, last             \
        }                                                                                                              \
    }
#define ACTOR   ID(0xa1)
#define ROOM    ID(0xb2)
#define MESSAGE ID(0xc3)
#define SESSION ID(0xd4)
#define COMMAND ID(0xe5)
#define CIPHER(s)                                                                                                      \
    {                                                                                                                  \
        .cipher = { "\001" s, sizeof(s) }, .state = SEALED                                                             \
    }
#define HASH_A STR("\000\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017abcdefghijklmnop")
#define HASH_B STR("\377\376\375\374\373\372\371\370\367\366\365\364\363\362\361\360ABCDEFGHIJKLMNOP")

#define COMMAND_META                                                                                                   \
    {                                                                                                                  \
        .id = COMMAND, .at = 1767225599123, .actor = ACTOR, .command_id = COMMAND, .command_offset = -1,               \
        .request_hash = STR("0123456789abcdef"),                                                                       \
        .trace = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")                                        \
    }
#define FACT_META                                                                                                      \
    {                                                                                                                  \
        .id = ID(0xf6), .at = 1767225599123, .actor = ACTOR, .command_id = COMMAND, .command_offset = 8589934592,      \
        .request_hash = STR("0123456789abcdef"),                                                                       \
        .trace = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")                                        \
    }

static const struct str roles[] = { { "user", 4 }, { "moderator", 9 } };

#define SAMPLE(union_name, stream, kind, constant, record, ...)                                                        \
    .of = &stream##_stream.kind, .union_name = { .type = constant, .record = { __VA_ARGS__ } }

const struct sample samples[] = {
    { "aether.accounts.RegisterAccount",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_REGISTER_ACCOUNT, register_account, .meta = COMMAND_META,
             .user_id = ACTOR, .username = CIPHER("username"), .username_index = HASH_A, .email = CIPHER("email"),
             .email_index = HASH_B, .first_name = CIPHER("first"), .last_name = CIPHER("last"),
             .password_hash = CIPHER("hash"), .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.accounts.AccountRegistered",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_ACCOUNT_REGISTERED, account_registered, .meta = FACT_META,
             .user_id = ACTOR, .username = CIPHER("username"), .username_index = HASH_A, .email = CIPHER("email"),
             .email_index = HASH_B, .first_name = CIPHER("first"), .last_name = CIPHER("last"),
             .password_hash = CIPHER("hash"), .roles = { roles, 2 }, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.sessions.StartSession",
      SAMPLE(sessions_command, sessions, command, SESSIONS_START_SESSION, start_session, .meta = COMMAND_META,
             .session_id = SESSION, .user_id = ACTOR, .refresh_hash = HASH_A, .expires_at = 1767830399123,
             .device = CIPHER("curl/7.88"), .address = CIPHER("192.0.2.1"), .account_epoch = 2,
             .request_id = STR("request-1")) },
    { "aether.sessions.SessionStarted",
      SAMPLE(sessions_fact, sessions, fact, SESSIONS_SESSION_STARTED, session_started, .meta = FACT_META,
             .session_id = SESSION, .user_id = ACTOR, .refresh_hash = HASH_A, .expires_at = 1767830399123,
             .device = CIPHER("curl/7.88"), .address = CIPHER("192.0.2.1"), .account_epoch = 2,
             .request_id = STR("request-1")) },
    { "aether.sessions.RefreshSession",
      SAMPLE(sessions_command, sessions, command, SESSIONS_REFRESH_SESSION, refresh_session, .meta = COMMAND_META,
             .session_id = SESSION, .user_id = ACTOR, .presented_hash = HASH_A, .refresh_hash = HASH_B,
             .expires_at = 1767830399123, .presented_generation = 4, .device = CIPHER("curl/7.88"),
             .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.sessions.SessionRefreshed",
      SAMPLE(sessions_fact, sessions, fact, SESSIONS_SESSION_REFRESHED, session_refreshed, .meta = FACT_META,
             .session_id = SESSION, .user_id = ACTOR, .presented_hash = HASH_A, .refresh_hash = HASH_B,
             .expires_at = 1767830399999, .generation = 5, .device = CIPHER("curl/7.88"),
             .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.sessions.EndSession",
      SAMPLE(sessions_command, sessions, command, SESSIONS_END_SESSION, end_session, .meta = COMMAND_META,
             .session_id = SESSION, .user_id = ACTOR, .reason = SESSION_END_REVOKED, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.sessions.SessionEnded",
      SAMPLE(sessions_fact, sessions, fact, SESSIONS_SESSION_ENDED, session_ended, .meta = FACT_META,
             .session_id = SESSION, .user_id = ACTOR, .reason = SESSION_END_REVOKED, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.rooms.CreateRoom",
      SAMPLE(rooms_command, rooms, command, ROOMS_CREATE_ROOM, create_room, .meta = COMMAND_META, .room_id = ROOM,
             .name = CIPHER("name"), .kind = ROOM_KIND_DIRECT) },
    { "aether.rooms.RoomCreated", SAMPLE(rooms_fact, rooms, fact, ROOMS_ROOM_CREATED, room_created, .meta = FACT_META,
                                         .room_id = ROOM, .name = CIPHER("name"), .kind = ROOM_KIND_PUBLIC) },
    { "aether.rooms.JoinRoom", SAMPLE(rooms_command, rooms, command, ROOMS_JOIN_ROOM, join_room, .meta = COMMAND_META,
                                      .room_id = ROOM, .user_id = ACTOR) },
    { "aether.rooms.MemberJoined", SAMPLE(rooms_fact, rooms, fact, ROOMS_MEMBER_JOINED, member_joined,
                                          .meta = FACT_META, .room_id = ROOM, .user_id = ACTOR) },
    { "aether.accounts.ChangeProfile",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_CHANGE_PROFILE, change_profile, .meta = COMMAND_META,
             .user_id = ACTOR, .first_name = CIPHER("first_name"), .last_name = CIPHER("last_name"),
             .bio = CIPHER("bio"), .location = CIPHER("location"), .website = CIPHER("website"),
             .phone = CIPHER("phone"), .birthdate = CIPHER("birthdate"), .locale = CIPHER("locale"),
             .time_zone = CIPHER("time_zone"), .expected_version = 7, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.ProfileChanged",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_PROFILE_CHANGED, profile_changed, .meta = FACT_META,
             .user_id = ACTOR, .first_name = CIPHER("first_name"), .last_name = CIPHER("last_name"),
             .bio = CIPHER("bio"), .location = CIPHER("location"), .website = CIPHER("website"),
             .phone = CIPHER("phone"), .birthdate = CIPHER("birthdate"), .locale = CIPHER("locale"),
             .time_zone = CIPHER("time_zone"), .version = 8, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.ChangeUsername",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_CHANGE_USERNAME, change_username, .meta = COMMAND_META,
             .user_id = ACTOR, .username = CIPHER("username"), .username_index = HASH_A, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.UsernameChanged",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_USERNAME_CHANGED, username_changed, .meta = FACT_META,
             .user_id = ACTOR, .username = CIPHER("username"), .username_index = HASH_A, .released_index = HASH_B,
             .reserved_until = 1769817599123, .version = 8, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.ChangeEmail",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_CHANGE_EMAIL, change_email, .meta = COMMAND_META,
             .user_id = ACTOR, .email = CIPHER("email"), .email_index = HASH_A, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.EmailChanged",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_EMAIL_CHANGED, email_changed, .meta = FACT_META, .user_id = ACTOR,
             .email = CIPHER("email"), .email_index = HASH_A, .version = 8, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.ChangePassword",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_CHANGE_PASSWORD, change_password, .meta = COMMAND_META,
             .user_id = ACTOR, .password_hash = CIPHER("hash"), .kept_session = SESSION, .account_epoch = 2,
             .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.accounts.PasswordChanged",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_PASSWORD_CHANGED, password_changed, .meta = FACT_META,
             .user_id = ACTOR, .password_hash = CIPHER("hash"), .kept_session = SESSION, .session_epoch = 3,
             .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.accounts.RehashPassword",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_REHASH_PASSWORD, rehash_password, .meta = COMMAND_META,
             .user_id = ACTOR, .password_hash = CIPHER("hash"), .account_epoch = 2, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.PasswordRehashed",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_PASSWORD_REHASHED, password_rehashed, .meta = FACT_META,
             .user_id = ACTOR, .password_hash = CIPHER("hash"), .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.EndAllSessions",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_END_ALL_SESSIONS, end_all_sessions, .meta = COMMAND_META,
             .user_id = ACTOR, .kept_session = SESSION, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.AllSessionsEnded",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_ALL_SESSIONS_ENDED, all_sessions_ended, .meta = FACT_META,
             .user_id = ACTOR, .kept_session = SESSION, .session_epoch = 3, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.SuspendAccount",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_SUSPEND_ACCOUNT, suspend_account, .meta = COMMAND_META,
             .user_id = ACTOR, .reason = CIPHER("reason"), .until = 1769817599123, .address = CIPHER("192.0.2.1"),
             .request_id = STR("request-1")) },
    { "aether.accounts.AccountSuspended",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_ACCOUNT_SUSPENDED, account_suspended, .meta = FACT_META,
             .user_id = ACTOR, .reason = CIPHER("reason"), .until = 1769817599123, .session_epoch = 3,
             .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.accounts.ReinstateAccount",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_REINSTATE_ACCOUNT, reinstate_account, .meta = COMMAND_META,
             .user_id = ACTOR, .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.accounts.AccountReinstated",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_ACCOUNT_REINSTATED, account_reinstated, .meta = FACT_META,
             .user_id = ACTOR, .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.accounts.SetRoles",
      SAMPLE(accounts_command, accounts, command, ACCOUNTS_SET_ROLES, set_roles, .meta = COMMAND_META, .user_id = ACTOR,
             .roles = { roles, 2 }, .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.accounts.RolesSet",
      SAMPLE(accounts_fact, accounts, fact, ACCOUNTS_ROLES_SET, roles_set, .meta = FACT_META, .user_id = ACTOR,
             .roles = { roles, 2 }, .version = 8, .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.sessions.RefreshTokenReplayed",
      SAMPLE(sessions_fact, sessions, fact, SESSIONS_REFRESH_TOKEN_REPLAYED, refresh_token_replayed, .meta = FACT_META,
             .session_id = SESSION, .user_id = ACTOR, .presented_generation = 3, .generation = 5,
             .device = CIPHER("curl/7.88"), .address = CIPHER("192.0.2.1"), .request_id = STR("request-1")) },
    { "aether.rooms.PostMessage",
      SAMPLE(rooms_command, rooms, command, ROOMS_POST_MESSAGE, post_message, .meta = COMMAND_META, .room_id = ROOM,
             .message_id = MESSAGE, .body = CIPHER("body")) },
    { "aether.rooms.MessagePosted",
      SAMPLE(rooms_fact, rooms, fact, ROOMS_MESSAGE_POSTED, message_posted, .meta = FACT_META, .room_id = ROOM,
             .message_id = MESSAGE, .seq = 4711, .body = CIPHER("body")) },
};
const size_t samples_count = sizeof samples / sizeof *samples;

const struct outcome sample_outcome = {
    .command_id = COMMAND,
    .actor = ACTOR,
    .rejection = 203,
    .duplicate = true,
    .stream = { "rooms", 5 },
    .partition = 5,
    .offset = 1234,
    .fact = { "\000\000\000\000\007fact", 9 },
    .request_hash = { "0123456789abcdef", 16 },
    .at = 1767225599123,
};

const struct record_union *const all_unions[] = {
    &accounts_stream.command, &accounts_stream.fact, &sessions_stream.command,
    &sessions_stream.fact,    &rooms_stream.command, &rooms_stream.fact,
};
const size_t all_unions_count = sizeof all_unions / sizeof *all_unions;
