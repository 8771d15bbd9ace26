/* What becomes of a packet, as far as sockets see: packet sockets, nft's trace, and raw sockets for what is delivered. */
#define _GNU_SOURCE
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RCVMARK = 75 /* SO_RCVMARK, asm-generic/socket.h */, ROOM = 8 << 20, MOST_BEGUN = 256, MOST_TRACED = 1024 };
/* IEEE's for experiments: nobody's rules speak of it. */
enum { SENTINEL = 0x88b5 };


struct on_link {
  int64_t at;
  size_t order;
  int host, link;
  bool leaves;
  struct seen packet;
};
struct delivery {
  int host;
  uint32_t mark;
  struct seen packet;
};
struct begun {
  int host, port;
};

static struct list on_links, deliveries, traces, begun_list;
static bool lost;
static int poll_fd = -1, sentinel_in = -1, sentinel_out = -1;

static int opened(int fd, const char *what) {
  if (fd < 0) fail("%s: %s", what, strerror(errno));
  return fd;
}

static void set(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) fail("setsockopt %d %d: %s", level, option, strerror(errno));
}

static void watch_by(struct space *space, int kind, int fd, int protocol) {
  if (space->watched_count == MOST_SOCKETS) fail("too many sockets");
  /* Who is not root of the machine gets what rmem_max allows. */
  const int room = ROOM;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) set(fd, SOL_SOCKET, SO_RCVBUF, room);
  struct watched *watched = &space->watched[space->watched_count];
  watched->kind = kind;
  watched->fd = fd;
  watched->protocol = protocol;
  struct epoll_event event = {.events = EPOLLIN,
                              .data.u64 = (uint64_t)(space - spaces) << 32 | (uint64_t)space->watched_count++};
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl: %s", strerror(errno));
}

/* In its namespace: opens the sockets that see. */
void watch(struct space *space) {
  if (poll_fd < 0) poll_fd = opened(epoll_create1(EPOLL_CLOEXEC), "epoll");
  enter(space);
  const int flags = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const int tap = opened(socket(AF_PACKET, flags, htons(ETH_P_ALL)), "a packet socket");
  set(tap, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  watch_by(space, TAP, tap, 0);
  if (space == &spaces[OUTSIDE]) {
    const int lo = (int)if_nametoindex("lo");
    struct sockaddr_ll end = {.sll_family = AF_PACKET, .sll_ifindex = lo, .sll_protocol = htons(SENTINEL)};
    sentinel_in = opened(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(SENTINEL)), "a packet socket");
    sentinel_out = opened(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "a packet socket");
    const struct timeval patience = {.tv_sec = 10};
    if (bind(sentinel_in, (struct sockaddr *)&end, sizeof end) != 0 ||
        setsockopt(sentinel_in, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
      fail("a packet socket on lo: %s", strerror(errno));
    end.sll_protocol = 0;
    if (bind(sentinel_out, (struct sockaddr *)&end, sizeof end) != 0) fail("a packet socket on lo: %s", strerror(errno));
    return;
  }
  const int trace = opened(socket(AF_NETLINK, flags, NETLINK_NETFILTER), "a netlink socket");
  const struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = 1u << (NFNLGRP_NFTRACE - 1)};
  if (bind(trace, (const struct sockaddr *)&group, sizeof group) != 0) fail("nft's trace: %s", strerror(errno));
  watch_by(space, TRACE, trace, 0);
  const int protocols[2][3] = {{IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP}, {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMPV6}};
  for (int is6 = 0; is6 < 2; is6++)
    for (int which = 0; which < 3; which++) {
      const int raw = opened(socket(is6 ? AF_INET6 : AF_INET, flags, protocols[is6][which]), "a raw socket");
      set(raw, SOL_SOCKET, RCVMARK, 1);
      if (is6) set(raw, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
      watch_by(space, is6 ? RAW6 : RAW4, raw, protocols[is6][which]);
    }
}

static void add_delivery(int host, uint32_t mark, const struct seen *packet) {
  if (packet->carries) return;
  struct delivery *delivery = ADD(deliveries, struct delivery);
  delivery->host = host;
  delivery->mark = mark;
  delivery->packet = *packet;
  if (packet->protocol != IPPROTO_TCP || packet->leg != REQUEST) return;
  EACH(struct begun, each, begun_list)
    if (each->host == host && each->port == packet->destination_port) return;
  struct begun *begun = ADD(begun_list, struct begun);
  begun->host = host;
  begun->port = packet->destination_port;
}

/* What came beside a packet. */
struct beside {
  int64_t at;
  uint32_t mark;
  const uint8_t *destination;
};

static struct beside beside_of(struct msghdr *message) {
  struct beside beside = {0};
  for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
    if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SO_TIMESTAMPNS) {
      int64_t time[2];
      memcpy(time, CMSG_DATA(each), sizeof time);
      beside.at = time[0] * 1000000000 + time[1];
    } else if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SO_MARK)
      memcpy(&beside.mark, CMSG_DATA(each), sizeof beside.mark);
    else if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO)
      beside.destination = CMSG_DATA(each);
  }
  return beside;
}

static bool is_sentinel(const struct watched *watched, const uint8_t *data, size_t length) {
  return watched->kind == TAP && length >= 14 && data[12] == SENTINEL >> 8 && data[13] == (SENTINEL & 0xff);
}

