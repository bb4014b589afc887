//go:build !linux

package main

import "errors"

func inNetworkNamespace(string, func() error) error {
	return errors.New("--dial-in needs Linux")
}
