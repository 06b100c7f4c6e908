package abuse

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// canary is a secret that nothing but its destination may ever show. Its core
// is random letters, which no escaping changes; what stands around it is what
// escaping does change.
type canary struct {
	kind, core, text string
	needles          map[string][]byte // by the name of the spelling
}

// newCanary makes one with quotes, blanks and percent signs around the core.
func newCanary(kind string) canary {
	return canaryIn(kind, `p"a%2F <s+&\'`, `é/=?`)
}

// plainCanary has letters and digits only.
func plainCanary(kind string) canary { return canaryIn(kind, "", "") }

func canaryIn(kind, before, after string) canary {
	core := rand.Text()
	return watch(kind, core, before+core+after)
}

// watch makes a canary of a text that has its own form, by a part of it that
// is found nowhere else.
func watch(kind, core, text string) canary {
	c := canary{kind: kind, core: core, text: text}
	c.needles = c.forms()
	return c
}

// forms are the spellings to search for, by name. Whole texts are implied by
// the core in every spelling that leaves letters alone: raw, JSON, URL, %q.
func (c canary) forms() map[string][]byte {
	forms := map[string][]byte{}
	add := func(name, text string) { forms[name] = []byte(text) }
	add("raw", c.core)
	add("lower case", strings.ToLower(c.core))
	add("reversed", reversed(c.core))
	add("hex", hex.EncodeToString([]byte(c.core)))
	add("HEX", strings.ToUpper(hex.EncodeToString([]byte(c.core))))
	add("spaced hex", fmt.Sprintf("% x", c.core))
	add("decimal bytes", strings.Trim(fmt.Sprintf("%d", []byte(c.core)), "[]"))
	add("percent", percent(c.core))
	for _, around := range aligned(c.core) {
		add("base64 "+around, around)
		add("base64 in hex "+around, hex.EncodeToString([]byte(around)))
		for _, twice := range aligned(around) {
			add("base64 in base64 "+twice, twice)
		}
	}
	quoted, _ := json.Marshal(c.text) // of a string it cannot fail
	add("JSON", strings.Trim(string(quoted), `"`))
	add("%q", strings.Trim(fmt.Sprintf("%q", c.text), `"`))
	add("query", url.QueryEscape(c.text))
	add("path", url.PathEscape(c.text))
	return forms
}

func reversed(text string) string {
	b := []byte(text)
	slices.Reverse(b)
	return string(b)
}

func percent(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// aligned gives the base64 of text at its three alignments within something
// longer, without the characters that depend on what is around it. Letters and
// digits encode alike in the standard and the URL alphabet.
func aligned(text string) []string {
	var all []string
	for offset := range 3 {
		padded := append(make([]byte, offset), text...)
		whole := len(padded) / 3 * 3
		encoded := base64.StdEncoding.EncodeToString(padded[:whole])
		all = append(all, encoded[[]int{0, 2, 3}[offset]:])
	}
	return all
}

// find says in which spellings a text holds the canary.
func (c canary) find(text []byte) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(c.needles)) {
		if bytes.Contains(text, c.needles[name]) {
			found = append(found, name)
		}
	}
	return found
}

// The search finds what it is there for.
func TestFind(t *testing.T) {
	c := newCanary("password")
	login := base64.StdEncoding.EncodeToString([]byte("robot:" + c.text))
	quoted, err := json.Marshal(map[string]string{"password": c.text})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plain":                  "error: " + c.text,
		"%q":                     fmt.Sprintf("%q", c.text),
		"%x":                     fmt.Sprintf("%x", c.text),
		"%X":                     fmt.Sprintf("%X", c.text),
		"% x":                    fmt.Sprintf("% x", c.text),
		"bytes":                  fmt.Sprintf("%d", []byte(c.text)),
		"JSON":                   string(quoted),
		"query":                  url.Values{"password": {c.text}}.Encode(),
		"path":                   url.PathEscape(c.text),
		"every byte escaped":     percent(c.text),
		"upper case lost":        strings.ToLower(c.text),
		"basic":                  "Authorization: Basic " + login,
		"basic, URL":             base64.URLEncoding.EncodeToString([]byte("robot:" + c.text)),
		"basic, other alignment": base64.StdEncoding.EncodeToString([]byte("robot2:" + c.text)),
		"basic, third alignment": base64.RawStdEncoding.EncodeToString([]byte("robot22:" + c.text)),
		"auth in a Secret":       base64.StdEncoding.EncodeToString([]byte(`{"auths":{"h":{"auth":"` + login + `"}}}`)),
		"helper's answer":        "robot\n" + c.text + "\n",
		"imgpkg's variable":      "IMGPKG_REGISTRY_PASSWORD_0='" + strings.ReplaceAll(c.text, "'", `'"'"'`) + "'\n",
		"auth in hex":            hex.EncodeToString([]byte(login)),
	} {
		if len(c.find([]byte(text))) == 0 {
			t.Errorf("%s: the canary is not found in %q", name, text)
		}
	}
	if found := c.find([]byte("nothing of " + newCanary("other").text)); len(found) != 0 {
		t.Errorf("found %q where there is none", found)
	}
}
