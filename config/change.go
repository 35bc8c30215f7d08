package config

import (
	"reflect"
	"slices"
)

// Apply says what a reload does with a key whose value has changed.
type Apply string

// What a reload may do with a key.
const (
	Live    Apply = "live"    // it takes effect at once, on what runs
	Workers Apply = "workers" // it takes effect in new workers: a new generation is made
	Restart Apply = "restart" // it cannot be applied: the daemon must be started anew
)

// Changes returns the keys whose values differ between two configurations, in
// the order of [Config]'s fields; [Tables] among them.
func Changes(from, to *Config) []Key {
	var changed []Key
	for _, k := range every() {
		was, is := reflect.ValueOf(from.Value(k.Name)), reflect.ValueOf(to.Value(k.Name))
		if was.Kind() == reflect.Slice && was.Len() == 0 && is.Len() == 0 {
			continue // no list and an empty one are the same
		}
		if !reflect.DeepEqual(was.Interface(), is.Interface()) {
			changed = append(changed, k)
		}
	}
	return changed
}

// NeedWorkers reports whether one of the keys takes effect in new workers only.
func NeedWorkers(changed []Key) bool {
	return slices.ContainsFunc(changed, func(k Key) bool { return k.Apply == Workers })
}

// NeedRestart is an error that names every key whose change no reload can apply,
// or nil when there is none. The values are those of to.
func NeedRestart(changed []Key, to *Config) error {
	var mistakes Mistakes
	for _, k := range changed {
		if k.Apply == Restart {
			mistakes = append(mistakes, Mistake{
				Origin: to.Origin(k.Name), Key: k.Name,
				Problem: k.changedTo(to) + " needs a restart; nothing was changed",
			})
		}
	}
	if mistakes == nil {
		return nil
	}
	return mistakes
}

// changedTo begins a sentence about the new value of a key.
func (k Key) changedTo(c *Config) string {
	if k.isTable() {
		return "to change the tables [[" + k.Name + "]]"
	}
	return "to change it to " + got(c.Value(k.Name))
}
