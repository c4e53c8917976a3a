// Package docker is the step kind that acts on a Docker engine.
//
// It looks at containers, networks and volumes (inspect, logs, networks, volumes), moves containers to a
// stated condition (start, stop, restart, kill, remove, connect, disconnect, run), and likewise networks
// (network), volumes (volume) and Compose projects (compose), brings images (pull) and files (copy), and runs
// commands in containers (exec). The engine is reached over its socket, TCP, TLS or ssh.
//
// It guarantees that
//   - a restart whose StartedAt shows that it happened is not done again AFTER a crash;
//   - a container that run made is known again by its labels, and a foreign container of that name
//     is left alone;
//   - the id of an exec is recorded BEFORE the exec is started, so that AFTER a crash the process,
//     which outlives its client, is found, waited for and judged by its exit code;
//   - an exec that was cut off is ended inside its container, or called in doubt;
//   - a request whose answer is lost is followed up: what it has done counts, and what the engine is still
//     busy with is waited for;
//   - the Compose command of an attempt that was cut off is waited for, and none is started beside it;
//   - under a read-only connection nothing but a list of reading requests leaves this machine: that
//     is held by the transport, whatever an operation asks for.
//
// It never runs a command beside one that may still be alive, never removes a container other than the one
// that was seen before the intent, nor a network or volume that a container has, and never takes a container
// for healthy because a request returned.
package docker
