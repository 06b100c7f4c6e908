package issuers_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

func TestParseChallenges(t *testing.T) {
	none := map[string]string{}
	tests := map[string]struct {
		headers []string
		want    []issuers.Challenge
	}{
		"none":                           {nil, nil},
		"Bearer":                         {[]string{`Bearer realm="https://auth.example.com/token",service="r.io",scope="repository:a/b:pull,push"`}, []issuers.Challenge{{"bearer", map[string]string{"realm": "https://auth.example.com/token", "service": "r.io", "scope": "repository:a/b:pull,push"}}}},
		"tokens, spaces and letter case": {[]string{"BEARER \t Realm = x , SERVICE=\"y\" ,"}, []issuers.Challenge{{"bearer", map[string]string{"realm": "x", "service": "y"}}}},
		"escapes":                        {[]string{`Basic realm="a \"b\" \\ c"`}, []issuers.Challenge{{"basic", map[string]string{"realm": `a "b" \ c`}}}},
		"several in one header":          {[]string{`Newauth realm="apps", type=1, title="Login, \"apps\"", Basic realm="simple"`}, []issuers.Challenge{{"newauth", map[string]string{"realm": "apps", "type": "1", "title": `Login, "apps"`}}, {"basic", map[string]string{"realm": "simple"}}}},
		"several headers":                {[]string{`Basic realm="r"`, `Bearer realm="s"`}, []issuers.Challenge{{"basic", map[string]string{"realm": "r"}}, {"bearer", map[string]string{"realm": "s"}}}},
		"a scheme alone":                 {[]string{`Negotiate, Bearer realm="s"`}, []issuers.Challenge{{"negotiate", none}, {"bearer", map[string]string{"realm": "s"}}}},
		"token68":                        {[]string{`NTLM TlRMTVNTUA==, Bearer realm="s"`}, []issuers.Challenge{{"ntlm", none}, {"bearer", map[string]string{"realm": "s"}}}},
		"empty items":                    {[]string{`, ,Basic realm="r",,`}, []issuers.Challenge{{"basic", map[string]string{"realm": "r"}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := issuers.ParseChallenges(http.Header{"Www-Authenticate": test.headers})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, header := range []string{`Bearer realm="x`, `Bearer realm="x",service=`, `Bearer realm="x" service="y"`, `="x"`, `Bearer realm="a",realm="b"`, `"Bearer"`, `Bearer=x`, `Bearer realm="x\`} {
		t.Run(header, func(t *testing.T) {
			got, err := issuers.ParseChallenges(http.Header{"Www-Authenticate": {header}})
			if !errors.Is(err, connector.ErrInvalid) {
				t.Errorf("challenges %v, error %v; want ErrInvalid", got, err)
			}
		})
	}
}

// FuzzParseChallenges: what the parser accepts, it accepts again when written
// in the plainest form.
func FuzzParseChallenges(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="https://auth.example.com/token",service="r.io",scope="repository:a/b:pull,push"`, `Basic realm="a \"b\""`,
		`Newauth realm="apps", type=1, Basic realm="simple"`, `Negotiate, NTLM TlRMTVNTUA==`, `Bearer realm="x`, `, ,`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := issuers.ParseChallenges(http.Header{"Www-Authenticate": {header}})
		if err != nil {
			if !errors.Is(err, connector.ErrInvalid) || len(got) > 0 {
				t.Errorf("challenges %v with error %v", got, err)
			}
			return
		}
		var again []string
		for _, c := range got {
			var params []string
			for name, value := range c.Params {
				params = append(params, name+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)+`"`)
			}
			again = append(again, c.Scheme+" "+strings.Join(params, ", "))
		}
		reread, err := issuers.ParseChallenges(http.Header{"Www-Authenticate": again})
		if err != nil {
			t.Fatalf("%q: %v", again, err)
		}
		if diff := cmp.Diff(got, reread); diff != "" {
			t.Error(diff)
		}
	})
}
