package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

const volumeCount = 6

// wish is what a pod asks of its volume.
type wish struct {
	uses    []int         // links
	narrow  bool          // a scope on the first link
	ttl     time.Duration // the life that it wishes for; zero = what the provider gives
	minimum time.Duration // the least life left at the start; zero = half
}

func (w wish) equal(o wish) bool {
	return w.narrow == o.narrow && w.ttl == o.ttl && w.minimum == o.minimum && slices.Equal(w.uses, o.uses)
}

// life is how long a credential of a link lives, zero = until it is revoked.
func (w wish) life(i int) time.Duration {
	if links[i].endless || links[i].life == 0 {
		return 0
	}
	return lifeOf(i, w.ttl)
}

// tooLong reports whether some link cannot give a life that is long enough.
func (w wish) tooLong() bool {
	return slices.ContainsFunc(w.uses, func(i int) bool { return w.life(i) != 0 && w.minimum > w.life(i) })
}

// scope is what the credential of a link is limited to.
func (w wish) scope(l int) connector.Scope {
	if w.narrow && l == 0 {
		return connector.Scope{Repositories: []string{"team/app"}}
	}
	return connector.Scope{}
}

func readWish(words []string) (wish, error) {
	var w wish
	for name := range strings.SplitSeq(words[0], ",") {
		i := linkOf(name)
		if i < 0 {
			return w, fmt.Errorf("there is no link %q", name)
		}
		w.uses = append(w.uses, i)
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "narrow":
			w.narrow = slices.Contains(w.uses, 0)
		case "ttl":
			w.ttl, err = time.ParseDuration(value)
		case "minimum":
			w.minimum, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("a pod cannot wish for %q", word)
		}
		if err != nil {
			return w, err
		}
	}
	return w, nil
}

// slot is a pod with one volume, as the kubelet and the model see it.
type slot struct {
	id      string
	account string
	pod     string // directory
	target  string
	formats []string

	state condition
	wish  wish
	since time.Time // published
	// adrift: the driver's records went under it, until the next republish.
	adrift bool
	// suspect is when a credential that nobody knows may still be shown; zero = none may.
	suspect  time.Time
	dirStays bool // a reboot left the target's directory
	vanished time.Time
	holding
}

// condition is what the model knows of a slot.
type condition int

const (
	absent    condition = iota
	published           // a publish succeeded, and no unpublish began
	ending              // an unpublish failed: the kubelet has to try again
)

func (c condition) String() string { return [...]string{"absent", "published", "ending"}[c] }

// formats are what the volumes hold: one, several, and some with directories.
var formats = [][]string{{"docker-config"}, {"docker-config", "fields"}, {"docker-config", "buildkitd"}, {"docker-config", "fields", "buildkitd"}}

func newSlots(base string) []*slot {
	var slots []*slot
	for i := range volumeCount {
		s := &slot{id: fmt.Sprintf("v%d", i), account: accounts[i%len(accounts)], formats: formats[i%len(formats)]}
		s.pod = filepath.Join(base, "kubelet/pods", "uid-"+s.id)
		s.target = filepath.Join(s.pod, "volumes/kubernetes.io~csi/registry/mount")
		slots = append(slots, s)
	}
	return slots
}

func (s *slot) subject() connector.Subject {
	return connector.Subject{Namespace: own, ServiceAccount: s.account, Pod: s.id, PodUID: "uid-" + s.id}
}

// spec is the request as the driver's server makes it.
func (s *slot) spec(w wish) (volume.Spec, error) {
	var names []string
	for _, i := range w.uses {
		names = append(names, links[i].name)
	}
	attributes := map[string]string{"connectors": strings.Join(names, ","), "configuration.names": strings.Join(s.formats, ",")}
	if w.narrow {
		attributes["repositories.object"] = "team/app"
	}
	if w.ttl > 0 {
		attributes["token.expiration"] = w.ttl.String()
	}
	if w.minimum > 0 {
		attributes["token.minimum"] = w.minimum.String()
	}
	parsed, err := volume.ParseAttributes(attributes, own)
	return volume.Spec{
		Place:      volume.Place{ID: s.id, Target: s.target, FileMode: 0o444},
		Subject:    s.subject(),
		Attributes: parsed,
	}, err
}

// furnish makes what the kubelet makes before it asks for a volume.
func (s *slot) furnish() error {
	dir := filepath.Dir(s.target)
	if _, err := os.Lstat(dir + "/vol_data.json"); err == nil {
		return nil
	}
	data, err := json.Marshal(map[string]string{"volumeHandle": s.id, "driverName": "csi.regcred.dev"})
	return errors.Join(err, os.MkdirAll(dir, 0o750), os.WriteFile(s.pod+"/etc-hosts", nil, 0o600), os.WriteFile(dir+"/vol_data.json", data, 0o600))
}

// clear removes the pod, as the kubelet does when its volumes are gone.
func (s *slot) clear() error {
	if _, err := os.Lstat(s.target); err == nil {
		return fmt.Errorf("%s is still there", s.target)
	}
	return os.RemoveAll(s.pod)
}

// desert takes a pod away as far as a mount allows it.
func (s *slot) desert() {
	_ = os.Remove(s.pod + "/etc-hosts")
	_ = os.Remove(filepath.Dir(s.target) + "/vol_data.json")
}

// shown is what the files of a volume hold: passwords by host.
func (s *slot) shown() (map[string]string, error) {
	content, err := os.ReadFile(s.target + "/config.json")
	if err != nil {
		return nil, err
	}
	var config struct {
		Auths map[string]struct{ Auth []byte }
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return nil, fmt.Errorf("config.json %q: %w", content, err)
	}
	passwords := map[string]string{}
	for host, entry := range config.Auths {
		_, passwords[host], _ = strings.Cut(string(entry.Auth), ":")
	}
	return passwords, s.agree(passwords)
}

// mounts counts the mounts below the kubelet's directory by target.
func mounts(base string) (map[string]int, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], base+"/kubelet/") {
			count[fields[4]]++
		}
	}
	return count, nil
}

// crash takes away what a reboot takes away, but what is on disk.
func crash(base string, withVolumes bool) error {
	if withVolumes {
		all, err := mounts(base)
		if err != nil {
			return err
		}
		for target, n := range all {
			for range n {
				if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
					return err
				}
			}
		}
		if err := os.WriteFile(base+"/state/boot-id", []byte("an earlier boot\n"), 0o600); err != nil {
			return err
		}
	}
	return unix.Unmount(base+"/run", unix.MNT_DETACH)
}
