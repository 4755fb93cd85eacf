package audithttp

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// parameters are those of the query. Each is known and given once; what is
// wrong with their values is collected.
type parameters struct {
	values map[string]string
	faults []fault
}

// parameters reads the query, which may have the names that are known.
func (x *exchange) parameters(known ...string) (*parameters, error) {
	given, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, refuse(codeInvalidParameter, "the query cannot be read: %s", clean(err.Error(), 200))
	}
	p := &parameters{values: make(map[string]string, len(given))}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch values := given[name]; {
		case !slices.Contains(known, name):
			p.unknown(clean(name, 100), known)
		case len(values) > 1:
			p.faultf(name, codeRepeatedParameter, "is given %d times", len(values))
		case values[0] == "":
			p.faultf(name, codeInvalidParameter, "must not be empty; leave it out instead")
		default:
			p.values[name] = values[0]
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *parameters) faultf(name string, c code, format string, args ...any) {
	p.faults = append(p.faults, fault{Parameter: name, Code: c, Detail: name + " " + fmt.Sprintf(format, args...)})
}

// unknown records a name that is none of those that are known.
func (p *parameters) unknown(name string, known []string) {
	detail := fmt.Sprintf("there is no parameter %s here; there ", name)
	switch len(known) {
	case 0:
		detail += "are none"
	case 1:
		detail += "is only " + known[0]
	default:
		detail += "are " + list(known)
	}
	p.faults = append(p.faults, fault{Parameter: name, Code: codeUnknownParameter, Detail: detail})
}

// err returns everything that is wrong as one problem.
func (p *parameters) err() error { return faulty(p.faults) }

// check records what is wrong with the value of a name.
func (p *parameters) check(name string, err error) {
	if err != nil {
		p.faults = append(p.faults, fault{Parameter: name, Code: codeInvalidParameter, Detail: plain(err)})
	}
}

func (p *parameters) text(name string, limit int) string {
	value := p.values[name]
	p.check(name, event.ValidateText(name, value, limit))
	return value
}

func (p *parameters) actor(name string) event.ActorID {
	value := event.ActorID(p.values[name])
	if err := value.Validate(); err != nil {
		p.check(name, err)
	}
	return value
}

func (p *parameters) id(name string) uuid.UUID {
	value, given := p.values[name]
	if !given {
		return uuid.Nil
	}
	id, ok := parseID(value)
	if !ok {
		p.faultf(name, codeInvalidParameter, "must be a UUID in the usual form, and not all zeros")
	}
	return id
}

// parseID takes the usual form only.
func parseID(s string) (uuid.UUID, bool) {
	id, err := uuid.Parse(s)
	return id, err == nil && len(s) == 36 && id != uuid.Nil
}

func (p *parameters) oneOf(name string, choices ...string) string {
	value, given := p.values[name]
	if given && !slices.Contains(choices, value) {
		p.faultf(name, codeInvalidParameter, "must be one of %s", list(choices))
	}
	return value
}

func (p *parameters) number(name string, least, most, otherwise int) int {
	value, given := p.values[name]
	if !given {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most || strings.HasPrefix(value, "+") {
		p.faultf(name, codeInvalidParameter, "must be a number from %d to %d", least, most)
	}
	return n
}

func (p *parameters) time(name string) time.Time {
	value, given := p.values[name]
	if !given {
		return time.Time{}
	}
	t, ok := parseTime(value)
	if !ok {
		p.faultf(name, codeInvalidParameter, `must be a time such as "2024-01-15T10:30:00Z", after the beginning of the year 1 and before the year 9999 ends; a plus is written %%2B`)
	}
	return t
}

// maxTimeBytes leaves room for nanoseconds and an offset.
const maxTimeBytes = len("2006-01-02T15:04:05.000000000+00:00")

// parseTime takes what RFC 3339 can write and what every store can keep.
func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || len(s) < len("2006-01-02T15:04:05Z") || len(s) > maxTimeBytes || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	year := t.UTC().Year()
	return t.UTC(), year >= 1 && year <= 9999 && !t.IsZero()
}
