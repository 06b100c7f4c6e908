package env

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// Config lists registries and their logins, here or in a Secret. Entries come
// before those of the Secret where two are equally exact.
// +kubebuilder:validation:XValidation:rule="has(self.entries) || has(self.secretRef)",message="write entries or secretRef, or both"
// +kubebuilder:validation:XValidation:rule="!has(self.prefix) || has(self.secretRef)",message="prefix is that of the keys in secretRef: write secretRef, or leave it out"
type Config struct {
	// Entries are registries and where their logins are kept.
	// +optional
	// +listType=map
	// +listMapKey=match
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Entries []Entry `json:"entries,omitzero"`

	// SecretRef names an Opaque Secret whose keys are imgpkg's environment
	// variables: IMGPKG_REGISTRY_HOSTNAME, _USERNAME, _PASSWORD,
	// _IDENTITY_TOKEN and _REGISTRY_TOKEN, with a suffix such as _0 for each
	// further registry. It must be labelled regcred.dev/connector:
	// <Connector's name>.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// Prefix begins the keys in secretRef; the default is IMGPKG_REGISTRY_.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*_$`
	Prefix string `json:"prefix,omitempty"`
}

// Entry is one registry, or some of its repositories, with its login: user
// name and password, one token, or none.
// +kubebuilder:validation:XValidation:rule="[has(self.passwordRef), has(self.identityTokenRef), has(self.registryTokenRef), has(self.anonymous) && self.anonymous].filter(set, set).size() == 1",message="write exactly one of passwordRef, identityTokenRef, registryTokenRef and anonymous: true"
// +kubebuilder:validation:XValidation:rule="!has(self.passwordRef) || has(self.usernameRef)",message="passwordRef needs usernameRef"
// +kubebuilder:validation:XValidation:rule="!has(self.usernameRef) || has(self.passwordRef) || has(self.identityTokenRef)",message="usernameRef stands beside passwordRef or identityTokenRef only"
type Entry struct {
	// Match is what the entry serves: host[:port][/path]. * stands for
	// characters within a label of the host or a segment of the path; a path
	// serves everything below it, by whole segments. No pattern in the host
	// comes before a pattern, then no pattern in the path, then the longer
	// path, then more literal characters, then the order of the list.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^([hH][tT][tT][pP][sS]?://)?(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[A-Za-z0-9*]([A-Za-z0-9_*-]*[A-Za-z0-9*])?(\.[A-Za-z0-9*]([A-Za-z0-9_*-]*[A-Za-z0-9*])?)*)(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[a-z0-9*]+((\.|_|__|-+)[a-z0-9*]+)*)*/?$`
	// +kubebuilder:validation:XValidation:rule="!self.contains('[') || isIP(self.split('[')[1].split(']')[0])",message="what stands in brackets is no IPv6 address"
	// +kubebuilder:validation:XValidation:rule="!self.contains('**')",message="write * for **, or leave the end of a path out, which serves everything below"
	// +kubebuilder:validation:XValidation:rule="self.split('*').size() <= 9",message="at most 8 asterisks stand in one pattern"
	Match string `json:"match"`

	// UsernameRef is where the user name is kept; the default of key is
	// username.
	// +optional
	UsernameRef *KeyReference `json:"usernameRef,omitempty"`
	// PasswordRef is where the password is kept; the default of key is
	// password.
	// +optional
	PasswordRef *KeyReference `json:"passwordRef,omitempty"`
	// IdentityTokenRef is where an OAuth2 refresh token is kept, which clients
	// exchange for access; the default of key is token.
	// +optional
	IdentityTokenRef *KeyReference `json:"identityTokenRef,omitempty"`
	// RegistryTokenRef is where a ready-made bearer token is kept; the default
	// of key is token.
	// +optional
	RegistryTokenRef *KeyReference `json:"registryTokenRef,omitempty"`
	// Anonymous says that nothing is used here, whatever else would match.
	// +optional
	Anonymous bool `json:"anonymous,omitempty"`
}