static void see(int host, const struct watched *watched, const uint8_t *data, size_t length, struct msghdr *message) {
  struct seen packet;
  if (watched->kind == TRACE) {
    struct trace trace;
    if (read_trace(host, data, length, &trace)) *ADD(traces, struct trace) = trace;
    return;
  }
  const struct beside beside = beside_of(message);
  if (watched->kind == TAP) {
    const struct sockaddr_ll *sender = message->msg_name;
    if (length < 14 || sender->sll_pkttype == PACKET_OTHERHOST || !read_packet(data + 14, length - 14, &packet)) return;
    struct on_link *link = ADD(on_links, struct on_link);
    link->at = beside.at;
    link->order = on_links.count;
    link->host = host;
    link->link = sender->sll_ifindex;
    link->leaves = sender->sll_pkttype == PACKET_OUTGOING;
    link->packet = packet;
  } else if (watched->kind == RAW4) {
    if (read_packet(data, length, &packet)) add_delivery(host, beside.mark, &packet);
  } else if (read_transport(watched->protocol, data, length, &packet)) {
    static const uint8_t nowhere[16];
    const struct sockaddr_in6 *sender = message->msg_name;
    inet_ntop(AF_INET6, &sender->sin6_addr, packet.source, sizeof packet.source);
    inet_ntop(AF_INET6, beside.destination == NULL ? nowhere : beside.destination, packet.destination,
              sizeof packet.destination);
    add_delivery(host, beside.mark, &packet);
  }
}

/* Reads whatever the sockets hold now; how many messages that were, sentinels apart. */
static int drain(void) {
  static uint8_t data[1 << 16];
  union {
    struct cmsghdr head;
    uint8_t bytes[256];
  } control;
  struct sockaddr_storage sender;
  struct epoll_event events[MOST_SPACES * MOST_SOCKETS];
  const int ready = epoll_wait(poll_fd, events, MOST_SPACES * MOST_SOCKETS, 0);
  int found = 0;
  for (int at = 0; at < ready; at++) {
    const int host = (int)(events[at].data.u64 >> 32);
    const struct watched *watched = &spaces[host].watched[events[at].data.u64 & 0xffff];
    for (;;) {
      struct iovec part = {data, sizeof data};
      struct msghdr message = {.msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &part, .msg_iovlen = 1,
                               .msg_control = &control, .msg_controllen = sizeof control};
      const ssize_t length = recvmsg(watched->fd, &message, 0);
      if (length < 0 && errno == EAGAIN) break;
      if (length < 0 && errno != ENOBUFS) fail("recvmsg: %s", strerror(errno));
      if (length >= 0 && is_sentinel(watched, data, (size_t)length)) continue;
      if (length < 0) lost = true;
      else see(host, watched, data, (size_t)length, &message);
      found++;
    }
  }
  return found;
}

/*
 * Until nothing more is to come. All of one processor's packets that go from link to link within it wait in one line (netif_rx), and we
 * stay on one processor: once a frame that was put at its end comes out, whatever stood before it has been done. Where nothing was seen
 * meanwhile, nothing had stood there.
 */
static void settle(void) {
  static const uint8_t frame[64] = {[12] = SENTINEL >> 8, [13] = SENTINEL & 0xff};
  uint8_t back[128];
  do {
    if (send(sentinel_out, frame, sizeof frame, 0) < 0) fail("a frame by lo: %s", strerror(errno));
    if (recv(sentinel_in, back, sizeof back, 0) < 0) fail("a frame by lo does not come back: %s", strerror(errno));
  } while (drain() > 0);
}

static void clear(void) {
  on_links.count = deliveries.count = traces.count = 0;
  forget_numbers();
  lost = false;
}

void begin_sight(void) {
  settle();
  clear();
}

static int by_time(const void *one, const void *other) {
  const struct on_link *left = one, *right = other;
  if (left->at != right->at) return left->at < right->at ? -1 : 1;
  return left->order < right->order ? -1 : 1;
}

static const char *link_name(int host, int index) {
  struct space *space = &spaces[host];
  if (index < 0 || index >= MOST_LINKS) fail("a link of index %d", index);
  if (space->links[index][0] == 0) {
    struct ifreq asked = {.ifr_ifindex = index};
    if (ioctl(space->watched[0].fd, SIOCGIFNAME, &asked) != 0) fail("no link %d of %s", index, space->name);
    memcpy(space->links[index], asked.ifr_name, sizeof space->links[index]);
  }
  return space->links[index];
}

/* Waits for the end of what was sent, and says what was seen of it: the members of an object, without its braces. */
void say_sight(void) {
  settle();
  shorten_traces(&traces);
  qsort(on_links.records, on_links.count, sizeof(struct on_link), by_time);
  const char *comma = "";
  say("\"links\":[");
  EACH(struct on_link, each, on_links) {
    say("%s{\"host\":\"%s\",\"link\":\"%s\",\"direction\":\"%s\",", comma, spaces[each->host].name,
        link_name(each->host, each->link), each->leaves ? "out" : "in");
    say_seen(&each->packet);
    say("}");
    comma = ",";
  }
  comma = "";
  say("],\"delivered\":[");
  EACH(struct delivery, each, deliveries) {
    say("%s{\"host\":\"%s\",\"mark\":%u,", comma, spaces[each->host].name, each->mark);
    say_seen(&each->packet);
    say("}");
    comma = ",";
  }
  comma = "";
  say("],\"trace\":[");
  EACH(struct trace, each, traces) {
    say("%s{\"host\":\"%s\",", comma, spaces[each->host].name);
    say_trace(each);
    say("}");
    comma = ",";
  }
  say("]");
  if (lost) say(",\"lost\":true");
}

/* Of each SYN that was delivered since the last call. */
void each_begun(void (*end)(struct space *space, int port)) {
  EACH(struct begun, each, begun_list) end(&spaces[each->host], each->port);
  begun_list.count = 0;
}
