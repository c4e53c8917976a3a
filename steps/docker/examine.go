package docker

import (
	"context"
	"errors"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Examine looks at the engine's clock.
func (c *connection) Examine(ctx context.Context, now func() time.Time) ([]engine.Lack, error) {
	asked := now()
	info, err := c.Info(ctx)
	answered := now()
	var no refusedError
	switch {
	case errors.As(err, &no): // an engine behind a proxy may allow less than it has
		return nil, nil
	case err != nil:
		return nil, c.explain(ctx, err)
	}
	server := parseTime(info.SystemTime)
	if server.IsZero() {
		return nil, nil
	}
	return steps.Skew("the Docker engine "+c.host, asked, server, answered), nil
}
