/* nft's trace: which rules and policies a packet meets, with the mark it has there. */
#include "agent.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

/* What the headers of a packet told, by the number of its trace. */
struct numbered {
  int host;
  uint32_t number;
  enum leg leg;
  bool carries;
};
static struct list numbers;

void forget_numbers(void) { numbers.count = 0; }

static uint32_t word_of(const uint8_t *value) {
  uint32_t word;
  memcpy(&word, value, 4);
  return ntohl(word);
}

/* Calls `read` for each attribute between two places. */
static void each_attribute(const uint8_t *at, const uint8_t *end, void *context,
                           void (*read)(void *context, int type, const uint8_t *value, size_t length)) {
  struct nlattr head;
  while (end - at >= (ptrdiff_t)sizeof head) {
    memcpy(&head, at, sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > end - at) return;
    read(context, head.nla_type & NLA_TYPE_MASK, at + NLA_HDRLEN, head.nla_len - (size_t)NLA_HDRLEN);
    if (NLA_ALIGN(head.nla_len) > end - at) return;
    at += NLA_ALIGN(head.nla_len);
  }
}

struct reading {
  struct trace trace;
  const uint8_t *network, *transport;
  size_t transport_length;
  uint32_t number;
};

static void read_verdict(void *context, int type, const uint8_t *value, size_t length) {
  struct trace *trace = context;
  if (type != NFTA_VERDICT_CODE || length < 4) return;
  trace->verdict = (int32_t)word_of(value);
  trace->has_verdict = true;
}

static void read_traced(void *context, int type, const uint8_t *value, size_t length) {
  struct reading *reading = context;
  struct trace *trace = &reading->trace;
  char *name = type == NFTA_TRACE_TABLE ? trace->table : type == NFTA_TRACE_CHAIN ? trace->chain : NULL;
  if (name != NULL) memcpy(name, value, length < sizeof trace->table ? length : sizeof trace->table - 1);
  else if (type == NFTA_TRACE_RULE_HANDLE && length >= 8) {
    trace->handle = (uint64_t)word_of(value) << 32 | word_of(value + 4);
    trace->has_handle = true;
  } else if (type == NFTA_TRACE_TYPE && length >= 4) trace->type = word_of(value);
  else if (type == NFTA_TRACE_VERDICT) each_attribute(value, value + length, trace, read_verdict);
  else if (type == NFTA_TRACE_POLICY && length >= 4) {
    trace->verdict = (int32_t)word_of(value);
    trace->has_verdict = true;
  } else if (type == NFTA_TRACE_MARK && length >= 4) trace->mark = word_of(value);
  else if (type == NFTA_TRACE_ID && length >= 4) reading->number = word_of(value);
  else if (type == NFTA_TRACE_NETWORK_HEADER && length >= 20) reading->network = value;
  else if (type == NFTA_TRACE_TRANSPORT_HEADER) {
    reading->transport = value;
    reading->transport_length = length;
  }
}

/* The headers stand in the first message of each chain, and the number in all of a packet. */
static struct numbered told_of(int host, const struct reading *reading) {
  static const struct numbered nothing;
  struct numbered *known = NULL;
  EACH(struct numbered, each, numbers)
    if (each->host == host && each->number == reading->number) known = each;
  if (reading->network == NULL || reading->transport == NULL) return known == NULL ? nothing : *known;
  struct seen seen;
  const uint8_t *head = reading->network;
  const int protocol = head[0] >> 4 == 4 ? head[9] : head[6];
  /* Too little is told to see what is within. */
  const bool carries = is_vxlan(protocol, reading->transport, reading->transport_length);
  const bool is_ours = !carries && read_transport(protocol, reading->transport, reading->transport_length, &seen);
  if (known == NULL) known = ADD(numbers, struct numbered);
  known->host = host;
  known->number = reading->number;
  known->leg = is_ours ? seen.leg : NO_LEG;
  known->carries = carries;
  return *known;
}

/* What one message tells, if it is of the trace. */
bool read_trace(int host, const uint8_t *data, size_t length, struct trace *trace) {
  struct nlmsghdr head;
  if (length < sizeof head + sizeof(struct nfgenmsg)) return false;
  memcpy(&head, data, sizeof head);
  if (head.nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE) || head.nlmsg_len > length)
    return false;
  struct reading reading = {.trace = {.host = host, .family = data[sizeof head]}};
  each_attribute(data + sizeof head + sizeof(struct nfgenmsg), data + head.nlmsg_len, &reading, read_traced);
  const struct numbered told = told_of(host, &reading);
  reading.trace.leg = told.leg;
  reading.trace.carries = told.carries;
  *trace = reading.trace;
  return true;
}

static const char *verdict_name(int32_t code) {
  static const char *const own[] = {"return", "goto", "jump", "break", "continue", "drop", "accept"};
  return code >= -5 && code <= 1 ? own[code + 5] : "another";
}

static const char *family_name(uint8_t family) {
  return family == 1 ? "inet" : family == 2 ? "ip" : family == 5 ? "netdev" : family == 10 ? "ip6" : "another";
}

/* The members of an object, without its braces. */
void say_trace(const struct trace *trace) {
  static const char *const types[] = {"another", "policy", "return", "rule"};
  say("\"family\":\"%s\",\"table\":\"%s\",\"chain\":\"%s\",\"type\":\"%s\",\"mark\":%u", family_name(trace->family),
      trace->table, trace->chain, types[trace->type < 4 ? trace->type : 0], trace->mark);
  if (trace->has_handle) say(",\"handle\":%llu", (unsigned long long)trace->handle);
  if (trace->has_verdict) say(",\"verdict\":\"%s\"", verdict_name(trace->verdict));
  if (trace->carries) say(",\"carries\":true");
  if (trace->leg != NO_LEG) say(",\"leg\":\"%s\"", LEG_NAMES[trace->leg]);
}

/* The probe's own rule, by which each passage of a host begins. */
static bool begins(const struct trace *trace) {
  return trace->has_handle && strcmp(trace->table, "probe") == 0 &&
         (strcmp(trace->chain, "prerouting") == 0 || strcmp(trace->chain, "output") == 0);
}

/*
 * Of each passage only how it begins and ends is told, and what drops: there is nothing else in the middle that anybody compares. Packets
 * that cannot be told apart beside others that can are told whole. Of those that carry others it is told what drops them.
 */
void shorten_traces(struct list *traces) {
  bool is_last[RESET + 1] = {true, true, true, true, true}, *told = malloc(traces->count + 1);
  bool is_named = false, is_nameless = false;
  struct trace *all = traces->records;
  if (told == NULL) fail("no memory");
  for (size_t at = traces->count; at-- > 0;) {
    const struct trace *each = &all[at];
    if (each->carries) {
      told[at] = each->has_verdict && each->verdict == 0;
      continue;
    }
    told[at] = is_last[each->leg] || begins(each) || (each->has_verdict && each->verdict == 0);
    is_last[each->leg] = begins(each);
    if (each->leg == NO_LEG) is_nameless = true;
    else is_named = true;
  }
  size_t count = 0;
  if (is_named && is_nameless) count = traces->count;
  else
    for (size_t at = 0; at < traces->count; at++)
      if (told[at]) all[count++] = all[at];
  traces->count = count;
  free(told);
}
