package crash

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// login is what a registry client finds for one host.
type login struct{ Host, User, Password string }

// shown reads a volume as its pod does. The error says what is missing or torn.
func (n *node) shown(v kubelet.Volume) ([]login, error) {
	all, err := loginsIn(n.kubelet.Target(v))
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if _, made := n.provider.Find(l.User, l.Password); !made && l.Password != passwordOf(l.User) {
			return nil, fmt.Errorf("the login of %s for %s is not one that was made", l.User, l.Host)
		}
	}
	return all, nil
}

// agree compares the files of one generation with each other: what a pod reads
// must come from one moment.
func (n *node) agree(v kubelet.Volume) error {
	target := n.kubelet.Target(v)
	generation, err := os.Readlink(filepath.Join(target, "..data"))
	if err != nil {
		return err
	}
	all, err := loginsIn(filepath.Join(target, generation))
	if err != nil {
		return err
	}
	var fields []string
	for _, pattern := range []string{"password", "*/password"} {
		files, err := filepath.Glob(filepath.Join(target, generation, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			password, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			fields = append(fields, strings.TrimSpace(string(password)))
		}
	}
	for _, l := range all {
		if !slices.Contains(fields, l.Password) {
			return fmt.Errorf("config.json and the fields of %s differ", generation)
		}
	}
	return nil
}

// loginsIn reads config.json in a directory as a registry client does, with
// what the helpers there are to answer.
func loginsIn(dir string) ([]login, error) {
	file := filepath.Join(dir, "config.json")
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config struct {
		Auths       map[string]struct{ Auth string }
		CredHelpers map[string]string
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return nil, fmt.Errorf("%s is torn (%d bytes): %w", file, len(content), err)
	}
	var all []login
	for host, entry := range config.Auths {
		text, err := base64.StdEncoding.DecodeString(entry.Auth)
		if err != nil {
			return nil, fmt.Errorf("%s: the login for %s is torn: %w", file, host, err)
		}
		user, password, _ := strings.Cut(string(text), ":")
		all = append(all, login{host, user, password})
	}
	for host := range config.CredHelpers {
		answer, err := os.ReadFile(filepath.Join(dir, ".answers", host))
		if err != nil {
			return nil, err
		}
		lines := strings.Split(string(answer), "\n")
		if len(lines) != 3 || lines[2] != "" {
			return nil, fmt.Errorf("%s: the answer for %s is torn (%d bytes)", file, host, len(answer))
		}
		all = append(all, login{host, lines[0], lines[1]})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no login: %s", file, content)
	}
	slices.SortFunc(all, func(a, b login) int { return strings.Compare(a.Host, b.Host) })
	return all, nil
}

// census lists everything that the driver has in the world, each item in a
// form that expected can name.
func (n *node) census() (items []string, err error) {
	for _, point := range n.mountsBelow(n.dir) {
		items = append(items, "mount "+point)
	}
	err = filepath.WalkDir(n.dir, func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // it went meanwhile
		}
		rel := strings.TrimPrefix(path, n.dir+"/")
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(rel, "connectors"):
			return filepath.SkipDir
		case strings.HasPrefix(rel, "kubelet/pods/") && e.Name() == "mount":
			items = append(items, "target "+rel)
			return filepath.SkipDir
		case !e.IsDir() || strings.HasPrefix(rel, "kubelet/pods/"):
			items = append(items, rel)
		}
		return nil
	})
	for _, o := range n.provider.Living() {
		items = append(items, "object "+o.Name)
	}
	slices.Sort(items)
	return items, err
}

// expected is the census of a node on which just these volumes are published.
// Each shows a login of the provider's, whose object must live, and maybe a
// static one.
func (n *node) expected(live []kubelet.Volume) (items []string, err error) {
	items = []string{
		"mount driver/run", "driver/run/regcred-run", "driver/state/lock", "driver/state/boot-id",
		"driver/csi.sock", "driver/audit.log", "driver/driver.log",
	}
	if n.killer != nil {
		items = append(items, "seccomp.sock")
	}
	if n.disk {
		items = append(items, "mount driver/state")
	}
	objects := map[string]bool{}
	for _, v := range live {
		dir := strings.TrimPrefix(filepath.Dir(n.kubelet.Target(v)), n.dir+"/")
		for up := dir; up != "kubelet/pods"; up = filepath.Dir(up) {
			items = append(items, up)
		}
		items = append(items, dir+"/vol_data.json", "target "+dir+"/mount", "mount "+dir+"/mount", "driver/run/volumes/"+hash(v.ID()))
		if isHelped(v) {
			items = append(items, "mount "+dir+"/mount/..program")
		}
		logins, err := n.shown(v)
		if err = errors.Join(err, n.agree(v)); err != nil {
			return nil, err
		}
		for _, l := range logins {
			if o, made := n.provider.Find(l.User, l.Password); made {
				objects[o.Name] = true
			}
		}
	}
	for name := range objects {
		items = append(items, "object "+name, "driver/state/intents/"+hash(name))
	}
	slices.Sort(items)
	return slices.Compact(items), nil
}

