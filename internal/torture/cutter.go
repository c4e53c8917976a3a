package torture

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
)

// Direction is the way that bytes go through a Cutter.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

func (d Direction) String() string { return [...]string{"to the server", "to the client"}[d] }

// Cutter stands between the engine and a server, and cuts every connection once a given number of bytes has
// gone one way. What was sent before the cut arrives; what would have come after it does not.
type Cutter struct {
	Addr string // where the engine finds it

	server string
	mu     sync.Mutex
	passed [2]int // since Heal or CutAfter, by direction
	chunks [2][]int
	way    Direction
	after  int  // 0: nothing is cut
	away   bool // AFTER the cut nobody gets through until Heal
	watch  func(Direction, []byte) bool
	cut    bool
	open   map[net.Conn]bool
	closed bool
	done   sync.WaitGroup
}

// NewCutter listens in front of a server, at host:port or the path of a socket, until the test ends.
func NewCutter(t testing.TB, server string) *Cutter {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cutter{Addr: l.Addr().String(), server: server, open: map[net.Conn]bool{}}
	c.done.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			c.done.Go(func() { c.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		c.closeAll()
		c.done.Wait()
	})
	return c
}

// DockerHost is where a Docker engine listens, by what DOCKER_HOST says of it, in the form that NewCutter takes.
func DockerHost(host string) string {
	return strings.TrimPrefix(strings.TrimPrefix(host, "unix://"), "tcp://")
}

// CutAfter cuts all connections when n bytes have gone this way from now on; n is counted from 1. With away
// the server then stays out of reach until Heal; without, new connections reach it.
func (c *Cutter) CutAfter(way Direction, n int, away bool) { c.set(way, n, away) }

// Away ends all connections now, and nobody gets through until Heal.
func (c *Cutter) Away() {
	c.mu.Lock()
	c.cut = true
	c.mu.Unlock()
	c.closeAll()
}

// Heal lets everything through, and begins to count anew.
func (c *Cutter) Heal() { c.set(ToServer, 0, false) }

func (c *Cutter) set(way Direction, n int, away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.way, c.after, c.away, c.cut = way, n, away, false
	c.passed, c.chunks = [2]int{}, [2][]int{}
}

// Watch has f see every piece BEFORE it goes on, from now on; nil: nobody sees them. Where f says no, the piece does not arrive and
// its connection ends.
func (c *Cutter) Watch(f func(way Direction, piece []byte) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = f
}

func (c *Cutter) seen(way Direction, piece []byte) bool {
	c.mu.Lock()
	f := c.watch
	c.mu.Unlock()
	return f == nil || f(way, piece)
}

// Lead has those who come from now on find another server at the same address, as after a failover.
func (c *Cutter) Lead(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server
}

// Passed is how many bytes have gone this way since Heal or CutAfter; Chunks is where one that was sent at once ended.
func (c *Cutter) Passed(way Direction) (bytes int, chunks []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed[way], append([]int(nil), c.chunks[way]...)
}

func (c *Cutter) serve(client net.Conn) {
	c.mu.Lock()
	to := c.server
	c.mu.Unlock()
	network := "tcp"
	if strings.HasPrefix(to, "/") {
		network = "unix"
	}
	server, err := new(net.Dialer).DialContext(context.Background(), network, to)
	if err != nil {
		_ = client.Close()
		return
	}
	if !c.keep(client, server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.copy(ToServer, server, client) })
	both.Go(func() { c.copy(ToClient, client, server) })
	both.Wait()
	c.mu.Lock()
	delete(c.open, client)
	delete(c.open, server)
	c.mu.Unlock()
}

// keep remembers a pair of connections, unless there are to be none.
func (c *Cutter) keep(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		if c.cut || c.closed {
			_ = conn.Close()
			continue
		}
		c.open[conn] = true
	}
	return !c.cut && !c.closed
}

func (c *Cutter) copy(way Direction, to, from net.Conn) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !c.seen(way, buf[:n]) {
			return
		}
		if n > 0 {
			pass, cut := c.admit(way, n)
			if _, err := to.Write(buf[:pass]); err != nil {
				return
			}
			if cut {
				c.closeAll()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// admit says how many of n bytes may pass, and whether that was the last.
func (c *Cutter) admit(way Direction, n int) (pass int, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return 0, true
	}
	pass = n
	if c.after > 0 && way == c.way && c.passed[way]+n >= c.after {
		pass, cut = c.after-c.passed[way], true
		c.after, c.cut = 0, c.away
	}
	c.passed[way] += pass
	c.chunks[way] = append(c.chunks[way], c.passed[way])
	return pass, cut
}

func (c *Cutter) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close()
	}
}
