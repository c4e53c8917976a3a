package main

import (
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/redis"
)

func TestRelativePathsInsideOfASettingAreTakenAgainstItsFolder(t *testing.T) {
	for _, target := range redis.New().Define().Targets {
		settings := engine.Record{"address": "cache", "tls": engine.Record{"ca": "tls/ca.pem", "key": "/etc/key.pem", "server_name": "redis.test"}}
		shown := (&reach{}).addTarget("cache", target.Name, settings, target, "/env")
		if got := engine.Text(shown["tls"]); got != "{ca: /env/tls/ca.pem, key: /etc/key.pem, server_name: redis.test}" {
			t.Errorf("%s: %s", target.Name, got)
		}
	}
}
