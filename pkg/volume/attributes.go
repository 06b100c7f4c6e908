package volume

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/regcred/csi-driver-regcred/internal/suggest"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// The volume attributes. Those of repositories and actions may carry a dot
// and the connector that they are for.
const (
	attrConnectors         = "connectors"
	attrConnectorName      = "connector.name"
	attrConnectorNamespace = "connector.namespace"
	attrConfigurations     = "configuration.names"
	attrRepositories       = "repositories"
	attrActions            = "actions"
	attrExpiration         = "token.expiration"
	attrMinimum            = "token.minimum"
	attrMountPath          = "mount.path"
	attrFileMode           = "file.mode"
)

const (
	defaultConfiguration = "docker-config"
	// The rest bounds what one pod can make the node do, at each republish too.
	maxConnectors = 32
	maxAttributes = 128
	maxValue      = 4 << 10 // bytes
	maxItems      = 64
)

// attributeNames lists every attribute, for suggestions.
func attributeNames() []string {
	return []string{
		attrConnectors, attrConnectorName, attrConnectorNamespace, attrConfigurations, attrRepositories,
		attrActions, attrExpiration, attrMinimum, attrMountPath, attrFileMode,
	}
}

// ParseAttributes reads the volume attributes of a pod in podNamespace. The
// kubelet's own csi.storage.k8s.io/ keys are not attributes and must be gone.
// The error joins one connector.FieldError per mistake, its path being the
// attribute.
func ParseAttributes(attributes map[string]string, podNamespace string) (Attributes, error) {
	if len(attributes) > maxAttributes {
		return Attributes{}, connector.Field("volumeAttributes", "there are %d; at most %d have a meaning", len(attributes), maxAttributes)
	}
	p := parser{attributes: attributes, podNamespace: podNamespace}
	p.uses()
	p.configurations()
	p.times()
	p.mountPath()
	p.fileMode()
	p.narrowing()
	if len(p.mistakes) > 0 {
		return Attributes{}, errors.Join(p.mistakes...)
	}
	return p.parsed, nil
}

// parser collects what is said and what is wrong, so that a pod's author
// learns of every mistake at once.
type parser struct {
	attributes   map[string]string
	podNamespace string
	parsed       Attributes
	mistakes     []error
}

func (p *parser) wrong(attribute, format string, args ...any) {
	p.mistakes = append(p.mistakes, connector.Field(attribute, format, args...))
}

// value returns an attribute that is present. An empty one is a mistake: it
// comes from a template that had no value, and must not mean "no limit".
func (p *parser) value(attribute string) (string, bool) {
	value, ok := p.attributes[attribute]
	if ok && strings.TrimSpace(value) == "" {
		p.wrong(attribute, "is empty: give it a value or leave it out")
		return "", false
	}
	if len(value) > maxValue {
		p.wrong(attribute, "is longer than %d bytes", maxValue)
		return "", false
	}
	return value, ok
}

// list splits a comma-separated value; empty and repeated items are mistakes,
// and so are too many.
func (p *parser) list(attribute, value string) []string {
	if n := strings.Count(value, ",") + 1; n > maxItems {
		p.wrong(attribute, "names %d items; at most %d", n, maxItems)
		return nil
	}
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		switch item = strings.TrimSpace(item); {
		case item == "":
			p.wrong(attribute, "has an empty item: write a comma only between two items")
		case slices.Contains(items, item):
			p.wrong(attribute, "names %q twice", item)
		default:
			items = append(items, item)
		}
	}
	return items
}

