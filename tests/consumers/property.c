/* evolve and fold are two readings of one fact and must agree.
 *
 * Thousands of short stories of random commands, each with its own few people and rooms. Every story is decided in
 * batches, each batch folded as the loop does, with restarts (the state forgotten) between. After each batch every
 * question that a command can ask is put to the state that evolved and to one loaded afresh: the answers must be equal.
 * In the end the whole log is folded again in batches of other sizes: the rows must be the same, bit for bit.
 *
 * AETHER_TEST_STORIES (1000) and AETHER_TEST_SEED (the clock) change the run; the seed is printed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consumers/messages/streams.h"
#include "consumers/users/streams.h"
#include "tests/consumers/database.h"

#define COMMANDS_A_STORY 60
#define BATCH_MAX        12

/* --- chance --- */

static uint64_t chance;

static uint32_t any(uint32_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (uint32_t)((chance >> 11) % below);
}

/* The id of the nth thing of a kind in a story. */
static struct uuid id_of(uint32_t story, char kind, uint32_t n)
{
    struct uuid id = { { 0 } };
    memcpy(id.bytes, &story, sizeof story);
    id.bytes[8] = (uint8_t)kind;
    memcpy(id.bytes + 10, &n, sizeof n);
    return id;
}

static struct str hash_of(struct arena *arena, uint32_t story, char kind, uint32_t n)
{
    char *hash = arena_alloc(arena, HASH_LEN);
    hash[0] = kind;
    memcpy(hash + 1, &story, sizeof story);
    memcpy(hash + 8, &n, sizeof n);
    return (struct str){ hash, HASH_LEN };
}

/* What opening a sealed field may give: text, text that no table takes, nothing because its person was erased. */
static struct sealed text_of(struct arena *arena)
{
    static const struct str texts[] = {
        { "hello", 5 }, { "", 0 }, { "a\0b", 3 }, { "\xff\xfe", 2 }, { "\xE2\x82\xAC {}\"\\,", 8 }
    };
    if (any(8) == 0)
        return (struct sealed){ .state = ERASED };
    if (any(3) > 0)
        return (struct sealed){ .state = OPEN, .clear = texts[any(5)] };
    return (struct sealed){ .state = OPEN, .clear = str_of(arena_printf(arena, "text %u", any(1000000))) };
}

/* --- the streams: a random command of a story, and every question about it --- */

struct game {
    const struct stream_worker *worker;
    size_t command_size, fact_size;
    void (*random)(struct arena *arena, uint32_t story, struct any_record *ret);
    /* Fills the nth question; false after the last. */
    bool (*question)(struct arena *arena, uint32_t story, uint32_t n, struct any_record *ret);
    /* What an accepted fact says that comes from the state. */
    int64_t (*from_state)(const struct any_record *fact);
    const char *checksum, *truncate;
};

enum { PEOPLE = 3, ROOMS = 3 };

static const struct str emojis[] = { { "\xF0\x9F\x91\x8D", 4 }, { "x", 1 } };
static const enum room_field room_fields[] = { ROOM_FIELD_NAME,      ROOM_FIELD_DESCRIPTION,  ROOM_FIELD_TOPIC,
                                               ROOM_FIELD_SLOW_MODE, ROOM_FIELD_TIME_TO_LIVE, ROOM_FIELD_ARCHIVED };

/* All messages of a room have one id here: what is asked of a message, is asked by its number. */
static struct uuid message_of(uint32_t story, uint32_t room)
{
    return id_of(story, 'm', room);
}

enum { SEQS = 4 };

static void random_change(struct arena *arena, struct change_room *c)
{
    const uint32_t first = any(6);
    *c = (struct change_room){
        .expected_version = any(3) ? -1 : (int64_t)any(4),
        .changed = { &room_fields[first], first == 5 ? 1 : 1 + any(5 - first) },
        .name = text_of(arena),
        .description = text_of(arena),
        .topic = text_of(arena),
        .slow_mode_s = any(3) ? 0 : 2,
        .time_to_live_s = any(3) ? 0 : 60,
        .archived = any(16) == 0,
    };
}

