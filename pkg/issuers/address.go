package issuers

import "net/netip"

// never are the networks that no rule opens: this host, this link, the
// metadata services of clouds, and what no registry can have.
var never = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), loopback},
	{netip.MustParsePrefix("::1/128"), loopback},
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
	{netip.MustParsePrefix("::/128"), "an unspecified address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local or metadata address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local or metadata address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a metadata address"},       // IANA special purpose; Oracle Cloud
	{netip.MustParsePrefix("100.100.100.200/32"), "a metadata address"}, // Alibaba Cloud
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata address"},   // Azure WireServer
	{netip.MustParsePrefix("fd00:ec2::254/128"), "a metadata address"},  // AWS
	{netip.MustParsePrefix("fd20:ce::254/128"), "a metadata address"},   // Google Cloud
}

const loopback = "a loopback address"

var (
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291 §2.5.5.1
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052 §2.1
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380
	isatap     = [...]byte{0x5e, 0xfe}                    // RFC 5214 §6.1
	thisNet    = netip.MustParsePrefix("0.0.0.0/8")
)

// forbidden says what an address is that must never be called, or nothing.
// An IPv6 address that a translator or tunnel turns into an IPv4 address is
// judged by that one too.
func forbidden(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	for _, n := range never {
		if n.prefix.Contains(addr) {
			return n.what
		}
	}
	for _, inner := range embedded(addr) {
		// Zero bytes only show that this form is not meant.
		if thisNet.Contains(inner) {
			continue
		}
		if what := forbidden(inner); what != "" {
			return what + " inside an IPv6 address"
		}
	}
	return ""
}

// embedded lists the IPv4 addresses that an IPv6 address may stand for.
func embedded(addr netip.Addr) []netip.Addr {
	if !addr.Is6() {
		return nil
	}
	b := addr.As16()
	pick := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	switch {
	case compatible.Contains(addr), translated.Contains(addr), nat64.Contains(addr):
		return []netip.Addr{pick(12, 13, 14, 15)}
	case localNAT64.Contains(addr):
		// The site chooses the prefix length: RFC 6052 §2.2 for /48, /56, /64
		// and /96; byte 8 is always skipped.
		return []netip.Addr{pick(6, 7, 9, 10), pick(7, 9, 10, 11), pick(9, 10, 11, 12), pick(12, 13, 14, 15)}
	case sixToFour.Contains(addr):
		return []netip.Addr{pick(2, 3, 4, 5)}
	case teredo.Contains(addr):
		client := netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
		return []netip.Addr{pick(4, 5, 6, 7), client}
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == isatap[0] && b[11] == isatap[1]:
		return []netip.Addr{pick(12, 13, 14, 15)}
	default:
		return nil
	}
}