func (p *parser) uses() {
	value, present := p.value(attrConnectors)
	_, old := p.attributes[attrConnectorName]
	_, oldNamespace := p.attributes[attrConnectorNamespace]
	switch {
	case present && (old || oldNamespace):
		p.wrong(attrConnectors, "is given beside %s or %s: write the connector in %s only", attrConnectorName, attrConnectorNamespace, attrConnectors)
	case present:
		for _, written := range p.list(attrConnectors, value) {
			p.use(attrConnectors, written)
		}
	case old:
		p.oldSpelling()
	case oldNamespace:
		p.wrong(attrConnectorNamespace, "is given without %s: write %s: \"NAMESPACE/NAME\"", attrConnectorName, attrConnectors)
	default:
		if _, told := p.attributes[attrConnectors]; !told {
			p.wrong(attrConnectors, "is required: name at least one Connector of the pod's namespace, namespace/name, or cluster:name")
		}
	}
	if len(p.parsed.Uses) > maxConnectors {
		p.wrong(attrConnectors, "names %d connectors; at most %d can share a volume", len(p.parsed.Uses), maxConnectors)
	}
}

// oldSpelling reads connector.name and connector.namespace as one connector.
func (p *parser) oldSpelling() {
	name, ok := p.value(attrConnectorName)
	namespace, hasNamespace := p.value(attrConnectorNamespace)
	switch {
	case !ok:
	case strings.ContainsAny(name, ",/:"):
		p.wrong(attrConnectorName, "%q is not a name: for more than one connector, or one elsewhere, use %s", name, attrConnectors)
	case hasNamespace:
		p.use(attrConnectorName, strings.TrimSpace(namespace)+"/"+strings.TrimSpace(name))
	default:
		p.use(attrConnectorName, strings.TrimSpace(name))
	}
}

func (p *parser) use(attribute, written string) {
	ref, err := connector.ParseRef(written, p.podNamespace)
	if err != nil {
		p.wrong(attribute, "%q is not a connector: write name, namespace/name or cluster:name", written)
		return
	}
	for _, other := range p.parsed.Uses {
		if other.Ref == ref {
			p.wrong(attribute, "%q and %q are the same connector", other.Written, written)
			return
		}
	}
	p.parsed.Uses = append(p.parsed.Uses, Use{Written: written, Ref: ref})
}

func (p *parser) configurations() {
	value, ok := p.value(attrConfigurations)
	if ok {
		written := map[string]string{} // by canonical name
		for _, item := range p.list(attrConfigurations, value) {
			if file, excluded := strings.CutPrefix(item, "!"); excluded {
				p.exclude(file)
			} else {
				p.configuration(item, written)
			}
		}
	}
	if len(p.parsed.Configurations) == 0 {
		p.parsed.Configurations = []string{defaultConfiguration}
	}
}

func (p *parser) configuration(written string, before map[string]string) {
	name, ok := render.Canonical(written)
	switch {
	case !ok:
		p.wrong(attrConfigurations, "there is no configuration %q%s (known: %s)", written, suggest.DidYouMean(written, render.Names()), strings.Join(render.Names(), ", "))
	case before[name] != "":
		p.wrong(attrConfigurations, "%q and %q are the same configuration: keep one", before[name], written)
	default:
		before[name] = written
		p.parsed.Configurations = append(p.parsed.Configurations, name)
	}
}

func (p *parser) exclude(file string) {
	if !fs.ValidPath(file) || file == "." || strings.ContainsFunc(file, unicode.IsControl) {
		p.wrong(attrConfigurations, "\"!%s\" is not a file of the volume: write, for example, \"!config.json\"", file)
		return
	}
	if file == render.ReportName {
		p.wrong(attrConfigurations, "\"!%s\": every volume carries this file, by which its content is explained: leave the item away", file)
		return
	}
	p.parsed.Exclude = append(p.parsed.Exclude, file)
}

func (p *parser) times() {
	p.parsed.TTL = p.duration(attrExpiration)
	p.parsed.MinimumLife = p.duration(attrMinimum)
	if p.parsed.TTL > 0 && p.parsed.MinimumLife > p.parsed.TTL {
		p.wrong(attrMinimum, "%s is more than %s (%s), so no credential could ever be fresh enough", p.parsed.MinimumLife, attrExpiration, p.parsed.TTL)
	}
}

func (p *parser) duration(attribute string) time.Duration {
	value, ok := p.value(attribute)
	if !ok {
		return 0
	}
	duration, err := time.ParseDuration(strings.TrimSpace(value))
	if err != nil || duration <= 0 {
		p.wrong(attribute, "%q is not a positive duration: write, for example, \"90s\" or \"1h30m\"", value)
		return 0
	}
	return duration
}

