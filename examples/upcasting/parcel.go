package main

import (
	"strings"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// ParcelAccepted is in its third form. The code knows the current one only,
// everywhere but in Upcasts.
//
//docs:begin chain
type ParcelAccepted struct {
	City    string `json:"city"`
	Country string `json:"country"`
	Grams   int    `json:"grams"`
}

func (ParcelAccepted) EventType() string { return "ParcelAccepted" }

// Upcasts is the way from the oldest form to the current one, a step for each
// version. The bytes in the store stay as they are.
func (ParcelAccepted) Upcasts() []event.Upcast {
	return []event.Upcast{
		event.Step(poundsToGrams),   // version 1 → 2
		event.Step(splitTheAddress), // version 2 → 3
	}
}

type acceptedV1 struct {
	To     string  `json:"to"`
	Pounds float64 `json:"pounds"`
}

type acceptedV2 struct {
	To    string `json:"to"`
	Grams int    `json:"grams"`
}

func poundsToGrams(old acceptedV1) acceptedV2 {
	const gramsPerPound = 453.59237
	return acceptedV2{To: old.To, Grams: int(old.Pounds*gramsPerPound + 0.5)}
}

func splitTheAddress(old acceptedV2) ParcelAccepted {
	city, country, _ := strings.Cut(old.To, ", ")
	return ParcelAccepted{City: city, Country: country, Grams: old.Grams}
}

//docs:end chain

// ParcelMoved and ParcelWeighed took over the halves of an event that is no
// longer emitted: a scan used to say both where a parcel was and what it weighed.
//
//docs:begin split
type ParcelMoved struct {
	Place string `json:"place"`
}

type ParcelWeighed struct {
	Grams int `json:"grams"`
}

func (ParcelMoved) EventType() string   { return "ParcelMoved" }
func (ParcelWeighed) EventType() string { return "ParcelWeighed" }

func (ParcelMoved) Upcasts() []event.Upcast   { return []event.Upcast{fromScan()} }
func (ParcelWeighed) Upcasts() []event.Upcast { return []event.Upcast{fromScan()} }

func fromScan() event.Upcast {
	type scanned struct {
		Place string `json:"place"`
		Grams int    `json:"grams"`
	}
	return event.SplitFrom("ParcelScanned", func(old scanned) []event.Payload {
		return []event.Payload{ParcelMoved{Place: old.Place}, ParcelWeighed{Grams: old.Grams}}
	})
}

//docs:end split

// ParcelDelivered was called ParcelHandedOver once.
//
//docs:begin rename
type ParcelDelivered struct {
	SignedBy string `json:"signed_by"`
}

func (ParcelDelivered) EventType() string { return "ParcelDelivered" }

func (ParcelDelivered) Upcasts() []event.Upcast {
	return []event.Upcast{event.RenamedFrom("ParcelHandedOver")}
}

//docs:end rename

// Parcel is the aggregate. Its handlers see current payloads and nothing else.
type Parcel struct {
	aggregate.AggregateRoot[Journey]
}

// Journey is its state.
type Journey struct {
	City, Country string
	Grams         int
	Places        []string
	SignedBy      string
}

// handlers say how each event changes the state.
func handlers() []aggregate.Part[Journey] {
	return []aggregate.Part[Journey]{
		aggregate.On(func(j *Journey, e event.Of[ParcelAccepted]) {
			j.City, j.Country, j.Grams = e.Payload.City, e.Payload.Country, e.Payload.Grams
		}),
		aggregate.On(func(j *Journey, e event.Of[ParcelMoved]) { j.Places = append(j.Places, e.Payload.Place) }),
		aggregate.On(func(j *Journey, e event.Of[ParcelWeighed]) { j.Grams = e.Payload.Grams }),
		aggregate.On(func(j *Journey, e event.Of[ParcelDelivered]) { j.SignedBy = e.Payload.SignedBy }),
	}
}

// strict refuses to load a parcel with an event that it does not know: a
// decision must not be taken on half of the facts. That is the default.
func strict() *aggregate.Definition[Journey] {
	return aggregate.Define("Parcel", handlers()...)
}

// tolerant passes over what it does not know. That is right where a newer
// program writes events that cannot matter to this one.
func tolerant() *aggregate.Definition[Journey] {
	return aggregate.Define("Parcel", append(handlers(), aggregate.TolerateUnknown[Journey]())...)
}
