package config

import "strings"

// Environ returns the settings that environment variables make, given as
// os.Environ gives them: PLACK_ENV and PLACK_QUIET, which plackup honours too,
// and SERVER_STARTER_PORT, by which start_server hands over its listeners.
// Variables that are empty are as good as missing.
func Environ(env []string) []Setting {
	var settings []Setting
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if value == "" {
			continue
		}
		if name == "SERVER_STARTER_PORT" {
			settings = append(settings, handed(name, value)...)
			continue
		}
		for _, k := range Keys() {
			if k.Env != name {
				continue
			}
			if k.Switch() {
				value = truth(value)
			}
			settings = append(settings, Setting{Key: k.Name, Value: value, Origin: name, Environ: true})
		}
	}
	return settings
}

// truth is Perl's: everything but 0 is true.
func truth(value string) string {
	if value == "0" {
		return "false"
	}
	return "true"
}

// handed reads "0.0.0.0:80=4;/run/app.sock=5", where each address has the number
// of the descriptor that listens on it.
func handed(name, value string) []Setting {
	var settings []Setting
	for _, listener := range strings.Split(value, ";") {
		descriptor := listener[strings.LastIndexByte(listener, '=')+1:]
		settings = append(settings, Setting{Key: "listen", Value: "fd:" + descriptor, Origin: name, Environ: true})
	}
	return settings
}