static void random_post(struct arena *arena, uint32_t story, uint32_t room, uint32_t scheduled, struct post_message *c)
{
    struct uuid *named = arena_alloc(arena, 2 * sizeof *named);
    named[0] = id_of(story, 'p', any(PEOPLE));
    named[1] = id_of(story, 'p', PEOPLE);
    *c = (struct post_message){
        .message_id = any(6) ? message_of(story, room) : id_of(story, 's', scheduled - any(5)),
        .body = text_of(arena),
        .reply_to = any(4) ? 0 : any(SEQS + 1),
        .mentions = { named, any(4) ? 0 : any(3) },
        .mentions_room = any(8) == 0,
        .forwarded_message = any(8) ? uuid_nil : message_of(story, 0),
    };
    c->scheduled = c->message_id.bytes[8] == 's';
}

/* A command about somebody, of those that have a room and a person. */
static void random_about(struct arena *arena, struct rooms_command *c, struct uuid room, struct uuid user)
{
    const struct sealed reason = text_of(arena);
    switch (any(12)) {
    case 0:
        c->type = ROOMS_TRANSFER_ROOM;
        c->transfer_room = (struct transfer_room){ .room_id = room, .user_id = user, .expected_version = -1 };
        break;
    case 1:
        c->type = ROOMS_LEAVE_ROOM;
        c->leave_room = (struct leave_room){ .room_id = room, .user_id = user };
        break;
    case 2:
    case 3:
        c->type = ROOMS_CHANGE_ROLE;
        c->change_role = (struct change_role){
            .room_id = room, .user_id = user, .expected_version = -1, .role = (enum member_role)any(4)
        };
        break;
    case 4:
    case 5:
        c->type = ROOMS_INVITE_MEMBER;
        c->invite_member = (struct invite_member){ .room_id = room, .user_id = user };
        break;
    case 6:
        c->type = ROOMS_WITHDRAW_INVITATION;
        c->withdraw_invitation = (struct withdraw_invitation){ .room_id = room, .user_id = user };
        break;
    case 7:
        c->type = ROOMS_REMOVE_MEMBER;
        c->remove_member = (struct remove_member){ .room_id = room, .user_id = user, .reason = reason };
        break;
    case 8:
        c->type = ROOMS_BAN_MEMBER;
        c->ban_member = (struct ban_member){
            .room_id = room, .user_id = user, .reason = reason, .until = any(2) ? 0 : 1000 * (1 + any(6))
        };
        break;
    case 9:
        c->type = ROOMS_UNBAN_MEMBER;
        c->unban_member = (struct unban_member){ .room_id = room, .user_id = user };
        break;
    default:
        c->type = ROOMS_JOIN_ROOM;
        c->join_room = (struct join_room){ .room_id = room, .user_id = user };
    }
}

/* A command about a message. */
static void random_on(struct arena *arena, struct rooms_command *c, struct uuid room, struct uuid message)
{
    const int64_t seq = 1 + any(SEQS);
    const struct str emoji = emojis[any(2)];
    switch (any(6)) {
    case 0:
        c->type = ROOMS_DELETE_MESSAGE;
        c->delete_message =
            (struct delete_message){ .room_id = room, .message_id = message, .seq = seq, .expired = any(4) == 0 };
        break;
    case 1:
        c->type = ROOMS_ADD_REACTION;
        c->add_reaction = (struct add_reaction){ .room_id = room, .message_id = message, .seq = seq, .emoji = emoji };
        break;
    case 2:
        c->type = ROOMS_REMOVE_REACTION;
        c->remove_reaction =
            (struct remove_reaction){ .room_id = room, .message_id = message, .seq = seq, .emoji = emoji };
        break;
    case 3:
        c->type = ROOMS_PIN_MESSAGE;
        c->pin_message = (struct pin_message){ .room_id = room, .message_id = message, .seq = seq };
        break;
    case 4:
        c->type = ROOMS_UNPIN_MESSAGE;
        c->unpin_message = (struct unpin_message){ .room_id = room, .message_id = message, .seq = seq };
        break;
    default:
        c->type = ROOMS_EDIT_MESSAGE;
        c->edit_message = (struct edit_message){ .room_id = room,
                                                 .message_id = message,
                                                 .seq = seq,
                                                 .expected_version = any(3) ? -1 : 1 + (int32_t)any(3),
                                                 .body = text_of(arena) };
    }
}

