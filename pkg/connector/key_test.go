package connector_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

func key(t testing.TB, s string) connector.Key {
	t.Helper()
	k, err := connector.ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKey(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"reg.io", "reg.io"},
		{"REG.io:5000", "reg.io:5000"},
		{"https://reg.io/v2/", "reg.io"},
		{"http://reg.io:80/v1/", "reg.io:80"},
		{"reg.io/team/app/", "reg.io/team/app"},
		{"https://index.docker.io/v1/", "docker.io"},
		{"registry-1.docker.io/library", "docker.io/library"},
		{"*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com"},
		{"[fd00::1]:5000/a", "[fd00::1]:5000/a"},
		{"[2001:DB8:0::0:1]", "[2001:db8::1]"},
		{"reg.io:65535", "reg.io:65535"},
		{"docker.io:443", "docker.io:443"},
		{"a_b.io", "a_b.io"},
		{"a*-b.io", "a*-b.io"},
	} {
		if got := key(t, tc.in).String(); got != tc.want {
			t.Errorf("%q is read as %q, want %q", tc.in, got, tc.want)
		}
	}
	for _, in := range []string{
		"", "https://", "ftp://reg.io", "user@reg.io", "reg.io:port", "reg.io:", "reg io", "reg..io", "reg.io/a b", "reg[0-9].io", "reg?.io", "reg.io//a", "reg.io/a?b",
		"reg.io:0", "reg.io:0443", "reg.io:65536", "reg.io:99999", "reg.io:+1", ":5000",
		"[:::::]", "[1]", "[]", "[::1", "::1", "[::1]x", "[127.0.0.1]", "[::ffff:127.0.0.1]", "[fe80::1%eth0]",
		"-.-", "-a.io", "a-.io", "a.-b", "_a.io", "a.io_", "*-.io",
	} {
		if _, err := connector.ParseKey(in); !errors.Is(err, connector.ErrInvalid) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		key, host, repository string
		want                  bool
	}{
		{"reg.io", "reg.io", "a/b", true},
		{"reg.io", "reg.io:5000", "x", false},
		{"reg.io:5000", "reg.io:5000", "x", true},
		{"*.io", "reg.io", "a/b", true},
		{"reg.io*", "reg.io", "a/b", true},
		{"*.io", "a.reg.io", "x", false},
		{"*.dkr.ecr.*.amazonaws.com", "1.dkr.ecr.us-east-1.amazonaws.com", "x", true},
		{"reg.io/team", "reg.io", "team", true},
		{"reg.io/team", "reg.io", "team/app", true},
		{"reg.io/team", "reg.io", "team-evil/x", false},
		{"reg.io/team/*", "reg.io", "team/app", true},
		{"reg.io/team/*", "reg.io", "team", false},
		{"docker.io", "docker.io", "library/busybox", true},
		{"*.docker.io", "docker.io", "library/busybox", true},
		{"*.*.docker.io", "docker.io", "library/busybox", false},
		{"index.docker.io", "docker.io", "library/busybox", true},
	} {
		if got := key(t, tc.key).Matches(tc.host, tc.repository); got != tc.want {
			t.Errorf("%s serves %s/%s: %v", tc.key, tc.host, tc.repository, got)
		}
	}
}

func TestPrecedence(t *testing.T) {
	// Each list is in order of precedence already; sorting its reverse gives it back.
	for _, list := range [][]string{
		{"reg.io", "*.io"},
		{"reg.io", "reg.io*"},
		{"reg.io/team", "reg.io"},
		{"reg.io", "*.io/team"},
		{"reg.io/team/app", "reg.io/team", "reg.io/team/*"},
		{"reg.io/team", "reg.io/*"},
		{"registry.*.io", "*.*.io"},
	} {
		var keys []connector.Key
		for _, s := range slices.Backward(list) {
			keys = append(keys, key(t, s))
		}
		slices.SortStableFunc(keys, connector.Compare)
		for i, k := range keys {
			if k.String() != list[i] {
				t.Errorf("sorted %v, want %v", keys, list)
				break
			}
		}
	}
}

// FuzzParseKey: what is read is written and read again as the same key, and
// serves its own host.
func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"reg.io", "https://index.docker.io/v1/", "*.io:5000/a/*", "[::1]:1/x", "a//b", "reg.io/v2", "reg.io/v2/v2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := connector.ParseKey(s)
		if err != nil {
			if !errors.Is(err, connector.ErrInvalid) {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := connector.ParseKey(k.String())
		if err != nil || again != k {
			t.Fatalf("%q is read as %q and then as %q, %v", s, k, again, err)
		}
		if !k.MatchesHost(k.Host) || connector.Compare(k, again) != 0 {
			t.Fatalf("%q does not serve its own host", k)
		}
	})
}
