package config

import (
	"reflect"
	"slices"
)

// A Table is what a configuration says of a set of keys: one [[table]], or all that
// stands above the tables.
type Table struct {
	keys    []Key
	values  reflect.Value     // a struct with a field for each key
	origins map[string]string // by key; a key that is missing has its default, "" is where it begins
}

// newTable returns a table of a kind with the defaults of its keys.
func newTable(kind Key) Table {
	t := Table{kind.Keys, reflect.New(kind.typ.Elem()).Elem(), map[string]string{}}
	t.setDefaults()
	return t
}

// setDefaults gives each key the default that its tag has.
func (t Table) setDefaults() {
	for _, k := range t.keys {
		if k.Default == "" {
			continue
		}
		value, ok := k.fromText(k.Default)
		if !ok {
			panic("config: the default of " + k.Name + " does not parse")
		}
		t.set(k, value)
	}
}

func (t Table) set(k Key, value any) { t.values.Field(k.field).Set(reflect.ValueOf(value)) }

// Value returns the value of a key: a string, bool, int, [Duration], [Size] or
// []string. A name that is no key has the value nil.
func (t Table) Value(key string) any {
	k, ok := findIn(t.keys, key)
	if !ok {
		return nil
	}
	return t.values.Field(k.field).Interface()
}

// Origin says where the value of a key came from: "default", or a file and line. That
// of "" is where the table begins.
func (t Table) Origin(key string) string {
	if origin, ok := t.origins[key]; ok {
		return origin
	}
	return "default"
}

// Tables returns the tables of a kind, one of the package's Tables, in the order of
// thrall.toml, which is that of the list in c.
func (c *Config) Tables(kind Key) []Table {
	list := reflect.ValueOf(c).Elem().Field(kind.field)
	tables := make([]Table, list.Len())
	for i := range tables {
		tables[i] = Table{keys: kind.Keys, values: list.Index(i)}
		if origins := c.tables[kind.Name]; i < len(origins) {
			tables[i].origins = origins[i]
		}
	}
	return tables
}

// add appends a table that has been read.
func (c *Config) add(kind Key, t Table) {
	list := reflect.ValueOf(c).Elem().Field(kind.field)
	list.Set(reflect.Append(list, t.values))
	c.tables[kind.Name] = append(c.tables[kind.Name], t.origins)
}

// drop takes all tables of a kind out.
func (c *Config) drop(name string) {
	if kind, ok := findIn(Tables(), name); ok {
		reflect.ValueOf(c).Elem().Field(kind.field).SetZero()
		delete(c.tables, name)
	}
}

// whole is the part of the configuration that stands above the tables.
func (c *Config) whole() Table { return Table{Keys(), reflect.ValueOf(c).Elem(), c.origins} }

// Value returns the value of a key of the whole file: a string, bool, int, [Duration],
// [Size] or []string; or the list of structs that its tables make. A name that is no
// key has the value nil.
func (c *Config) Value(key string) any {
	return Table{keys: every(), values: reflect.ValueOf(c).Elem()}.Value(key)
}

// Origin says where the value of a key of the whole file came from: "default", a file
// and line ("/srv/app/thrall.toml:12"), an option ("--workers") or an environment
// variable ("PLACK_ENV"). Tables come from where the first one begins.
func (c *Config) Origin(key string) string {
	if tables := c.tables[key]; len(tables) > 0 {
		return tables[0][""]
	}
	return c.whole().Origin(key)
}

// A judge knows what is wrong with a table beyond its single keys. A struct that
// tables are read into may be one, by its pointer.
type judge interface {
	// judge returns what is wrong by key; that of "" is wrong with the table itself.
	// Each key is right by itself.
	judge() map[string]string
}

// lacks names the keys that the table has to have, and has not.
func (t Table) lacks() (names []string) {
	for _, k := range t.keys {
		if _, ok := t.origins[k.Name]; k.required && !ok {
			names = append(names, k.Name)
		}
	}
	return names
}

// wrong lists what a judge finds, in the order of the keys.
func (t Table) wrong(found func(key, problem string)) {
	j, ok := t.values.Addr().Interface().(judge)
	if !ok {
		return
	}
	problems := j.judge()
	for _, key := range slices.Concat([]string{""}, namesOf(t.keys)) {
		if problem := problems[key]; problem != "" {
			found(key, problem)
		}
	}
}
