/** The second half of the gate's awk: what comes by stdin. No single quote may be in it. */

/** Transactions of nft, batches of ip, and the texts that root runs later: the way back of a change, undo.sh and restore.sh. */
export const CHECK_TEXTS = String.raw`
# Commands for our own table in the words of our printer. One that begins in a line may go on in the next ones while braces are open.
function nft(from, to,   i, line, c, depth) {
  depth = 0
  for (i = from; i <= to; i++) {
    line = L[i]
    gsub(/"[^"\\]*"/, " ", line)
    if (line ~ /[^A-Za-z0-9_@.:,;*\/(){}&|^=!<> -]/) return no("nft: " plain(L[i]))
    if (depth == 0) {
      if (!sub(/^(add|delete) table inet sallyport$/, "", line) && !sub(/^(add|delete|flush) (chain|set|map|element|flowtable) inet sallyport sp_[A-Za-z0-9_.-]+/, "", line) && !sub(/^add rule inet sallyport sp_[A-Za-z0-9_.-]+ /, "", line)) return no("nft: " plain(L[i]))
      if (line != "" && line !~ /^ / && L[i] !~ /^add rule /) return no("nft: " plain(L[i]))
    }
    if (!nftwords(line)) return no("nft: " NFTWORD " in " plain(L[i]))
    while (match(line, /[{};]/)) {
      c = substr(line, RSTART, 1); line = substr(line, RSTART + 1)
      if (c == "{") depth++
      else if (c == "}") { if (--depth < 0) return no("nft: " plain(L[i])) }
      else if (depth == 0) return no("nft: two commands in a line: " plain(L[i]))
    }
  }
  return depth == 0 ? 1 : no("nft: an open brace")
}
# Numbers, addresses, names of ours, and words of nft that a plan of ours has.
function nftwords(line,   part, n, i) {
  gsub(/[^A-Za-z0-9_@.:-]/, " ", line)
  n = split(line, part, " ")
  for (i = 1; i <= n; i++) {
    NFTWORD = part[i]
    if (NFTWORD in WORD) continue
    if (NFTWORD ~ /^[0-9.:-]*$/ || NFTWORD ~ /^0x[0-9a-f]+$/ || NFTWORD ~ /^[0-9]+s$/) continue
    if (NFTWORD ~ /^@?sp_[A-Za-z0-9_.-]+$/) continue
    if (NFTWORD ~ /^[0-9a-f:.]+-?[0-9a-f:.]*$/ && NFTWORD ~ /:/) continue
    return 0
  }
  return 1
}

# The lines of one "ip -batch -".
function ip(from, to,   i, base, fine) {
  for (i = from; i <= to; i++) {
    base = N
    fine = batchwords(L[i]) && ipline(base + 1, N)
    N = base
    if (!fine) return no("ip: " plain(L[i]))
  }
  return 1
}
# A line as ip takes it apart; a word in double quotes may have spaces, or be none.
function batchwords(line) {
  if (line ~ /[#\\\047]/) return 0
  while (line != "") {
    if (match(line, /^"[^"]*"/)) W[++N] = substr(line, 2, RLENGTH - 2)
    else if (match(line, /^[^ "]+/)) W[++N] = substr(line, 1, RLENGTH)
    else return 0
    line = substr(line, RLENGTH + 1)
    if (line != "" && !sub(/^ /, "", line)) return 0
  }
  return 1
}
function ipline(lo, hi,   verb, at, i) {
  verb = W[lo] " " W[lo + 1]
  if (W[lo] == "-6") { lo++; verb = W[lo] " " W[lo + 1]; if (W[lo] != "rule") return 0 }
  at = lo + 2
  # What stood behind it in another command is none of its words.
  for (i = N + 1; i < N + 8; i++) W[i] = ""
  if (verb == "link delete") return hi == at + 1 && W[at] == "dev" && isof("link", W[at + 1])
  if (verb == "link set") return W[at] == "dev" && isof("link", W[at + 1]) && optional("link", at + 2, hi)
  if (verb == "link add") {
    if (W[at] != "name" || !isof("link", W[at + 1]) || W[at + 2] != "mtu" || !isof("number", W[at + 3])) return 0
    at += 4
    if (W[at] == "up") at++
    return W[at] == "type" && W[at + 1] ~ /^(wireguard|vxlan|ipip|sit|ip6tnl|gre|ip6gre)$/ && at < hi && optional("kind", at + 2, hi)
  }
  if (verb == "address add" || verb == "address delete") {
    if (at > hi || !isof("prefix", W[at])) return 0
    at++
    if (W[at] == "peer") { if (!isof("prefix", W[at + 1])) return 0; at += 2 }
    if (W[at] != "dev" || !isof("link", W[at + 1])) return 0
    at += 2
    if (at <= hi && W[at] == "scope") { if (W[at + 1] !~ /^(link|host|site|nowhere)$/ && !isof("number", W[at + 1])) return 0; at += 2 }
    if (at <= hi && W[at] == "nodad") at++
    return at == hi + 1
  }
  if (verb == "route add" || verb == "route delete" || verb == "route replace") {
    if (W[at] ~ /^(unreachable|blackhole|prohibit|throw)$/) at++
    PREFIX = W[at]
    if (at > hi || !isof("prefix", PREFIX) || !optional("route", at + 1, hi)) return 0
    if (!("protocol" in SEEN) || !("table" in SEEN)) return 0
    # In a table of others another route may have its place: of theirs none is replaced.
    if (verb != "route replace" || (SEEN["table"] != "253" && SEEN["table"] != "254")) return 1
    return SEEN["table"] == "254" && stands(PREFIX, "metric" in SEEN ? SEEN["metric"] : 0)
  }
  if (verb == "rule add" || verb == "rule delete") {
    if (W[at] != "priority" || !isof("number", W[at + 1]) || W[at + 1] == "0") return 0
    return optional("rule", at + 2, hi) && "protocol" in SEEN
  }
  return 0
}
# Whether a route of ours stands in the main table: of that prefix as ip writes it, and that metric.
function stands(prefix, metric,   family) {
  if (!LISTED) { LISTED = 1; list(4); list(6) }
  family = prefix ~ /:/ ? 6 : 4
  if (family == 4) sub(/\/32$/, "", prefix); else sub(/\/128$/, "", prefix)
  if (prefix == "0.0.0.0/0" || prefix == "::/0") prefix = "default"
  return (family " " prefix " " metric) in OWN
}
function list(family,   ask, line, part, n, i, at, has) {
  ask = "ip -N -" family " route show table 254 2>/dev/null"
  while ((ask | getline line) > 0) {
    n = split(line, part, " "); at = part[1] ~ /^(unreachable|blackhole|prohibit|throw)$/ ? 2 : 1
    split("", has); has["metric"] = 0
    for (i = at + 1; i < n; i++) has[part[i]] = part[i + 1]
    if (isof("ours", has["proto"])) OWN[family " " part[at] " " has["metric"]] = 1
  }
  close(ask)
}
# Behind "wg set".
function wgline(at, hi) {
  LINK = W[at]
  return isof("link", LINK) && at < hi && optional("device", at + 1, hi)
}

# Arguments of conntrack: it ends connections that bear a mark of ours.
function flow(line,   base, n, part, i, fine) {
  if (line ~ /[^ -~]/) return 0
  base = N; n = split(line, part, " ")
  for (i = 1; i <= n; i++) W[++N] = part[i]
  fine = W[base + 1] == "-D" && optional("flow", base + 2, N) && "-m" in SEEN && "--reply-src" in SEEN && "-p" in SEEN
  N = base
  return fine
}
function flowlist(line) { return line ~ /^-L -f ipv[46] -m 0x[1-9a-f][0-9a-f]*\/0x[1-9a-f][0-9a-f]*( -p udp)?$/ }
function flows(from, to,   i) {
  for (i = from; i <= to; i++) if (!flow(L[i])) return no("conntrack: " plain(L[i]))
  return 1
}

# A file of the state folder, by its path.
function written(path, from, to,   name) {
  name = substr(path, length(STATE) + 2)
  if (name == "undo.sh") return standing(from, to)
  if (name == "restore.sh") return restoretext(from, to)
  if (name == "record.json") return record(from, to)
  if (secret(path)) return from == to && isof("key", L[from]) ? 1 : no("a preshared key that is none")
  return from == to && length(L[from]) < 4000 ? 1 : no("a lock of more than a line")
}
# Its endpoints are asked of the resolver.
function record(from, to,   i, line, at, value) {
  for (i = from; i <= to; i++) {
    line = L[i]
    while (at = index(line, "\"endpoint\":\"")) {
      line = substr(line, at + 12)
      value = substr(line, 1, index(line, "\"") - 1)
      if (!isof("endpoint", value)) return no("record.json: endpoint " plain(value))
    }
  }
  return 1
}
function fill(text,   out, inode) {
  inode = substr(STATE, length("/run/sallyport/netns/") + 1)
  out = TOKEN; gsub(/-/, "", out)
  return put(put(put(put(text, "@INODE@", inode), "@TOKEN@", TOKEN), "@END@", out), "@WINDOW@", int((WINDOW + 9) / 10))
}
function put(text, mark, value,   n, part, i, out) {
  n = split(text, part, mark); out = part[1]
  for (i = 2; i <= n; i++) out = out value part[i]
  return out
}
# Whether the lines from AT on are the text of that name for this kind of network; AT is behind them then.
function same(name,   n, part, i) {
  if (!((name KIND()) in DATA)) return no("the text " name)
  n = split(fill(decode(DATA[name KIND()])), part, "\n")
  if (part[n] == "") n--
  for (i = 1; i <= n; i++) if (AT + i - 1 > LAST || L[AT + i - 1] != part[i]) { ATLINE = AT + i - 1; return 0 }
  AT += n
  return 1
}
function KIND() { return STATE == "/etc/sallyport" ? ".machine" : ".namespace" }

# The way back of a change: the head, for each step its commands, the files, the tail. All but what is in quotes is as it must be.
function undotext(from, to,   end, base, n, part, file) {
  AT = from; LAST = to
  if (!same("pending-head")) return no("undo.sh, line " ATLINE)
  end = TOKEN; gsub(/-/, "", end)
  while (AT <= to && L[AT] ~ /^n=[0-9]+$/) {
    AT++
    if (L[AT] != "if [ \"$1\" = boot ] || [ \"$begun\" -ge \"$n\" ]; then" && L[AT] != "if [ \"$1\" != boot ] && [ \"$begun\" -ge \"$n\" ]; then") return no("undo.sh, line " AT)
    AT++
    while (AT <= to && L[AT] != "fi") {
      if (L[AT] !~ /^(back|mild) \047/) return no("undo.sh, line " AT)
      if (!command(substr(L[AT], 6), "END_" end, "", "undo")) return no("undo.sh, line " AT)
    }
    AT++
  }
  while (AT <= to && L[AT] ~ /^put_back [0-9]+ \047/) {
    # The very file that was kept under this number: what is in one is not fit to be in another.
    split(L[AT], part, " "); file = ARMED + 8 + part[2]
    base = N; REST = L[AT]; sub(/^put_back [0-9]+ /, "", REST)
    n = words()
    N = base
    if (n != 1 || REST != "" || part[2] < 1 || file > END_OF_REQUEST || W[file] != W[base + 1]) return no("undo.sh, line " AT)
    AT++
  }
  n = AT
  if (same("pending-tail") && AT == to + 1) return 1
  AT = n
  return same("pending-tail-wipes") && AT == to + 1 ? 1 : no("undo.sh, line " n)
}
# A command in quotes at line AT, with what it reads behind it until the line "end".
function command(rest, end, more, where,   base, from, to, fine, ended) {
  base = N; REST = rest
  if (words() < 1 || !known(base + 1)) { N = base; return 0 }
  from = 0; to = -1
  ended = more != "" && length(REST) > length(more) && substr(REST, length(REST) - length(more) + 1) == more
  if (ended) REST = substr(REST, 1, length(REST) - length(more))
  AT++
  if (REST == "<<\047" end "\047") {
    from = AT
    while (AT <= LAST && L[AT] != end) AT++
    to = AT - 1
    AT++
    if (AT > LAST) { N = base; return 0 }
  } else if (REST != "</dev/null") { N = base; return 0 }
  fine = check(base + 1, N, where, from, to)
  N = base
  return fine
}
# The words in quotes at the head of REST, into W; one may go on in the next lines. REST is what is behind them, and AT its line.
function words(   n, i, w) {
  n = 0
  while (substr(REST, 1, 1) == "\047") {
    w = ""; REST = substr(REST, 2)
    for (;;) {
      i = index(REST, "\047")
      if (i == 0) {
        if (AT >= LAST) return -1
        w = w REST "\n"; REST = L[++AT]
        continue
      }
      w = w substr(REST, 1, i - 1); REST = substr(REST, i + 1)
      if (substr(REST, 1, 3) != "\\\047\047") break
      w = w "\047"; REST = substr(REST, 4)
    }
    W[++N] = w; n++
    if (substr(REST, 1, 1) != " ") break
    REST = substr(REST, 2)
  }
  return n
}
# Texts for a shell become their names: whoever writes a name himself means a program of that name.
function known(lo,   i, name) {
  if (!NAMED) { for (name in TEXT) NAME[decode(TEXT[name])] = name; NAMED = 1 }
  for (i = lo; i <= N; i++) if (substr(W[i], 1, 1) == "@") return no("a word that begins with @")
  for (i = lo; i <= N; i++)
    if (W[i] == "sh" && W[i + 1] == "-c" && i + 2 <= N) {
      if (!(W[i + 2] in NAME)) return no("a text for a shell that is not of this version of Sallyport")
      W[i + 2] = NAME[W[i + 2]]
    }
  return 1
}

# What takes everything back: the same for every host but for the settings as they were.
function standing(from, to,   path, base, n) {
  AT = from; LAST = to
  if (!same("undo-head")) return no("undo.sh, line " ATLINE)
  while (AT <= to && L[AT] ~ /^try put \047/) {
    base = N; REST = substr(L[AT], 9)
    n = words()
    N = base
    if (n != 2 || REST != "" || !sysctl(W[base + 1]) || !isof("value", W[base + 2])) return no("undo.sh, line " AT)
    AT++
  }
  return same("undo-tail") && AT == to + 1 ? 1 : no("undo.sh, line " AT)
}
# What brings all back after a boot: for each thing a number, a name for people, a command.
function restoretext(from, to,   base, n) {
  AT = from; LAST = to
  if (L[AT] != "#!/bin/sh" || L[AT + 1] !~ /^# [A-Za-z0-9+\/=_-]+ [0-9a-f]+$/) return no("restore.sh, line " AT)
  AT += 2
  if (!same("restore-head")) return no("restore.sh, line " ATLINE)
  while (AT <= to && L[AT] ~ /^bring [0-9]+ \047/) {
    base = N; REST = L[AT]; sub(/^bring [0-9]+ /, "", REST)
    # The name alone, then the command.
    if (!match(REST, /^\047[^\047]*\047 /)) return no("restore.sh, line " AT)
    if (!command(substr(REST, RLENGTH + 1), "END_OF_ITEM", " || stop", "restore")) return no("restore.sh, line " AT)
  }
  return same("restore-tail") && AT == to + 1 ? 1 : no("restore.sh, line " AT)
}
`;
