package config

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A Key is one key of thrall.toml as a struct tag describes it: a key of the whole
// file, which is an option, too ([Keys]); one that is written as tables, [[such]]
// ([Tables]); or a key of those.
type Key struct {
	Name    string   // as in thrall.toml: max_queue
	Aliases []string // older names that mean the same
	Short   string   // letter of the short option, or ""
	Arg     string   // what --help calls the value; "" for a switch
	Default string   // as text; "" for no text and for an empty list
	Env     string   // environment variable that sets it, or ""
	Help    string   // one line, lower case, without a full stop
	Keys    []Key    // of each table, for a key that is written as tables; else nil

	Apply    Apply  // what a reload does with a change
	min, max string // as text of the key's type; no min is 0, no max is no bound
	oneOf    []string
	zero     string // why 0 is refused, for a key whose least value is above 0
	endless  string // a word that means 0, which is no limit, or ""
	split    string // what stands between the items of a list in an option, or ""
	required bool   // a table without it is a mistake
	table    string // the key whose tables it stands in, or "" for one of the whole file
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

// Keys returns every key of the whole file but those of [Tables], in the order of
// [Config]'s fields. Each is an option, too. The caller must not change it.
func Keys() []Key { return keys() }

// Tables returns the keys that are written as tables, [[such]], any number of each.
// They are no options. The caller must not change it.
func Tables() []Key { return tables() }

var (
	every  = sync.OnceValue(func() []Key { return keysOf(reflect.TypeFor[Config](), "") })
	keys   = sync.OnceValue(func() []Key { return slices.DeleteFunc(slices.Clone(every()), Key.isTable) })
	tables = sync.OnceValue(func() []Key {
		return slices.DeleteFunc(slices.Clone(every()), func(k Key) bool { return !k.isTable() })
	})
)

func (k Key) isTable() bool { return k.Keys != nil }

// keysOf reads the tags of a struct with a field for each key. A field that is a list
// of structs is a key that is written as tables.
func keysOf(structure reflect.Type, table string) []Key {
	var list []Key
	for _, f := range reflect.VisibleFields(structure) {
		if !f.IsExported() {
			continue
		}
		k := Key{
			Name:     f.Tag.Get("toml"),
			Aliases:  words(f.Tag.Get("alias")),
			Short:    f.Tag.Get("short"),
			Arg:      f.Tag.Get("arg"),
			Default:  f.Tag.Get("default"),
			Env:      f.Tag.Get("env"),
			Help:     f.Tag.Get("help"),
			min:      f.Tag.Get("min"),
			max:      f.Tag.Get("max"),
			oneOf:    words(f.Tag.Get("oneof")),
			zero:     f.Tag.Get("zero"),
			endless:  f.Tag.Get("endless"),
			split:    f.Tag.Get("split"),
			lone:     f.Tag.Get("lone") != "",
			required: f.Tag.Get("required") != "",
			table:    table,
			path:     f.Tag.Get("path"),
			Apply:    Apply(f.Tag.Get("apply")),
			typ:      f.Type,
			field:    f.Index[0],
		}
		if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
			k.Keys = keysOf(f.Type.Elem(), k.Name)
		}
		list = append(list, k)
	}
	return list
}

// words splits the words of a tag at bars; no text has no words.
func words(tag string) []string {
	if tag == "" {
		return nil
	}
	return strings.Split(tag, "|")
}

// find returns the key of that name or alias among the keys of the whole file.
func find(name string) (Key, bool) { return findIn(Keys(), name) }

// findAnywhere returns the key of that name among those of the whole file, or else
// among those of tables.
func findAnywhere(name string) (Key, bool) {
	k, ok := find(name)
	for _, table := range Tables() {
		if !ok {
			k, ok = findIn(table.Keys, name)
		}
	}
	return k, ok
}

func findIn(keys []Key, name string) (Key, bool) {
	for _, k := range keys {
		if k.Name == name || slices.Contains(k.Aliases, name) {
			return k, true
		}
	}
	return Key{}, false
}

// Names returns every name that the command line and the whole of thrall.toml know:
// keys and their aliases.
func Names() []string {
	return namesOf(Keys())
}

func namesOf(keys []Key) (names []string) {
	for _, k := range keys {
		names = append(append(names, k.Name), k.Aliases...)
	}
	return names
}
