package formats

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fieldsOfVolume is what the files of `fields` say, by path.
var fieldsOfVolume = map[string]map[string]string{
	"fields-one": {
		"username": "robot$ci", "password": "s3cr3t-harbor", "auth": "robot$ci:s3cr3t-harbor",
		"registry": "harbor.example.com", "expiry": "2026-11-22T05:00:00Z",
	},
	"fields-token": {
		"token": "s3cr3t-scoped", "registry": "scoped.example", "expiry": "2026-11-22T05:00:00Z", "uuid": "1234", "created": "today",
	},
	"fields-static": {
		"username": "admin", "password": "s3cr3t-for-ever", "auth": "admin:s3cr3t-for-ever", "registry": "forever.example",
	},
	"fields-hosts": {
		"username": "AWS", "password": "s3cr3t-ecr", "auth": "AWS:s3cr3t-ecr", "expiry": "2026-11-22T05:00:00Z",
		"registry": "1.dkr.ecr.us-east-1.amazonaws.com\n2.dkr.ecr.eu-west-1.amazonaws.com",
	},
	"fields-several": {
		"harbor/username": "robot", "harbor/password": "s3cr3t-harbor", "harbor/auth": "robot:s3cr3t-harbor",
		"harbor/registry": "harbor.example.com", "harbor/expiry": "2026-11-22T05:00:00Z",
		"team-a_x/username": "other", "team-a_x/password": "s3cr3t-other", "team-a_x/auth": "other:s3cr3t-other",
		"team-a_x/registry": "harbor.example.com", "team-a_x/expiry": "2026-11-22T05:00:00Z",
		"cluster__y/token": "s3cr3t-refresh", "cluster__y/registry": "acr.example", "cluster__y/expiry": "2026-11-22T05:00:00Z",
	},
	"fields-shadowed": {},
	"fields-precedence": {
		"username": "a", "password": "s3cr3t-a", "auth": "a:s3cr3t-a", "registry": "reg.example", "expiry": "2026-11-22T05:00:00Z",
	},
	"fields-beside": {
		"c/username": "c", "c/password": "s3cr3t-c", "c/auth": "c:s3cr3t-c", "c/registry": "reg.example", "c/expiry": "2026-11-22T05:00:00Z",
		"d/username": "d", "d/password": "s3cr3t-d", "d/auth": "d:s3cr3t-d", "d/registry": "reg.example", "d/expiry": "2026-11-22T05:00:00Z",
	},
	"fields-ends": {
		"username": "robot", "password": "s3cr3t-ends", "auth": "robot:s3cr3t-ends", "registry": "a.example\nb.example", "expiry": "2026-11-22T04:00:00Z",
	},
	"everything": singleFields(""),
	"excluded":   singleFields(""),
	"everything-emptied": {
		"later/username": "later", "later/password": "s3cr3t-later", "later/auth": "later:s3cr3t-later",
		"later/registry": "docker.io\nsingle.example:5000", "later/expiry": "2026-11-22T05:00:00Z",
	},
}

func singleFields(folder string) map[string]string {
	return map[string]string{
		folder + "username": "single", folder + "password": "s3cr3t-single", folder + "auth": "single:s3cr3t-single",
		folder + "registry": "single.example:5000", folder + "expiry": "2026-11-22T05:00:00Z",
	}
}

func TestFields(t *testing.T) {
	all := volumes(t)
	for name, want := range fieldsOfVolume {
		t.Run(name, func(t *testing.T) {
			got := make(map[string]string)
			for p, data := range all[name] {
				switch path.Base(p) {
				case "auth":
					plain, err := base64.StdEncoding.Strict().DecodeString(string(data))
					if err != nil {
						t.Errorf("%s: %v", p, err)
					}
					got[p] = string(plain)
				case "expiry":
					if _, err := time.Parse(time.RFC3339, string(data)); err != nil {
						t.Errorf("%s: %v", p, err)
					}
					got[p] = string(data)
				case "username", "password", "token", "registry", "uuid", "created":
					got[p] = string(data)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func isPEM(p string) bool {
	switch path.Ext(p) {
	case ".crt", ".cert", ".key":
		return true
	}
	return false
}

// Certificate files hold CERTIFICATE blocks and nothing else, ca.crt each
// block once, and no key is where a certificate belongs.
func TestPEM(t *testing.T) {
	for name, v := range volumes(t) {
		for p, data := range v {
			if !isPEM(p) {
				continue
			}
			if path.Ext(p) == ".key" {
				if !bytes.HasPrefix(data, []byte("s3cr3t-")) {
					t.Errorf("%s/%s is not the client key of the case", name, p)
				}
				continue
			}
			seen := make(map[string]bool)
			rest := data
			for len(rest) > 0 {
				block, after := pem.Decode(rest)
				if block == nil || block.Type != "CERTIFICATE" || !bytes.Equal(append(pem.EncodeToMemory(block), after...), rest) {
					t.Fatalf("%s/%s: not only certificates:\n%s", name, p, rest)
				}
				if text := string(block.Bytes); seen[text] || !strings.HasPrefix(text, "certificate of ") {
					t.Errorf("%s/%s: unexpected %q", name, p, text)
				} else {
					seen[text] = true
				}
				rest = after
			}
			if len(seen) == 0 {
				t.Errorf("%s/%s is empty", name, p)
			}
		}
	}
}

// report is regcred.json as a user's program would declare it.
type report struct {
	Version int `json:"version"`
	Entries []struct {
		Host, Path, Connector, Issuer, Form, Grain, Emptied string
		IssuedAt, ExpiresAt, RenewAt                        time.Time
		Granted                                             struct{ Repositories, Actions []string }
		LongLived                                           *bool
	} `json:"entries"`
	Lost []struct {
		Host, Connector, To string
		What                []string
	} `json:"lost"`
	Omitted  []struct{ Configuration, Host, Connector, What, Value, Why string } `json:"omitted"`
	Warnings []struct{ Connector, Text string }                                  `json:"warnings"`
}

func TestRegcredJSON(t *testing.T) {
	for name, v := range volumes(t) {
		data, ok := v["regcred.json"]
		if !ok {
			t.Errorf("%s has none", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			var r report
			dec := json.NewDecoder(bytes.NewReader(data))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&r); err != nil {
				t.Fatal(err)
			}
			if r.Version != 1 || len(r.Entries) == 0 {
				t.Errorf("version %d, %d entries", r.Version, len(r.Entries))
			}
			for _, e := range r.Entries {
				if e.Connector == "" || e.Issuer == "" || e.LongLived == nil {
					t.Errorf("incomplete: %+v", e)
				}
				if (e.Form == "") != (e.Emptied != "") || (e.Emptied == "") != !e.IssuedAt.IsZero() {
					t.Errorf("neither a credential nor emptied: %+v", e)
				}
			}
			for _, l := range r.Lost {
				if l.Connector == l.To || len(l.What) == 0 {
					t.Errorf("no loss: %+v", l)
				}
			}
			for _, o := range r.Omitted {
				if o.Configuration == "" || o.What == "" || o.Why == "" {
					t.Errorf("incomplete: %+v", o)
				}
			}
			if bytes.Contains(data, []byte("s3cr3t-")) {
				t.Errorf("it holds a secret:\n%s", data)
			}
		})
	}
}
