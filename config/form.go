package config

import (
	"net"
	"regexp"
	"strconv"
	"strings"
)

// A form says what is wrong with a text of the right type, or "". The range and
// the words of a key are in its tags; what no tag can say is here.
type form func(text string) (problem string)

// forms has the keys of tables behind the name of the table and a dot.
var forms = map[string]form{
	"path":             mountForm,
	"host":             hostForm,
	"socket":           socketForm,
	"listen":           listenForm,
	"listener.address": listenForm,
	"modules":          moduleForm,
	"perl":             notEmpty,
	"app":              notEmpty,
	"include":          notEmpty,
	"env":              notEmpty,
	"server_software":  headerForm,
	"umask":            umaskForm,

	"static.path":          sitePathForm,
	"static.dir":           notEmpty,
	"static.index":         fileNameForm,
	"static.cache_control": headerForm,
	"sendfile.dir":         notEmpty,
	"sendfile.prefix":      prefixForm,
}

var (
	moduleName = regexp.MustCompile(`^[A-Za-z_]\w*(::\w+)*(=.*)?$`)
	className  = regexp.MustCompile(`^[A-Za-z_]\w*(::\w+)*$`)
)

const (
	wantListen   = "; want HOST:PORT, :PORT, [::1]:PORT, a path with a slash in it, @NAME or fd:NUMBER"
	handedOver   = "listeners that systemd hands over are not in this version of thralld; remove it"
	abstractSign = "@"
)

func notEmpty(text string) string {
	if strings.Trim(text, " ") == "" {
		return `got "", which names nothing`
	}
	return ""
}

func mountForm(text string) string {
	if !strings.HasPrefix(text, "/") {
		return "got " + got(text) + ", want a path that starts with /"
	}
	return ""
}

func headerForm(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "got " + got(text) + ", want ASCII without control characters"
	}
	return ""
}

func moduleForm(text string) string {
	if !moduleName.MatchString(text) {
		return "got " + got(text) + ", want a module such as Foo::Bar or Foo=bar,baz"
	}
	return ""
}

func umaskForm(text string) string {
	if mask, err := strconv.ParseUint(text, 8, 32); text != "" && (err != nil || mask > 0o777) {
		return "got " + got(text) + ", want octal digits from 0 to 777, such as \"027\""
	}
	return ""
}

func hostForm(text string) string {
	bare := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	if strings.ContainsAny(bare, "/@ []") || (strings.Contains(bare, ":") && net.ParseIP(zoneless(bare)) == nil) {
		return "got " + got(text) + ", want a host name or an address; the port is a key of its own"
	}
	return ""
}

// zoneless takes the zone from an IPv6 address: fe80::1%eth0 is fe80::1.
func zoneless(address string) string {
	address, _, _ = strings.Cut(address, "%")
	return address
}

func socketForm(text string) string {
	if text == abstractSign {
		return `got "@", want a name after it`
	}
	return ""
}

func listenForm(text string) string {
	switch {
	case strings.HasPrefix(text, "systemd:"):
		return "got " + got(text) + "; " + handedOver
	case strings.HasPrefix(text, "fd:"):
		if number, err := strconv.Atoi(text[len("fd:"):]); err != nil || number < 3 {
			return "got " + got(text) + ", want the number of an open descriptor, 3 or more"
		}
		return ""
	case strings.HasPrefix(text, abstractSign):
		return socketForm(text)
	case strings.Contains(text, ":/"):
		return "got " + got(text) + wantListen
	case strings.Contains(text, "/"):
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	number, wrong := strconv.Atoi(port)
	if err != nil || wrong != nil || number < 0 || number > 65535 || hostForm(host) != "" {
		return "got " + got(text) + wantListen
	}
	return ""
}

// full is the name of a key with that of its table: listener.address.
func (k Key) full() string {
	if k.table == "" {
		return k.Name
	}
	return k.table + "." + k.Name
}

// canonical gives the one spelling that the rest of thralld sees: an abstract
// socket begins with @ (Perl's habit is a NUL, which a shell can only write as
// the two characters \0), and a mount point has no slash at its end.
func (k Key) canonical(text string) string {
	switch {
	case k.path == "socket" || k.path == "listen":
		for _, sign := range []string{"\x00", `\0`} {
			if name, ok := strings.CutPrefix(text, sign); ok {
				return abstractSign + name
			}
		}
	case k.full() == "path":
		if bare := strings.TrimRight(text, "/"); bare != "" {
			return bare
		}
	}
	return text
}
