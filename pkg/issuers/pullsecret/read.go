package pullsecret

import (
	"fmt"
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
		return Login{}, invalid(secret, "holds no login%s", because(secret, login.Warnings))
	}
	return login, nil
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
		if secret.Labels[LabelConnector] != connectorName {
			return nil, issuers.Terminate("SecretNotLabelled", "Secret %q is Opaque and not offered to this Connector: its owner must label it %s: %s", secret.Name, LabelConnector, connectorName).Because(connector.ErrDenied)
		}
		if _, ok := secret.Data[keyDockerConfigJSON]; ok {
			return dockerConfigJSON, nil
		}
		return userAndPassword, nil
	default:
		return nil, issuers.Terminate("SecretTypeUnsupported", "Secret %q is of type %q: use %s, %s, %s, %s or a labelled Opaque one",
			secret.Name, secret.Type, TypeDockerConfigJSON, TypeDockerConfig, TypeBasicAuth, TypeDistributionToken)
	}
}

func dockerConfigJSON(secret *connector.Object, _ []string) (Login, error) {
	data, ok := secret.Data[keyDockerConfigJSON]
	if !ok {
		return Login{}, invalid(secret, "has no key %q", keyDockerConfigJSON)
	}
	return checked(secret)(parseConfig([]byte(data.Reveal())))
}

func dockerConfig(secret *connector.Object, _ []string) (Login, error) {
	data, ok := secret.Data[keyDockerConfig]
	if !ok {
		return Login{}, invalid(secret, "has no key %q", keyDockerConfig)
	}
	return checked(secret)(parseAuths([]byte(data.Reveal())))
}

// checked names the Secret in what a parser found.
func checked(secret *connector.Object) func(Login, error) (Login, error) {
	return func(login Login, err error) (Login, error) {
		if err != nil {
			return Login{}, invalid(secret, "%w", err)
		}
		for i, w := range login.Warnings {
			login.Warnings[i] = fmt.Sprintf("Secret %q: %s", secret.Name, w)
		}
		return login, nil
	}
}

func userAndPassword(secret *connector.Object, hosts []string) (Login, error) {
	username, password := secret.Data[keyUsername].Reveal(), secret.Data[keyPassword]
	badUser, badPassword := checkUser(username), checkText(password.Reveal())
	switch {
	case username == "" || password.IsZero():
		return Login{}, invalid(secret, "needs both keys %q and %q", keyUsername, keyPassword)
	case badUser != nil:
		return Login{}, badKey(secret, keyUsername, badUser)
	case badPassword != nil:
		return Login{}, badKey(secret, keyPassword, badPassword)
	case len(hosts) == 0:
		return Login{}, issuers.Terminate("RegistryMissing", "Secret %q holds a user name and password without a host: add spec.address (or spec.registries) to the Connector", secret.Name)
	}
	var login Login
	for _, host := range hosts {
		login.Entries = append(login.Entries, connector.Entry{Key: connector.Key{Host: host}, Username: username, Password: password})
	}
	return login, nil
}

func invalid(secret *connector.Object, format string, args ...any) error {
	return issuers.Terminate("SecretInvalid", "Secret %q "+format, append([]any{secret.Name}, args...)...)
}

func badKey(secret *connector.Object, key string, problem error) error {
	return issuers.Terminate("SecretInvalid", "Secret %q: key %q %w", secret.Name, key, problem)
}

// because tells what was left out, in a sentence that names the Secret already.
func because(secret *connector.Object, warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return ": " + strings.ReplaceAll(strings.Join(warnings, "; "), fmt.Sprintf("Secret %q: ", secret.Name), "")
}
