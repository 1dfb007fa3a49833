/* frame: bytes on their way to listeners, shared by all who get the same ones. Counted references; any thread. */
#pragma once

#include <stdatomic.h>

#include "ops/runtime/mem.h"

enum framing { FRAMING_WEBSOCKET, FRAMING_SSE, FRAMINGS };

struct frame {
    atomic_uint references;
    uint32_t len;
    char bytes[];
};

enum websocket_opcode { /* RFC 6455, section 5.2 */
                        WEBSOCKET_TEXT = 1,
                        WEBSOCKET_CLOSE = 8,
                        WEBSOCKET_PING = 9,
};

/* Each is made with one reference, the caller's. */
struct frame *frame_raw(struct str bytes);
struct frame *frame_websocket(enum websocket_opcode opcode, struct str payload);
/* A JSON object without its closing brace; with `id`, unless it is empty, as its last member and as the id of
 * server-sent events (WHATWG HTML, section 9.2). */
struct frame *frame_event(enum framing framing, struct str open_json, struct str id);

static inline struct frame *frame_share(struct frame *f)
{
    atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
    return f;
}
void frame_release(struct frame *f); /* NULL is fine */
