/* Callers who each wait for their answer and ask again: HTTP/1.1 in one thread, cheaper than any
 * server that it asks.
 *
 *   load PORT CONNECTIONS SECONDS FILE
 *
 * FILE has whole requests, each after a line with its length in bytes; connection i sends the
 * requests i, i + CONNECTIONS, ... of them, again and again, and waits for its last answer, which
 * is not counted. Answers need a Content-Length. One
 * line of JSON says how many were answered, how many not with 200, and how long they took in ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER = 1 << 16, MOST = 1 << 22 };

struct request {
    char *text;
    int size;
};

struct caller {
    int fd, next, size;
    double asked_at;
    char answer[ANSWER];
};

static struct request *requests;
static struct caller *callers;
static int count, connections, poller, waiting, over;
static long answered, refused;
static double *took;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void read_requests(const char *name) {
    FILE *file = fopen(name, "rb");
    int size;
    if (!file) fail(name);
    while (fscanf(file, "%d", &size) == 1 && fgetc(file) == '\n') {
        requests = realloc(requests, (count + 1) * sizeof *requests);
        requests[count] = (struct request){malloc(size), size};
        if (fread(requests[count].text, 1, size, file) != (size_t)size) fail("fread");
        count++;
    }
    fclose(file);
}

static void ask(struct caller *c) {
    struct request *r = &requests[c->next];
    c->next = (c->next + connections) % count;
    c->size = 0;
    c->asked_at = now_ms();
    waiting++;
    if (write(c->fd, r->text, r->size) != r->size) fail("write");
}

/* Whether the answer is whole. */
static int whole(struct caller *c) {
    c->answer[c->size] = 0;
    char *body = strstr(c->answer, "\r\n\r\n");
    if (!body) return 0;
    char *length = strcasestr(c->answer, "\r\nContent-Length:");
    if (!length || length > body) fprintf(stderr, "load: no Content-Length\n"), exit(1);
    return c->size >= body + 4 - c->answer + atoi(length + 17);
}

static void hear(struct caller *c) {
    ssize_t n = read(c->fd, c->answer + c->size, ANSWER - 1 - c->size);
    if (n <= 0) fail("the server hung up");
    c->size += n;
    if (!whole(c)) return;
    waiting--;
    if (over) return;
    if (answered < MOST) took[answered] = now_ms() - c->asked_at;
    answered++;
    if (memcmp(c->answer + 9, "200", 3)) {
        if (!refused++) fprintf(stderr, "load: %.200s\n", c->answer);
    }
    ask(c);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void listen_once(void) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, 100);
    for (int i = 0; i < n; i++) hear(events[i].data.ptr);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int port = atoi(argv[1]);
    connections = atoi(argv[2]);
    double seconds = atof(argv[3]);
    read_requests(argv[4]);
    callers = calloc(connections, sizeof *callers);
    took = malloc(MOST * sizeof *took);
    poller = epoll_create1(0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    for (int i = 0; i < connections; i++) {
        struct caller *c = &callers[i];
        int one = 1;
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        c->next = i % count;
        if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
        ask(c);
    }
    double began = now_ms(), now;
    while ((now = now_ms()) < began + seconds * 1e3) listen_once();
    over = 1;
    while (waiting) listen_once();
    long kept = answered < MOST ? answered : MOST;
    qsort(took, kept, sizeof *took, by_size);
    printf("{\"answered\": %ld, \"refused\": %ld, \"seconds\": %.6f, \"p50\": %.3f, \"p99\": %.3f, "
           "\"max\": %.3f}\n",
           answered, refused, (now - began) / 1e3, took[kept / 2], took[(long)(kept * 0.99)],
           took[kept - 1]);
    return 0;
}
