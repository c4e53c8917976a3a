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
}

// Redis starts a redis-server that the test may kill. args are further options; without any it keeps
// nothing on disk and has no password.
func Redis(t testing.TB, args ...string) *RedisServer {
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
		argv := []string{program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir}
		if program == "" {
			argv = []string{"docker", "run", "--rm", "--name", s.process.container, "-p", s.Addr + ":6379",
				"-v", dir + ":/data", setting(t, "HANDRAIL_TEST_REDIS_IMAGE"), "redis-server", "--protected-mode", "no"}
		}
		s.process.argv = append(append(argv, "--save", ""), args...)
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
