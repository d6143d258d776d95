/* Upper bound of a fan-out: one send(2) per socket and nothing else. Returns how many sockets
 * accepted all of the data. */
#include <sys/socket.h>

int send_to_all(const int *sockets, int n, const char *data, int size) {
    int complete = 0;
    for (int i = 0; i < n; i++) complete += send(sockets[i], data, size, MSG_DONTWAIT) == size;
    return complete;
}
