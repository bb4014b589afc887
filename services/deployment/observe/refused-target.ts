/**
 * Where the operator does not connect to, whoever asks (safety, section 3, 1 to 4): the machine it runs on, link-local and
 * metadata addresses, the API server, its own services. Decided on the address as the URL parser writes it, which undoes
 * every other spelling (decimal, hexadecimal, octal, short forms, a trailing dot); an address inside an IPv6 address
 * (mapped, compatible, NAT64, 6to4) is looked at as well. A name can still resolve to such an address: whoever connects asks
 * `refusedResolution`, about the address it is about to connect to.
 */

/** The operator's own word on targets. */
export interface TargetPolicy {
  /** Exceptions, each a host or `host:port` as a URL writes it: `127.0.0.1`, `[::1]:9070`, `localhost`. */
  readonly allowed: readonly string[];
  /** Further hosts to refuse: the API server's address, the operator's and the bootstrap's Services. */
  readonly reserved?: readonly string[];
}

const RESERVED_NAMES: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/(^|\.)localhost$/, "this machine"],
  [/^kubernetes(\.default(\.svc(\..+)?)?)?$/, "the Kubernetes API server"],
  [/^metadata(\.google\.internal|\.goog)?$/, "a metadata service"],
  [/^instance-data(\.ec2\.internal)?$/, "a metadata service"],
];

type Range = readonly [first: string, prefixBits: number, what: string];

const RESERVED_IPV4: readonly Range[] = [
  ["127.0.0.0", 8, "a loopback address"],
  ["169.254.0.0", 16, "a link-local address"],
  ["0.0.0.0", 8, "an unspecified address"],
  ["224.0.0.0", 3, "a multicast or reserved address"],
  ["100.100.100.200", 32, "a metadata service"],
  ["168.63.129.16", 32, "a metadata service"],
  ["192.0.0.192", 32, "a metadata service"],
];
const RESERVED_IPV6: readonly Range[] = [
  ["::1", 128, "a loopback address"],
  ["::", 128, "an unspecified address"],
  ["fe80::", 10, "a link-local address"],
  ["fec0::", 10, "a site-local address"],
  ["ff00::", 8, "a multicast address"],
  ["fd00:ec2::254", 128, "a metadata service"],
];
/** Prefixes behind which an IPv4 address stands, and the byte where it begins. */
const IPV4_INSIDE: readonly (readonly [first: string, prefixBits: number, offset: number])[] = [
  ["::ffff:0:0", 96, 12],
  ["::ffff:0:0:0", 96, 12],
  ["::", 96, 12],
  ["64:ff9b::", 96, 12],
  ["2002::", 16, 2],
];

/** Why a URL is not to be called, as a sentence about its host; `undefined` when it may be. */
export function refusedTarget(url: string, policy: TargetPolicy): string | undefined {
  const parsed = URL.parse(url);
  if (parsed === null) return "it is not a URL";
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    return `it begins with ${parsed.protocol}, not with http: or https:`;
  }
  if (parsed.username !== "" || parsed.password !== "") return "it has credentials in it";
  const host = hostOf(parsed.hostname);
  const port = parsed.port === "" ? (parsed.protocol === "http:" ? "80" : "443") : parsed.port;
  if (policy.allowed.some((entry) => covers(entry, host, port))) return undefined;
  if ((policy.reserved ?? []).some((entry) => hostOf(entry) === host)) {
    return `${host} is one of the operator's own`;
  }
  const named = RESERVED_NAMES.find(([pattern]) => pattern.test(host));
  if (named !== undefined) return `${host} is ${named[1]}`;
  return refusedAddress(host);
}

/**
 * Why an IP address is not to be connected to; `undefined` when it may be, and for anything that is not an address.
 *
 * @param address four decimal numbers, or IPv6 with or without brackets
 */
export function refusedAddress(address: string): string | undefined {
  const bytes = bytesOf(address);
  if (bytes === undefined) return undefined;
  const what = bytes.length === 4 ? whatIsIpv4(bytes) : whatIsIpv6(bytes);
  return what === undefined ? undefined : `${address} is ${what}`;
}

/**
 * The same for an address that a name resolved to. A host that the operator's own policy lets through may resolve to anything.
 *
 * @param host the name that was looked up
 */
export function refusedResolution(
  { host, address }: { readonly host: string; readonly address: string },
  { allowed }: TargetPolicy,
): string | undefined {
  const known = allowed.map((entry) => hostOf(entry.replace(/:\d+$/, "")));
  return known.includes(hostOf(host)) ? undefined : refusedAddress(address);
}

function covers(entry: string, host: string, port: string): boolean {
  const [, name = "", wanted] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [];
  return name !== "" && hostOf(name) === host && (wanted === undefined || wanted === port);
}

/** A host in the one spelling that is compared. */
function hostOf(text: string): string {
  return (URL.parse(`http://${text}`)?.hostname ?? text).replace(/\.+$/, "");
}

function whatIsIpv4(bytes: readonly number[]): string | undefined {
  return RESERVED_IPV4.find(([first, bits]) => begins(bytes, first, bits))?.[2];
}

function whatIsIpv6(bytes: readonly number[]): string | undefined {
  const reserved = RESERVED_IPV6.find(([first, bits]) => begins(bytes, first, bits));
  if (reserved !== undefined) return reserved[2];
  return IPV4_INSIDE.filter(([first, bits]) => begins(bytes, first, bits))
    .map(([, , offset]) => whatIsIpv4(bytes.slice(offset, offset + 4)))
    .find((what) => what !== undefined);
}

function begins(bytes: readonly number[], first: string, bits: number): boolean {
  const prefix = bytesOf(first) ?? [];
  return bytes.every((byte, index) => {
    const left = Math.min(Math.max(bits - index * 8, 0), 8);
    const mask = 0xff & (0xff << (8 - left));
    return (byte & mask) === ((prefix[index] ?? 0) & mask);
  });
}

/** The bytes of an address, 4 or 16; `undefined` when the text is none. */
function bytesOf(address: string): number[] | undefined {
  if (/^\d+(\.\d+){3}$/.test(address)) return address.split(".").map(Number);
  const bare = address.replace(/^\[(.*)\]$/, "$1").replace(/%.*$/, "");
  if (!bare.includes(":")) return undefined;
  // The parser knows every spelling of IPv6 and writes one: groups of hexadecimal digits, the longest run of zeros as `::`.
  const written = URL.parse(`http://[${bare}]`)?.hostname.slice(1, -1);
  if (written === undefined) return undefined;
  const [head = "", tail] = written.split("::");
  const before = groupsOf(head);
  const after = groupsOf(tail ?? "");
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return [...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff]);
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
