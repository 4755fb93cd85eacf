package audithttp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

func (x *exchange) appendRecord() error {
	values, err := x.newRecords()
	if err != nil {
		return err
	}
	receipt, err := x.store("", []any{values})
	if err != nil {
		return err
	}
	body, err := encodeRecord(receipt.Records[0])
	if err != nil {
		return err
	}
	x.w.Header().Set("Location", x.h.config.Prefix+"/records/"+receipt.Records[0].ID().String())
	x.write(http.StatusCreated, typeJSON, append(body, '\n'))
	return nil
}

// storedJSON are records that were stored, as JSON.
type storedJSON struct {
	Data []json.RawMessage `json:"data"`
}

func (x *exchange) appendRecords() error {
	values, err := x.newRecords()
	if err != nil {
		return err
	}
	var faults []fault
	batch := fields{values: values, faults: &faults}
	given, _ := batch.take("records")
	items, ok := given.([]any)
	if !ok || len(items) == 0 || len(items) > audit.MaxAppend {
		batch.faultf("records", codeInvalidField, "records must be a list of 1 to %d records", audit.MaxAppend)
	}
	batch.rest()
	if err := faulty(faults); err != nil {
		return err
	}
	receipt, err := x.store("/records/", items)
	if err != nil {
		return err
	}
	var out storedJSON
	for _, record := range receipt.Records {
		data, err := encodeRecord(record)
		if err != nil {
			return err
		}
		out.Data = append(out.Data, data)
	}
	return x.answer(http.StatusCreated, out)
}

// newRecords reads a body that is to be stored. There are no parameters.
func (x *exchange) newRecords() (map[string]any, error) {
	if _, err := x.parameters(); err != nil {
		return nil, err
	}
	return x.body()
}

// store appends what items say, all or nothing. Each stands at its own place,
// "" for a single one, else below at.
func (x *exchange) store(at string, items []any) (audit.Receipt, error) {
	key, err := x.idempotencyKey()
	if err != nil {
		return audit.Receipt{}, err
	}
	var faults []fault
	drafts := make([]audit.Draft, len(items))
	for i, item := range items {
		place := at
		if at != "" {
			place += strconv.Itoa(i)
		}
		drafts[i] = x.draftOf(place, item, &faults)
		if key != "" {
			drafts[i].ID = x.idOf(key, i)
		}
	}
	if err := faulty(faults); err != nil {
		return audit.Receipt{}, err
	}
	for _, draft := range drafts {
		if draft.OnBehalfOf != x.who.OnBehalfOf {
			if err := x.require(Delegate); err != nil {
				return audit.Receipt{}, err
			}
		}
	}
	return x.append(drafts)
}

// append stores drafts, and says so if they were stored before.
func (x *exchange) append(drafts []audit.Draft) (audit.Receipt, error) {
	receipt, err := x.h.config.Log.Append(x.r.Context(), drafts...)
	if receipt.Replayed {
		x.w.Header().Set("Idempotency-Replayed", "true")
	}
	return receipt, err
}

// draftOf makes a draft of one item of a body. Actor and tenant are the
// principal's.
func (x *exchange) draftOf(at string, item any, faults *[]fault) audit.Draft {
	values, ok := item.(map[string]any)
	if !ok {
		*faults = append(*faults, fault{Pointer: at, Code: codeInvalidField, Detail: "a record must be an object"})
		return audit.Draft{}
	}
	before := len(*faults)
	f := fields{at: at, values: values, faults: faults}
	draft := x.draft(f.action())
	draft.OccurredAt = f.time("occurred_at")
	draft.OnBehalfOf = cmp.Or(event.ActorID(f.text("on_behalf_of")), draft.OnBehalfOf)
	draft.OwnerID = f.text("owner_id")
	draft.Outcome = audit.Outcome(f.text("outcome"))
	draft.Reason, draft.Purpose, draft.Description = f.text("reason"), f.text("purpose"), f.text("description")
	draft.CorrelationID, draft.CausationID = f.id("correlation_id"), f.id("causation_id")
	draft.Metadata = f.metadata("metadata", x.reserved)
	draft.Entity = f.entity()
	f.rest()
	if len(*faults) == before {
		f.validate(draft)
	}
	return draft
}

// action is what was done. What only the server records is not the client's to
// say: it could forge evidence of refusals and of reading.
func (f fields) action() string {
	action := f.required("action")
	if strings.HasPrefix(action, "auth.") || strings.HasPrefix(action, "audit.") {
		f.faultf("action", codeFieldNotAllowed, `actions that begin with "auth." or "audit." are recorded by the server itself`)
	}
	return action
}

// reserved reports whether a key of the metadata is the server's to say: it
// tells how the actor was verified or where the request came from, or the
// application has put it into the request's context.
func (x *exchange) reserved(key string) bool {
	switch key {
	case auth.KeyMethod, auth.KeyToken, auth.KeySession, audit.KeyOnBehalfOf,
		audit.KeyRequest, audit.KeyTraceparent, audit.KeySourceAddress, audit.KeyUserAgent:
		return true
	default:
		_, said := event.OriginFrom(x.r.Context()).Metadata[key]
		return said
	}
}

func (f fields) entity() audit.EntityRef {
	if _, given := f.values["entity"]; !given {
		f.faultf("entity", codeInvalidField, "entity must be given")
	}
	entity, given := f.object("entity")
	if !given {
		return audit.EntityRef{}
	}
	ref := audit.EntityRef{Type: entity.required("type"), ID: entity.required("id"), Version: entity.number("version")}
	entity.rest()
	return ref
}

// validate finds what a record of draft would be refused for.
func (f fields) validate(draft audit.Draft) {
	_, err := audit.NewRecord(draft)
	if err == nil {
		return
	}
	field := fieldOf(err)
	*f.faults = append(*f.faults, fault{Pointer: f.at + pointerTo(field), Code: codeInvalidField, Detail: plain(err)})
}

// pointerTo turns the name of a field into a JSON pointer.
func pointerTo(field string) string {
	if key, ok := strings.CutPrefix(field, "metadata."); ok {
		return "/metadata/" + escapePointer(key)
	}
	if part, ok := strings.CutPrefix(field, "entity."); ok {
		return "/entity/" + part
	}
	name, _, _ := strings.Cut(field, " ")
	return "/" + escapePointer(name)
}

// maxKey bounds an Idempotency-Key.
const maxKey = 255

func (x *exchange) idempotencyKey() (string, error) {
	given := x.r.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return "", nil
	}
	key := given[0]
	visible := strings.Trim(key, visibleASCII()) == "" && key != ""
	if len(given) > 1 || len(key) > maxKey || !visible {
		detail := fmt.Sprintf("must be given once, with 1 to %d visible ASCII characters", maxKey)
		return "", faulty([]fault{{Header: "Idempotency-Key", Code: codeInvalidHeader, Detail: detail}})
	}
	return key, nil
}

func visibleASCII() string {
	var b strings.Builder
	for c := byte('!'); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}

// idOf is the id of the record that a key stands for: the same for the same
// tenant, actor, key and place in a batch, and for nobody else.
func (x *exchange) idOf(key string, place int) uuid.UUID {
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:evident:audit:idempotency-key"))
	name := fmt.Sprintf("%q %q %q %d", x.who.TenantID, x.who.ActorID, key, place)
	return uuid.NewSHA1(space, []byte(name))
}
