package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// GroupVersion is the apiVersion of the manifests of this package.
const GroupVersion = "regcred.dev/v1alpha1"

// The kinds of this package.
const (
	KindConnector        = "Connector"
	KindClusterConnector = "ClusterConnector"
)

// Connector tells how pods get access to container registries: which hosts,
// from which issuer the credentials come, and who may use them. It serves the
// pods of its own namespace, and those that spec.access lists. Secrets and
// ConfigMaps that it names are read from its namespace.
// +kubebuilder:resource:shortName=conn,categories=regcred
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Issuer",type=string,JSONPath=`.status.issuer`
// +kubebuilder:printcolumn:name="Registry",type=string,JSONPath=`.status.registry`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Connector struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the platform team wants.
	Spec ConnectorSpec `json:"spec"`
	// status is what the controller found. Only the controller writes it.
	// +optional
	Status ConnectorStatus `json:"status,omitzero"`
}

// ClusterConnector is a Connector for pods of many namespaces. It serves
// exactly those that spec.access lists, so nobody without it. Secrets and
// ConfigMaps that it names are read from the one namespace that the driver's
// --cluster-resource-namespace names.
// +kubebuilder:resource:scope=Cluster,shortName=cconn,categories=regcred
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Issuer",type=string,JSONPath=`.status.issuer`
// +kubebuilder:printcolumn:name="Registry",type=string,JSONPath=`.status.registry`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterConnector struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the platform team wants.
	// +kubebuilder:validation:XValidation:rule="!has(self.access) || self.access.all(p, has(p.namespaces) || has(p.namespaceSelector) || !has(p.serviceAccounts))",message="a ClusterConnector has no namespace of its own: each item of access needs namespaces or namespaceSelector"
	Spec ConnectorSpec `json:"spec"`
	// status is what the controller found. Only the controller writes it.
	// +optional
	Status ConnectorStatus `json:"status,omitzero"`
}

