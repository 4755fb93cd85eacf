package transfer

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/eventstore"
)

// VerifyConfig says what a [Verify] compares. The zero value compares all.
type VerifyConfig struct {
	// Until is the source's position up to which events are compared; 0 for its
	// head.
	Until uint64
	// Beyond allows events of the target behind those of the source: it has
	// become the store that is written to.
	Beyond bool
	// Progress is called from Verify's goroutine, now and then.
	Progress func(Progress)
}

// Verify reads both stores and compares every event: they must hold the same, in
// the same order. Positions may differ. Nothing is written.
//
// Errors: a [*DifferenceError] that names the first event that differs, is
// missing or is too much; and those of the stores. The report says how far they
// are the same.
func Verify(ctx context.Context, source, target eventstore.Store, config VerifyConfig) (Report, error) {
	c := &comparison{source: source, target: target, progress: config.Progress, equal: newDigester(Digest{})}
	if err := c.verify(ctx, config); err != nil {
		return c.result(), fmt.Errorf("verify copy: %w", err)
	}
	return c.result(), nil
}

func (c *comparison) verify(ctx context.Context, config VerifyConfig) error {
	head, err := c.source.Head(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	c.head = head
	if config.Until != 0 {
		c.head = min(head, config.Until)
	}
	end, err := c.walk(ctx, c.head)
	if err != nil {
		return err
	}
	if end.missing.ID != uuid.Nil {
		return &DifferenceError{Number: c.equal.Events + 1, Source: end.missing}
	}
	if end.extra.ID != uuid.Nil && !config.Beyond {
		return &DifferenceError{Number: c.equal.Events + 1, Target: end.extra}
	}
	c.report()
	return nil
}
