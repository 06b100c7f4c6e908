package volume

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// noLeases has lost every credential.
type noLeases struct{}

func (noLeases) Acquire(context.Context, credentials.Request) (*credentials.Lease, error) {
	return nil, connector.ErrUnavailable
}
func (noLeases) AtHand(credentials.Request) *credentials.Lease    { return nil }
func (noLeases) Audiences(*connector.Connector) ([]string, error) { return nil, nil }
func (noLeases) Restore(string, string, issuers.Identity) (*credentials.Lease, bool) {
	return nil, false
}

// documents are records in memory.
type documents map[string][]byte

func (d documents) Put(key string, document []byte) error {
	d[key] = slices.Clone(document)
	return nil
}
func (d documents) Delete(key string) error         { delete(d, key); return nil }
func (d documents) All() (map[string][]byte, error) { return maps.Clone(d), nil }

// FuzzRestore reads the record of a volume: it is refused, or the volume is
// written down again as it was read.
func FuzzRestore(f *testing.F) {
	const whole = `{"place":{"id":"csi-1","target":"/k/mount","fileMode":292,"gid":0},"subject":{"namespace":"ci","serviceAccount":"b"},"attributes":{"uses":[{"written":"a","ref":"ci/a","want":{}}],"configurations":["docker-config"]},"grants":[{"connector":{"ref":"ci/a","uid":"u","generation":1,"objectNamespace":"ci","access":null,"scope":{},"issuer":{"kind":"secret","config":{"name":"x"}}},"lease":"k","hosts":["h"]}]}`
	for _, seed := range []string{
		whole, whole[:len(whole)-10], `{}`, `null`, `{"place":{"id":"a"}}`, `{"place":{"id":"a"},"attributes":{"uses":[{}]},"grants":[{}]}`, `{"place":{"id":"a"},"attributes":{"uses":[{}]},"grants":[{"connector":null,"withdrawn":"why"}]}`,
		strings.Replace(whole, `"grants":[`, `"grants":[{},`, 1), strings.Replace(whole, `"ci/a"`, `"cluster:a"`, 1), strings.Replace(whole, `"ci/a"`, `"../a"`, 1), strings.Replace(whole, `292`, `-1`, 1), strings.Replace(whole, `{"name":"x"}`, `null`, 1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		kept := documents{}
		m := &Manager{Options: Options{Leases: noLeases{}, Records: kept}}
		v, err := m.restore(document)
		if err != nil {
			return
		}
		if v.spec.Place.ID == "" || len(v.grants) != len(v.spec.Attributes.Uses) || len(v.spec.Tokens) > 0 || !v.adopted {
			t.Errorf("%s is restored as %+v", document, v.spec)
		}
		if err := m.wantTokens(v); err != nil {
			t.Error(err)
		}
		if err := m.save(v); err != nil {
			t.Fatal(err)
		}
		written := kept[v.spec.Place.ID]
		again, err := m.restore(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if diff := cmp.Diff(v.spec, again.spec); diff != "" {
			t.Error(diff)
		}
		if err := m.save(again); err != nil {
			t.Fatal(err)
		}
		var first, second any
		if json.Unmarshal(written, &first) != nil || json.Unmarshal(kept[v.spec.Place.ID], &second) != nil || !cmp.Equal(first, second) {
			t.Errorf("written as %s and then as %s", written, kept[v.spec.Place.ID])
		}
	})
}
