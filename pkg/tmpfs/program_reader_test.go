package tmpfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/regcred/csi-driver-regcred/cmd/docker-credential-regcred/protocol"
)

// The credential helper answers for a host whose login stays, however often that
// of another host is withdrawn and given again.
func TestHelperWhileAnotherLoginGoes(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	stays := []string{".answers/.urls", "a.example\nb.example\n", ".answers/a.example", "u\npw\n", "config.json", "{}"}
	publish(t, d, place, filesOf(stays...))
	helper := protocol.Helper{
		Read: os.ReadFile, Volumes: []string{place.Target},
		Generation: func(volume string) string {
			name, err := os.Readlink(filepath.Join(volume, dataLink))
			if err != nil {
				t.Error(err)
			}
			return name
		},
	}

	over := make(chan struct{})
	var readers sync.WaitGroup
	for _, question := range []struct{ action, want string }{
		{"get", `{"ServerURL":"a.example","Username":"u","Secret":"pw"}`},
		{"list", `"a.example":"u"`},
	} {
		readers.Go(func() {
			for asked := 0; ; asked++ {
				select {
				case <-over:
					t.Logf("%s: asked %d times", question.action, asked)
					return
				default:
				}
				var answer strings.Builder
				if code := helper.Run([]string{question.action}, strings.NewReader("a.example"), &answer); code != 0 || !strings.Contains(answer.String(), question.want) {
					t.Errorf("%s: %d %s", question.action, code, answer.String())
					return
				}
			}
		})
	}
	for i := range 300 {
		update(t, d, place, filesOf(append(stays, ".answers/b.example", fmt.Sprintf("u\n%d\n", i))...), false, true)
		update(t, d, place, filesOf(stays...), true, true)
	}
	close(over)
	readers.Wait()
	remove(t, d, place)
}
