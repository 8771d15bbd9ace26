/* The hands of the fuzzer inside its network namespaces: what agent.c is told on stdin the other files do. */
#ifndef AGENT_H
#define AGENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_SPACES = 16, MOST_SOCKETS = 8, MOST_PORTS = 16, MOST_KEPT = 64, MOST_LINKS = 64 };
/* The first namespace: beyond every outside link. No host of the model. */
enum { OUTSIDE = 0 };

/* A socket that asks or answers, until the flow is over. */
struct kept {
  int fd;
  bool stream;
  struct sockaddr_in6 near, far;
  int protocol;
};

struct watched {
  enum { TAP, TRACE, RAW4, RAW6 } kind;
  int fd, protocol;
};

struct space {
  char name[32];
  int fd;
  int watched_count;
  struct watched watched[MOST_SOCKETS];
  int kept_count;
  struct kept kept[MOST_KEPT];
  int flush; /* a netlink socket to conntrack */
  int port_count, ports[MOST_PORTS], listening[MOST_PORTS];
  char links[MOST_LINKS][16]; /* by index */
};

extern struct space spaces[MOST_SPACES];
extern int space_count;

/* A list that grows, of whichever records. */
struct list {
  void *records;
  size_t count, room;
};

#define ADD(list, type) ((type *)add(&(list), sizeof(type)))
#define EACH(type, each, list) \
  for (type *each = (list).records, *last_##each = each + (list).count; each != NULL && each < last_##each; each++)

/* agent.c */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct space *space_named(const char *name);
void enter(struct space *space);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_bytes(const void *bytes, size_t length);
void *add(struct list *list, size_t size);

/* packets.c */
enum leg { NO_LEG, REQUEST, REPLY, NEXT, RESET };
struct seen {
  char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
  int protocol, source_port, destination_port;
  uint32_t seq;
  enum leg leg;
  bool carries; /* a VXLAN's packet: its leg is that of the one within */
};
struct made {
  const char *source, *destination, *payload;
  int protocol, source_port, destination_port;
  uint32_t seq, ack;
  int flags;
  bool answers;
  size_t size; /* of the IP packet; 0: whatever the payload makes */
  bool df;
};
enum { MOST_BYTES = 1500 };
enum { SYN = 2, RST = 4, ACK = 16 };
extern const char *const LEG_NAMES[];
size_t make_frame(const struct made *made, uint8_t *frame, size_t room);
size_t make_echo(int family, int id, const char *payload, uint8_t *message);
bool is_vxlan(int protocol, const uint8_t *data, size_t length);
bool read_packet(const uint8_t *data, size_t length, struct seen *seen);
bool read_transport(int protocol, const uint8_t *data, size_t length, struct seen *seen);
void say_seen(const struct seen *seen);

/* trace.c */
struct trace {
  int host;
  uint8_t family;
  char table[64], chain[64];
  uint64_t handle;
  uint32_t type, mark;
  int32_t verdict;
  bool has_handle, has_verdict, carries;
  enum leg leg;
};
bool read_trace(int host, const uint8_t *data, size_t length, struct trace *trace);
void forget_numbers(void);
void shorten_traces(struct list *traces);
void say_trace(const struct trace *trace);

/* sight.c */
void watch(struct space *space);
void begin_sight(void);
void say_sight(void);
void each_begun(void (*end)(struct space *space, int port));

/* sockets.c */
void listen_on(struct space *space, int port_count, char *const *ports);
int ask(struct space *space, const struct made *made);
int answer(struct space *space, const struct made *made);
int inject(const char *link, const struct made *made);
void forget(struct space *space);
void close_kept(struct space *space);
void end_begun(struct space *space, int port);

#endif
