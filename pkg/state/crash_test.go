package state

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/mounttest"
)

// crashKeys is how many records the victim rewrites, round after round.
const crashKeys = 4

// crashDocument is what round n writes: recognisable as one whole.
func crashDocument(round int) []byte {
	line := fmt.Sprintf("round %d\n", round)
	return bytes.Repeat([]byte(line), 300+round%50)
}

// TestVictim is the child of the crash test: it writes until it is killed and
// says after each round that it is stored.
func TestVictim(t *testing.T) {
	directory, stateDir, runtimeDir := os.Getenv("REGCRED_VICTIM"), os.Getenv("REGCRED_STATE"), os.Getenv("REGCRED_RUN")
	if directory == "" {
		return // started by go test, not by the crash test
	}
	s, err := Open(t.Context(), Options{StateDir: stateDir, RuntimeDir: runtimeDir})
	must(t, err)
	dir := map[string]*Dir{volumesName: s.volumes, intentsName: s.intents}[directory]
	for round := 1; ; round++ {
		for key := range crashKeys {
			must(t, dir.Put(strconv.Itoa(key), crashDocument(round)))
		}
		fmt.Printf("stored %d\n", round)
	}
}

func TestKilledInPut(t *testing.T) {
	for directory, kills := range map[string]int{volumesName: 15, intentsName: 10} {
		t.Run(directory, func(t *testing.T) {
			s := open(t, directories(t))
			leftovers := 0
			for kill := range kills {
				must(t, s.Close(false))
				acknowledged := runVictim(t, directory, s.options, 3+7*kill)
				leftovers += countTemp(t, s.options, directory)
				s = open(t, s.options)
				dir := map[string]*Dir{volumesName: s.volumes, intentsName: s.intents}[directory]
				documents, err := dir.All()
				must(t, err)
				if len(documents) != crashKeys {
					t.Fatalf("%d documents of %d", len(documents), crashKeys)
				}
				for key, document := range documents {
					var round int
					if _, err := fmt.Sscanf(string(document), "round %d\n", &round); err != nil || !bytes.Equal(document, crashDocument(round)) {
						t.Fatalf("key %s holds no whole document: %.60q…", key, document)
					}
					if round < acknowledged {
						t.Errorf("key %s: round %d was acknowledged, %d is there", key, acknowledged, round)
					}
				}
				if left := countTemp(t, s.options, directory); left > 0 {
					t.Errorf("%d half-written files survived the start", left)
				}
			}
			t.Logf("%d of %d kills came in the middle of a write", leftovers, kills)
		})
	}
}

// runVictim kills a child with SIGKILL after it reported some rounds and
// returns the last round that it is known to have stored.
func runVictim(t *testing.T, directory string, options Options, rounds int) (acknowledged int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), "REGCRED_VICTIM="+directory, "REGCRED_STATE="+options.StateDir, "REGCRED_RUN="+options.RuntimeDir)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if round, ok := strings.CutPrefix(lines.Text(), "stored "); ok {
			acknowledged, err = strconv.Atoi(round)
			must(t, err)
		}
		if acknowledged == rounds {
			break
		}
	}
	must(t, cmd.Process.Kill())
	for lines.Scan() { // what it still said before it died
		if round, ok := strings.CutPrefix(lines.Text(), "stored "); ok {
			acknowledged, err = strconv.Atoi(round)
			must(t, err)
		}
	}
	_ = cmd.Wait() // killed, as wished
	if acknowledged < rounds {
		t.Fatalf("the victim died by itself after round %d", acknowledged)
	}
	return acknowledged
}

func countTemp(t *testing.T, options Options, directory string) (count int) {
	t.Helper()
	parent := map[string]string{volumesName: options.RuntimeDir, intentsName: options.StateDir}[directory]
	list, err := os.ReadDir(parent + "/" + directory)
	must(t, err)
	for _, entry := range list {
		if strings.HasSuffix(entry.Name(), tempSuffix) {
			count++
		}
	}
	return count
}

// A kill between writing and renaming is rare above, so it is also arranged.
func TestOpenRemovesHalfWrittenFiles(t *testing.T) {
	s := open(t, directories(t))
	must(t, s.Close(false))
	paths := []string{
		s.options.StateDir + "/" + bootIDName + ".0" + tempSuffix,
		s.intents.path + "/" + recordName("key") + ".0" + tempSuffix,
		s.volumes.path + "/" + recordName("key") + ".1" + tempSuffix,
		s.credentials.path + "/" + recordName("key") + ".0" + tempSuffix,
	}
	for _, path := range paths {
		must(t, os.WriteFile(path, []byte("half"), 0o600))
	}
	open(t, s.options)
	for _, path := range paths {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestInUserNamespace runs the tests that mount once more where noswap is
// refused and root is root of nothing but its own files.
func TestInUserNamespace(t *testing.T) {
	if inUserNamespace(t) {
		return // that is where all tests run already
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^(TestOpenMounts|TestOpenRefuses$|TestOpenNarrows|TestRestart|TestClean|TestSwap|TestPut)", "-test.v")
	cmd.SysProcAttr = mounttest.Namespaces(true)
	output, err := cmd.CombinedOutput()
	if err != nil || bytes.Count(output, []byte("\n--- PASS: ")) < 8 {
		t.Errorf("%v\n%s", err, output)
	}
}
