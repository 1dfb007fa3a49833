/* login: what the resources about passwords and sessions share: somebody who is about to get tokens, and a password on
 * its way to the hashing pool. */
#pragma once

#include "consumers/users/view.h"
#include "gateway/gateway.h"
#include "gateway/limits/throttle.h"
#include "gateway/tokens/refresh_token.h"

/* What register, login and refresh keep in r->state on their way over the pools. */
struct login {
    struct account_view account;
    struct str own_json; /* the account as its person sees it, when it came that way; else `account` is whole */
    struct str password; /* in the parsed body; wiped as soon as it is hashed */
    struct str device, address;
    int64_t begun_us; /* clock_mono_us */
    struct attempt attempt;
    struct refresh_token presented, token; /* token: the one to answer with */
    bool unanswered;                       /* the same refresh was answered 202 before */
    int status;                            /* of the answer */
};

/* With what the request itself says: device, address, password. Runs on the thread that parses it: only there may its
 * headers be read. `password` names the body's field; NULL: none. Becomes r->state. */
struct login *login_begin(struct request *r, const char *password, int status);

/* The clear password stands in the parsed body and in the bytes it was parsed from. */
void login_wipe_password(struct request *r, struct login *l);

/* Starts a session for l->account and answers with its tokens. Every log-in is a session of its own, also a repeated
 * one: a session's tokens are told once only. */
enum request_step login_start_session(struct request *r, struct login *l);

/* {user, accessToken, refreshToken, tokenType, expiresIn}; the access token counts from issued_at (Unix ms). */
enum request_step login_answer(struct request *r, const struct login *l, int64_t issued_at);

/* Nobody is logged in here, so the Idempotency-Key alone would be shared by everyone who chose the same one: makes the
 * command's id anew from it and from `what` the request names (in all its bytes). Without a key nothing changes. */
void login_bind_key(struct request *r, struct uuid named, struct str what);

/* 32 bytes each, in r->arena. */
struct str login_username_index(struct request *r, struct str username);
struct str login_email_index(struct request *r, struct str email);
/* BLAKE2b-256 of the token, in r->arena. */
struct str login_token_hash(struct request *r, const struct refresh_token *token);
