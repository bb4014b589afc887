// forward passes connections on: LISTEN=DIAL for each route, as in `forward tcp:127.0.0.1:8080=unix:/run/api.sock`. It is how
// this machine reaches what is inside a network namespace that nothing is connected to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

const dialTimeout = 10 * time.Second

// A route accepts connections on one address and passes their bytes to another.
type route struct{ listen, dial endpoint }

// An endpoint is `tcp:HOST:PORT` or `unix:PATH`.
type endpoint struct{ network, address string }

func main() {
	dialer := &namespaceDialer{}
	flag.StringVar(&dialer.namespaceFile, "dial-in", "", "network namespace to connect in, as a file (Linux)")
	flag.StringVar(&dialer.dnsServer, "dns", "", "address of the DNS server that resolves names")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Args(), dialer); err != nil {
		fmt.Fprintf(os.Stderr, "forward: %v\n", err)
		os.Exit(1)
	}
}

// run serves every route until it is stopped.
func run(ctx context.Context, routes []string, dialer *namespaceDialer) error {
	if len(routes) == 0 {
		return errors.New("no route: give one or more LISTEN=DIAL, each tcp:HOST:PORT or unix:PATH")
	}
	for _, text := range routes {
		route, err := parseRoute(text)
		if err != nil {
			return err
		}
		if err := serve(ctx, route, dialer); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func parseRoute(text string) (route, error) {
	listen, dial, found := strings.Cut(text, "=")
	if !found {
		return route{}, fmt.Errorf("route %q: expected LISTEN=DIAL", text)
	}
	from, err := parseEndpoint(listen)
	if err != nil {
		return route{}, err
	}
	to, err := parseEndpoint(dial)
	return route{listen: from, dial: to}, err
}

func parseEndpoint(text string) (endpoint, error) {
	network, address, _ := strings.Cut(text, ":")
	if network != "tcp" && network != "unix" {
		return endpoint{}, fmt.Errorf("endpoint %q: expected tcp:HOST:PORT or unix:PATH", text)
	}
	return endpoint{network: network, address: address}, nil
}

func serve(ctx context.Context, route route, dialer *namespaceDialer) error {
	if route.listen.network == "unix" {
		// a socket file outlives the process that made it
		_ = os.Remove(route.listen.address)
	}
	listener, err := net.Listen(route.listen.network, route.listen.address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(ctx, client, route.dial, dialer)
		}
	}()
	return nil
}

func forward(ctx context.Context, client net.Conn, to endpoint, dialer *namespaceDialer) {
	defer client.Close()
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	server, err := dialer.dial(dialCtx, to)
	if err != nil {
		fmt.Fprintf(os.Stderr, "forward: %v\n", err)
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

// pass copies until the sender is done, and tells the receiver so while the other direction goes on.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// A namespaceDialer makes connections in another network namespace, if one is named.
type namespaceDialer struct{ namespaceFile, dnsServer string }

func (d *namespaceDialer) dial(ctx context.Context, to endpoint) (net.Conn, error) {
	address := to.address
	if to.network == "tcp" && d.dnsServer != "" {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		// the namespace belongs to a thread and the dialer resolves names on others: only literal addresses reach it
		found, err := d.resolver().LookupNetIP(ctx, "ip4", host)
		if err != nil {
			return nil, err
		}
		address = net.JoinHostPort(found[0].Unmap().String(), port)
	}
	return d.connect(ctx, to.network, address)
}

func (d *namespaceDialer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.connect(ctx, network, d.dnsServer)
	}}
}

func (d *namespaceDialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if d.namespaceFile == "" {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	var connection net.Conn
	err := inNetworkNamespace(d.namespaceFile, func() (err error) {
		connection, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return connection, err
}
