/* The limit: one send(2) a socket, nothing else. Answers how many sockets took all of it. */
#include <sys/socket.h>

int send_to_all(const int *sockets, int n, const char *data, int size) {
    int whole = 0;
    for (int i = 0; i < n; i++) whole += send(sockets[i], data, size, MSG_DONTWAIT) == size;
    return whole;
}