// ConnectorSpec is what a platform team wants.
// +kubebuilder:validation:AtMostOneOf=address;registries
// +kubebuilder:validation:XValidation:rule="!(has(self.issuer.anonymous) || has(self.issuer.dockerConfig) || has(self.issuer.env) || has(self.issuer.secret)) || (!has(self.maxAge) && !has(self.defaultTTL))",message="maxAge and defaultTTL have no effect on issuers anonymous, dockerConfig, env and secret, whose content follows its source alone: leave them out"
// +kubebuilder:validation:XValidation:rule="!has(self.issuer.anonymous) || has(self.address) || (has(self.registries) && self.registries.size() > 0)",message="issuer anonymous serves the declared registries: write address or registries"
// +kubebuilder:validation:XValidation:rule="!has(self.issuer.anonymous) || (has(self.scopeEnforcement) && self.scopeEnforcement == 'BestEffort') || !has(self.minimumScope) || self.minimumScope == 'none'",message="what everybody has is limited to nobody: remove minimumScope, or write scopeEnforcement: BestEffort"
// +kubebuilder:validation:XValidation:rule="!(has(self.issuer.anonymous) || has(self.issuer.dockerConfig) || has(self.issuer.env) || has(self.issuer.secret) || has(self.issuer.distributionToken) && self.issuer.distributionToken.output != 'registryToken') || (has(self.scopeEnforcement) && self.scopeEnforcement == 'BestEffort') || (!(has(self.scope) && (has(self.scope.repositories) || has(self.scope.actions))) && !(has(self.minimumScope) && self.minimumScope in ['project', 'repository']))",message="this issuer cannot limit a credential: remove scope and minimumScope, or write scopeEnforcement: BestEffort to deliver it unlimited"
// +kubebuilder:validation:XValidation:rule="!has(self.issuer.distributionToken) || self.issuer.distributionToken.output == 'registryToken' || (has(self.allowLongLived) && self.allowLongLived)",message="output basic and identityToken deliver a long-lived credential: write allowLongLived: true to permit it, or choose registryToken"
type ConnectorSpec struct {
	// address is the registry as a URL or host[:port], such as
	// https://harbor.example.com. It is short for one item of registries;
	// http:// stands for plainHTTP. An issuer that knows its hosts itself
	// needs neither.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^([hH][tT][tT][pP][sS]?://)?(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*)(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?$`
	// +kubebuilder:validation:XValidation:rule="!self.contains('[') || isIP(self.split('[')[1].split(']')[0])",message="what stands in brackets is no IPv6 address"
	Address string `json:"address,omitempty"`

	// registries are the hosts that the credentials are for, and how each is
	// reached.
	// +optional
	// +listType=map
	// +listMapKey=host
	// +kubebuilder:validation:MaxItems=64
	Registries []Registry `json:"registries,omitempty"`

	// access lists who may use the Connector. One item must match, with all
	// of its fields. Without access a Connector serves its own namespace and
	// a ClusterConnector serves nobody.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Access []Peer `json:"access,omitempty"`

	// scope is the most that any volume can get; a volume can only narrow it.
	// +optional
	Scope connector.Scope `json:"scope,omitzero"`

	// minimumScope refuses credentials that the provider limits less finely:
	// none, identity, project or repository.
	// +optional
	// +kubebuilder:validation:Enum=none;identity;project;repository
	MinimumScope connector.Grain `json:"minimumScope,omitempty"`

	// sharing is the widest sharing of one credential that is allowed: Pod,
	// ServiceAccount or Connector. The default is what the issuer declares.
	// +optional
	// +kubebuilder:validation:Enum=Pod;ServiceAccount;Connector
	Sharing connector.Sharing `json:"sharing,omitempty"`

	// maxAge replaces a shared credential at the latest when it is this old,
	// even when it would live longer. It is for what an issuer makes or asks
	// for: what is only handed out, as by issuer secret, which refuses it, or
	// by distributionToken with output basic, stays as it is stored.
	// +optional
	MaxAge *connector.Duration `json:"maxAge,omitempty"`

	// overlap is how long a superseded credential stays valid before it is
	// revoked. The default is one hour, or the rest of its life when that is
	// shorter.
	// +optional
	Overlap *connector.Duration `json:"overlap,omitempty"`

	// defaultTTL is how long a credential is taken to live when nothing tells
	// its end. It does not end what is only handed out, as by issuer secret,
	// which refuses it like its kind, or by distributionToken with output basic: that stays
	// as long as it is stored.
	// +optional
	DefaultTTL *connector.Duration `json:"defaultTTL,omitempty"`

	// allowLongLived permits an issuer to deliver a credential that has no
	// end, or one more than 24 hours away, and that is not deleted when the
	// pod is gone.
	// +optional
	AllowLongLived bool `json:"allowLongLived,omitempty"`

	// scopeEnforcement says what happens when the issuer cannot enforce
	// scope or minimumScope: Strict, the default, refuses; BestEffort
	// delivers the wider credential and tells so.
	// +optional
	// +kubebuilder:validation:Enum=Strict;BestEffort
	ScopeEnforcement connector.Enforcement `json:"scopeEnforcement,omitempty"`

	// delivery is direct, the default: the pod gets the credential. gateway
	// is reserved and does not exist yet.
	// +optional
	// +kubebuilder:validation:Enum=direct
	Delivery Delivery `json:"delivery,omitempty"`

	// issuer says where the credentials come from: exactly one member.
	Issuer IssuerSource `json:"issuer"`
}

// Delivery is the way in which a pod gets access.
type Delivery string

// The kinds of delivery.
const (
	DeliverDirect  Delivery = "direct"
	DeliverGateway Delivery = "gateway"
)

