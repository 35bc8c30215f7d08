package config

import (
	"cmp"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// fromTOML turns what thrall.toml says into a value of the key's type. It is
// strict: a number in quotes is text, and 1 is not true.
func (k Key) fromTOML(raw any) (value any, ok bool) {
	if k.Repeatable() {
		if text, ok := raw.(string); ok && k.lone {
			return []string{text}, true
		}
		return fromArray(raw)
	}
	switch v := raw.(type) {
	case bool:
		return v, k.Switch()
	case int64:
		return k.fromNumber(v)
	case float64:
		if k.endless != "" && math.IsInf(v, 1) {
			return 0, true
		}
		if k.typ != reflect.TypeFor[Duration]() {
			return nil, false
		}
		d, err := seconds2Duration(v)
		return d, err == nil
	case string:
		if k.endless != "" && v == k.endless {
			return 0, true
		}
		switch k.typ {
		case reflect.TypeFor[string](), reflect.TypeFor[Duration](), reflect.TypeFor[Size](), reflect.TypeFor[VerifyMode]():
			return k.fromText(v)
		}
	}
	return nil, false
}

func (k Key) fromNumber(n int64) (value any, ok bool) {
	switch k.typ {
	case reflect.TypeFor[int]():
		return int(n), int64(int(n)) == n
	case reflect.TypeFor[Duration]():
		d, err := seconds2Duration(float64(n))
		return d, err == nil
	case reflect.TypeFor[Size]():
		return Size(n), n >= 0
	case reflect.TypeFor[VerifyMode]():
		return k.fromText(strconv.FormatInt(n, 10))
	}
	return nil, false
}

func fromArray(raw any) (value any, ok bool) {
	items, ok := raw.([]any)
	list := make([]string, len(items))
	for i := range items {
		if list[i], ok = items[i].(string); !ok {
			return nil, false
		}
	}
	return list, ok
}

// fromText turns an option's or an environment variable's text into a value of
// the key's type; for a list, into a list of that one.
func (k Key) fromText(text string) (value any, ok bool) {
	var err error
	if k.endless != "" && strings.EqualFold(text, k.endless) {
		return 0, true
	}
	switch k.typ {
	case reflect.TypeFor[string]():
		return text, true
	case reflect.TypeFor[[]string]():
		if k.split != "" {
			return strings.Split(text, k.split), true
		}
		return []string{text}, true
	case reflect.TypeFor[bool]():
		value, ok = switches[strings.ToLower(text)]
		return value, ok
	case reflect.TypeFor[int]():
		value, err = strconv.Atoi(text)
	case reflect.TypeFor[Duration]():
		value, err = ParseDuration(text)
	case reflect.TypeFor[Size]():
		value, err = ParseSize(text)
	case reflect.TypeFor[VerifyMode]():
		value, err = ParseVerifyMode(text)
	}
	return value, err == nil
}

// switches are the ways to say yes and no on a command line.
var switches = map[string]bool{
	"1": true, "true": true, "yes": true, "on": true,
	"0": false, "false": false, "no": false, "off": false,
}

// inRange reports whether a value of the key's type is within its bounds and
// among its words.
func (k Key) inRange(value any) bool {
	switch v := value.(type) {
	case int:
		return within(k, v)
	case Duration:
		return within(k, v)
	case Size:
		return within(k, v)
	case string:
		for _, word := range k.oneOf {
			if v == word {
				return true
			}
		}
		return len(k.oneOf) == 0
	default:
		return true
	}
}

func within[T cmp.Ordered](k Key, value T) bool {
	if least, ok := k.fromText(cmp.Or(k.min, "0")); ok && value < least.(T) {
		return false
	}
	if most, ok := k.fromText(k.max); ok && value > most.(T) {
		return false
	}
	return true
}

// isZero reports whether a value is the 0 that the key has a reason to refuse.
func (k Key) isZero(value any) bool {
	return k.zero != "" && reflect.ValueOf(value).IsZero()
}

// want says what the key takes, to follow "want ".
func (k Key) want() string {
	switch k.typ {
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[int]():
		if k.endless != "" {
			return "a whole number" + k.bounds() + ", or " + k.endless
		}
		return "a whole number" + k.bounds()
	case reflect.TypeFor[Duration]():
		return `a time such as "1m30s" or a number of seconds` + k.bounds()
	case reflect.TypeFor[Size]():
		return `a size such as "64KiB" or a number of bytes` + k.bounds()
	case reflect.TypeFor[VerifyMode]():
		return "0 (none), 1 (checked when sent) or 3 (required), or SSL_VERIFY_NONE, SSL_VERIFY_PEER or SSL_VERIFY_PEER|SSL_VERIFY_FAIL_IF_NO_PEER_CERT"
	case reflect.TypeFor[[]string]():
		if k.lone {
			return "text in quotes, or a list of such texts"
		}
		return `a list of texts such as ["one", "two"]`
	}
	if last := len(k.oneOf) - 1; last > 0 {
		return strings.Join(k.oneOf[:last], ", ") + " or " + k.oneOf[last]
	}
	return "text in quotes"
}

func (k Key) bounds() string {
	least := cmp.Or(k.min, "0")
	if k.max == "" {
		return ", " + least + " or more"
	}
	return " from " + least + " to " + k.max
}
