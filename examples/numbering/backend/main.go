// Command backend hands out document numbers: the service of the numbering stack, small enough to be read in a few minutes.
//
//	POST /numbers/COR       gives out the next number of a type, exactly once
//	GET  /health            200 while it can give out numbers
//	GET  /health/numbering  each check by itself, and fallback_mode: true while it works without Redis
//
// MariaDB decides every number. Redis keeps a reservation of each for a while, so that other services see it at once; without Redis
// the number is given out all the same, and the service says that it is in fallback mode.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "check" {
		if err := check(os.Args[2]); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

// check asks a URL and fails unless the answer is 200: the health check of a container that has no curl.
func check(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	if err := r.Body.Close(); err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, r.Status)
	}
	return nil
}

// config comes from the environment, as a compose file would set it.
type config struct {
	listen, dbHost, dbPort, dbUser, dbPassword, dbName, redisNodes string
	lockTimeout, reservationTTL                                    time.Duration
}

func configured() (config, error) {
	get := func(name, otherwise string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	c := config{
		listen: get("LISTEN", ":3000"), dbHost: get("DB_HOST", "127.0.0.1"), dbPort: get("DB_PORT", "3306"), dbUser: get("DB_USER", "numbering"),
		dbPassword: get("DB_PASSWORD", ""), dbName: get("DB_NAME", "lcbp3_production"), redisNodes: get("REDIS_CLUSTER_NODES", "127.0.0.1:6379"),
	}
	timeout, err := strconv.Atoi(get("NUMBERING_LOCK_TIMEOUT", "5000"))
	if err != nil {
		return c, fmt.Errorf("NUMBERING_LOCK_TIMEOUT is in milliseconds: %w", err)
	}
	ttl, err := strconv.Atoi(get("NUMBERING_RESERVATION_TTL", "300"))
	if err != nil {
		return c, fmt.Errorf("NUMBERING_RESERVATION_TTL is in seconds: %w", err)
	}
	c.lockTimeout, c.reservationTTL = time.Duration(timeout)*time.Millisecond, time.Duration(ttl)*time.Second
	return c, nil
}

func serve() error {
	c, err := configured()
	if err != nil {
		return err
	}
	s, err := newService(c)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: c.listen, Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		closing, cancel := context.WithTimeout(context.Background(), c.lockTimeout)
		defer cancel()
		err = server.Shutdown(closing) // a number that is being given out is given out
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, s.close())
}
