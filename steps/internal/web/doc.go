// Package web sends one HTTP request and says exactly what is known of it afterwards.
//
// It guarantees that a request is sent at most once: each has a connection of its own, so that the
// repeating of net/http on connections that were kept never sets in, and it speaks HTTP/1.1, where what
// was written can be counted. Whether a byte of the request was handed to the network is known for certain
// ([Failure]). Under [steps.ReadOnly] nothing but GET and HEAD leaves the process, whatever the code above
// asks for. A redirect is followed only to the same host, never from TLS to plain text, so what a request
// carries is seen by nobody else. An answer is read up to a limit, and no further.
//
// It never obeys HTTP_PROXY and its like: what a probe proves must not depend on a variable of the shell
// in which it happens to run, and secrets must not be handed to a proxy that the playbook does not name.
// It never keeps cookies and never prints the values of queries that look like credentials. A URL with a
// user and password in it is refused.
package web
