package volume

import (
	"context"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// RenderOnce admits, leases and renders exactly as Publish does, and answers
// what the volume would show and what that is made from. Nothing is shown and
// nothing is kept: neither Disk nor Records is needed, and the leases are
// given back before it returns.
//
// When a configuration cannot hold what the connectors gave, the input tells
// what that is.
func RenderOnce(ctx context.Context, o Options, spec Spec) (render.Input, render.Files, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	m := &Manager{Options: o}
	v := m.newVolume(spec)
	defer v.release()
	if err := m.grantAll(ctx, v, spec.Tokens); err != nil {
		return render.Input{}, nil, err
	}
	in, err := m.input(ctx, v)
	if err != nil {
		return render.Input{}, nil, err
	}
	for i, s := range in.Sources {
		if s.Credential == nil { // it ended between the two steps
			return render.Input{}, nil, connector.Errorf(connector.ErrUnavailable, "connector %s: the credential is gone again: %s", s.Connector, s.Emptied)
		}
		v.grants[i].rendered = s.Credential
	}
	files, err := render.Render(in)
	if err != nil {
		return in, nil, err
	}
	m.delivered(v)
	return in, files, nil
}
