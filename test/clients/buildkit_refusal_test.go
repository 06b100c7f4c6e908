package clients

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// What a build prints when it has a wrong login, none any more, or no
// authority: the reason, in one line, and no secret.
func TestBuildkitRefusals(t *testing.T) {
	t.Parallel()
	w := newBuildNode(t, time.Minute, connectors{
		"wrong": `issuer: {secret: {name: wrong-login}}`,
		"right": `issuer: {secret: {name: login}}`,
	})
	write(t, w, "wrong-login", world.Login(namespace, "wrong-login", user, canary+"wrong"))
	daemon := newBuilder(t, w, "/run/refusals/etc")
	tests := []struct {
		name      string
		connector string
		change    func(t *testing.T, c *client.Buildctl)
		want      string // {tokens} stands for the token server's host
	}{
		{
			name: "wrong login", connector: "wrong",
			want: "failed to fetch oauth token: unauthorized",
		},
		{
			name: "client without the authority", connector: "right",
			change: func(_ *testing.T, c *client.Buildctl) { c.CA = "" },
			want:   `failed to fetch oauth token: Post "https://{tokens}/token": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
		},
		{
			name: "emptied volume", connector: "right",
			change: func(t *testing.T, _ *client.Buildctl) {
				write(t, w, "right", w.Connector(namespace, "right", "access: [{serviceAccounts: [another]}]\nissuer: {secret: {name: login}}"))
				awaitEntry(t, w, aVolume("right", "right"), within, func(e entry) bool { return e == entry{} })
			},
			want: "failed to fetch anonymous token: unexpected status from GET request to https://{tokens}/token?scope=repository%3Ateam%2Fbase%3Apull&service=registry.test: 401 Unauthorized",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := aVolume(tt.connector, tt.connector)
			publishSoon(t, w, v)
			c := client.Buildctl{Files: filesOf(w, v), Daemon: daemon.Buildkit}
			if tt.change != nil {
				tt.change(t, &c)
			}
			want := strings.ReplaceAll("error: failed to solve: "+tt.want, "{tokens}", w.TokensHost())
			if got := complaint(t, c.Run(t.Context(), build(w, "refused"))); got != want {
				t.Errorf("buildctl ends with\n\t%s\nwant\n\t%s", got, want)
			}
			unpublish(t, w, v)
		})
	}
	if pushed(w, "refused") {
		t.Error("something was pushed")
	}
	daemon.end(t)
	nothingLeft(t, w)
}

// complaint is the last line that a program wrote before it failed.
func complaint(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		t.Fatal("the build succeeds")
	}
	if strings.Contains(err.Error(), canary) {
		t.Error("the output holds a password")
	}
	lines := strings.Split(err.Error(), "\n")
	return lines[len(lines)-1]
}

// buildkitd reads its file when it starts. It does not reload: SIGHUP ends it.
func TestBuildkitHangup(t *testing.T) {
	t.Parallel()
	w := newBuildNode(t, time.Minute, connectors{})
	daemon := newBuilder(t, w, "/run/hangup/etc")
	if state := daemon.Signal(syscall.SIGHUP).String(); state != "signal: hangup" {
		t.Errorf("buildkitd ends with %s", state)
	}
	daemon.end(t)
	nothingLeft(t, w)
}
