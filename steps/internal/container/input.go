package container

import (
	"errors"
	"sync/atomic"
	"syscall"

	"github.com/docker/docker/api/types"
)

// Input is the sending half of an attached connection. It remembers that the connection was reset under a
// write: the kernel tells a reset to whoever asks first. If that is the writer, the reader is told of an end
// as after a command that has ended, although the command has read only a part of its input.
type Input struct {
	stream types.HijackedResponse
	reset  atomic.Bool
}

// InputOf is the sending half of a connection.
func InputOf(stream types.HijackedResponse) *Input { return &Input{stream: stream} }

func (i *Input) Write(p []byte) (int, error) {
	n, err := i.stream.Conn.Write(p)
	// A command that ends without having read everything gives EPIPE: its engine says politely that it is over.
	if errors.Is(err, syscall.ECONNRESET) {
		i.reset.Store(true)
	}
	return n, err
}

// Close tells the command that nothing more comes.
func (i *Input) Close() error { return i.stream.CloseWrite() }

// WasReset says whether a write has met a connection that was reset. It is final when nobody writes any more.
func (i *Input) WasReset() bool { return i.reset.Load() }
