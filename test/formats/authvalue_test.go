package formats

import (
	"cmp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// FuzzAuthValue: whatever is accepted as key, user and secret comes out as it
// went in, below its key and nowhere else on the host.
func FuzzAuthValue(f *testing.F) {
	isolateFuzz(f)
	f.Add("harbor.example.com", "robot$ci", "p:ä&ss \"word\" \\ <>", false)
	f.Add("index.docker.io/team", "user", "pass", false)
	f.Add("[::1]:5000/team/app", "ü", " ", false)
	f.Add("reg.io:5000/a", "", "token", true)
	f.Add("reg.io/A:b", "00000000", "token", true)
	f.Add("*.reg.io/\x7f\xff", "a:b", "line\n", false)
	f.Fuzz(func(t *testing.T, written, username, value string, identity bool) {
		key, err := connector.ParseKey(written)
		if err != nil || value == "" {
			return
		}
		e := connector.Entry{Key: key, Username: username}
		want := credential{User: username}
		if identity {
			e.IdentityToken, want.Identity = connector.NewSecret(value), value
			want.User = cmp.Or(username, "<token>")
		} else {
			e.Password, want.Password = connector.NewSecret(value), value
		}
		files, err := render.Render(render.Input{Configurations: []string{"containers-auth"}, Sources: []render.Source{{
			Connector: connector.Ref{Namespace: "ci", Name: "fuzz"}, Issuer: "secret", Credential: &connector.Credential{Entries: []connector.Entry{e}},
		}}})
		if err != nil || !utf8.ValidString(key.Path) || strings.Contains(key.Path, ":") {
			return // refused, or a path that no image reference has
		}
		file := write(t, "auth.json", content(t, files, "auth.json"))
		beside := credential{}
		if key.Path == "" {
			beside = want
		}
		for name, want := range map[string]credential{
			key.String(): want, key.String() + "/app": want, key.String() + "-evil/app": {}, key.Host + "/no key": beside,
		} {
			if got := readImage(t, file, name); got != want {
				t.Errorf("%s gets %v, want %v", name, got, want)
			}
		}
	})
}
