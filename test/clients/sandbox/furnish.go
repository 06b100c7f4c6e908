package sandbox

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// furnish makes the new namespaces usable: private mounts, a /proc of its own,
// empty folders where daemons keep state, an /etc that can be changed, and lo.
func furnish(hosts map[string]string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for dir, mode := range map[string]string{os.TempDir(): "0755", "/run": "0755", "/var/lib": "0755", "/dev/shm": "1777"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode="+mode); err != nil {
			return fmt.Errorf("mounting a tmpfs on %s: %w", dir, err)
		}
	}
	if err := ownEtc(hosts); err != nil {
		return fmt.Errorf("furnishing /etc: %w", err)
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("setting up lo: %w", err)
	}
	return nil
}

// anything is a trust policy for images, which containers bring along and
// hosts may lack.
const anything = `{"default": [{"type": "insecureAcceptAnything"}]}` + "\n"

// ownEtc replaces /etc by a folder of links to the machine's files, except for
// those that clients are steered by.
func ownEtc(hosts map[string]string) error {
	machine, own := filepath.Join(os.TempDir(), "etc.machine"), filepath.Join(os.TempDir(), "etc")
	for _, dir := range []string{
		machine, filepath.Join(own, "docker", "certs.d"),
		filepath.Join(own, "containers", "certs.d"), filepath.Join(own, "containers", "registries.conf.d"),
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("/etc", machine, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	entries, err := os.ReadDir(machine)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains([]string{"hosts", "docker", "containers"}, e.Name()) {
			continue
		}
		if err := os.Symlink(filepath.Join(machine, e.Name()), filepath.Join(own, e.Name())); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(own, "containers", "policy.json"), []byte(anything), 0o644); err != nil {
		return err
	}
	lines := []string{"127.0.0.1 localhost"}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		lines = append(lines, hosts[name]+" "+name)
	}
	if err := os.WriteFile(filepath.Join(own, "hosts"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return unix.Mount(own, "/etc", "", unix.MS_BIND, "")
}

// loopback sets lo up and gives it both addresses.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		return err
	}
	for i, address := range []string{PrivateAddress, PublicAddress} {
		ip, err := netip.ParseAddr(address)
		if err != nil {
			return err
		}
		alias, err := unix.NewIfreq(fmt.Sprint("lo:", i))
		if err != nil {
			return err
		}
		if err := alias.SetInet4Addr(ip.AsSlice()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, alias); err != nil {
			return err
		}
	}
	return nil
}
