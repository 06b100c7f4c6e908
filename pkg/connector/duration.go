package connector

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a time.Duration written as in Go, for example "90s" or "1h30m".
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
type Duration struct {
	time.Duration `json:"-"`
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON implements json.Unmarshaler; negative durations are refused.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%w: a duration is written as text, for example \"1h30m\"", ErrInvalid)
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < 0 {
		return fmt.Errorf("%w: duration %q: write, for example, \"90s\" or \"1h30m\"", ErrInvalid, text)
	}
	d.Duration = value
	return nil
}
