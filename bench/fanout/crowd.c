/* A crowd of WebSocket listeners in one thread, which uses less CPU than any server it measures.
 *
 *   crowd PORT CONTROL SOCKETS [-p PATH] [-t TOKENS] [-s GREETING] [-w WINDOW] [-j]
 *
 * Opens SOCKETS connections to 127.0.0.1:PORT, at most WINDOW at a time, prints a line of JSON with
 * the duration, and then reads commands from standard input, one per line:
 *
 *   quiet COUNT BYTE      COUNT events, each requested when every socket has the previous one
 *   busy COUNT RATE BYTE  COUNT events, RATE per second, whether or not any has been received
 *   quit
 *
 * An event is requested by writing one BYTE to the CONTROL port. For each, the server sends one
 * text message of 100 bytes or more to every socket; shorter ones (pings, greetings) do not count.
 * With a CONTROL of 0 the crowd only listens. TOKENS is a file with one line per socket: a token,
 * sent as Authorization, and a suffix of PATH. Each socket sends GREETING once it is open. With -j
 * a socket counts as open when its first message arrives, instead of at the upgrade; the line of
 * JSON has the number of sockets whose first message says that they resumed, and a socket that is
 * refused by a `bye` ends the crowd.
 *
 * The result of a command is one line of JSON, with the time in ms of each event from its request
 * to its receipt by the last socket (latencies_ms).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { EVENT_BYTES = 100, EPOLL_BATCH = 1024, LINE_BYTES = 512, SILENCE_MS = 50 };

static const char BYE[] = "{\"type\":\"bye\"", RESUMED[] = "{\"type\":\"resumed\"";

enum state { CONNECTING, UPGRADED, JOINED };

struct client {
    int fd;
    enum state state; /* JOINED is used with -j only */
    int matched;      /* bytes matched of the empty line that ends the HTTP response head */
    int header_size;  /* bytes received of the current frame's header */
    uint8_t header[10];
    uint64_t payload_left; /* bytes of the current payload still to be received */
    int is_event;          /* whether the current payload is an event */
    uint32_t events;       /* events received by this command */
    char start[sizeof RESUMED - 1]; /* of the first message, with -j only */
    uint8_t start_size;
};

static struct client *clients;
static int client_count, epoll_fd, control_fd, open_count, resumed_count, wait_for_join;
static char event_byte;
static const char *path = "/", *greeting;
static char **tokens, **path_suffixes;

/* By event: number of sockets that have it; times of its request and last receipt. */
static uint32_t event_count, completed, *receipts;
static double *requested_at, *last_at;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void write_all(int fd, const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t n = write(fd, at, size);
        if (n < 0) fail("write");
        at += n, size -= n;
    }
}

static void start_handshake(int i, int port) {
    char request[2048];
    struct client *c = &clients[i];
    c->fd = connect_to(port);
    int size = snprintf(request, sizeof request,
                        "GET %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s\r\n",
                        path, tokens ? path_suffixes[i] : "", port,
                        tokens ? "Authorization: QLiveToken " : "", tokens ? tokens[i] : "",
                        tokens ? "\r\n" : "");
    write_all(c->fd, request, size);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
}

/* Sends a masked text frame; a mask of zeros leaves the payload unchanged. */
static void send_greeting(struct client *c) {
    uint8_t frame[6 + 125] = {0x81};
    size_t size = strlen(greeting);
    frame[1] = 0x80 | size;
    memcpy(frame + 6, greeting, size);
    write_all(c->fd, frame, 6 + size);
}

static void count_event(struct client *c, double now) {
    uint32_t n = c->events++;
    if (n >= event_count) return;
    if (++receipts[n] == (uint32_t)client_count) last_at[n] = now, completed++;
}

