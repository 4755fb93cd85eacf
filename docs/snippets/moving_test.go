package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/transfer"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

func Example_moving() {
	inFolder(func(ctx context.Context, folder string) (err error) {
		source, err := sqliteBank(ctx, filepath.Join(folder, "bank.db"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, source.Close()) }()
		return onPostgreSQL(ctx, func(ctx context.Context, owner, _ string) error { return move(ctx, source, owner) })
	})
	// Output:
	// 2 events are the same in both, 2 of them were copied now
	// followed: 7 events, the new store goes on
	// verified: 7 events
	// the digest that was written down: true
	// thanked for 30
	// published 1
	// refused: event 8 of the target is not in the source
}

func move(ctx context.Context, source *sqlite.Store, url string) (err error) {
	//docs:begin target
	config := postgres.Config{URL: url}
	if err := postgres.Migrate(ctx, config); err != nil {
		return err
	}
	target, err := postgres.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	//docs:end target
	//docs:begin copy
	report, err := transfer.Copy(ctx, source, target, transfer.Config{})
	if err != nil {
		return err
	}
	fmt.Println(report.Digest.Events, "events are the same in both,", report.Stored, "of them were copied now")
	//docs:end copy
	if report, err = cutOver(ctx, source, target); err != nil {
		return err
	}
	fmt.Println("followed:", report.Digest.Events, "events, the new store goes on")
	if err := compare(ctx, source, target, report); err != nil {
		return err
	}
	if err := reactFromNowOn(ctx, target); err != nil {
		return err
	}
	if err := publishFromHere(ctx, target, report); err != nil {
		return err
	}
	_, err = transfer.Copy(ctx, source, target, transfer.Config{})
	//docs:begin difference
	if difference, ok := errors.AsType[*transfer.DifferenceError](err); ok && difference.Source.Position == 0 {
		fmt.Println("refused: event", difference.Number, "of the target is not in the source")
		return nil
	}
	//docs:end difference
	return err
}

// cutOver copies while the application writes.
func cutOver(ctx context.Context, source *sqlite.Store, target *postgres.Store) (transfer.Report, error) {
	stop, copied := make(chan struct{}), make(chan error, 1)
	var report transfer.Report
	goesOn := make(chan struct{}, 1)
	progress := func(transfer.Progress) {
		select {
		case goesOn <- struct{}{}:
		default:
		}
	}
	go func() {
		var err error
		report, err = keepCopying(ctx, source, target, stop, progress)
		copied <- err
	}()
	repo := aggregate.NewRepository[Account](source, accounts)
	for range 5 {
		<-goesOn
		err := repo.Update(ctx, aliceID, func(a *Account) error { return a.Deposit(ctx, 10) })
		if err != nil {
			return report, err
		}
	}
	close(stop)
	return report, <-copied
}

//docs:begin follow

// keepCopying copies until stop is closed, whatever comes in between.
func keepCopying(ctx context.Context, source eventstore.Store, target transfer.Target, stop <-chan struct{}, progress func(transfer.Progress)) (transfer.Report, error) {
	config := transfer.Config{Stop: stop, Progress: progress}
	for {
		report, err := transfer.Copy(ctx, source, target, config)
		if !eventstore.IsRetryable(err) {
			return report, err // done, or something that trying again does not mend
		}
		config.From = report // what was copied need not be read again
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
}

//docs:end follow

func compare(ctx context.Context, source, target eventstore.Store, report transfer.Report) error {
	//docs:begin verify
	verified, err := transfer.Verify(ctx, source, target, transfer.VerifyConfig{Beyond: true}) // the new store may have more by now
	if err != nil {
		return err
	}
	fmt.Println("verified:", verified.Digest.Events, "events")
	//docs:end verify
	//docs:begin digest
	digest, err := transfer.DigestOf(ctx, target, report.TargetPosition)
	if err != nil {
		return err
	}
	fmt.Println("the digest that was written down:", digest == report.Digest)
	//docs:end digest
	return nil
}

func reactFromNowOn(ctx context.Context, target *postgres.Store) error {
	var thanked []int64
	thanks := projection.NewReactor("thanks", 1, projection.On(func(_ context.Context, e event.Of[Withdrawn]) error {
		thanked = append(thanked, e.Payload.Cents)
		return nil
	}))
	//docs:begin reactors
	runner, err := projection.NewRunner(target, projection.Config{Projections: []projection.Projection{thanks}})
	if err != nil {
		return err
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil { // now it has begun, at the head
		return err
	}
	//docs:end reactors
	repo := aggregate.NewRepository[Account](target, accounts)
	if err := repo.Update(ctx, aliceID, func(a *Account) error { return a.Withdraw(ctx, 30) }); err != nil {
		return err
	}
	err = runner.RunUntilCaughtUp(ctx)
	fmt.Println("thanked for", thanked[0])
	return err
}

func publishFromHere(ctx context.Context, target *postgres.Store, report transfer.Report) error {
	published := 0
	publisher := projection.New("publisher", 1, projection.OnEvery(func(context.Context, event.Event) error {
		published++
		return nil
	}))
	//docs:begin checkpoint
	err := target.Checkpoints().Move(ctx, checkpoint.Key{Projection: publisher.Name(), Version: publisher.Version()},
		checkpoint.Move{To: report.TargetPosition, StoreID: target.ID()})
	//docs:end checkpoint
	if err != nil {
		return err
	}
	runner, err := projection.NewRunner(target, projection.Config{Projections: []projection.Projection{publisher}})
	if err != nil {
		return err
	}
	err = runner.RunUntilCaughtUp(ctx)
	fmt.Println("published", published)
	return err
}
