/** The gate's judgement of a request, for any awk: which words are a command that it lets through. No single quote may be in it. */

/**
 * Reads the gate itself, whose lines `#: …` hold what is known: `script NAME TEXT`, `form CLASS STDIN WORD…`, `text NAME TEXT`, `sysctl PATH`,
 * `word WORD` of nft's language, `daemon PATH TEXT`. REQUEST is the request, INPUT the file with its stdin, STATE the state folder. Gives
 * `live`, `none` or `text` (where stdin comes from), and the command in quotes for a shell; or status 3 and what is refused.
 */
export const CHECK = String.raw`
BEGIN {
  digits = "0123456789abcdef"
  for (i = 1; i < 256; i++) CHR[substr(digits, int(i / 16) + 1, 1) substr(digits, i % 16 + 1, 1)] = sprintf("%c", i)
  STATE = ENVIRON["STATE"]
  ALLOWED["top"] = "rcxfw"; ALLOWED["several"] = "r"; ALLOWED["guard"] = "cw"; ALLOWED["undo"] = "c"; ALLOWED["restore"] = "cb"
  options("link", "mtu number up - down - alias alias")
  options("kind", "id number local address remote address dstport number nolearning - mode any ttl number hoplimit number encaplimit none")
  options("route", "via via dev anylink table table protocol ours metric number src address mtu number onlink - nexthop - weight number")
  options("rule", "not - from prefix to prefix fwmark mark iif anylink oif anylink lookup number suppress_prefixlength number goto number nop - blackhole - unreachable - prohibit - protocol ours")
  options("device", "listen-port number fwmark mark private-key keyfile peer key preshared-key secretfile endpoint endpoint persistent-keepalive number allowed-ips prefixes remove -")
  options("flow", "-f family -p transport -m ourmark --reply-src address --orig-dst address --orig-port-dst number --reply-port-src number --orig-src address --orig-port-src number")
}
/^#: script / { TEXT["@" $3] = $4; next }
/^#: text / { DATA[$3] = $4; next }
/^#: sysctl / { SYSCTL[$3] = 1; next }
/^#: word / { for (i = 3; i <= NF; i++) WORD[$i] = 1; next }
/^#: daemon / { DAEMON[decode($3)] = decode($4); next }
/^#: form / {
  COUNT++; CLASS[COUNT] = $3; STDIN[COUNT] = $4
  form = $5
  for (i = 6; i <= NF; i++) form = form " " $i
  FORM[COUNT] = form
  key = ($5 == "sh") ? $7 : decode($5)
  FORMS[key] = FORMS[key] " " COUNT
}
END {
  n = split(ENVIRON["REQUEST"], each, " ")
  for (i = 3; i <= n; i++) W[++N] = decode(each[i])
  lo = 1; from = 0; to = -1
  if (BAD) refuse("a request that is not written as it should be")
  if (N > 5 && W[1] == "sh" && W[2] == "-c" && W[3] == "@WITH_WHOLE_STDIN" && W[4] == "sh") {
    lo = 6; from = 1; to = 0; input = ENVIRON["INPUT"]
    while ((getline line < input) > 0) {
      if (line ~ /[\001-\010\013-\037\177]/) refuse("a control character in stdin")
      L[++to] = line
    }
  }
  END_OF_REQUEST = N
  if (!check(lo, N, "top", from, to)) refuse(WHY)
  # Commands within a text were judged too.
  if (from > 0) MODE = "text"
  for (i = lo; i <= END_OF_REQUEST; i++) {
    w = W[i]
    if (i > lo + 1 && W[i - 1] == "-c" && W[i - 2] == "sh" && (w in TEXT)) w = decode(TEXT[w])
    gsub(/\047/, "\047\\\047\047", w)
    line = (i == lo) ? MODE " \047" w "\047" : line " \047" w "\047"
  }
  print line
}

function refuse(why) { print why; exit 3 }
function no(why) { if (WHY == "" || index(WHY, "a command") == 1) WHY = why; return 0 }
function plain(w) { gsub(/[^ -~]/, "?", w); return length(w) > 60 ? substr(w, 1, 60) "..." : w }
function options(table, list,   n, part, i) {
  n = split(list, part, " ")
  for (i = 1; i < n; i += 2) OPTION[table, part[i]] = part[i + 1]
}
# Bytes that are not plain are %XX; a word of none is =.
function decode(w,   n, part, i, out) {
  if (w == "=") return ""
  if (w !~ /%/) return w
  n = split(w, part, "%"); out = part[1]
  for (i = 2; i <= n; i++) {
    if (!(substr(part[i], 1, 2) in CHR)) { BAD = 1; return "" }
    out = out CHR[substr(part[i], 1, 2)] substr(part[i], 3)
  }
  return out
}

# Whether the words from lo to hi are a command that may be there, with the lines of stdin from "from" to "to".
function check(lo, hi, where, from, to,   key, list, n, i, f, said) {
  if (lo > hi) return no("an empty command")
  key = W[lo]
  if (key == "sh") {
    if (W[lo + 1] != "-c" || !(W[lo + 2] in TEXT) || (lo + 3 <= hi && W[lo + 3] != "sh")) return no("a shell, or a text for one that is not of this version of Sallyport")
    key = W[lo + 2]
    if (key == "@ARM") ARMED = lo
    if (key == "@SEVERAL") return where == "top" && from == 0 ? several(lo + 4, hi) : no("SEVERAL in " where)
  }
  if (!(key in FORMS)) return no("a command: " plain(key))
  n = split(FORMS[key], list, " ")
  for (i = 1; i <= n; i++) {
    f = list[i]
    if (!index(ALLOWED[where], CLASS[f]) || !fits(FORM[f], lo, hi, where, from, to)) continue
    return STDIN[f] == "?" ? 1 : speaks(STDIN[f], from, to)
  }
  said = key
  for (i = (key ~ /^@/) ? lo + 4 : lo + 1; i <= hi && length(said) < 60; i++) said = said " " W[i]
  return no("a command: " plain(said))
}
# COUNT WORD… again and again; what is asked only.
function several(at, hi,   n, c, i) {
  n = W[at]; at++
  if (!isof("number", n)) return no("SEVERAL")
  for (i = 0; i < n; i++) {
    c = W[at]
    if (at > hi || !isof("number", c) || c < 1 || at + c > hi) return no("SEVERAL")
    if (!check(at + 1, at + c, "several", 0, -1)) return 0
    at += c + 1
  }
  MODE = "none"
  return at == hi + 1 ? 1 : no("SEVERAL")
}
function speaks(kind, from, to) {
  if (kind == "-" || kind == "*") {
    MODE = kind == "*" ? "live" : "none"
    return from == 0 ? 1 : no("stdin where none is read")
  }
  if (from == 0) return no("no stdin where some is read")
  MODE = "text"
  if (kind == "n") return nft(from, to)
  if (kind == "i") return ip(from, to)
  if (kind == "l") return flows(from, to)
  if (kind == "u") return undotext(from, to)
  if (kind == "w") return written(LASTFILE, from, to)
  return no("stdin")
}
function fits(form, lo, hi, where, from, to,   t, n, i, at, g, j) {
  n = split(form, t, " "); at = lo
  for (i = 1; i <= n; i++) {
    if (t[i] == "[") {
      g = n - i - 1
      while (at <= hi) for (j = 1; j <= g; j++) { if (at > hi || !one(t[i + j], W[at])) return 0; at++ }
      return 1
    }
    if (t[i] == "<ip>") return ipline(at, hi)
    if (t[i] == "<wg>") return wgline(at, hi)
    if (t[i] == "<guarded>") return check(at, hi, "guard", from, to)
    if (at > hi || !one(t[i], W[at])) return 0
    at++
  }
  return at == hi + 1
}
function one(t, w,   c) {
  c = substr(t, 1, 1)
  if (c == "<") return isof(substr(t, 2, length(t) - 2), w)
  if (t == "=") return w == ""
  if (c == "=") return w == STATE decode(substr(t, 3))
  return w == decode(t)
}
# Of pairs of a name and a value, or names alone, behind what a table says of each.
function optional(table, at, hi,   kind) {
  split("", SEEN)
  while (at <= hi) {
    if (!((table, W[at]) in OPTION)) return 0
    kind = OPTION[table, W[at]]
    SEEN[W[at]] = W[at + 1]
    if (kind == "-") { at++; continue }
    if (kind == "via" && W[at + 1] == "inet6") at++
    if (at + 1 > hi || !isof(kind == "via" ? "address" : kind, W[at + 1])) return 0
    at += 2
  }
  return 1
}
function isof(kind, w,   part, n, i) {
  if (w ~ /[^ -~]/ && kind !~ /^(title|daemontext|value|ends)$/) return 0
  if (kind == "number") return w ~ /^[0-9]+$/ && length(w) < 11
  if (kind == "link") return w ~ /^sp-[A-Za-z0-9_.-]+$/ && length(w) < 16
  if (kind == "keyname") return w ~ /^sp-[A-Za-z0-9_.-]+$/ && length(w) < 32
  if (kind == "anylink") return w ~ /^[A-Za-z0-9_.][A-Za-z0-9_.:+-]*$/ && length(w) < 16
  if (kind == "linkorno") return w == "" || isof("anylink", w)
  if (kind == "address") return w ~ /^[0-9a-f:][0-9a-f:.]+$/ && length(w) < 46
  if (kind == "prefix") return (n = split(w, part, "/")) < 3 && isof("address", part[1]) && (n == 1 || isof("number", part[2]))
  if (kind == "prefixes") {
    n = split(w, part, ",")
    for (i = 1; i <= n; i++) if (!isof("prefix", part[i])) return 0
    return 1
  }
  if (kind == "mark") return w ~ /^[0-9]+$/ || w ~ /^0x[0-9a-f]+$/ || w ~ /^0x[0-9a-f]+\/0x[0-9a-f]+$/
  if (kind == "ourmark") return w ~ /^0x[1-9a-f][0-9a-f]*\/0x[1-9a-f][0-9a-f]*$/
  if (kind == "family") return w == "ipv4" || w == "ipv6"
  if (kind == "ipfamily") return w == "4" || w == "6"
  if (kind == "transport") return w == "tcp" || w == "udp"
  if (kind == "ours") return w == "@PROTOCOL@"
  if (kind == "any") return w == "any"
  if (kind == "none") return w == "none"
  if (kind == "table") return isof("number", w) && w != "0" && w != "255"
  if (kind == "alias") return w ~ /^[A-Za-z0-9 _.:,()\/-]*$/
  if (kind == "key") return w ~ /^[A-Za-z0-9+\/]+=$/ && length(w) == 44
  if (kind == "keyfile") return w == STATE "/keys/" LINK ".key"
  if (kind == "secretfile") return w == "/dev/null" || secret(w)
  if (kind == "endpoint") return w ~ /^[A-Za-z0-9[][][A-Za-z0-9.:_-]*$/
  if (kind == "token") { TOKEN = w; return w ~ /^[0-9a-f][0-9a-f-]+$/ && length(w) == 36 }
  if (kind == "ms") { WINDOW = w; return w ~ /^[1-9][0-9]*$/ && length(w) < 10 }
  if (kind == "title") return w !~ /[\001-\037\177]/ && length(w) < 1000
  if (kind == "name") return w ~ /^[A-Za-z_][A-Za-z0-9_.\/-]*$/
  if (kind == "tablefamily") return w ~ /^(ip|ip6|inet|arp|bridge|netdev)$/
  if (kind == "generation") return w ~ /^[A-Za-z0-9 :.+-]*$/
  if (kind == "sysctl") return sysctl(w)
  if (kind == "value") return w ~ /^[0-9-][0-9 \t-]*$/ && length(w) < 100
  if (kind == "draft") return index(w, STATE "/lock.") == 1 && substr(w, length(STATE) + 7) ~ /^[0-9]+\.[0-9]+$/
  if (kind == "statefile") return w == STATE "/record.json" || w == STATE "/undo.sh" || w == STATE "/restore.sh"
  if (kind == "ownfile") { LASTFILE = w; return isof("statefile", w) || isof("draft", w) || secret(w) }
  if (kind == "mode") return w == (LASTFILE ~ /\.sh$/ ? "700" : "600")
  if (kind == "daemonfile") { LASTDAEMON = w; return w in DAEMON }
  if (kind == "daemontext") return w == "" || w == DAEMON[LASTDAEMON]
  if (kind == "daemon") return w == "systemd" || w == "systemd-networkd" || w == "NetworkManager"
  if (kind == "once") return w == "" || w == "1"
  if (kind == "probe") return w == "tcp" || w == "any" || w ~ /^\/[A-Za-z0-9_.~\/?=&%+-]*$/
  if (kind == "asked") return w == "example.com" || w == "example.net"
  if (kind == "counters") return w == "latest-handshakes" || w == "transfer"
  if (kind == "how") return w == "together" || w == "each"
  if (kind == "ends") {
    n = split(w, part, "\n")
    for (i = 1; i < n; i++) if (!flow(part[i])) return 0
    return part[n] == ""
  }
  if (kind == "listing") return flowlist(w)
  return 0
}
# The file of a preshared key, which comes from here and is never read back.
function secret(w) { return index(w, STATE "/keys/") == 1 && length(w) < 200 && substr(w, length(STATE) + 7) ~ /^[A-Za-z0-9][A-Za-z0-9_.-]*\.[0-9a-f]+\.psk$/ }
# Of the network, and of those that plans write or put back.
function sysctl(path,   part, n) {
  if (path !~ /^net\/[A-Za-z0-9_.:+\/-]+$/) return 0
  n = split(path, part, "/")
  if (n == 5 && part[3] == "conf") {
    if (part[4] == "." || part[4] == "..") return 0
    return ("net/" part[2] "/conf/*/" part[5]) in SYSCTL
  }
  return path in SYSCTL
}
`;
