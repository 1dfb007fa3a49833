-- What every worker keeps beside its projection, in its own PostgreSQL schema (first in the search path).
-- migration 1

-- Where the fold stands. Advanced by compare-and-swap in the fold's transaction; nobody else writes it.
CREATE TABLE checkpoint (
    stream         text   NOT NULL,
    partition      int    NOT NULL,
    next_offset    bigint NOT NULL, -- of <stream>.events: the first fact that is not folded
    command_offset bigint NOT NULL, -- of <stream>.commands: the last command that has its outcome; -1: none
    rebuild_until  bigint NOT NULL, -- facts before this offset are folded without their commands
    PRIMARY KEY (stream, partition)
) WITH (fillfactor = 40);

-- Raises AE001 when one of the partitions does not stand where the caller thinks: a newer owner exists.
CREATE FUNCTION checkpoint_advance(streams text[], partitions int[], expected_next bigint[], expected_command bigint[],
                                   new_next bigint[], new_command bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    advanced int;
BEGIN
    UPDATE checkpoint c
       SET next_offset = a.new_next, command_offset = a.new_command
      FROM unnest(streams, partitions, expected_next, expected_command, new_next, new_command)
           AS a (stream, partition, expected_next, expected_command, new_next, new_command)
     WHERE c.stream = a.stream AND c.partition = a.partition
       AND c.next_offset = a.expected_next AND c.command_offset = a.expected_command;
    GET DIAGNOSTICS advanced = ROW_COUNT;
    IF advanced <> cardinality(streams) THEN
        RAISE EXCEPTION 'the checkpoint was moved by another owner of the partition' USING ERRCODE = 'AE001';
    END IF;
END $$;

-- What became of each command.
CREATE TABLE operations (
    command_id   uuid        PRIMARY KEY,
    actor        uuid        NOT NULL,
    rejection    smallint    NOT NULL, -- 0: accepted
    stream       text        NOT NULL,
    partition    int         NOT NULL,
    fact_offset  bigint      NOT NULL, -- -1: rejected
    request_hash bytea       NOT NULL,
    fact         bytea       NOT NULL, -- as in the log, framed, personal data sealed
    at           timestamptz NOT NULL
) WITH (autovacuum_vacuum_insert_scale_factor = 1.0);
CREATE INDEX operations_at ON operations USING brin (at) WITH (pages_per_range = 32);

-- Records that could not be decoded or folded, and those of the same key behind them.
CREATE TABLE parked (
    topic     text        NOT NULL,
    partition int         NOT NULL,
    "offset"  bigint      NOT NULL,
    key       uuid,                 -- NULL: the record had no usable key and holds nobody up
    blocks    boolean     NOT NULL, -- later records of the key wait behind it
    cause     text        NOT NULL,
    payload   bytea       NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    action    text        CHECK (action IN ('retry', 'discard')), -- what the operator asked for
    PRIMARY KEY (topic, partition, "offset")
);
CREATE INDEX parked_key ON parked (key) WHERE blocks;

-- migration 2

-- What operators have discarded. It stands outside the workers' schemas, since no log knows it and a rebuild must: without it
-- the records would be parked, and hold up their keys, again.
CREATE SCHEMA IF NOT EXISTS operator;
CREATE TABLE IF NOT EXISTS operator.discarded (
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    "offset"     bigint      NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, "offset")
);

-- migration 3

-- Where the folds of topics without decisions stand. Written with GREATEST by whoever follows the partition.
CREATE TABLE followed (
    topic       text   NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- migration 4

-- Old outcomes are looked for block by block instead: what is not vacuumed yet, and space that is used again, belongs to every
-- time in a BRIN index, so that each look read the whole table.
DROP INDEX operations_at;

-- migration 5

-- Who decides each partition now. Its owner says so every second; what is older than a few seconds counts for nothing, so it
-- need not survive a crash.
CREATE UNLOGGED TABLE owners (
    stream     text        NOT NULL,
    partition  int         NOT NULL,
    partitions int         NOT NULL, -- how many the stream has
    instance   int         NOT NULL, -- of the worker
    until      timestamptz NOT NULL,
    PRIMARY KEY (stream, partition)
) WITH (fillfactor = 40);