func hash(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }

// difference says what is there too many, or missing, on a node with just
// these volumes. The names of credential records are the driver's secret, so
// there only the number counts: one for each credential that is shown.
func (n *node) difference(live []kubelet.Volume) string {
	want, err := n.expected(live)
	if err != nil {
		return err.Error()
	}
	got, err := n.census()
	if err != nil {
		return err.Error()
	}
	records := n.credentialRecords()
	got = slices.DeleteFunc(got, func(item string) bool {
		return slices.Contains(records, n.at(item)) || slices.Contains(n.copyOfTheHelper(), item) || (!slices.Contains(want, item) && n.inDoubt(item))
	})
	diff := cmp.Diff(want, got)
	if wanted := n.credentials(live); len(records) != wanted {
		diff += fmt.Sprintf("%d credential records for %d credentials\n", len(records), wanted)
	}
	for _, mistake := range n.provider.Mistakes() {
		diff += "the provider says: " + mistake + "\n"
	}
	return diff
}

// copyOfTheHelper is what a node may have from the first volume with a helper
// on, until it is stopped; never more than one.
func (n *node) copyOfTheHelper() []string {
	copies := 0
	for _, point := range n.mountsBelow(n.at("driver/run")) {
		if point == "helper" {
			copies++
		}
	}
	if copies > 1 {
		return nil
	}
	return []string{"mount driver/run/helper", "driver/run/helper/docker-credential-regcred"}
}

// inDoubt tells an intent whose call was cut off from one that is left: the
// driver keeps it for as long as the call might still make its object.
func (n *node) inDoubt(item string) bool {
	if !strings.HasPrefix(item, "driver/state/intents/") {
		return false
	}
	record, err := os.ReadFile(n.at(item))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	_, document, _ := strings.Cut(string(record), "{")
	var intent struct {
		Made         time.Time
		CredentialID string
	}
	err = json.Unmarshal([]byte("{"+document), &intent)
	return err == nil && intent.CredentialID == "" && time.Since(intent.Made) < doubtTime
}

// doubtTime is more than the driver takes to be sure.
const doubtTime = 2 * time.Minute

// noDoubt waits until no intent is left but those of living objects.
func (n *node) noDoubt() {
	n.t.Helper()
	must(n.t, n.await(func() error {
		intents, err := os.ReadDir(filepath.Join(n.driver.StateDir(), "intents"))
		if living := len(n.provider.Living()); err == nil && len(intents) != living {
			err = fmt.Errorf("%d intents for %d living objects", len(intents), living)
		}
		return err
	}))
}

// credentials counts the different logins that the volumes show.
func (n *node) credentials(live []kubelet.Volume) int {
	distinct := map[login]bool{}
	for _, v := range live {
		logins, err := n.shown(v)
		if err != nil {
			return -1
		}
		for _, l := range logins {
			distinct[l] = true
		}
	}
	return len(distinct)
}

// settled waits until nothing is there too many. What ends in the background
// needs a moment.
func (n *node) settled(live ...kubelet.Volume) {
	n.t.Helper()
	must(n.t, n.await(n.isSettled(live...)))
}

func (n *node) isSettled(live ...kubelet.Volume) func() error {
	return func() error {
		if diff := n.difference(live); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	}
}

// await asks until the answer is nil or the driver is killed.
func (n *node) await(done func() error) error {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	const often, seldom = 5 * time.Millisecond, 500 * time.Millisecond
	for pause := often; ; pause = min(pause*6/5, seldom) {
		err := done()
		if err == nil || (n.killer != nil && n.killer.Hit()) {
			return nil
		}
		next := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			next.Stop()
			return fmt.Errorf("waited in vain: %w", err)
		case <-next.C:
		}
	}
}
