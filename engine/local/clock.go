package local

import (
	"context"
	"time"
)

// systemClock is the clock of the machine.
type systemClock struct{}

// SystemClock is the clock of the machine.
func SystemClock() Clock { return systemClock{} }

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) After(ctx context.Context, d time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	t := time.NewTimer(d)
	stop := context.AfterFunc(ctx, func() { t.Stop() })
	go func() {
		defer stop()
		select {
		case at := <-t.C:
			c <- at
		case <-ctx.Done():
		}
	}()
	return c
}
