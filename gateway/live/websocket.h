/* websocket: RFC 6455 from the client to us, by wslay: frames, fragments, UTF-8, ping, close. The opening handshake is
 * live.c's; what we send is frame.h's, but for the answers that wslay gives by itself (pong, close). One thread.
 *
 * wslay keeps 9 KB a connection, so a context only lives from the first byte of a message to the last. */
#pragma once

#include "ops/runtime/mem.h"

struct websocket;

#define WEBSOCKET_ACCEPT_LEN 28

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2). false: that is no key (16 bytes in base64). */
bool websocket_accept(struct str key, char ret_accept[WEBSOCKET_ACCEPT_LEN + 1]);

struct websocket_handlers {
    void (*frame)(void *context, bool begins_text); /* of each frame, before what it becomes */
    void (*text)(void *context, struct str message);
    void (*binary)(void *context);
    void (*answer)(void *context, struct str bytes); /* frames to send */
};

enum websocket_state {
    WEBSOCKET_OPEN,
    WEBSOCKET_CLOSED, /* the peer closed, or broke the protocol: send what was answered, then end the connection */
};

/* Takes bytes from the connection. *socket is made and ended as needed. */
enum websocket_state websocket_take(struct websocket **socket, const struct websocket_handlers *handlers, void *context,
                                    size_t max_message_bytes, struct str bytes);
void websocket_destroy(struct websocket *w); /* NULL is fine */
