package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// longestSocket is how many bytes of path a unix socket's address has room for
// on Linux, without the NUL at its end.
const longestSocket = 107

// resolve makes the paths of a value absolute: those in thrall.toml start from
// its folder, those on the command line from the working directory. The path tag
// of the key says which texts are paths: "file" all of them, "program" those with
// a slash, "socket" those that are not abstract, "listen" those that are neither
// abstract nor HOST:PORT, "app" those that are no class, "stream" those that are no
// stream of the daemon.
func (k Key) resolve(folder, text string) string {
	switch {
	case k.path == "", text == "", filepath.IsAbs(text):
		return text
	case (k.path == "socket" || k.path == "listen") && strings.HasPrefix(text, abstractSign):
		return text
	case k.path == "stream" && (text == "stderr" || text == "stdout"):
		return text
	case (k.path == "program" || k.path == "listen") && !strings.Contains(text, "/"):
		return text
	}
	file := filepath.Join(folder, text)
	if k.path == "app" && className.MatchString(text) && !exists(file) {
		return text
	}
	return file
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// tooLong says that the path of a unix socket is longer than the kernel takes;
// it would only say "invalid argument".
func (k Key) tooLong(text string) string {
	isSocket := k.path == "socket" || (k.path == "listen" && strings.Contains(text, "/"))
	if isSocket && len(text) > longestSocket {
		return fmt.Sprintf("got %s, a socket path of %d bytes, want at most %d", got(text), len(text), longestSocket)
	}
	return ""
}
