package config

import (
	"reflect"
	"strings"
	"sync"
)

// A Key is one key of thrall.toml and the option of the same name, as the tags of
// [Config] describe them.
type Key struct {
	Name    string   // as in thrall.toml: max_queue
	Aliases []string // older names that mean the same
	Short   string   // letter of the short option, or ""
	Arg     string   // what --help calls the value; "" for a switch
	Default string   // as text; "" for no text and for an empty list
	Env     string   // environment variable that sets it, or ""
	Help    string   // one line, lower case, without a full stop

	Apply    Apply  // what a reload does with a change
	min, max string // as text of the key's type; no min is 0, no max is no bound
	oneOf    []string
	zero     string // why 0 is refused, for a key whose least value is above 0
	endless  string // a word that means 0, which is no limit, or ""
	split    string // what stands between the items of a list in an option, or ""
	lone     bool   // one text may stand for a list of it
	path     string // how relative paths in it are made absolute, see resolve
	typ      reflect.Type
	field    int
}

// Flag returns the long option of the key, without its dashes: max-queue.
func (k Key) Flag() string { return FlagOf(k.Name) }

// FlagOf returns the long option that stands for a name of thrall.toml.
func FlagOf(name string) string { return strings.ReplaceAll(name, "_", "-") }

// Switch reports whether the key is true or false, so that its option may stand
// without a value.
func (k Key) Switch() bool { return k.typ.Kind() == reflect.Bool }

// Repeatable reports whether the key is a list, whose option may be given more
// than once.
func (k Key) Repeatable() bool { return k.typ.Kind() == reflect.Slice }

// Keys returns every key of this version, in the order of [Config]'s fields. The
// caller must not change it.
func Keys() []Key { return keys() }

var keys = sync.OnceValue(func() []Key {
	var list []Key
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if !f.IsExported() {
			continue
		}
		list = append(list, Key{
			Name:    f.Tag.Get("toml"),
			Aliases: words(f.Tag.Get("alias")),
			Short:   f.Tag.Get("short"),
			Arg:     f.Tag.Get("arg"),
			Default: f.Tag.Get("default"),
			Env:     f.Tag.Get("env"),
			Help:    f.Tag.Get("help"),
			min:     f.Tag.Get("min"),
			max:     f.Tag.Get("max"),
			oneOf:   words(f.Tag.Get("oneof")),
			zero:    f.Tag.Get("zero"),
			endless: f.Tag.Get("endless"),
			split:   f.Tag.Get("split"),
			lone:    f.Tag.Get("lone") != "",
			path:    f.Tag.Get("path"),
			Apply:   Apply(f.Tag.Get("apply")),
			typ:     f.Type,
			field:   f.Index[0],
		})
	}
	return list
})

// words splits the words of a tag at bars; no text has no words.
func words(tag string) []string {
	if tag == "" {
		return nil
	}
	return strings.Split(tag, "|")
}

// Value returns the value of a key: a string, bool, int, [Duration], [Size],
// [VerifyMode] or []string. A name that is no key has the value nil.
func (c *Config) Value(key string) any {
	k, ok := find(key)
	if !ok {
		return nil
	}
	return reflect.ValueOf(c).Elem().Field(k.field).Interface()
}

func (c *Config) set(k Key, value any) {
	reflect.ValueOf(c).Elem().Field(k.field).Set(reflect.ValueOf(value))
}

// find returns the key of that name or alias.
func find(name string) (Key, bool) {
	for _, k := range Keys() {
		if k.Name == name {
			return k, true
		}
		for _, alias := range k.Aliases {
			if alias == name {
				return k, true
			}
		}
	}
	return Key{}, false
}

// Names returns every name that thrall.toml or the command line knows: keys and
// their aliases.
func Names() []string {
	var names []string
	for _, k := range Keys() {
		names = append(append(names, k.Name), k.Aliases...)
	}
	return names
}
