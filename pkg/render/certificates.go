package render

// The files of a host's directory, as docker, podman and containerd call them.
const (
	authorityName         = "ca.crt"
	clientCertificateName = "client.cert"
	clientKeyName         = "client.key"
)

// certificates renders the private CA and the client's pair of a host into its
// directory. Its name carries the port, as clients look for it.
func (o *output) certificates(p *plan, i int, dir string) {
	h := p.hosts[i]
	add := func(name string, data []byte, secret bool) {
		file := dir + "/" + name
		o.files = append(o.files, File{Path: file, Data: data, Secret: secret})
		o.place(p, i, file, "")
	}
	if ca := h.authorityFile(); len(ca) > 0 {
		add(authorityName, ca, false)
	}
	if certificate, key, ok := h.clientPair(); ok {
		add(clientCertificateName, certificate, false)
		add(clientKeyName, key, true)
	}
}

// certificates names what there is of them for a host, as an Omission does.
func (h host) certificates() []string {
	var what []string
	if len(h.authorities) > 0 {
		what = append(what, "ca")
	}
	if _, _, ok := h.clientPair(); ok {
		what = append(what, "clientCertificate")
	}
	return what
}

// flags names what weakens TLS with a host, as an Omission does.
func (h host) flags() []string {
	var what []string
	if h.registry.PlainHTTP {
		what = append(what, "plainHTTP")
	}
	if h.registry.InsecureSkipVerify {
		what = append(what, "insecureSkipVerify")
	}
	return what
}

// omit notes what a configuration does not say of a host.
func (o *output) omit(configuration string, h host, why string, what ...string) {
	for _, w := range what {
		o.omitted = append(o.omitted, Omission{
			Configuration: configuration, Host: h.name, Connector: h.owner.Connector, What: w, Why: why,
		})
	}
}
