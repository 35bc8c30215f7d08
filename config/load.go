package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A Setting is the value of a key as text, from the command line or the
// environment.
type Setting struct {
	Key    string // a name of [Names]: a key or an alias
	Value  string // a list takes one Setting for each item
	Origin string // as a person would look for it: "--workers", "PLACK_ENV"

	// Environ marks an environment variable: thrall.toml wins over it. Settings
	// without it are the command line's, which win over thrall.toml.
	Environ bool
}

// Load reads thrall.toml from file, or no file when file is "", and puts the
// settings below and above it. Of several settings of one key the last counts,
// except that those of a list add up; a list of the command line takes the place
// of the file's.
//
// Relative paths in file start from its folder, those of settings from the
// working directory. Load looks whether files exist but opens none besides file.
//
// When anything is wrong the error is a [Mistakes] with all of it. The
// configuration then is what could be understood, with defaults for the rest: it
// may help to find a daemon, and must not be run.
func Load(file string, settings []Setting) (*Config, error) {
	cwd, err := os.Getwd()
	if err != nil {
		cfg := Default()
		return &cfg, Mistakes{{Origin: ".", Problem: "the working directory cannot be found: " + reason(err)}}
	}
	return LoadFrom(cwd, file, settings)
}

// LoadFrom is [Load] as if cwd, an absolute path, were the working directory. A
// daemon reads its configuration again from where it was started, also when that
// path leads to another folder by now.
func LoadFrom(cwd, file string, settings []Setting) (*Config, error) {
	cfg := Default()
	l := loader{cfg: &cfg}
	l.cfg.origins, l.cfg.tables = map[string]string{}, map[string][]map[string]string{}
	l.defaults(cwd)
	l.settings(settings, true, cwd)
	if file != "" {
		l.file(file, cwd)
	}
	l.settings(settings, false, cwd)
	l.addresses(settings)
	if len(l.mistakes) == 0 {
		l.agree()
	}
	if len(l.mistakes) > 0 {
		return l.cfg, l.mistakes
	}
	return l.cfg, nil
}

// addresses lets an address of the command line win over every address of the
// file, whichever of the keys for addresses either of them uses, and a [[listener]] of
// the file over the listeners of the environment.
func (l *loader) addresses(settings []Setting) {
	given, inherited := map[string]bool{}, map[string]bool{}
	for _, s := range settings {
		if k, ok := find(s.Key); ok && !s.Environ {
			given[k.Name] = true
		} else if ok && k.Name == "listen" {
			inherited[s.Origin] = true
		}
	}
	if len(l.cfg.Listener) > 0 && inherited[l.cfg.Origin("listen")] {
		l.cfg.Listen = nil
		delete(l.cfg.origins, "listen")
	}
	if !given["listen"] && !given["socket"] && !given["host"] && !given["port"] {
		return
	}
	l.cfg.drop("listener")
	if given["listen"] {
		return
	}
	l.cfg.Listen = nil
	delete(l.cfg.origins, "listen")
	if !given["socket"] {
		l.cfg.Socket = ""
		delete(l.cfg.origins, "socket")
	}
}

// A loader lays one layer after the other over cfg, and goes on after a mistake.
type loader struct {
	cfg      *Config
	mistakes Mistakes
}

// mistake notes what is wrong with a whole origin, a file or an option.
func (l *loader) mistake(origin, problem string) {
	l.mistakes = append(l.mistakes, Mistake{Origin: origin, Problem: problem})
}

// defaults makes the paths among the defaults absolute.
func (l *loader) defaults(cwd string) {
	for _, k := range Keys() {
		if text, ok := l.cfg.Value(k.Name).(string); ok {
			l.cfg.whole().set(k, k.resolve(cwd, text))
		}
	}
}

// settings lays those of the environment, or those of the command line.
func (l *loader) settings(all []Setting, environ bool, cwd string) {
	begun := map[string][]string{} // what this layer has of each list
	for _, s := range all {
		if s.Environ != environ {
			continue
		}
		k, ok := find(s.Key)
		if !ok {
			l.mistake(s.Origin, unknown(s.Key))
			continue
		}
		value, ok := k.fromText(s.Value)
		if !ok {
			l.mistake(s.Origin, "got "+got(s.Value)+", want "+k.want())
			continue
		}
		value, problem := k.finish(value, cwd)
		if problem != "" {
			l.mistake(s.Origin, problem)
			continue
		}
		if items, ok := value.([]string); ok {
			begun[k.Name] = append(begun[k.Name], items...)
			value = begun[k.Name]
		}
		l.cfg.whole().set(k, value)
		l.cfg.origins[k.Name] = s.Origin
	}
}

// file lays thrall.toml. Mistakes show its name as it was given, origins its
// absolute path, since they outlive the command that gave it.
func (l *loader) file(name, cwd string) {
	absolute := name
	if !filepath.IsAbs(name) {
		absolute = filepath.Join(cwd, name)
	}
	l.cfg.file = absolute
	data, err := os.ReadFile(absolute)
	if err != nil {
		l.mistake(name, "cannot be read: "+reason(err))
		return
	}

	entries, mistakes := parseFile(name, string(data))
	l.mistakes = append(l.mistakes, sorted(append(mistakes, l.entries(entries, name)...))...)
}

// finish checks a value of the right type and puts it into its final shape, or
// says what is wrong with it.
func (k Key) finish(value any, folder string) (final any, problem string) {
	if !k.inRange(value) {
		return nil, k.refuse(value)
	}
	switch v := value.(type) {
	case string:
		return k.finishText(v, folder)
	case []string:
		list := make([]string, len(v))
		for i := range v {
			if list[i], problem = k.finishText(v[i], folder); problem != "" {
				return nil, problem
			}
		}
		return list, ""
	default:
		return value, ""
	}
}

func (k Key) finishText(text, folder string) (final, problem string) {
	if check := k.form(); check != nil {
		if problem = check(k.canonical(text)); problem != "" {
			return "", problem
		}
	}
	final = k.resolve(folder, k.canonical(text))
	return final, k.tooLong(final)
}

// refuse says what was there and what is wanted.
func (k Key) refuse(value any) string {
	problem := "got " + got(value) + ", want " + k.want()
	if k.isZero(value) {
		problem += "; " + k.zero
	}
	return problem
}

// unknown says why a name is not a key of the whole file.
func unknown(name string) string {
	for _, table := range Tables() {
		if table.Name == name {
			return "is a table: write [[" + name + "]] on a line of its own, and its keys below"
		}
		if _, ok := findIn(table.Keys, name); ok {
			return "is a key of [[" + table.Name + "]]; write it below one"
		}
	}
	return "unknown key" + didYouMean(name, Names())
}

// reason is the innermost cause of an error of the file system, without the
// call and the path that Go puts before it.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
