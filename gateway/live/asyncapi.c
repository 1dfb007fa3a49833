/* asyncapi: the live feed and the topics behind it as AsyncAPI 3.0
 * (https://www.asyncapi.com/docs/reference/specification/v3.0.0), made from the tables that the programs run on:
 * topics.def, the pinned schemas, the events of the feed, the commands of its socket. */
#include <stdio.h>

#include "gateway/gateway.h"
#include "gateway/live/command.h"
#include "gateway/live/event.h"
#include "gateway/resources.h"
#include "schemas/codec.h"
#include "topics/topics.h"

#define FEED "live"

/* What the feed says beside events. */
static const struct event_type own_messages[] = {
    { "ready", "The first: the person's rooms, each with the number of its newest message." },
    { "message.changed",
      "Who was away for long is told once what a message that was changed meanwhile looks like now." },
    { "resync", "Something was not told, since it was read too slowly or was too much: look for yourself, by number." },
    { "reply", "The answer to a command, by its ref: status, headers and body as over HTTP." },
    { "token.expiring", "The connection is closed with 4001 then, unless a new token is sent (authenticate)." },
    { "closing", "Server-sent events only: why the connection ends." },
};

/* Calls `each` for every message the feed sends. */
static void each_message(struct json *j, void (*each)(struct json *j, const struct event_type *type))
{
    for (size_t i = 1; i <= (size_t)rooms_stream.fact.type_count; i++)
        if (event_type_of(i))
            each(j, event_type_of(i));
    for (size_t i = 0; i < sizeof own_messages / sizeof *own_messages; i++)
        each(j, &own_messages[i]);
    for (size_t i = 0; signal_event_types[i].name; i++)
        each(j, &signal_event_types[i]);
}

static void key_of(struct json *j, const char *kind, const char *name)
{
    char key[160];
    snprintf(key, sizeof key, "%s.%s", kind, name);
    json_key(j, key);
}

static void reference(struct json *j, const char *to, const char *name)
{
    char text[256];
    int len = snprintf(text, sizeof text, "#/%s/%s", to, name);
    json_open(j, '{');
    json_field_str(j, "$ref", (struct str){ text, (size_t)len });
    json_close(j, '}');
}

/* --- servers and channels --- */

static void server(struct json *j, const char *name, const char *host, const char *protocol, const char *description)
{
    json_key(j, name);
    json_open(j, '{');
    json_field_str(j, "host", str_of(host));
    json_field_str(j, "protocol", str_of(protocol));
    json_field_str(j, "description", str_of(description));
    json_close(j, '}');
}

static void servers_of(struct json *j, const char *name)
{
    json_key(j, "servers");
    json_open(j, '[');
    reference(j, "servers", name);
    json_close(j, ']');
}

static void event_reference(struct json *j, const struct event_type *type)
{
    char to[160];
    key_of(j, "event", type->name);
    snprintf(to, sizeof to, "event.%s", type->name);
    reference(j, "components/messages", to);
}

static void feed_channel(struct json *j)
{
    json_key(j, FEED);
    json_open(j, '{');
    json_field_str(j, "address", STR("/api/v1/live"));
    json_field_str(j, "description",
                   STR("A WebSocket (subprotocol aether.v1), or with Accept: text/event-stream server-sent events. "
                       "?lastEventId= or Last-Event-ID goes on where an event with that id ended; ?hold=true waits for "
                       "the command resume."));
    servers_of(j, "gateway");
    json_key(j, "messages");
    json_open(j, '{');
    each_message(j, event_reference);
    for (size_t i = 0; command_verbs[i].name; i++) {
        char to[160];
        key_of(j, "command", command_verbs[i].name);
        snprintf(to, sizeof to, "command.%s", command_verbs[i].name);
        reference(j, "components/messages", to);
    }
    json_close(j, '}');
    json_close(j, '}');
}

/* Of a subject "rooms.events-aether.rooms.MessagePosted" the record's name; NULL: another topic's, or not the newest
 * version. */