static void rooms_random(struct arena *arena, uint32_t story, struct any_record *ret)
{
    static uint32_t scheduled = 5;
    struct rooms_command *c = (struct rooms_command *)ret;
    const uint32_t nth = any(ROOMS);
    const struct uuid room = id_of(story, 'r', nth), actor = id_of(story, 'p', any(PEOPLE));
    const struct uuid user = any(3) ? actor : id_of(story, 'p', any(PEOPLE));
    switch (any(5) ? 2 + any(18) : 0) {
    case 0:
    case 1:
        c->type = ROOMS_CREATE_ROOM;
        c->create_room = (struct create_room){ .name = text_of(arena), .kind = (enum room_kind)any(3) };
        if (c->create_room.kind == ROOM_KIND_DIRECT)
            c->create_room.peer_id = user;
        c->create_room.room_id = room;
        break;
    case 2:
        c->type = ROOMS_CHANGE_ROOM;
        random_change(arena, &c->change_room);
        c->change_room.room_id = room;
        break;
    case 3:
        c->type = ROOMS_SCHEDULE_MESSAGE;
        c->schedule_message = (struct schedule_message){
            .room_id = room, .message_id = id_of(story, 's', ++scheduled), .body = text_of(arena), .send_at = 100000
        };
        break;
    case 4:
        c->type = ROOMS_CANCEL_SCHEDULED_MESSAGE;
        c->cancel_scheduled_message =
            (struct cancel_scheduled_message){ .room_id = room, .message_id = id_of(story, 's', scheduled - any(5)) };
        break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        random_about(arena, c, room, user);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        random_on(arena, c, room, message_of(story, nth));
        break;
    default:
        c->type = ROOMS_POST_MESSAGE;
        random_post(arena, story, nth, scheduled, &c->post_message);
        c->post_message.room_id = room;
    }
    c->meta.actor = actor;
    c->meta.at = 1000 * (1 + any(4));
}

/* What is asked about a room, an actor and the next person; then about each of the first messages. */
enum { ASKED_OF_ROOM = 14, ASKED_OF_MESSAGE = 7, ASKED_OF_PAIR = ASKED_OF_ROOM + SEQS * ASKED_OF_MESSAGE };

