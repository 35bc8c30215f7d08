package config

import (
	"net"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A form says what is wrong with a text of the right type, or "". The range and
// the words of a key are in its tags; what no tag can say is here.
type form func(text string) (problem string)

var forms = map[string]form{
	"path":            mountForm,
	"host":            hostForm,
	"socket":          socketForm,
	"socket_mode":     socketModeForm,
	"listen":          listenForm,
	"modules":         moduleForm,
	"perl":            notEmpty,
	"app":             notEmpty,
	"include":         notEmpty,
	"env":             notEmpty,
	"server_software": headerForm,
	"umask":           umaskForm,
}

// tableForms are those of the keys of tables, behind the name of the table and a dot.
var tableForms = map[string]form{
	"listener.address": listenForm,
	"listener.mode":    socketModeForm,
}

var (
	moduleName = regexp.MustCompile(`^[A-Za-z_]\w*(::\w+)*(=.*)?$`)
	className  = regexp.MustCompile(`^[A-Za-z_]\w*(::\w+)*$`)
)

const (
	wantListen   = "; want HOST:PORT, :PORT, [::1]:PORT, a path with a slash in it, @NAME, fd:NUMBER or systemd:NAME"
	handedFD     = "fd:"
	handedName   = "systemd:"
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

func socketModeForm(text string) string {
	if mode, err := strconv.ParseUint(text, 8, 32); text != "" && (err != nil || mode == 0 || mode > 0o777) {
		return "got " + got(text) + ", want octal digits from 1 to 777, such as \"660\""
	}
	return ""
}

func listenForm(text string) string {
	switch {
	case strings.HasPrefix(text, handedName):
		name := text[len(handedName):]
		if name == "" || strings.ContainsAny(name, ":/") || strings.ContainsFunc(name, unicode.IsControl) {
			return "got " + got(text) + ", want the name of a socket (FileDescriptorName=, or else that of its .socket unit)"
		}
		return ""
	case strings.HasPrefix(text, handedFD):
		if number, err := strconv.Atoi(text[len(handedFD):]); err != nil || number < 3 {
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

// form returns the check of a key's text, or nil.
func (k Key) form() form {
	if k.table != "" {
		return tableForms[k.table+"."+k.Name]
	}
	return forms[k.Name]
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
	case k.table == "" && k.Name == "path":
		if bare := strings.TrimRight(text, "/"); bare != "" {
			return bare
		}
	}
	return text
}
