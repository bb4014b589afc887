/**
 * The environment that everything under bootstrap/ reads. Nothing else of bootstrap/ looks at `process.env`, save the
 * config.ts of a command for settings of its own.
 */
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * Folder for what is expensive to make and safe to delete: built binaries, images. Outside the repository, shared by all
 * checkouts: `$XDG_CACHE_HOME/restate-operator`, else `~/.cache/restate-operator`.
 */
export const cacheDir = join(
  process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"),
  "restate-operator",
);

/** Passed on to child processes. Not KUBECONFIG, HELM_… or RESTATE_…: what a child works on is said explicitly. */
const PASSED_ON = ["HOME", "USER", "LANG", "TMPDIR", "XDG_CACHE_HOME"];

// a root shell does not always have them, and iptables and runc are there
const ADMINISTRATION_PATHS = ":/usr/local/sbin:/usr/sbin:/sbin";

/** What every child process sees of this one's environment. */
export const inheritedEnvironment: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    PASSED_ON.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  ),
  PATH: (process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin") + ADMINISTRATION_PATHS,
};

/** For tools that reach a network in the way the user has configured: go, npm, apt-get. */
export const callerEnvironment: NodeJS.ProcessEnv = process.env;