static void question_of_room(struct arena *arena, uint32_t what, struct uuid room, struct uuid actor, struct uuid next,
                             struct rooms_command *c)
{
    static const int types[] = { ROOMS_TRANSFER_ROOM,       ROOMS_CHANGE_ROLE,   ROOMS_INVITE_MEMBER,
                                 ROOMS_WITHDRAW_INVITATION, ROOMS_REMOVE_MEMBER, ROOMS_UNBAN_MEMBER,
                                 ROOMS_BAN_MEMBER };
    (void)arena;
    switch (what) {
    case 0:
        c->type = ROOMS_CREATE_ROOM;
        c->create_room = (struct create_room){ .room_id = room };
        return;
    case 1:
    case 2:
        c->type = ROOMS_CHANGE_ROOM;
        c->change_room = (struct change_room){ .room_id = room,
                                               .expected_version = -1,
                                               .changed = { &room_fields[what == 1 ? 0 : 5], 1 } };
        return;
    case 3:
        c->type = ROOMS_JOIN_ROOM;
        c->join_room = (struct join_room){ .room_id = room, .user_id = actor };
        return;
    case 4:
        c->type = ROOMS_LEAVE_ROOM;
        c->leave_room = (struct leave_room){ .room_id = room, .user_id = actor };
        return;
    case 5:
    case 6:
        c->type = ROOMS_POST_MESSAGE;
        c->post_message = (struct post_message){ .room_id = room, .reply_to = what == 5 ? 0 : 2 };
        return;
    default:
        break;
    }
    c->type = types[what - 7];
    if (c->type == ROOMS_TRANSFER_ROOM)
        c->transfer_room = (struct transfer_room){ .room_id = room, .user_id = next, .expected_version = -1 };
    else if (c->type == ROOMS_CHANGE_ROLE)
        c->change_role = (struct change_role){
            .room_id = room, .user_id = next, .expected_version = -1, .role = MEMBER_ROLE_MEMBER
        };
    else if (c->type == ROOMS_INVITE_MEMBER)
        c->invite_member = (struct invite_member){ .room_id = room, .user_id = next };
    else if (c->type == ROOMS_WITHDRAW_INVITATION)
        c->withdraw_invitation = (struct withdraw_invitation){ .room_id = room, .user_id = next };
    else if (c->type == ROOMS_REMOVE_MEMBER)
        c->remove_member = (struct remove_member){ .room_id = room, .user_id = next };
    else if (c->type == ROOMS_UNBAN_MEMBER)
        c->unban_member = (struct unban_member){ .room_id = room, .user_id = next };
    else
        c->ban_member = (struct ban_member){ .room_id = room, .user_id = next };
}

static void question_of_message(uint32_t what, struct uuid room, struct uuid id, int64_t seq, struct rooms_command *c)
{
    switch (what) {
    case 0:
        c->type = ROOMS_EDIT_MESSAGE;
        c->edit_message =
            (struct edit_message){ .room_id = room, .message_id = id, .seq = seq, .expected_version = -1 };
        break;
    case 1:
        c->type = ROOMS_DELETE_MESSAGE;
        c->delete_message = (struct delete_message){ .room_id = room, .message_id = id, .seq = seq };
        break;
    case 2:
    case 3:
        c->type = ROOMS_ADD_REACTION;
        c->add_reaction =
            (struct add_reaction){ .room_id = room, .message_id = id, .seq = seq, .emoji = emojis[what - 2] };
        break;
    case 4:
        c->type = ROOMS_REMOVE_REACTION;
        c->remove_reaction =
            (struct remove_reaction){ .room_id = room, .message_id = id, .seq = seq, .emoji = emojis[0] };
        break;
    case 5:
        c->type = ROOMS_PIN_MESSAGE;
        c->pin_message = (struct pin_message){ .room_id = room, .message_id = id, .seq = seq };
        break;
    default:
        c->type = ROOMS_UNPIN_MESSAGE;
        c->unpin_message = (struct unpin_message){ .room_id = room, .message_id = id, .seq = seq };
    }
}

static bool rooms_question(struct arena *arena, uint32_t story, uint32_t n, struct any_record *ret)
{
    struct rooms_command *c = (struct rooms_command *)ret;
    const uint32_t pair = n / ASKED_OF_PAIR, what = n % ASKED_OF_PAIR;
    if (pair >= ROOMS * PEOPLE)
        return false;
    const struct uuid room = id_of(story, 'r', pair / PEOPLE), actor = id_of(story, 'p', pair % PEOPLE);
    if (what < ASKED_OF_ROOM)
        question_of_room(arena, what, room, actor, id_of(story, 'p', (pair + 1) % PEOPLE), c);
    else
        question_of_message((what - ASKED_OF_ROOM) % ASKED_OF_MESSAGE, room, message_of(story, pair / PEOPLE),
                            1 + (what - ASKED_OF_ROOM) / ASKED_OF_MESSAGE, c);
    c->meta.actor = actor;
    c->meta.at = 3000;
    return true;
}

