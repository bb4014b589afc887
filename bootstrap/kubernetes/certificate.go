package main

import (
	"flag"
	"net"
	"os"
	"strings"

	"k8s.io/client-go/util/cert"
)

// runCertificate writes a self-signed serving certificate (with the authority that signed it) and its key. It is valid for
// a year.
func runCertificate(args []string) error {
	flags := flag.NewFlagSet("certificate", flag.ExitOnError)
	addresses := flags.String("ips", "127.0.0.1", "comma-separated IP addresses it is valid for")
	names := flags.String("names", "", "comma-separated DNS names it is valid for, next to localhost")
	certFile := flags.String("cert-file", "", "PEM file to write the certificates to")
	keyFile := flags.String("key-file", "", "PEM file to write the private key to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var ips []net.IP
	for _, address := range strings.Split(*addresses, ",") {
		ips = append(ips, net.ParseIP(address))
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", ips, strings.Split(*names, ","))
	if err != nil {
		return err
	}
	if err := os.WriteFile(*keyFile, key, 0o600); err != nil {
		return err
	}
	return os.WriteFile(*certFile, certificate, 0o644)
}
