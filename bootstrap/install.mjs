/**
 * What must be there before anything else of this repository can run: npm's packages (among them the Node that the rest
 * runs on), and with `--node` the system packages of a real Kubernetes node. Runs before every `npm start` and `npm test`,
 * says in one line what it installs, and nothing when there is nothing to do.
 *
 * Plain JavaScript for Node 18 and newer without dependencies, because it runs before there are any. It installs system
 * packages only as root where there is apt-get; elsewhere it names them and lets what needs them decide.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_MAJOR_MIN = 24;
const SYSTEM_PATHS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

const say = (line) => process.stderr.write(`${line}\n`);

function fail(line) {
  say(line);
  process.exit(1);
}

function installNpmPackages() {
  const reason = reasonToInstall();
  if (reason === undefined) return;
  say(`${reason}: npm install`);
  // Exactly what package-lock.json says, without changing it. Not `npm ci`: that refuses a lock file that was written where
  // the registry does not serve the (optional) packages of every platform. The package `node` fetches its binary in an
  // install script.
  const flags = ["--no-save", "--ignore-scripts=false", "--no-audit", "--no-fund"];
  if (!succeeds("npm", ["install", ...flags, "--loglevel=error"])) {
    fail("npm install failed: see above");
  }
}

function reasonToInstall() {
  const installed = readPackages("node_modules/.package-lock.json");
  if (installed === undefined) return "dependencies are not installed";
  const locked = readPackages("package-lock.json");
  if (locked === undefined) fail("package-lock.json is missing: restore it from version control");
  const isUpToDate = Object.entries(locked).every(([path, { version, optional }]) => {
    // the repository itself, and packages for other platforms
    if (path === "" || (optional === true && installed[path] === undefined)) return true;
    return installed[path]?.version === version;
  });
  return isUpToDate ? undefined : "dependencies are not those of package-lock.json";
}

function readPackages(file) {
  const path = join(REPOSITORY, file);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : undefined;
}

function refuseOldNode() {
  const node = join(REPOSITORY, "node_modules", ".bin", "node");
  const version = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout?.trim() ?? "";
  if (Number(/^v(\d+)/.exec(version)?.[1]) >= NODE_MAJOR_MIN) return;
  fail(
    `node_modules/.bin/node is ${version || "missing"}, not version ${NODE_MAJOR_MIN}: ` +
      "allow the install script of the package node and run npm install",
  );
}

function installSystemPackages() {
  if (process.platform !== "linux") return;
  const missing = missingSystemPackages();
  if (missing.length === 0) return;
  const names = missing.join(" ");
  if (process.getuid() !== 0 || !isOnPath("apt-get")) {
    say(
      `a real Kubernetes node needs packages that are missing: as root, apt-get install ${names}`,
    );
    return;
  }
  say(`installing system packages for a Kubernetes node: apt-get install ${names}`);
  const install = ["install", "--yes", "--quiet", "--no-install-recommends", ...missing];
  const isInstalled =
    succeeds("apt-get", ["update", "--quiet"]) &&
    succeeds("apt-get", install, { DEBIAN_FRONTEND: "noninteractive" });
  if (!isInstalled) fail(`apt-get install ${names} failed: see above`);
}

function missingSystemPackages() {
  const file = join(REPOSITORY, "bootstrap", "kubernetes", "debian-packages.json");
  return JSON.parse(readFileSync(file, "utf8"))
    .filter(({ commands = [], files = [] }) => {
      const hasFile = files.length === 0 || files.some((path) => existsSync(path));
      return !hasFile || !commands.every(isOnPath);
    })
    .map((each) => each.package);
}

function isOnPath(command) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM_PATHS];
  return folders.some((folder) => existsSync(join(folder, command)));
}

/** The command's own output goes to standard error: standard output belongs to what runs next. */
function succeeds(command, args, env = {}) {
  const { status } = spawnSync(command, args, {
    cwd: REPOSITORY,
    env: { ...process.env, ...env },
    stdio: ["ignore", process.stderr, process.stderr],
  });
  return status === 0;
}

installNpmPackages();
refuseOldNode();
if (process.argv.includes("--node")) installSystemPackages();
