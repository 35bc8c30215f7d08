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
	{Name: "max_reqs_per_child", Aliases: []string{"max_requests"}, what: "recycling workers by count"},
	{Name: "min_reqs_per_child", what: "recycling workers by count"},
	{Name: "spawn_interval", what: "a pause between one new worker and the next"},
	{Name: "main_thread_delay", Aliases: []string{"main_process_delay"}, what: "periodic housekeeping"},
	{Name: "threads", what: "running the app in threads"},
	{Name: "thread_stack_size", what: "running the app in threads"},
	{Name: "ssl", Switch: true, what: "TLS"},
	{Name: "ssl_key_file", what: "TLS"},
	{Name: "ssl_cert_file", what: "TLS"},
	{Name: "ssl_ca_file", what: "TLS"},
	{Name: "ssl_client_ca_file", what: "TLS"},
	{Name: "ssl_verify_mode", what: "TLS"},
	{Name: "user", what: "switching to another user"},
	{Name: "group", what: "switching to another group"},
	{Name: "umask", what: "setting the umask"},
	{Name: "daemonize", Short: "D", Switch: true, what: "going into the background"},
	{Name: "pid", what: "writing a pid file"},
	{Name: "error_log", what: "logging to a file"},
	{Name: "access_log", what: "the access log"},
	{Name: "reload", Short: "r", Switch: true, what: "reloading the app when its files change"},
	{Name: "Reload", Short: "R", what: "reloading the app when its files change"},
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
