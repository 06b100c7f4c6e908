package clients

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// A broken manifest is reported and takes nothing down: neither the other
// Connectors nor the last good generation of its own.
func TestBrokenManifest(t *testing.T) {
	t.Parallel()
	w := newNode(t, time.Minute, connectors{"tokens": shortToken, "logins": `issuer: {secret: {name: deploy}}`})
	before := aVolume("before", "tokens")
	publish(t, w, before)
	write(t, w, "tokens", w.Connector(namespace, "tokens", `issuer: {distributionToken: {output: registryTokn}}`))
	write(t, w, "nonsense", "{{ not yaml")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, child.Until(ctx, func(context.Context) error {
		for _, word := range []string{"registryTokn", "nonsense.yaml"} {
			if !strings.Contains(w.Driver.Log(), word) {
				return fmt.Errorf("the log does not speak of %s", word)
			}
		}
		return nil
	}))
	for _, name := range []string{"tokens", "logins"} {
		v := aVolume("after-"+name, name)
		publish(t, w, v)
		unpublish(t, w, v)
	}
	if shown(t, w, before).RegistryToken == "" {
		t.Error("the running pod lost its token")
	}
	must(t, w.Remove("nonsense"))
	write(t, w, "deploy", world.Login(namespace, "deploy", user, changed))
	logins := aVolume("logins", "logins")
	publish(t, w, logins)
	awaitEntry(t, w, logins, within, isLogin(user, changed))
}
