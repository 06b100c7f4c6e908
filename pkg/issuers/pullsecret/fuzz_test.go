package pullsecret_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// FuzzDockerConfig: whatever a Secret holds, reading it ends in entries that a
// client can use or in a terminal error, and never shows what was decoded.
func FuzzDockerConfig(f *testing.F) {
	auth := base64.StdEncoding.EncodeToString([]byte("robot:secret"))
	for _, seed := range []string{
		`{"auths":{"https://index.docker.io/v1/":{"auth":"` + auth + `"}}}`,
		`{"auths":{"r.io:5000/team":{"username":"u","password":"p"},"*.r.io":{"identitytoken":"i"},"z":{"registrytoken":"t"}}}`,
		`{"auths":{"r.io":{}},"credsStore":"x","credHelpers":{"a":"b"},"HttpHeaders":{"a":"b"}}`,
		`{"auths":{"https://index.docker.io/v1/access-token":{"auth":"` + auth + `"},"https://r.io/v1/users/":{"auth":"` + auth + `"},"u:p@r.io":{}}}`,
		`{"auths":{"r.io":{"username":"u","password":"p\n"}}}`,
		`{"auths":{"r.io":{"auth":"YQ=="}}}`, `{"auths":{"r.io":null}}`, `{"auths":null}`, `{"auths":[]}`, `null`, ``, `{"auths":{"":{"auth":"` + auth + `"}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		secret := &connector.Object{
			Kind: connector.KindSecret, Name: "s", Type: pullsecret.TypeDockerConfigJSON,
			Data: map[string]connector.Secret{".dockerconfigjson": connector.NewSecret(text)},
		}
		login, err := pullsecret.Read(secret, "c", nil)
		if err != nil {
			if issuers.ClassOf(err) != issuers.Terminal || strings.ContainsAny(err.Error(), "\r\n") || !utf8.ValidString(err.Error()) {
				t.Errorf("error %q is not one terminal line", err)
			}
			return
		}
		seen := map[connector.Key]bool{}
		for _, e := range login.Entries {
			texts := e.Username + e.Password.Reveal() + e.IdentityToken.Reveal() + e.RegistryToken.Reveal()
			if e.Empty() || e.Key.Host == "" || strings.Contains(e.Username, ":") || strings.ContainsAny(texts, "\r\n\x00") {
				t.Errorf("entry for %q cannot be used", e.Key)
			}
			if again, err := connector.ParseKey(e.Key.String()); err != nil || again != e.Key {
				t.Errorf("key %q reads back as %q, %v", e.Key, again, err)
			}
			if seen[e.Key] {
				t.Errorf("key %q is there twice", e.Key)
			}
			seen[e.Key] = true
		}
	})
}
