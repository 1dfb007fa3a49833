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
