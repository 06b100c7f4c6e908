package render_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// FuzzRender holds that docker reads back, for every key and value that is
// accepted, exactly the credential that went in, and that what is refused is
// refused for a stated reason.
func FuzzRender(f *testing.F) {
	f.Add("harbor.example.com", "robot", "password", uint8(0))
	f.Add("https://index.docker.io/v1/", "user", "p:ass", uint8(0))
	f.Add("[::1]:5000/team", "ü", "\"\\<>&", uint8(0))
	f.Add("acr.example", "", "token", uint8(1))
	f.Add("acr.example", "00000000", "token", uint8(1))
	f.Add("bearer.example:5000", "", "token", uint8(2))
	f.Add("*.example.com", "a:b", "line\n", uint8(0))
	f.Fuzz(func(t *testing.T, written, username, value string, form uint8) {
		k, err := connector.ParseKey(written)
		if err != nil || value == "" {
			return
		}
		e := connector.Entry{Key: k, Username: username}
		switch form % 3 {
		case 0:
			e.Password = connector.NewSecret(value)
		case 1:
			e.IdentityToken = connector.NewSecret(value)
		case 2:
			e.RegistryToken = connector.NewSecret(value)
		}
		files, err := render.Render(input("docker-config", source("fuzz", e)))
		if err != nil {
			if acceptable(e, value) {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if !acceptable(e, value) {
			t.Fatalf("accepted %q %q", e.Key, username)
		}
		config := configfile.New("config.json")
		if err := config.LoadFromReader(bytes.NewReader(data(t, files, "config.json"))); err != nil {
			t.Fatal(err)
		}
		if len(config.AuthConfigs) != 1 {
			t.Fatalf("%d entries", len(config.AuthConfigs))
		}
		name := k.Host
		if name == connector.DockerHub {
			name = "https://index.docker.io/v1/"
		}
		auth, err := config.GetAuthConfig(name)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{auth.Username, auth.Password, auth.IdentityToken, auth.RegistryToken}
		want := []string{username, e.Password.Reveal(), e.IdentityToken.Reveal(), e.RegistryToken.Reveal()}
		if form%3 == 1 && username == "" {
			want[0] = "<token>"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("user, password, identity token, registry token (-want +got):\n%s", diff)
		}
	})
}

// acceptable is the rule in other words than the code's.
func acceptable(e connector.Entry, value string) bool {
	plain := func(s string) bool {
		return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r <= 0x1f || r == 0x7f }) < 0
	}
	needsUser, forbidsUser := !e.Password.IsZero(), !e.RegistryToken.IsZero()
	return !strings.Contains(e.Key.Host, "*") && plain(e.Username) && plain(value) && !strings.Contains(e.Username, ":") &&
		(!needsUser || e.Username != "") && (!forbidsUser || e.Username == "")
}