static int64_t rooms_from_state(const struct any_record *fact)
{
    const struct rooms_fact *f = (const struct rooms_fact *)fact;
    switch (f->type) {
    case ROOMS_MESSAGE_POSTED:
        return f->message_posted.seq + 1000 * f->message_posted.thread + f->message_posted.expires_at * 100000 +
               f->message_posted.slow_until * 1000000;
    case ROOMS_MESSAGE_EDITED:
        return f->message_edited.version;
    case ROOMS_ROOM_CHANGED:
        return f->room_changed.version;
    case ROOMS_ROLE_CHANGED:
        return f->role_changed.version;
    case ROOMS_MEMBER_BANNED:
        return f->member_banned.was_member;
    case ROOMS_MEMBER_JOINED:
        return f->member_joined.after_seq;
    default:
        return 0;
    }
}

enum { NAMES = 3 };

static void accounts_random(struct arena *arena, uint32_t story, struct any_record *ret)
{
    struct accounts_command *c = (struct accounts_command *)ret;
    const uint32_t person = any(PEOPLE);
    c->type = ACCOUNTS_REGISTER_ACCOUNT;
    c->register_account = (struct register_account){
        .user_id = id_of(story, 'p', person),
        .username = text_of(arena),
        .username_index = hash_of(arena, story, 'u', any(NAMES)),
        .email = text_of(arena),
        .email_index = hash_of(arena, story, 'e', any(NAMES)),
        .first_name = text_of(arena),
        .last_name = text_of(arena),
        .password_hash = text_of(arena),
    };
    c->meta.actor = id_of(story, 'p', any(10) ? person : any(PEOPLE));
}

static bool accounts_question(struct arena *arena, uint32_t story, uint32_t n, struct any_record *ret)
{
    struct accounts_command *c = (struct accounts_command *)ret;
    c->type = ACCOUNTS_REGISTER_ACCOUNT;
    c->register_account = (struct register_account){
        .user_id = id_of(story, 'p', n % PEOPLE),
        .username_index = hash_of(arena, story, 'u', n / PEOPLE % NAMES),
        .email_index = hash_of(arena, story, 'e', n / PEOPLE / NAMES),
    };
    c->meta.actor = c->register_account.user_id;
    return n < PEOPLE * NAMES * NAMES;
}

static int64_t nothing_from_state(const struct any_record *fact)
{
    (void)fact;
    return 0;
}

enum { SESSIONS = 3, HASHES = 3, TIMES = 4 };

static void sessions_random(struct arena *arena, uint32_t story, struct any_record *ret)
{
    struct sessions_command *c = (struct sessions_command *)ret;
    const struct uuid user = id_of(story, 'p', any(PEOPLE)), session = id_of(story, 's', any(SESSIONS));
    const struct str hash = hash_of(arena, story, 'h', any(HASHES)),
                     presented = hash_of(arena, story, 'h', any(HASHES));
    const int64_t expires_at = 1 + any(TIMES);
    switch (any(8)) {
    case 0:
    case 1:
        c->type = SESSIONS_START_SESSION;
        c->start_session = (struct start_session){ .session_id = session,
                                                   .user_id = user,
                                                   .refresh_hash = hash,
                                                   .expires_at = expires_at,
                                                   .device = text_of(arena),
                                                   .address = text_of(arena) };
        break;
    case 2:
        c->type = SESSIONS_END_SESSION;
        c->end_session = (struct end_session){ .session_id = session, .user_id = user };
        break;
    default:
        c->type = SESSIONS_REFRESH_SESSION;
        c->refresh_session = (struct refresh_session){ .session_id = session,
                                                       .user_id = user,
                                                       .presented_hash = presented,
                                                       .refresh_hash = hash,
                                                       .expires_at = expires_at };
    }
    c->meta.actor = any(10) ? user : id_of(story, 'p', any(PEOPLE));
    c->meta.at = any(TIMES);
}

