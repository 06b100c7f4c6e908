package connector

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Selector chooses objects by label, as Kubernetes does.
type Selector struct {
	// MatchLabels must all be present with these values.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
	// MatchExpressions must all hold.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	MatchExpressions []Requirement `json:"matchExpressions,omitempty"`
}

// Requirement is one expression of a Selector.
// +kubebuilder:validation:XValidation:rule="self.operator in ['In', 'NotIn'] ? has(self.values) && self.values.size() > 0 : !has(self.values) || self.values.size() == 0",message="In and NotIn need values, Exists and DoesNotExist take none"
type Requirement struct {
	// Key is the label.
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`
	Key string `json:"key"`
	// Operator is In, NotIn, Exists or DoesNotExist.
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator string `json:"operator"`
	// Values are what In and NotIn compare with.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Pattern=`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`
	Values []string `json:"values,omitempty"`
}

// maxSelectorItems bounds each list of a Selector.
const maxSelectorItems = 64

// Empty reports whether the selector would choose everything.
func (s Selector) Empty() bool { return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 }

// Validate joins one FieldError for each mistake, with paths that begin at
// the selector. An empty selector is one: nobody means everything.
func (s Selector) Validate() error {
	if s.Empty() {
		return Field("", "an empty selector chooses everything: write matchLabels or matchExpressions")
	}
	var errs []error
	if len(s.MatchLabels) > maxSelectorItems {
		errs = append(errs, Field("matchLabels", "holds %d labels; at most %d", len(s.MatchLabels), maxSelectorItems))
	}
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		at := "matchLabels[" + key + "]"
		errs = append(errs, checkLabelKey(at, key), checkLabelValue(at, s.MatchLabels[key]))
	}
	if len(s.MatchExpressions) > maxSelectorItems {
		errs = append(errs, Field("matchExpressions", "holds %d items; at most %d", len(s.MatchExpressions), maxSelectorItems))
	}
	for i, r := range s.MatchExpressions {
		errs = append(errs, r.validate(fmt.Sprintf("matchExpressions[%d]", i))...)
	}
	return errors.Join(errs...)
}

func (r Requirement) validate(path string) []error {
	errs := []error{checkLabelKey(path+".key", r.Key)}
	for i, value := range r.Values {
		errs = append(errs, checkLabelValue(fmt.Sprintf("%s.values[%d]", path, i), value))
	}
	if len(r.Values) > maxSelectorItems {
		errs = append(errs, Field(path+".values", "holds %d values; at most %d", len(r.Values), maxSelectorItems))
	}
	switch r.Operator {
	case "In", "NotIn":
		if len(r.Values) == 0 {
			errs = append(errs, Field(path+".values", "%s needs values", r.Operator))
		}
	case "Exists", "DoesNotExist":
		if len(r.Values) > 0 {
			errs = append(errs, Field(path+".values", "%s takes no values", r.Operator))
		}
	default:
		errs = append(errs, Field(path+".operator", "%q is unknown: write In, NotIn, Exists or DoesNotExist", r.Operator))
	}
	return errs
}

func checkLabelKey(path, key string) error {
	if IsQualifiedName(key) {
		return nil
	}
	return Field(path, "%q is no label: write, for example, tier or example.com/tier", key)
}

func checkLabelValue(path, value string) error {
	if value == "" || isLabelWord(value) {
		return nil
	}
	return Field(path, "%q is no value of a label: use letters, digits, dashes, underscores and dots, at most 63", value)
}

// IsQualifiedName accepts what Kubernetes accepts as the key of a label or, in
// lower case, of an annotation: a word of up to 63 characters, after the name
// of a domain and a slash if there is one.
func IsQualifiedName(key string) bool {
	domain, word, ok := strings.Cut(key, "/")
	if !ok {
		return isLabelWord(key)
	}
	return IsName(domain) && isLabelWord(word)
}

var labelWord = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)

func isLabelWord(s string) bool { return len(s) <= 63 && labelWord.MatchString(s) }

// Matches reports whether the labels satisfy the selector.
func (s Selector) Matches(labels map[string]string) bool {
	for key, value := range s.MatchLabels {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return !slices.ContainsFunc(s.MatchExpressions, func(r Requirement) bool { return !r.matches(labels) })
}

func (r Requirement) matches(labels map[string]string) bool {
	value, ok := labels[r.Key]
	switch r.Operator {
	case "In":
		return ok && slices.Contains(r.Values, value)
	case "NotIn":
		return !ok || !slices.Contains(r.Values, value)
	case "Exists":
		return ok
	case "DoesNotExist":
		return !ok
	default:
		return false
	}
}
