package render

// certsD renders a directory of certificates for each host, for docker's
// /etc/docker/certs.d and /etc/containers/certs.d of podman, buildah and
// skopeo. Docker Hub's is read by the latter only.
func certsD(p *plan) (output, error) {
	const (
		name = "certs-d"
		why  = "the format holds certificates only"
	)
	var out output
	for i, h := range p.hosts {
		_, omitted := p.mirrors(name, h, func(mirror) string { return why })
		out.omitted = append(out.omitted, omitted...)
		out.omit(name, h, why, h.flags()...)
		if why := p.undeliverable(h.name); why != "" {
			out.omit(name, h, why, h.certificates()...)
		}
		if dockerHost.MatchString(h.name) {
			out.certificates(p, i, h.name)
		}
	}
	return out, nil
}
