/* Frames as they are put onto links, and packets as sockets give them. */
#include "agent.h"

#include <arpa/inet.h>
#include <string.h>

/* Of every link, so that nobody has to be asked for a neighbour's. */
static const uint8_t MAC[6] = {2, 0, 0, 0, 0, 1};

const char *const LEG_NAMES[] = {"", "request", "reply", "next", "reset"};

static void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}

static uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }

/* RFC 1071. */
static uint32_t sum_of(const uint8_t *data, size_t length, uint32_t sum) {
  for (size_t at = 0; at + 1 < length; at += 2) sum += get16(data + at);
  if (length % 2 == 1) sum += (uint32_t)data[length - 1] << 8;
  return sum;
}

static uint32_t checksum(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

static bool is_echo(int protocol) { return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6; }

/* RFC 792, RFC 4443. */
static uint8_t echo_type(int protocol, bool answers) {
  return protocol == IPPROTO_ICMP ? (answers ? 0 : 8) : (answers ? 129 : 128);
}

size_t make_echo(int family, int id, const char *payload, uint8_t *message) {
  memset(message, 0, 8);
  message[0] = echo_type(family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6, false);
  put16(message + 4, (uint32_t)id);
  message[7] = 1;
  memcpy(message + 8, payload, strlen(payload));
  return 8 + strlen(payload);
}

size_t make_frame(const struct made *made, uint8_t *frame, size_t room) {
  uint8_t addresses[32], *head = frame + 14;
  const bool is6 = strchr(made->source, ':') != NULL;
  const size_t width = is6 ? 16 : 4, head_length = is6 ? 40 : 20;
  uint8_t *segment = head + head_length;
  /* What a TCP packet held would be acknowledged by one more. */
  const size_t payload = made->protocol == IPPROTO_TCP ? 0 : strlen(made->payload);
  if (inet_pton(is6 ? AF_INET6 : AF_INET, made->source, addresses) != 1 ||
      inet_pton(is6 ? AF_INET6 : AF_INET, made->destination, addresses + width) != 1)
    fail("no addresses: %s %s", made->source, made->destination);
  const size_t length = payload + (made->protocol == IPPROTO_TCP ? 20 : 8);
  if (14 + head_length + length > room) fail("a frame of %zu bytes", length);
  memset(frame, 0, 14 + head_length + length);
  size_t sum_at;
  if (is_echo(made->protocol)) {
    segment[0] = echo_type(made->protocol, made->answers);
    put16(segment + 4, (uint32_t)made->source_port);
    segment[7] = 1;
    memcpy(segment + 8, made->payload, payload);
    sum_at = 2;
  } else {
    put16(segment, (uint32_t)made->source_port);
    put16(segment + 2, (uint32_t)made->destination_port);
    if (made->protocol == IPPROTO_UDP) {
      put16(segment + 4, (uint32_t)length);
      memcpy(segment + 8, made->payload, payload);
      sum_at = 6;
    } else {
      put32(segment + 4, made->seq);
      put32(segment + 8, made->ack);
      segment[12] = 20 << 2;
      segment[13] = (uint8_t)made->flags;
      put16(segment + 14, 64000);
      sum_at = 16;
    }
  }
  uint32_t sum = sum_of(segment, length, 0);
  if (made->protocol != IPPROTO_ICMP)
    sum = sum_of(addresses, 2 * width, sum) + (uint32_t)length + (uint32_t)made->protocol;
  const uint32_t folded = checksum(sum);
  put16(segment + sum_at, folded == 0 ? 0xffff : folded);
  if (is6) {
    head[0] = 6 << 4;
    put16(head + 4, (uint32_t)length);
    head[6] = (uint8_t)made->protocol;
    head[7] = 64;
    memcpy(head + 8, addresses, 32);
  } else {
    head[0] = 0x45;
    put16(head + 2, (uint32_t)(20 + length));
    /* Fragments of a packet that was never whole again must meet no others of its number. */
    static uint32_t number;
    put16(head + 4, ++number);
    if (made->df) head[6] = 0x40;
    head[8] = 64;
    head[9] = (uint8_t)made->protocol;
    memcpy(head + 12, addresses, 8);
    put16(head + 10, checksum(sum_of(head, 20, 0)));
  }
  memcpy(frame, MAC, 6);
  memcpy(frame + 6, MAC, 6);
  put16(frame + 12, is6 ? 0x86dd : 0x0800);
  return 14 + head_length + length;
}

/* RFC 7348, 5: flags that say that there is a VNI, and nothing else. Datagrams of the fuzzer's own begin otherwise. */
bool is_vxlan(int protocol, const uint8_t *data, size_t length) {
  return protocol == IPPROTO_UDP && length >= 12 && get32(data + 8) == 0x08000000;
}

/* Ports, and which packet of its flow it is; false of what the fuzzer does not send. An echo's id stands for both ports. */
bool read_transport(int protocol, const uint8_t *data, size_t length, struct seen *seen) {
  seen->leg = NO_LEG;
  seen->protocol = protocol;
  seen->carries = false;
  if (protocol == IPPROTO_UDP && length >= 4) {
    if (is_vxlan(protocol, data, length)) {
      struct seen within;
      /* Its own header and that of Ethernet. */
      if (length > 30 && !read_packet(data + 30, length - 30, &within)) return false;
      seen->carries = true;
      if (length > 30) seen->leg = within.leg;
    }
    seen->source_port = (int)get16(data);
    seen->destination_port = (int)get16(data + 2);
    return true;
  }
  if (protocol == IPPROTO_TCP && length >= 14) {
    const int flags = data[13] & (SYN | RST | ACK);
    seen->source_port = (int)get16(data);
    seen->destination_port = (int)get16(data + 2);
    seen->seq = get32(data + 4);
    seen->leg = flags == SYN ? REQUEST : flags == (SYN | ACK) ? REPLY : flags == ACK ? NEXT : RESET;
    return true;
  }
  if (is_echo(protocol) && length >= 8) {
    if (data[0] != echo_type(protocol, false) && data[0] != echo_type(protocol, true)) return false;
    seen->leg = data[0] == echo_type(protocol, false) ? REQUEST : REPLY;
    seen->source_port = seen->destination_port = (int)get16(data + 4);
    return true;
  }
  return false;
}

enum { FRAGMENT = 44 /* RFC 8200, 4.5 */ };

/* Addresses and ports of an IP packet; false where it is none of ours, or a later fragment. */
bool read_packet(const uint8_t *data, size_t length, struct seen *seen) {
  if (length < 28) return false;
  if (data[0] >> 4 == 4) {
    const size_t head = (data[0] & 15u) * 4;
    if (length < head || (get16(data + 6) & 0x1fff) != 0 || !read_transport(data[9], data + head, length - head, seen)) return false;
    inet_ntop(AF_INET, data + 12, seen->source, sizeof seen->source);
    inet_ntop(AF_INET, data + 16, seen->destination, sizeof seen->destination);
    return true;
  }
  const bool is_part = data[6] == FRAGMENT;
  const size_t head = is_part ? 48 : 40;
  if (length < head + 8 || (is_part && get16(data + 42) >> 3 != 0)) return false;
  if (!read_transport(is_part ? data[40] : data[6], data + head, length - head, seen)) return false;
  inet_ntop(AF_INET6, data + 8, seen->source, sizeof seen->source);
  inet_ntop(AF_INET6, data + 24, seen->destination, sizeof seen->destination);
  return true;
}

/* The members of an object, without its braces. */
void say_seen(const struct seen *seen) {
  say("\"source\":\"%s\",\"destination\":\"%s\",\"protocol\":%d,\"sourcePort\":%d,\"destinationPort\":%d", seen->source,
      seen->destination, seen->protocol, seen->source_port, seen->destination_port);
  if (seen->carries) say(",\"carries\":true");
  if (seen->protocol == IPPROTO_TCP) say(",\"seq\":%u", seen->seq);
  if (seen->leg != NO_LEG) say(",\"leg\":\"%s\"", LEG_NAMES[seen->leg]);
}
