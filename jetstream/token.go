package jetstream

import (
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// subjects are those of one store. An event's subject is
//
//	<prefix>.e.<tenant>.<aggregate type>.<aggregate id>.<version>
//
// with names as [Token] writes them. So a version is a subject, and that it is
// taken once is what the server checks. With the longest names a subject is
// shorter than [MaxSubjectBytes].
type subjects struct {
	events string // how events' subjects begin
	guard  string // where messages are stored that are no events, see attempt
	news   string // where it is said, in passing, that something was stored
}

func subjectsOf(prefix string) subjects {
	return subjects{events: prefix + ".e", guard: prefix + ".e.guard", news: prefix + ".news"}
}

// all is what the stream takes.
func (s subjects) all() string { return s.events + ".>" }

// stream is how the subjects of a stream's events begin.
func (s subjects) stream(of eventstore.Stream) string {
	return Subject(s.events, string(of.TenantID), of.AggregateType, of.AggregateID.String())
}

// versions matches the subjects of all versions of a stream.
func versions(stream string) string { return stream + ".*" }

// versionOf is the subject of one version of a stream.
func versionOf(stream string, version uint64) string {
	return stream + "." + strconv.FormatUint(version, 10)
}

// parse is the reverse of stream and versionOf.
func (s subjects) parse(subject string) (of eventstore.Stream, version uint64, err error) {
	const parts = 4
	below, ok := strings.CutPrefix(subject, s.events+".")
	var tokens [parts]string
	for i := range tokens {
		var more bool
		tokens[i], below, more = strings.Cut(below, ".")
		ok = ok && more == (i < parts-1)
	}
	if !ok {
		return of, 0, &event.InvalidError{Field: "subject", Value: shown(subject), Reason: "is not an event's"}
	}
	tenant, err := ParseToken(tokens[0])
	if err != nil {
		return of, 0, err
	}
	if of.AggregateType, err = ParseToken(tokens[1]); err != nil {
		return of, 0, err
	}
	of.TenantID = event.TenantID(tenant)
	if of.AggregateID, err = uuid.Parse(tokens[2]); err != nil {
		return of, 0, &event.InvalidError{Field: "subject", Value: shown(subject), Reason: err.Error()}
	}
	if version, err = strconv.ParseUint(tokens[3], 10, 64); err != nil {
		return of, 0, &event.InvalidError{Field: "subject", Value: shown(subject), Reason: err.Error()}
	}
	return of, version, nil
}

// filters returns subjects that match whatever q can match, or nil for all. The
// server knows tenants, aggregate types and aggregate ids; the rest of a query is
// the client's.
func (s subjects) filters(q eventstore.Query) []string {
	if q.TenantID == "" && len(q.AggregateTypes) == 0 && q.AggregateID == uuid.Nil {
		return nil
	}
	tenant, id := "*", "*"
	if q.TenantID != "" {
		tenant = Token(string(q.TenantID))
	}
	if q.AggregateID != uuid.Nil {
		id = q.AggregateID.String()
	}
	var filters []string
	seen := make(map[string]bool)
	for _, name := range typeTokens(q.AggregateTypes) {
		if filter := strings.Join([]string{s.events, tenant, name, id, "*"}, "."); !seen[filter] {
			seen[filter] = true
			filters = append(filters, filter)
		}
	}
	return filters
}

// typeTokens returns the tokens of aggregate types, or a wildcard for none and
// for more than a server should be asked for at once.
func typeTokens(names []string) []string {
	const most = 32
	if len(names) == 0 || len(names) > most {
		return []string{"*"}
	}
	tokens := make([]string, len(names))
	for i, name := range names {
		tokens[i] = Token(name)
	}
	return tokens
}
