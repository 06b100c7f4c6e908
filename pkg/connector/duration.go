package connector

import (
	"encoding/json"
	"regexp"
	"time"
)

// Duration is a time.Duration written as in Go, for example "90s" or "1h30m",
// and longer than zero: an explicit zero would read as "not at all" and would
// mean the default.
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="must be longer than zero; leave it out for the default"
type Duration struct {
	time.Duration `json:"-"`
}

// durationText is what the API server accepts too: ParseDuration alone would
// also take "1.h" and "1µs".
var durationText = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`)

const maxDurationText = 32

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON implements json.Unmarshaler. The error wraps ErrInvalid.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return Errorf(ErrInvalid, "a duration is written as text, for example \"1h30m\"")
	}
	value, err := time.ParseDuration(text)
	switch {
	case err != nil || len(text) > maxDurationText || !durationText.MatchString(text):
		return Errorf(ErrInvalid, "duration %q: write, for example, \"90s\" or \"1h30m\"", text)
	case value == 0:
		return Errorf(ErrInvalid, "must be longer than zero; leave it out for the default")
	}
	d.Duration = value
	return nil
}
