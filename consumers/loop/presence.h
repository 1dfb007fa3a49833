/* presence: what a worker's state knows of an entry. Three answers, not two: what was never asked for is not absent,
 * and decide asserts that it never meets PRESENCE_UNKNOWN. */
#pragma once

enum presence {
    PRESENCE_UNKNOWN = 0, /* load has not asked PostgreSQL yet */
    PRESENCE_LOADING,     /* only inside load; back to UNKNOWN when the query fails */
    PRESENCE_ABSENT,
    PRESENCE_PRESENT,
};
