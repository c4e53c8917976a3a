package container

import (
	"context"
	"errors"
	"time"
)

// PollEvery is how often an engine is asked that cannot be waited for.
const PollEvery = 200 * time.Millisecond

// ErrTooLong is the cause of a wait's end that has a limit of its own.
var ErrTooLong = errors.New("it took too long")

// Poll asks until the answer is yes, an error, or ctx ends.
func Poll(ctx context.Context, ask func(context.Context) (bool, error)) error {
	tick := time.NewTicker(PollEvery)
	defer tick.Stop()
	for {
		yes, err := ask(ctx)
		if yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
