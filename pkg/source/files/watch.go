package files

import (
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
)

// An editor or a copy touches a file several times: a look is taken when it
// has been quiet for a moment, but not put off for ever.
const (
	settleTime = 100 * time.Millisecond
	settleMax  = time.Second
)

// Run watches the directory until ctx is done, and puts changes in force. It
// is called after Load has returned, once. Where the kernel grants no watch,
// the regular look every Options.Rescan remains.
func (s *Source) Run(ctx context.Context) error {
	log := klog.FromContext(ctx)
	var events <-chan fsnotify.Event
	var losses <-chan error
	watcher, unwatched := fsnotify.NewWatcher()
	if unwatched == nil {
		defer func() { _ = watcher.Close() }() // it only reads
		events, losses = watcher.Events, watcher.Errors
	}
	enter := func(dir string) error {
		err := unwatched
		if err == nil {
			err = watcher.Add(dir)
		}
		if err != nil {
			return fmt.Errorf("it cannot be watched, so changes take up to %v: %w", s.rescan, err)
		}
		return nil
	}
	lost := false
	look := func() {
		err := s.look(ctx, enter)
		if err != nil && !lost {
			log.Error(err, "Directory of manifests cannot be listed; everything stays in force as it is", "directory", s.dir)
		}
		lost = err != nil
	}

	look() // what changed since Load
	regular := time.NewTicker(s.rescan)
	defer regular.Stop()
	settled := time.NewTimer(s.rescan)
	settled.Stop()
	var since time.Time // of the first event that nobody looked at yet
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			if since.IsZero() {
				since = time.Now()
			}
			settled.Reset(min(settleTime, time.Until(since.Add(settleMax))))
		case err := <-losses:
			log.V(1).Info("Events of the directory of manifests were lost; looking at everything", "directory", s.dir, "err", err)
			settled.Reset(0)
		case <-settled.C:
			since = time.Time{}
			look()
		case <-regular.C:
			look()
		}
	}
}
