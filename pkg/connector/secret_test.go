package connector_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/yaml"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const canary = "canary-3f9c"

// holder has a secret in every place from which a printer may dig one up.
type holder struct {
	Exported connector.Secret
	hidden   connector.Secret
	pointer  *connector.Secret
	list     []connector.Secret
	table    map[string]connector.Secret
	boxed    any
}

func TestASecretCannotBePrinted(t *testing.T) {
	s := connector.NewSecret(canary)
	h := holder{s, s, &s, []connector.Secret{s}, map[string]connector.Secret{"k": s}, s}
	var printed []string
	for verb := range strings.SplitSeq("v +v #v s q x X d o b c U e f g t p T w", " ") {
		for _, value := range []any{s, &s, h, &h, []any{s}, fmt.Errorf("e: %v", s)} {
			printed = append(printed, fmt.Sprintf("%"+verb, value))
		}
	}
	if js, err := json.Marshal(h); err == nil {
		printed = append(printed, string(js))
	}
	if ys, err := yaml.Marshal(h); err == nil {
		printed = append(printed, string(ys))
	}
	var text bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "secret", s, "holder", h)
	slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "secret", s, "holder", h)
	funcr.New(func(_, args string) { text.WriteString(args) }, funcr.Options{}).Info("m", "secret", s, "holder", h)
	_ = gob.NewEncoder(&text).Encode(s) // refuses; what it wrote before counts
	printed = append(printed, text.String())
	for _, p := range printed {
		if strings.Contains(p, canary) || strings.Contains(p, fmt.Sprintf("%x", canary)) || strings.Contains(strings.ToLower(p), "63616e617279") {
			t.Errorf("printed: %s", p)
		}
	}
	if s.Reveal() != canary || !s.Equal(connector.NewSecret(canary)) || s.Equal(connector.NewSecret("other")) {
		t.Error("the text itself is lost")
	}
}

func TestASecretIsNotReadFromJSON(t *testing.T) {
	var s connector.Secret
	if err := json.Unmarshal([]byte(`"x"`), &s); err == nil || !s.IsZero() {
		t.Errorf("read %v, %v", s.IsZero(), err)
	}
}
