package sql

import (
	"context"
	"io"
)

// Marked says how many markers of a run there are, in all databases of the target.
func (*Kind) Marked(ctx context.Context, conn io.Closer, run string) (int64, error) {
	return eachMarkers(ctx, conn, func(s *session, table string) (int64, error) {
		rows, err := s.rows(ctx, "count the markers of run "+run, s.c.d.own("SELECT COUNT(*) FROM "+table+ofRun), s.c.markersOf(run)...)
		if err != nil || len(rows) == 0 {
			return 0, err
		}
		return number(rows[0][0]), nil
	})
}

// Forget removes the markers of a run. That one is removed twice, by two that prune, does no harm.
func (*Kind) Forget(ctx context.Context, conn io.Closer, run string) (int64, error) {
	return eachMarkers(ctx, conn, func(s *session, table string) (int64, error) {
		done, err := s.exec(ctx, "remove the markers of run "+run, s.c.d.own("DELETE FROM "+table+ofRun), s.c.markersOf(run)...)
		if err != nil {
			return 0, err
		}
		return done.RowsAffected()
	})
}

// ofRun picks the tokens that begin with the run's id and a slash, behind which stands "0".
const ofRun = " WHERE token >= ? AND token < ?"

func (c *Conn) markersOf(run string) []any { return []any{c.d.token(run + "/"), c.d.token(run + "0")} }

// eachMarkers does something with every table of markers that can be seen, and adds up.
func eachMarkers(ctx context.Context, conn io.Closer, do func(s *session, table string) (int64, error)) (total int64, err error) {
	c, err := writerOf(ctx, conn)
	if err != nil {
		return 0, err
	}
	s, err := c.pin(ctx)
	if err != nil {
		return 0, err
	}
	defer s.release()
	databases, err := c.d.markers(ctx, s)
	for _, db := range databases {
		if err != nil {
			break
		}
		var n int64
		n, err = do(s, c.markerName(db))
		total += n
	}
	return total, err
}
