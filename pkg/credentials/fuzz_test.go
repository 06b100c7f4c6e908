package credentials_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/metrics"
)

// FuzzLoad starts on whatever records an earlier version, or a broken memory,
// may have left: what cannot be read is told without its secrets, everything
// else is there, and the next start finds the same.
func FuzzLoad(f *testing.F) {
	const secret = "hunter2-hunter2"
	const conn = `"connector":{"ref":"ci/making","uid":"u","generation":1,"objectNamespace":"ci","access":null,"scope":{},"issuer":{"kind":"making","config":{}}}`
	const entry = `{"key":"reg.test","username":"u","password":"` + secret + `"}`
	const whole = `{` + conn + `,"subject":{"namespace":"ci","serviceAccount":"b"},"scope":{},"current":{"id":"1","entries":[` + entry + `],"issuedAt":"2026-01-01T00:00:00Z","expiresAt":"2126-01-01T00:00:00Z","granted":{},"intent":"i"},"renewAt":"2026-01-01T00:30:00Z"}`
	const made = `{"name":"i","key":"k",` + conn + `,"subject":{"namespace":"ci","serviceAccount":"b"},"scope":{},"made":"2026-01-01T00:00:00Z"}`
	for _, seed := range [][2]string{
		{whole, made},
		{whole, `{}`},
		{`{}`, made},
		{`{"connector":{}}`, `{"connector":{"issuer":{"kind":"making"}}}`},
		{whole[:len(whole)-40], made[:20]},
		{`null`, `[]`},
		{strings.Replace(whole, `"making"`, `"gone"`, 1), made},
		{strings.Replace(whole, `{}`, `{"`+secret+`":1}`, 1), made},
		{strings.Replace(whole, `"reg.test"`, `"a//b `+secret+`"`, 1), made},
		{strings.Replace(whole, "2126", "0001", 1), made},
		{strings.Replace(whole, `"current":{`, `"superseded":[{"id":"0","intent":"i"},{}],"lookups":[{},{"kind":"Secret"}],"current":{`, 1), made},
		{`{` + conn + `}`, `{` + conn + `}`},
		{strings.Replace(whole, `"2126-01-01T00:00:00Z"`, `"`+secret+`"`, 1), made},
		{strings.Replace(whole, `[`+entry+`]`, `null`, 1), made},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, document, intent []byte) {
		load := func(leased, intents *records) (*credentials.Manager, error) {
			m, err := credentials.New(credentials.Options{
				Definitions: definitions(&provider{live: map[string]bool{}}), Objects: &objects{secrets: map[string]string{}}, Clients: clients{}, Credentials: leased, Intents: intents,
				Audit: &book{}, Metrics: metrics.New(prometheus.NewRegistry(), "test"), NamePrefix: "regcred-test", Linger: linger,
			})
			if err != nil {
				t.Fatal(err)
			}
			return m, m.Load()
		}
		leased, intents := newRecords(), newRecords()
		leased.all["k"], intents.all["i"] = document, intent
		m, err := load(leased, intents)
		if err != nil && strings.Contains(err.Error(), secret) && !told(document, secret) {
			t.Errorf("a secret is told: %v", err)
		}
		again, errAgain := load(leased, intents)
		if (err == nil) != (errAgain == nil) {
			t.Errorf("the next start says %v, this one %v", errAgain, err)
		}
		subject := pod{connector.Subject{Namespace: "ci", ServiceAccount: "b", Pod: "p"}}
		lease, ok := m.Restore("k", "holder", subject)
		other, okAgain := again.Restore("k", "holder", subject)
		if ok != okAgain {
			t.Fatalf("restored: %v, at the next start %v", ok, okAgain)
		}
		if !ok {
			return
		}
		state := lease.State()
		if text := fmt.Sprintf("%v %+v %#v", state, state, state); strings.Contains(text, secret) && !told(document, secret) {
			t.Errorf("a secret is printed: %s", text)
		}
		if (state.Credential == nil) == (state.Emptied == "") {
			t.Errorf("credential %v, emptied because %q", state.Credential, state.Emptied)
		}
		if c := state.Credential; c != nil && c.Expired(time.Now()) {
			t.Errorf("restored though it ended at %s", c.ExpiresAt)
		}
		if diff := cmp.Diff(other.State(), state); diff != "" {
			t.Error(diff)
		}
	})
}

// told reports whether a record has the word elsewhere than in a password.
func told(document []byte, word string) bool {
	var record struct {
		Current struct {
			Entries []struct{ Password string } `json:"entries"`
		} `json:"current"`
	}
	if json.Unmarshal(document, &record) != nil {
		return true
	}
	n := 0
	for _, e := range record.Current.Entries {
		n += strings.Count(e.Password, word)
	}
	return strings.Count(string(document), word) > n
}
