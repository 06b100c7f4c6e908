package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/crash/provider"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// What differs from run to run in a text.
var (
	random = regexp.MustCompile(`regcred-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{16}|\.\.(gen|dir)-[0-9]+-[0-9]+-[0-9]+-[A-Z0-9]+`)
	pid    = regexp.MustCompile(`pid \d+ on \S+\)`)
)

// plain makes a text the same in every run.
func (n *node) plain(text string) string {
	text = strings.ReplaceAll(text, n.dir, "")
	return pid.ReplaceAllString(random.ReplaceAllString(text, "NAME"), "pid PID on HOST)")
}

// lastWord is the last line of the log.
func (n *node) lastWord() string {
	lines := strings.Split(strings.TrimSpace(n.driver.Log()), "\n")
	return n.plain(lines[len(lines)-1])
}

// readOnly remounts the disk of the state directory.
func (n *node) readOnly(on bool) error {
	if on {
		return unix.Mount("", n.driver.StateDir(), "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return unix.Mount("", n.driver.StateDir(), "", unix.MS_REMOUNT, "")
}

// A driver that cannot start says why, in one line, and what to change; once
// that is done everything is as it was.
func TestStartIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(n *node) error
		want  string
		mend  func(n *node) error
	}{
		"read-only state directory": {
			spoil: func(n *node) error { return n.readOnly(true) },
			want:  "csi-driver: opening the state directory in /driver/state: read-only file system: remount it read-write",
			mend:  func(n *node) error { return n.readOnly(false) },
		},
		"something else as the lock": {
			spoil: func(n *node) error {
				lock := filepath.Join(n.driver.StateDir(), "lock")
				return errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700))
			},
			want: "csi-driver: /driver/state/lock is not what the driver wrote (is a directory): remove it",
			mend: func(n *node) error { return os.Remove(filepath.Join(n.driver.StateDir(), "lock")) },
		},
		"something else as the socket": {
			spoil: func(n *node) error {
				socket := n.at("driver/csi.sock")
				return errors.Join(os.Remove(socket), os.WriteFile(socket, nil, 0o600))
			},
			want: "csi-driver: listening on socket /driver/csi.sock: the path is taken by something that is not a socket: remove it or choose another path",
			mend: func(n *node) error { return os.Remove(n.at("driver/csi.sock")) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, false)
			n.giveDisk()
			n.stand(aPod("standing", "objects"))
			n.driver.Kill()
			must(t, c.spoil(n))
			if err := n.start(); err == nil {
				t.Fatal("it starts")
			}
			if got := n.lastWord(); got != c.want {
				t.Errorf("it says\n%s\nwant\n%s", got, c.want)
			}
			must(t, c.mend(n))
			must(t, n.start())
			n.settled(n.standing...)
		})
	}
}

// A second driver on the same directories does not start, and does no harm.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	n := newNode(t, false)
	n.stand(aPod("standing", "objects"))
	second := exec.Command("/proc/self/exe", "node", "--connectors-dir="+n.at("connectors"), "--kubelet-dir="+n.at("kubelet"),
		"--state-dir="+n.driver.StateDir(), "--runtime-dir="+n.driver.RuntimeDir(), "--endpoint=unix://"+n.at("other.sock"), "--http-address=")
	second.Env = append(os.Environ(), driverVariable+"=1")
	out, err := second.CombinedOutput()
	const want = "csi-driver: /driver/state is in use by another csi-driver (pid PID on HOST): stop that one, or give this one a state and a runtime directory of its own\n"
	if got := n.plain(string(out)); err == nil || got != want {
		t.Errorf("%v, it says\n%s\nwant\n%s", err, got, want)
	}
	n.settled(n.standing...)
	n.driver.Kill()
	must(t, n.start())
	n.settled(n.standing...)
}

// fill takes all room of a file system.
func fill(file string) error {
	err := os.WriteFile(file, make([]byte, 80<<20), 0o600)
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return errors.Join(err, errors.New("there is too much room"))
}

