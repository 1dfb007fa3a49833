/* routes: everything the gateway answers. */
#include "gateway/health.h"
#include "gateway/resources.h"

const struct route routes[] = {
    { POST, "/api/v1/auth/register", "auth_register", AUTH_NONE, &register_body, auth_register,
      "Make an account and log in." },
    { POST, "/api/v1/auth/login", "auth_login", AUTH_NONE, &login_body, auth_login,
      "Log in with a username or an e-mail address." },
    { POST, "/api/v1/auth/refresh", "auth_refresh", AUTH_NONE, &refresh_body, auth_refresh,
      "Exchange the refresh token for new tokens." },
    { POST, "/api/v1/auth/logout", "auth_logout", AUTH_USER, NULL, auth_logout,
      "End the session of the access token." },

    { GET, "/api/v1/users/me", "users_me", AUTH_USER, NULL, users_me, "The account of the access token." },
    { GET, "/api/v1/users/{user}", "users_get", AUTH_USER, NULL, users_get,
      "Somebody's account, without the e-mail address." },

    { POST, "/api/v1/rooms", "rooms_create", AUTH_USER, &create_room_body, rooms_create,
      "Open a room and become its owner." },
    { GET, "/api/v1/rooms", "rooms_list", AUTH_USER, NULL, rooms_list,
      "Rooms, newest first: ?scope=visible|mine|public&limit=&cursor=" },
    { GET, "/api/v1/rooms/{room}", "rooms_get", AUTH_USER, NULL, rooms_get, "One room." },
    { POST, "/api/v1/rooms/{room}/join", "rooms_join", AUTH_USER, NULL, rooms_join,
      "Become a member of a public room." },
    { GET, "/api/v1/rooms/{room}/members", "rooms_members", AUTH_USER, NULL, rooms_members,
      "The members of a room one is in: ?limit=&cursor=" },
    { POST, "/api/v1/rooms/{room}/messages", "messages_post", AUTH_USER, &post_message_body, messages_post,
      "Post a message." },
    { GET, "/api/v1/rooms/{room}/messages", "messages_list", AUTH_USER, NULL, messages_list,
      "Messages by number, ascending: ?before=&after=&limit=&cursor=; without bounds the newest." },

    { GET, "/api/v1/operations/{operation}", "operations_get", AUTH_USER, NULL, operations_get,
      "What became of a request that was answered 202." },
    { GET, "/api/v1/health", "health_live", AUTH_NONE, NULL, health_live, "Whether this process lives." },
    { GET, "/api/v1/health/ready", "health_ready", AUTH_NONE, NULL, health_ready, "Whether it can serve: 200 or 503." },
    { GET, "/api/v1/health/detailed", "health_detailed", AUTH_NONE, NULL, health_detailed,
      "What it depends on, each with status and latency." },
    { GET, "/metrics", "metrics_show", AUTH_NONE, NULL, metrics_show, "Prometheus text." },
    { 0 },
};
