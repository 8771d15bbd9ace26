/*
 * All load of the benchmark comes from here, so that it costs the same whatever stands between its two ends. One thread and epoll;
 * each command prints one line of JSON. Compiled by bench/load.ts.
 *
 *   load serve PORT                                answers all of the following, TCP and UDP; prints "ready", ends with its stdin
 *   load connect ADDRESS PORT MS PARALLEL          opens, sends a byte, waits for its echo, resets, again and again
 *   load latency ADDRESS PORT MS                   one byte to and fro on one connection
 *   load bulk ADDRESS PORT MS STREAMS              as much as goes
 *   load udp ADDRESS PORT MS PER_SECOND BYTES      datagrams at a fixed rate, counted by the server
 *   load hold ADDRESS PORT COUNT                   connections that stand: prints how many, and at the end of its stdin how many still answer
 *   load idle MS                                   nothing
 *
 * With -m CPU before the command the line says, as busyMs, how long that CPU was not free. /proc/stat cannot tell that: its ticks miss
 * short softirqs. A process of the lowest class (SCHED_IDLE, sched(7)) reads the clock there without pause; what it could not count
 * as its own time, others had.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ECHO = 'e', SINK = 's', MAX_FDS = 1 << 16, MAX_EVENTS = 256, BUFFER = 256 << 10 };

/* A sink answers so many bytes with one: the sender counts what arrived, and needs no half-closed connection, which some proxies lack. */
static const uint64_t SINK_STEP = 256 << 10;
static const double PATIENCE_MS = 5000; /* a connection that stands still this long has failed */
static const uint64_t PAUSE_NS = 500;   /* readings of the clock are some 30 ns apart, and the shortest interrupt takes longer */

static char buffer[BUFFER];

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* ---- the meter */

static volatile uint64_t *own_ns; /* what the process on the metered CPU had for itself so far */
static uint64_t began_ns, began_own_ns;

static void start_meter(int cpu) {
  own_ns = mmap(NULL, sizeof *own_ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (own_ns == MAP_FAILED) die("mmap");
  pid_t parent = getpid(), child = fork();
  if (child < 0) die("fork");
  if (child > 0) {
    while (*own_ns == 0) usleep(1000);
    return;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) exit(1);
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET((unsigned)cpu, &only);
  struct sched_param none = {0};
  if (sched_setaffinity(0, sizeof only, &only) || sched_setscheduler(0, SCHED_IDLE, &none)) die("the meter's CPU");
  for (uint64_t last = now_ns();;) {
    uint64_t at = now_ns();
    if (at - last < PAUSE_NS) *own_ns += at - last;
    last = at;
  }
}

static void begin(void) {
  began_own_ns = own_ns ? *own_ns : 0;
  began_ns = now_ns();
}

static double elapsed_ms(void) { return (double)(now_ns() - began_ns) / 1e6; }

/* The head of the answer; what is specific to the command follows. */
static void print_taken(void) {
  double taken = elapsed_ms();
  printf("{\"ms\":%.3f", taken);
  if (own_ns) printf(",\"busyMs\":%.3f", taken - (double)(*own_ns - began_own_ns) / 1e6);
}

/* ---- sockets */

static struct sockaddr_storage target;
static socklen_t target_length;
static int last_error;

static void resolve(const char *address, const char *port) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
  if (getaddrinfo(address, port, &hints, &found)) errno = EINVAL, die(address);
  memcpy(&target, found->ai_addr, target_length = found->ai_addrlen);
  freeaddrinfo(found);
}

static int open_tcp(bool blocking) {
  int fd = socket(target.ss_family, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0), one = 1;
  if (fd < 0) die("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (!connect(fd, (struct sockaddr *)&target, target_length) || errno == EINPROGRESS) return fd;
  if (blocking) die("connect");
  last_error = errno;
  close(fd);
  return -1;
}

static void watch(int loop, int fd, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(loop, operation, fd, &event)) die("epoll_ctl");
}

/* One byte to and fro. */
static bool echoed(int fd) {
  char byte = ECHO;
  return send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
}

/* Closed by a reset: neither end keeps it in TIME_WAIT, and a port can be had again at once. */
static void reset(int fd) {
  struct linger hard = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(fd);
}

static struct { char mode; uint64_t seen; } served[MAX_FDS];

static int listen_on(int type, const char *port) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port)), .sin6_addr = in6addr_any};
  int fd = socket(AF_INET6, type | SOCK_NONBLOCK, 0), one = 1, none = 0, large = 8 << 20;
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof none);
  if (type == SOCK_DGRAM) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) || (type == SOCK_STREAM && listen(fd, 4096))) die("listen");
  return fd;
}

