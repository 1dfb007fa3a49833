/* recheck: whether the sessions of a lane's listeners still live, asked again, many at a time.
 *
 * A session that ends is heard of by the tail, but only by listeners that are there already. One that ended while its
 * listener was on the way (let in, and not yet at its lane) was heard by nobody; so each is asked for once more when it
 * has arrived, a moment later (the worker may not have folded the end yet), and every live.recheck_s. Those that have
 * ended are closed. The roles of the others are those of today. While nobody can say (Redis and PostgreSQL away)
 * listeners stay, and are asked for again at the next turn. One job at a time; the lane's thread. */
#pragma once

struct gateway;
struct lane;
struct listener;
struct recheck;

struct recheck *recheck_create(struct lane *lane, struct gateway *g);
/* No job is under way any more. NULL is fine. */
void recheck_destroy(struct recheck *c);

/* It is asked for with the next job; holds it until then. */
void recheck_add(struct recheck *c, struct listener *l);
/* Begins a job, when there is somebody to ask for and none is under way. */
void recheck_run(struct recheck *c);
