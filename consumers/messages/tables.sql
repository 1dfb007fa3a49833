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
    role      smallint    NOT NULL, -- 1 owner, 2 member, 3 admin, 4 read-only (row.h)
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (room_id, user_id)
);

-- A person's rooms, newest first.
CREATE INDEX members_user ON messages.members (user_id, room_id);

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

-- migration 2

-- What admins change of a room; version counts those changes (ETag, If-Match).
ALTER TABLE messages.rooms
    ADD COLUMN peer_id        uuid,                       -- direct rooms: the other member than created_by
    ADD COLUMN version        bigint NOT NULL DEFAULT 1,
    ADD COLUMN description    text,                       -- NULL: none, or erased
    ADD COLUMN topic          text,                       -- likewise
    ADD COLUMN slow_mode_s    int    NOT NULL DEFAULT 0,  -- 0: none
    ADD COLUMN time_to_live_s bigint NOT NULL DEFAULT 0,  -- 0: for ever
    ADD COLUMN archived_at    timestamptz;                -- NULL: open

-- posted_seq changes with every message that its person posts: like rooms, so that the updates are HOT.
ALTER TABLE messages.members
    ADD COLUMN joined_seq bigint NOT NULL DEFAULT 0, -- the room's newest message when the person joined
    ADD COLUMN posted_seq bigint NOT NULL DEFAULT 0, -- number of the person's own newest message
    ADD COLUMN slow_until timestamptz,               -- slow mode: may not post before; NULL: never was slowed
    SET (fillfactor = 70);

CREATE TABLE messages.invitations (
    room_id    uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    invited_by uuid        NOT NULL,
    invited_at timestamptz NOT NULL,
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX invitations_user ON messages.invitations (user_id, room_id);

CREATE TABLE messages.bans (
    room_id   uuid        NOT NULL,
    user_id   uuid        NOT NULL,
    banned_by uuid        NOT NULL,
    banned_at timestamptz NOT NULL,
    until     timestamptz,          -- NULL: without end
    reason    text,                 -- NULL: erased
    PRIMARY KEY (room_id, user_id)
);

-- Most messages are never touched again and have none of this but their position.
ALTER TABLE messages.messages
    ADD COLUMN position          bigint  NOT NULL DEFAULT 0, -- offset of the fact that posted it
    ADD COLUMN changed_position  bigint,                     -- offset of the newest fact that changed it; NULL: none
    ADD COLUMN version           int     NOT NULL DEFAULT 1, -- 2 after the first edit
    ADD COLUMN reply_count       int     NOT NULL DEFAULT 0, -- of the thread that it began
    ADD COLUMN mentions_room     boolean NOT NULL DEFAULT false,
    ADD COLUMN reply_to          bigint,
    ADD COLUMN thread            bigint,                     -- number of the message that began it
    ADD COLUMN pinned_at         timestamptz,
    ADD COLUMN forwarded_room    uuid,
    ADD COLUMN forwarded_message uuid,
    ADD COLUMN forwarded_sender  uuid,
    ADD COLUMN mentions          bytea,                      -- 16 bytes a person
    ADD COLUMN reactions         text;                       -- JSON as it is shown, made from the table below

-- Ids are made in the order of time, and so is the table: which blocks an id can be in takes almost no index. A message that was
-- edited may lie elsewhere, hence several ranges a block.
CREATE INDEX messages_id ON messages.messages USING brin (message_id uuid_minmax_multi_ops)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX messages_changed ON messages.messages (room_id, changed_position) WHERE changed_position IS NOT NULL;
CREATE INDEX messages_deleted ON messages.messages (room_id, seq) WHERE deleted_at IS NOT NULL;
CREATE INDEX messages_thread ON messages.messages (room_id, thread, seq) WHERE thread IS NOT NULL;
CREATE INDEX messages_pinned ON messages.messages (room_id, seq) WHERE pinned_at IS NOT NULL;

-- The texts of messages that were edited or deleted: all versions, the newest too.
CREATE TABLE messages.message_versions (
    room_id  uuid        NOT NULL,
    seq      bigint      NOT NULL,
    version  int         NOT NULL,
    at       timestamptz NOT NULL,
    position bigint      NOT NULL, -- offset of the fact
    body     text,                 -- NULL: erased
    PRIMARY KEY (room_id, seq, version)
);

CREATE TABLE messages.reactions (
    room_id  uuid   NOT NULL,
    seq      bigint NOT NULL,
    user_id  uuid   NOT NULL,
    emoji    text   NOT NULL,
    position bigint NOT NULL, -- offset of the fact: the order they came in
    PRIMARY KEY (room_id, seq, user_id, emoji)
);

-- Who was named, newest first for each person.
CREATE TABLE messages.mentions (
    user_id uuid   NOT NULL,
    room_id uuid   NOT NULL,
    seq     bigint NOT NULL,
    PRIMARY KEY (user_id, room_id, seq)
);

-- To be posted, and to be deleted, by the worker that owns the partition.
CREATE TABLE messages.scheduled (
    message_id    uuid        PRIMARY KEY,
    room_id       uuid        NOT NULL,
    sender_id     uuid        NOT NULL,
    partition     int         NOT NULL,
    send_at       timestamptz NOT NULL,
    scheduled_at  timestamptz NOT NULL,
    reply_to      bigint      NOT NULL, -- 0: none
    mentions_room boolean     NOT NULL,
    mentions      bytea       NOT NULL,
    body          text                  -- NULL: erased
);
CREATE INDEX scheduled_due ON messages.scheduled (partition, send_at);
CREATE INDEX scheduled_sender ON messages.scheduled (sender_id, message_id);

CREATE TABLE messages.expiring (
    room_id    uuid        NOT NULL,
    seq        bigint      NOT NULL,
    message_id uuid        NOT NULL,
    sender_id  uuid        NOT NULL,
    partition  int         NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (room_id, seq)
);
CREATE INDEX expiring_due ON messages.expiring (partition, expires_at);

-- How far people have read: the fold of receipts.signals, latest wins. Of another topic than the rest, so no fact of a room
-- touches it.
CREATE TABLE messages.read_marks (
    user_id uuid        NOT NULL,
    room_id uuid        NOT NULL,
    seq     bigint      NOT NULL,
    read_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, room_id)
) WITH (fillfactor = 70);
CREATE INDEX read_marks_room ON messages.read_marks (room_id, user_id);

