package servers

import (
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Image is present on the engine that [Docker] names: a small Unix with sh, sleep and their like.
const Image = "handrail-test/base:1"

// RedisImage is present there, too: a redis-server, and the same small Unix.
const RedisImage = "handrail-test/redis:1"

// RabbitMQImage is present there under HANDRAIL_TORTURE: a node of RabbitMQ.
const RabbitMQImage = "handrail-test/rabbitmq:1"

// Docker gives the settings of a `docker` target on the test engine.
func Docker(t testing.TB) engine.Record {
	t.Helper()
	host := setting(t, "DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock" // an engine at its usual place
	}
	u, err := url.Parse(host)
	if err != nil {
		t.Fatalf("DOCKER_HOST: %v", err)
	}
	network, address := u.Scheme, u.Host
	if network == "unix" {
		address = u.Path
	} else {
		network = "tcp"
	}
	conn, err := net.DialTimeout(network, address, 10*time.Second)
	if err != nil {
		t.Fatalf("no Docker engine answers at %s; run: make servers (%v)", host, err)
	}
	_ = conn.Close()
	return engine.Record{"host": host}
}
