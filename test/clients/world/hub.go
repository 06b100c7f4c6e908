package world

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
)

// Docker Hub's host names. Both servers want port 443 of their address, which
// are neighbours of the sandbox's public one.
const (
	hubAPI         = "registry-1.docker.io"
	hubName        = "docker.io"
	hubIndex       = "index.docker.io"
	hubTokensName  = "auth.docker.io"
	hubService     = "registry.docker.io"
	hubAddress     = "203.0.113.10"
	hubAuthAddress = "203.0.113.11"
	https          = "443"
)

func hubHosts() map[string]string {
	return map[string]string{hubAPI: hubAddress, hubName: hubAddress, hubIndex: hubAddress, hubTokensName: hubAuthAddress}
}

// StartHub starts an imitation of Docker Hub under its real names, with
// certificates of the world's authority. A sandbox has room for one.
func (w *World) StartHub(ctx context.Context, life time.Duration) (err error) {
	if w.HubTokens, err = tokenserver.New(tokenserver.Config{Issuer: hubTokensName, Service: hubService, Life: life}); err != nil {
		return err
	}
	if _, err := w.serveTokens(w.HubTokens, hubTokensName, hubAuthAddress, https); err != nil {
		return err
	}
	dir := w.at("hub")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	w.Hub, err = registry.Start(ctx, registry.Config{
		Dir: dir, Host: net.JoinHostPort(hubAPI, https), Aliases: []string{hubName, hubIndex}, Authority: w.authority,
		Realm: "https://" + hubTokensName + "/token", Tokens: w.HubTokens,
	})
	return err
}
