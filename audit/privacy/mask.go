package privacy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// leastName is how long a name must be to be looked for in texts: shorter ones
// are in every text.
const leastName = 3

// mask makes the entry of one record. Whoever asks what is known of them is to
// know when and for what others looked at their data, but not who.
//
//   - Ids of other people, and of owners that are not theirs, are left out, also
//     as the id of an entity; of an actor the kind stays. Services, jobs and imports are no people.
//   - What somebody else did, or somebody who is not known, loses what they may
//     have said about themselves: request, reason, description and metadata.
//   - What the person did loses the texts and values that name the others.
type mask struct {
	subject Subject
	record  audit.ActivityRecord
	others  []string // what names other people in this record
	entry   Entry
}

// entryOf returns the entry of a record, with others named if that is wanted.
func (s Subject) entryOf(r audit.ActivityRecord, sections []Section, disclose bool) (Entry, []string) {
	m := &mask{subject: s, record: r, entry: Entry{
		Position: r.Position(), Sections: sections, ID: r.ID(), OccurredAt: r.OccurredAt(), RecordedAt: r.RecordedAt(),
		ActorKind: r.ActorID().Kind(), ActorID: r.ActorID(), OnBehalfOf: r.OnBehalfOf(), OwnerID: r.OwnerID(),
		Action: r.Action(), Entity: r.Entity(), Outcome: r.Outcome(), Reason: r.Reason(), Purpose: r.Purpose(), Description: r.Description(),
		Request: r.Request(), CorrelationID: r.CorrelationID(), CausationID: r.CausationID(), Metadata: r.Metadata(), EventType: r.EventType(),
		Reduced: r.Reduced(),
	}}
	if !disclose {
		m.ids()
		m.texts()
		slices.Sort(m.entry.Masked)
		m.entry.Masked = slices.Compact(m.entry.Masked)
	}
	return m.entry, m.others
}

// ids leaves out the ids of others.
func (m *mask) ids() {
	if m.isOther(m.entry.ActorID) {
		m.note("actor_id", string(m.entry.ActorID))
		m.entry.ActorID = ""
	}
	if m.isOther(m.entry.OnBehalfOf) {
		m.note("on_behalf_of", string(m.entry.OnBehalfOf))
		m.entry.OnBehalfOf = ""
	}
	owner := m.entry.OwnerID
	if owner != "" && !slices.Contains(m.subject.OwnerIDs, owner) && !slices.Contains(m.subject.ActorIDs, event.ActorID(owner)) {
		m.note("owner_id", owner)
		m.entry.OwnerID = ""
	}
	if m.namesOther(m.entry.Entity.ID) && !slices.ContainsFunc(m.subject.Entities, func(e audit.EntityRef) bool { return e.ID == m.entry.Entity.ID }) {
		m.entry.Masked = append(m.entry.Masked, "entity.id")
		m.entry.Entity.ID = ""
	}
}

// namesOther reports whether an id is that of somebody who is masked, or has it
// as a part of its own, such as "session/7f3a".
func (m *mask) namesOther(id string) bool {
	return slices.ContainsFunc(m.others, func(name string) bool { return strings.EqualFold(id, name) || namesPerson(id, name) })
}

// note remembers what names somebody, with and without the kind in front.
func (m *mask) note(field, id string) {
	m.entry.Masked = append(m.entry.Masked, field)
	m.others = append(m.others, strings.ToLower(id))
	if _, name, found := strings.Cut(id, ":"); found && len(name) >= leastName {
		m.others = append(m.others, strings.ToLower(name))
	}
}

// isOther reports whether an actor is a person, and another one.
func (m *mask) isOther(actor event.ActorID) bool {
	kind := actor.Kind()
	return (kind == event.KindUser || kind == event.KindAPI) && !slices.Contains(m.subject.ActorIDs, actor)
}

// isForeign reports whether somebody else acted, or somebody who is not known.
func (m *mask) isForeign() bool {
	actor := m.record.ActorID()
	if slices.Contains(m.subject.ActorIDs, actor) {
		return false
	}
	return actor == event.Anonymous || m.isOther(actor) || m.isOther(m.record.OnBehalfOf())
}

// texts leaves out what says more about others than it may.
func (m *mask) texts() {
	foreign := m.isForeign()
	for _, text := range []struct {
		field string
		value *string
	}{
		{"reason", &m.entry.Reason},
		{"description", &m.entry.Description},
		{"request.id", &m.entry.Request.ID},
		{"request.traceparent", &m.entry.Request.Traceparent},
		{"request.source_address", &m.entry.Request.SourceAddress},
		{"request.user_agent", &m.entry.Request.UserAgent},
	} {
		if *text.value != "" && (foreign || names(*text.value, m.others)) {
			*text.value = ""
			m.entry.Masked = append(m.entry.Masked, text.field)
		}
	}
	if names(m.entry.Purpose, m.others) {
		m.entry.Purpose = ""
		m.entry.Masked = append(m.entry.Masked, "purpose")
	}
	for key, value := range m.entry.Metadata {
		field := "metadata." + key
		if names(key, m.others) {
			field = "metadata"
		}
		if text, ok := value.(string); foreign || field == "metadata" || ok && names(text, m.others) {
			delete(m.entry.Metadata, key)
			m.entry.Masked = append(m.entry.Masked, field)
		}
	}
}

// names reports whether a text names one of others, which are in lower case.
func names(text string, others []string) bool {
	if len(others) == 0 || text == "" {
		return false
	}
	text = strings.ToLower(text)
	return slices.ContainsFunc(others, func(name string) bool { return strings.Contains(text, name) })
}

// namesIn is names for a payload. JSON can spell a name in more than one way.
func namesIn(data []byte, others []string) bool {
	if len(others) == 0 {
		return false
	}
	var value any
	return names(string(data), others) || bytes.ContainsRune(data, '\\') && json.Unmarshal(data, &value) == nil && namesInside(value, others)
}

// namesInside looks at all texts of a value of JSON.
func namesInside(value any, others []string) bool {
	switch value := value.(type) {
	case string:
		return names(value, others)
	case []any:
		return slices.ContainsFunc(value, func(item any) bool { return namesInside(item, others) })
	case map[string]any:
		for key, item := range value {
			if names(key, others) || namesInside(item, others) {
				return true
			}
		}
	}
	return false
}
