package main

import (
	"slices"
	"strings"

	"github.com/thralld/thralld/config"
)

// An option is one long option, with what the grammar must know of it.
type option struct {
	key   string // the key of thrall.toml that it sets, or "" for thralld's own
	name  string // without dashes: max-queue
	short string // one letter, or ""
	needs bool   // must have a value; the others are switches
}

// options lists every option there is: one for each key and its aliases, and
// thralld's own.
func options() []option {
	list := []option{
		{name: "config", short: "c", needs: true},
		{name: "server", short: "s", needs: true},
		{name: "loader", short: "L", needs: true},
		{name: "help", short: "h"},
		{name: "version", short: "v"},
	}
	for _, k := range config.Keys() {
		list = append(list, option{key: k.Name, name: k.Flag(), short: k.Short, needs: !k.Switch()})
		for _, alias := range k.Aliases {
			list = append(list, option{key: k.Name, name: config.FlagOf(alias), needs: !k.Switch()})
		}
	}
	return list
}

// commands are the words that, as the first word, are no application.
var commands = []string{"check", "config", "help", "reload", "status", "stop", "trace"}

// ownOptions are those that one command alone takes, behind its name.
var ownOptions = map[string][]option{
	"reload": {{name: "no-wait"}},
	"status": {{name: "json"}},
}

// normalise brings a command line as plackup and Thrall take it into the one form
// that needs no knowledge to read:
//
//	[command] --name=value… -- [words…]
//
// It understands --foo-bar=x, --foo-bar x, --foo_bar x, --foo, --no-foo,
// --enable-foo, --disable-foo, long words after one dash (-workers=20), letters
// with their value beside or after them (-I lib, -Ilib, -MFoo=bar), and -- before
// words that only look like options. A switch takes the next word only when its
// name was written out and the word is 0 or 1 (--ipv6 0), so that -q app.psgi
// means what it says.
//
// The mistakes are everything that it did not understand, a line each.
func normalise(args []string) (line, mistakes []string) {
	known := options()
	var flags, words []string
	command := ""
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			words = append(words, args...)
			args = nil
		case !strings.HasPrefix(arg, "-") || arg == "-":
			if command == "" && len(words) == 0 && slices.Contains(commands, arg) {
				command = arg
				known = append(known, ownOptions[command]...)
				continue
			}
			words = append(words, arg)
		default:
			flag, used, mistake := readOption(known, arg, args)
			args = args[used:]
			if mistake != "" {
				mistakes = append(mistakes, mistake)
				continue
			}
			flags = append(flags, flag)
		}
	}
	if command != "" {
		line = append(line, command)
	}
	line = append(append(line, flags...), "--")
	return append(line, words...), mistakes
}

// readOption brings one option into the form --name=value, and says how many of
// the arguments after it belong to it: none or one.
func readOption(known []option, arg string, after []string) (flag string, used int, mistake string) {
	o, value, attached, ok := parseOption(known, arg)
	switch {
	case !ok:
		return "", 0, unknownOption(known, arg)
	case o.needs && !attached:
		if len(after) == 0 || isOption(known, after[0]) {
			return "", 0, "option " + arg + " needs a value"
		}
		value, used = after[0], 1
	case !o.needs && !attached:
		value = "true"
		if strings.HasPrefix(arg, "--") && len(after) > 0 && (after[0] == "0" || after[0] == "1") {
			value, used = after[0], 1
		}
	}
	return "--" + o.name + "=" + value, used, ""
}

// parseOption finds the option that arg spells. The value is attached when arg
// itself has one, or when the spelling is one: --disable-foo.
func parseOption(known []option, arg string) (o option, value string, attached, ok bool) {
	dashes := 1
	if strings.HasPrefix(arg, "--") {
		dashes = 2
	}
	name, value, attached := strings.Cut(arg[dashes:], "=")
	if dashes == 2 || len(name) > 1 {
		if o, ok := long(known, name); ok {
			return o, value, attached, true
		}
		for prefix, says := range map[string]string{"no-": "false", "disable-": "false", "enable-": "true"} {
			base, cut := strings.CutPrefix(config.FlagOf(name), prefix)
			if o, ok := long(known, base); cut && ok && !o.needs && !attached {
				return o, says, true, true
			}
		}
	}
	if dashes == 2 {
		return option{}, "", false, false
	}
	return letter(known, arg[1:])
}

func long(known []option, name string) (option, bool) {
	for _, o := range known {
		if o.name == config.FlagOf(name) {
			return o, true
		}
	}
	return option{}, false
}

// letter reads a letter and what is cuddled to it. A switch takes nothing but
// "=value"; anything else there is a misspelt word.
func letter(known []option, text string) (o option, value string, attached, ok bool) {
	for _, o := range known {
		if o.short == "" || !strings.HasPrefix(text, o.short) {
			continue
		}
		rest := text[len(o.short):]
		value, assigned := strings.CutPrefix(rest, "=")
		return o, value, rest != "", o.needs || rest == "" || assigned
	}
	return option{}, "", false, false
}

// isOption reports whether a word is an option rather than a value.
func isOption(known []option, word string) bool {
	if word == "--" {
		return true
	}
	if !strings.HasPrefix(word, "-") || word == "-" {
		return false
	}
	_, _, _, ok := parseOption(known, word)
	return ok
}

func unknownOption(known []option, arg string) string {
	var names []string
	for _, o := range known {
		names = append(names, o.name)
	}
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	shown, _, _ := strings.Cut(arg, "=")
	if near := config.Nearest(config.FlagOf(name), names); near != "" {
		return "unknown option " + shown + "; did you mean --" + near + "?"
	}
	return "unknown option " + shown
}