/* Skips the head of the upgrade response; returns how many bytes of `data` belong to it. */
static size_t skip_response_head(struct client *c, const char *data, size_t size) {
    static const char end[] = "\r\n\r\n";
    for (size_t at = 0; at < size; at++) {
        c->matched = data[at] == end[c->matched] ? c->matched + 1 : data[at] == '\r';
        if (c->matched < 4) continue;
        c->state = UPGRADED, open_count += !wait_for_join;
        if (greeting) send_greeting(c);
        return at + 1;
    }
    return size;
}

/* Takes the next bytes of a client's first message; once its type is known, the client has joined. */
static void read_first_message(struct client *c, const char *data, size_t size) {
    while (size-- && c->start_size < sizeof c->start) c->start[c->start_size++] = *data++;
    if (c->start_size < sizeof c->start) return;
    if (!memcmp(c->start, BYE, sizeof BYE - 1)) {
        fprintf(stderr, "crowd: the server refused socket %td\n", c - clients);
        exit(1);
    }
    c->state = JOINED, open_count++;
    resumed_count += !memcmp(c->start, RESUMED, sizeof c->start);
}

/* Size of the current frame's header: 2 until the bytes that extend it have been received. */
static int required_header_size(const struct client *c) {
    if (c->header_size < 2) return 2;
    return (c->header[1] & 127) == 126 ? 4 : (c->header[1] & 127) == 127 ? 10 : 2;
}

static void parse(struct client *c, const char *data, size_t size, double now) {
    size_t at = c->state == CONNECTING ? skip_response_head(c, data, size) : 0;
    while (at < size) {
        if (c->payload_left) {
            uint64_t step = c->payload_left < size - at ? c->payload_left : size - at;
            if (wait_for_join && c->state == UPGRADED) read_first_message(c, data + at, step);
            at += step, c->payload_left -= step;
            if (!c->payload_left && c->is_event) count_event(c, now);
            continue;
        }
        c->header[c->header_size++] = data[at++];
        int required = required_header_size(c);
        if (c->header_size < required) continue;
        c->payload_left = c->header[1] & 127;
        if (required > 2) c->payload_left = 0;
        for (int i = 2; i < required; i++) c->payload_left = c->payload_left << 8 | c->header[i];
        c->header_size = 0;
        c->is_event = c->payload_left >= EVENT_BYTES && (c->header[0] & 15) < 8;
    }
}

static void receive_for(int timeout_ms) {
    static char data[1 << 18];
    static struct epoll_event events[EPOLL_BATCH];
    int n = epoll_wait(epoll_fd, events, EPOLL_BATCH, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct client *c = &clients[events[i].data.u32];
        ssize_t size = read(c->fd, data, sizeof data);
        if (size > 0) {
            parse(c, data, size, now_ms());
        } else if (size == 0 || errno != EAGAIN) {
            fprintf(stderr, "crowd: the server closed socket %u\n", events[i].data.u32);
            exit(1);
        }
    }
}

/* The times of all events, in the order of their requests. */
static void print_latencies(void) {
    printf(", \"latencies_ms\": [");
    for (uint32_t i = 0; i < event_count; i++)
        printf("%s%.3f", i ? ", " : "", last_at[i] - requested_at[i]);
    printf("]");
}

static void print_result(double started_at, double cpu_before) {
    double ended_at = 0;
    for (uint32_t i = 0; i < event_count; i++) {
        if (last_at[i] > ended_at) ended_at = last_at[i];
    }
    printf("{\"seconds\": %.6f, \"deliveries\": %llu, \"crowd_cpu\": %.6f",
           (ended_at - started_at) / 1e3, (unsigned long long)event_count * client_count,
           (cpu_ms() - cpu_before) / 1e3);
    print_latencies();
    printf("}\n");
    fflush(stdout);
}

