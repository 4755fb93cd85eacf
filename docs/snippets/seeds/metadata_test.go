package seeds_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// Metadata says where an event comes from. Each layer adds what it knows.
func Example_metadataOfFourKinds() {
	ctx := event.WithMetadata(context.Background(), event.Metadata{ // the request
		audit.KeyRequest: "req-17", audit.KeySourceAddress: "192.0.2.7", audit.KeyUserAgent: "curl/8",
	})
	ctx = event.WithMetadata(ctx, event.Metadata{ // its trace, as W3C Trace Context writes it
		audit.KeyTraceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	})
	ctx = event.WithMetadata(ctx, event.Metadata{"campaign": "spring", "channel": "app"}) // the business
	ctx = auth.With(ctx, auth.Principal{                                                  // how the actor was verified
		ActorID: event.User("7f3a"), Method: "jwt", TokenID: "t-9", SessionID: "s-4",
	})
	e, err := event.New(ctx, OrderCreated{})
	if err != nil {
		fmt.Println(err)
		return
	}
	more := e.WithMetadata(event.Metadata{"mfa": true}) // a copy: e stays as it is

	for _, key := range slices.Sorted(maps.Keys(more.Metadata)) {
		fmt.Println(key, more.Metadata[key])
	}
	fmt.Println(len(e.Metadata), len(more.Metadata))
	// Output:
	// auth_method jwt
	// campaign spring
	// channel app
	// ip_address 192.0.2.7
	// mfa true
	// request_id req-17
	// session_id s-4
	// token_id t-9
	// traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	// user_agent curl/8
	// 9 10
}

// The middleware enriches every event of a request. Neither aggregate nor
// handler has a line for it.
func Example_enrichedEvents() {
	withDoor(func(ctx context.Context, d *door) error {
		handler := d.middleware.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := d.create(r.Context(), orderID); err != nil {
				fmt.Println(err)
			}
		}))
		d.send(handler, http.MethodPost, "/orders", "", d.token("7f3a"))

		e, err := d.last(ctx)
		fmt.Println(e.ActorID, slices.Sorted(maps.Keys(e.Metadata)))
		record, errRecord := audit.FromEvent(e, audit.Config{})
		fmt.Println(record.Request().ID, record.Request().SourceAddress)
		return errors.Join(err, errRecord)
	})
	// Output:
	// user:7f3a [auth_method ip_address request_id token_id traceparent user_agent]
	// req-17 192.0.2.1
}
