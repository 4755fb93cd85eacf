package auth

import (
	"iter"
	"net"
	"net/netip"
	"slices"
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
	for hop, hops := range fromTheEnd(forwarded) {
		if hops == maxHops || !p.contain(source) {
			break
		}
		next, ok := address(strings.TrimSpace(hop))
		if !ok {
			break
		}
		source = next
	}
	return source.String()
}

// fromTheEnd goes through the elements of lists with commas, the last first,
// and counts them. Headers may be long: nothing is looked at before it is needed.
func fromTheEnd(lists []string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		n := 0
		for _, list := range slices.Backward(lists) {
			for more := true; more; n++ {
				comma := strings.LastIndexByte(list, ',')
				if !yield(list[comma+1:], n) {
					return
				}
				list, more = list[:max(comma, 0)], comma >= 0
			}
		}
	}
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

// common returns what two sources have in common: the address, or the network,
// or "".
func common(a, b string) string {
	of := network(b)
	switch {
	case a == b || a == of:
		return a
	case network(a) == of && of != unknownNetwork:
		return of
	default:
		return ""
	}
}

const unknownNetwork = "unknown"

// network is what counts as one source of failures: an IPv4 address, or the
// /64 of an IPv6 address, which one subscriber has to himself.
func network(source string) string {
	a, ok := address(source)
	if !ok {
		return unknownNetwork
	}
	if a.Is4() {
		return a.String()
	}
	prefix, err := a.Prefix(64)
	if err != nil {
		return unknownNetwork
	}
	return prefix.String()
}