// A publish that the node cannot serve says what to change, leaves nothing, and
// succeeds once that is done.
func TestPublishIsRefused(t *testing.T) {
	t.Parallel()
	const obtaining = "connector ci/objects: obtaining a credential for ServiceAccount ci/builder: "
	for name, c := range map[string]struct {
		spoil func(n *node) error
		pod   kubelet.Volume
		code  codes.Code
		want  string
		mend  func(n *node) error
	}{
		"read-only state directory": {
			spoil: func(n *node) error { return n.readOnly(true) },
			pod:   aPod("pod", "objects"), code: codes.Unavailable,
			want: obtaining + "recording what is about to be made: storing a record in /driver/state/intents: read-only file system: remount it read-write",
			mend: func(n *node) error { return n.readOnly(false) },
		},
		"full disk": {
			spoil: func(n *node) error { return fill(filepath.Join(n.driver.StateDir(), "fill.tmp")) },
			pod:   aPod("pod", "objects"), code: codes.ResourceExhausted,
			want: obtaining + "recording what is about to be made: storing a record in /driver/state/intents: no space left on device: free space or inodes on its file system",
			mend: func(n *node) error { return os.Remove(filepath.Join(n.driver.StateDir(), "fill.tmp")) },
		},
		"full runtime directory": {
			spoil: func(n *node) error { return fill(filepath.Join(n.driver.RuntimeDir(), "volumes", "fill.tmp")) },
			pod:   aPod("pod", "objects"), code: codes.ResourceExhausted,
			want: obtaining + "keeping the credential for a restart: storing a record in /driver/run/credentials: no space left on device: delete pods that use this driver, or enlarge the tmpfs that is mounted there (mount -o remount,size=128m,nr_inodes=64k)",
			mend: func(n *node) error { return os.Remove(filepath.Join(n.driver.RuntimeDir(), "volumes", "fill.tmp")) },
		},
		"a Secret larger than a volume": {
			spoil: func(n *node) error {
				n.write("big.yaml", "{apiVersion: regcred.dev/v1alpha1, kind: Connector, metadata: {name: big, namespace: ci}, spec: {address: big.test, issuer: {secret: {name: big}}}}\n")
				n.write("secret-big.yaml", fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: big, namespace: ci}, type: kubernetes.io/basic-auth, stringData: {username: u, password: %s}}\n", strings.Repeat("x", 900<<10)))
				return n.await(func() error {
					if err := n.publish(aPod("pod", "big")); status.Code(err) == codes.NotFound {
						return err
					}
					return nil
				})
			},
			pod: aPod("pod", "big"), code: codes.ResourceExhausted,
			want: "showing the files: writing NAME/password: no space left on device: a volume holds 4194304 bytes in 4096 files, old and new content together: ask for fewer configurations, or make the Secret or the CA bundles smaller",
			mend: func(n *node) error {
				n.write("secret-big.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: big, namespace: ci}, type: kubernetes.io/basic-auth, stringData: {username: u, password: "+passwordOf("u")+"}}\n")
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, false)
			n.giveDisk()
			n.stand(aPod("standing", "objects"))
			must(t, c.spoil(n))
			err := n.publish(c.pod)
			if got := n.plain(status.Convert(err).Message()); status.Code(err) != c.code || got != c.want {
				t.Errorf("%s, it says\n%s\nwant %s\n%s", status.Code(err), got, c.code, c.want)
			}
			must(t, n.publish(n.standing[0])) // never an error
			must(t, c.mend(n))
			must(t, n.kubelet.Forget(c.pod)) // the kubelet need not unpublish after such an answer
			n.settled(n.standing...)
			must(t, n.await(func() error { return n.publish(c.pod) }))
			n.settled(append(slices.Clone(n.standing), c.pod)...)
			must(t, n.unpublish(c.pod))
			n.settled(n.standing...)
		})
	}
}

// With no descriptor left a publish fails, whichever step met the limit, and
// says so; a republish succeeds; and nothing of the failures stays.
func TestDescriptorsAreExhausted(t *testing.T) {
	t.Parallel()
	n := newNode(t, false)
	n.stand(aPod("standing", "objects,static"))
	open := len(n.descriptors())
	var before unix.Rlimit
	must(t, unix.Prlimit(n.driver.PID(), unix.RLIMIT_NOFILE, nil, &before))
	limit := func(soft uint64) {
		must(t, unix.Prlimit(n.driver.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: before.Max}, nil))
	}
	refused := 0
	for spare := -8; spare < 12; spare++ {
		limit(uint64(open + spare))
		v := aPod(fmt.Sprint("pod-", spare), "objects,static")
		err := n.publish(v)
		switch {
		case err == nil:
			must(t, n.unpublish(v))
		case !strings.Contains(err.Error(), "too many open files") && !strings.Contains(err.Error(), "raise the limit of open files"):
			t.Errorf("with %d to spare: %v", spare, err)
		case status.Code(err) != codes.ResourceExhausted && status.Code(err) != codes.Unavailable:
			t.Errorf("with %d to spare: %s", spare, err)
		default:
			t.Logf("with %d to spare: %v", spare, err)
			refused++
		}
		must(t, n.publish(n.standing[0]))
		limit(before.Cur)
		if err != nil {
			must(t, n.unpublish(v))
		}
		n.settled(n.standing...)
	}
	if refused < 3 {
		t.Errorf("only %d publishes met the limit", refused)
	}
	must(t, n.await(func() error {
		if now := len(n.descriptors()); now > open {
			return fmt.Errorf("%d descriptors, before %d", now, open)
		}
		return nil
	}))
}

