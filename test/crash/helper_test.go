package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// helps asks the helper in a volume, as registry clients do, for each login
// that the volume shows. The answer may be newer than what was read before.
func (n *node) helps(v kubelet.Volume) error {
	before, err := n.shown(v)
	if err != nil {
		return err
	}
	var answers []login
	for _, l := range before {
		program := exec.CommandContext(n.t.Context(), filepath.Join(n.kubelet.Target(v), "bin", "docker-credential-regcred"), "get")
		program.Env, program.Stdin = []string{}, strings.NewReader(l.Host)
		out, err := program.Output()
		if err != nil {
			return fmt.Errorf("the helper of %s: %w: %s", v.Pod, err, out)
		}
		var answer struct{ ServerURL, Username, Secret string }
		if err := json.Unmarshal(out, &answer); err != nil {
			return fmt.Errorf("the helper of %s answers %q: %w", v.Pod, out, err)
		}
		if _, made := n.provider.Find(answer.Username, answer.Secret); !made && answer.Secret != passwordOf(answer.Username) {
			return fmt.Errorf("the helper's login of %s for %s is not one that was made", answer.Username, l.Host)
		}
		answers = append(answers, login{answer.ServerURL, answer.Username, answer.Secret})
	}
	after, err := n.shown(v)
	if err == nil && slices.Equal(before, after) && !slices.Equal(before, answers) {
		err = errors.New("the helper answers with another login than the volume shows")
	}
	return err
}
