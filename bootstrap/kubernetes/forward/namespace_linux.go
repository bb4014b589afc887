package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// inNetworkNamespace runs work on a thread that belongs to the network namespace of the given file (as in /run/netns). A
// socket keeps the namespace it was made in.
func inNetworkNamespace(file string, work func() error) error {
	target, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	result := make(chan error, 1)
	go func() {
		// never unlocked: the thread ends with the goroutine, so no other code runs in the namespace by accident
		runtime.LockOSThread()
		if err := unix.Setns(target, unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		result <- work()
	}()
	return <-result
}
