package config

import (
	"net"
	"net/netip"
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
	"compress":        codingForm,
	"compress_types":  mediaTypeForm,

	"trusted_proxies":   peerForm,
	"forwarded_headers": forwardedForm,
	"request_id_header": fieldForm,
}

// tableForms are those of the keys of tables, behind the name of the table and a dot.
var tableForms = map[string]form{
	"listener.address":     listenForm,
	"listener.mode":        socketModeForm,
	"static.path":          sitePathForm,
	"static.dir":           notEmpty,
	"static.index":         fileNameForm,
	"static.cache_control": headerForm,
	"sendfile.dir":         notEmpty,
	"sendfile.prefix":      prefixForm,
}

var (
	moduleName = regexp.MustCompile(`^[A-Za-z_]\w*(::\w+)*(=.*)?$`)
	mediaType  = regexp.MustCompile(`^[a-z0-9.+-]+/([a-z0-9.+-]+|\*)$`)
	fieldName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
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

func codingForm(text string) string {
	switch text {
	case "zstd", "br", "gzip":
		return ""
	}
	return "got " + got(text) + ", want zstd, br or gzip"
}

func mediaTypeForm(text string) string {
	if !mediaType.MatchString(text) {
		return "got " + got(text) + ", want a media type without parameters, such as text/html or text/*"
	}
	return ""
}

func peerForm(text string) string {
	switch text {
	case "unix", "loopback", "private":
		return ""
	}
	_, err := netip.ParseAddr(text)
	if strings.Contains(text, "/") {
		_, err = netip.ParsePrefix(text)
	}
	if err != nil || strings.Contains(text, "%") || strings.Contains(text, ".") && strings.Contains(text, ":") {
		return "got " + got(text) + `, want an address, a network such as "10.0.0.0/8", "loopback", "private" or "unix"`
	}
	return ""
}

func forwardedForm(text string) string {
	switch text {
	case "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded":
		return ""
	}
	return "got " + got(text) + `, want "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host" and "x-forwarded-port", or "forwarded"`
}

// fieldForm is that of a header that thralld may add: those that say where an answer
// ends are not for that.
func fieldForm(text string) string {
	switch strings.ToLower(text) {
	case "connection", "content-length", "content-type", "date", "keep-alive", "status", "te", "trailer", "transfer-encoding", "upgrade":
		return "got " + got(text) + ", which has a meaning of its own"
	}
	if text != "" && !fieldName.MatchString(text) {
		return "got " + got(text) + ", want the name of a header, such as X-Request-ID"
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
// the two characters \0), a mount point has no slash at its end, and the log that is
// called - is stderr.
func (k Key) canonical(text string) string {
	switch {
	case k.path == "socket" || k.path == "listen":
		for _, sign := range []string{"\x00", `\0`} {
			if name, ok := strings.CutPrefix(text, sign); ok {
				return abstractSign + name
			}
		}
	case k.table == "" && k.Name == "access_log":
		if text == "-" {
			return "stderr"
		}
	case k.Name == "forwarded_headers":
		return strings.ToLower(text)
	case k.table == "" && k.Name == "path":
		if bare := strings.TrimRight(text, "/"); bare != "" {
			return bare
		}
	}
	return text
}
