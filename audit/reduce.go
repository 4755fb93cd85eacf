package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/evident-go/evident/event"
)

// reducer fits what an event says into a record, and remembers which fields
// say less than the event does.
type reducer struct{ fields []string }

func (r *reducer) text(field, s string, limit int) string {
	if event.ValidateText(field, s, limit) == nil {
		return s
	}
	r.fields = append(r.fields, field)
	return cut(printable(s), limit)
}

func (r *reducer) request(m event.Metadata) Request {
	return Request{
		ID:            r.text("request.id", metadataText(m, KeyRequest), MaxRequestBytes),
		Traceparent:   r.text("request.traceparent", metadataText(m, KeyTraceparent), MaxRequestBytes),
		SourceAddress: r.text("request.source_address", metadataText(m, KeySourceAddress), MaxRequestBytes),
		UserAgent:     r.text("request.user_agent", metadataText(m, KeyUserAgent), MaxRequestBytes),
	}
}

// metadata keeps the first keys, in the order of their bytes, and of each
// value as much as there is room for.
func (r *reducer) metadata(m event.Metadata) event.Metadata {
	if len(m) == 0 {
		return nil
	}
	out := make(event.Metadata, min(len(m), MaxMetadataKeys))
	if len(m) <= MaxMetadataKeys {
		for key, value := range m {
			out[key] = r.value(key, value)
		}
		return out
	}
	r.fields = append(r.fields, "metadata")
	for _, key := range slices.Sorted(maps.Keys(m))[:MaxMetadataKeys] {
		out[key] = r.value(key, m[key])
	}
	return out
}

func (r *reducer) value(key string, value any) any {
	normal, ok := scalar(value)
	if !ok {
		normal = asText(value)
		r.fields = append(r.fields, "metadata."+key)
	}
	s, text := normal.(string)
	if !text || len(s) <= MaxMetadataString {
		return normal
	}
	if ok {
		r.fields = append(r.fields, "metadata."+key)
	}
	return cut(s, MaxMetadataString)
}

// asText returns a value's JSON, in which the keys of objects are sorted.
func asText(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("(%T)", value)
	}
	return string(data)
}
