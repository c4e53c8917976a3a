package servers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
)

// RedisServer is a redis-server process of a test's own.
type RedisServer struct {
	Addr string // 127.0.0.1:port, the same after a Restart
	Dir  string // where it keeps its files

	t       testing.TB
	process process
	own     *redis.Client // for what this package itself asks
}

// Redis starts a redis-server that the test may kill. args are further options; without any it keeps
// nothing on disk and has no password.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	return startRedis(t, func(int) []string { return args })
}

// startRedis starts a redis-server with the options for its port.
func startRedis(t testing.TB, options func(port int) []string) *RedisServer {
	t.Helper()
	dir := folder(t, "hrr")
	s := &RedisServer{t: t, Dir: dir, process: process{name: "redis-server", output: filepath.Join(dir, "log")}}
	s.process.answers = s.answers
	program := setting(t, "HANDRAIL_TEST_REDIS_SERVER")
	if program == "" {
		s.process.asContainer(t, dir)
	}
	t.Cleanup(s.process.kill)
	startOnFreePort(t, &s.process, func(port int) {
		s.Addr = "127.0.0.1:" + strconv.Itoa(port)
		argv := []string{program, "--dir", dir}
		if program == "" {
			// On the host's network, so that servers find each other where tests find them.
			argv = []string{"docker", "run", "--rm", "--name", s.process.container, "--network", "host",
				"-v", dir + ":" + dir, "-w", dir, setting(t, "HANDRAIL_TEST_REDIS_IMAGE"), "redis-server"}
		}
		options := options(port)
		if len(options) > 0 && !strings.HasPrefix(options[0], "-") { // a configuration file comes first
			argv, options = append(argv[:len(argv):len(argv)], options[0]), options[1:]
			if program != "" {
				argv = []string{program, argv[len(argv)-1]}
			}
		} else {
			argv = append(argv, "--save", "")
		}
		argv = append(argv, "--bind", "127.0.0.1", "--port", strconv.Itoa(port))
		s.process.argv = append(argv, options...)
	})
	return s
}

// answers: a demand for a password will do, but not "I am still loading".
func (s *RedisServer) answers(ctx context.Context) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	reply, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(reply, "+PONG") && !strings.HasPrefix(reply, "-NOAUTH") {
		err = fmt.Errorf("redis-server says %s", strings.TrimSpace(reply))
	}
	return err
}

// Settings are those of a `redis` target on this server.
func (s *RedisServer) Settings() engine.Record { return engine.Record{"address": s.Addr} }

// Client is a plain connection, for what the test itself prepares and asks.
func (s *RedisServer) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask is a connection that is kept, for questions that are asked again and again.
func (s *RedisServer) ask() *redis.Client {
	if s.own == nil {
		s.own = s.Client()
	}
	return s.own
}

// Kill is SIGKILL: what is not on disk is lost.
func (s *RedisServer) Kill() { s.process.kill() }

// Restart brings it up again on the same port and folder, after killing it if it still lives.
func (s *RedisServer) Restart() {
	s.t.Helper()
	s.process.kill()
	if err := s.process.start(); err != nil {
		s.t.Fatal(fmt.Errorf("restart redis-server: %w", err))
	}
}

// Yesterday copies its folder, and gives what puts it back. It is down for both, so it must keep its data there.
func (s *RedisServer) Yesterday() (putBack func()) {
	s.t.Helper()
	return yesterday(s.t, s.Dir, s.Kill, s.Restart)
}
