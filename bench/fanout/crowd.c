/* A crowd of WebSocket listeners in one thread, cheaper than any server it listens to.
 *
 *   crowd PORT CONTROL PEOPLE [-p PATH] [-t TOKENS] [-s SAY] [-w WINDOW] [-j]
 *
 * Opens PEOPLE sockets to 127.0.0.1:PORT, at most WINDOW at a time, then says how long that took
 * and takes commands on its standard input, one a line:
 *
 *   quiet COUNT BYTE      so many events, each when the last one has reached everybody
 *   busy COUNT RATE BYTE  so many events, RATE a second, whether or not anything arrives
 *   quit
 *
 * An event is one BYTE written to the CONTROL port, for which the server sends one text message of
 * 100 bytes or more to everybody; shorter messages (pings, greetings) are not counted. TOKENS is a
 * file with a line for each socket: a token, sent as Authorization, and what is added to PATH; SAY is sent by each once it is open.
 * With -j a socket is open once it has heard its first message, not with the upgrade.
 * Each command is answered by one line of JSON, with the time in ms that each event took from the
 * byte to the last member (waits), and from the first member to the last (spreads).
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

enum { EVENT_BYTES = 100, BATCH = 1024, LINE = 512, SILENCE_MS = 50 };

struct member {
    int fd;
    int opened;      /* the upgrade was answered */
    int matched;     /* bytes of the empty line that ends the answer's head */
    int header_size; /* bytes of a frame's header that have come */
    uint8_t header[10];
    uint64_t left; /* bytes of the payload that are still to come */
    int counts;    /* whether this payload is an event */
    uint32_t heard;
};

static struct member *members;
static int people, poller, control, opened, joins;
static char byte;
static const char *path = "/", *greeting;
static char **tokens, **endings;

/* By event: when it was asked for, how many have it, when the first and the last one had it. */
static uint32_t total, done, *reached;
static double *asked_at, *first_at, *last_at;

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

static int reach(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void put(int fd, const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t n = write(fd, at, size);
        if (n < 0) fail("write");
        at += n, size -= n;
    }
}

static void knock(int i, int port) {
    char text[2048];
    struct member *m = &members[i];
    m->fd = reach(port);
    int size = snprintf(text, sizeof text,
                        "GET %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s\r\n",
                        path, tokens ? endings[i] : "", port, tokens ? "Authorization: QLiveToken " : "",
                        tokens ? tokens[i] : "", tokens ? "\r\n" : "");
    put(m->fd, text, size);
    fcntl(m->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, m->fd, &event)) fail("epoll_ctl");
}

/* A masked text frame; the mask is zero, which changes nothing. */
static void greet(struct member *m) {
    uint8_t frame[6 + 125] = {0x81};
    size_t size = strlen(greeting);
    frame[1] = 0x80 | size;
    memcpy(frame + 6, greeting, size);
    put(m->fd, frame, 6 + size);
}

static void count(struct member *m, double now) {
    uint32_t n = m->heard++;
    if (n >= total) return;
    if (!reached[n]++) first_at[n] = now;
    if (reached[n] == (uint32_t)people) last_at[n] = now, done++;
}

/* The head of the answer to the upgrade; how many bytes belong to it. */
static size_t skip_head(struct member *m, const char *data, size_t size) {
    static const char end[] = "\r\n\r\n";
    for (size_t at = 0; at < size; at++) {
        m->matched = data[at] == end[m->matched] ? m->matched + 1 : data[at] == '\r';
        if (m->matched < 4) continue;
        m->opened = 1, opened += !joins;
        if (greeting) greet(m);
        return at + 1;
    }
    return size;
}

static int header_needs(const struct member *m) {
    if (m->header_size < 2) return 2;
    return (m->header[1] & 127) == 126 ? 4 : (m->header[1] & 127) == 127 ? 10 : 2;
}

static void hear(struct member *m, const char *data, size_t size, double now) {
    size_t at = m->opened ? 0 : skip_head(m, data, size);
    while (at < size) {
        if (m->left) {
            uint64_t step = m->left < size - at ? m->left : size - at;
            at += step, m->left -= step;
            if (!m->left && m->counts) count(m, now);
            continue;
        }
        m->header[m->header_size++] = data[at++];
        int needs = header_needs(m);
        if (m->header_size < needs) continue;
        m->left = m->header[1] & 127;
        if (needs > 2) m->left = 0;
        for (int i = 2; i < needs; i++) m->left = m->left << 8 | m->header[i];
        m->header_size = 0;
        if (joins && m->opened == 1) m->opened = 2, opened++;
        m->counts = m->left >= EVENT_BYTES && (m->header[0] & 15) < 8;
    }
}

