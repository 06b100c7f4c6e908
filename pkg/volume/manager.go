package volume

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/internal/due"
	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/metrics"
)

// Options are what a Manager works with.
type Options struct {
	Connectors Connectors
	Authorizer Authorizer
	Objects    Objects
	Leases     Leases
	Disk       Disk
	Records    Records
	Events     Events
	Audit      interface{ Write(audit.Record) }
	Metrics    *metrics.Metrics
	// RequireUsePermission asks the Authorizer also for Connectors of the
	// pod's own namespace.
	RequireUsePermission bool
}

// Manager owns every volume of the node.
type Manager struct {
	Options
	wake chan struct{}

	mu       sync.Mutex
	stopped  bool
	volumes  map[string]*volume            // by id; published or being published
	attempts map[string]*attempt           // publishes under way, by volume id
	running  sync.WaitGroup                // of attempts and acquisitions
	locks    locks                         // by volume id
	coming   map[*grant]context.CancelFunc // acquisitions under way
	agenda   due.Queue[*volume]
	ready    []*volume // due, waiting for a worker

	rendered  rendered
	snapshots snapshots
	alike     alike

	orphans map[string]time.Time // targets whose pod is gone, and since when; watchOrphans alone uses it
}

const (
	// attemptTime bounds a publish. It ends inside the kubelet's two minutes.
	attemptTime = 90 * time.Second
	// workTime bounds what a worker does for one volume, a call of an issuer included.
	workTime = 75 * time.Second
	// workers bounds the re-rendering and re-checking under way.
	workers = 4
	// sweepAfter is how long readers in mid-file keep superseded files.
	sweepAfter = 10 * time.Second
	// recheckEvery is how often grants are evaluated without being told of a
	// change; jittered, so that volumes do not fall due together.
	recheckEvery = 10 * time.Minute
	// retryAfter is the first wait after content could not be brought up to
	// date; it doubles up to retryMost.
	retryAfter = 10 * time.Second
	retryMost  = 5 * time.Minute
	// longestSleep bounds a timer: the wall clock may jump, or the machine sleep.
	longestSleep = time.Minute
)

// New checks the options.
func New(o Options) (*Manager, error) {
	if o.Connectors == nil || o.Authorizer == nil || o.Objects == nil || o.Leases == nil || o.Disk == nil ||
		o.Records == nil || o.Events == nil || o.Audit == nil || o.Metrics == nil {
		return nil, errors.New("volume: an option is missing")
	}
	return &Manager{
		Options: o, wake: make(chan struct{}, 1),
		volumes: map[string]*volume{}, attempts: map[string]*attempt{}, coming: map[*grant]context.CancelFunc{}, orphans: map[string]time.Time{},
	}, nil
}

// volume is one published volume.
type volume struct {
	spec     Spec // without tokens
	identity atomic.Pointer[identity]

	// work serializes whatever touches the disk or the grants.
	work    sync.Mutex
	grants  []*grant
	gone    atomic.Bool // unpublished, or its mount is lost; set under work
	adopted bool        // survived a restart, and not rendered since
	unsaved string      // why its record is behind; empty = it is not
	shown   digest      // of the content in place; zero = not known

	// The manager's lock guards the rest.
	tasks   task      // what a worker has to do
	queued  bool      // in Manager.ready or with a worker
	sweepAt time.Time // zero = nothing to sweep
	checkAt time.Time
	retryAt time.Time
	retries int    // in a row
	problem string // why the content is not what it should be; empty = all is well
}

// task is what is to be done for a volume.
type task uint8

const (
	taskCheck  task = 1 << iota // evaluate the grants
	taskRender                  // bring the content up to date
	taskSweep                   // remove superseded files
	taskTokens                  // fresh tokens have come
)

// Run keeps the published volumes up to date until ctx ends, and returns when
// everything under way has ended.
func (m *Manager) Run(ctx context.Context) error {
	var busy sync.WaitGroup
	jobs := make(chan *volume)
	for range workers {
		busy.Go(func() {
			for v := range jobs {
				m.attend(ctx, v)
			}
		})
	}
	busy.Go(func() { m.watchOrphans(ctx) })
	m.dispatch(ctx, jobs)
	close(jobs)
	m.stop()
	busy.Wait()
	m.running.Wait()
	return nil
}

// dispatch hands due volumes to workers.
func (m *Manager) dispatch(ctx context.Context, jobs chan<- *volume) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, sleep := m.nextJob(time.Now().Round(0))
		if next != nil {
			select {
			case jobs <- next:
				continue
			case <-ctx.Done():
				return
			}
		}
		timer.Reset(sleep)
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
	}
}

// nextJob moves what is due from the agenda to the workers' line.
func (m *Manager) nextJob(now time.Time) (*volume, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		v, ok := m.agenda.Pop(now)
		if !ok {
			break
		}
		m.fallDue(v, now)
	}
	if len(m.ready) == 0 {
		return nil, m.agenda.Wait(now, longestSleep)
	}
	next := m.ready[0]
	m.ready = m.ready[1:]
	return next, 0
}

// fallDue turns reached times into tasks.
func (m *Manager) fallDue(v *volume, now time.Time) {
	reached := func(t *time.Time) bool {
		if t.IsZero() || now.Before(*t) {
			return false
		}
		*t = time.Time{}
		return true
	}
	if reached(&v.sweepAt) {
		v.tasks |= taskSweep
	}
	if reached(&v.checkAt) {
		v.tasks |= taskCheck
	}
	if reached(&v.retryAt) {
		v.tasks |= taskCheck | taskRender
	}
	m.enqueue(v)
}