-- migration 3

-- Offset of the signal that said so: an older one changes nothing.
ALTER TABLE messages.read_marks ADD COLUMN position bigint NOT NULL DEFAULT -1;

-- migration 4

-- Not the person's own newest message any more, but the block of 64 messages it is in (row.h): a post that is not the first
-- of its sender in a block changes nothing here.
ALTER TABLE messages.members RENAME COLUMN posted_seq TO posted_block;
UPDATE messages.members SET posted_block = (posted_block + 63) / 64 WHERE posted_block > 0;

-- migration 5

-- PostgreSQL keeps 256 requests to summarize a range until autovacuum comes by, and drops (and logs) the others: with ranges of 16
-- pages that is 2,700 messages a second, with 64 it is 10,000. A look-up by id reads 3 ms instead of 1.7.
DROP INDEX messages.messages_id;
CREATE INDEX messages_id ON messages.messages USING brin (message_id uuid_minmax_multi_ops)
    WITH (pages_per_range = 64, autosummarize = on);

-- migration 6

-- Ids are UUIDv7, made in the order of time: a B-tree takes them at its right end, at no cost that folding shows (ADR 20). The BRIN
-- index that was here had to read the more blocks the more messages had been changed, since a changed row lies elsewhere.
DROP INDEX messages.messages_id;
CREATE INDEX messages_id ON messages.messages (message_id);

-- How many messages of a room are deleted, by blocks of 256, 256² and 256³ numbers (level 1, 2, 3): how many lie behind a number is
-- the sum of less than 256 rows a level, however many there are. Blocks count from 0: block (seq - 1) >> (8 * level).
CREATE TABLE messages.deleted_counts (
    room_id uuid     NOT NULL,
    level   smallint NOT NULL,
    block   bigint   NOT NULL,
    count   int      NOT NULL,
    PRIMARY KEY (room_id, level, block)
) WITH (fillfactor = 70);
INSERT INTO messages.deleted_counts (room_id, level, block, count)
SELECT m.room_id, l.level, (m.seq - 1) >> (8 * l.level), count(*)
  FROM messages.messages m CROSS JOIN generate_series(1, 3) AS l (level)
 WHERE m.deleted_at IS NOT NULL
 GROUP BY 1, 2, 3;

-- migration 7

-- What restrains a person in a room, whether they are a member or not: who leaves and comes back is as they were. Of those who had
-- left before this migration nothing is known here until the projection is rebuilt.
CREATE TABLE messages.restrictions (
    room_id    uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    read_only  boolean,     -- of the role they were given last; NULL: none was given
    slow_until timestamptz, -- slow mode: may not post before; NULL: never was slowed
    PRIMARY KEY (room_id, user_id)
) WITH (fillfactor = 70);
INSERT INTO messages.restrictions
    SELECT room_id, user_id, CASE WHEN role = 4 THEN true END, slow_until FROM messages.members
     WHERE role = 4 OR slow_until IS NOT NULL;
ALTER TABLE messages.members DROP COLUMN slow_until;

-- migration 8

-- A message whose sender was suspended when its time came is not posted, and stays in the sender's list.
ALTER TABLE messages.scheduled ADD COLUMN withheld_at timestamptz; -- NULL: it waits for its time
DROP INDEX messages.scheduled_due;
CREATE INDEX scheduled_due ON messages.scheduled (partition, send_at) WHERE withheld_at IS NULL;
CREATE INDEX scheduled_room ON messages.scheduled (room_id, sender_id);

-- migration 9

-- changed_position moves on with the thread that a deleted message began. For what was deleted before this migration it is the
-- newest change until the projection is rebuilt.
ALTER TABLE messages.messages ADD COLUMN deleted_position bigint; -- offset of the fact that deleted it; NULL: none
UPDATE messages.messages SET deleted_position = changed_position WHERE deleted_at IS NOT NULL;