static bool sessions_question(struct arena *arena, uint32_t story, uint32_t n, struct any_record *ret)
{
    enum { ASKED = HASHES * TIMES + 2 };
    struct sessions_command *c = (struct sessions_command *)ret;
    const struct uuid user = id_of(story, 'p', n / ASKED % PEOPLE), session = id_of(story, 's', n / ASKED / PEOPLE);
    const uint32_t what = n % ASKED;
    if (what == 0) {
        c->type = SESSIONS_START_SESSION;
        c->start_session =
            (struct start_session){ .session_id = session, .user_id = user, .refresh_hash = hash_of(arena, 0, 'h', 0) };
    } else if (what == 1) {
        c->type = SESSIONS_END_SESSION;
        c->end_session = (struct end_session){ .session_id = session, .user_id = user };
    } else {
        c->type = SESSIONS_REFRESH_SESSION;
        c->refresh_session =
            (struct refresh_session){ .session_id = session,
                                      .user_id = user,
                                      .presented_hash = hash_of(arena, story, 'h', (what - 2) % HASHES),
                                      .refresh_hash = hash_of(arena, 0, 'h', 0) };
        c->meta.at = (what - 2) / HASHES;
    }
    c->meta.actor = user;
    return n < ASKED * PEOPLE * SESSIONS;
}

#define SUM(table, key)                                                                                                \
    "(SELECT coalesce(md5(string_agg(t::text, E'\\n' ORDER BY " key ")), '') || count(*) FROM " table " t)"

static struct game
    games[] = {
        { .command_size = sizeof(struct accounts_command),
          .fact_size = sizeof(struct accounts_fact),
          .random = accounts_random,
          .question = accounts_question,
          .from_state = nothing_from_state,
          .checksum = "SELECT " SUM("users.accounts", "user_id"),
          .truncate = "TRUNCATE users.accounts" },
        { .command_size = sizeof(struct sessions_command),
          .fact_size = sizeof(struct sessions_fact),
          .random = sessions_random,
          .question = sessions_question,
          .from_state = nothing_from_state,
          .checksum = "SELECT " SUM("users.sessions", "user_id, session_id"),
          .truncate = "TRUNCATE users.sessions" },
        { .command_size = sizeof(struct rooms_command),
          .fact_size = sizeof(struct rooms_fact),
          .random = rooms_random,
          .question = rooms_question,
          .from_state = rooms_from_state,
          .checksum =
              "SELECT " SUM("messages.rooms", "room_id") " || " SUM("messages.members", "room_id, user_id") " || " SUM("messages.messages", "room_id, seq") " || " SUM("messages.invitations", "room_id, user_id") " || " SUM(
                  "messages.bans",
                  "room_id, user_id") " || " SUM("messages.message_versions",
                                                 "room_id, seq, version") " || " SUM("me"
                                                                                     "ss"
                                                                                     "ag"
                                                                                     "es"
                                                                                     ".r"
                                                                                     "ea"
                                                                                     "ct"
                                                                                     "io"
                                                                                     "n"
                                                                                     "s",
                                                                                     "ro"
                                                                                     "om"
                                                                                     "_i"
                                                                                     "d,"
                                                                                     " s"
                                                                                     "eq"
                                                                                     ", "
                                                                                     "us"
                                                                                     "er"
                                                                                     "_i"
                                                                                     "d,"
                                                                                     " e"
                                                                                     "mo"
                                                                                     "j"
                                                                                     "i") " || " SUM("messages."
                                                                                                     "mentions",
                                                                                                     "user_id, "
                                                                                                     "room_id, seq") " "
                                                                                                                     "|"
                                                                                                                     "|"
                                                                                                                     " " SUM("messages.scheduled",
                                                                                                                             "message_id") " || " SUM("messages.expiring",
                                                                                                                                                      "room_id, seq"),
          .truncate =
              "TRUNCATE messages.rooms, messages.members, messages.messages, messages.invitations, messages.bans,"
              " messages.message_versions, messages.reactions, messages.mentions, messages.scheduled,"
              " messages.expiring" },
    };

