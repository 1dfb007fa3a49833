#include "consumers/messages/streams.h"

int main(int argc, char **argv)
{
    return worker_main(&messages_definition, argc, argv);
}
