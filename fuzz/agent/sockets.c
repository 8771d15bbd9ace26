/* The sockets of hosts: those that ask, those that answer, and those that listen so that nothing is answered by an error. */
#define _GNU_SOURCE
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One size for both families; their first two members are alike. */
static socklen_t end_of(const char *address, int port, bool is6, struct sockaddr_in6 *end) {
  memset(end, 0, sizeof *end);
  if (is6) {
    end->sin6_family = AF_INET6;
    end->sin6_port = htons((uint16_t)port);
    if (address != NULL && inet_pton(AF_INET6, address, &end->sin6_addr) != 1) fail("no address: %s", address);
    return sizeof *end;
  }
  struct sockaddr_in end4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (address != NULL && inet_pton(AF_INET, address, &end4.sin_addr) != 1) fail("no address: %s", address);
  memcpy(end, &end4, sizeof end4);
  return sizeof end4;
}

static int new_socket(int family, int kind, int protocol) {
  const int fd = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), on = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) fail("a socket: %s", strerror(errno));
  return fd;
}

/* For both families. */
static int waiting_on(int kind, int port) {
  const int fd = new_socket(AF_INET6, kind, 0), off = 0;
  struct sockaddr_in6 any;
  const socklen_t length = end_of(NULL, port, true, &any);
  if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0 ||
      bind(fd, (struct sockaddr *)&any, length) != 0 || (kind == SOCK_STREAM && listen(fd, 16) != 0))
    fail("listening on %d: %s", port, strerror(errno));
  return fd;
}

void listen_on(struct space *space, int port_count, char *const *ports) {
  enter(space);
  for (int at = 0; at < port_count && at < MOST_PORTS; at++) {
    space->ports[at] = atoi(ports[at]);
    space->listening[at] = waiting_on(SOCK_STREAM, space->ports[at]);
    waiting_on(SOCK_DGRAM, space->ports[at]);
    space->port_count = at + 1;
  }
}

/* No FIN and no reset: the connection goes on in every table that knows it. */
static void close_silently(int fd) {
  const int on = 1;
  /* Refused of what never came to be a connection, which says nothing either. */
  setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on);
  close(fd);
}

/* Ends what a SYN to this port began, without a word to the other side. */
void end_begun(struct space *space, int port) {
  for (int at = 0; at < space->port_count; at++) {
    if (space->ports[at] != port) continue;
    const int child = accept(space->listening[at], NULL, NULL);
    if (child >= 0) {
      close_silently(child);
      continue;
    }
    /* A handshake that stopped half-way waits below the listening socket, and ends with it. */
    enter(space);
    close(space->listening[at]);
    space->listening[at] = waiting_on(SOCK_STREAM, port);
  }
}

static struct kept *keep(struct space *space, const struct kept *wanted) {
  if (space->kept_count == MOST_KEPT) fail("too many sockets");
  struct kept *kept = &space->kept[space->kept_count++];
  *kept = *wanted;
  return kept;
}

/* The socket of this flow with the same ends, if there is one. */
static struct kept *kept_as(struct space *space, const struct kept *wanted) {
  for (int at = 0; at < space->kept_count; at++) {
    struct kept *each = &space->kept[at];
    if (!each->stream && each->protocol == wanted->protocol && memcmp(&each->near, &wanted->near, sizeof each->near) == 0 &&
        memcmp(&each->far, &wanted->far, sizeof each->far) == 0)
      return each;
  }
  return NULL;
}

