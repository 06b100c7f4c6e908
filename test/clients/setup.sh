#!/bin/sh
# Gets everything that the tests in this folder and the demo run: the real
# registry clients of Debian (docker, dockerd, containerd, skopeo, podman,
# buildah; runc for BuildKit) and, built from the versions that go.mod files pin,
# the CNCF distribution registry, crane, regctl, helm, BuildKit, a program around
# oras-go and the driver itself. Run again, it does only what is missing or out
# of date.
#
#   REGCRED_CACHE     where the binaries go; default: .cache in the repository
#   REGCRED_CLIENTS   all = also what takes long to build: dockerd 29, containerd 2;
#                     few = what the demo runs
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
bin=${REGCRED_CACHE:-$root/.cache}/bin
clients=${REGCRED_CLIENTS:-most}

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# Installing must not start a Docker daemon on somebody's machine: the tests
# run their own. Debian asks policy-rc.d before it starts a service.
install_packages() {
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		trap 'exit 130' INT TERM
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of packages
	apt-get install -y -qq --no-install-recommends $1 >/dev/null
}

debian_clients() {
	packages=
	if ! have dockerd || ! have docker; then packages="docker.io"; fi
	programs="skopeo podman buildah containerd runc"
	if [ "$clients" = few ]; then programs=skopeo; fi
	for program in $programs; do
		have "$program" || packages="$packages $program"
	done
	if [ -z "$packages" ]; then return; fi
	if ! have apt-get || [ "$(id -u)" != 0 ]; then
		say "missing: $packages (install them, or run this as root on Debian); the demo skips what needs them"
		return
	fi
	say "installing ${packages# }"
	install_packages "$packages" || say "that failed; the demo skips what needs it, the tests do not"
}

if ! have go; then
	say "Go is missing: install Go 1.26 from https://go.dev/dl/" >&2
	exit 1
fi
PATH=$PATH:/usr/sbin:/sbin
debian_clients
mkdir -p "$bin"

# A tool is rebuilt when its sources, go.mod or go.sum are newer than the binary.
tool() { # name, package, folder of the module if it has one of its own
	out=$bin/$1
	module=$here${3:+/$3}
	own=
	case $2 in ./*) own=$module/$2 ;; esac
	# shellcheck disable=SC2086 # none or one folder
	if [ -x "$out" ] && [ -z "$(find "$module/go.mod" "$module/go.sum" $own -newer "$out")" ]; then return; fi
	say "building $1 from $2 (once${4:+; $4})"
	CGO_ENABLED=0 go build -C "$module" -trimpath -ldflags '-s -w' -o "$out" "$2"
	touch "$out"
}
# What most tests need, beside the demo's
most_clients() {
	tool oras ./cmd/oras
	tool regctl github.com/regclient/regclient/cmd/regctl
	tool helm helm.sh/helm/v4/cmd/helm helm "three minutes on two cores"
	tool buildkitd github.com/moby/buildkit/cmd/buildkitd buildkit "two to four minutes on two cores"
	tool buildctl github.com/moby/buildkit/cmd/buildctl buildkit
	tool buildctl-hasty ./hasty buildkit
	tool base-shell ./shell buildkit

	# The image moby/buildkit brings a script that runs both programs at once.
	script=buildctl-daemonless.sh
	if [ -z "$(find "$bin" -name $script -newer "$here/buildkit/go.mod")" ]; then
		go mod download -C "$here/buildkit" github.com/moby/buildkit
		install -m 755 "$(go list -C "$here/buildkit" -m -f '{{.Dir}}' github.com/moby/buildkit)/examples/${script%.sh}/$script" "$bin/$script"
	fi
}

# The newest daemons take long to build: make test-all asks for them.
slow_clients() {
	tool dockerd-29 github.com/moby/moby/v2/cmd/dockerd moby "ten minutes on two cores"
	tool containerd-2 github.com/containerd/containerd/v2/cmd/containerd containerd "some minutes"
	tool ctr-2 github.com/containerd/containerd/v2/cmd/ctr containerd
}

tool registry ./cmd/registry
tool crane github.com/google/go-containerregistry/cmd/crane
if [ "$clients" != few ]; then most_clients; fi
if [ "$clients" = all ]; then slow_clients; fi

say "building csi-driver and docker-credential-regcred"
CGO_ENABLED=0 go build -C "$root" -trimpath -ldflags '-s -w' -o "$bin/" ./cmd/csi-driver ./cmd/docker-credential-regcred
say "ready: $bin"
