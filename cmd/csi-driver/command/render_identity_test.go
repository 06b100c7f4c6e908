package command

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

// federated stands in for kinds that exchange pods' tokens; it takes the place
// of secret, so that manifests can name it.
type federated struct{}

const audience = "registry.example.com"

func (federated) Audiences() []string { return []string{audience} }

func (federated) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	token, err := req.Identity.Token(ctx, audience)
	if err != nil {
		return nil, err
	}
	return &connector.Credential{
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		Entries: []connector.Entry{{Key: connector.Key{Host: "docker.io"}, Username: req.Identity.Subject().ServiceAccountUID, Password: token.JWT}},
	}, nil
}

// minting makes objects that have to be deleted.
type minting struct{ federated }

func (minting) Audiences() []string { return nil }

func (minting) Revoke(context.Context, issuers.Request, connector.Handle) error { return nil }

func programWith(issuer issuers.Issuer) Program {
	return Program{Version: "test", Issuers: []issuers.Definition{
		issuers.Define(secret.Kind, issuers.Docs{Sharing: connector.ShareServiceAccount}, "", func(secret.Config) issuers.Issuer { return issuer }),
	}}
}

// token writes a ServiceAccount token that holds the canary.
func token(t *testing.T, serviceAccount string, life time.Duration) string {
	t.Helper()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"aud": []string{audience}, "sub": "system:serviceaccount:ci:" + serviceAccount, "exp": time.Now().Add(life).Unix(),
		"kubernetes.io": map[string]any{"namespace": "ci", "serviceaccount": map[string]any{"name": serviceAccount, "uid": "uid-1"}},
	}).SignedString([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(signed+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRenderWithTokens(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	bound := []string{"--audience", audience + "=docker.io"}
	for _, tc := range []struct {
		name   string
		issuer issuers.Issuer
		args   []string
		code   int
		stderr string
	}{
		{"token", federated{}, append(bound, "--token", audience+"="+token(t, "builder", time.Hour)), exitGood, ""},
		{"token that nobody wants", federated{}, append(bound, "--token", audience+"="+token(t, "builder", time.Hour), "--token", "x="+junk), exitFailed, `--token: the token for audience "x" is not a JSON Web Token`},
		{"of another ServiceAccount", federated{}, append(bound, "--token", audience+"="+token(t, "other", time.Hour)), exitFailed, `--token: the token for audience "registry.example.com" is not for ServiceAccount ci/builder: its ServiceAccount differs`},
		{"for another audience", federated{}, append(bound, "--token", "x="+token(t, "builder", time.Hour)), exitFailed, `--token: the token for audience "x" is not for ServiceAccount ci/builder: its audience differs`},
		{"expired", federated{}, append(bound, "--token", audience+"="+token(t, "builder", -time.Hour)), exitFailed, `--token: the token for audience "registry.example.com" expired at TIME: make a fresh one`},
		{"missing", federated{}, bound, exitFailed, `connector ci/hub: obtaining a credential for ServiceAccount ci/builder: issuer secret asks for a ServiceAccount token for audience "registry.example.com": give one by --token registry.example.com=FILE (kubectl create token makes one)`},
		{"unbound", federated{}, []string{"--token", audience + "=" + token(t, "builder", time.Hour)}, exitFailed, `connector ci/hub: obtaining a credential for ServiceAccount ci/builder: audience "registry.example.com" is bound to no host: add --audience registry.example.com=HOST to the driver (chart value tokenAudiences)`},
		{"something to revoke", minting{}, nil, exitFailed, `connector ci/hub: obtaining a credential for ServiceAccount ci/builder: issuer secret makes objects at the provider that have to be deleted one day, and nothing would do that after this command: use a volume`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			got := run(t, programWith(tc.issuer), append([]string{
				"render", "--connectors-dir", "testdata/manifests", "--connectors", "hub", "--namespace", "ci", "--service-account", "builder", "--out", out,
			}, tc.args...)...)
			if tc.code == exitGood {
				if rest := warned(t, out, got.stderr); got.code != exitGood || rest != "" {
					t.Errorf("%+v", got)
				}
				if user := auths(t, out+"/config.json")["https://index.docker.io/v1/"]; user != "uid-1" {
					t.Errorf("user %q", user)
				}
				return
			}
			if got.code != tc.code || instants.ReplaceAllString(got.stderr, "TIME") != "csi-driver: "+tc.stderr+"\n" {
				t.Errorf("%+v", got)
			}
			if _, err := os.Stat(out); !os.IsNotExist(err) {
				t.Errorf("something is left: %v", err)
			}
		})
	}
}

func TestRenderSaysWhichTokenWasNotUsed(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	got := run(t, program(), "render", "--connectors-dir", "testdata/manifests", "--connectors", "hub", "--namespace", "ci",
		"--service-account", "builder", "--out", out, "--token", audience+"="+token(t, "builder", time.Hour))
	want := "csi-driver: warning: --token registry.example.com=…: no issuer of these connectors asks for it; it was not used\n"
	if rest := warned(t, out, got.stderr); got.code != exitGood || rest != want {
		t.Errorf("%+v", got)
	}
}

func TestValidateNamesAudiences(t *testing.T) {
	got := run(t, programWith(federated{}), "validate", "testdata/manifests/hub.yaml")
	want := `warning: testdata/manifests/hub.yaml:1: Connector ci/hub: its issuer asks for ServiceAccount tokens for audience "registry.example.com": the driver needs --audience registry.example.com=HOST, and the CSIDriver object a tokenRequest for it`
	if first, _, _ := strings.Cut(got.stdout, "\n"); got.code != exitGood || first != want {
		t.Errorf("%+v", got)
	}
}
