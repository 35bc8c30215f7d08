package config

import (
	"path"
	"strings"
)

// A Static is one [[static]]: a folder whose files are served without the application.
type Static struct {
	// Path is where the folder is on the site. The rest of a request's path names the
	// file in it.
	Path string `toml:"path" required:"true" arg:"PATH" help:"where the folder is on the site"`
	// Dir is the absolute path of the folder. Nothing outside of it is ever served.
	Dir string `toml:"dir" required:"true" arg:"DIR" path:"file" help:"the folder"`
	// Index is the name of the file that answers for a folder. Empty: none does.
	Index string `toml:"index" arg:"NAME" help:"the file that answers for a folder; empty: none"`
	// CacheControl is the Cache-Control of the answers. Empty adds none.
	CacheControl string `toml:"cache_control" arg:"TEXT" help:"the Cache-Control header of the answers; empty adds none"`
	// Precompressed sends a file's neighbour .br, .zst or .gz to clients that accept it.
	Precompressed bool `toml:"precompressed" default:"false" help:"send the .br, .zst or .gz beside a file to who accepts it"`
	// PassThrough leaves to the application what is not in the folder. Else it is 404.
	PassThrough bool `toml:"pass_through" default:"false" help:"leave to the application what is not there"`
	// Hidden serves what begins with a dot, too.
	Hidden bool `toml:"hidden" default:"false" help:"serve files whose names begin with a dot, too"`
}

// A Sendfile is one [[sendfile]]: a folder whose files the application may name in its
// answer, to have them sent.
type Sendfile struct {
	// Dir is the absolute path of the folder. The application names a file in it by
	// X-Sendfile.
	Dir string `toml:"dir" required:"true" arg:"DIR" path:"file" help:"the folder, as X-Sendfile names its files"`
	// Prefix stands for Dir in X-Accel-Redirect. Empty: that header is passed on.
	Prefix string `toml:"prefix" arg:"PATH" help:"what stands for the folder in X-Accel-Redirect; empty: nothing"`
}

// judge refuses a folder that would leave nothing to the application.
func (s *Static) judge() map[string]string {
	if path.Clean(s.Path) == "/" && !s.PassThrough {
		return map[string]string{"path": `got "/", where the application would get no request; want another path, or pass_through = true`}
	}
	return nil
}

// sitePathForm is that of the path of a folder on the site.
func sitePathForm(text string) string {
	if !strings.HasPrefix(text, "/") || text != "/" && path.Clean(text) != strings.TrimSuffix(text, "/") {
		return "got " + got(text) + ", want a path that starts with /, as it is after decoding, without . and .. in it"
	}
	return ""
}

// prefixForm is the same, or nothing.
func prefixForm(text string) string {
	if text == "" {
		return ""
	}
	return sitePathForm(text)
}

// fileNameForm is that of a name in a folder, or nothing.
func fileNameForm(text string) string {
	if strings.Contains(text, "/") || text == "." || text == ".." {
		return "got " + got(text) + ", want the name of a file, without a folder"
	}
	return ""
}