// KeyReference names one key of a Secret in the namespace that the Connector
// reads from: of type kubernetes.io/basic-auth or
// cpaas.io/distribution-registry-token, or Opaque when it is labelled
// regcred.dev/connector: <Connector's name>.
type KeyReference struct {
	// Name of the Secret.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
	// Key in its data.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// SecretReference names a Secret in the namespace that the Connector reads from.
type SecretReference struct {
	// Name of the Secret.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

const (
	maxEntries    = 64
	maxPrefix     = 64
	defaultPrefix = "IMGPKG_REGISTRY_"
)

var variableHead = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*_$`)

// Validate implements issuers.Config.
func (c Config) Validate() error {
	var errs []error
	switch {
	case len(c.Entries) == 0 && c.SecretRef == nil:
		errs = append(errs, connector.Field("entries", "write entries or secretRef, or both"))
	case c.Entries != nil && len(c.Entries) == 0:
		errs = append(errs, connector.Field("entries", "an empty list says nothing: leave it out"))
	}
	if len(c.Entries) > maxEntries {
		errs = append(errs, connector.Field("entries", "holds %d items; at most %d: put them into a Secret and write secretRef", len(c.Entries), maxEntries))
	}
	var keys []connector.Key
	for i, e := range c.Entries[:min(len(c.Entries), maxEntries)] {
		at := fmt.Sprintf("entries[%d]", i)
		key, err := parseMatch(e.Match)
		switch first := slices.Index(keys, key); {
		case err != nil:
			errs = append(errs, connector.Field(at+".match", "%s%s", quoted(e.Match), err))
		case first >= 0:
			errs = append(errs, connector.Field(at+".match", "means the same as that of entries[%d]: keep one", first))
		}
		keys = append(keys, key)
		errs = append(errs, e.validate(at)...)
	}
	if c.SecretRef != nil && !connector.IsName(c.SecretRef.Name) {
		errs = append(errs, connector.Field("secretRef.name", "%q is not the name of a Secret", c.SecretRef.Name))
	}
	switch {
	case c.Prefix == "":
	case len(c.Prefix) > maxPrefix || !variableHead.MatchString(c.Prefix):
		errs = append(errs, connector.Field("prefix", "%q begins no variable: write letters, digits and underscores with an underscore at the end, such as IMGPKG_REGISTRY_, at most %d", c.Prefix, maxPrefix))
	case c.SecretRef == nil:
		errs = append(errs, connector.Field("prefix", "is that of the keys in secretRef: write secretRef, or leave it out"))
	}
	return errors.Join(errs...)
}

// quoted shows what was written, unless it may be user:password@host.
func quoted(written string) string {
	if written == "" || strings.Contains(written, "@") {
		return ""
	}
	return fmt.Sprintf("%q ", written)
}

func (e Entry) validate(at string) []error {
	var errs []error
	forms := 0
	for _, set := range []bool{e.PasswordRef != nil, e.IdentityTokenRef != nil, e.RegistryTokenRef != nil, e.Anonymous} {
		if set {
			forms++
		}
	}
	switch {
	case forms != 1:
		errs = append(errs, connector.Field(at, "write exactly one of passwordRef, identityTokenRef, registryTokenRef and anonymous: true"))
	case e.PasswordRef != nil && e.UsernameRef == nil:
		errs = append(errs, connector.Field(at+".usernameRef", "is missing beside passwordRef"))
	case e.UsernameRef != nil && e.PasswordRef == nil && e.IdentityTokenRef == nil:
		errs = append(errs, connector.Field(at+".usernameRef", "stands beside passwordRef or identityTokenRef only"))
	}
	for _, ref := range []struct {
		field string
		ref   *KeyReference
	}{{"usernameRef", e.UsernameRef}, {"passwordRef", e.PasswordRef}, {"identityTokenRef", e.IdentityTokenRef}, {"registryTokenRef", e.RegistryTokenRef}} {
		if ref.ref != nil {
			errs = append(errs, pullsecret.CheckReference(at+"."+ref.field, connector.KindSecret, ref.ref.Name, ref.ref.Key)...)
		}
	}
	return errs
}
