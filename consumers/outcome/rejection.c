#include "consumers/outcome/rejection.h"

const struct rejection rejections[] = {
#define REJECTION(number, name, status, code, title) { (number), (status), (code), (title) },
#include "consumers/outcome/rejections.def"
#undef REJECTION
};
const size_t rejections_count = sizeof rejections / sizeof *rejections;

const struct rejection *rejection_find(int number)
{
    for (size_t i = 0; i < rejections_count; i++)
        if (rejections[i].number == number)
            return &rejections[i];
    return NULL;
}