func (p *parser) mountPath() {
	value, ok := p.value(attrMountPath)
	switch {
	case !ok:
	case !path.IsAbs(value) || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		p.wrong(attrMountPath, "%q is not the absolute path of a volumeMount", value)
	case path.Clean(value) != value:
		p.wrong(attrMountPath, "%q is not a clean path: write %q", value, path.Clean(value))
	default:
		p.parsed.MountPath = value
	}
}

// fileMode admits reading only: content comes from the driver alone, and the
// owner must be able to read it.
func (p *parser) fileMode() {
	value, ok := p.value(attrFileMode)
	if !ok {
		return
	}
	mode, err := strconv.ParseUint(value, 8, 12)
	switch {
	case err != nil:
		p.wrong(attrFileMode, "%q is not an octal mode: write, for example, \"0440\" in quotes", value)
	case mode&^0o444 != 0:
		p.wrong(attrFileMode, "%q allows more than reading: files of this volume are read-only, so only 0400, 0440 and 0444 make sense", value)
	case mode&0o400 == 0:
		p.wrong(attrFileMode, "%q does not let the owner read: add 0400", value)
	default:
		p.parsed.FileMode = fs.FileMode(mode)
	}
}

// narrowing reads repositories and actions, with or without a connector, and
// reports what is no attribute at all.
func (p *parser) narrowing() {
	for _, attribute := range slices.Sorted(maps.Keys(p.attributes)) {
		name, written, suffixed := strings.Cut(attribute, ".")
		switch {
		case name == attrRepositories || name == attrActions:
			use := p.useFor(attribute, name, written, suffixed)
			if value, ok := p.value(attribute); ok {
				p.narrow(use, attribute, name, value)
			}
		case !slices.Contains(attributeNames(), attribute):
			known := attributeNames()
			if suffixed {
				known = slices.Insert(known, 0, attrRepositories+"."+written, attrActions+"."+written)
			}
			p.wrong(attribute, "is not a volume attribute%s", suggest.DidYouMean(attribute, known))
		}
	}
}

// useFor finds the connector that a narrowing attribute is for; nil after a mistake.
func (p *parser) useFor(attribute, name, written string, suffixed bool) *Use {
	uses := p.parsed.Uses
	if !suffixed {
		if len(uses) == 1 {
			return &uses[0]
		}
		if len(uses) > 1 {
			p.wrong(attribute, "does not say for which connector: write %s", p.suffixes(name))
		}
		return nil // without any connector, that is the mistake to report
	}
	i := slices.IndexFunc(uses, func(u Use) bool { return u.Written == written })
	switch {
	case len(uses) == 0:
		return nil
	case i < 0:
		p.wrong(attribute, "no connector is written %q in this volume: write %s", written, p.suffixes(name))
		return nil
	case len(uses) == 1 && p.attributes[name] != "":
		p.wrong(attribute, "is given beside %s, which means the same connector: keep one of both", name)
		return nil
	}
	return &uses[i]
}

// suffixes lists the spellings that a narrowing attribute may have.
func (p *parser) suffixes(name string) string {
	spellings := make([]string, len(p.parsed.Uses))
	for i, use := range p.parsed.Uses {
		spellings[i] = name + "." + use.Written
	}
	return strings.Join(spellings, " or ")
}

// narrow checks the value also when use is nil, to report its mistakes too.
func (p *parser) narrow(use *Use, attribute, name, value string) {
	if use == nil {
		use = &Use{}
	}
	if name == attrRepositories {
		for _, repository := range p.list(attribute, value) {
			if err := connector.CheckRepository(repository); err != nil {
				p.wrong(attribute, "%q %s", repository, err)
				continue
			}
			use.Want.Repositories = append(use.Want.Repositories, repository)
		}
		return
	}
	actions, err := connector.ParseActions(value)
	if err != nil {
		p.wrong(attribute, "%q is not a list of actions: write \"pull\" or \"pull,push\"", value)
		return
	}
	use.Want.Actions = actions
}
