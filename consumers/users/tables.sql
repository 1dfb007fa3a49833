-- The projection of the users worker. Every row is the fold of accounts.events and sessions.events; nothing else writes
-- here. Numbers in the log are stored with what they are versions of, so a rebuild gives the same rows again.

-- migration 1

-- A column of personal data is NULL once its person's key was erased. The blind indexes stay: a name is not given away again.
CREATE TABLE users.accounts (
    user_id        uuid        PRIMARY KEY,
    username       text,
    username_index bytea       NOT NULL UNIQUE,
    email          text,
    email_index    bytea       NOT NULL UNIQUE,
    first_name     text,
    last_name      text,
    password_hash  text,
    roles          text[]      NOT NULL,
    created_at     timestamptz NOT NULL,
    position       bigint      NOT NULL -- offset of the newest fact in this row
);

-- The key begins with the user, as the stream's does: the sessions of one person are one range, and two owners of different
-- partitions can never meet in one row. A refresh touches no indexed column; the room on each page keeps it HOT.
CREATE TABLE users.sessions (
    session_id   uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    refresh_hash bytea       NOT NULL, -- BLAKE2b-256 of the newest refresh token
    expires_at   timestamptz NOT NULL,
    device       text,
    address      text,
    created_at   timestamptz NOT NULL,
    refreshed_at timestamptz, -- NULL: never
    ended_at     timestamptz, -- NULL: live until expires_at
    PRIMARY KEY (user_id, session_id)
) WITH (fillfactor = 80);

-- migration 2

ALTER TABLE users.accounts
    ADD COLUMN bio               text,
    ADD COLUMN location          text,
    ADD COLUMN website           text,
    ADD COLUMN phone             text,
    ADD COLUMN birthdate         text,
    ADD COLUMN locale            text,
    ADD COLUMN time_zone         text,
    ADD COLUMN version           bigint NOT NULL DEFAULT 1, -- of what GET /users/me shows
    ADD COLUMN session_epoch     bigint NOT NULL DEFAULT 0, -- sessions started in another one are dead,
    ADD COLUMN kept_session      uuid,                      -- but for this one
    ADD COLUMN suspended_at      timestamptz,               -- NULL: not suspended
    ADD COLUMN suspended_until   timestamptz,               -- NULL: without end
    ADD COLUMN suspension_reason text;

-- Two accounts may exchange names within one batch, in several statements: only the end of the transaction must be unique.
ALTER TABLE users.accounts
    DROP CONSTRAINT accounts_username_index_key,
    DROP CONSTRAINT accounts_email_index_key,
    ADD CONSTRAINT accounts_username_index_key UNIQUE (username_index) DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT accounts_email_index_key UNIQUE (email_index) DEFERRABLE INITIALLY DEFERRED;

-- What the administrators' lists look for, each a small part of the table.
CREATE INDEX accounts_admins ON users.accounts (user_id) WHERE roles @> '{admin}';
CREATE INDEX accounts_staff ON users.accounts (user_id) WHERE roles && '{moderator,admin}';
CREATE INDEX accounts_suspended ON users.accounts (user_id) WHERE suspended_at IS NOT NULL;

-- Usernames that were given up stay their owners' for a while. A row goes when somebody takes the name.
CREATE TABLE users.reserved_usernames (
    username_index bytea       PRIMARY KEY,
    user_id        uuid        NOT NULL,
    reserved_until timestamptz NOT NULL
);

-- What people are found by, a row a way to begin: the username, "first last", "last first". Accents and case are folded
-- (search_fold), bytes compare as bytes, so that a prefix is a range.
CREATE TABLE users.search_terms (
    user_id uuid     NOT NULL,
    kind    smallint NOT NULL, -- 1 username, 2 first and last name, 3 last and first name
    term    text     NOT NULL COLLATE "C",
    PRIMARY KEY (user_id, kind)
);
CREATE INDEX search_terms_term ON users.search_terms (term, user_id, kind);

ALTER TABLE users.sessions
    ADD COLUMN generation    bigint   NOT NULL DEFAULT 0, -- of the newest refresh token
    ADD COLUMN account_epoch bigint   NOT NULL DEFAULT 0, -- the account's session_epoch when it started
    ADD COLUMN end_reason    smallint,                    -- 1 logged out, 2 revoked, 3 an old refresh token was presented
    ADD COLUMN position      bigint   NOT NULL DEFAULT -1; -- offset of the newest fact in this row

-- Who did what to whom: a row a fact of accounts.events and sessions.events, with its place in the log as key. Facts that
-- were folded before this migration get theirs by a rebuild. Rows come in the order of time, so the indexes that begin with
-- it, or with one of a few actions, grow at their ends.
CREATE TABLE users.audit (
    stream     text        NOT NULL,
    partition  int         NOT NULL,
    position   bigint      NOT NULL,
    at         timestamptz NOT NULL,
    actor      uuid        NOT NULL,
    action     text        NOT NULL, -- the fact's name, "PasswordChanged"
    subject    uuid        NOT NULL, -- whose account or session it is
    details    jsonb       NOT NULL,
    address    text,                 -- NULL: not told, or the actor was erased
    request_id text        NOT NULL,
    command_id uuid        NOT NULL,
    trace      text        NOT NULL,
    PRIMARY KEY (stream, partition, position)
);
CREATE INDEX audit_at ON users.audit (at, stream, partition, position);
CREATE INDEX audit_subject ON users.audit (subject, at, stream, partition, position);
CREATE INDEX audit_action ON users.audit (action, at, stream, partition, position);
-- Most people act upon themselves, and are found as subjects.
CREATE INDEX audit_actor ON users.audit (actor, at, stream, partition, position) WHERE actor <> subject;

-- migration 3

-- Names that facts have taken which do not fold: nobody else may have them until the fact is retried or discarded, or it would
-- never fold.
CREATE TABLE users.held_names (
    topic      text     NOT NULL,
    partition  int      NOT NULL,
    "offset"   bigint   NOT NULL,
    kind       smallint NOT NULL, -- 1 username, 2 e-mail address
    name_index bytea    NOT NULL,
    user_id    uuid     NOT NULL,
    PRIMARY KEY (topic, partition, "offset", kind),
    FOREIGN KEY (topic, partition, "offset") REFERENCES users.parked ON DELETE CASCADE
);
CREATE INDEX held_names_index ON users.held_names (name_index);
