/**
 * Rules of admission that more than one field uses, as OpenAPI keywords with CEL. Each says in its message what is accepted.
 *
 * A1 what is accepted and works under the schemas in use today stays accepted: a rule refuses only what could never have
 *    worked, or what would carry a request or a token to a place the author of the object does not control.
 * A2 rules sit on the field they are about, so that the API server lets an unchanged value of a stored object pass
 *    (validation ratcheting); rules that must see `metadata.name` run on create only. Either way an object from before the
 *    rule can still be updated and deleted.
 * A3 strings that CEL looks at are bounded: the API server refuses rules whose cost it cannot estimate.
 * A4 admission sees spellings, not addresses. The operator resolves every host and looks again before it connects.
 */
import type { Keywords, Rule } from "./schema.ts";
import { rules } from "./schema.ts";

const DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_SUBDOMAIN = `${DNS_LABEL}([.]${DNS_LABEL})*`;

/** CEL: the whole string matches `regex` (RE2). Backslashes are written as in RE2; CEL's raw strings keep them. */
const matches = (regex: string): string => `self.matches(r'^(?:${regex})$')`;
const contains = (regex: string): string => `self.matches(r'${regex}')`;

/** The name of a Service or Namespace. */
export const dnsLabel = (field: string): Keywords => ({
  maxLength: 63,
  ...rules({
    rule: matches(DNS_LABEL),
    message: `${field} must be a DNS label: lower-case letters, digits and '-', at most 63 characters`,
  }),
});

/** The name of a Secret or of a cluster-scoped object. */
export const dnsSubdomain = (field: string): Keywords => ({
  maxLength: 253,
  ...rules({
    rule: matches(DNS_SUBDOMAIN),
    message: `${field} must be the name of an object: lower-case letters, digits, '-' and '.', at most 253 characters`,
  }),
});

/** A key of a Secret; it becomes a file name. */
export const secretKey = (field: string): Keywords => ({
  maxLength: 253,
  ...rules({
    rule: `${matches("[-._a-zA-Z0-9]+")} && self != '.' && !self.startsWith('..')`,
    message: `${field} must be a key of a Secret: letters, digits, '-', '_' and '.', not beginning with '..'`,
  }),
});

/** A path below a mount: what a secrets provider may name a file, and no way out of the folder. */
export const relativePath = (field: string): Keywords => ({
  maxLength: 1024,
  ...rules({
    rule: `${matches("[-A-Za-z0-9 ._/@:+=,~%]+")} && !${contains("(^|/)[.][.](/|$)")}`,
    message: `${field} must be a path without '..': letters, digits, space and - . _ / @ : + = , ~ %`,
  }),
});

const DOT_SEGMENT = "(^|/)([.]|%2[eE]){1,2}(/|$)";
const ENCODED_SEPARATOR = "%(2[fF]|5[cC]|00)";

/** A path in front of the admin API's own; a host or a query cannot hide in it. */
export const adminPath = (field: string): Keywords => ({
  maxLength: 1024,
  ...rules({
    rule: `${matches("[-A-Za-z0-9._~!$&()*+,;=:@%/]*")} && !self.contains('//') && !${contains(DOT_SEGMENT)} && !${contains(ENCODED_SEPARATOR)}`,
    message: `${field} must be a plain URL path such as /restate: no '//', no '.' or '..' segments, no query, no encoded '/' or '\\\\'`,
  }),
});

/** A path that is appended to the URL of the pods' Service; it may only append. */
export const servicePath = (field: string): Keywords => ({
  maxLength: 2048,
  ...rules({
    rule: `!${contains("[[:cntrl:]\\\\]")} && !${contains(DOT_SEGMENT)}`,
    message: `${field} must be a plain URL path such as /v1: no '.' or '..' segments, no backslash, no control characters`,
  }),
});

const AUTHORITY = "https?://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{0,5})?";
const END_OF_HOST = "[.]*([:/?#]|$)";
const OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";

/** CEL: the URL's host begins with what `regex` says, in any case. */
const hostBegins = (regex: string): string => contains(`^(?i:https?://(${regex}))`);

