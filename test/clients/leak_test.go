package clients

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// Volumes come and go, some of them refused, and the driver is as before: no
// goroutine, descriptor, mount, directory or record more.
func TestNoLeaks(t *testing.T) {
	t.Parallel()
	const volumes, atOnce = 200, 8
	w := newNode(t, 10*time.Minute, connectors{"tokens": shortToken, "logins": `issuer: {secret: {name: login}}`})
	warm(t, w)
	goroutines, descriptors := goroutinesOf(t, w), descriptorsOf(t, w)

	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(atOnce)
	for i := range volumes {
		group.Go(func() error {
			v := aVolume(fmt.Sprintf("pod-%d", i), []string{"tokens", "logins"}[i%2])
			if i%10 == 9 {
				v.Attributes["connectors"] = "missing"
				if err := w.Kubelet.Publish(ctx, v); err == nil {
					return fmt.Errorf("%s is published without a connector", v.Pod)
				}
				return w.Kubelet.Forget(v)
			}
			if err := w.Kubelet.Publish(ctx, v); err != nil {
				return err
			}
			return w.Kubelet.Unpublish(ctx, v)
		})
	}
	must(t, group.Wait())
	nothingLeft(t, w)
	awaitNone(t, "descriptors", func() string { return more(descriptors, descriptorsOf(t, w)) })
	awaitNone(t, "goroutines", func() string {
		if now := goroutinesOf(t, w); now > goroutines {
			return fmt.Sprintf("%v, before %v", now, goroutines)
		}
		return ""
	})
}

// A live volume costs no descriptor, and none stays open when it goes.
func TestVolumesHoldNoDescriptors(t *testing.T) {
	t.Parallel()
	w := newNode(t, 10*time.Minute, connectors{"tokens": shortToken})
	warm(t, w)
	before := descriptorsOf(t, w)
	v := aVolume("pipeline", "tokens")
	publish(t, w, v)
	awaitNone(t, "descriptors of a live volume", func() string { return more(before, descriptorsOf(t, w)) })
	unpublish(t, w, v)
	awaitNone(t, "descriptors", func() string { return more(before, descriptorsOf(t, w)) })
	nothingLeft(t, w)
}

// The kubelet republishes again and again: the driver answers and does nothing.
func TestRepublishIsSilent(t *testing.T) {
	t.Parallel()
	const times = 1000
	w := newNode(t, 10*time.Minute, connectors{"tokens": shortToken})
	v := aVolume("pipeline", "tokens")
	publish(t, w, v)
	mounts, err := w.Mounts()
	must(t, err)
	log, content := w.Driver.Log(), files(t, w.Kubelet.Target(v))
	for range times {
		publish(t, w, v)
	}
	after, err := w.Mounts()
	must(t, err)
	if diff := cmp.Diff(mounts, after); diff != "" {
		t.Errorf("mounts (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(content, files(t, w.Kubelet.Target(v))); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(log, w.Driver.Log()); diff != "" {
		t.Errorf("the driver logs republishes:\n%s", diff)
	}
	if n := issued(w); n != 1 {
		t.Errorf("%d tokens were issued", n)
	}
}

// warm lets everything happen that happens once.
func warm(t *testing.T, w *world.World) {
	t.Helper()
	v := aVolume("warm", "tokens")
	publish(t, w, v)
	unpublish(t, w, v)
}

func goroutinesOf(t *testing.T, w *world.World) float64 {
	t.Helper()
	n, err := w.Driver.Metric(t.Context(), "go_goroutines")
	must(t, err)
	return n
}

var inode = regexp.MustCompile(`:\[\d+\]$`)

// descriptorsOf lists what the driver has open, without the numbers that
// differ from one socket to the next.
func descriptorsOf(t *testing.T, w *world.World) []string {
	t.Helper()
	open, err := w.Driver.Descriptors()
	must(t, err)
	for i := range open {
		open[i] = inode.ReplaceAllString(open[i], "")
	}
	slices.Sort(open)
	return open
}

// more lists what is in now and was not before, an item as often as it is new.
func more(before, now []string) string {
	rest := slices.Clone(before)
	var added []string
	for _, item := range now {
		if i := slices.Index(rest, item); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			added = append(added, item)
		}
	}
	return strings.Join(added, "\n")
}

// awaitNone gives what ends in the background a moment to end.
func awaitNone(t *testing.T, what string, leaked func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := child.Until(ctx, func(context.Context) error {
		if leak := leaked(); leak != "" {
			return fmt.Errorf("leaked %s:\n%s", what, leak)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
