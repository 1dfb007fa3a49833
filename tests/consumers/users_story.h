/* Facts of accounts and sessions, each folded as it is said: people and sessions are small numbers. */
#pragma once

#include "consumers/users/streams.h"
#include "consumers/users/view.h"
#include "tests/consumers/story.h"

void users_setup(void);
void users_teardown(void);

/* 32 bytes, each n. */
struct str hash(uint8_t n);

void registered(int user, const char *username, const char *email, uint8_t username_hash, uint8_t email_hash);
void profile(int user, int64_t version, const char *first, const char *last);
void renamed(int user, int64_t version, const char *username, uint8_t index, uint8_t released);
void all_ended(int user, int by, int64_t epoch, struct uuid kept);
void suspended(int user, int by, int64_t until, int64_t epoch);
void reinstated(int user, int by);
void given_role(int user, int64_t version, struct str role);
void started(int session, int user, int64_t epoch, int64_t until);
void refreshed(int session, int user, int64_t generation, const char *device);
void session_ended(int session, int user);
void replayed(int session, int user);

/* An account that is there. */
struct account_view found(int user);
