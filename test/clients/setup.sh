#!/bin/sh
# Gets everything that the tests in this folder and the demo run: the real
# registry clients of Debian (docker, dockerd, skopeo) and, built from the
# versions that go.mod pins, the CNCF distribution registry, crane and the
# driver itself. Run again, it does only what is missing or out of date.
#
#   REGCRED_CACHE   where the binaries go; default: .cache in the repository
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
bin=${REGCRED_CACHE:-$root/.cache}/bin

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
	if ! have skopeo; then packages="$packages skopeo"; fi
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

# A tool is rebuilt when go.mod or go.sum is newer than the binary.
tool() { # name, package
	out=$bin/$1
	if [ -x "$out" ] && [ -z "$(find "$here/go.mod" "$here/go.sum" -newer "$out")" ]; then return; fi
	say "building $1 from $2 (once)"
	CGO_ENABLED=0 go build -C "$here" -trimpath -ldflags '-s -w' -o "$out" "$2"
	touch "$out"
}
tool registry ./cmd/registry
tool crane github.com/google/go-containerregistry/cmd/crane

say "building csi-driver"
CGO_ENABLED=0 go build -C "$root" -o "$bin/csi-driver" ./cmd/csi-driver
say "ready: $bin"
