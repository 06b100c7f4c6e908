package soak

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
	"github.com/regcred/csi-driver-regcred/test/provider"
)

// errTorn is content that no moment of the driver's work may show.
var errTorn = errors.New("torn")

// residents are long-lived pods: their kubelet publishes them again and again,
// and they read their logins all the time.
type residents struct {
	*jobs
	volumes []kubelet.Volume
	reads   atomic.Int64
	helped  atomic.Int64 // answers of credential helpers
	expired atomic.Int64 // reads of a steady volume without a valid token
	stalled atomic.Int64 // the longest time in ns in which this process did not run
}

// settle publishes the volumes of each Connector, two where it has tokens and
// four where it has logins.
func (r *residents) settle() {
	r.t.Helper()
	for _, group := range [][]string{steady, flaky, changing, static} {
		for _, name := range group {
			for _, turn := range residentTurns(name) {
				v := r.volume(name, turn)
				must(r.t, r.insist(v)) // the last round's failures are remembered for a while
				r.volumes = append(r.volumes, v)
			}
		}
	}
}

// run reads and republishes until ctx ends.
func (r *residents) run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { r.watchClock(ctx) })
	for _, v := range r.volumes {
		all.Go(func() {
			for ctx.Err() == nil {
				r.read(v)
				pause(ctx, 20*time.Millisecond)
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			for _, v := range r.volumes {
				if err := r.again(func(ctx context.Context) error { return r.kubelet.Publish(ctx, v) }); err != nil {
					r.t.Errorf("republishing %s: %v", v.Attributes["connectors"], err)
				}
				r.calls.Add(1)
			}
			pause(ctx, 500*time.Millisecond)
		}
	})
	all.Wait()
}

// watchClock notes when the machine is too busy to run this process, and so
// probably the driver.
func (r *residents) watchClock(ctx context.Context) {
	for last := time.Now(); ctx.Err() == nil; {
		pause(ctx, 50*time.Millisecond)
		now := time.Now()
		r.stalled.Store(max(r.stalled.Load(), int64(now.Sub(last)-50*time.Millisecond)))
		last = now
	}
}

// read holds what a client would see against what it may see.
func (r *residents) read(v kubelet.Volume) {
	configurations := strings.Split(v.Attributes["configuration.names"], ",")
	for _, form := range []struct {
		configuration, file string
		check               func([]byte, time.Time) (bool, error)
	}{
		{"docker-config", "config.json", check},
		{"containers-auth", "auth.json", check},
		{"docker-helper", ".answers/registry.example.com", checkAnswer},
	} {
		if slices.Contains(configurations, form.configuration) {
			r.readFile(v, form.file, form.check)
		}
	}
	if slices.Contains(configurations, "docker-helper") && rand.N(helpEvery) == 0 {
		r.askHelper(v)
	}
}

func (r *residents) readFile(v kubelet.Volume, file string, check func([]byte, time.Time) (bool, error)) {
	content, err := os.ReadFile(filepath.Join(r.kubelet.Target(v), file))
	if err != nil {
		r.t.Errorf("reading: %v", err)
		return
	}
	r.reads.Add(1)
	valid, err := check(content, time.Now())
	if err != nil {
		r.t.Errorf("%s: %s: %v", v.Attributes["connectors"], file, err)
	}
	if group := v.Attributes["connectors"]; !valid && (slices.Contains(steady, group) || slices.Contains(static, group)) {
		r.expired.Add(1)
	}
}

// helpEvery is after how many reads the helper is asked, which costs more.
const helpEvery = 20

// askHelper runs the volume's credential helper, as docker does.
func (r *residents) askHelper(v kubelet.Volume) {
	program := exec.CommandContext(r.t.Context(), filepath.Join(r.kubelet.Target(v), "bin", "docker-credential-regcred"), "get")
	program.Env, program.Stdin = []string{}, strings.NewReader("registry.example.com")
	out, err := program.Output()
	if err != nil {
		r.t.Errorf("the helper: %v: %s", err, out)
		return
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil || answer.Username != "robot" || !isPassword(answer.Secret) {
		r.t.Errorf("the helper answers %q (%v)", out, err)
	}
	r.helped.Add(1)
}

// checkAnswer reads what the helper answers from: user and password, one a line.
func checkAnswer(content []byte, _ time.Time) (valid bool, err error) {
	user, rest, _ := strings.Cut(string(content), "\n")
	password, whole := strings.CutSuffix(rest, "\n")
	if user != "robot" || !whole || !isPassword(password) {
		return false, fmt.Errorf("%w: %q", errTorn, content)
	}
	return true, nil
}

// isPassword tells whole passwords of a static login from torn ones.
func isPassword(text string) bool {
	number, ours := strings.CutPrefix(text, "password-")
	_, err := strconv.Atoi(number)
	return ours && err == nil
}

// check reads a config.json or auth.json: whole, with a login that is still good.
func check(content []byte, now time.Time) (valid bool, err error) {
	var config struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			RegistryToken string `json:"registrytoken"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return false, fmt.Errorf("%w: %q", errTorn, content)
	}
	for host, auth := range config.Auths {
		if auth.RegistryToken == "" {
			login, err := base64.StdEncoding.DecodeString(auth.Auth)
			if err != nil || !strings.Contains(string(login), "robot:password-") {
				return false, fmt.Errorf("%w: %s has %q", errTorn, host, login)
			}
			valid = true
			continue
		}
		ends, err := provider.Ends(auth.RegistryToken)
		if err != nil {
			return false, fmt.Errorf("%w: %w", errTorn, err)
		}
		valid = valid || now.Before(ends)
	}
	return valid, nil
}

// leave unpublishes all.
func (r *residents) leave() {
	r.t.Helper()
	for _, v := range r.volumes {
		if err := r.unpublish(v); err != nil {
			r.t.Error(err)
		}
	}
	r.volumes = nil
}
