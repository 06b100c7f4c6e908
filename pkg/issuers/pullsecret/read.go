package pullsecret

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// The types of Secrets that hold logins.
const (
	TypeDockerConfigJSON  = "kubernetes.io/dockerconfigjson"
	TypeDockerConfig      = "kubernetes.io/dockercfg"
	TypeBasicAuth         = "kubernetes.io/basic-auth"
	TypeDistributionToken = "cpaas.io/distribution-registry-token"
	TypeOpaque            = "Opaque"
)

// LabelConnector is the label by which the owner of an Opaque Secret offers it
// to the Connector of that name. Without it whoever may write Connectors could
// read every Secret of the namespace.
const LabelConnector = "regcred.dev/connector"

const (
	keyDockerConfigJSON = ".dockerconfigjson"
	keyDockerConfig     = ".dockercfg"
	keyConfigFile       = "config.json"
	keyUsername         = "username"
	keyPassword         = "password"
)

// Login is what one Secret holds.
type Login struct {
	// Entries are sorted by the hosts as written, each key once.
	Entries []connector.Entry
	// Warnings tell what was left out, without a secret.
	Warnings []string
}

// Read returns a Secret's login for a Connector. A user name and password
// without a host are for the given hosts. Errors are *issuers.Error; one that
// wraps connector.ErrDenied means that the owner does not, or no longer, offer
// the login.
func Read(secret *connector.Object, connectorName string, hosts []string) (Login, error) {
	read, err := reader(secret, connectorName)
	if err != nil {
		return Login{}, err
	}
	login, err := read(secret, hosts)
	if err != nil {
		return Login{}, err
	}
	if len(login.Entries) == 0 {
		return Login{}, Invalid(secret, "holds no login%s", because(login.Warnings))
	}
	return login.from(secret), nil
}

// ReadConfig returns the logins of a docker configuration (config.json) under
// one key of a Secret or ConfigMap. Without a key it is where the type of the
// Secret says, else config.json. Errors are those of Read.
func ReadConfig(object *connector.Object, key, connectorName string) (Login, error) {
	if object.Kind == connector.KindSecret {
		if err := Offered(object, connectorName, TypeDockerConfigJSON); err != nil {
			return Login{}, err
		}
	}
	switch {
	case key != "":
	case object.Type == TypeDockerConfigJSON:
		key = keyDockerConfigJSON
	default:
		key = keyConfigFile
	}
	data, ok := object.Data[key]
	if !ok {
		return Login{}, Invalid(object, "has no key %q", key)
	}
	login, err := parseConfig([]byte(data.Reveal()))
	switch {
	case err != nil:
		return Login{}, BadKey(object, key, err)
	case len(login.Entries) == 0:
		return Login{}, BadKey(object, key, errors.New("holds no login"+because(login.Warnings)))
	default:
		return login.from(object), nil
	}
}

// from names the object in what was found.
func (l Login) from(object *connector.Object) Login {
	for i, w := range l.Warnings {
		l.Warnings[i] = fmt.Sprintf("%s %q: %s", kindOf(object), object.Name, w)
	}
	return l
}

type readFunc func(secret *connector.Object, hosts []string) (Login, error)

func reader(secret *connector.Object, connectorName string) (readFunc, error) {
	switch secret.Type {
	case TypeDockerConfigJSON:
		return dockerConfigJSON, nil
	case TypeDockerConfig:
		return dockerConfig, nil
	case TypeBasicAuth, TypeDistributionToken:
		return userAndPassword, nil
	case TypeOpaque, "":
		if err := Offered(secret, connectorName); err != nil {
			return nil, err
		}
		if _, ok := secret.Data[keyDockerConfigJSON]; ok {
			return dockerConfigJSON, nil
		}
		return userAndPassword, nil
	default:
		return nil, Offered(secret, connectorName, TypeDockerConfigJSON, TypeDockerConfig, TypeBasicAuth, TypeDistributionToken)
	}
}

func dockerConfigJSON(secret *connector.Object, _ []string) (Login, error) {
	data, ok := secret.Data[keyDockerConfigJSON]
	if !ok {
		return Login{}, Invalid(secret, "has no key %q", keyDockerConfigJSON)
	}
	login, err := parseConfig([]byte(data.Reveal()))
	if err != nil {
		return Login{}, Invalid(secret, "%w", err)
	}
	return login, nil
}

func dockerConfig(secret *connector.Object, _ []string) (Login, error) {
	data, ok := secret.Data[keyDockerConfig]
	if !ok {
		return Login{}, Invalid(secret, "has no key %q", keyDockerConfig)
	}
	login, err := parseAuths([]byte(data.Reveal()))
	if err != nil {
		return Login{}, Invalid(secret, "%w", err)
	}
	return login, nil
}

func userAndPassword(secret *connector.Object, hosts []string) (Login, error) {
	username, password := secret.Data[keyUsername].Reveal(), secret.Data[keyPassword]
	badUser, badPassword := CheckUser(username), CheckText(password.Reveal())
	switch {
	case username == "" || password.IsZero():
		return Login{}, Invalid(secret, "needs both keys %q and %q", keyUsername, keyPassword)
	case badUser != nil:
		return Login{}, BadKey(secret, keyUsername, badUser)
	case badPassword != nil:
		return Login{}, BadKey(secret, keyPassword, badPassword)
	case len(hosts) == 0:
		return Login{}, issuers.Terminate("RegistryMissing", "Secret %q holds a user name and password without a host: add spec.address (or spec.registries) to the Connector", secret.Name)
	}
	var login Login
	for _, host := range hosts {
		login.Entries = append(login.Entries, connector.Entry{Key: connector.Key{Host: host}, Username: username, Password: password})
	}
	return login, nil
}

// Offered reports why a Connector may not read a Secret: it is of none of these
// types, which say that a login is in it, and not an Opaque one whose owner
// offers it by a label. The error is terminal, and wraps connector.ErrDenied
// where the label is missing.
func Offered(secret *connector.Object, connectorName string, types ...string) error {
	switch {
	case slices.Contains(types, secret.Type):
		return nil
	case secret.Type != TypeOpaque && secret.Type != "":
		return issuers.Terminate("SecretTypeUnsupported", "Secret %q is of type %q: use %s", secret.Name, secret.Type, choice(types))
	case secret.Labels[LabelConnector] != connectorName:
		return issuers.Terminate("SecretNotLabelled", "Secret %q is Opaque and not offered to this Connector: its owner must label it %s: %s", secret.Name, LabelConnector, connectorName).Because(connector.ErrDenied)
	default:
		return nil
	}
}

func choice(types []string) string {
	if len(types) == 0 {
		return "a labelled Opaque one"
	}
	return strings.Join(types, ", ") + " or a labelled Opaque one"
}

// Invalid tells what is wrong with an object; the text reads on after its name.
func Invalid(object *connector.Object, format string, args ...any) error {
	kind := kindOf(object)
	return issuers.Terminate(string(kind)+"Invalid", "%s %q "+format, append([]any{kind, object.Name}, args...)...)
}

// BadKey tells what is wrong with the text under one key of an object; the
// problem reads on after the key.
func BadKey(object *connector.Object, key string, problem error) error {
	kind := kindOf(object)
	return issuers.Terminate(string(kind)+"Invalid", "%s %q: key %q %w", kind, object.Name, key, problem)
}

func kindOf(object *connector.Object) connector.ObjectKind {
	return cmp.Or(object.Kind, connector.KindSecret)
}

// because tells what was left out, in a sentence that names the object already.
func because(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return ": " + strings.Join(warnings, "; ")
}
