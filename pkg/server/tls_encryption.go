package server

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/thralld/thralld/pkg/psgi"
)

// encryption is what the environment says of a connection's TLS, in the words of
// Apache's mod_ssl. It does not change while the connection lives.
type encryption struct {
	protocol string // TLSv1.3
	cipher   string // as OpenSSL names it
	verify   string // SUCCESS or NONE: a client whose certificate is not good gets no further than the handshake
	subject  string // of the client's certificate; "" if there is none
}

// encryptionOf tells of a connection whose handshake is done.
func encryptionOf(state tls.ConnectionState) *encryption {
	e := &encryption{protocol: "TLSv1.2", cipher: openSSLName(state.CipherSuite), verify: "NONE"}
	if state.Version == tls.VersionTLS13 {
		e.protocol = "TLSv1.3"
	}
	if len(state.PeerCertificates) > 0 {
		e.verify, e.subject = "SUCCESS", distinguishedName(state.PeerCertificates[0])
	}
	return e
}

// set adds the keys to an environment. No header field of the client's can: those begin
// with HTTP_.
func (e *encryption) set(env *psgi.Env) {
	env.Set("SSL_PROTOCOL", e.protocol)
	env.Set("SSL_CIPHER", e.cipher)
	env.Set("SSL_CLIENT_VERIFY", e.verify)
	if e.subject != "" {
		env.Set("SSL_CLIENT_S_DN", e.subject)
	}
}

// openSSLName returns OpenSSL's name for a cipher suite: for those of TLS 1.3 it is the
// standard's.
func openSSLName(suite uint16) string {
	name := tls.CipherSuiteName(suite)
	exchange, cipher, old := strings.Cut(strings.TrimPrefix(name, "TLS_"), "_WITH_")
	if !old {
		return name
	}
	cipher = strings.NewReplacer("AES_128", "AES128", "AES_256", "AES256", "_POLY1305_SHA256", "_POLY1305").Replace(cipher)
	return strings.ReplaceAll(exchange+"-"+cipher, "_", "-")
}

// attributeNames are OpenSSL's short names for the parts of a name (RFC 4519 has most).
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.17": "postalCode",
	"2.5.4.42": "GN", "2.5.4.43": "initials", "2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym",
	"1.2.840.113549.1.9.1": "emailAddress", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
}

// distinguishedName writes the subject of a certificate as RFC 2253 has it, the last part
// first: CN=alice,O=Example. Control characters are escaped, so it is of one line.
func distinguishedName(cert *x509.Certificate) string {
	var parts pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &parts); err != nil || len(rest) > 0 {
		return ""
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		if i < len(parts)-1 {
			b.WriteByte(',')
		}
		for j, attribute := range parts[i] {
			if j > 0 {
				b.WriteByte('+')
			}
			oid := attribute.Type.String()
			name, known := attributeNames[oid]
			text, isText := attribute.Value.(string)
			switch {
			case known && isText:
				b.WriteString(name + "=" + escapeName(text))
			case known:
				b.WriteString(name + "=" + encodeName(attribute.Value))
			default:
				b.WriteString(oid + "=" + encodeName(attribute.Value))
			}
		}
	}
	return b.String()
}

// encodeName writes a value that has no text, or whose kind is not known: its encoding.
func encodeName(value any) string {
	der, err := asn1.Marshal(value)
	if err != nil {
		return "#"
	}
	return "#" + strings.ToUpper(hex.EncodeToString(der))
}

// escapeName escapes what has a meaning in a name (RFC 2253, 2.4).
func escapeName(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\%02X`, c)
		case strings.IndexByte(`,+"\<>;`, c) >= 0,
			i == 0 && (c == ' ' || c == '#'), i == len(text)-1 && c == ' ':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
