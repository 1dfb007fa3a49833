/* command: what a client says over its WebSocket. */
#pragma once

#include "ops/runtime/mem.h"

struct listener;

/* On the lane's thread. */
void command_take(struct listener *l, struct str message);
