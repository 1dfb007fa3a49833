/* How long it takes to check, decode and encode a MessagePosted, and how often that allocates. Not a test: run it by
 * hand,
 *     ninja -C build tests/schemas/bench_codec && build/tests/schemas/bench_codec
 * The figures of ops/adr/0001-avro-encoding.md are from here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "schemas/layout.h"
#include "schemas/rooms.gen.h"

#define ROUNDS 300000

static size_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

/* Calls from the program itself (our code, statically linked); those inside libavro are counted by its allocator. */
void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    allocations++;
    return __real_realloc(pointer, size);
}

static size_t avro_allocations;

static void *avro_counted(void *context, void *pointer, size_t old_size, size_t new_size)
{
    (void)context;
    (void)old_size;
    if (new_size == 0) {
        free(pointer);
        return NULL;
    }
    avro_allocations++;
    return __real_realloc(pointer, new_size);
}

static struct message_posted message(void)
{
    struct uuid id = { { 0x01, 0x93, 0x0f, 0x5a, 0x11, 0x22, 0x7a, 0x33, 0x84, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
                         0xaa } };
    static char cipher[120 + SEALED_OVERHEAD];
    return (struct message_posted){
        .meta = { .id = id,
                  .at = 1767225599123,
                  .actor = id,
                  .command_id = id,
                  .command_offset = 123456,
                  .request_hash = STR("0123456789abcdef"),
                  .trace = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") },
        .room_id = id,
        .message_id = id,
        .seq = 4711,
        .body = { .cipher = { cipher, sizeof cipher }, .state = SEALED },
    };
}

static void report(const char *what, int64_t since_us)
{
    printf("%-40s %7.1f ns  %5.2f allocations of ours, %5.2f of avro-c\n", what,
           (double)(clock_mono_us() - since_us) * 1000 / ROUNDS, (double)allocations / ROUNDS,
           (double)avro_allocations / ROUNDS);
    allocations = avro_allocations = 0;
}

static void must(err e)
{
    if (e != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
}

/* What encoding by avro-c's generic values costs, for comparison: wrapped buffers, so nothing is copied twice. */
static void avro_encode(avro_value_t *v, const struct message_posted *m, avro_writer_t writer, char *out, int64_t room)
{
    avro_value_t meta, f;
    char text[UUID_TEXT_LEN + 1];
    avro_value_reset(v);
    avro_value_get_by_index(v, 0, &meta, NULL);
    const struct uuid *ids[] = { &m->meta.id, NULL, &m->meta.actor, &m->meta.command_id };
    for (size_t i = 0; i < 4; i++) {
        avro_value_get_by_index(&meta, i, &f, NULL);
        if (ids[i]) {
            uuid_format(*ids[i], text);
            avro_value_set_string_len(&f, text, sizeof text);
        } else {
            avro_value_set_long(&f, m->meta.at);
        }
    }
    avro_value_get_by_index(&meta, 4, &f, NULL);
    avro_value_set_long(&f, m->meta.command_offset);
    avro_value_get_by_index(&meta, 5, &f, NULL);
    avro_value_set_bytes(&f, (void *)m->meta.request_hash.ptr, m->meta.request_hash.len);
    avro_value_get_by_index(&meta, 6, &f, NULL);
    avro_value_set_string_len(&f, m->meta.trace.ptr, m->meta.trace.len + 1);
    avro_value_get_by_index(v, 1, &f, NULL);
    uuid_format(m->room_id, text);
    avro_value_set_string_len(&f, text, sizeof text);
    avro_value_get_by_index(v, 2, &f, NULL);
    uuid_format(m->message_id, text);
    avro_value_set_string_len(&f, text, sizeof text);
    avro_value_get_by_index(v, 3, &f, NULL);
    avro_value_set_long(&f, m->seq);
    avro_value_get_by_index(v, 4, &f, NULL);
    avro_value_set_bytes(&f, (void *)m->body.cipher.ptr, m->body.cipher.len);
    avro_writer_memory_set_dest(writer, out, room);
    if (avro_value_write(writer, v) != 0)
        exit(1);
}

int main(void)
{
    avro_set_allocator(avro_counted, NULL);
    struct codec *codec;
    must(codec_create(NULL, &codec));
    struct message_posted m = message(), back;
    struct buf out = { 0 };
    struct arena arena;
    arena_init(&arena, 0);
    must(message_posted_encode(codec, &m, &out));
    must(message_posted_decode(codec, buf_view(&out), &arena, &back));
    struct writer *w;
    int32_t id;
    must(wire_schema_id(buf_view(&out), &id));
    must(codec_writer(codec, id, &w));
    struct str framed = buf_view(&out), payload = { framed.ptr + WIRE_HEADER_LEN, framed.len - WIRE_HEADER_LEN };
    printf("MessagePosted, %zu bytes\n", framed.len);

    allocations = avro_allocations = 0;
    int64_t since = clock_mono_us();
    for (int i = 0; i < ROUNDS; i++)
        must(codec_check(w->schema, payload));
    report("codec_check", since);

    since = clock_mono_us();
    avro_reader_t reader = avro_reader_memory("", 0);
    for (int i = 0; i < ROUNDS; i++) {
        avro_reader_memory_set_source(reader, payload.ptr, (int64_t)payload.len);
        if (avro_value_read(reader, &w->value) != 0)
            return 1;
    }
    report("avro_value_read alone", since);

    since = clock_mono_us();
    for (int i = 0; i < ROUNDS; i++) {
        arena_reset(&arena);
        must(message_posted_decode(codec, framed, &arena, &back));
    }
    report("message_posted_decode", since);

    char room[1024];
    avro_writer_t writer = avro_writer_memory(room, sizeof room);
    since = clock_mono_us();
    for (int i = 0; i < ROUNDS; i++)
        avro_encode(&w->value, &m, writer, room, sizeof room);
    report("encoding by avro-c's generic values", since);
    avro_writer_free(writer);
    avro_reader_free(reader);

    struct buf again = { 0 };
    buf_reserve(&again, 1024);
    since = clock_mono_us();
    for (int i = 0; i < ROUNDS; i++) {
        buf_clear(&again);
        must(message_posted_encode(codec, &m, &again));
    }
    report("message_posted_encode", since);
    buf_finish(&again);
    buf_finish(&out);
    arena_finish(&arena);
    codec_destroy(codec);
    return 0;
}