/** Names of metadata services and of the API server. */
const RESERVED_NAMES = [
  "metadata([.]google[.]internal|[.]goog)?",
  "instance-data([.]ec2[.]internal)?",
  "kubernetes([.]default([.]svc([.][A-Za-z0-9.-]+)?)?)?",
];
/** Link-local and unspecified, and the metadata services outside those: Alibaba Cloud, Azure, Oracle Cloud. */
const RESERVED_IPV4 = [
  "169[.]254([.][0-9]+){2}",
  "0([.][0-9]+){3}",
  "100[.]100[.]100[.]200",
  "168[.]63[.]129[.]16",
  "192[.]0[.]0[.]192",
];
/** Link-local, multicast and unspecified; the metadata service of AWS; link-local IPv4 by way of NAT64. */
const RESERVED_IPV6 = [
  "fe[89ab][0-9a-f]:[0-9a-f:]*",
  "ff[0-9a-f]{2}:[0-9a-f:]*",
  "[0:]+",
  "fd00:0?ec2:[0:]*:0?254",
  "64:ff9b:[0:]*:a9fe:[0-9a-f]{1,4}",
];
/** An IPv4 address in the clothes of IPv6: written with dots, or as ::ffff:a9fe:a9fe. */
const IPV4_IN_IPV6 = "\\[([0-9a-f:]*[.]|[0:]*:ffff:[0-9a-f]{1,4}:[0-9a-f]{1,4}\\])";

/**
 * The URL of an admin API. Loopback in its plain spelling (127.0.0.1, localhost, ::1) passes here, because an operator that
 * runs outside a cluster is meant to reach it: whether it may is the operator's configuration to say (A4).
 */
export const adminUrl = (field: string): Keywords => ({
  maxLength: 2048,
  ...rules(
    {
      rule: matches(`(?i:${AUTHORITY})([/?#][^[:cntrl:]\\s\\\\]*)?`),
      message: `${field} must be http:// or https:// with a host name or an IP address and no credentials, for example http://restate.my-cluster.svc.cluster.local:9070`,
    },
    {
      rule: `!isURL(self) || url(self).getPort() == '' || (size(url(self).getPort()) <= 5 && int(url(self).getPort()) >= 1 && int(url(self).getPort()) <= 65535)`,
      message: `${field} must have a port between 1 and 65535`,
    },
    {
      rule: `!${hostBegins(`([^/?#]*[.])?(0x[0-9a-f]*|[0-9]+)${END_OF_HOST}`)} || ${hostBegins(`${OCTET}([.]${OCTET}){3}([:/?#]|$)`)}`,
      message: `${field} must write an IPv4 address as four decimal numbers, for example 10.0.0.1`,
    },
    {
      rule: `!${hostBegins(IPV4_IN_IPV6)}`,
      message: `${field} must write an IPv4 address as four decimal numbers, not as an IPv6 address`,
    },
    {
      rule: `!${hostBegins(`(${RESERVED_IPV4.join("|")}|\\[(${RESERVED_IPV6.join("|")})\\])([:/?#]|$)`)}`,
      message: `${field} must not be a link-local, multicast, unspecified or metadata address: name the Restate admin API`,
    },
    {
      rule: `!${hostBegins(`(${RESERVED_NAMES.join("|")})${END_OF_HOST}`)}`,
      message: `${field} must not be a metadata service or the Kubernetes API server: name the Restate admin API`,
    },
  ),
});

/** A Kubernetes enumeration that the API server would refuse later, in a child of the resource; empty means its default. */
export const oneOfNames = (field: string, names: readonly string[]): Keywords => ({
  maxLength: 63,
  ...rules({
    rule: `self in ['', ${names.map((name) => `'${name}'`).join(", ")}]`,
    message: `${field} must be one of ${names.join(", ")}`,
  }),
});

export const DNS_POLICIES = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
export const IMAGE_PULL_POLICIES = ["Always", "Never", "IfNotPresent"];

/** A rule about a new object only (A2): `rule` must hold unless the object exists already. */
export const onCreate = (rule: string, message: string): Rule => ({
  rule: `oldSelf.hasValue() || (${rule})`,
  message,
  optionalOldSelf: true,
});

/** A bounded string that must match, with the sentence that says what is accepted. */
export const pattern = (maxLength: number, regex: string, message: string): Keywords => ({
  maxLength,
  ...rules({ rule: matches(regex), message }),
});
