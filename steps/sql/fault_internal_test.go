package sql

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// TestAServerThatTakesNoConnectionInTime is told of without Go's own words.
func TestAServerThatTakesNoConnectionInTime(t *testing.T) {
	late := net.Dialer{Deadline: time.Now().Add(-time.Second)}
	_, err := late.DialContext(t.Context(), "tcp", "127.0.0.1:1")
	if err == nil {
		t.Fatal("a connection was made AFTER its time")
	}
	for typ, d := range map[string]dialect{"mysql": &mysqlDialect{}, "postgres": &postgresDialect{}} {
		told := (&Conn{where: typ + " 127.0.0.1:1", d: d}).faultOf("connect", err)
		var f *fault
		if !errors.As(told, &f) || f.reach != notSent || f.sort != busyFault {
			t.Errorf("%s: %+v", typ, f)
		}
		if said := told.Error(); !strings.Contains(said, "no connection within the time allowed; nothing was sent; check the address") || strings.Contains(said, "i/o timeout") {
			t.Errorf("%s: %s", typ, said)
		}
	}
}
