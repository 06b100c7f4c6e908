package connector_test

import (
	"strings"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// hostile are patterns that take a matcher which tries every way longer than
// anybody waits.
func hostile() map[string][2]string {
	return map[string][2]string{
		"stars in a segment":   {strings.Repeat("*a", 30) + "*b", strings.Repeat("a", 250)},
		"stars over segments":  {strings.Repeat("**/a/", 30) + "b", strings.Repeat("a/", 120) + "a"},
		"stars of both kinds":  {strings.Repeat("**/*a*a*a*b/", 12) + "b", strings.Repeat("aaaaaaaaa/", 24) + "a"},
		"patterns on patterns": {strings.Repeat("**/*", 30) + "b", strings.Repeat("**/*/", 30) + "a"},
	}
}

func narrows(pattern, repository string) bool {
	_, err := connector.Scope{Repositories: []string{pattern}}.Narrow(connector.Scope{Repositories: []string{repository}})
	return err == nil
}

func TestHostilePatterns(t *testing.T) {
	for name, pair := range hostile() {
		t.Run(name, func(t *testing.T) {
			if narrows(pair[0], pair[1]) {
				t.Errorf("%s covers %s", pair[0], pair[1])
			}
		})
	}
	k := key(t, strings.Repeat("*a", 30)+"*b.test/"+strings.Repeat("*a", 30)+"*b")
	if k.Matches(strings.Repeat("a", 60)+".test", strings.Repeat("a", 60)) {
		t.Errorf("%s matches", k)
	}
}

func TestPatterns(t *testing.T) {
	for _, tc := range []struct {
		pattern, repository string
		want                bool
	}{
		{"**", "a", true},
		{"**", "a/b/*", true},
		{"**", "**", true},
		{"*", "**", false},
		{"*", "a/b", false},
		{"**/app", "app", true},
		{"**/app", "team/x/app", true},
		{"**/app", "team/app/x", false},
		{"**/app/**", "a/app/b/app/c", true},
		{"**/a/**/b", "a/x/a/b", true},
		{"a/**/b/**/c", "a/b/x/b/c", true},
		{"a/**/b/**/c", "a/x/c", false},
		{"team/**", "team", true},
		{"a*b*c", "abbc", true},
		{"a*b*c", "abcb", false},
		{"a*", "a*b*", true},
		{"ab", "a*", false},
		{"*ab", "aab", true},
		{"*ab*ab", "ab-aab", true},
		{"*ab*ab", "ab", false},
	} {
		if got := narrows(tc.pattern, tc.repository); got != tc.want {
			t.Errorf("%s covers %s: %v", tc.pattern, tc.repository, got)
		}
	}
}

// FuzzPatterns holds the quick matcher to one that tries every way.
func FuzzPatterns(f *testing.F) {
	for _, pair := range hostile() {
		f.Add(pair[0][:20], pair[1][:20])
	}
	f.Add("a*b*c/**", "abbc")
	f.Fuzz(func(t *testing.T, pattern, repository string) {
		if len(pattern) > 20 || len(repository) > 20 || strings.Count(pattern, "*") > 6 {
			return
		}
		want := slow(strings.Split(pattern, "/"), strings.Split(repository, "/"))
		if got := narrows(pattern, repository); got != want {
			t.Errorf("%q covers %q: %v", pattern, repository, got)
		}
	})
}

func slow(pattern, segments []string) bool {
	switch {
	case len(pattern) == 0:
		return len(segments) == 0
	case pattern[0] == "**":
		return slow(pattern[1:], segments) || len(segments) > 0 && slow(pattern, segments[1:])
	}
	return len(segments) > 0 && segments[0] != "**" && slowSegment(pattern[0], segments[0]) && slow(pattern[1:], segments[1:])
}

func slowSegment(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return slowSegment(pattern[1:], text) || text != "" && slowSegment(pattern, text[1:])
	}
	return text != "" && text[0] == pattern[0] && slowSegment(pattern[1:], text[1:])
}

func BenchmarkPatterns(b *testing.B) {
	for name, pair := range hostile() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				narrows(pair[0], pair[1])
			}
		})
	}
}
