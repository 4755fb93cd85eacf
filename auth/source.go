package auth

import (
	"net"
	"net/netip"
	"strings"
)

// Proxies are the networks of proxies whose X-Forwarded-For is believed. The
// zero value believes nobody.
type Proxies []netip.Prefix

// maxHops bounds how many addresses of X-Forwarded-For are looked at.
const maxHops = 32

// Source returns the address that a request came from: the peer's, unless that
// is one of the proxies; then the last address of X-Forwarded-For that is none
// of them. What stands in front of that could have been written by anybody. It
// is "" for a peer that has no IP address.
func (p Proxies) Source(peer string, forwarded []string) string {
	source, ok := address(peer)
	if !ok {
		return ""
	}
	list := strings.Split(strings.Join(forwarded, ","), ",")
	for hops := 0; p.contain(source) && hops < min(len(list), maxHops); hops++ {
		next, ok := address(strings.TrimSpace(list[len(list)-1-hops]))
		if !ok {
			break
		}
		source = next
	}
	return source.String()
}

func (p Proxies) contain(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

func address(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.WithZone("").Unmap(), err == nil
}

// network is what counts as one source of failures: an IPv4 address, or the
// /64 of an IPv6 address, which one subscriber has to himself.
func network(source string) string {
	a, ok := address(source)
	if !ok {
		return "unknown"
	}
	if a.Is4() {
		return a.String()
	}
	prefix, err := a.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}