/* --- the run --- */

struct log {
    struct placed_fact *facts;
    size_t count, capacity;
};

struct play {
    const struct game *game;
    struct database *database;
    struct arena arena; /* commands, facts: the whole run */
    struct log log;
    void *state;
    size_t accepted, rejected, questions, restarts;
};

static void log_append(struct play *p, const struct any_record *fact)
{
    struct log *log = &p->log;
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? 2 * log->capacity : 1024;
        log->facts = mem_resize(log->facts, log->capacity * sizeof *log->facts);
    }
    log->facts[log->count] = (struct placed_fact){ fact, 0, (int64_t)log->count };
    log->count++;
}

static void must_load(struct play *p, void *state, const struct any_record *const *records, size_t count, bool facts)
{
    struct arena arena;
    arena_init(&arena, 0);
    ck_assert_msg(p->game->worker->load(state, p->database->pg, &arena, records, count, facts) == OK, "%s",
                  err_message());
    arena_finish(&arena);
}

static void play_batch(struct play *p, uint32_t story, size_t size)
{
    const struct stream_worker *worker = p->game->worker;
    const struct any_record *commands[BATCH_MAX];
    for (size_t i = 0; i < size; i++) {
        struct any_record *command = arena_alloc(&p->arena, p->game->command_size);
        p->game->random(&p->arena, story, command);
        commands[i] = command;
    }
    must_load(p, p->state, commands, size, false);
    const size_t from = p->log.count;
    for (size_t i = 0; i < size; i++) {
        struct any_record *fact = arena_alloc(&p->arena, p->game->fact_size);
        if (worker->decide(p->state, commands[i], fact) != ACCEPTED) {
            p->rejected++;
            continue;
        }
        fact->meta = commands[i]->meta;
        worker->evolve(p->state, fact);
        log_append(p, fact);
        p->accepted++;
    }
    database_fold(p->database, worker, p->log.facts + from, p->log.count - from, any(3) ? 0 : 1 + any(4));
}

/* The state that evolved and one that is loaded answer every question alike. */
static void ask_everything(struct play *p, uint32_t story)
{
    const struct stream_worker *worker = p->game->worker;
    struct arena arena;
    arena_init(&arena, 0);
    const struct any_record *questions[512];
    size_t count = 0;
    for (;;) {
        struct any_record *question = arena_alloc(&arena, p->game->command_size);
        if (!p->game->question(&arena, story, (uint32_t)count, question))
            break;
        questions[count++] = question;
    }
    void *loaded = worker->state_create();
    must_load(p, loaded, questions, count, false);
    must_load(p, p->state, questions, count, false);
    for (size_t i = 0; i < count; i++) {
        struct any_record *evolved_fact = arena_alloc(&arena, p->game->fact_size);
        struct any_record *loaded_fact = arena_alloc(&arena, p->game->fact_size);
        const int by_evolved = worker->decide(p->state, questions[i], evolved_fact);
        const int by_loaded = worker->decide(loaded, questions[i], loaded_fact);
        ck_assert_msg(by_evolved == by_loaded, "story %u, question %zu: evolved says %d, loaded says %d", story, i,
                      by_evolved, by_loaded);
        if (by_loaded == ACCEPTED)
            ck_assert_int_eq(p->game->from_state(evolved_fact), p->game->from_state(loaded_fact));
    }
    p->questions += count;
    worker->state_destroy(loaded);
    arena_finish(&arena);
}

static void tell_story(struct play *p, uint32_t story)
{
    for (size_t played = 0; played < COMMANDS_A_STORY;) {
        const size_t size = 1 + any(BATCH_MAX);
        play_batch(p, story, size);
        played += size;
        if (any(3) == 0)
            ask_everything(p, story);
        if (any(4) == 0) {
            p->game->worker->state_clear(p->state);
            p->restarts++;
        }
    }
    ask_everything(p, story);
}

