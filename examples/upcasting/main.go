// Upcasting shows how events that were stored in older forms are read: a chain
// of versions, a rename, one event that became two, a field and a type that
// the program does not know.
//
//	go run ./examples/upcasting
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "upcasting:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was in memory is gone anyway.

	if err := writeHistory(ctx, store); err != nil {
		return err
	}
	for _, show := range []func(context.Context, io.Writer, *memory.Store) error{
		showStored, showProjection, showAggregate, showNewEvent,
	} {
		if err := show(ctx, out, store); err != nil {
			return err
		}
	}
	return nil
}

// writeHistory stores the parcel's events as the programs of their days wrote
// them: type, version and bytes.
func writeHistory(ctx context.Context, store eventstore.Store) error {
	return write(ctx, store,
		old{"ParcelAccepted", 1, `{"to":"Lindau, Germany","pounds":2.2}`},
		old{"ParcelScanned", 1, `{"place":"Ulm","grams":1004}`},
		old{"ParcelPhotographed", 1, `{"camera":7}`},                        // this program has no such type
		old{"ParcelMoved", 1, `{"place":"Lindau","conveyor":"north gate"}`}, // nor this field
		old{"ParcelAccepted", 2, `{"to":"Bregenz, Austria","grams":1004}`},  // forwarded to a new address
		old{"ParcelHandedOver", 1, `{"signed_by":"neighbour"}`},
	)
}

type old struct {
	Type    string
	Version int
	JSON    string
}

// aDay returns the day on which the event with the given number happened.
func aDay(number int) time.Time { return time.Date(2019, time.March, 1+number, 9, 0, 0, 0, time.UTC) }

func parcelID() uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceURL, []byte("parcel 4711")) }

func write(ctx context.Context, store eventstore.Store, history ...old) error {
	events := make([]event.Event, len(history))
	for i, o := range history {
		origin := event.Origin{ActorID: event.Service("sorting-centre")}
		events[i] = event.Stamp(origin, aDay(i), o.Type, o.Version)
		events[i].Data = []byte(o.JSON)
	}
	stream := eventstore.Stream{AggregateType: "Parcel", AggregateID: parcelID()}
	_, err := store.Append(ctx, eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: events})
	return err
}

// showStored prints what lies in the store. Nothing of it is ever rewritten.
func showStored(ctx context.Context, out io.Writer, store *memory.Store) error {
	fmt.Fprintln(out, "In the store:")
	for e, err := range store.ReadAll(ctx, eventstore.Query{}) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  %d  %-18s v%d  %s\n", e.Position, e.Type, e.SchemaVersion, e.Data)
	}
	return nil
}

// showProjection prints what the handlers of a projection are called with.
func showProjection(ctx context.Context, out io.Writer, store *memory.Store) error {
	fmt.Fprintln(out, "\nWhat a projection sees:")
	//docs:begin projection
	journal := projection.New("journal", 1,
		projection.On(func(_ context.Context, e event.Of[ParcelAccepted]) error { return note(out, e) }),
		projection.On(func(_ context.Context, e event.Of[ParcelMoved]) error { return note(out, e) }),
		projection.On(func(_ context.Context, e event.Of[ParcelWeighed]) error { return note(out, e) }),
		projection.On(func(_ context.Context, e event.Of[ParcelDelivered]) error { return note(out, e) }),
	)
	//docs:end projection
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{journal}})
	if err != nil {
		return err
	}
	return runner.RunUntilCaughtUp(ctx)
}

func note[P event.Payload](out io.Writer, e event.Of[P]) error {
	_, err := fmt.Fprintf(out, "  %d  %-16s %+v\n", e.Position, e.Type, e.Payload)
	return err
}

// showAggregate loads the parcel twice: as aggregates do unless they are told
// otherwise, and passing over what is unknown.
func showAggregate(ctx context.Context, out io.Writer, store *memory.Store) error {
	fmt.Fprintln(out, "\nWhat an aggregate sees:")
	if _, err := aggregate.NewRepository[Parcel](store, strict()).Load(ctx, parcelID()); err != nil {
		fmt.Fprintf(out, "  strict:   %v\n", err)
	}
	parcel, err := aggregate.NewRepository[Parcel](store, tolerant()).Load(ctx, parcelID())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  tolerant: version %d, %+v\n", parcel.Version(), parcel.State())
	return nil
}

// showNewEvent emits the current form and prints what is stored for it.
func showNewEvent(ctx context.Context, out io.Writer, store *memory.Store) error {
	parcel := aggregate.NewRepository[Parcel](store, tolerant()).New(uuid.New())
	if err := parcel.Emit(ctx, ParcelAccepted{City: "Konstanz", Country: "Germany", Grams: 350}); err != nil {
		return err
	}
	e := parcel.Pending()[0]
	fmt.Fprintf(out, "\nWhat is stored from now on:\n  %s v%d  %s\n", e.Type, e.SchemaVersion, e.Data)
	return nil
}
