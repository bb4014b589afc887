package main

import (
	"context"

	"k8s.io/component-base/cli"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// What only a node needs, and only Linux has.
func init() {
	commands["kubelet"] = func() int { return cli.Run(kubelet.NewKubeletCommand(context.Background())) }
	commands["kube-proxy"] = func() int { return cli.Run(proxy.NewProxyCommand()) }
}
