#include "gateway/live/frame.h"

#include <stdlib.h>

static struct frame *frame_create(size_t len)
{
    struct frame *f = mem_resize(NULL, sizeof *f + len);
    atomic_init(&f->references, 1);
    f->len = (uint32_t)len;
    return f;
}

void frame_release(struct frame *f)
{
    if (f && atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) == 1)
        free(f);
}

static char *put(char *at, struct str s)
{
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

struct frame *frame_raw(struct str bytes)
{
    struct frame *f = frame_create(bytes.len);
    put(f->bytes, bytes);
    return f;
}

/* A server's frames are not masked and need not be fragmented. */
static size_t header_size(size_t payload)
{
    return payload < 126 ? 2 : payload < 65536 ? 4 : 10;
}

static char *put_header(char *at, enum websocket_opcode opcode, size_t payload)
{
    size_t size = header_size(payload);
    *at++ = (char)(0x80 | opcode);
    *at++ = (char)(size == 2 ? payload : size == 4 ? 126 : 127);
    for (size_t left = size - 2; left > 0; left--)
        *at++ = (char)(payload >> (8 * (left - 1)));
    return at;
}

struct frame *frame_websocket(enum websocket_opcode opcode, struct str payload)
{
    struct frame *f = frame_create(header_size(payload.len) + payload.len);
    put(put_header(f->bytes, opcode, payload.len), payload);
    return f;
}

static char *put_json(char *at, struct str open_json, struct str id)
{
    at = put(at, open_json);
    if (id.len > 0)
        at = put(put(put(at, STR(",\"id\":\"")), id), STR("\""));
    *at++ = '}';
    return at;
}

struct frame *frame_event(enum framing framing, struct str open_json, struct str id)
{
    size_t json = open_json.len + 1 + (id.len > 0 ? id.len + strlen(",\"id\":\"\"") : 0);
    if (framing == FRAMING_WEBSOCKET) {
        struct frame *f = frame_create(header_size(json) + json);
        put_json(put_header(f->bytes, WEBSOCKET_TEXT, json), open_json, id);
        return f;
    }
    struct frame *f = frame_create(json + strlen("data: \n\n") + (id.len > 0 ? id.len + strlen("id: \n") : 0));
    char *at = f->bytes;
    if (id.len > 0)
        at = put(put(put(at, STR("id: ")), id), STR("\n"));
    at = put_json(put(at, STR("data: ")), open_json, id);
    put(at, STR("\n\n"));
    return f;
}
