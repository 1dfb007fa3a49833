-- The projection of the messages worker. Every row is the fold of rooms.events; nothing else writes here.

-- migration 1

-- member_count and last_seq change with every message and member: no index holds them and a third of each page is kept
-- free, so that the updates are HOT.
CREATE TABLE messages.rooms (
    room_id      uuid        PRIMARY KEY,
    name         text,                 -- NULL: erased
    kind         smallint    NOT NULL, -- 1 public, 2 private, 3 direct (row.h)
    member_count int         NOT NULL,
    last_seq     bigint      NOT NULL, -- number of the newest message; 0: none
    created_at   timestamptz NOT NULL,
    created_by   uuid        NOT NULL,
    position     bigint      NOT NULL  -- offset of the newest fact in this row
) WITH (fillfactor = 65);

-- Newest public rooms first, for the list.
CREATE INDEX rooms_public ON messages.rooms (room_id) WHERE kind = 1;

CREATE TABLE messages.members (
    room_id   uuid        NOT NULL,
    user_id   uuid        NOT NULL,
    role      smallint    NOT NULL, -- 1 owner, 2 member (row.h)
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (room_id, user_id)
);

-- A person's rooms, newest first.
CREATE INDEX members_user ON messages.members (user_id, room_id);

-- No index on message_id: nothing looks a message up by it yet, and a second index halves the speed of the fold.
-- The fixed-width columns come first: they are reached without walking over the text.
CREATE TABLE messages.messages (
    room_id    uuid        NOT NULL,
    seq        bigint      NOT NULL, -- 1, 2, 3, … in its room
    message_id uuid        NOT NULL,
    sender_id  uuid        NOT NULL,
    posted_at  timestamptz NOT NULL,
    edited_at  timestamptz, -- NULL: never
    deleted_at timestamptz, -- NULL: never
    body       text,        -- NULL: erased
    PRIMARY KEY (room_id, seq)
) WITH (autovacuum_vacuum_insert_scale_factor = 1.0);