// Records are lost, torn, foreign or of another version: the driver starts,
// says so, and ends in a clean state; the pods' files are whole all the time.
func TestRecordsAreDamaged(t *testing.T) {
	t.Parallel()
	const volumes, credentials, intents = "volumes", "credentials", "intents"
	damages := map[string]struct {
		do   func(file string) error
		told string // empty = nothing can be known
	}{
		"lost":  {os.Remove, ""},
		"empty": {func(f string) error { return os.Truncate(f, 0) }, "not a record of this driver"},
		"half":  {func(f string) error { return os.Truncate(f, 300) }, "damaged"},
		"garbage": {func(f string) error {
			return os.WriteFile(f, []byte(strings.Repeat("\xff\x00garbage", 99)), 0o600)
		}, "not a record of this driver"},
		"huge":        {func(f string) error { return os.Truncate(f, 1<<30) }, "not a regular file of at most 8388608 bytes"},
		"a link":      {func(f string) error { return errors.Join(os.Remove(f), os.Symlink("/etc/passwd", f)) }, "a symbolic link"},
		"a directory": {func(f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o700)) }, "not a regular file"},
		"of another version": {func(f string) error {
			content, err := os.ReadFile(f)
			return errors.Join(err, os.WriteFile(f, []byte(strings.Replace(string(content), "record/1", "record/2", 1)), 0o600))
		}, "written by another version of the driver"},
	}
	for name, damage := range damages {
		for _, which := range []string{volumes, credentials, intents} {
			t.Run(which+" "+name, func(t *testing.T) {
				t.Parallel()
				n := newNode(t, false)
				n.stand(aPod("standing", "objects"))
				v := n.standing[0]
				n.driver.Kill()
				file := map[string]string{
					volumes: filepath.Join(n.driver.RuntimeDir(), volumes, hash(v.ID())),
					intents: filepath.Join(n.driver.StateDir(), intents, hash(n.provider.Objects()[0].Name)),
				}[which]
				if which == credentials {
					file = n.credentialRecords()[0]
				}
				must(t, damage.do(file))
				logged := len(n.driver.Log())
				must(t, n.start())
				if said := n.driver.Log()[logged:]; damage.told != "" && !strings.Contains(said, damage.told) {
					t.Errorf("it says nothing of %q:\n%s", damage.told, said)
				}
				must(t, n.publish(v)) // as the kubelet does every other minute
				must(t, n.await(func() error {
					_ = os.RemoveAll(file + ".torn") // as the log asks to do
					return n.isSettled(n.standing...)()
				}))
				if made := len(n.provider.Objects()); made > 2 {
					t.Errorf("%d objects were made", made)
				}
				n.stopReading()
				must(t, n.unpublish(v))
				n.settled()
				n.noDoubt()
				n.leavesNothing()
			})
		}
	}
}

// The runtime directory goes, with all credentials and what is known of the
// volumes; the volumes themselves stay.
func TestRuntimeDirectoryIsLost(t *testing.T) {
	t.Parallel()
	for name, running := range map[string]bool{"while the driver runs": true, "while it does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, false)
			n.stand(aPod("standing", "objects,static"), aPod("other", "objects"))
			if !running {
				n.driver.Kill()
			}
			must(t, unix.Unmount(n.driver.RuntimeDir(), unix.MNT_DETACH))
			if running {
				v := aPod("pod", "objects")
				must(t, n.publish(v))
				must(t, n.unpublish(v))
				n.driver.Kill()
			}
			must(t, n.start())
			for _, v := range n.standing {
				must(t, n.publish(v))
			}
			n.settled(n.standing...)
			n.noDoubt()
		})
	}
}

