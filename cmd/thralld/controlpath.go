package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/thralld/thralld/config"
)

// controlPath is where the daemon of a configuration opens its control socket:
// where the key control says; else beside the pid file, x.control beside x.pid (many
// a listener is x.sock); else in a folder for such
// things, with a name made from the configuration. The file is that of the
// configuration, or "".
func controlPath(file string, cfg *config.Config) string { return controlPaths(file, cfg)[0] }

// controlPaths are all places where the control socket may be, controlPath first.
// A service of systemd has its folder from a variable that an operator's shell has
// not: so a client looks further.
func controlPaths(file string, cfg *config.Config) []string {
	if path := text(cfg, "control"); path != "" {
		return []string{path}
	}
	if pid := text(cfg, "pid"); pid != "" {
		return []string{strings.TrimSuffix(pid, ".pid") + ".control"}
	}
	folders := controlFolders(os.Geteuid(), os.Getenv)
	paths := make([]string, len(folders))
	for i, folder := range folders {
		paths[i] = filepath.Join(folder, controlName(file, cfg))
	}
	return paths
}

// text is the value of a key, or "" when the configuration has no such key.
func text(cfg *config.Config, key string) string {
	value, _ := cfg.Value(key).(string)
	return value
}

// controlFolders are the folders for the sockets of a user's daemons, the best
// one first. A root's login has an XDG_RUNTIME_DIR, and a root's service has not:
// it is not used.
func controlFolders(uid int, getenv func(string) string) (folders []string) {
	const ofServices = "/run/thralld"
	if list := getenv("RUNTIME_DIRECTORY"); list != "" {
		first, _, _ := strings.Cut(list, ":")
		folders = append(folders, first)
	}
	if uid == 0 {
		return append(folders, ofServices)
	}
	if folder := getenv("XDG_RUNTIME_DIR"); folder != "" {
		folders = append(folders, filepath.Join(folder, "thralld"))
	}
	return append(folders, filepath.Join(os.TempDir(), fmt.Sprintf("thralld-%d", uid)), ofServices)
}

// controlName tells the daemons of one machine from each other by what does not
// change while they run: thrall.toml's path, and the app and the addresses that
// stand on the command line. What thrall.toml says is no part of it, else a reload
// that changes an address would not find the daemon.
func controlName(file string, cfg *config.Config) string {
	if absolute, err := filepath.Abs(file); file != "" && err == nil {
		file = absolute
	}
	parts := []string{file}
	if file == "" {
		parts = append(parts, cfg.App) // of this folder
	}
	for _, key := range []string{"app", "listen", "socket", "host", "port"} {
		if origin := cfg.Origin(key); origin == "argument" || strings.HasPrefix(origin, "--") {
			parts = append(parts, fmt.Sprintf("%s=%v", key, cfg.Value(key)))
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return fmt.Sprintf("thralld-%x.sock", sum[:4])
}
