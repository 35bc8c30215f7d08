package server

import (
	"net/netip"
	"strconv"
	"strings"
)

// element is one of Forwarded: what a proxy says of who came to it (RFC 7239, 4).
type element struct{ node, proto, host string }

// cutLast cuts the last item from a list.
func cutLast(list string) (rest, item string) {
	i := strings.LastIndexByte(list, ',')
	if i >= 0 {
		rest = list[:i]
	}
	return rest, strings.Trim(list[i+1:], " \t")
}

// cutElement cuts the last element from a Forwarded list. It looks for its begin from its
// end: a client may have sent a quote that opens and never closes, and the proxy's own
// words behind it are sound.
func cutElement(list string) (rest, text string) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch c := list[i]; {
		case c == '"' && (!quoted || !isEscaped(list, i)):
			quoted = !quoted
		case c == ',' && !quoted:
			return list[:i], strings.Trim(list[i+1:], " \t")
		}
	}
	return "", strings.Trim(list, " \t")
}

// isEscaped reports whether an odd number of backslashes stands before a byte.
func isEscaped(text string, at int) bool {
	before := strings.TrimRight(text[:at], `\`)
	return (at-len(before))%2 == 1
}

// parseElement reads pairs of a name and a value, with semicolons between them. A
// parameter that is not known may have any value; none may come twice. Beyond the RFC a
// value may hold brackets and colons without being quoted, as some proxies write it.
func parseElement(text string) (e element, ok bool) {
	seen := make(map[string]bool)
	for text != "" {
		n := tokenLength(text)
		name := strings.ToLower(text[:n])
		if n == 0 || n == len(text) || text[n] != '=' || seen[name] {
			return element{}, false
		}
		seen[name] = true
		value, rest, ok := cutValue(text[n+1:])
		if !ok {
			return element{}, false
		}
		switch name {
		case "for":
			e.node = value
		case "proto":
			e.proto = value
		case "host":
			e.host = value
		}
		if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ';' {
			return element{}, false
		}
		text = strings.TrimLeft(rest, "; \t")
	}
	return e, true
}

func tokenLength(text string) (n int) {
	for n < len(text) && classes[text[n]]&tokenClass != 0 {
		n++
	}
	return n
}

// cutValue cuts a value, quoted or not, from the front of text.
func cutValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		n := strings.IndexAny(text, "; \t\"")
		if n < 0 {
			n = len(text)
		}
		return text[:n], text[n:], n > 0
	}
	var plain []byte
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return string(plain), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			plain = append(plain, text[i])
		default:
			plain = append(plain, c)
		}
	}
	return "", "", false
}

// parseNode reads the address of a hop: IPv4, or IPv6 with or without brackets, with a
// port or without. The port is 0 where there is none, or one that hides itself. For
// "unknown", names that stand for an address, and what is none, it is false.
func parseNode(text string) (node netip.AddrPort, ok bool) {
	host, port := text, ""
	switch inner, bracketed := strings.CutPrefix(text, "["); {
	case bracketed:
		if host, port, ok = strings.Cut(inner, "]"); !ok || !strings.Contains(host, ":") {
			return node, false
		}
		if port, ok = strings.CutPrefix(port, ":"); !ok && port != "" || ok && port == "" {
			return node, false
		}
	case strings.Count(text, ":") == 1:
		if host, port, _ = strings.Cut(text, ":"); port == "" {
			return node, false
		}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return node, false
	}
	var number uint64
	if port != "" && port[0] != '_' {
		if _, ok := parsePort(port); !ok {
			return node, false
		}
		number, _ = strconv.ParseUint(port, 10, 16)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), true
}

// parseProto reads a scheme. Those of websockets are what they are carried by, as some
// proxies tell it.
func parseProto(text string) (scheme string, ok bool) {
	switch {
	case equalFold(text, "http"), equalFold(text, "ws"):
		return "http", true
	case equalFold(text, "https"), equalFold(text, "wss"):
		return "https", true
	}
	return "", false
}

// maxHost is the longest host with its port, in bytes: DNS has no longer names.
const maxHost = 260

// parseHost checks a host, which may have a port.
func parseHost(text string) (host string, ok bool) {
	if text == "" || len(text) > maxHost || !validHost(text) {
		return "", false
	}
	name, port := cutPort(text)
	if name == "" || strings.Contains(name, ":") && name[0] != '[' {
		return "", false
	}
	if len(name) < len(text) {
		if _, ok := parsePort(port); !ok {
			return "", false
		}
	}
	return text, true
}

// parsePort checks the number of a port.
func parsePort(text string) (port string, ok bool) {
	if len(text) > 5 || text == "" || text[0] == '0' {
		return "", false
	}
	if _, err := strconv.ParseUint(text, 10, 16); err != nil {
		return "", false
	}
	return text, true
}