static void listen_for(int wait_ms) {
    static char data[1 << 18];
    static struct epoll_event events[BATCH];
    int n = epoll_wait(poller, events, BATCH, wait_ms);
    for (int i = 0; i < n; i++) {
        struct member *m = &members[events[i].data.u32];
        ssize_t size = read(m->fd, data, sizeof data);
        if (size > 0) {
            hear(m, data, size, now_ms());
        } else if (size == 0 || errno != EAGAIN) {
            fprintf(stderr, "crowd: member %u was sent away\n", events[i].data.u32);
            exit(1);
        }
    }
}

/* All of them, in the order in which they were asked for. */
static void tell_all(const char *name, const double *from) {
    printf(", \"%s\": [", name);
    for (uint32_t i = 0; i < total; i++) printf("%s%.3f", i ? ", " : "", last_at[i] - from[i]);
    printf("]");
}

static void tell_figures(double began, double used) {
    double ended = 0;
    for (uint32_t i = 0; i < total; i++) {
        if (last_at[i] > ended) ended = last_at[i];
    }
    printf("{\"seconds\": %.6f, \"deliveries\": %llu, \"crowd_cpu\": %.6f", (ended - began) / 1e3,
           (unsigned long long)total * people, (cpu_ms() - used) / 1e3);
    tell_all("waits", asked_at);
    tell_all("spreads", first_at);
    printf("}\n");
    fflush(stdout);
}

static void start(uint32_t events) {
    for (;;) { /* whatever is still on its way belongs to nobody's figures */
        static struct epoll_event any;
        if (!epoll_wait(poller, &any, 1, SILENCE_MS)) break;
        listen_for(0);
    }
    for (int i = 0; i < people; i++) members[i].heard = 0;
    total = events, done = 0;
    reached = realloc(reached, total * sizeof *reached);
    asked_at = realloc(asked_at, total * sizeof *asked_at);
    first_at = realloc(first_at, total * sizeof *first_at);
    last_at = realloc(last_at, total * sizeof *last_at);
    memset(reached, 0, total * sizeof *reached);
}

static void quiet(uint32_t events) {
    start(events);
    double began = now_ms(), used = cpu_ms();
    for (uint32_t n = 0; n < events; n++) {
        asked_at[n] = now_ms();
        put(control, &byte, 1);
        while (done <= n) listen_for(10000);
    }
    tell_figures(began, used);
}

static void busy(uint32_t events, double rate) {
    start(events);
    double began = now_ms(), used = cpu_ms();
    uint32_t asked = 0;
    while (done < events) {
        double now = now_ms();
        while (asked < events && now >= began + asked * 1e3 / rate) {
            asked_at[asked++] = now;
            put(control, &byte, 1);
        }
        listen_for(asked < events ? 1 : 10000);
    }
    tell_figures(began, used);
}

static void read_tokens(const char *name) {
    FILE *file = fopen(name, "r");
    char line[LINE];
    if (!file) fail(name);
    tokens = calloc(people, sizeof *tokens);
    endings = calloc(people, sizeof *endings);
    for (int i = 0; i < people; i++) {
        if (!fgets(line, sizeof line, file)) fail("too few tokens");
        line[strcspn(line, "\r\n")] = 0;
        char *space = strchr(line, ' ');
        if (space) *space = 0;
        tokens[i] = strdup(line);
        endings[i] = strdup(space ? space + 1 : "");
    }
    fclose(file);
}

static void take_commands(void) {
    char line[LINE];
    uint32_t events;
    double rate;
    for (;;) {
        struct pollfd input = {.fd = 0, .events = POLLIN};
        listen_for(0);
        if (!poll(&input, 1, 100)) continue;
        if (!fgets(line, sizeof line, stdin) || !strncmp(line, "quit", 4)) return;
        if (sscanf(line, "busy %u %lf %c", &events, &rate, &byte) == 3) busy(events, rate);
        else if (sscanf(line, "quiet %u %c", &events, &byte) == 2) quiet(events);
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
        else if (option == 'j') joins = 1;
        else return 2;
    }
    if (argc - optind != 3) return 2;
    int port = atoi(argv[optind]), control_port = atoi(argv[optind + 1]);
    people = atoi(argv[optind + 2]);
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (token_file) read_tokens(token_file);
    members = calloc(people, sizeof *members);
    poller = epoll_create1(EPOLL_CLOEXEC);
    setvbuf(stdin, NULL, _IONBF, 0);
    double began = now_ms();
    for (int i = 0; i < people;) {
        while (i < people && i - opened < window) knock(i++, port);
        listen_for(opened < people ? 10 : 0);
    }
    while (opened < people) listen_for(10000);
    printf("{\"people\": %d, \"seconds\": %.6f}\n", people, (now_ms() - began) / 1e3);
    fflush(stdout);
    if (control_port) control = reach(control_port);
    take_commands();
    return 0;
}
