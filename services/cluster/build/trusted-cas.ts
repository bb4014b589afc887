/**
 * Certificate authorities to trust beside those that everybody trusts. Restate reads one file of them, so an init container
 * puts them together: its image's own, then each Secret's. The shell line is made of numbers and constants alone; what the
 * user names reaches it as files.
 */
import { sha256Hex } from "../../core/digest.ts";
import type { ClusterConfig, ClusterView } from "../api.ts";
import type { PodPart } from "./pod-part.ts";

/** Where images based on Debian and Alpine keep them; the canary image is alpine unless configured. */
const SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";
const COMBINED_VOLUME = "combined-ca-certs";
const COMBINED_MOUNT = "/combined-certs";
const COMBINED_BUNDLE = `${COMBINED_MOUNT}/ca-certificates.crt`;
/** Certificates are public: every user in the pod may read them. */
const CERTIFICATE_MODE = 0o444;

export function buildTrustedCas({ spec }: ClusterView, { canaryImage }: ClusterConfig): PodPart {
  const certificates = spec.security?.trustedCaCerts ?? [];
  if (certificates.length === 0) return {};
  const names = certificates.map((_, index) => `trusted-ca-${index}`);
  const bundles = [SYSTEM_BUNDLE, ...names.map((name) => `/${name}/ca.pem`)];
  return {
    annotations: {
      // Pods must be replaced when these change, and the names of volumes do not say so.
      "restate.dev/trusted-ca-certs": sha256Hex(
        certificates.map(({ secretName, key }) => `${secretName}:${key},`).join(""),
      ),
    },
    volumes: [
      ...certificates.map(({ secretName, key }, index) => ({
        name: `trusted-ca-${index}`,
        secret: { secretName, items: [{ key, path: "ca.pem", mode: CERTIFICATE_MODE }] },
      })),
      { name: COMBINED_VOLUME, emptyDir: {} },
    ],
    initContainers: [
      {
        name: "combine-ca-certs",
        image: canaryImage,
        command: ["sh", "-c", `cat ${bundles.join(" ")} > ${COMBINED_BUNDLE}`],
        volumeMounts: [
          ...names.map((name) => ({ name, mountPath: `/${name}`, readOnly: true })),
          { name: COMBINED_VOLUME, mountPath: COMBINED_MOUNT },
        ],
        securityContext: { allowPrivilegeEscalation: false },
      },
    ],
    mounts: [{ name: COMBINED_VOLUME, mountPath: COMBINED_MOUNT, readOnly: true }],
    env: [{ name: "SSL_CERT_FILE", value: COMBINED_BUNDLE }],
  };
}