static const char *record_of(size_t i, const char *topic)
{
    const struct schema_version *s = &schema_versions[i];
    size_t len = strlen(topic);
    if (strncmp(s->subject, topic, len) != 0 || s->subject[len] != '-')
        return NULL;
    for (size_t k = 0; k < schema_versions_count; k++)
        if (strcmp(schema_versions[k].subject, s->subject) == 0 && schema_versions[k].version > s->version)
            return NULL;
    return s->subject + len + 1;
}

static void topic_channel(struct json *j, const struct topic *topic)
{
    json_key(j, topic->name);
    json_open(j, '{');
    json_field_str(j, "address", str_of(topic->name));
    json_field_str(j, "description", str_of(topic->doc));
    servers_of(j, "log");
    json_key(j, "messages");
    json_open(j, '{');
    for (size_t i = 0; i < schema_versions_count; i++) {
        const char *record = record_of(i, topic->name);
        if (!record)
            continue;
        json_key(j, record);
        reference(j, "components/messages", record);
    }
    json_close(j, '}');
    json_key(j, "bindings");
    json_open(j, '{');
    json_key(j, "kafka");
    json_open(j, '{');
    json_field_str(j, "topic", str_of(topic->name));
    json_key(j, "topicConfiguration");
    json_open(j, '{');
    json_key(j, "cleanup.policy");
    json_open(j, '[');
    json_str(j, topic->cleanup == TOPIC_COMPACT ? STR("compact") : STR("delete"));
    json_close(j, ']');
    json_field_int(j, "retention.ms", topic->retention_ms);
    json_close(j, '}');
    json_close(j, '}');
    json_close(j, '}');
    json_close(j, '}');
}

/* --- operations --- */

static void operation(struct json *j, const char *name, const char *action, const char *channel, const char *summary)
{
    json_key(j, name);
    json_open(j, '{');
    json_field_str(j, "action", str_of(action));
    json_key(j, "channel");
    reference(j, "channels", channel);
    json_field_str(j, "summary", str_of(summary));
}

static void feed_event_reference(struct json *j, const struct event_type *type)
{
    char to[160];
    snprintf(to, sizeof to, "event.%s", type->name);
    reference(j, "channels/" FEED "/messages", to);
}

static void operations(struct json *j)
{
    operation(j, "tell", "send", FEED, "What happens is told to who may see it.");
    json_key(j, "messages");
    json_open(j, '[');
    each_message(j, feed_event_reference);
    json_close(j, ']');
    json_close(j, '}');
    operation(j, "take", "receive", FEED, "Commands, which run the same code as over HTTP.");
    json_key(j, "messages");
    json_open(j, '[');
    for (size_t i = 0; command_verbs[i].name; i++) {
        char to[160];
        snprintf(to, sizeof to, "command.%s", command_verbs[i].name);
        reference(j, "channels/" FEED "/messages", to);
    }
    json_close(j, ']');
    json_close(j, '}');
    for (size_t i = 0; i < topics_count; i++) {
        char name[160];
        snprintf(name, sizeof name, "append.%s", topics[i].name);
        operation(j, name, "send", topics[i].name, topics[i].doc);
        json_close(j, '}');
    }
}

/* --- messages --- */

static void property(struct json *j, const char *name, const char *type, const char *format, const char *constant)
{
    json_key(j, name);
    json_open(j, '{');
    json_field_str(j, "type", str_of(type));
    if (format)
        json_field_str(j, "format", str_of(format));
    if (constant)
        json_field_str(j, "const", str_of(constant));
    json_close(j, '}');
}

static void message_begin(struct json *j, const char *name, const char *summary)
{
    json_field_str(j, "name", str_of(name));
    json_field_str(j, "summary", str_of(summary));
    json_field_str(j, "contentType", STR("application/json"));
    json_key(j, "payload");
    json_open(j, '{');
    json_field_str(j, "type", STR("object"));
    json_key(j, "properties");
    json_open(j, '{');
}

static void message_end(struct json *j, const char *required)
{
    json_close(j, '}');
    json_key(j, "required");
    json_open(j, '[');
    json_str(j, str_of(required));
    json_close(j, ']');
    json_close(j, '}');
    json_close(j, '}');
}