/* False: the connection has ended. */
static bool serve_tcp(int fd) {
  for (;;) {
    ssize_t got = recv(fd, buffer, BUFFER, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got <= 0) return false;
    if (served[fd].mode == 0) served[fd].mode = buffer[0];
    if (served[fd].mode == ECHO) return send(fd, buffer, (size_t)got, MSG_NOSIGNAL) == got;
    uint64_t before = served[fd].seen / SINK_STEP, after = (served[fd].seen += (uint64_t)got) / SINK_STEP;
    for (; before < after; before++) send(fd, "", 1, MSG_NOSIGNAL);
  }
}

static void serve_udp(int fd) {
  static uint64_t seen;
  struct sockaddr_storage from;
  for (;;) {
    socklen_t length = sizeof from;
    ssize_t got = recvfrom(fd, buffer, BUFFER, 0, (struct sockaddr *)&from, &length);
    if (got < 0) return;
    if (got > 1) seen++; /* a single byte asks how many there were */
    else sendto(fd, &seen, sizeof seen, 0, (struct sockaddr *)&from, length), seen = 0;
  }
}

static void serve(const char *port) {
  int loop = epoll_create1(0), tcp = listen_on(SOCK_STREAM, port), udp = listen_on(SOCK_DGRAM, port), one = 1;
  struct epoll_event events[MAX_EVENTS];
  watch(loop, tcp, EPOLLIN, EPOLL_CTL_ADD);
  watch(loop, udp, EPOLLIN, EPOLL_CTL_ADD);
  watch(loop, STDIN_FILENO, EPOLLIN, EPOLL_CTL_ADD);
  puts("ready");
  fflush(stdout);
  for (;;) {
    int count = epoll_wait(loop, events, MAX_EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) return;
      if (fd == udp) serve_udp(udp);
      else if (fd != tcp) {
        if (!serve_tcp(fd)) close(fd);
      } else
        for (int new; (new = accept4(tcp, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
          if (new >= MAX_FDS) { close(new); continue; }
          setsockopt(new, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          served[new].mode = 0;
          served[new].seen = 0;
          watch(loop, new, EPOLLIN, EPOLL_CTL_ADD);
        }
    }
  }
}

struct attempt { int fd; bool asked; double since; };

static void start_attempt(int loop, struct attempt *attempt, uint64_t *failed) {
  attempt->asked = false;
  attempt->since = elapsed_ms();
  attempt->fd = open_tcp(false);
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = attempt};
  if (attempt->fd < 0) (*failed)++;
  else epoll_ctl(loop, EPOLL_CTL_ADD, attempt->fd, &event);
}

static void end_attempt(struct attempt *attempt) {
  reset(attempt->fd);
  attempt->fd = -1;
}

/* Goes one step on: 0 not at its end yet, 1 answered, -1 failed. */
static int go_on(int loop, struct attempt *attempt) {
  char byte = ECHO;
  if (attempt->asked) {
    ssize_t got = recv(attempt->fd, &byte, 1, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got == 0) errno = ECONNABORTED;
    return got == 1 && byte == ECHO ? 1 : -1;
  }
  int error = 0;
  getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
  errno = error;
  if (error || send(attempt->fd, &byte, 1, MSG_NOSIGNAL) != 1) return -1;
  attempt->asked = true;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = attempt};
  epoll_ctl(loop, EPOLL_CTL_MOD, attempt->fd, &event);
  return 0;
}

static void connect_again_and_again(double ms, int parallel) {
  int loop = epoll_create1(0), open = 0;
  uint64_t answered = 0, failed = 0;
  struct attempt *attempts = calloc((size_t)parallel, sizeof *attempts);
  struct epoll_event events[MAX_EVENTS];
  begin();
  for (int i = 0; i < parallel; i++) start_attempt(loop, &attempts[i], &failed);
  do {
    int count = epoll_wait(loop, events, MAX_EVENTS, 100);
    for (int i = 0; i < count; i++) {
      struct attempt *attempt = events[i].data.ptr;
      int end = go_on(loop, attempt);
      if (end > 0) answered++;
      if (end < 0) last_error = errno, failed++;
      if (end != 0) end_attempt(attempt);
    }
    double at = elapsed_ms();
    open = 0;
    for (int i = 0; i < parallel; i++) {
      struct attempt *attempt = &attempts[i];
      if (attempt->fd >= 0 && at - attempt->since > PATIENCE_MS)
        last_error = ETIMEDOUT, failed++, end_attempt(attempt);
      if (attempt->fd < 0 && at < ms) start_attempt(loop, attempt, &failed);
      open += attempt->fd >= 0;
    }
  } while (open > 0 || elapsed_ms() < ms);
  print_taken();
  printf(",\"answered\":%lu,\"failed\":%lu,\"error\":\"%s\"}\n", answered, failed, failed ? strerror(last_error) : "");
}

static int compare(const void *left, const void *right) { return *(const int *)left - *(const int *)right; }

