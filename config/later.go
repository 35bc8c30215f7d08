package config

// A LaterKey is a key that Thrall or plackup has and this version does not have
// yet. It is refused with a reason, because a setting that is taken and then
// does nothing is worse than one that is missing.
type LaterKey struct {
	Name    string
	Aliases []string
	Short   string // letter of the short option, or ""
	Switch  bool   // the option may stand without a value
	what    string // what it would do, to follow "…: " and stand before "is not in"
}

// Reason says, in one sentence, why the key is refused and what to do.
func (l LaterKey) Reason() string {
	return l.what + " is not in this version of thralld; remove it"
}

// Later returns the keys of later versions. The caller must not change it.
func Later() []LaterKey { return later }

var later = []LaterKey{
	{Name: "ssl", Switch: true, what: "TLS"},
	{Name: "ssl_key_file", what: "TLS"},
	{Name: "ssl_cert_file", what: "TLS"},
	{Name: "ssl_ca_file", what: "TLS"},
	{Name: "ssl_client_ca_file", what: "TLS"},
	{Name: "ssl_verify_mode", what: "TLS"},
}

func findLater(name string) (LaterKey, bool) {
	for _, l := range later {
		if l.Name == name {
			return l, true
		}
		for _, alias := range l.Aliases {
			if alias == name {
				return l, true
			}
		}
	}
	return LaterKey{}, false
}