/* A state that is loaded with nothing and evolves over the whole log, as in a recovery, knows what the database knows.
 */
static void evolve_whole_log(struct play *p)
{
    const struct any_record **facts = mem_alloc((p->log.count + 1) * sizeof *facts);
    for (size_t i = 0; i < p->log.count; i++)
        facts[i] = p->log.facts[i].fact;
    p->game->worker->state_clear(p->state);
    must_load(p, p->state, facts, p->log.count, true);
    for (size_t i = 0; i < p->log.count; i++)
        p->game->worker->evolve(p->state, facts[i]);
    free(facts);
}

static void fold_again(struct play *p, size_t size)
{
    database_run(p->database, p->game->truncate);
    for (size_t at = 0; at < p->log.count;) {
        size_t batch = size ? size : 1 + any(400);
        if (batch > p->log.count - at)
            batch = p->log.count - at;
        database_fold(p->database, p->game->worker, p->log.facts + at, batch, 0);
        at += batch;
    }
}

static uint32_t stories(void)
{
    const char *text = getenv("AETHER_TEST_STORIES");
    return text ? (uint32_t)strtoul(text, NULL, 10) : 1000;
}

static void play(const struct worker_definition *definition, const struct stream_worker *worker, struct game *game)
{
    const struct worker_definition *const definitions[] = { definition, NULL };
    struct database database;
    database_create(&database, definitions);
    game->worker = worker;
    struct play p = { .game = game, .database = &database, .state = worker->state_create() };
    arena_init(&p.arena, 1024 * 1024);

    const uint32_t count = stories();
    for (uint32_t story = 0; story < count; story++)
        tell_story(&p, story);
    printf("%s: %u stories, %zu facts, %zu rejections, %zu questions, %zu restarts\n", worker->stream->name, count,
           p.accepted, p.rejected, p.questions, p.restarts);
    ck_assert_uint_gt(p.accepted, count);
    ck_assert_uint_gt(p.rejected, count);

    const struct str sum = database_value(&database, &p.arena, game->checksum);
    const size_t sizes[] = { 1, 7, 100, 0, p.log.count };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fold_again(&p, sizes[i]);
        const struct str again = database_value(&database, &p.arena, game->checksum);
        ck_assert_msg(str_equal(sum, again), "folded in batches of %zu the rows are others", sizes[i]);
    }

    database_run(&database, game->truncate);
    evolve_whole_log(&p);
    fold_again(&p, p.log.count);
    for (uint32_t story = 0; story < count; story++)
        ask_everything(&p, story);

    worker->state_destroy(p.state);
    free(p.log.facts);
    arena_finish(&p.arena);
    database_destroy(&database);
}

START_TEST(accounts_evolved_and_folded_agree)
{
    play(&users_definition, users_definition.streams[0], &games[0]);
}
END_TEST

START_TEST(sessions_evolved_and_folded_agree)
{
    play(&users_definition, users_definition.streams[1], &games[1]);
}
END_TEST

START_TEST(rooms_evolved_and_folded_agree)
{
    play(&messages_definition, messages_definition.streams[0], &games[2]);
}
END_TEST

int main(void)
{
    require_env("AETHER_TEST_POSTGRES_DSN");
    const char *seed = getenv("AETHER_TEST_SEED");
    chance = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) | 1;
    printf("AETHER_TEST_SEED=%llu\n", (unsigned long long)chance);
    fflush(stdout);

    Suite *suite = suite_create("evolve and fold");
    TCase *agree = tcase_create("agree");
    tcase_set_timeout(agree, 600);
    tcase_add_test(agree, accounts_evolved_and_folded_agree);
    tcase_add_test(agree, sessions_evolved_and_folded_agree);
    tcase_add_test(agree, rooms_evolved_and_folded_agree);
    suite_add_tcase(suite, agree);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