// The state directory's disk goes while the driver runs: nothing is made that
// its successor would not know of.
func TestStateDirectoryIsLost(t *testing.T) {
	t.Parallel()
	n := newNode(t, false)
	n.giveDisk()
	standing := aPod("standing", "objects")
	must(t, n.publish(standing))
	n.read(standing)
	must(t, unix.Unmount(n.driver.StateDir(), unix.MNT_DETACH))
	n.disk = false
	v := aPod("pod", "objects")
	err := n.publish(v)
	const want = "connector ci/objects: obtaining a credential for ServiceAccount ci/builder: recording what is about to be made: storing a record in /driver/state/intents: no such file or directory: the directory was removed, replaced or unmounted while the driver runs: put it back and restart the driver"
	if got := n.plain(status.Convert(err).Message()); status.Code(err) != codes.Unavailable || got != want {
		t.Errorf("%s, it says\n%s\nwant\n%s", status.Code(err), got, want)
	}
	if made := n.provider.Of(v.Pod); len(made) != 0 {
		t.Errorf("made: %+v", made)
	}
	n.driver.Kill()
	must(t, n.start()) // on an empty directory
	must(t, n.publish(v))
	must(t, n.publish(standing))
	n.settled(standing, v)
	n.noDoubt()
}

// bootID is what the kernel says of the present boot.
const bootID = "/proc/sys/kernel/random/boot_id"

// After a reboot no mount and nothing in memory is left; the pods come back and
// get new credentials, and the former ones are revoked.
func TestReboot(t *testing.T) {
	t.Parallel()
	n := newNode(t, false)
	back, gone := aPod("back", "objects,static"), aPod("gone", "objects")
	for _, v := range []kubelet.Volume{back, gone} {
		must(t, n.publish(v))
	}
	former := n.provider.Objects()
	n.driver.Kill()
	for _, point := range []string{n.kubelet.Target(back), n.kubelet.Target(gone), n.driver.RuntimeDir()} {
		must(t, unix.Unmount(point, 0))
	}
	other := n.at("boot_id")
	must(t, os.WriteFile(other, []byte("00000000-1111-2222-3333-444444444444\n"), 0o444))
	must(t, unix.Mount(other, bootID, "", unix.MS_BIND, "")) // in this test's namespace alone
	must(t, n.start())
	must(t, unix.Unmount(bootID, 0))
	must(t, os.Remove(other))
	must(t, n.publish(back))
	must(t, n.unpublish(gone))
	n.settled(back)
	for _, o := range former {
		if now, _ := n.provider.Find(o.Name, o.Password); now.Deleted.IsZero() {
			t.Errorf("object %s of %s lives on", o.Name, o.For)
		}
	}
	if made := len(n.provider.Objects()); made != len(former)+1 {
		t.Errorf("%d objects were made after the reboot", made-len(former))
	}
	must(t, n.unpublish(back))
	n.settled()
	n.leavesNothing()
}

// SIGTERM comes while publishes wait for the provider: each ends in a volume or
// in an error after which the kubelet asks again; the driver ends by itself.
func TestStopAmongPublishes(t *testing.T) {
	t.Parallel()
	const pods = 8
	n := newNode(t, false)
	n.stand(aPod("standing", "objects"))
	held := make(chan struct{})
	var arrived sync.WaitGroup
	arrived.Add(pods / 2)
	var count int
	var mu sync.Mutex
	n.provider.OnReceipt(func(provider.Object) {
		mu.Lock()
		count++
		hold := count <= pods/2
		mu.Unlock()
		if hold {
			arrived.Done()
			<-held
		}
	})
	var calls sync.WaitGroup
	errs := make([]error, pods)
	for i := range pods {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			errs[i] = n.kubelet.Publish(ctx, aPod(fmt.Sprint("pod-", i), "objects"))
		})
	}
	arrived.Wait()
	ended := n.driver.Signal(syscall.SIGTERM)
	close(held)
	n.provider.OnReceipt(nil)
	if !ended.Success() {
		t.Errorf("the driver ended with %s", ended)
	}
	must(t, n.start())
	calls.Wait()
	for i, err := range errs {
		if code := status.Code(err); code != codes.OK && code != codes.Unavailable && code != codes.Canceled && code != codes.Aborted && code != codes.DeadlineExceeded {
			t.Errorf("pod %d: %v", i, err)
		}
	}
	live := slices.Clone(n.standing)
	for i := range pods {
		v := aPod(fmt.Sprint("pod-", i), "objects")
		must(t, n.publish(v))
		live = append(live, v)
	}
	n.settled(live...)
	for _, v := range live[len(n.standing):] {
		must(t, n.unpublish(v))
	}
	n.settled(n.standing...)
	n.noDoubt()
}
