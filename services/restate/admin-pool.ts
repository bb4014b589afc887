/**
 * Clients of admin APIs, one per URL: connections are kept between calls, and the number of clients is bounded, because URLs
 * come from users.
 */
import type { LookupFunction } from "node:net";
import type { Dispatcher } from "undici";
import { RestateAdmin, agentOf } from "./admin.ts";
import type { Dial } from "./dial.ts";

/** Clients kept; the one that was not used for longest goes. */
const CLIENTS_MAX = 256;

export interface AdminPoolOptions {
  /** How every name is connected to, where that is not directly. */
  readonly dial?: Dial;
  /** Resolves names and refuses what must not be connected to. */
  readonly lookup?: LookupFunction;
}

export class AdminPool {
  readonly #options: AdminPoolOptions;
  readonly #clients = new Map<string, RestateAdmin>();
  /** Connects as the clients do, for requests that are not about an admin API. */
  readonly dispatcher: Dispatcher;

  constructor(options: AdminPoolOptions) {
    this.#options = options;
    this.dispatcher = agentOf(options);
  }

  /** The client for a URL (without a slash at its end). */
  of(url: string): RestateAdmin {
    const known = this.#clients.get(url);
    const client = known ?? new RestateAdmin({ url, ...this.#options });
    // Last in order: a Map keeps the order of insertion.
    this.#clients.delete(url);
    this.#clients.set(url, client);
    this.#evict();
    return client;
  }

  #evict(): void {
    const [oldest] = this.#clients;
    if (oldest === undefined || this.#clients.size <= CLIENTS_MAX) return;
    this.#clients.delete(oldest[0]);
    // Calls under way are finished first.
    void oldest[1].close().catch(() => undefined);
  }
}
