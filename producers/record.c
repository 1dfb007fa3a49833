#include "producers/record.h"

#include "ops/runtime/clock.h"

static void header(rd_kafka_headers_t *headers, const char *name, const char *value, size_t len)
{
    rd_kafka_header_add(headers, name, -1, value, (ssize_t)len);
}

/* CloudEvents 1.0, Kafka protocol binding, section 3.2 (binary content mode); W3C Trace Context. */
static rd_kafka_headers_t *headers_of(const struct append *a, struct str source)
{
    char id[UUID_TEXT_LEN + 1], time[RFC3339_LEN + 1];
    uuid_format(a->meta->id, id);
    clock_rfc3339(a->meta->at, time);

    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    header(headers, "ce_specversion", "1.0", 3);
    header(headers, "ce_id", id, UUID_TEXT_LEN);
    header(headers, "ce_type", a->type, strlen(a->type));
    header(headers, "ce_source", source.ptr, source.len);
    header(headers, "ce_time", time, RFC3339_LEN);
    header(headers, "content-type", "application/avro", 16);
    if (a->meta->trace.len)
        header(headers, "traceparent", a->meta->trace.ptr, a->meta->trace.len);
    if (a->reply_to.len)
        header(headers, "aether-reply-to", a->reply_to.ptr, a->reply_to.len);
    return headers;
}

rd_kafka_error_t *record_produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, struct str source, const struct append *a)
{
    char key[UUID_TEXT_LEN + 1];
    uuid_format(a->key, key);
    /* As one list that is ours until it is taken: headers that are given one by one are freed twice when the partition
     * does not exist (librdkafka #4628, before 2.9). */
    rd_kafka_headers_t *headers = headers_of(a, source);
    const rd_kafka_vu_t parts[] = {
        { .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic },
        { .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = a->partition },
        { .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
        { .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = a->opaque },
        { .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { .ptr = key, .size = UUID_TEXT_LEN } },
        { .vtype = RD_KAFKA_VTYPE_VALUE,
          .u.mem = { .ptr = (void *)(uintptr_t)a->payload.ptr, .size = a->payload.len } },
        { .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers },
    };
    rd_kafka_error_t *error = rd_kafka_produceva(rk, parts, sizeof parts / sizeof *parts);
    if (error)
        rd_kafka_headers_destroy(headers);
    return error;
}
