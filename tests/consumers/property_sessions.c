/* Random commands and all questions of the stream sessions. */
#include "consumers/users/streams.h"
#include "tests/consumers/property.h"

enum { SESSIONS = 3, HASHES = 3, TIMES = 4, GENERATIONS = 4 };

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
                                                   .address = text_of(arena),
                                                   .account_epoch = any(3) };
        break;
    case 2:
        c->type = SESSIONS_END_SESSION;
        c->end_session = (struct end_session){
            .session_id = session, .user_id = user, .reason = (enum session_end)any(2), .address = text_of(arena)
        };
        break;
    default:
        c->type = SESSIONS_REFRESH_SESSION;
        c->refresh_session = (struct refresh_session){ .session_id = session,
                                                       .user_id = user,
                                                       .presented_hash = presented,
                                                       .refresh_hash = hash,
                                                       .expires_at = expires_at,
                                                       .presented_generation = (int64_t)any(5) - 3,
                                                       .device = text_of(arena),
                                                       .address = text_of(arena) };
    }
    c->meta.actor = any(10) ? user : id_of(story, 'p', any(PEOPLE));
    c->meta.at = any(TIMES);
}

static bool sessions_question(struct arena *arena, uint32_t story, uint32_t n, struct any_record *ret)
{
    enum { ASKED = HASHES * TIMES + 2 + GENERATIONS };
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
                                      .refresh_hash = hash_of(arena, 0, 'h', 0),
                                      .presented_generation = -1 };
        c->meta.at = (what - 2) / HASHES;
        if (what >= 2 + HASHES * TIMES) {
            c->refresh_session.presented_generation = what - 2 - HASHES * TIMES;
            c->meta.at = 0;
        }
    }
    c->meta.actor = user;
    return n < ASKED * PEOPLE * SESSIONS;
}

static int64_t sessions_from_state(const struct any_record *fact)
{
    const struct sessions_fact *f = (const struct sessions_fact *)fact;
    return f->type == SESSIONS_SESSION_REFRESHED        ? f->session_refreshed.generation
           : f->type == SESSIONS_REFRESH_TOKEN_REPLAYED ? f->refresh_token_replayed.generation
                                                        : 0;
}

static const struct game_table tables[] = {
    { "users.sessions", "user_id, session_id" },
    { "users.audit", "stream, partition, position" },
    { 0 },
};

const struct game sessions_game = {
    .command_size = sizeof(struct sessions_command),
    .fact_size = sizeof(struct sessions_fact),
    .random = sessions_random,
    .question = sessions_question,
    .from_state = sessions_from_state,
    .tables = tables,
};
