/**
 * Which change of the Restate image is let through. Restate migrates its data from one minor version to the next: a skipped
 * one is a skipped migration, and an older server may not understand what a newer one has written. Both are refused before
 * anything is written, by the versions in the tags of the images that run and of the one that is asked for.
 *
 * G1 What runs is what counts, not what was asked for last: an upgrade on half its way has two versions. G2 A tag that names no
 * version, and a digest, are the user's affair. G3 Patches of one minor version share their format: any change among them goes
 * through. G4 `restate.dev/allow-version-change: <tag>` allows the change to exactly this tag.
 */
import type { ObservedCluster } from "../observe/observe.ts";

/** Annotation by which a user allows a change that is refused otherwise; its value is the tag of the image (G4). */
export const ALLOW_VERSION_CHANGE_ANNOTATION = "restate.dev/allow-version-change";

interface Version {
  readonly major: number;
  readonly minor: number;
  readonly tag: string;
}

/** `1.7.12`, `v1.7`, `1.8.0-rc.1`. Larger majors are dates. */
const VERSION = /^v?(\d{1,2})\.(\d{1,4})(?:[.\-+_].*)?$/;

/** Why the image cannot follow on what runs, as a sentence that names field and fix; `undefined` when it can. */
export function versionChangeProblem({
  cluster,
  runningImages = [],
}: Pick<ObservedCluster, "cluster" | "runningImages">): string | undefined {
  const wanted = versionOf(cluster.spec.compute.image);
  if (wanted === undefined) return undefined; // G2
  if (cluster.metadata.annotations?.[ALLOW_VERSION_CHANGE_ANNOTATION] === wanted.tag) {
    return undefined; // G4
  }
  const running = runningImages.flatMap((image) => versionOf(image) ?? []).toSorted(compare);
  const [oldest, newest] = [running[0], running.at(-1)];
  if (oldest === undefined || newest === undefined) return undefined;
  const allow = `or allow it with the annotation ${ALLOW_VERSION_CHANGE_ANNOTATION}: "${wanted.tag}"`;
  if (compare(wanted, newest) < 0) {
    return `spec.compute.image: ${newest.tag} runs, and ${wanted.tag} may not understand the data it has written; put back ${newest.tag}, ${allow}`;
  }
  return isNext(oldest, wanted)
    ? undefined
    : `spec.compute.image: ${oldest.tag} runs, and from there to ${wanted.tag} a minor version would be skipped, and its migration of the data with it; go through every minor version, ${allow}`;
}

/** By major and minor: patches are equal (G3). */
function compare(one: Version, other: Version): number {
  return one.major - other.major || one.minor - other.minor;
}

/** The same minor version, the one after it, or the first of the next major version. */
function isNext(from: Version, to: Version): boolean {
  return from.major === to.major
    ? to.minor <= from.minor + 1
    : to.major === from.major + 1 && to.minor === 0;
}

function versionOf(image: string): Version | undefined {
  const [name = ""] = image.split("@", 1);
  const [, tag = ""] = name.slice(name.lastIndexOf("/") + 1).split(":");
  const [, major, minor] = VERSION.exec(tag) ?? [];
  return major === undefined || minor === undefined
    ? undefined
    : { major: Number(major), minor: Number(minor), tag };
}
