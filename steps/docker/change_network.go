package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/steps/internal/container"
)

// networkThere refuses a network that is not there. To leave one that is gone is done already.
func (op change) networkThere(ctx context.Context, c *connection) error {
	if op.verb != verbConnect {
		return nil
	}
	_, found, err := c.findNetwork(ctx, op.network)
	if err == nil && !found {
		return noNetwork(op.network)
	}
	return err
}

// provenJoined waits until the container is in the network, or out of it.
func (w *changing) provenJoined(ctx context.Context, name string) error {
	limited, cancel := context.WithTimeoutCause(ctx, settleTime, container.ErrTooLong)
	defer cancel()
	err := container.Poll(limited, func(ctx context.Context) (bool, error) {
		now, found, err := w.c.look(ctx, name)
		if err != nil {
			return false, err
		}
		return found && w.there(now) || !found && w.verb == verbDisconnect, nil
	})
	if errors.Is(err, container.ErrTooLong) {
		return fmt.Errorf("container %s was %s, but the engine does not show it; docker network inspect %s says what it knows", name, w.verb.did(), w.network)
	}
	return err
}
