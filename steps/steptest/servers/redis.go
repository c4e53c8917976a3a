package servers

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"

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
		s.process.container = containerName(dir)
	}
	t.Cleanup(s.process.kill)
	startOnFreePort(t, &s.process, func(port int) {
		s.Addr = "127.0.0.1:" + strconv.Itoa(port)
		argv := []string{program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir}
		if program == "" {
			argv = []string{"docker", "run", "--rm", "--name", s.process.container, "-p", s.Addr + ":6379",
				"-v", dir + ":/data", setting(t, "HANDRAIL_TEST_REDIS_IMAGE"), "redis-server"}
		}
		s.process.argv = append(append(argv, "--save", ""), args...)
	})
	return s
}

// answers: any reply will do, a demand for a password too, but not "I am still loading".
func (s *RedisServer) answers(ctx context.Context) error {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, Protocol: 2, DisableIdentity: true})
	defer c.Close()
	err := c.Do(ctx, "PING").Err()
	if redis.HasErrorPrefix(err, "NOAUTH") {
		return nil
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
