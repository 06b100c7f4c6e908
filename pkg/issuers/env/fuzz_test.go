package env_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/env"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/issuertest"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// FuzzVariables: whatever a Secret of variables holds, reading it ends in
// entries that a client can use, each of which comes back as it is from a
// record, or in one terminal line that shows no value. Every variable that says
// something is in an entry or in a warning.
func FuzzVariables(f *testing.F) {
	for _, seed := range []string{
		"HOSTNAME=reg.io\nUSERNAME=u\nPASSWORD=p",
		"HOSTNAME_0=*.dkr.ecr.*.amazonaws.com\nUSERNAME_0=AWS\nPASSWORD_0=p\nHOSTNAME_1=https://index.docker.io/v1/\nIDENTITY_TOKEN_1=i",
		"HOSTNAME=reg.io/v2/team/*\nREGISTRY_TOKEN=t\nIDENTITY_TOKEN=i",
		"HOSTNAME=reg.io\nHOSTNAME_=x\nFOO=1", "HOSTNAME=u:p@reg.io", "HOSTNAME=reg[0-9].io", "HOSTNAME=[::1]:5000/a", "PASSWORD_x=p", "HOSTNAME=\nPASSWORD=",
		"AZURE_CR_CONFIG=x\nHOSTNAME=a.io//", "HOSTNAME=reg.io/v1/v2\nHOSTNAME_00=reg.io\nUSERNAME_00=u:\nPASSWORD_00=p", "HOSTNAME=reg.io/v2/v2/x",
	} {
		f.Add(seed)
	}
	issuer, err := env.Definition().New(json.RawMessage(secretOnly))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		secret := variables(strings.Split(text, "\n")...)
		c, err := issuer.Issue(t.Context(), issuers.Request{Connector: conn(secretOnly), Objects: issuertest.Objects{secret}})
		if err != nil {
			checkError(t, err, secret)
			return
		}
		var used []string
		for _, e := range c.Entries {
			if again, err := connector.ParseKey(e.Key.String()); err != nil || again != e.Key {
				t.Errorf("key %q reads back as %q, %v", e.Key, again, err)
			}
			if !e.Key.MatchesHost(e.Key.Host) {
				t.Errorf("key %q does not serve its own host", e.Key)
			}
			used = append(used, e.Username, e.Password.Reveal(), e.IdentityToken.Reveal(), e.RegistryToken.Reveal())
		}
		// Without a pattern that has to be declared, every form of a volume
		// with one login can be rendered that is made for such a login.
		if len(c.Entries) == 1 && !c.Entries[0].Key.HostGlob() {
			if _, err := render.Render(render.Input{
				Configurations: carriers(c.Entries[0]),
				Sources:        []render.Source{{Connector: connector.Ref{Namespace: "ci", Name: "corp"}, Issuer: env.Kind, Credential: c}},
			}); err != nil {
				t.Errorf("rendering: %v", err)
			}
		}
		warnings := strings.Join(c.Warnings, "\n")
		for key, value := range secret.Data {
			hostname := strings.HasPrefix(key, "IMGPKG_REGISTRY_HOSTNAME")
			if !value.IsZero() && !hostname && !slices.Contains(used, value.Reveal()) && len(c.Warnings) == 0 {
				t.Errorf("what %q says is lost without a word: %s", key, warnings)
			}
		}
	})
}

// carriers are the configurations that can hold a login.
func carriers(e connector.Entry) []string {
	return slices.DeleteFunc(render.Names(), func(name string) bool {
		glob := strings.Contains(e.Key.Path, "*")
		// docker-helper's config.json is another than docker-config's.
		return name == "docker-helper" || name == "containers-auth" && (!e.RegistryToken.IsZero() || glob) ||
			name == "buildx-scoped" && glob ||
			name == "imgpkg-env" && (glob || strings.HasSuffix(e.Key.Host, "]"))
	})
}

// secretLike is a value that no text shows by chance.
var secretLike = regexp.MustCompile(`^[A-Za-z0-9+/=]{12,}$`)

func checkError(t *testing.T, err error, secret *connector.Object) {
	t.Helper()
	if issuers.ClassOf(err) != issuers.Terminal || strings.ContainsAny(err.Error(), "\r\n") || !utf8.ValidString(err.Error()) {
		t.Errorf("error %q is not one terminal line", err)
	}
	names := slices.Collect(maps.Keys(secret.Data))
	keys := fmt.Sprintf("%s %q", names, names) // which may be shown
	for key, value := range secret.Data {
		if secretLike.MatchString(value.Reveal()) && strings.Contains(err.Error(), value.Reveal()) && !strings.Contains(keys, value.Reveal()) {
			t.Errorf("error %q shows the value of %q", err, key)
		}
	}
}

// FuzzMatch: what the code takes for a match is what the schema takes, and
// serves its own host.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{
		"reg.io", "https://index.docker.io/v1/", "*.io:5000/a/*", "[::1]:1/x", "a//b", "reg.io/v2", "reg.io/v2/v2", "reg[0-9].io", "u@reg.io", "a/**", "a/b--c/", "*.*.*.*.*.*.*.*", "a:/b", "HTTP://A", "a/v1//", "://",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, match string) {
		config, err := json.Marshal(map[string]any{"entries": []map[string]any{{"match": match, "anonymous": true}}})
		if err != nil || !utf8.ValidString(match) {
			return
		}
		issuer, err := env.Definition().New(config)
		schema := matchPattern.MatchString(match) && len(match) <= 512 && !strings.Contains(match, "**") && strings.Count(match, "*") <= 8 && addressRule(match)
		if err != nil {
			if schema && len(match) <= 250 { // a schema does not count host and path apart
				t.Errorf("%q: the schema takes it, and the code says %v", match, err)
			}
			return
		}
		if !schema {
			t.Errorf("%q: the code takes it, and the schema does not", match)
		}
		c, err := issuer.Issue(t.Context(), issuers.Request{Connector: conn(string(config))})
		if err != nil || len(c.Entries) != 1 || !c.Entries[0].Key.MatchesHost(c.Entries[0].Key.Host) {
			t.Errorf("%q: %v, %v", match, c, err)
		}
	})
}

// matchPattern is the pattern of entries[].match in the schema.
var matchPattern = regexp.MustCompile(`^([hH][tT][tT][pP][sS]?://)?(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[A-Za-z0-9*]([A-Za-z0-9_*-]*[A-Za-z0-9*])?(\.[A-Za-z0-9*]([A-Za-z0-9_*-]*[A-Za-z0-9*])?)*)(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[a-z0-9*]+((\.|_|__|-+)[a-z0-9*]+)*)*/?$`)

// addressRule is the schema's rule for what stands in brackets.
func addressRule(match string) bool {
	_, after, bracketed := strings.Cut(match, "[")
	text, _, _ := strings.Cut(after, "]")
	ip := net.ParseIP(text)
	return !bracketed || ip != nil && ip.To4() == nil
}
