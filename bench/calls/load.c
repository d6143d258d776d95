/* HTTP/1.1 load generator in one thread, which uses less CPU than any server it measures.
 *
 *   load PORT CONNECTIONS SECONDS FILE [PAUSE]
 *
 * FILE has complete requests, each after a line with its length in bytes. Connection i sends the
 * requests i, i + CONNECTIONS, ... of them in a loop, each PAUSE ms (or at once) after the response
 * to the previous one; the first requests are spread over a PAUSE. Responses still pending after
 * SECONDS are awaited but not counted. Every response must have a Content-Length. The result is one
 * line of JSON: the number of responses, how many of them are errors (not 200, or a gift that is
 * refused for lack of gold), and the percentiles
 * of their latency in ms.
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

enum { RESPONSE_BYTES = 1 << 16, MAX_LATENCIES = 1 << 22 };

struct request {
    char *text;
    int size;
};

struct connection {
    int fd;
    int next_request;
    int received; /* bytes of the response */
    double sent_at;
    double due_at; /* when to send the next request; 0 while a response is awaited */
    char response[RESPONSE_BYTES];
};

static struct request *requests;
static struct connection *connections;
static int request_count, connection_count, epoll_fd, pending, is_over;
static long responses, errors;
static double pause_ms;
static double *latencies;

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
        requests = realloc(requests, (request_count + 1) * sizeof *requests);
        requests[request_count] = (struct request){malloc(size), size};
        if (fread(requests[request_count].text, 1, size, file) != (size_t)size) fail("fread");
        request_count++;
    }
    fclose(file);
}

static void send_request(struct connection *c) {
    struct request *r = &requests[c->next_request];
    c->next_request = (c->next_request + connection_count) % request_count;
    c->received = 0;
    c->sent_at = now_ms(), c->due_at = 0;
    pending++;
    if (write(c->fd, r->text, r->size) != r->size) fail("write");
}

static int response_complete(struct connection *c) {
    c->response[c->received] = 0;
    char *body = strstr(c->response, "\r\n\r\n");
    if (!body) return 0;
    char *length = strcasestr(c->response, "\r\nContent-Length:");
    if (!length || length > body) fprintf(stderr, "load: no Content-Length\n"), exit(1);
    return c->received >= body + 4 - c->response + atoi(length + 17);
}

static void receive(struct connection *c) {
    ssize_t n = read(c->fd, c->response + c->received, RESPONSE_BYTES - 1 - c->received);
    if (n <= 0) fail("the server closed a connection");
    c->received += n;
    if (!response_complete(c)) return;
    pending--;
    if (is_over) return;
    if (responses < MAX_LATENCIES) latencies[responses] = now_ms() - c->sent_at;
    responses++;
    if (memcmp(c->response + 9, "200", 3) || strstr(c->response, "insufficient_gold")) {
        if (!errors++) fprintf(stderr, "load: %.200s\n", c->response);
    }
    if (pause_ms) c->due_at = now_ms() + pause_ms;
    else send_request(c);
}

static void send_due_requests(void) {
    double now = now_ms();
    for (int i = 0; i < connection_count; i++) {
        struct connection *c = &connections[i];
        if (c->due_at && now >= c->due_at) send_request(c);
    }
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void receive_once(void) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, pause_ms ? 1 : 100);
    for (int i = 0; i < n; i++) receive(events[i].data.ptr);
}

static void connect_all(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    for (int i = 0; i < connection_count; i++) {
        struct connection *c = &connections[i];
        int one = 1;
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        c->next_request = i % request_count;
        if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
        if (pause_ms) c->due_at = now_ms() + pause_ms * (i + 1) / connection_count;
        else send_request(c);
    }
}

static void print_result(double ms) {
    long n = responses < MAX_LATENCIES ? responses : MAX_LATENCIES;
    qsort(latencies, n, sizeof *latencies, compare_doubles);
    printf("{\"responses\": %ld, \"errors\": %ld, \"seconds\": %.6f, \"p50\": %.3f, "
           "\"p99\": %.3f, \"max\": %.3f}\n",
           responses, errors, ms / 1e3, latencies[n / 2], latencies[(long)(n * 0.99)],
           latencies[n - 1]);
    fflush(stdout);
}

static void run_seconds(double seconds) {
    double started_at = now_ms(), now;
    while ((now = now_ms()) < started_at + seconds * 1e3) {
        receive_once();
        send_due_requests();
    }
    is_over = 1;
    while (pending) receive_once();
    print_result(now - started_at);
}

int main(int argc, char **argv) {
    if (argc != 5 && argc != 6) return 2;
    connection_count = atoi(argv[2]);
    read_requests(argv[4]);
    pause_ms = argc == 6 ? atof(argv[5]) : 0;
    connections = calloc(connection_count, sizeof *connections);
    latencies = malloc(MAX_LATENCIES * sizeof *latencies);
    epoll_fd = epoll_create1(0);
    connect_all(atoi(argv[1]));
    run_seconds(atof(argv[3]));
    return 0;
}