// ask gives a volume a task now. The caller holds the lock.
func (m *Manager) ask(v *volume, t task) {
	v.tasks |= t
	m.enqueue(v)
	m.nudge()
}

func (m *Manager) enqueue(v *volume) {
	if v.tasks != 0 && !v.queued {
		v.queued = true
		m.ready = append(m.ready, v)
	}
	m.plan(v)
}

// plan puts a volume on the agenda at its next time.
func (m *Manager) plan(v *volume) {
	var at time.Time
	for _, t := range []time.Time{v.sweepAt, v.checkAt, v.retryAt} {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	m.agenda.Set(v, at)
}

// checkNoLaterThan plans an evaluation of the grants, unless an earlier one is
// planned.
func (v *volume) checkNoLaterThan(at time.Time) {
	if v.checkAt.IsZero() || at.Before(v.checkAt) {
		v.checkAt = at
	}
}

// retryNoLaterThan plans another try, unless an earlier one is planned.
func (v *volume) retryNoLaterThan(at time.Time) {
	if v.retryAt.IsZero() || at.Before(v.retryAt) {
		v.retryAt = at
	}
}

// sweepNoLaterThan plans the end of superseded files, unless an earlier one is
// planned: that will tell what it left.
func (v *volume) sweepNoLaterThan(at time.Time) {
	if v.sweepAt.IsZero() || at.Before(v.sweepAt) {
		v.sweepAt = at
	}
}

func (m *Manager) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// attend does what a volume needs.
func (m *Manager) attend(ctx context.Context, v *volume) {
	ctx, cancel := context.WithTimeout(klog.NewContext(ctx, m.logger(ctx, v)), workTime)
	defer cancel()
	m.mu.Lock()
	tasks := v.tasks
	v.tasks = 0
	m.mu.Unlock()

	v.work.Lock()
	if !v.gone.Load() {
		if v.unsaved != "" {
			if err := m.save(v); err != nil {
				m.report(v, err)
			}
		}
		if tasks&taskTokens != 0 {
			v.tokensCame()
		}
		if tasks&taskRender != 0 && v.behind() != "" {
			tasks |= taskCheck // what changed may be what a generation waits for
		}
		if tasks&taskCheck != 0 && m.recheck(ctx, v) {
			tasks |= taskRender
		}
		if tasks&taskRender != 0 {
			m.rerender(ctx, v)
		}
		if tasks&taskSweep != 0 {
			m.sweep(ctx, v)
		}
	}
	gone := v.gone.Load()
	v.work.Unlock()

	m.mu.Lock()
	defer m.mu.Unlock()
	v.queued = false
	if gone {
		m.agenda.Set(v, time.Time{})
		return
	}
	if v.checkAt.IsZero() {
		v.checkAt = nextCheck(time.Now().Round(0))
	}
	m.enqueue(v) // what was asked meanwhile
	m.nudge()
}

func nextCheck(now time.Time) time.Time {
	return now.Add(recheckEvery - rand.N(recheckEvery/5))
}

// Changed implements credentials.Listener.
func (m *Manager) Changed(id string) {
	m.rendered.forget()
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.volumes[id]; v != nil {
		m.ask(v, taskCheck|taskRender) // who may not have the new one must not see it
	}
}

// RenewalFailed implements credentials.Listener.
func (m *Manager) RenewalFailed(id string, ref connector.Ref, err error) {
	m.mu.Lock()
	v := m.volumes[id]
	news := v != nil && m.note(v, "renewing the credential of connector "+ref.String()+": "+err.Error())
	m.mu.Unlock()
	if news {
		m.Events.Event(v.spec.Subject, true, "RenewalFailed", "connector "+ref.String()+": "+err.Error()+"; the last good content stays until it expires")
	}
}

// SourceChanged tells that a Connector, Namespace, Secret or ConfigMap differs.
func (m *Manager) SourceChanged(change connector.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.volumes {
		if t := v.concernedBy(change); t != 0 {
			m.ask(v, t)
		}
	}
}

// concernedBy returns what a change asks of a volume.
func (v *volume) concernedBy(change connector.Change) task {
	switch change.Kind {
	case connector.ChangedNamespace:
		if change.Name == v.spec.Subject.Namespace {
			return taskCheck
		}
	case connector.ChangedConnector:
		for _, use := range v.spec.Attributes.Uses {
			if use.Ref == (connector.Ref{Namespace: change.Namespace, Name: change.Name}) {
				return taskCheck
			}
		}
	case connector.ChangedSecret, connector.ChangedConfigMap:
		for _, use := range v.spec.Attributes.Uses {
			if use.Ref.Cluster() || use.Ref.Namespace == change.Namespace {
				return taskRender // it may hold a CA; equal content is not written
			}
		}
	}
	return 0
}

// note keeps why the content is not what it should be, and reports whether that
// is new. The caller holds the lock.
func (m *Manager) note(v *volume, problem string) (news bool) {
	news = v.problem != problem
	v.problem = problem
	return news
}

func (m *Manager) logger(ctx context.Context, v *volume) klog.Logger {
	return klog.LoggerWithValues(klog.FromContext(ctx), "volumeID", v.spec.Place.ID,
		"pod", klog.KRef(v.spec.Subject.Namespace, v.spec.Subject.Pod))
}

// stop refuses and cancels publishes.
func (m *Manager) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	for _, a := range m.attempts {
		a.cancel()
	}
	for _, cancel := range m.coming {
		cancel()
	}
}
