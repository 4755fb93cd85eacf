package projection

import "fmt"

// circuitError says that the circuit is open: so many events parked in a row
// that it is hardly they that are at fault, see [Config.Circuit].
type circuitError struct {
	position uint64 // of the event that would have parked next
	parked   int
	err      error // why it failed
}

func (e *circuitError) Error() string {
	return fmt.Sprintf("%d events in a row have parked, so nothing more is parked until the event at position %d can be applied: %v", e.parked, e.position, e.err)
}

func (e *circuitError) Unwrap() error { return e.err }
