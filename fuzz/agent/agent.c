/*
 * The hands of the fuzzer inside its network namespaces: it makes them, runs commands in them, and sends one packet at a time, by a
 * socket of a host or onto a link from its far end.
 *
 * Who asks opens two pipes of ours by their numbers, which stdout tells, and may wait for an answer without doing anything else. A
 * request is its length, a number of 32 bits, and as many bytes: words, each ended by a NUL. An answer is its length and text, which
 * begins with a space: JSON, but of commands their outputs, as words are written. What goes wrong in here is an answer that begins with
 * an exclamation mark, and the end.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WORDS = 8192, MOST_COMMANDS = 512, MOST_ARGUMENTS = 64 };

struct space spaces[MOST_SPACES];
int space_count;
static struct space *current;
static cpu_set_t everywhere;

/* ---- requests and answers */

static int requests[2], answers[2];

void fail(const char *format, ...) {
  char told[4 + 1024];
  va_list list;
  va_start(list, format);
  const int length = vsnprintf(told + 5, sizeof told - 5, format, list);
  va_end(list);
  const uint32_t whole = 1 + (length < 0 ? 0 : length < 1000 ? (uint32_t)length : 1000);
  memcpy(told, &whole, sizeof whole);
  told[4] = '!';
  _exit(write(answers[1], told, sizeof whole + whole) < 0 ? 2 : 1);
}

static struct {
  char *bytes;
  size_t length, room;
} said;

static void make_room(size_t length) {
  if (said.length + length <= said.room) return;
  said.room = said.room * 2 + length;
  said.bytes = realloc(said.bytes, said.room);
  if (said.bytes == NULL) fail("no memory");
}

void say_bytes(const void *bytes, size_t length) {
  make_room(length);
  memcpy(said.bytes + said.length, bytes, length);
  said.length += length;
}

void say(const char *format, ...) {
  va_list list;
  make_room(1024);
  va_start(list, format);
  const int length = vsnprintf(said.bytes + said.length, 1024, format, list);
  va_end(list);
  if (length < 0 || length >= 1024) fail("too long: %s", format);
  said.length += (size_t)length;
}

static void read_whole(int fd, void *bytes, size_t length) {
  for (char *at = bytes; length > 0;) {
    const ssize_t got = read(fd, at, length);
    if (got == 0) exit(0);
    if (got < 0) fail("read: %s", strerror(errno));
    at += got;
    length -= (size_t)got;
  }
}

static void write_whole(int fd, const void *bytes, size_t length) {
  for (const char *at = bytes; length > 0;) {
    const ssize_t put = write(fd, at, length);
    if (put < 0) fail("write: %s", strerror(errno));
    at += put;
    length -= (size_t)put;
  }
}

void *add(struct list *list, size_t size) {
  if (list->count == list->room) {
    list->room = list->room * 2 + 64;
    list->records = realloc(list->records, list->room * size);
    if (list->records == NULL) fail("no memory");
  }
  void *record = (char *)list->records + list->count++ * size;
  memset(record, 0, size);
  return record;
}

/* ---- namespaces */

struct space *space_named(const char *name) {
  for (int at = 0; at < space_count; at++)
    if (strcmp(spaces[at].name, name) == 0) return &spaces[at];
  fail("no host %s", name);
}

void enter(struct space *space) {
  if (current == space) return;
  if (setns(space->fd, CLONE_NEWNET) != 0) fail("setns: %s", strerror(errno));
  current = space;
}

static void make_space(const char *name) {
  if (space_count == MOST_SPACES) fail("too many hosts");
  struct space *space = &spaces[space_count++];
  strncpy(space->name, name, sizeof space->name - 1);
  if (unshare(CLONE_NEWNET) != 0) fail("unshare: %s", strerror(errno));
  space->fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  current = space;
}

static void build(int count, char *const *names) {
  make_space("outside");
  for (int at = 0; at < count; at++) make_space(names[at]);
  for (int at = 0; at < space_count; at++)
    say("%s\"%s\":\"/proc/%d/fd/%d\"", at == 0 ? "{" : ",", spaces[at].name, getpid(), spaces[at].fd);
  say("}");
}

