package jetstream

import (
	"context"
	"strings"

	"github.com/evident-go/evident/eventstore"
)

// How many positions are read at a time from the end. Few are enough for the
// newest events; where hardly anything is wanted it becomes more and more.
const (
	firstWindow = 64
	mostWanted  = 512
	mostWindow  = 1 << 24
)

// backward reads windows of positions, the newest first, each of them forward.
// Servers read in no other direction.
//
// A window is complete when the message behind it has come, which is there for
// sure: it was read before, or the leader named it.
func (r *reading) backward(ctx context.Context) error {
	if r.low >= r.high {
		return nil
	}
	filter, behind, err := r.fromBehind(ctx)
	if err != nil {
		return err
	}
	high := min(r.high, behind)
	for size := r.window(); r.low < high; {
		low, _ := part(r.low, high, size, eventstore.Backward)
		events, first, ok, err := r.readWindow(ctx, filter, low, high, behind)
		if err != nil {
			return err
		}
		if !ok {
			size /= 2
			continue
		}
		for i := len(events) - 1; i >= 0; i-- {
			if err := r.give(ctx, &events[i]); err != nil {
				return err
			}
			events[i] = stored{} // the caller's now
		}
		high, behind = low, first
		if len(events) < mostWanted/4 {
			size = min(2*size, mostWindow)
		}
	}
	return nil
}

// fromBehind returns a subject for what is wanted, "" for all, and the position
// of the last message on it, 0 if there is none.
func (r *reading) fromBehind(ctx context.Context) (filter string, behind uint64, err error) {
	if r.high-r.low <= pageSize {
		return "", r.high, nil
	}
	filters := r.store.subjects.filters(r.query)
	switch len(filters) {
	case 0:
		return "", r.high, nil
	case 1:
		filter = filters[0]
	default: // one subject at a time is all that can be asked for: leave the type open
		filter = widest(filters[0])
	}
	behind, err = r.store.lastOf(ctx, []string{filter})
	return filter, behind, err
}

// widest returns a filter with any aggregate type.
func widest(filter string) string {
	const fromEnd = 3 // type, id, version
	parts := strings.Split(filter, ".")
	parts[len(parts)-fromEnd] = "*"
	return strings.Join(parts, ".")
}

func (r *reading) window() uint64 {
	if r.picks() || r.left > mostWanted {
		return firstWindow
	}
	return uint64(max(r.left, 8))
}

// readWindow reads the positions above low, up to high, on a subject. Behind is a
// message on it at high or later. It returns the events that are wanted, and the
// first message of all, which is behind the next window. It is not ok if there is
// too much of it.
func (r *reading) readWindow(ctx context.Context, filter string, low, high, behind uint64) (events []stored, first uint64, ok bool, err error) {
	first = behind
	for at := low; at < min(high, behind); {
		messages, err := r.store.pageFrom(ctx, filter, at+1, int(min(high-at, pageSize)))
		if err != nil {
			return nil, 0, false, err
		}
		for _, m := range messages {
			first, at = min(first, m.seq), m.seq
			if m.seq > high {
				break
			}
			e, wanted, err := r.wanted(m)
			if err != nil {
				return nil, 0, false, err
			}
			if wanted {
				events = append(events, e)
			}
		}
		if len(events) > mostWanted {
			return nil, 0, false, nil
		}
	}
	return events, first, true, nil
}
