package clients

import (
	"fmt"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
)

// Certificates are as private as the rest of a volume: with an fsGroup, who is
// in the group reads certs.d, and nobody else does.
func TestCertificatesAndGroups(t *testing.T) {
	t.Parallel()
	if !sandbox.Privileged() {
		t.Skip("to be another user needs the machine's root")
	}
	w := newNode(t, time.Minute, nil)
	authority := newAuthority(t)
	f := newFront(t, w, authority)
	declare(t, w, "front", fmt.Sprintf("registries: [{host: %q, tls: {caBundle: %q}}]\n%s",
		f.Host(), string(w.CA())+string(authority.PEM()), secretLogin))
	const group = 2000
	v := aVolume("group", "front")
	v.FSGroup = fmt.Sprint(group)
	v.Attributes["configuration.names"] = "certs-d,docker-config"
	publishDeclared(t, w, v)
	at := mounted(t, w.Kubelet.Target(v))
	must(t, client.TrustCertificates(f.Host(), at))
	skopeo := client.Skopeo{Files: client.Files{DockerConfig: at, User: &client.User{UID: 1000, FSGroup: group}}}
	image := f.Host() + "/team/app:group"
	must(t, skopeo.Push(t.Context(), newArchive(t), image))
	must(t, skopeo.Pull(t.Context(), image))
	// It passes over a folder that it may not read.
	stranger := client.Skopeo{Files: client.Files{DockerConfig: "/nowhere", User: &client.User{UID: 1000, FSGroup: group + 1}}}
	refuses(t, stranger.Pull(t.Context(), image), "certificate signed by unknown authority")
}