static void write_setting(const char *path, const char *value) {
  char whole[256];
  snprintf(whole, sizeof whole, "/proc/sys/%s", path);
  const int fd = open(whole, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) fail("%s: %s", path, strerror(errno));
  close(fd);
}

/*
 * What a link sends has its checksum made at once. NAT takes a packet around one that is still without for such a one itself, and spoils
 * its checksum (udp_manip_pkt), which matters or not by the devices on its way.
 */
static void sum_at_once(struct space *space, const char *link) {
  struct ethtool_value off = {.cmd = ETHTOOL_STXCSUM};
  struct ifreq asked = {.ifr_data = (void *)&off};
  strncpy(asked.ifr_name, link, IFNAMSIZ - 1);
  enter(space);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCETHTOOL, &asked) != 0) fail("checksums of %s: %s", link, strerror(errno));
  close(fd);
}

/* ---- commands */

struct command {
  pid_t pid;
  int in, out, err;
};

static int new_file(void) {
  const int fd = memfd_create("output", MFD_CLOEXEC);
  if (fd < 0) fail("memfd: %s", strerror(errno));
  return fd;
}

static void start(struct command *command, struct space *space, char *const *argv, const char *input) {
  *command = (struct command){.in = new_file(), .out = new_file(), .err = new_file()};
  write_whole(command->in, input, strlen(input));
  lseek(command->in, 0, SEEK_SET);
  enter(space);
  command->pid = vfork();
  if (command->pid < 0) fail("vfork: %s", strerror(errno));
  if (command->pid > 0) return;
  dup2(command->in, 0);
  dup2(command->out, 1);
  dup2(command->err, 2);
  sched_setaffinity(0, sizeof everywhere, &everywhere);
  execvp(argv[0], argv);
  _exit(127);
}

static void say_file(int fd) {
  struct stat about;
  if (fstat(fd, &about) != 0) fail("fstat: %s", strerror(errno));
  const size_t length = (size_t)about.st_size;
  make_room(length + 1);
  lseek(fd, 0, SEEK_SET);
  read_whole(fd, said.bytes + said.length, length);
  said.length += length;
  say_bytes("", 1);
  close(fd);
}

