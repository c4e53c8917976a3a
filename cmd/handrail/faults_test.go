package main

import (
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// A fault is brought about on a real server, the run says what is wrong and ends as it should; then the
// fault is mended, the run resumed, and the server itself asked how often the effect happened.

const pushPlaybook = `targets: {cache: redis}
steps:
  - {id: push, redis: {transaction: [[RPUSH, "{q}", x], [INCR, "{q}:n"]]}}
`

func redisGround(t *testing.T, args ...string) (*ground, *servers.RedisServer) {
	t.Helper()
	g, s := newGround(t), servers.Redis(t, args...)
	g.target("cache", "redis", s.Settings())
	g.playbook("push", pushPlaybook)
	return g, s
}

// pushedOnce asks Redis how often the effect of pushPlaybook happened.
func pushedOnce(t *testing.T, s *servers.RedisServer) {
	t.Helper()
	if n := s.Client().LLen(t.Context(), "{q}").Val(); n != 1 {
		t.Errorf("the effect happened %d times", n)
	}
}

func tell(t *testing.T, s *servers.RedisServer, words ...any) {
	t.Helper()
	if err := s.Client().Do(t.Context(), words...).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestRedisThatCannotBeReached(t *testing.T) {
	g, s := redisGround(t)
	s.Kill()
	g.handrail("run", "--yes", "push").is(1, "step push: redis "+s.Addr, "cannot be reached; nothing was sent", "check the address", "handrail resume "+g.last())
	s.Restart()
	g.handrail("resume", g.last()).is(0)
	pushedOnce(t, s)
}

func TestRedisThatIsAReplica(t *testing.T) {
	master := servers.Redis(t)
	g, s := redisGround(t)
	host, port, _ := strings.Cut(master.Addr, ":")
	tell(t, s, "REPLICAOF", host, port)
	g.handrail("run", "--yes", "push").is(1, "it is a replica of "+master.Addr, "nothing was sent")
	tell(t, s, "REPLICAOF", "NO", "ONE")
	g.handrail("resume", g.last()).is(0)
	pushedOnce(t, s)
}

func TestRedisThatIsLoading(t *testing.T) {
	g, s := redisGround(t, "--enable-debug-command", "yes", "--key-load-delay", "3000", "--loading-process-events-interval-bytes", "1024")
	tell(t, s, "DEBUG", "POPULATE", "1000", "filler", "100")
	loading := make(chan error, 1)
	go func() { loading <- s.Client().Do(t.Context(), "DEBUG", "RELOAD").Err() }()
	eventually(t, "loading", func() bool {
		err := s.Client().Get(t.Context(), "x").Err()
		return err != nil && strings.HasPrefix(err.Error(), "LOADING")
	})
	g.handrail("run", "--yes", "push").is(1, "it is still loading its data from disk; nothing was changed; try again when")
	if err := <-loading; err != nil {
		t.Log("the client gave up; what counts is that the server answers:", err)
	}
	eventually(t, "loaded", func() bool { return s.Client().Ping(t.Context()).Err() == nil })
	g.handrail("resume", g.last()).is(0)
	pushedOnce(t, s)
}

func TestRedisThatAsksForAPassword(t *testing.T) {
	g, s := redisGround(t)
	tell(t, s, "CONFIG", "SET", "requirepass", "the-password-4711")
	g.handrail("run", "--yes", "push").is(1, "it asks for a password; give `password`", "NOAUTH")
	wrong := s.Settings()
	wrong["password"] = "not-the-password-0815"
	g.target("cache", "redis", wrong)
	g.handrail("run", "--yes", "push").is(1, "it does not accept the user and password", "WRONGPASS").never("not-the-password-0815")
	right := s.Settings()
	right["password"] = "the-password-4711"
	g.target("cache", "redis", right)
	g.handrail("run", "--yes", "push").is(0).never("the-password-4711")
}

func TestRedisUserWithoutTheRight(t *testing.T) {
	g, s := redisGround(t)
	tell(t, s, "ACL", "SETUSER", "reader", "on", ">the-password-4711", "~*", "+@read", "+@connection", "+info", "+command")
	as := s.Settings()
	as["user"], as["password"] = "reader", "the-password-4711"
	g.target("cache", "redis", as)
	g.handrail("run", "--yes", "push").is(1, "the user may not do this", "nothing was changed", "ACL SETUSER")
	tell(t, s, "ACL", "SETUSER", "reader", "+@all")
	g.handrail("resume", g.last()).is(0)
	pushedOnce(t, s)
}

func TestRedisWithoutMemory(t *testing.T) {
	g, s := redisGround(t)
	tell(t, s, "CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "noeviction")
	g.handrail("run", "--yes", "push").is(1, "its memory is used up (maxmemory)", "nothing was changed", "raise maxmemory")
	tell(t, s, "CONFIG", "SET", "maxmemory", "0")
	g.handrail("resume", g.last()).is(0)
	pushedOnce(t, s)
}

func TestAProbeThatCannotBeAskedAfterACrashDecidesNothing(t *testing.T) {
	g, s := redisGround(t)
	g.playbook("guarded", `targets: {cache: redis}
steps:
  - id: pay
    exec: {shell: "echo paid >> ledger; kill -9 $PPID"}
    done_if: [{redis: {do: [GET, paid]}, expect: "value == 'yes'"}]
`)
	g.process("run", "--yes", "guarded").is(-1)
	s.Kill()
	// The effect may have happened, and the one who could tell does not answer: it is not run again, nor
	// called done.
	g.handrail("resume", g.last()).is(3, "In doubt", "done_if: could not ask", "cannot be reached", "handrail resolve "+g.last()+" pay")
	g.ledger("paid\n")
	s.Restart()
	tell(t, s, "SET", "paid", "yes")
	g.handrail("resume", g.last()).is(0)
	g.ledger("paid\n")
}

// dockerGround names containers so that tests do not meet.
func dockerGround(t *testing.T) *ground {
	t.Helper()
	g := newGround(t)
	g.target("engine", "docker", servers.Docker(t))
	return g
}

func TestContainerThatIsMissing(t *testing.T) {
	g := dockerGround(t)
	name := g.container()
	g.playbook("restart", "targets: {engine: docker}\nsteps:\n  - {id: restart, docker: {restart: "+name+"}}\n")
	g.handrail("run", "--yes", "restart").is(1, "step restart: ", "there is no container "+name, "nothing was changed")
	g.docker("run", "-d", "--name", name, servers.Image, "sleep", "600")
	g.handrail("resume", g.last()).is(0)
}

func TestContainerThatExitsAtOnce(t *testing.T) {
	g := dockerGround(t)
	name := g.container()
	g.docker("create", "--name", name, servers.Image, "sh", "-c", "echo no license; exit 5")
	g.playbook("start", "targets: {engine: docker}\nsteps:\n  - {id: start, docker: {start: "+name+", healthy: 20s}}\n")
	g.handrail("run", "--yes", "start").is(1, name, "exit code 5", "no license", "its effect stands")
	g.docker("rm", "-f", name)
	g.docker("create", "--name", name, servers.Image, "sleep", "600")
	g.handrail("resume", g.last()).is(0)
}

func TestContainerThatIsUnhealthy(t *testing.T) {
	g := dockerGround(t)
	name := g.container()
	g.playbook("up", `targets: {engine: docker}
steps:
  - id: up
    docker:
      run: {name: `+name+`, image: "`+servers.Image+`", command: [sleep, "600"], healthy: 30s, healthcheck: {test: "echo port is closed; test -e /well", interval: 200ms, retries: 2}}
`)
	g.handrail("run", "--yes", "up").is(1, name, "is unhealthy", "port is closed", "its effect stands")
	g.docker("exec", name, "touch", "/well")
	eventually(t, "healthy", func() bool {
		return strings.Contains(g.docker("inspect", "-f", "{{.State.Health.Status}}", name), "healthy\n") &&
			!strings.Contains(g.docker("inspect", "-f", "{{.State.Health.Status}}", name), "unhealthy")
	})
	g.handrail("resume", g.last()).is(0)
}

func TestContainerOfAnotherHand(t *testing.T) {
	g := dockerGround(t)
	name := g.container()
	g.docker("run", "-d", "--name", name, servers.Image, "sleep", "600")
	before := g.docker("inspect", "-f", "{{.Id}}", name)
	g.playbook("up", "targets: {engine: docker}\nsteps:\n  - {id: up, docker: {run: {name: "+name+", image: \""+servers.Image+"\", command: [sleep, \"600\"]}}}\n")
	g.handrail("run", "--yes", "up").is(1, name, "was not made by Handrail", "nothing was changed")
	if after := g.docker("inspect", "-f", "{{.Id}}", name); after != before {
		t.Error("the foreign container was touched")
	}
	g.docker("rm", "-f", name)
	g.handrail("resume", g.last()).is(0)
}

func TestEngineThatIsNotThere(t *testing.T) {
	g := newGround(t)
	g.target("engine", "docker", engine.Record{"host": "unix://" + g.dir + "/docker.sock"})
	g.playbook("restart", "targets: {engine: docker}\nsteps:\n  - {id: restart, docker: {restart: web}}\n")
	g.handrail("plan", "restart").is(1)
	g.handrail("run", "--yes", "restart").is(1, "no Docker engine at "+g.dir+"/docker.sock", "systemctl start docker", "nothing was changed")
}