/* By a socket that chooses its source itself. 0, or why it could not. */
int ask(struct space *space, const struct made *made) {
  const bool is6 = strchr(made->destination, ':') != NULL, stream = made->protocol == IPPROTO_TCP;
  struct kept wanted = {.stream = stream, .protocol = made->protocol};
  const socklen_t length = end_of(NULL, made->source_port, is6, &wanted.near);
  end_of(made->destination, made->destination_port, is6, &wanted.far);
  enter(space);
  struct kept *kept = kept_as(space, &wanted);
  if (kept == NULL) {
    const int protocol = made->protocol == IPPROTO_UDP ? 0 : made->protocol;
    wanted.fd = new_socket(is6 ? AF_INET6 : AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, protocol);
    if (bind(wanted.fd, (struct sockaddr *)&wanted.near, length) != 0) fail("bind: %s", strerror(errno));
    const int discovers = made->df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;
    if (made->size > 0 && setsockopt(wanted.fd, is6 ? IPPROTO_IPV6 : IPPROTO_IP, is6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
                                     &discovers, sizeof discovers) != 0)
      fail("DF: %s", strerror(errno));
    const int why = connect(wanted.fd, (struct sockaddr *)&wanted.far, length) == 0 ? 0 : errno;
    if (why != 0 && !(stream && why == EINPROGRESS)) {
      if (stream) close_silently(wanted.fd);
      else close(wanted.fd);
      return why;
    }
    kept = keep(space, &wanted);
  }
  if (stream) return 0;
  uint8_t message[MOST_BYTES];
  size_t size = strlen(made->payload);
  if (made->protocol == IPPROTO_UDP) memcpy(message, made->payload, size);
  else size = make_echo(is6 ? AF_INET6 : AF_INET, made->source_port, made->payload, message);
  return send(kept->fd, message, size, 0) < 0 ? errno : 0;
}

/* A datagram from where one was delivered to. */
int answer(struct space *space, const struct made *made) {
  const bool is6 = strchr(made->source, ':') != NULL;
  struct kept wanted = {.protocol = made->protocol};
  const socklen_t length = end_of(made->source, made->source_port, is6, &wanted.near);
  struct sockaddr_in6 far;
  end_of(made->destination, made->destination_port, is6, &far);
  enter(space);
  struct kept *kept = kept_as(space, &wanted);
  if (kept == NULL) {
    wanted.fd = new_socket(is6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    if (bind(wanted.fd, (struct sockaddr *)&wanted.near, length) != 0) {
      const int why = errno;
      close(wanted.fd);
      return why;
    }
    kept = keep(space, &wanted);
  }
  return sendto(kept->fd, made->payload, strlen(made->payload), 0, (struct sockaddr *)&far, length) < 0 ? errno : 0;
}

/* Onto a link of the outside. */
int inject(const char *link, const struct made *made) {
  static struct {
    char name[IFNAMSIZ];
    int fd;
  } injectors[MOST_LINKS];
  static int count;
  int at = 0;
  while (at < count && strcmp(injectors[at].name, link) != 0) at++;
  if (at == count) {
    if (count == MOST_LINKS) fail("too many links");
    enter(&spaces[OUTSIDE]);
    const struct sockaddr_ll end = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(link)};
    injectors[at].fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (end.sll_ifindex == 0 || bind(injectors[at].fd, (const struct sockaddr *)&end, sizeof end) != 0)
      fail("link %s: %s", link, strerror(errno));
    strncpy(injectors[count++].name, link, IFNAMSIZ - 1);
  }
  uint8_t frame[2048];
  const size_t length = make_frame(made, frame, sizeof frame);
  return send(injectors[at].fd, frame, length, 0) < 0 ? errno : 0;
}

/* Ends all tracked connections. */
void forget(struct space *space) {
  if (space->flush == 0) {
    enter(space);
    space->flush = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  }
  struct {
    struct nlmsghdr head;
    struct nfgenmsg of;
  } request = {
      .head = {.nlmsg_len = sizeof request,
               .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
               .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
  };
  char told[4096];
  if (send(space->flush, &request, sizeof request, 0) < 0 || recv(space->flush, told, sizeof told, 0) < 0)
    fail("ending connections on %s: %s", space->name, strerror(errno));
}

/* The sockets of the last flow: their cached routes and ports are not the next one's. */
void close_kept(struct space *space) {
  for (int at = 0; at < space->kept_count; at++)
    if (space->kept[at].stream) close_silently(space->kept[at].fd);
    else close(space->kept[at].fd);
  space->kept_count = 0;
}