// Registry is one host and how it is reached.
// +kubebuilder:validation:XValidation:rule="!has(self.plainHTTP) || !self.plainHTTP || !has(self.tls)",message="plain HTTP has no TLS: remove tls or plainHTTP"
type Registry struct {
	// host is the registry's host or host:port, without scheme and path.
	// docker.io stands for all names of Docker Hub.
	// +kubebuilder:validation:MaxLength=260
	// +kubebuilder:validation:Pattern=`^(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*)(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$`
	// +kubebuilder:validation:XValidation:rule="!self.contains('[') || isIP(self.split('[')[1].split(']')[0])",message="what stands in brackets is no IPv6 address"
	Host string `json:"host"`

	// plainHTTP reaches the host without TLS.
	// +optional
	PlainHTTP bool `json:"plainHTTP,omitempty"`

	// tls tells whom to trust at this host and with which certificate to
	// identify.
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// mirrors are asked before the host for what it holds. How a mirror is
	// trusted is said by the item of the mirror's own host.
	// +optional
	// +listType=map
	// +listMapKey=url
	// +kubebuilder:validation:MaxItems=16
	Mirrors []Mirror `json:"mirrors,omitempty"`
}

// TLS tells whom to trust at one host.
// +kubebuilder:validation:AtMostOneOf=caBundle;caConfigMapRef;caSecretRef
// +kubebuilder:validation:XValidation:rule="!has(self.deliverClientCertificate) || !self.deliverClientCertificate || has(self.clientCertificateSecretRef)",message="deliverClientCertificate needs clientCertificateSecretRef"
type TLS struct {
	// caBundle is one or more certificates in PEM, trusted in addition to the
	// public ones. Only CERTIFICATE blocks are used.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	CABundle string `json:"caBundle,omitempty"`

	// caConfigMapRef names a ConfigMap that holds such a bundle.
	// +optional
	CAConfigMapRef *KeyReference `json:"caConfigMapRef,omitempty"`

	// caSecretRef names a Secret that holds such a bundle.
	// +optional
	CASecretRef *KeyReference `json:"caSecretRef,omitempty"`

	// insecureSkipVerify trusts whoever answers. Not for production.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`

	// clientCertificateSecretRef names a Secret of type kubernetes.io/tls
	// with which the driver identifies itself to the host.
	// +optional
	ClientCertificateSecretRef *LocalReference `json:"clientCertificateSecretRef,omitempty"`

	// deliverClientCertificate also puts that certificate and its key into
	// the volumes.
	// +optional
	DeliverClientCertificate bool `json:"deliverClientCertificate,omitempty"`
}

// KeyReference names one key of a Secret or ConfigMap.
type KeyReference struct {
	// name is the name of the object.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
	// key is the key in its data; the default is ca.crt.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// LocalReference names an object.
type LocalReference struct {
	// name is the name of the object.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Mirror is one mirror of a host.
type Mirror struct {
	// url is where the mirror answers, such as
	// https://harbor.example.com/dockerhub; http:// is plain HTTP.
	// +kubebuilder:validation:Pattern=`^[hH][tT][tT][pP][sS]?://(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*)(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/([!-"$&->@-~]|%[0-9A-Fa-f]{2})*)?$`
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-zA-Z]+://\\\\[') || isIP(self.split('[')[1].split(']')[0])",message="what stands in brackets is no IPv6 address"
	// +kubebuilder:validation:MaxLength=1024
	URL string `json:"url"`
}

// Peer is one item of an access list: who may use the Connector. Without
// namespaces and namespaceSelector it means the Connector's own namespace.
// +kubebuilder:validation:MinProperties=1
type Peer struct {
	// namespaces are names of namespaces.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespaces []string `json:"namespaces,omitempty"`

	// namespaceSelector chooses namespaces by label. It must not be empty. A
	// tenant who can label a namespace can give it access:
	// kubernetes.io/metadata.name is the label that nobody can forge.
	// +optional
	// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)",message="an empty selector chooses everything: write matchLabels or matchExpressions"
	NamespaceSelector *connector.Selector `json:"namespaceSelector,omitempty"`

	// serviceAccounts are names of ServiceAccounts; the default is all of
	// these namespaces.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`
}

// ConnectorStatus is what the controller found.
type ConnectorStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// issuer is the kind of the issuer.
	// +optional
	Issuer string `json:"issuer,omitempty"`
	// registry is the first registry host, and how many there are more.
	// +optional
	Registry string `json:"registry,omitempty"`
	// conditions are Accepted, ReferencesResolved, AudienceDelivered and
	// Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
