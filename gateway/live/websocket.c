#include "gateway/live/websocket.h"

#include <openssl/sha.h>
#include <sodium.h>
#include <stdlib.h>
#include <wslay/wslay.h>

struct websocket {
    wslay_event_context_ptr events;
    const struct websocket_handlers *handlers;
    void *context;
    struct str input;            /* what wslay has not taken yet */
    uint64_t received, expected; /* bytes; in whole frames whose head was seen */
    bool in_message;             /* a fragment came, and its message's end did not */
    bool closing, broken;
};

bool websocket_accept(struct str key, char ret_accept[WEBSOCKET_ACCEPT_LEN + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t nonce[16], hash[SHA_DIGEST_LENGTH];
    char text[24 + sizeof guid];
    size_t len;
    if (key.len != 24 ||
        sodium_base642bin(nonce, sizeof nonce, key.ptr, key.len, NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) !=
            0 ||
        len != sizeof nonce)
        return false;
    memcpy(text, key.ptr, key.len);
    memcpy(text + key.len, guid, sizeof guid - 1);
    SHA1((const uint8_t *)text, key.len + sizeof guid - 1, hash);
    sodium_bin2base64(ret_accept, WEBSOCKET_ACCEPT_LEN + 1, hash, sizeof hash, sodium_base64_VARIANT_ORIGINAL);
    return true;
}

/* --- what wslay calls --- */

static ssize_t on_receive(wslay_event_context_ptr events, uint8_t *buffer, size_t len, int flags, void *argument)
{
    (void)flags;
    struct websocket *w = argument;
    if (w->input.len == 0) {
        wslay_event_set_error(events, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = len < w->input.len ? len : w->input.len;
    memcpy(buffer, w->input.ptr, n);
    w->input = (struct str){ w->input.ptr + n, w->input.len - n };
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr events, const uint8_t *bytes, size_t len, int flags, void *argument)
{
    (void)events, (void)flags;
    struct websocket *w = argument;
    w->handlers->answer(w->context, (struct str){ (const char *)bytes, len });
    return (ssize_t)len;
}

static void on_frame(wslay_event_context_ptr events, const struct wslay_event_on_frame_recv_start_arg *frame,
                     void *argument)
{
    (void)events;
    struct websocket *w = argument;
    uint64_t len = frame->payload_length;
    w->expected += 2 + 4 + (len < 126 ? 0u : len < 65536 ? 2u : 8u) + len; /* a client's are masked */
    if (!wslay_is_ctrl_frame(frame->opcode))
        w->in_message = !frame->fin;
    w->handlers->frame(w->context, frame->opcode == WSLAY_TEXT_FRAME);
}

static void on_message(wslay_event_context_ptr events, const struct wslay_event_on_msg_recv_arg *message,
                       void *argument)
{
    (void)events;
    struct websocket *w = argument;
    if (message->opcode == WSLAY_TEXT_FRAME && !w->closing)
        w->handlers->text(w->context, (struct str){ (const char *)message->msg, message->msg_length });
    else if (message->opcode == WSLAY_BINARY_FRAME && !w->closing)
        w->handlers->binary(w->context);
    else if (message->opcode == WSLAY_CONNECTION_CLOSE) {
        w->closing = true;
        w->broken = message->msg_length == 1; /* half a code, which wslay lets pass */
    }
}

/* --- one connection's input --- */

static struct websocket *websocket_create(size_t max_message_bytes)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_receive,
        .send_callback = on_send,
        .on_frame_recv_start_callback = on_frame,
        .on_msg_recv_callback = on_message,
    };
    struct websocket *w = mem_alloc(sizeof *w);
    if (wslay_event_context_server_init(&w->events, &callbacks, w) != 0)
        abort(); /* out of memory */
    wslay_event_config_set_max_recv_msg_length(w->events, max_message_bytes);
    return w;
}

void websocket_destroy(struct websocket *w)
{
    if (!w)
        return;
    wslay_event_context_free(w->events);
    free(w);
}

enum websocket_state websocket_take(struct websocket **socket, const struct websocket_handlers *handlers, void *context,
                                    size_t max_message_bytes, struct str bytes)
{
    if (!*socket)
        *socket = websocket_create(max_message_bytes);
    struct websocket *w = *socket;
    w->handlers = handlers;
    w->context = context;
    w->input = bytes;
    w->received += bytes.len;
    /* Where a frame's head is wrong, wslay closes without a code; section 7.4.1 has one for it. */
    if (wslay_event_recv(w->events) != 0 || w->broken) {
        handlers->answer(context, STR("\x88\x02\x03\xea"));
        return WEBSOCKET_CLOSED;
    }
    if (wslay_event_send(w->events) != 0 || !wslay_event_want_read(w->events))
        return WEBSOCKET_CLOSED;
    if (w->received == w->expected && !w->in_message) {
        websocket_destroy(w);
        *socket = NULL;
    }
    return WEBSOCKET_OPEN;
}
