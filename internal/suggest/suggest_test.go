package suggest

import (
	"strings"
	"testing"
)

func TestClosest(t *testing.T) {
	known := []string{"connectors", "configuration.names", "file.mode", "mount.path"}
	for word, want := range map[string]string{
		"connector":               "connectors",
		"conenctors":              "connectors",
		"Mount.Path":              "mount.path",
		"filemode":                "file.mode",
		"zzz":                     "",
		"":                        "",
		strings.Repeat("a", 1000): "",
	} {
		if got := Closest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	if got := DidYouMean("lits", []string{"list", "map"}); got != `; did you mean "list"?` {
		t.Error(got)
	}
	if got := DidYouMean("zzzz", []string{"list", "map"}); got != "" {
		t.Error(got)
	}
}
