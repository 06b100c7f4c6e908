package model

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/metrics"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/state"
	"github.com/regcred/csi-driver-regcred/pkg/tmpfs"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// gate stands between a process and everything that outlives it: mounts,
// records, providers. When its count is reached nothing passes any more, so
// that whatever the process still does on its way out has no effect: as after a
// kill, between any two effects.
type gate struct {
	run  *run
	kill context.CancelFunc

	mu    sync.Mutex
	dead  bool
	until int    // effects before death; zero = it lives on
	fault int    // effects before one fails; zero = none does
	fails string // what failed
}

var (
	errDead  = errors.New("the process was killed")
	errFault = connector.Errorf(connector.ErrUnavailable, "an injected fault")
)

// effect asks to do something that outlives the process.
func (g *gate) effect(what string) error {
	for range g.run.dice(3) {
		runtime.Gosched() // let others come between
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return errDead
	}
	if g.until > 0 {
		if g.until--; g.until == 0 {
			g.run.note("killed before: %s", what)
			g.dead = true
			g.kill()
			return errDead
		}
	}
	if g.fault > 0 {
		if g.fault--; g.fault == 0 {
			g.run.note("fails: %s", what)
			g.fails = what
			return errFault
		}
	}
	g.run.note("%s", what)
	return nil
}

// alive is asked by what has no effect, and after effects.
func (g *gate) alive() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return errDead
	}
	return nil
}

func (g *gate) set(until, fault int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until, g.fault, g.fails = until, fault, ""
}

// failed is what was made to fail.
func (g *gate) failed() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fails
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dead = true
	g.kill()
}

// disk is the real one behind the gate.
type disk struct {
	*tmpfs.Disk
	gate *gate
}

func (d disk) Publish(p volume.Place, files render.Files) error {
	if err := d.gate.effect("mount " + p.ID); err != nil {
		return err
	}
	return errors.Join(d.Disk.Publish(p, files), d.gate.alive())
}

func (d disk) Published(p volume.Place) (bool, error) {
	if err := d.gate.alive(); err != nil {
		return false, err
	}
	return d.Disk.Published(p)
}

func (d disk) Update(p volume.Place, files render.Files, purge bool) (bool, error) {
	if err := d.gate.effect("write " + p.ID); err != nil {
		return false, err
	}
	changed, err := d.Disk.Update(p, files, purge)
	return changed, errors.Join(err, d.gate.alive())
}

func (d disk) Sweep(p volume.Place, before time.Time) (time.Time, error) {
	if err := d.gate.effect("sweep " + p.ID); err != nil {
		return time.Time{}, err
	}
	return d.Disk.Sweep(p, before)
}

func (d disk) Remove(p volume.Place) (bool, error) {
	if err := d.gate.effect("unmount " + p.ID); err != nil {
		return false, err
	}
	busy, err := d.Disk.Remove(p)
	return busy, errors.Join(err, d.gate.alive())
}

func (d disk) RemoveOrphan(target string) (bool, error) {
	if err := d.gate.effect("unmount orphan " + target); err != nil {
		return false, err
	}
	return d.Disk.RemoveOrphan(target)
}

func (d disk) Survey() ([]volume.Survivor, error) {
	if err := d.gate.alive(); err != nil {
		return nil, err
	}
	return d.Disk.Survey()
}

// records are real ones behind the gate.
type records struct {
	*state.Dir
	name string
	gate *gate
}

func (r records) Put(key string, document []byte) error {
	if err := r.gate.effect("put " + r.name + " " + key); err != nil {
		return err
	}
	return errors.Join(r.Dir.Put(key, document), r.gate.alive())
}

func (r records) Delete(key string) error {
	if err := r.gate.effect("delete " + r.name + " " + key); err != nil {
		return err
	}
	return errors.Join(r.Dir.Delete(key), r.gate.alive())
}

// process is the driver from its start to its end.
type process struct {
	run     *run
	gate    *gate
	ctx     context.Context //nolint:containedctx // ends with the process
	store   *state.Store
	disk    *tmpfs.Disk
	leases  *credentials.Manager
	volumes *volume.Manager

	stopVolumes, stopLeases context.CancelFunc
	above, below            sync.WaitGroup
}

// launch starts a process on what the last one left.
func (r *run) launch() (*process, error) {
	p := &process{run: r}
	var kill context.CancelFunc
	p.ctx, kill = context.WithCancel(r.ctx)
	p.gate = &gate{run: r, kill: kill}
	var err error
	if p.store, err = state.Open(r.ctx, state.Options{StateDir: r.base + "/state", RuntimeDir: r.base + "/run"}); err != nil {
		return nil, err
	}
	if p.disk, err = tmpfs.New(tmpfs.Options{KubeletDir: r.base + "/kubelet"}); err != nil {
		return nil, errors.Join(err, p.store.Close(false))
	}
	measured := metrics.New(prometheus.NewRegistry(), "test")
	p.leases, err = credentials.New(credentials.Options{
		Definitions: definitions(p), Objects: r.world, Clients: r.world,
		Credentials: records{p.store.Credentials(), "credential", p.gate}, Intents: records{p.store.Intents(), "intent", p.gate},
		Audit: r.world, Metrics: measured, NamePrefix: "o", Linger: linger,
	})
	if err != nil {
		return nil, err
	}
	p.volumes, err = volume.New(volume.Options{
		Connectors: r.world, Authorizer: r.world, Objects: r.world, Leases: p.leases, Disk: disk{p.disk, p.gate},
		Records: records{p.store.Volumes(), "volume", p.gate}, Events: r.world, Audit: r.world, Metrics: measured,
	})
	if err != nil {
		return nil, err
	}
	p.leases.Subscribe(p.volumes)
	if err := errors.Join(p.leases.Load(), p.volumes.Recover(p.ctx)); err != nil {
		return p, err
	}
	above, stopVolumes := context.WithCancel(p.ctx)
	below, stopLeases := context.WithCancel(p.ctx)
	p.stopVolumes, p.stopLeases = stopVolumes, stopLeases
	p.below.Go(func() { _ = p.leases.Run(below) })
	p.above.Go(func() { _ = p.volumes.Run(above) })
	return p, nil
}

// tell passes a change on, as the source does.
func (p *process) tell(told ...connector.Change) {
	for _, change := range told {
		p.leases.Changed(change)
		p.volumes.SourceChanged(change)
	}
}

// stop ends the process as a signal does, from the top down.
func (p *process) stop() error {
	p.stopVolumes()
	p.above.Wait()
	p.stopLeases()
	p.below.Wait()
	clean := p.volumes.Idle() && p.leases.Idle()
	p.gate.close()
	return errors.Join(p.store.Close(clean), p.disk.Close())
}

// kill ends the process without any last effect.
func (p *process) kill() {
	p.gate.close()
	p.above.Wait()
	p.below.Wait()
	_ = p.store.Close(false) // only descriptors; the kernel does it after a kill
	_ = p.disk.Close()
}
