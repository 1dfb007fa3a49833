#include "consumers/users/streams.h"

int main(int argc, char **argv)
{
    return worker_main(&users_definition, argc, argv);
}