/* SPACE INPUT COUNT ARGUMENT... of each; all are started at once. Says STDOUT STDERR STATUS of each, in order. */
static void run_all(int count, char **words) {
  static struct command commands[MOST_COMMANDS];
  int started = 0;
  for (int at = 0; at + 2 < count; started++) {
    char *argv[MOST_ARGUMENTS + 1] = {0};
    const int length = atoi(words[at + 2]);
    if (started == MOST_COMMANDS || length > MOST_ARGUMENTS || at + 3 + length > count) fail("too many commands");
    memcpy(argv, words + at + 3, (size_t)length * sizeof *argv);
    start(&commands[started], space_named(words[at]), argv, words[at + 1]);
    at += 3 + length;
  }
  for (int at = 0; at < started; at++) {
    int status;
    if (waitpid(commands[at].pid, &status, 0) < 0) fail("waitpid: %s", strerror(errno));
    close(commands[at].in);
    say_file(commands[at].out);
    say_file(commands[at].err);
    say("%d", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    say_bytes("", 1);
  }
}

/* ---- packets */

static void close_all(void) {
  for (int at = OUTSIDE + 1; at < space_count; at++) close_kept(&spaces[at]);
  each_begun(end_begun);
}

static void forget_all(void) {
  for (int at = OUTSIDE + 1; at < space_count; at++) forget(&spaces[at]);
}

/* What a packet of that size holds: the text, and more behind it. */
static const char *padded(const char *text, const char *destination, size_t size) {
  static char whole[MOST_BYTES];
  const size_t heads = (strchr(destination, ':') == NULL ? 20 : 40) + 8, length = strlen(text);
  if (size == 0) return text;
  if (size > MOST_BYTES || size < heads + length) fail("a packet of %zu bytes", size);
  memset(whole, 'x', size - heads);
  memcpy(whole, text, length);
  whole[size - heads] = 0;
  return whole;
}

/* BEFORE KIND PLACE PROTOCOL SOURCE SPORT DESTINATION DPORT PAYLOAD FLAGS SEQ ACK ANSWERS SIZE DF */
static void send_one(int count, char *const *words) {
  if (count != 15) fail("send: %d words", count);
  /* `close`: the sockets of the last flow; `forget`: and all that is tracked. */
  const char *before = *words++;
  if (before[0] != 0) close_all();
  if (strcmp(before, "forget") == 0) forget_all();
  const struct made made = {
      .protocol = atoi(words[2]),
      .source = words[3],
      .source_port = atoi(words[4]),
      .destination = words[5],
      .destination_port = atoi(words[6]),
      .payload = padded(words[7], words[5], strtoul(words[12], NULL, 10)),
      .flags = atoi(words[8]),
      .seq = (uint32_t)strtoul(words[9], NULL, 10),
      .ack = (uint32_t)strtoul(words[10], NULL, 10),
      .answers = atoi(words[11]) != 0,
      .size = strtoul(words[12], NULL, 10),
      .df = atoi(words[13]) != 0,
  };
  if (strlen(made.payload) > MOST_BYTES) fail("too long: %s", made.payload);
  begin_sight();
  const int why = strcmp(words[0], "inject") == 0 ? inject(words[1], &made)
                  : strcmp(words[0], "ask") == 0  ? ask(space_named(words[1]), &made)
                                                  : answer(space_named(words[1]), &made);
  say("{");
  say_sight();
  if (why != 0) say(",\"error\":\"%s\"", strerrorname_np(why));
  say("}");
}

static void take(int count, char **words) {
  const char *what = words[0];
  char **rest = words + 1;
  count--;
  if (strcmp(what, "build") == 0) build(count, rest);
  else if (strcmp(what, "run") == 0) run_all(count, rest);
  else if (strcmp(what, "settings") == 0)
    for (int at = 0; at + 2 < count; at += 3) {
      enter(space_named(rest[at]));
      write_setting(rest[at + 1], rest[at + 2]);
    }
  else if (strcmp(what, "sums") == 0)
    for (int at = 0; at + 1 < count; at += 2) sum_at_once(space_named(rest[at]), rest[at + 1]);
  else if (strcmp(what, "watch") == 0)
    for (int at = 0; at < space_count; at++) {
      watch(&spaces[at]);
      if (at != OUTSIDE) listen_on(&spaces[at], count, rest);
    }
  else if (strcmp(what, "send") == 0) send_one(count, rest);
  else fail("not known: %s", what);
}

/* What is sent and what it leads to stays on one processor: sight.c says why. */
static void stay(void) {
  cpu_set_t here;
  if (sched_getaffinity(0, sizeof everywhere, &everywhere) != 0) fail("sched_getaffinity: %s", strerror(errno));
  CPU_ZERO(&here);
  CPU_SET(sched_getcpu(), &here);
  if (sched_setaffinity(0, sizeof here, &here) != 0) fail("sched_setaffinity: %s", strerror(errno));
}

int main(void) {
  static char *words[MOST_WORDS];
  char *request = NULL;
  stay();
  if (pipe2(requests, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0) fail("pipe: %s", strerror(errno));
  printf("%d %d\n", requests[1], answers[0]);
  fflush(stdout);
  for (bool first = true;; first = false) {
    uint32_t length;
    read_whole(requests[0], &length, sizeof length);
    if (first) {
      /* Whoever asks has opened them by now; that they end with it we see by the end of the others alone. */
      close(requests[1]);
      close(answers[0]);
    }
    request = realloc(request, length + 1u);
    if (request == NULL) fail("no memory");
    read_whole(requests[0], request, length);
    request[length] = 0;
    int count = 0;
    for (char *at = request; at < request + length; at += strlen(at) + 1) {
      if (count == MOST_WORDS) fail("too many words");
      words[count++] = at;
    }
    said.length = 0;
    say_bytes("\0\0\0\0 ", sizeof(uint32_t) + 1);
    if (count > 0) take(count, words);
    const uint32_t answered = (uint32_t)(said.length - sizeof(uint32_t));
    memcpy(said.bytes, &answered, sizeof answered);
    write_whole(answers[1], said.bytes, said.length);
  }
}
