package process

import (
	"time"

	"github.com/google/uuid"
)

// What happens to every instance, besides the events of its own that its
// handlers emit. They stand in the instance's stream, whose aggregate type is
// the process's name, and can be handled like any other event. The key of
// [Failed] and [TimeoutElapsed] must be the instance itself.
type (
	// Started is the first event of an instance.
	Started struct {
		Event    uuid.UUID `json:"event_id"` // the event that began it
		Type     string    `json:"event_type"`
		Position uint64    `json:"position"` // of that event; older ones are none of the instance's business
	}
	// Handled says that an event was handled. It stands where a handler did
	// nothing else that an instance records, and with every timeout.
	Handled struct {
		Event uuid.UUID `json:"event_id"`
		Type  string    `json:"event_type"`
	}
	// TimeoutSet begins to wait. An earlier timeout of the same name is replaced.
	TimeoutSet struct {
		Name string    `json:"name"`
		Due  time.Time `json:"due"`
	}
	// TimeoutCancelled ends the wait.
	TimeoutCancelled struct {
		Name string `json:"name"`
	}
	// TimeoutElapsed says that the wait was in vain.
	TimeoutElapsed struct {
		Name string    `json:"name"`
		Set  uuid.UUID `json:"set"` // id of the TimeoutSet
		Due  time.Time `json:"due"`
	}
	// Failed begins the compensation: what the instance has done is undone, the
	// last first.
	Failed struct {
		Reason string `json:"reason"`
	}
	// Undone says that what an earlier event of the instance stands for is undone.
	Undone struct {
		Event uuid.UUID `json:"event_id"`
		Type  string    `json:"event_type"`
	}
	// Ended says that the instance handles nothing any more.
	Ended struct{}
)

// EventType implements [event.Payload].
func (Started) EventType() string { return "ProcessStarted" }

// EventType implements [event.Payload].
func (Handled) EventType() string { return "ProcessHandled" }

// EventType implements [event.Payload].
func (TimeoutSet) EventType() string { return "ProcessTimeoutSet" }

// EventType implements [event.Payload].
func (TimeoutCancelled) EventType() string { return "ProcessTimeoutCancelled" }

// EventType implements [event.Payload].
func (TimeoutElapsed) EventType() string { return "ProcessTimeoutElapsed" }

// EventType implements [event.Payload].
func (Failed) EventType() string { return "ProcessFailed" }

// EventType implements [event.Payload].
func (Undone) EventType() string { return "ProcessUndone" }

// EventType implements [event.Payload].
func (Ended) EventType() string { return "ProcessEnded" }
