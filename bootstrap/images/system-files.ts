/** The few files of an operating system that every image needs. */
import { existsSync } from "node:fs";
import type { ImageEntry } from "./scratch.ts";

const CA_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";

/**
 * This machine's CA certificates.
 *
 * @throws Error when there are none, with the package to install.
 */
export function caCertificates(): ImageEntry {
  if (!existsSync(CA_CERTIFICATES)) {
    throw new Error(
      `${CA_CERTIFICATES} is missing: install Debian's package ca-certificates (apt-get install ca-certificates)`,
    );
  }
  return { path: CA_CERTIFICATES, from: CA_CERTIFICATES };
}

/** Names for root and for the user that everything runs as, how names are resolved, and a /tmp. */
export function userDatabase(): ImageEntry[] {
  return [
    {
      path: "/etc/passwd",
      content: "root:x:0:0::/:/sbin/nologin\nrestate:x:1000:1000::/:/sbin/nologin\n",
    },
    { path: "/etc/group", content: "root:x:0:\nrestate:x:1000:\n" },
    { path: "/etc/nsswitch.conf", content: "hosts: files dns\n" },
    { path: "/tmp", directory: true, mode: 0o1777 },
  ];
}