static void event_message(struct json *j, const struct event_type *type)
{
    key_of(j, "event", type->name);
    json_open(j, '{');
    message_begin(j, type->name, type->doc);
    property(j, "type", "string", NULL, type->name);
    property(j, "roomId", "string", "uuid", NULL);
    property(j, "number", "integer", NULL, NULL);
    property(j, "position", "string", NULL, NULL);
    property(j, "at", "string", "date-time", NULL);
    property(j, "actorId", "string", "uuid", NULL);
    property(j, "data", "object", NULL, NULL);
    property(j, "id", "string", NULL, NULL);
    message_end(j, "type");
}

static void command_message(struct json *j, const struct command_verb *verb)
{
    key_of(j, "command", verb->name);
    json_open(j, '{');
    message_begin(j, verb->name, verb->doc);
    property(j, "do", "string", NULL, verb->name);
    property(j, "ref", "string", NULL, NULL);
    property(j, "roomId", "string", "uuid", NULL);
    property(j, "idempotencyKey", "string", NULL, NULL);
    property(j, "body", "object", NULL, NULL);
    property(j, "since", "object", NULL, NULL);
    property(j, "token", "string", NULL, NULL);
    message_end(j, "do");
}

/* The Avro schema as it is pinned; the key is a UUID as text. */
static void record_message(struct json *j, size_t i, const char *record)
{
    json_key(j, record);
    json_open(j, '{');
    json_field_str(j, "name", str_of(record));
    json_field_str(j, "contentType", STR("application/avro"));
    json_key(j, "payload");
    json_open(j, '{');
    json_field_str(j, "schemaFormat", STR("application/vnd.apache.avro+json;version=1.9.0"));
    json_key(j, "schema");
    json_raw(j, str_of(schema_versions[i].json));
    json_close(j, '}');
    json_key(j, "bindings");
    json_open(j, '{');
    json_key(j, "kafka");
    json_open(j, '{');
    json_key(j, "key");
    json_open(j, '{');
    json_field_str(j, "type", STR("string"));
    json_close(j, '}');
    json_field_str(j, "schemaIdLocation", STR("payload"));
    json_field_str(j, "schemaIdPayloadEncoding", STR("confluent"));
    json_close(j, '}');
    json_close(j, '}');
    json_close(j, '}');
}

static void messages(struct json *j)
{
    each_message(j, event_message);
    for (size_t i = 0; command_verbs[i].name; i++)
        command_message(j, &command_verbs[i]);
    for (size_t t = 0; t < topics_count; t++)
        for (size_t i = 0; i < schema_versions_count; i++) {
            const char *record = record_of(i, topics[t].name);
            if (record)
                record_message(j, i, record);
        }
}

enum request_step asyncapi_show(struct request *r)
{
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_field_str(&j, "asyncapi", STR("3.0.0"));
    json_key(&j, "info");
    json_open(&j, '{');
    json_field_str(&j, "title", STR("Aether"));
    json_field_str(&j, "version", STR("1.0.0"));
    json_field_str(&j, "description",
                   STR("The live feed, and the log behind it. A record of <stream>.events whose "
                       "meta.command_offset is not greater than those before it in its partition is "
                       "a duplicate and must be skipped."));
    json_close(&j, '}');
    json_key(&j, "servers");
    json_open(&j, '{');
    server(&j, "gateway", "localhost:8080", "ws", "A gateway; TLS belongs to the proxy in front.");
    server(&j, "log", "localhost:9092", "kafka-secure", "The log, for analytics readers.");
    json_close(&j, '}');
    json_key(&j, "channels");
    json_open(&j, '{');
    feed_channel(&j);
    for (size_t i = 0; i < topics_count; i++)
        topic_channel(&j, &topics[i]);
    json_close(&j, '}');
    json_key(&j, "operations");
    json_open(&j, '{');
    operations(&j);
    json_close(&j, '}');
    json_key(&j, "components");
    json_open(&j, '{');
    json_key(&j, "messages");
    json_open(&j, '{');
    messages(&j);
    json_close(&j, '}');
    json_close(&j, '}');
    json_close(&j, '}');
    return REQUEST_DONE;
}