static void reset(uint32_t events) {
    for (;;) { /* discard what is still in flight: it belongs to no command */
        static struct epoll_event any;
        if (!epoll_wait(epoll_fd, &any, 1, SILENCE_MS)) break;
        receive_for(0);
    }
    for (int i = 0; i < client_count; i++) clients[i].events = 0;
    event_count = events, completed = 0;
    receipts = realloc(receipts, event_count * sizeof *receipts);
    requested_at = realloc(requested_at, event_count * sizeof *requested_at);
    last_at = realloc(last_at, event_count * sizeof *last_at);
    memset(receipts, 0, event_count * sizeof *receipts);
}

static void run_quiet(uint32_t events) {
    reset(events);
    double started_at = now_ms(), cpu_before = cpu_ms();
    for (uint32_t n = 0; n < events; n++) {
        requested_at[n] = now_ms();
        write_all(control_fd, &event_byte, 1);
        while (completed <= n) receive_for(10000);
    }
    print_result(started_at, cpu_before);
}

static void run_busy(uint32_t events, double rate) {
    reset(events);
    double started_at = now_ms(), cpu_before = cpu_ms();
    uint32_t requested = 0;
    while (completed < events) {
        double now = now_ms();
        while (requested < events && now >= started_at + requested * 1e3 / rate) {
            requested_at[requested++] = now;
            write_all(control_fd, &event_byte, 1);
        }
        receive_for(requested < events ? 1 : 10000);
    }
    print_result(started_at, cpu_before);
}

static void read_tokens(const char *name) {
    FILE *file = fopen(name, "r");
    char line[LINE_BYTES];
    if (!file) fail(name);
    tokens = calloc(client_count, sizeof *tokens);
    path_suffixes = calloc(client_count, sizeof *path_suffixes);
    for (int i = 0; i < client_count; i++) {
        if (!fgets(line, sizeof line, file)) fail("too few tokens");
        line[strcspn(line, "\r\n")] = 0;
        char *space = strchr(line, ' ');
        if (space) *space = 0;
        tokens[i] = strdup(line);
        path_suffixes[i] = strdup(space ? space + 1 : "");
    }
    fclose(file);
}

static void run_commands(void) {
    char line[LINE_BYTES];
    uint32_t events;
    double rate;
    for (;;) {
        struct pollfd input = {.fd = 0, .events = POLLIN};
        receive_for(0);
        if (!poll(&input, 1, 100)) continue;
        if (!fgets(line, sizeof line, stdin) || !strncmp(line, "quit", 4)) return;
        if (sscanf(line, "busy %u %lf %c", &events, &rate, &event_byte) == 3)
            run_busy(events, rate);
        else if (sscanf(line, "quiet %u %c", &events, &event_byte) == 2)
            run_quiet(events);
    }
}

int main(int argc, char **argv) {
    int option, window = 32;
    const char *token_file = NULL;
    while ((option = getopt(argc, argv, "p:t:s:w:j")) > 0) {
        if (option == 'p') path = optarg;
        else if (option == 't') token_file = optarg;
        else if (option == 's') greeting = optarg;
        else if (option == 'w') window = atoi(optarg);
        else if (option == 'j') wait_for_join = 1;
        else return 2;
    }
    if (argc - optind != 3) return 2;
    int port = atoi(argv[optind]), control_port = atoi(argv[optind + 1]);
    client_count = atoi(argv[optind + 2]);
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (token_file) read_tokens(token_file);
    clients = calloc(client_count, sizeof *clients);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    setvbuf(stdin, NULL, _IONBF, 0);
    double started_at = now_ms();
    for (int i = 0; i < client_count;) {
        while (i < client_count && i - open_count < window) start_handshake(i++, port);
        receive_for(open_count < client_count ? 10 : 0);
    }
    while (open_count < client_count) receive_for(10000);
    printf("{\"sockets\": %d, \"resumed\": %d, \"seconds\": %.6f}\n", client_count, resumed_count,
           (now_ms() - started_at) / 1e3);
    fflush(stdout);
    if (control_port) control_fd = connect_to(control_port);
    run_commands();
    return 0;
}
