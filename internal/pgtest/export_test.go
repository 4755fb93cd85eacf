package pgtest

import "context"

// For tests of what cannot be brought about from outside.
var FindIn = find

// Ports makes a server propose these ports, one after the other.
func Ports(ports ...int) Option {
	return func(o *options) {
		o.port = func() int {
			port := ports[0]
			ports = ports[1:]
			return port
		}
	}
}

// Shared starts a server when it is first asked for its URL.
func Shared(options ...Option) func(context.Context) (string, error) {
	return (&onDemand{options: options}).url
}
