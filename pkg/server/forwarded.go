package server

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/thralld/thralld/pkg/psgi"
)

// forwarding says which proxies are believed, and what. Nil believes nobody.
type forwarding struct {
	trusted *peers
	fields  map[string]bool // in lower case
}

// The fields in which proxies tell what they have taken off a request.
const (
	forwardedFor   = "x-forwarded-for"
	forwardedProto = "x-forwarded-proto"
	forwardedHost  = "x-forwarded-host"
	forwardedPort  = "x-forwarded-port"
	forwardedAll   = "forwarded" // RFC 7239
)

func newForwarding(trusted, fields []string) (*forwarding, error) {
	all, err := parsePeers(trusted)
	if err != nil || all == nil {
		return nil, err
	}
	f := &forwarding{trusted: all, fields: make(map[string]bool)}
	for _, name := range fields {
		switch name = strings.ToLower(name); name {
		case forwardedFor, forwardedProto, forwardedHost, forwardedPort, forwardedAll:
			f.fields[name] = true
		default:
			return nil, fmt.Errorf("forwarded header %.60q: this is none that could be obeyed", name)
		}
	}
	if f.fields[forwardedAll] && len(f.fields) > 1 {
		return nil, fmt.Errorf("forwarded headers: a proxy that sets %s does not set the others, so clients could", forwardedAll)
	}
	return f, nil
}

// trusts reports whether who is at that end of a connection is a trusted proxy.
func (f *forwarding) trusts(end net.Addr) bool { return f != nil && f.trusted.hasEnd(end) }

// believes reports whether what a request says of other hops is to be believed.
func (f *forwarding) believes(e *endpoints) bool {
	return f != nil && !e.hidden && f.trusted.hasEnd(e.remote)
}

// forwarded is what trusted proxies tell about a request. What they do not tell is empty.
type forwarded struct {
	client netip.AddrPort
	scheme string // http or https
	host   string // with a port if it needs one
	port   string
}

// read reads what the proxies between the client and us have told, of which the nearest
// is trusted. It calls doubt for what it does not believe.
func (f *forwarding) read(h psgi.Header, doubt func(field, value, why string)) (told forwarded) {
	if list, ok := f.value(h, forwardedAll); ok {
		var why string
		if told, why = f.readForwarded(list); why != "" {
			doubt("Forwarded", list, why)
		}
	}
	if list, ok := f.value(h, forwardedFor); ok {
		var why string
		if told.client, why = f.clientOf(list); why != "" {
			doubt("X-Forwarded-For", list, why)
		}
	}
	if list, ok := f.value(h, forwardedProto); ok {
		if told.scheme, ok = parseProto(lastItem(list)); !ok {
			doubt("X-Forwarded-Proto", list, "neither http nor https")
		}
	}
	if list, ok := f.value(h, forwardedHost); ok {
		if told.host, ok = parseHost(lastItem(list)); !ok {
			doubt("X-Forwarded-Host", list, "not a host")
		}
	}
	if list, ok := f.value(h, forwardedPort); ok {
		if told.port, ok = parsePort(lastItem(list)); !ok {
			doubt("X-Forwarded-Port", list, "not a port")
		}
	}
	return told
}

// value returns the whole list that stands in the fields of a name, if they are obeyed.
func (f *forwarding) value(h psgi.Header, name string) (list string, ok bool) {
	if !f.fields[name] {
		return "", false
	}
	for i := range h {
		if equalFold(h[i].Name, name) {
			list, _ = joined(h[i:])
			return list, true
		}
	}
	return "", false
}

// maxHops is how many proxies may stand in a row.
const maxHops = 32

// clientOf walks along X-Forwarded-For from its end, where the nearest proxy has written,
// and returns the first address that is not a trusted proxy: what stands before it was
// written by somebody whom nobody knows. If the walk ends earlier, why says it, and the
// client is the last proxy that was known; its zero value is who is connected.
func (f *forwarding) clientOf(list string) (client netip.AddrPort, why string) {
	for hops := 0; list != ""; hops++ {
		if hops == maxHops {
			return client, "too many hops"
		}
		var item string
		list, item = cutLast(list)
		if item == "" || item == "unix:" && f.trusted.unix { // nginx's name for who came by a unix socket
			continue
		}
		node, ok := parseNode(item)
		if !ok {
			return client, "not an address"
		}
		if client = node; !f.trusted.has(node.Addr()) {
			break
		}
	}
	return client, ""
}

// readForwarded is the same for Forwarded. Each element was written by the proxy after it:
// so those that the walk comes to tell scheme and host as well.
func (f *forwarding) readForwarded(list string) (told forwarded, why string) {
	for hops := 0; list != ""; hops++ {
		if hops == maxHops {
			return told, "too many hops"
		}
		var text string
		list, text = cutElement(list)
		if text == "" {
			continue
		}
		e, ok := parseElement(text)
		if !ok {
			return told, "malformed"
		}
		if scheme, ok := parseProto(e.proto); ok {
			told.scheme = scheme
		} else if e.proto != "" {
			why = "proto is neither http nor https"
		}
		if host, ok := parseHost(e.host); ok {
			told.host = host
		} else if e.host != "" {
			why = "host is not a host"
		}
		node, ok := parseNode(e.node)
		if !ok {
			return told, "for is not an address"
		}
		if told.client = node; !f.trusted.has(node.Addr()) {
			break
		}
	}
	return told, why
}

// lastItem returns the last item of a list, which the nearest proxy has written.
func lastItem(list string) string {
	_, item := cutLast(list)
	return item
}

// isEmpty reports whether they tell nothing.
func (t *forwarded) isEmpty() bool { return *t == forwarded{} }

// over returns scheme and host as the client used them, in place of those that the proxy
// has used. A host that was told gets the port that was told, unless that goes without
// saying.
func (t *forwarded) over(scheme, host string) (string, string) {
	if t.scheme != "" {
		scheme = t.scheme
	}
	if t.host == "" {
		return scheme, host
	}
	host = t.host
	if _, port := cutPort(host); port == "" && t.port != "" && t.port != defaultPort(scheme) {
		host += ":" + t.port
	}
	return scheme, host
}

// serverPort is the port that the client has connected to, or "" if that is not known.
func (t *forwarded) serverPort(scheme, host string) string {
	_, port := cutPort(host)
	switch {
	case t.port != "" && (t.host == "" || port == ""):
		return t.port
	case port != "", host == "":
		return port
	}
	return defaultPort(scheme)
}

// overrule replaces what an environment says of the connection, which is kept in keys of
// our own. Of a key that stands there twice the app sees the last.
func (t *forwarded) overrule(env *psgi.Env, r *request, scheme, host string) {
	if port := t.serverPort(scheme, host); port != "" {
		env.Set("SERVER_PORT", port)
	}
	if t.client.IsValid() {
		env.Set("REMOTE_ADDR", t.client.Addr().String())
		env.Set("REMOTE_PORT", strconv.Itoa(int(t.client.Port())))
	}
	env.Set("thralld.url_scheme", r.scheme)
}
