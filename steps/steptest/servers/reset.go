package servers

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/docker/docker/api/types"
)

// ResetUnderWrite is a connection to a command that is reset just before something is written into it, so
// that the writer is told of the reset, and the reader of an end. The command reads nothing.
func ResetUnderWrite(stream types.HijackedResponse) types.HijackedResponse {
	mediaType, _ := stream.MediaType()
	return types.NewHijackedResponse(&resetUnderWrite{Conn: stream.Conn, closed: make(chan struct{})}, mediaType)
}

type resetUnderWrite struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *resetUnderWrite) Write([]byte) (int, error) {
	_ = c.Close()
	return 0, fmt.Errorf("write: %w", syscall.ECONNRESET)
}

func (c *resetUnderWrite) CloseWrite() error { return syscall.ENOTCONN }

func (c *resetUnderWrite) Read([]byte) (int, error) {
	<-c.closed
	return 0, io.EOF
}

func (c *resetUnderWrite) Close() (err error) {
	c.once.Do(func() {
		err = c.Conn.Close()
		close(c.closed)
	})
	return err
}