static void latency(double ms) {
  enum { MOST = 1 << 20 };
  int *taken = malloc(MOST * sizeof *taken);
  size_t count = 0;
  int fd = open_tcp(true);
  for (int warm = 0; warm < 100; warm++)
    if (!echoed(fd)) die("echo");
  begin();
  while (elapsed_ms() < ms && count < MOST) {
    uint64_t since = now_ns();
    if (!echoed(fd)) die("echo");
    taken[count++] = (int)(now_ns() - since);
  }
  print_taken();
  qsort(taken, count, sizeof *taken, compare);
  printf(",\"count\":%zu,\"p50Us\":%.3f,\"p99Us\":%.3f}\n", count, taken[count / 2] / 1e3, taken[count * 99 / 100] / 1e3);
}

static void bulk(double ms, int streams) {
  int loop = epoll_create1(0);
  uint64_t arrived = 0;
  bool counting = false; /* the first tenth is not: windows open */
  struct epoll_event events[MAX_EVENTS];
  memset(buffer, SINK, sizeof buffer);
  for (int i = 0; i < streams; i++) {
    int fd = open_tcp(true);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    watch(loop, fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
  }
  begin();
  for (;;) {
    if (counting && elapsed_ms() > ms) break;
    if (!counting && elapsed_ms() > ms / 10) {
      counting = true;
      arrived = 0;
      begin();
    }
    int count = epoll_wait(loop, events, MAX_EVENTS, 10);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (events[i].events & (EPOLLERR | EPOLLHUP)) die("a stream ended");
      if (events[i].events & EPOLLIN) {
        static char steps[4096];
        ssize_t got = recv(fd, steps, sizeof steps, 0);
        if (got <= 0) die("a stream ended");
        arrived += (uint64_t)got * SINK_STEP;
      }
      if (events[i].events & EPOLLOUT) send(fd, buffer, sizeof buffer, MSG_NOSIGNAL);
    }
  }
  print_taken();
  printf(",\"bytes\":%lu}\n", arrived);
}

static void udp(double ms, double per_second, size_t bytes) {
  int fd = socket(target.ss_family, SOCK_DGRAM, 0);
  uint64_t sent = 0, counted = 0;
  if (fd < 0 || connect(fd, (struct sockaddr *)&target, target_length)) die("socket");
  struct timeval patience = {.tv_usec = 200000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (int round = 0; round < 2; round++) { /* the first only sets the server's count to nothing */
    if (round == 1) {
      begin();
      for (double at; (at = elapsed_ms()) < ms; usleep(500))
        for (; sent < at * per_second / 1000; sent++)
          if (send(fd, buffer, bytes, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED) die("send");
      print_taken();
    }
    int tries = 0;
    do {
      if (tries++ == 10) die("no count from the server");
      send(fd, buffer, 1, 0);
    } while (recv(fd, &counted, sizeof counted, 0) != sizeof counted);
  }
  printf(",\"sent\":%lu,\"arrived\":%lu}\n", sent, counted);
}

static int answering(const int *fds, int count) {
  int answered = 0;
  struct timeval patience = {.tv_sec = 5};
  for (int i = 0; i < count; i++) {
    setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    answered += echoed(fds[i]);
  }
  return answered;
}

static void hold(int count) {
  int *fds = calloc((size_t)count, sizeof *fds);
  for (int i = 0; i < count; i++) fds[i] = open_tcp(true);
  printf("{\"open\":%d}\n", answering(fds, count));
  fflush(stdout);
  while (read(STDIN_FILENO, buffer, sizeof buffer) > 0);
  printf("{\"open\":%d}\n", answering(fds, count));
  for (int i = 0; i < count; i++) reset(fds[i]);
}

int main(int argc, char **argv) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max < MAX_FDS ? files.rlim_max : MAX_FDS;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);
  if (argc > 2 && !strcmp(argv[1], "-m")) start_meter(atoi(argv[2])), argc -= 2, argv += 2;
  const char *command = argc > 1 ? argv[1] : "";
  double ms = argc > 4 ? atof(argv[4]) : 0;
  if (argc >= 4) resolve(argv[2], argv[3]);
  if (!strcmp(command, "serve") && argc == 3) serve(argv[2]);
  else if (!strcmp(command, "connect") && argc == 6) connect_again_and_again(ms, atoi(argv[5]));
  else if (!strcmp(command, "latency") && argc == 5) latency(ms);
  else if (!strcmp(command, "bulk") && argc == 6) bulk(ms, atoi(argv[5]));
  else if (!strcmp(command, "udp") && argc == 7) udp(ms, atof(argv[5]), (size_t)atoi(argv[6]));
  else if (!strcmp(command, "hold") && argc == 5) hold(atoi(argv[4]));
  else if (!strcmp(command, "idle") && argc == 3) {
    begin();
    usleep((useconds_t)(atof(argv[2]) * 1000));
    print_taken();
    puts("}");
  } else {
    fputs("load: not a command; the head of bench/load.c names them\n", stderr);
    return 2;
  }
  return 0;
}
