/* script: a log that a test writes, commands and facts, and workers (counter.h) that a test turns by hand: the real
 * loop on a real Kafka and PostgreSQL, in topics, a group and a database of the test's own. */
#pragma once

#include "consumers/loop/loop.h"
#include "tests/consumers/database.h"
#include "tests/worker/counter.h"

#define SCRIPT_PARTITIONS 2

struct script {
    struct database database;
    struct arena arena;
    char name[48], commands_topic[64], events_topic[64], signals_topic[64], parked_topic[64];
    struct worker_definition definition;
    struct stream stream;
    struct stream_worker worker;
    const struct stream_worker *streams[2];
    struct signal_worker signals;
    struct config *config;
    struct producer *producer;
    struct codec *codec;
    rd_kafka_t *client;
    int64_t last_offset; /* of the last record that was written */
};
extern struct script script;

/* Fixtures. */
void script_open(void);
void script_close(void);

/* --- the log --- */

/* Appends a command of the key ('a', 'b', …) to partition 0; its id. */
struct uuid write_command(char key, uint8_t label);
/* The same command again. */
void write_copy(char key, uint8_t label, struct uuid id);
/* Appends what somebody else says became of the command at this offset. */
void write_fact(char key, int64_t number, uint8_t label, int64_t command_offset, struct uuid command_id);
void write_garbage(const char *topic, char key);
void write_signal(int32_t partition);
/* Retention takes what is before this offset. */
void take_before(const char *topic, int64_t offset);
int64_t log_end(const char *topic, int32_t partition);

/* --- workers --- */

/* Ready to be turned; settings more than usual, ended by NULL, or NULL. */
struct worker *worker_of(int instance, const char *const *more);
void worker_end(struct worker *w);
/* Turns until the commands of partition 0 have their outcomes up to this one. */
void turn_past(struct worker *w, int64_t command_offset);
/* Turns these, one after another, until the query gives the value. */
void turn_until(struct worker *const *workers, size_t count, const char *sql, const char *value);
/* Turns until it owns so many partitions and has recovered them. */
void turn_owning(struct worker *const *workers, size_t count, const struct worker *who, size_t partitions);

/* --- what came of it --- */

/* What was folded, in the order of folding: key, number, label, as "a1:7 b1:8". */
const char *folded(void);
/* What became of a command: "-": nothing; else its rejection, 0: accepted, and the offset of its fact: "0@3". */
const char *outcome_of(struct uuid command);
/* The offsets of events that are parked. */
const char *parked_events(void);
const char *value_of(const char *sql);
