/* plain: a command that needs no handler. Its route has plain_send for one, and says in .command which record it sends;
 * the record's fields are filled by their names:
 *   - a part {room} of the path is room_id; where the parts are text (plain_params), {emoji} is emoji;
 *   - a field userId of the body is user_id; one that is left out is what the schema says (default), or zero;
 *   - address and request_id, where the record has them, are the client's and the request's;
 *   - expected_version is what If-Match says, where the route has .if_match; -1: nothing;
 *   - the rest is named in the row.
 * plain_check finds at the start what does not fit. A field of the body with .future that lies in the past is refused;
 * a retry, whose time may have passed meanwhile, is told its first outcome (dispatch_refused). */
#pragma once

#include "gateway/commands/dispatch.h"
#include "gateway/http/route.h"

/* What is asked of PostgreSQL before the command is sent, on a thread of the read pool. */
struct plain_lookup {
    /* May put more into the command. *ret_found false: a problem has been filled, which a retry that had an outcome is
     * not told (dispatch_refused). */
    err (*find)(struct request *r, struct pool_thread *thread, struct any_record *command, bool *ret_found);
    const char *fills; /* "room_id seq": fields that it puts; NULL: none */
    const char *reads; /* parts of the path that it reads and that are no fields; NULL: none */
};

struct plain_setting {
    const char *field, *setting; /* an integer of the configuration */
};

struct plain_command {
    const struct stream *stream;
    int type;                             /* of its commands */
    dispatch_then *then;                  /* the answer; NULL: 204 */
    int tolerated;                        /* as in struct request */
    const char *self;                     /* the field that is who is logged in; NULL: none */
    const char *session;                  /* the field that is the session of the request; NULL: none */
    const char *keeps;                    /* "expired": fields that stay what the schema says; NULL: none */
    const struct plain_setting *settings; /* SETTINGS(…) */
    const struct plain_lookup *lookup;    /* NULL: nothing is asked */
    /* Looks at parts that are text, and may put what `keeps` names into the command, in which only the path is yet. false:
     * a problem has been filled. NULL: there is nothing to look at. */
    bool (*check)(struct request *r, struct any_record *command);
};

/* .command = COMMAND(&rooms_stream, ROOMS_LEAVE_ROOM, .self = "user_id") */
#define COMMAND(...)  (&(const struct plain_command){ __VA_ARGS__ })
#define SETTINGS(...) ((const struct plain_setting[]){ __VA_ARGS__, { 0 } })

enum request_step plain_send(struct request *r);

/* FATAL, naming the route and the field: a part of the path, a field of the body or a setting that the record has no
 * field of this type for; a field of the record that nothing fills, or two things do. Needs json_arena_init and of the
 * gateway only its configuration. */
MUST_CHECK err plain_check(struct gateway *g, const struct route *table);
